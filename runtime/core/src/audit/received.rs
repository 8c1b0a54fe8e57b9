//! What was received from other nodes: the leaf of its receipt, and the proof that it stands in the other's log.

use std::collections::HashMap;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::log::{Checkpoint, leaf_hash};
use crate::names::NodeName;
use crate::outcome::{LeafFacts, Outcome};
use crate::project::{Projection, origin};
use crate::received::{Place, Received, read_path};
use crate::tables::{Cell, Row, name};

use super::derive::Walk;
use super::found::Tables;
use super::leaves::OutcomeFound;
use super::words::{finding, place};

/// A row of `lockstep_feed`.
#[derive(Clone)]
pub(super) struct Receipt {
    pub(super) row: usize,
    /// What its leaf says, where it can be read.
    pub(super) received: Option<Received>,
    /// Hash of its leaf.
    pub(super) hash: Digest,
    /// The log that the row names beside the leaf.
    pub(super) told_log: Option<String>,
}

/// The receipts by the intent that their row names, by the one that their leaf names, and by their leaf's hash.
#[derive(Default)]
pub(super) struct Receipts {
    by_intent: HashMap<String, Receipt>,
    by_hash: HashMap<Digest, Receipt>,
}

/// A receipt on its way through the audit.
pub(super) struct Arrival {
    pub(super) receipt: Receipt,
    /// What its leaf says, where the log has that leaf.
    pub(super) trusted: Option<Received>,
}

impl Arrival {
    /// The log that it says the outcome comes from, and the node whose log that is.
    pub(super) fn log(&self) -> Option<(&str, NodeName)> {
        let said = self.trusted.as_ref().or(self.receipt.received.as_ref()).map(|received| received.log.as_str());
        let log = said.or(self.receipt.told_log.as_deref())?;
        Some((log, NodeName::parse(log.split('/').next()?).ok()?))
    }
}

/// What is known of an outcome: itself, what its leaf alone says, and what is wrong with it.
pub(super) type Known<'a> = (Option<&'a Outcome>, Option<&'a LeafFacts>, Option<String>);

impl Receipts {
    pub(super) fn read(tables: &Tables) -> Self {
        let rows = tables.get(name::FEED);
        let mut receipts = Receipts::default();
        for row in rows.indexes() {
            let stored = rows.bytes(row, "leaf");
            let told_log = rows.text(row, "log").map(str::to_owned);
            let receipt = Receipt { row, received: Received::read(stored).ok(), hash: leaf_hash(stored), told_log };
            if let Some(received) = &receipt.received {
                receipts.by_intent.entry(received.intent.to_string()).or_insert_with(|| receipt.clone());
            }
            if let Some(intent) = rows.text(row, "intent_id") {
                receipts.by_intent.insert(intent.to_owned(), receipt.clone());
            }
            receipts.by_hash.insert(receipt.hash, receipt);
        }
        receipts
    }

    /// The receipt of an intent.
    pub(super) fn of(&self, intent: Option<&str>) -> Option<&Receipt> {
        self.by_intent.get(intent?)
    }

    /// The receipt with this leaf.
    pub(super) fn with_leaf(&self, hash: &Digest) -> Option<&Receipt> {
        self.by_hash.get(hash)
    }
}

impl Walk<'_> {
    /// What a receipt and the intent's row say of the outcome.
    pub(super) fn arrival<'a>(
        &mut self,
        tables: &Tables,
        receipt: &Receipt,
        found: Option<&'a OutcomeFound>,
        row: Option<usize>,
        hash: &Digest,
    ) -> (Known<'a>, Arrival) {
        let trusted = receipt.received.clone().filter(|_| receipt.hash == *hash);
        if trusted.is_none() {
            self.broken_receipt(tables, receipt.row, "leaf", "its leaf is not the one in the log");
        }
        let stored = row.map(|row| Digest::of(tables.get(name::INTENT).bytes(row, "outcome")));
        let altered = trusted.as_ref().is_some_and(|received| stored.is_some_and(|stored| stored != received.outcome));
        let known = match found {
            None => (None, None, None),
            Some(_) if altered => (None, None, Some("it is not the outcome that was received".to_owned())),
            Some(found) => (found.outcome.as_ref(), found.facts.as_ref(), found.problem.clone()),
        };
        (known, Arrival { receipt: receipt.clone(), trusted })
    }

    /// Derives the rows of a received outcome, and checks the proof beside it.
    pub(super) fn receive(&mut self, tables: &Tables, arrival: &Arrival, id: Digest, outcome: &Outcome) -> Row {
        let feed = tables.get(name::FEED);
        let row = arrival.receipt.row;
        let received = arrival.trusted.as_ref();
        if let Some((received, problem)) =
            received.and_then(|received| Some((received, self.unproven(tables, row, received)?)))
        {
            debug_assert_eq!(received.network, outcome.network, "a trusted leaf is of this network");
            let (column, problem) = problem;
            self.broken_receipt(tables, row, column, &problem);
        }
        let told = |column: &str| feed.cell(row, column).clone();
        vec![
            Cell::Text(id.to_string()),
            received.map_or_else(|| told("log"), |received| Cell::Text(received.log.clone())),
            received.map_or_else(|| told("position"), |received| Cell::count(received.position)),
            told("leaf"),
            told("path"),
            told("note"),
        ]
    }

    /// Why note or path do not prove what the leaf says: the column and the problem.
    fn unproven(&self, tables: &Tables, row: usize, received: &Received) -> Option<(&'static str, String)> {
        let feed = tables.get(name::FEED);
        let node = received.log.split('/').next().unwrap_or_default();
        let key = self.agreed.directory.nodes().get(node).map(|node| node.key);
        let Some(key) = key else { return Some(("note", format!("nobody knows the key of node {node}"))) };
        let note = feed.text(row, "note").unwrap_or_default();
        let head = match Checkpoint::verify(note, &origin(&self.network, &received.log), &key) {
            Err(error) => return Some(("note", error.to_string())),
            Ok(head) => head,
        };
        if (head.size, head.root) != (received.size, received.root) {
            return Some(("note", format!("it is the signed head of size {}, not of {}", head.size, received.size)));
        }
        let path = read_path(feed.bytes(row, "path"));
        let (log, position, note) = (received.log.clone(), received.position, note.to_owned());
        let place = path.map(|path| Place { log, position, path, note, size: head.size, root: head.root });
        let proven = place.is_some_and(|place| place.proves(&received.leaf));
        (!proven).then(|| ("path", "it does not lead from the outcome's leaf to the root of the note".to_owned()))
    }

    fn broken_receipt(&mut self, tables: &Tables, row: usize, column: &str, problem: &str) {
        let key = tables.get(name::FEED).key_of(row);
        self.broken_evidence(tables, name::FEED, row, key, column, problem);
    }

    /// An outcome of another node without the receipt that tells where it comes from.
    pub(super) fn missing_receipt(&mut self, tables: &Tables, id: &Digest) {
        let table = tables.get(name::FEED).table.clone();
        let key = [Cell::Text(id.to_string())];
        let message = format!(
            "{}: the row that proves where intent {id} was sequenced is missing; it was deleted",
            place(&table, &key, None)
        );
        self.comparison.findings.push(finding(Code::RowMissing, &table, &key, None, None, None, message));
    }

    /// Adds the rows of a received outcome to the batch.
    pub(super) fn project_received(
        &mut self,
        projection: &mut Projection,
        tables: &Tables,
        arrival: &Arrival,
        hash: Digest,
        decided: (&crate::intent::VerifiedIntent, &Outcome, &[crate::seal::SealedEvent]),
    ) {
        let (intent, outcome, events) = decided;
        let feed = self.receive(tables, arrival, intent.id(), outcome);
        projection.received_at(hash, intent, outcome, events, &self.agreed.directory, feed);
    }
}
