//! What other nodes sequenced, passed by on the way through this node's own log: it is not fed on. All that is said of
//! it is the last event of each record, so no more of it is read than that takes.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::event::Header;
use lockstep_core::json::Json;
use lockstep_core::names::RecordId;
use lockstep_core::sync::{HeadAt, Viewer};
use lockstep_core::tables::{Cell, Row, name};

use super::loaded::parties;
use super::{AT_ONCE, Shelf, damaged, seen, text};
use crate::load::cell;
use crate::open::NodeError;

/// Outcomes of others among some rows.
#[derive(Default)]
pub(super) struct Passed {
    /// The signed heads that they came with, by intent.
    notes: BTreeMap<String, String>,
}

impl Passed {
    /// Those of some intents, by id, that other nodes sequenced.
    pub(super) async fn among(shelf: &Shelf<'_>, ids: &[Cell]) -> Result<Self, NodeError> {
        let feed = shelf.table(name::FEED)?.only(&["intent_id", "note"]);
        let found = shelf.database.select(&feed, "intent_id", ids).await?;
        let note = |row: &Row| (text(&feed, row, "intent_id").to_owned(), text(&feed, row, "note").to_owned());
        Ok(Passed { notes: found.iter().map(note).collect() })
    }

    pub(super) fn has(&self, intent: &Cell) -> bool {
        intent.as_str().is_some_and(|id| self.notes.contains_key(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// Their events of records that the viewer follows, each with the signed head that it came with.
    pub(super) async fn heads(&self, shelf: &Shelf<'_>, viewer: &Viewer) -> Result<Vec<(HeadAt, String)>, NodeError> {
        if self.notes.is_empty() {
            return Ok(Vec::new());
        }
        let events = shelf.table(name::EVENT)?.only(&["intent_id", "header"]);
        let ids: Vec<Cell> = self.notes.keys().map(|id| Cell::Text(id.clone())).collect();
        let mut found = Vec::new();
        for row in shelf.database.select(&events, "intent_id", &ids).await? {
            let stored = cell(&events, &row, "header").and_then(Cell::as_bytes).unwrap_or_default();
            let note = self.notes.get(text(&events, &row, "intent_id")).cloned().unwrap_or_default();
            found.push((Header::read(stored).map_err(damaged)?, note));
        }
        let records: BTreeSet<RecordId> = found.iter().map(|(header, _)| header.record.clone()).collect();
        let parties = read_parties(shelf, records).await?;
        let followed = found.into_iter().filter(|(header, _)| {
            let known = shelf.directory.specs().get(&header.spec).zip(parties.get(&header.record));
            known.is_some_and(|(entry, parties)| viewer.follows(seen(entry, parties), header.seq))
        });
        let head = |(header, note): (Header, String)| {
            let event = header.id();
            (HeadAt { record: header.record, epoch: header.epoch, seq: header.seq, event }, note)
        };
        Ok(followed.map(head).collect())
    }
}

impl Shelf<'_> {
    /// Those of these heads that are no events here, at that place of that record.
    pub(crate) async fn missing(&self, heads: &[HeadAt]) -> Result<Vec<HeadAt>, NodeError> {
        let events = self.table(name::EVENT)?.only(&["event_id", "record_id", "epoch", "seq"]);
        let mut missing = Vec::new();
        for asked in heads.chunks(AT_ONCE) {
            let ids: Vec<Cell> = asked.iter().map(|head| Cell::Text(head.event.to_string())).collect();
            let rows = self.database.select(&events, "event_id", &ids).await?;
            let place = |row: &Row| {
                let number = |column| cell(&events, row, column).and_then(Cell::as_count);
                let [event, record] = ["event_id", "record_id"].map(|column| text(&events, row, column).to_owned());
                (event, record, number("epoch"), number("seq"))
            };
            let here: BTreeSet<_> = rows.iter().map(place).collect();
            let known = |head: &&HeadAt| {
                let (event, record) = (head.event.to_string(), head.record.to_string());
                here.contains(&(event, record, Some(head.epoch), Some(head.seq)))
            };
            missing.extend(asked.iter().filter(|head| !known(head)).cloned());
        }
        Ok(missing)
    }
}

/// The parties of records as they stand.
async fn read_parties(shelf: &Shelf<'_>, records: BTreeSet<RecordId>) -> Result<BTreeMap<RecordId, Json>, NodeError> {
    let ids: Vec<Cell> = records.iter().map(|record| Cell::Text(record.to_string())).collect();
    let mut found = BTreeMap::new();
    for table in shelf.records.values() {
        let table = table.only(&["record_id", "parties"]);
        for row in shelf.database.select(&table, "record_id", &ids).await? {
            let record = RecordId::parse(text(&table, &row, "record_id")).map_err(damaged)?;
            found.insert(record, parties(cell(&table, &row, "parties"))?);
        }
    }
    Ok(found)
}
