//! Step `receive`: what other nodes sequenced is compared with what is known here, and becomes a batch.
//!
//! It ends in the same commit as what this node sequences. A share that cannot be applied now leaves no row; what
//! became of each stands beside the job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lockstep_core::crypto::Digest;
use lockstep_core::directory::Directory;
use lockstep_core::disputes::Disputes;
use lockstep_core::event::Header;
use lockstep_core::log::leaf_hash;
use lockstep_core::names::{NodeName, RecordId};
use lockstep_core::outcome::Outcome;
use lockstep_core::record::States;
use lockstep_core::sync::{
    Again, Arrived, Comparing, Comparison, Had, Heard, Level, Objection, Share, Viewer, Wait, again, compare,
    records_of,
};
use lockstep_core::tables::{Cell, name};

use crate::again::read_again;
use crate::compute::compute;
use crate::load::{self, cell};
use crate::object::answers_for;
use crate::open::{Node, NodeError, Shared};
use crate::pipeline::{Pipeline, answer_all};
use crate::submit::{Decided, Job, SubmitError, Verdicts, Work};

/// How far another node's clock may be ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// Shares that are compared together; what comes behind them is compared while these are committed.
const TOGETHER: usize = 128;
/// A node that executes to compare gets so many times what a sequencer allows.
const GENEROSITY: u64 = 8;

/// What became of a share.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is applied.
    Applied(Level),
    /// It was here already.
    Repeated,
    /// Something must be there first.
    Waits(Wait),
    /// It is applied, and what this node had said against it is withdrawn.
    Settled(Level),
    /// It is not what its sequencer had to do; the record waits.
    Objected(Objection),
    /// Its record is disputed; nothing is applied to it.
    Held(RecordId),
    /// It proves nothing.
    Refused(String),
    /// The database refuses its rows; its operator sees why.
    Blocked,
}

/// What comparing many shares gave.
struct Compared {
    taken: Vec<Taken>,
    arrived: Vec<Arrived>,
    /// Records that stop by what was found in these shares.
    stopped: BTreeSet<RecordId>,
    states: States,
    heard: Vec<(String, Heard)>,
}

impl Node {
    /// Compares what another node sequenced and `from` handed over, and applies what is in order; in the order of the
    /// shares.
    ///
    /// # Errors
    /// [`SubmitError`] where the node cannot take it in now.
    pub async fn receive(&self, from: &str, shares: Vec<Share>, timeout: Duration) -> Result<Vec<Taken>, SubmitError> {
        let (mut begun, mut rest) = (Vec::new(), shares.into_iter());
        loop {
            let part: Vec<Share> = rest.by_ref().take(TOGETHER).collect();
            if part.is_empty() {
                break;
            }
            let verdicts = Verdicts::default();
            let work = Work::Received { from: from.to_owned(), shares: Arc::new(part), verdicts: verdicts.clone() };
            begun.push((self.queue(work).await?, verdicts));
        }
        let (deadline, mut taken) = (tokio::time::Instant::now() + timeout, Vec::new());
        for (waiting, verdicts) in begun {
            match tokio::time::timeout_at(deadline, waiting).await {
                Err(_) => return Err(SubmitError::TimedOut(timeout)),
                Ok(Err(_)) => return Err(SubmitError::Stopped(self.stop_reason())),
                Ok(Ok(result)) => result?,
            };
            taken.append(&mut verdicts.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(taken)
    }
}

impl Pipeline {
    pub(crate) async fn add_received(
        &mut self,
        job: Job,
        from: &str,
        shares: Arc<Vec<Share>>,
        verdicts: &Verdicts,
    ) -> Result<(), NodeError> {
        let decided = Decided { intent: self.built.directory.network(), repeated: false };
        self.load_received(&shares).await?;
        if job.refused_by_database {
            *verdicts.lock().unwrap_or_else(PoisonError::into_inner) = vec![Taken::Blocked; shares.len()];
            return self.add_blocked(job, &shares);
        }
        self.load_heard(&shares).await?;
        let known = self.known(&shares).await?;
        let compared = self.compare(from, shares.clone(), known).await?;
        self.built.states = compared.states;
        let said = self.statements(from, &shares, &compared.taken).await?;
        *verdicts.lock().unwrap_or_else(PoisonError::into_inner) = compared.taken;
        if compared.arrived.is_empty() && said.is_empty() {
            answer_all(job, &Ok(decided));
            return Ok(());
        }
        self.built.heard.extend(compared.heard);
        let arrived = compared.arrived.iter().map(|arrived| (arrived.outcome.intent.to_string(), had(arrived)));
        self.built.arrived.extend(arrived);
        let directory = self.built.directory.clone();
        let open = self.open();
        for arrived in &compared.arrived {
            let Arrived { intent, outcome, events, place, .. } = arrived;
            open.projection.received(intent, outcome, events, place, &directory);
        }
        open.bytes += shares.iter().map(Share::bytes).sum::<usize>();
        open.jobs.push((job, decided));
        self.project_objections(&said);
        Ok(())
    }

    /// Notes that the database refuses what one share brings. Of many it is not known which one it is: they come again,
    /// one by one.
    fn add_blocked(&mut self, job: Job, shares: &[Share]) -> Result<(), NodeError> {
        let decided = Decided { intent: self.built.directory.network(), repeated: false };
        let said = match shares {
            [share] => self.blocked(share)?,
            _ => Vec::new(),
        };
        if said.is_empty() {
            answer_all(job, &Ok(decided));
            return Ok(());
        }
        self.open().jobs.push((job, decided));
        self.project_objections(&said);
        Ok(())
    }

    /// What was heard of the logs before this node started: the time of a log does not begin anew with it.
    async fn load_heard(&mut self, shares: &[Share]) -> Result<(), NodeError> {
        let logs: BTreeSet<&str> = shares.iter().map(|share| share.place.log.as_str()).collect();
        for log in logs {
            if self.built.heard_of.insert(log.to_owned()) && !self.built.heard.contains_key(log) {
                let database = self.shared.parts.database.as_ref();
                let heard = read_again(&self.shared, || load::last_heard(database, log)).await?;
                self.built.heard.extend(heard.map(|heard| (log.to_owned(), heard)));
            }
        }
        Ok(())
    }

    /// The records that the shares are about, as they stand here.
    async fn load_received(&mut self, shares: &[Share]) -> Result<(), NodeError> {
        let mut records: BTreeSet<RecordId> = BTreeSet::new();
        for share in shares {
            let headers = share.events.iter().filter_map(|event| Header::read(&event.header).ok());
            records.extend(headers.map(|header| header.record));
            let outcome = Outcome::read(&share.outcome).ok();
            let judged = outcome.iter().filter_map(Outcome::reasons).flat_map(|reasons| &reasons.judged.reads);
            records.extend(judged.map(|read| read.record.clone()));
        }
        let named: Vec<(RecordId, Option<String>)> = records.into_iter().map(|record| (record, None)).collect();
        let (database, events) = (self.shared.parts.database.as_ref(), self.own(name::EVENT)?);
        let (tables, states) = (&self.built.tables, &self.built.states);
        let read = || load::records_named(database, tables, &events, named.clone(), states);
        let loaded = read_again(&self.shared, read).await?;
        self.built.states.extend(loaded);
        Ok(())
    }

    /// The intents of the shares that are decided here, and how.
    async fn known(&self, shares: &[Share]) -> Result<BTreeMap<String, Had>, NodeError> {
        let table = self.own(name::INTENT)?;
        let ids: Vec<Cell> =
            shares.iter().filter_map(Share::intent).map(|intent| Cell::Text(intent.to_string())).collect();
        let database = self.shared.parts.database.as_ref();
        let rows = read_again(&self.shared, || database.select(&table, "intent_id", &ids)).await?;
        let found = rows.iter().filter_map(|row| {
            let id = cell(&table, row, "intent_id").and_then(Cell::as_str)?;
            let stored = cell(&table, row, "outcome").and_then(Cell::as_bytes)?;
            let (intent, leaf) = (Digest::parse(id).ok()?, Outcome::stored_leaf_hash(stored)?);
            Some((id.to_owned(), Had { intent, leaf, position: None }))
        });
        // What a batch in flight holds is decided, too, though the database does not say so yet.
        Ok(found.chain(self.built.arrived.clone()).collect())
    }

    async fn compare(
        &mut self,
        from: &str,
        shares: Arc<Vec<Share>>,
        known: BTreeMap<String, Had>,
    ) -> Result<Compared, NodeError> {
        let (shared, directory) = (self.shared.clone(), self.built.directory.clone());
        let (disputes, from) = (self.built.ledger.disputes.clone(), from.to_owned());
        let (states, heard) = (std::mem::take(&mut self.built.states), self.built.heard.clone());
        let running = compute(move || {
            let mut known = known;
            let (taken, arrived, stopped, heard_now) = (Vec::new(), Vec::new(), BTreeSet::new(), Vec::new());
            let mut compared = Compared { taken, arrived, stopped, states, heard: heard_now };
            let mut heard = heard;
            for share in shares.iter() {
                let intent = share.intent().map(|intent| intent.to_string()).unwrap_or_default();
                let log = &share.place.log;
                let taken = match known.get(&intent) {
                    Some(had) => repeated(share, had, &directory),
                    None => match stops(share, &disputes, &shared.name, &compared.stopped) {
                        Some(record) => Taken::Held(record),
                        None => one(&shared, &directory, share, &mut compared, heard.get(log).copied()),
                    },
                };
                if let (Taken::Applied(_), Some(last)) = (&taken, compared.arrived.last()) {
                    known.insert(intent, had(last));
                    let newest = Heard { position: last.place.position, time: last.outcome.time };
                    // What closes a gap is older than what was heard.
                    if heard.get(log).is_none_or(|heard| heard.position < newest.position) {
                        heard.insert(log.clone(), newest);
                        compared.heard.push((log.clone(), newest));
                    }
                }
                compared.taken.push(judged(taken, &from, share, &disputes, &shared.name, &mut compared.stopped));
            }
            compared
        });
        running.await.map_err(NodeError::Broken)
    }
}

/// The record of a share that stops for another reason than what this node says of the share itself.
fn stops(share: &Share, disputes: &Disputes, own: &NodeName, stopped: &BTreeSet<RecordId>) -> Option<RecordId> {
    let (log, position) = (&share.place.log, share.place.position);
    let stops = |record: &RecordId| stopped.contains(record) || disputes.holds_besides(record, own, log, position);
    records_of(share).into_iter().find(stops)
}

/// What an answer means for what this node has said, and for what comes behind the share.
fn judged(
    taken: Taken,
    from: &str,
    share: &Share,
    disputes: &Disputes,
    own: &NodeName,
    stopped: &mut BTreeSet<RecordId>,
) -> Taken {
    match taken {
        Taken::Applied(level) if !disputes.open_at(own, &share.place.log, share.place.position).is_empty() => {
            Taken::Settled(level)
        }
        Taken::Objected(objection) => {
            if answers_for(from, share, &objection) {
                stopped.extend(records_of(share));
            }
            Taken::Objected(objection)
        }
        taken => taken,
    }
}

fn had(arrived: &Arrived) -> Had {
    let Arrived { outcome, place, .. } = arrived;
    Had { intent: outcome.intent, leaf: leaf_hash(&outcome.leaf()), position: Some(place.position) }
}

/// A share of an intent that is decided here: the same again, or a second end of it.
fn repeated(share: &Share, had: &Had, directory: &Directory) -> Taken {
    match again(share, had, directory) {
        Again::Same => Taken::Repeated,
        Again::Other(objection) => Taken::Objected(objection),
        Again::Refuse(what) => Taken::Refused(what),
    }
}

fn one(shared: &Shared, directory: &Directory, share: &Share, compared: &mut Compared, heard: Option<Heard>) -> Taken {
    let viewer = Viewer { participants: directory.stands_for(shared.name.as_str()) };
    let comparing = Comparing {
        directory,
        directories: &shared.past,
        viewer: &viewer,
        states: &compared.states,
        packages: &shared.packages,
        engine: shared.parts.engine.as_ref(),
        limits: shared.config.limits.times(GENEROSITY),
        now: shared.parts.clock.now(),
        tolerance: CLOCK_TOLERANCE,
        heard,
        believed: compared.arrived.last().map(|arrived| &arrived.place),
    };
    match compare(share, &comparing) {
        Comparison::Apply(arrived) => {
            for event in &arrived.events {
                compared.states.insert(event.header.record.clone(), Some(event.after.clone()));
            }
            let level = arrived.level;
            compared.arrived.push(*arrived);
            Taken::Applied(level)
        }
        Comparison::Wait(wait) => Taken::Waits(wait),
        Comparison::Object(objection) => Taken::Objected(objection),
        Comparison::Refuse(what) => Taken::Refused(what),
    }
}
