//! The objections that a node has stored, as far as its decisions depend on them: which records are held, which
//! objection is there already, how many there are of whom.
//!
//! It goes along with the log, leaf by leaf, so that the commit path and the audit know the same at the same place.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::Digest;
use crate::names::{NodeName, RecordId};
use crate::sync::{Complaint, Statement};

/// Why a record stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody objects to what its sequencer did.
    Disputed,
    /// The database refuses what comes next.
    Blocked,
}

/// One objection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dispute {
    statement: Statement,
    holds: bool,
    open: bool,
}

/// What is disputed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disputes {
    known: BTreeMap<Digest, Dispute>,
    held: BTreeMap<RecordId, BTreeSet<Digest>>,
    count: u64,
}

impl Disputes {
    /// Whether this statement is here.
    #[must_use]
    pub fn knows(&self, id: &Digest) -> bool {
        self.known.contains_key(id)
    }

    /// Whether its node has said the same already, and not withdrawn it.
    #[must_use]
    pub fn has(&self, statement: &Statement) -> bool {
        if statement.withdraws.is_some() {
            return false;
        }
        self.known.values().filter(|known| known.open).any(|Dispute { statement: known, .. }| {
            (&known.node, known.complaint, &known.log) == (&statement.node, statement.complaint, &statement.log)
                && (known.position, &known.record) == (statement.position, &statement.record)
        })
    }

    /// Statements of a node, about one log or all.
    #[must_use]
    pub fn count_of(&self, node: &NodeName, log: Option<&str>) -> usize {
        let of = |known: &&Statement| known.node == *node && log.is_none_or(|log| known.log == log);
        self.known.values().map(|known| &known.statement).filter(of).count()
    }

    /// Statements in all, those included whose row is lost.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Why a record stops, where it does.
    #[must_use]
    pub fn stop(&self, record: &RecordId) -> Option<Stop> {
        let held = self.held.get(record)?;
        let blocked = |id: &Digest| self.statement(id).is_some_and(|known| known.complaint == Complaint::Blocked);
        Some(if held.iter().all(blocked) { Stop::Blocked } else { Stop::Disputed })
    }

    /// Whether a record stops: somebody proved that it has two histories, or this node objects to what comes next.
    #[must_use]
    pub fn holds(&self, record: &RecordId) -> bool {
        self.held.contains_key(record)
    }

    /// Whether a record stops for another reason than what this node says of the outcome at this place.
    #[must_use]
    pub fn holds_besides(&self, record: &RecordId, node: &NodeName, log: &str, position: u64) -> bool {
        let Some(held) = self.held.get(record) else { return false };
        let here = self.open_at(node, log, position);
        held.iter().any(|id| !here.contains(id))
    }

    /// The objections of a node to the outcome at this place that may turn out wrong; two histories never do.
    #[must_use]
    pub fn open_at(&self, node: &NodeName, log: &str, position: u64) -> Vec<Digest> {
        let here = self.known.iter().filter(|(_, Dispute { statement: known, open, .. })| {
            *open
                && known.complaint != Complaint::Fork
                && (&known.node, known.log.as_str(), known.position) == (node, log, Some(position))
        });
        here.map(|(id, _)| *id).collect()
    }

    /// Whether a statement may end this objection: it is its own node's, open, and no proof of two histories.
    #[must_use]
    pub fn may_withdraw(&self, id: &Digest, node: &NodeName) -> bool {
        let ends = |known: &Dispute| {
            known.open && known.statement.node == *node && known.statement.complaint != Complaint::Fork
        };
        self.known.get(id).is_some_and(ends)
    }

    /// What an objection says.
    #[must_use]
    pub fn statement(&self, id: &Digest) -> Option<&Statement> {
        self.known.get(id).map(|known| &known.statement)
    }

    /// Adds a statement; `holds` is whether its record stops.
    pub fn add(&mut self, id: Digest, statement: &Statement, holds: bool) {
        self.count += 1;
        if let Some(withdrawn) = statement.withdraws {
            self.withdraw(&withdrawn);
        }
        if let Some(record) = statement.record.as_ref().filter(|_| holds) {
            self.held.entry(record.clone()).or_default().insert(id);
        }
        let (statement, open) = (statement.clone(), statement.withdraws.is_none());
        self.known.insert(id, Dispute { statement, holds, open });
    }

    /// Counts a statement of which only the leaf is left.
    pub(crate) fn add_lost(&mut self) {
        self.count += 1;
    }

    fn withdraw(&mut self, id: &Digest) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.open = false;
        let Some(record) = known.statement.record.as_ref().filter(|_| known.holds) else { return };
        if let Some(held) = self.held.get_mut(record) {
            held.remove(id);
            if held.is_empty() {
                self.held.remove(record);
            }
        }
    }
}
