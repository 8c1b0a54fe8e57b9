//! Objections that go round: this node's own, and proofs of forks whoever found them, to all who follow the record.
//!
//! Each connection begins with all of them, and goes on with what is new; who has one already passes it over.

use std::collections::BTreeMap;

use lockstep_core::crypto::Digest;
use lockstep_core::names::RecordId;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::record::States;
use lockstep_core::sync::{Complaint, Exhibit, Fork, Message, Seen, Share, Statement, Viewer};
use lockstep_core::tables::{Role, Table, name};

use super::session::{Ended, Session};
use crate::exhibit::note_of;
use crate::load::records_named;
use crate::objections::Kept;
use crate::open::NodeError;
use crate::submit::SubmitError;

impl Session {
    /// Tells the peer what it may know and was not told on this connection; how many were looked at.
    pub(super) async fn tell_objections(&self, told: usize, viewer: &Viewer) -> Result<usize, Ended> {
        let new = self.node.shared().objections.after(told);
        if new.is_empty() {
            return Ok(told);
        }
        let tellable: Vec<_> = new.iter().filter(|kept| self.is_ours(kept)).collect();
        let records = tellable.iter().filter_map(|kept| kept.signed.statement.record.clone());
        let states = self.states(records.collect()).await.map_err(|error| Ended::Own(error.to_string()))?;
        for kept in tellable {
            if self.concerns(kept, viewer, &states) {
                let (envelope, evidence) = (kept.signed.stored(), kept.proof.clone());
                self.send(Message::Objection { envelope, evidence }).await?;
            }
        }
        Ok(told + new.len())
    }

    /// Whether this node answers for it: it said so itself, or it proves itself. What the peer said it knows.
    fn is_ours(&self, kept: &Kept) -> bool {
        let statement = &kept.signed.statement;
        let (node, blocked) = (statement.node.as_str(), statement.complaint == Complaint::Blocked);
        !blocked && node != self.peer && (node == self.node.name().as_str() || kept.proof.is_some())
    }

    async fn states(&self, records: Vec<RecordId>) -> Result<States, NodeError> {
        let tables = self.node.directory().record_tables().into_iter().filter(|table| table.role == Role::Records);
        let tables: BTreeMap<String, Table> = tables.map(|table| (table.name.clone(), table)).collect();
        let own = own_tables_by_name();
        let Some(events) = own.get(name::EVENT) else { return Ok(States::new()) };
        let named = records.into_iter().map(|record| (record, None)).collect();
        records_named(self.node.database(), &tables, events, named, &States::new()).await
    }

    /// Whether it is for the peer: the sequencer, and whoever follows the record; of two heads of one log, everybody.
    fn concerns(&self, kept: &Kept, viewer: &Viewer, states: &States) -> bool {
        let statement: &Statement = &kept.signed.statement;
        let Some(record) = &statement.record else {
            let heads = kept.proof.is_some() && statement.position.is_none();
            return heads || statement.sequencer() == self.peer;
        };
        let state = states.get(record).and_then(Option::as_ref);
        let directory = self.node.directory();
        let entry = state.and_then(|state| directory.specs().get(&state.spec_digest));
        let follows = entry.zip(state).is_some_and(|(entry, state)| {
            let seen = Seen { spec: &entry.spec, parties: &state.parties() };
            viewer.follows(seen, statement.event.map_or(state.seq, |(_, seq, _)| seq))
        });
        follows || statement.sequencer() == self.peer
    }

    /// Takes what the peer hands over; what counts for nothing counts against it.
    pub(super) async fn objection(&self, envelope: Vec<u8>, evidence: Option<Vec<u8>>) {
        let before = self.node.shared().objections.after(0).len();
        match self.node.take_objection(envelope, evidence).await {
            Ok(()) => {
                for kept in self.node.shared().objections.after(before) {
                    self.node.notice(&told(kept.as_ref()));
                }
            }
            Err(SubmitError::Refused(refusal)) => {
                let what = refusal.to_string();
                self.network.peer(&self.peer, |peer| (peer.refused, peer.last_error) = (peer.refused + 1, Some(what)));
            }
            Err(error) => self.node.notice(&format!("an objection of {} is not stored: {error}", self.peer)),
        }
    }

    /// Objects to what two shares show of one log, each with the event that it is about.
    pub(super) async fn object_to(&self, first: &Share, second: &Share, events: [&Digest; 2]) {
        let [own, other] = events;
        let exhibits = Exhibit::of_share(first, Some(own)).ok().zip(Exhibit::of_share(second, Some(other)).ok());
        if let Some((first, second)) = exhibits {
            self.forked(Fork { first, second }).await;
        }
    }

    /// Objects to two heads of one size; this node's is looked up.
    pub(super) async fn object_to_heads(&self, log: &str, size: u64, note: String) {
        let own = own_tables_by_name();
        let Some(feed) = own.get(name::FEED) else { return };
        let Some(first) = note_of(self.node.database(), feed, log, size).await else { return };
        let [first, second] = [first, note].map(|note| Exhibit { note, leaf: None });
        self.forked(Fork { first, second }).await;
    }

    async fn forked(&self, fork: Fork) {
        if let Err(error) = self.node.object_to_fork(fork).await {
            self.node.notice(&format!("a fork is not stored: {error}"));
        }
    }
}

/// An objection that came in, for the operator.
fn told(kept: &Kept) -> String {
    let statement = &kept.signed.statement;
    let record = statement.record.as_ref().map_or(String::new(), |record| format!(" about {record}"));
    let what = kept.message.as_deref().unwrap_or(statement.complaint.as_str());
    let verb = if statement.withdraws.is_some() { "withdraws its objection to" } else { "objects to" };
    format!("{} {verb} {}{record}: {what}", statement.node, statement.log)
}
