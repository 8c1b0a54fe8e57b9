//! Step `object`: what a comparison or another node says against a sequencer becomes a row.
//!
//! It ends in the same commit as everything else. Whether it is new is decided by what the log holds so far, so that
//! the same objection is one row, however often its reason comes again.

use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Salt};
use lockstep_core::disputes::Disputes;
use lockstep_core::intent::Refusal;
use lockstep_core::names::RecordId;
use lockstep_core::sync::{
    Complaint, Evidence, Exhibit, Fork, Objecting, Objection, Share, SignedObjection, Statement, objected, records_of,
};
use lockstep_core::tables::{Cell, name};

use crate::again::read_again;
use crate::exhibit::{Shown, exhibits};
use crate::load;
use crate::objections::Kept;
use crate::open::{Node, NodeError};
use crate::pipeline::{Pipeline, answer_all};
use crate::receive::Taken;
use crate::submit::{Decided, Job, SubmitError, Work};

/// How far another node's clock may be ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// Most objections that are stored of one other node, and most of this node's about one log.
const MOST: usize = 1000;
/// How long storing one may take.
const COMMIT: Duration = Duration::from_secs(60);

/// What somebody found or said.
#[derive(Clone)]
pub(crate) enum Found {
    /// What another node signed.
    Told { envelope: Vec<u8>, evidence: Option<Vec<u8>> },
    /// Two histories of a log.
    Forked(Box<Fork>),
}

/// A statement with what it rests on.
pub(crate) struct Said {
    pub(crate) signed: SignedObjection,
    pub(crate) evidence: Option<Evidence>,
}

impl Node {
    /// Stores what another node signed against a sequencer; the same again is the same.
    pub(crate) async fn take_objection(&self, envelope: Vec<u8>, evidence: Option<Vec<u8>>) -> Result<(), SubmitError> {
        self.object(Found::Told { envelope, evidence }).await
    }

    /// Objects to two histories of a log, where that is proved.
    pub(crate) async fn object_to_fork(&self, fork: Fork) -> Result<(), SubmitError> {
        self.object(Found::Forked(Box::new(fork))).await
    }

    async fn object(&self, found: Found) -> Result<(), SubmitError> {
        let waiting = self.queue(Work::Objection { found }).await?;
        match tokio::time::timeout(COMMIT, waiting).await {
            Err(_) => Err(SubmitError::TimedOut(COMMIT)),
            Ok(Err(_)) => Err(SubmitError::Stopped(self.stop_reason())),
            Ok(Ok(result)) => result.map(drop),
        }
    }
}

fn refused(what: impl Into<String>) -> SubmitError {
    SubmitError::Refused(Refusal::new(Code::Malformed, what.into()))
}

impl Pipeline {
    /// Adds one objection, unless it is here already, or counts for nothing.
    pub(crate) async fn add_objection(&mut self, job: Job, found: Found) -> Result<(), NodeError> {
        let decided = Decided { intent: self.built.directory.network(), repeated: false };
        let said = match (job.refused_by_database, found) {
            (true, _) => Err(refused("the database refuses a row of the objection")),
            (false, Found::Told { envelope, evidence }) => self.told(&envelope, evidence.as_deref()),
            (false, Found::Forked(fork)) => self.forked(*fork)?,
        };
        match said {
            Ok(Some(said)) => {
                self.load_record(said.signed.statement.record.as_ref()).await?;
                self.open().jobs.push((job, decided));
                self.project_objections(&[said]);
            }
            Ok(None) => answer_all(job, &Ok(decided)),
            Err(error) => answer_all(job, &Err(error)),
        }
        Ok(())
    }

    /// What another node signed, where it is new and good.
    fn told(&self, envelope: &[u8], evidence: Option<&[u8]>) -> Result<Option<Said>, SubmitError> {
        let (disputes, directory) = (&self.built.ledger.disputes, &self.built.directory);
        let latest = self.shared.parts.clock.now().plus(CLOCK_TOLERANCE);
        let (signed, evidence) = objected(envelope, evidence, directory, latest).map_err(refused)?;
        let statement = &signed.statement;
        if disputes.knows(&signed.id) || disputes.has(statement) {
            return Ok(None);
        }
        if statement.node == self.shared.name {
            return Err(refused("this node said no such thing"));
        }
        match statement.withdraws {
            // What it ends was not taken, or is ended already.
            Some(ended) if !disputes.may_withdraw(&ended, &statement.node) => return Ok(None),
            Some(_) => {}
            None if disputes.count_of(&statement.node, None) >= MOST => {
                return Err(refused(format!("node {} has {MOST} objections here", statement.node)));
            }
            None => {}
        }
        Ok(Some(Said { signed, evidence }))
    }

    fn forked(&self, fork: Fork) -> Result<Result<Option<Said>, SubmitError>, NodeError> {
        let forked = match fork.check(&self.built.directory) {
            Ok(forked) => forked,
            Err(what) => return Ok(Err(refused(what))),
        };
        let evidence = Evidence::Fork(Box::new(fork));
        let statement = self.objecting(&evidence).to_fork(&forked);
        if self.built.ledger.disputes.has(&statement) {
            return Ok(Ok(None));
        }
        Ok(Ok(Some(self.sign(statement, Some(evidence))?)))
    }

    fn objecting(&self, evidence: &Evidence) -> Objecting {
        let time = self.now();
        let (network, node) = (self.built.directory.network(), self.shared.name.clone());
        Objecting { network, node, time, evidence: Digest::of(&evidence.stored()) }
    }

    fn sign(&self, statement: Statement, evidence: Option<Evidence>) -> Result<Said, NodeError> {
        let signed = statement.sign(self.shared.parts.signer.as_ref());
        let signed = signed.map_err(|error| NodeError::Broken(error.to_string()))?;
        Ok(Said { signed, evidence })
    }

    /// Adds what was said. Whatever comes next may depend on it.
    pub(crate) fn project_objections(&mut self, said: &[Said]) {
        let kept = self.kept(said);
        let (states, directory) = (std::mem::take(&mut self.built.states), self.built.directory.clone());
        let open = self.open();
        for Said { signed, evidence } in said {
            open.projection.objection(signed, evidence.as_ref(), &directory, &states);
        }
        open.sealed |= !said.is_empty();
        open.objections.extend(kept);
        self.built.states = states;
    }

    /// What was said, as it is kept once it is committed.
    fn kept(&self, said: &[Said]) -> Vec<Kept> {
        let keep = |said: &Said| {
            let (statement, evidence) = (&said.signed.statement, said.evidence.as_ref());
            let fork = evidence.filter(|evidence| matches!(evidence, Evidence::Fork(_)));
            let proven = evidence.is_some_and(|evidence| evidence.stops(&self.built.directory));
            let stops = statement.node == self.shared.name || proven;
            Kept {
                holds: statement.withdraws.is_none() && statement.record.is_some() && stops,
                message: evidence.and_then(|evidence| evidence.message(&self.built.directory)),
                proof: fork.map(Evidence::stored),
                signed: said.signed.clone(),
            }
        };
        said.iter().map(keep).collect()
    }

    /// The record as it stands here, for the scope in its row.
    async fn load_record(&mut self, record: Option<&RecordId>) -> Result<(), NodeError> {
        let named: Vec<(RecordId, Option<String>)> = record.into_iter().map(|record| (record.clone(), None)).collect();
        let (database, events) = (self.shared.parts.database.as_ref(), self.own(name::EVENT)?);
        let (tables, states) = (&self.built.tables, &self.built.states);
        let read = || load::records_named(database, tables, &events, named.clone(), states);
        let loaded = read_again(&self.shared, read).await?;
        self.built.states.extend(loaded);
        Ok(())
    }

    /// What this node says of shares that it compared, `from` being who handed them over: a new objection for each that
    /// is wrong, the end of an earlier one for each that turned out right.
    pub(crate) async fn statements(
        &self,
        from: &str,
        shares: &[Share],
        taken: &[Taken],
    ) -> Result<Vec<Said>, NodeError> {
        if !taken.iter().any(|taken| matches!(taken, Taken::Settled(_) | Taken::Objected(_))) {
            return Ok(Vec::new());
        }
        let (mut said, mut disputes) = (Vec::new(), Disputes::clone(&self.built.ledger.disputes));
        for (share, taken) in shares.iter().zip(taken) {
            let new = match taken {
                Taken::Settled(_) => self.withdrawals(share, &disputes)?,
                Taken::Objected(objection) if answers_for(from, share, objection) => {
                    self.against(share, shares, objection, &disputes).await?
                }
                _ => Vec::new(),
            };
            new.iter().for_each(|one| disputes.add(one.signed.id, &one.signed.statement, true));
            said.extend(new);
        }
        Ok(said)
    }

    fn withdrawals(&self, share: &Share, disputes: &Disputes) -> Result<Vec<Said>, NodeError> {
        let time = self.now();
        let ended = disputes.open_at(&self.shared.name, &share.place.log, share.place.position);
        let statements = ended.iter().filter_map(|id| Some(disputes.statement(id)?.withdrawn(*id, time)));
        statements.map(|statement| self.sign(statement, None)).collect()
    }

    async fn against(
        &self,
        share: &Share,
        shares: &[Share],
        objection: &Objection,
        disputes: &Disputes,
    ) -> Result<Vec<Said>, NodeError> {
        if disputes.count_of(&self.shared.name, Some(&share.place.log)) >= MOST {
            return Ok(Vec::new());
        }
        if objection.complaint == Complaint::Fork
            && let Some(fork) = self.proof(share, shares).await?
        {
            let said = self.forked(fork)?.ok().flatten();
            return Ok(said.into_iter().filter(|said| !disputes.has(&said.signed.statement)).collect());
        }
        // What cannot be proved to everybody is no fork to others: it does not continue what is here.
        let complaint = if objection.complaint == Complaint::Fork { Complaint::Chain } else { objection.complaint };
        self.to_share(share, &Objection { complaint, ..objection.clone() }, disputes)
    }

    /// That this node's own database refuses what a share brings.
    pub(crate) fn blocked(&self, share: &Share) -> Result<Vec<Said>, NodeError> {
        let message = "this node's database refuses its rows".to_owned();
        let blocked = Objection { complaint: Complaint::Blocked, record: None, message };
        if records_of(share).is_empty() {
            return Ok(Vec::new());
        }
        self.to_share(share, &blocked, &self.built.ledger.disputes)
    }

    /// What is said of a share that was not said yet, with the share as evidence.
    fn to_share(&self, share: &Share, objection: &Objection, disputes: &Disputes) -> Result<Vec<Said>, NodeError> {
        let salt = Salt::from((self.shared.secrets)().map_err(NodeError::Broken)?);
        let (share, message) = (share.clone(), objection.message.clone());
        let evidence = Evidence::Share { share: Box::new(share.clone()), message, salt };
        let statements = self.objecting(&evidence).to_share(&share, objection);
        let new = statements.into_iter().filter(|statement| !disputes.has(statement));
        new.map(|statement| self.sign(statement, Some(evidence.clone()))).collect()
    }

    /// What is here, or came with it, that a share contradicts.
    async fn proof(&self, share: &Share, shares: &[Share]) -> Result<Option<Fork>, NodeError> {
        let mut firsts: Vec<Exhibit> = Vec::new();
        for other in shares.iter().filter(|other| other.place.log == share.place.log) {
            firsts.extend(exhibits(other));
        }
        firsts.extend(self.stored_exhibits(share).await?);
        let forks = exhibits(share).into_iter().flat_map(|second| {
            let forks = firsts.iter().map(move |first| Fork { first: first.clone(), second: second.clone() });
            forks.collect::<Vec<_>>()
        });
        Ok(forks.into_iter().find(|fork| fork.check(&self.built.directory).is_ok()))
    }

    /// What stands here of the same intent, the same position, and the records of a share.
    async fn stored_exhibits(&self, share: &Share) -> Result<Vec<Exhibit>, NodeError> {
        let records: Vec<Cell> = records_of(share).iter().map(|record| Cell::Text(record.to_string())).collect();
        let shown =
            Shown { feed: self.own(name::FEED)?, intents: self.own(name::INTENT)?, events: self.own(name::EVENT)? };
        let database = self.shared.parts.database.as_ref();
        let read = || shown.of(database, share, &records);
        read_again(&self.shared, read).await
    }
}

/// Whether the one who handed a share over answers for what is wrong with it, or the share itself proves it.
pub(crate) fn answers_for(from: &str, share: &Share, objection: &Objection) -> bool {
    objection.complaint.proven() || share.place.log.split('/').next() == Some(from)
}
