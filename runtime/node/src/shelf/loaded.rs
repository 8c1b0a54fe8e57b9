//! What shares of some outcomes are made of, read with few questions, however many outcomes there are.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::crypto::Digest;
use lockstep_core::directory::Directory;
use lockstep_core::event::Header;
use lockstep_core::intent::StoredIntent;
use lockstep_core::json::{Json, Limits};
use lockstep_core::log::Checkpoint;
use lockstep_core::names::RecordId;
use lockstep_core::outcome::Outcome;
use lockstep_core::received::{Place, read_path};
use lockstep_core::sync::Seen;
use lockstep_core::tables::{Cell, Row, name};

use super::{Shelf, Stored, count, damaged, seen, text};
use crate::load::cell;
use crate::open::NodeError;
use crate::proofs::Proofs;

/// A record as it stands, as far as who may see it depends on it.
pub(super) struct Now {
    pub(super) parties: Json,
    /// The spec of its last event.
    spec: Digest,
}

/// One row of `lockstep_intent`.
struct Outline {
    id: String,
    position: u64,
    size: u64,
    outcome: Outcome,
    intent: StoredIntent,
}

/// All that shares of some rows are made of.
#[derive(Default)]
pub(super) struct Loaded {
    rows: Vec<Outline>,
    events: BTreeMap<Digest, Stored>,
    /// Of the events before those, and of the last ones of the records.
    headers: BTreeMap<Digest, Header>,
    records: BTreeMap<RecordId, Now>,
    /// Where outcomes of others stand in their logs, by intent.
    received: BTreeMap<String, Place>,
    /// Where this node's own stand, by position.
    own: BTreeMap<u64, Place>,
}

impl Loaded {
    pub(super) async fn read(shelf: &Shelf<'_>, log: &str, rows: &[Row]) -> Result<Self, NodeError> {
        let mut loaded = Loaded::default();
        if rows.is_empty() {
            return Ok(loaded);
        }
        for row in rows {
            loaded.rows.push(outline(shelf, row)?);
        }
        loaded.read_events(shelf).await?;
        loaded.read_records(shelf).await?;
        loaded.read_received(shelf).await?;
        loaded.read_own(shelf, log).await?;
        Ok(loaded)
    }

    async fn read_events(&mut self, shelf: &Shelf<'_>) -> Result<(), NodeError> {
        let ids: Vec<String> =
            self.rows.iter().flat_map(|row| row.outcome.events.iter().map(ToString::to_string)).collect();
        let stored = shelf.stored(ids).await?;
        self.events = stored.into_iter().map(|event| (event.header.id(), event)).collect();
        let befores = self.events.values().filter_map(|event| event.header.prev);
        let befores: BTreeSet<Digest> = befores.filter(|prev| !self.events.contains_key(prev)).collect();
        self.read_headers(shelf, befores).await
    }

    async fn read_headers(&mut self, shelf: &Shelf<'_>, ids: BTreeSet<Digest>) -> Result<(), NodeError> {
        if ids.is_empty() {
            return Ok(());
        }
        let events = shelf.table(name::EVENT)?.only(&["header"]);
        let ids: Vec<Cell> = ids.into_iter().map(|id| Cell::Text(id.to_string())).collect();
        for row in shelf.database.select(&events, "event_id", &ids).await? {
            let stored = cell(&events, &row, "header").and_then(Cell::as_bytes).unwrap_or_default();
            let header = Header::read(stored).map_err(damaged)?;
            self.headers.insert(header.id(), header);
        }
        Ok(())
    }

    /// The parties of all records that are named or changed: their other sections stay where they are.
    async fn read_records(&mut self, shelf: &Shelf<'_>) -> Result<(), NodeError> {
        let named = self.rows.iter().flat_map(|row| row.intent.targets().map(|target| &target.record));
        let changed = self.events.values().map(|event| &event.header.record);
        let records: BTreeSet<&RecordId> = named.chain(changed).collect();
        let records: Vec<Cell> = records.into_iter().map(|record| Cell::Text(record.to_string())).collect();
        let mut found = Vec::new();
        for table in shelf.records.values() {
            let table = table.only(&["record_id", "parties", "lockstep_head"]);
            for row in shelf.database.select(&table, "record_id", &records).await? {
                let record = RecordId::parse(text(&table, &row, "record_id")).map_err(damaged)?;
                let head = Digest::parse(text(&table, &row, "lockstep_head")).map_err(damaged)?;
                found.push((record, head, parties(cell(&table, &row, "parties"))?));
            }
        }
        let heads = found.iter().map(|(_, head, _)| *head).filter(|head| self.header(head).is_none()).collect();
        self.read_headers(shelf, heads).await?;
        for (record, head, parties) in found {
            let spec = self.header(&head).map(|header| header.spec);
            let spec = spec.ok_or_else(|| damaged(format!("the last event of {record} is missing")))?;
            self.records.insert(record, Now { parties, spec });
        }
        Ok(())
    }

    async fn read_received(&mut self, shelf: &Shelf<'_>) -> Result<(), NodeError> {
        let feed = shelf.table(name::FEED)?;
        let ids: Vec<Cell> = self.rows.iter().map(|row| Cell::Text(row.id.clone())).collect();
        for row in shelf.database.select(feed, "intent_id", &ids).await? {
            let note = text(feed, &row, "note").to_owned();
            let (head, _) = Checkpoint::parse(&note).map_err(damaged)?;
            let stored = cell(feed, &row, "path").and_then(Cell::as_bytes).unwrap_or_default();
            let place = Place {
                log: text(feed, &row, "log").to_owned(),
                position: count(feed, &row, "position")?,
                path: read_path(stored).ok_or_else(|| damaged("a stored path is no path"))?,
                note,
                size: head.size,
                root: head.root,
            };
            self.received.insert(text(feed, &row, "intent_id").to_owned(), place);
        }
        Ok(())
    }

    /// Where this node's own outcomes stand in its log, each under the first signed head that covers it.
    async fn read_own(&mut self, shelf: &Shelf<'_>, log: &str) -> Result<(), NodeError> {
        let own: Vec<(u64, u64)> = self
            .rows
            .iter()
            .filter(|row| !self.received.contains_key(&row.id))
            .map(|row| (row.position, row.size))
            .collect();
        let sizes: BTreeSet<u64> = own.iter().map(|(_, size)| *size).collect();
        let sizes: Vec<Cell> = sizes.into_iter().map(Cell::count).collect();
        let checkpoints = shelf.table(name::CHECKPOINT)?;
        let mut notes = BTreeMap::new();
        for row in shelf.database.select(checkpoints, "size", &sizes).await? {
            if text(checkpoints, &row, "log") == log {
                let note = text(checkpoints, &row, "note").to_owned();
                let (head, _) = Checkpoint::parse(&note).map_err(damaged)?;
                notes.insert(head.size, (note, head.root));
            }
        }
        let mut proofs = Proofs::of(shelf.database, shelf.table(name::LOG)?, log);
        for (position, size) in own {
            let (note, root) =
                notes.get(&size).cloned().ok_or_else(|| damaged(format!("no checkpoint of size {size}")))?;
            let path = proofs.inclusion(position, size).await?;
            self.own.insert(position, Place { log: log.to_owned(), position, path, note, size, root });
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn position(&self, at: usize) -> u64 {
        self.rows.get(at).map_or(0, |row| row.position)
    }

    pub(super) fn intent(&self, at: usize) -> Option<&StoredIntent> {
        self.rows.get(at).map(|row| &row.intent)
    }

    pub(super) fn outcome(&self, at: usize) -> Option<&Outcome> {
        self.rows.get(at).map(|row| &row.outcome)
    }

    pub(super) fn place(&self, at: usize) -> Option<&Place> {
        let row = self.rows.get(at)?;
        self.received.get(&row.id).or_else(|| self.own.get(&row.position))
    }

    /// The events of an outcome, in its order, as far as they are here.
    pub(super) fn events(&self, outcome: &Outcome) -> Vec<&Stored> {
        outcome.events.iter().filter_map(|event| self.events.get(event)).collect()
    }

    pub(super) fn header(&self, event: &Digest) -> Option<&Header> {
        self.events.get(event).map(|event| &event.header).or_else(|| self.headers.get(event))
    }

    pub(super) fn record(&self, record: &RecordId) -> Option<&Now> {
        self.records.get(record)
    }

    /// The records of an intent that are there, each with the seq that it was judged for.
    pub(super) fn judged<'a>(
        &'a self,
        intent: &StoredIntent,
        outcome: &Outcome,
        events: &[&Stored],
        directory: &'a Directory,
    ) -> Vec<Option<(Seen<'a>, u64)>> {
        let reads = outcome.reasons().map(|reasons| reasons.judged.reads.as_slice()).unwrap_or_default();
        let judged = intent.records.iter().map(|target| {
            let record = &target.as_ref()?.record;
            let event = events.iter().find(|event| event.header.record == *record).map(|event| &event.header);
            let now = self.record(record)?;
            let read = reads.iter().find(|read| read.record == *record).map(|read| read.seq + 1);
            let entry = directory.specs().get(&event.map_or(now.spec, |header| header.spec))?;
            Some((seen(entry, &now.parties), event.map(|header| header.seq).or(read)?))
        });
        judged.collect()
    }
}

fn outline(shelf: &Shelf<'_>, row: &Row) -> Result<Outline, NodeError> {
    let intents = &shelf.intents()?;
    let bytes = |column: &str| cell(intents, row, column).and_then(Cell::as_bytes).unwrap_or_default();
    let id = text(intents, row, "intent_id").to_owned();
    let intent = StoredIntent::read(bytes("envelope"), bytes("openings"));
    Ok(Outline {
        position: count(intents, row, "log_position")?,
        size: count(intents, row, "checkpoint")?,
        outcome: Outcome::read(bytes("outcome")).map_err(damaged)?,
        intent: intent.map_err(|error| damaged(format!("intent {id}: {error:?}")))?,
        id,
    })
}

/// The section as it is stored; nothing where it is hidden.
pub(super) fn parties(stored: Option<&Cell>) -> Result<Json, NodeError> {
    let Some(text) = stored.and_then(Cell::as_str) else { return Ok(Json::Null) };
    let limits = Limits { bytes: text.len().max(1), ..Limits::default() };
    Json::parse(text.as_bytes(), &limits).map_err(|error| damaged(format!("parties: {error}")))
}
