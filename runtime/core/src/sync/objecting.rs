//! Making objections of what `compare` and a fork say, and taking those of others.

use crate::crypto::Digest;
use crate::directory::Directory;
use crate::event::Header;
use crate::names::{NodeName, RecordId};
use crate::outcome::Outcome;
use crate::time::Timestamp;

use super::compare::{Complaint, Objection};
use super::fork::Forked;
use super::objection::{Evidence, SignedObjection, Statement};
use super::share::Share;

/// Who objects, and when.
#[derive(Clone, Debug)]
pub struct Objecting {
    /// The network.
    pub network: Digest,
    /// Who objects.
    pub node: NodeName,
    /// When.
    pub time: Timestamp,
    /// Digest of the evidence as it is stored.
    pub evidence: Digest,
}

impl Objecting {
    /// What to say about a share: one statement for each record concerned, since who reads about one need not know of
    /// the others.
    #[must_use]
    pub fn to_share(&self, share: &Share, objection: &Objection) -> Vec<Statement> {
        let about = Statement {
            complaint: objection.complaint,
            position: Some(share.place.position),
            intent: share.intent(),
            ..self.nothing(&share.place.log)
        };
        let events = concerned(share);
        let named = objection.record.as_ref().filter(|record| record.node().as_str() == about.sequencer());
        let alone = named.filter(|record| !events.iter().any(|(known, _)| known == *record));
        let mut all: Vec<Statement> = events
            .into_iter()
            .map(|(record, event)| Statement { record: Some(record), event: Some(event), ..about.clone() })
            .collect();
        all.extend(alone.map(|record| Statement { record: Some(record.clone()), ..about.clone() }));
        if all.is_empty() { vec![about] } else { all }
    }

    /// What to say about two histories of one log.
    #[must_use]
    pub fn to_fork(&self, forked: &Forked) -> Statement {
        let event = forked.event.as_ref();
        Statement {
            complaint: Complaint::Fork,
            position: forked.position,
            intent: forked.intent,
            record: event.map(|event| event.record.clone()),
            event: event.map(|event| (event.epoch, event.seq, event.event)),
            ..self.nothing(&forked.log)
        }
    }

    fn nothing(&self, log: &str) -> Statement {
        Statement {
            network: self.network,
            node: self.node.clone(),
            time: self.time,
            complaint: Complaint::Chain,
            log: log.to_owned(),
            position: None,
            intent: None,
            record: None,
            event: None,
            evidence: Some(self.evidence),
            withdraws: None,
        }
    }
}

impl Statement {
    /// The end of an objection: what was wrong is found to be right.
    #[must_use]
    pub fn withdrawn(&self, id: Digest, time: Timestamp) -> Self {
        Statement { time, evidence: None, withdraws: Some(id), ..self.clone() }
    }
}

type EventAt = (u64, u64, Digest);

/// The records that a share has events of; a node speaks for its own records only.
fn concerned(share: &Share) -> Vec<(RecordId, EventAt)> {
    let outcome = Outcome::read(&share.outcome).ok();
    let sequencer = share.place.log.split('/').next().unwrap_or_default();
    let headers = share.events.iter().filter_map(|event| Header::read(&event.header).ok());
    let own = headers.filter(|header| {
        let shown = outcome.as_ref().is_some_and(|outcome| outcome.events.contains(&header.id()));
        shown && header.record.node().as_str() == sequencer
    });
    own.map(|header| (header.record.clone(), (header.epoch, header.seq, header.id()))).collect()
}

/// The records that a share has events of, as far as it says so.
#[must_use]
pub fn records_of(share: &Share) -> Vec<RecordId> {
    share.events.iter().filter_map(|event| Header::read(&event.header).ok()).map(|header| header.record).collect()
}

/// Reads an objection that another node handed over, whoever signed it, with the proof that comes with a fork.
///
/// # Errors
/// Why it counts for nothing, for people; then it counts against whoever handed it over.
pub fn objected(
    envelope: &[u8],
    evidence: Option<&[u8]>,
    directory: &Directory,
    latest: Timestamp,
) -> Result<(SignedObjection, Option<Evidence>), String> {
    let signed = SignedObjection::read(envelope)?;
    let statement = &signed.statement;
    if statement.network != directory.network() {
        return Err(format!("the objection is of network {}", statement.network));
    }
    let key = directory.nodes().get(statement.node.as_str()).map(|node| node.key);
    if !key.is_some_and(|key| signed.verified_by(&key)) {
        return Err(format!("the objection is not signed by node {}", statement.node));
    }
    if !directory.nodes().contains_key(statement.sequencer()) || statement.sequencer() == statement.node.as_str() {
        return Err(format!("{} is no log of another node", statement.log));
    }
    if statement.complaint == Complaint::Blocked {
        return Err("what a node's own database refuses is nobody else's matter".to_owned());
    }
    if statement.record.as_ref().is_some_and(|record| record.node().as_str() != statement.sequencer()) {
        return Err(format!("its record is not of the node whose log {} is", statement.log));
    }
    if statement.time > latest {
        return Err(format!("the objection is of {}, which is to come", statement.time));
    }
    let evidence = evidence_of(statement, evidence, directory)?;
    Ok((signed, evidence))
}

/// A fork comes with its proof, and the statement says what that proves; anything else is its node's word.
fn evidence_of(
    statement: &Statement,
    evidence: Option<&[u8]>,
    directory: &Directory,
) -> Result<Option<Evidence>, String> {
    let proof = statement.complaint == Complaint::Fork;
    let Some(stored) = evidence else {
        return if proof { Err("a fork comes with its proof".to_owned()) } else { Ok(None) };
    };
    if !proof || statement.evidence != Some(Digest::of(stored)) {
        return Err("it comes with other evidence than was signed".to_owned());
    }
    let evidence = Evidence::read(stored)?;
    let Evidence::Fork(fork) = &evidence else { return Err("a fork comes with its proof".to_owned()) };
    let forked = fork.check(directory)?;
    let event = forked.event.as_ref();
    let proven = (forked.log.as_str(), forked.position, forked.intent, event.map(|event| &event.record));
    let at = event.map(|event| (event.epoch, event.seq, event.event));
    let said = (statement.log.as_str(), statement.position, statement.intent, statement.record.as_ref());
    if proven != said || at != statement.event {
        return Err("the proof is of something else than the objection says".to_owned());
    }
    Ok(Some(evidence))
}
