//! What this node holds of outcomes, read back so that others can be given their part.
//!
//! Only reads: which bytes another node may have is decided by `lockstep_core::sync`. What a page needs is read at
//! once (`loaded`), since a feed is as fast as its questions to the database are few.

mod loaded;
mod passed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::event::{EventOpenings, Given, Header};
use lockstep_core::json::Json;
use lockstep_core::names::RecordId;
use lockstep_core::package::Manifest;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::record::{RecordState, States};
use lockstep_core::seal::replay;
use lockstep_core::sync::{End, Growth, HeadAt, Seen, Share, Source, SourceEvent, Viewer, needed_contents, share};
use lockstep_core::tables::{Cell, Role, Row, Table, name};

use crate::load::{cell, records_named};
use crate::open::NodeError;
use crate::proofs::Proofs;

use loaded::Loaded;
use passed::Passed;

/// A page ends after so many bytes of shares: one more must fit into a frame with them.
const PAGE_BYTES: usize = 4 << 20;
/// Outcomes whose evidence is held at once.
const AT_ONCE: usize = 32;

/// A page of the outcomes of this node's log, cut to a viewer's part.
pub(crate) struct Page {
    /// The position after the last outcome looked at.
    pub(crate) next: u64,
    /// What the viewer may have of them.
    pub(crate) shares: Vec<Share>,
    /// The last event here of each record of others that both follow.
    pub(crate) heads: Vec<HeadAt>,
    /// The signed heads of the logs that those come from.
    pub(crate) notes: Vec<String>,
    /// Whether there may be more.
    pub(crate) more: bool,
}

/// The node's database, for whoever wants shares of it.
pub(crate) struct Shelf<'a> {
    database: &'a dyn Database,
    directory: Arc<Directory>,
    own: BTreeMap<String, Arc<Table>>,
    records: BTreeMap<String, Table>,
}

/// Some outcomes of this node's log.
struct Chunk {
    /// Those that it sequenced.
    rows: Vec<Row>,
    passed: Passed,
    /// How many there are of both.
    read: usize,
    /// The position after the last one.
    end: u64,
}

/// An event as it is stored.
struct Stored {
    header: Header,
    openings: EventOpenings,
}

fn damaged(what: impl std::fmt::Display) -> NodeError {
    NodeError::Damaged(what.to_string())
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(database: &'a dyn Database, directory: Arc<Directory>) -> Self {
        let tables = directory.record_tables().into_iter().filter(|table| table.role == Role::Records);
        let records = tables.map(|table| (table.name.clone(), table)).collect();
        Shelf { database, directory, own: own_tables_by_name(), records }
    }

    fn table(&self, name: &str) -> Result<&Table, NodeError> {
        self.own.get(name).map(AsRef::as_ref).ok_or_else(|| damaged(format!("no table {name}")))
    }

    /// The intents' table, as far as shares are made of it.
    fn intents(&self) -> Result<Table, NodeError> {
        let columns = ["intent_id", "log_position", "checkpoint", "envelope", "openings", "outcome"];
        Ok(self.table(name::INTENT)?.only(&columns))
    }

    /// Outcomes of this node's own log from a position on. `known` is the size of the last head of it that the viewer
    /// has, which moves on.
    pub(crate) async fn page(
        &self,
        log: &str,
        from: u64,
        limit: usize,
        viewer: &Viewer,
        known: &mut u64,
    ) -> Result<Page, NodeError> {
        let mut page = Page { next: from, shares: Vec::new(), heads: Vec::new(), notes: Vec::new(), more: true };
        let mut heads: BTreeMap<RecordId, HeadAt> = BTreeMap::new();
        let mut notes: BTreeSet<String> = BTreeSet::new();
        let (mut bytes, mut left) = (0, limit);
        while page.more && left > 0 && bytes <= PAGE_BYTES {
            let count = left.min(AT_ONCE);
            let Chunk { rows, passed, read, end } = self.chunk(page.next, count).await?;
            (page.more, left) = (read == count, left - read);
            for (head, note) in passed.heads(self, viewer).await? {
                notes.insert(note);
                let last = heads.entry(head.record.clone()).or_insert_with(|| head.clone());
                if last.seq < head.seq {
                    *last = head;
                }
            }
            let loaded = Loaded::read(self, log, &rows).await?;
            let mut proofs = Proofs::of(self.database, self.table(name::LOG)?, log);
            let mut done = 0;
            while done < loaded.len() && bytes <= PAGE_BYTES {
                if let Some(mut share) = self.share(&loaded, done, viewer).await? {
                    bytes += share.bytes();
                    share.growth = growth(&mut proofs, known, share.place.size).await?;
                    page.shares.push(share);
                }
                done += 1;
            }
            let whole = done == loaded.len();
            page.more |= !whole;
            page.next = if whole { end } else { loaded.position(done) };
        }
        page.heads = heads.into_values().collect();
        page.notes = notes.into_iter().collect();
        Ok(page)
    }

    /// The next outcomes of this node's log: its own with all that shares are made of, those of others by name.
    async fn chunk(&self, from: u64, count: usize) -> Result<Chunk, NodeError> {
        let (all, after) = (self.intents()?, i64::try_from(from).unwrap_or(i64::MAX) - 1);
        let outlines = all.only(&["intent_id", "log_position"]);
        let found = self.database.follow(&outlines, "log_position", Some(after), count).await?;
        let end = found.last().map(|row| self::count(&outlines, row, "log_position")).transpose()?;
        let ids: Vec<Cell> = found.iter().filter_map(|row| cell(&outlines, row, "intent_id").cloned()).collect();
        if ids.is_empty() {
            return Ok(Chunk { rows: Vec::new(), passed: Passed::default(), read: 0, end: from });
        }
        let passed = Passed::among(self, &ids).await?;
        let own: Vec<Cell> = ids.into_iter().filter(|id| !passed.has(id)).collect();
        let mut rows = if passed.is_empty() {
            self.database.follow(&all, "log_position", Some(after), found.len()).await?
        } else {
            self.database.select(&all, "intent_id", &own).await?
        };
        rows.sort_by_key(|row| cell(&all, row, "log_position").and_then(Cell::as_count));
        Ok(Chunk { rows, passed, read: found.len(), end: end.map_or(from, |last| last + 1) })
    }

    /// The event here at one place of a record, and the last seq that is here.
    pub(crate) async fn at(&self, head: &HeadAt) -> Result<(Option<Digest>, u64), NodeError> {
        let rows = self.chain(&head.record).await?;
        let last = rows.iter().map(|(seq, _)| *seq).max().unwrap_or(0);
        let at = rows.into_iter().find(|(seq, _)| *seq == head.seq).and_then(|(_, event)| Digest::parse(&event).ok());
        Ok((at, last))
    }

    /// The events of a record that are here: seq and id.
    async fn chain(&self, record: &RecordId) -> Result<Vec<(u64, String)>, NodeError> {
        let events = self.table(name::EVENT)?.only(&["event_id", "seq"]);
        let rows = self.database.select(&events, "record_id", &[Cell::Text(record.to_string())]).await?;
        rows.iter().map(|row| Ok((count(&events, row, "seq")?, text(&events, row, "event_id").to_owned()))).collect()
    }

    /// What is here of a record's events, in the order of their seqs.
    pub(crate) async fn of_record(
        &self,
        log: &str,
        record: &RecordId,
        seqs: std::ops::RangeInclusive<u64>,
        limit: usize,
        viewer: &Viewer,
    ) -> Result<Vec<Share>, NodeError> {
        let (events, intents) = (self.table(name::EVENT)?.only(&["seq", "intent_id"]), self.intents()?);
        let rows = self.database.select(&events, "record_id", &[Cell::Text(record.to_string())]).await?;
        let mut wanted: BTreeMap<u64, String> = BTreeMap::new();
        for row in &rows {
            let seq = count(&events, row, "seq")?;
            if seqs.contains(&seq) {
                wanted.insert(seq, text(&events, row, "intent_id").to_owned());
            }
        }
        let wanted: Vec<String> = wanted.into_values().take(limit).collect();
        let mut shares = Vec::new();
        for ids in wanted.chunks(AT_ONCE) {
            let cells: Vec<Cell> = ids.iter().cloned().map(Cell::Text).collect();
            let mut rows = self.database.select(&intents, "intent_id", &cells).await?;
            rows.sort_by_key(|row| ids.iter().position(|id| id == text(&intents, row, "intent_id")));
            let loaded = Loaded::read(self, log, &rows).await?;
            for at in 0..loaded.len() {
                shares.extend(self.share(&loaded, at, viewer).await?);
            }
        }
        Ok(shares)
    }

    /// How an intent ended, for a node that handed it over and gets no share of it.
    pub(crate) async fn end_for(&self, log: &str, intent: &Digest, viewer: &Viewer) -> Result<Option<End>, NodeError> {
        let rows = self.database.select(&self.intents()?, "intent_id", &[Cell::Text(intent.to_string())]).await?;
        let loaded = Loaded::read(self, log, &rows).await?;
        if loaded.len() == 0 || self.share(&loaded, 0, viewer).await?.is_some() {
            return Ok(None);
        }
        let found = loaded.outcome(0).zip(loaded.place(0));
        Ok(found.map(|(outcome, place)| End::Decided { outcome: outcome.sealed().stored(), place: place.clone() }))
    }

    async fn share(&self, loaded: &Loaded, at: usize, viewer: &Viewer) -> Result<Option<Share>, NodeError> {
        let (Some(intent), Some(outcome), Some(place)) = (loaded.intent(at), loaded.outcome(at), loaded.place(at))
        else {
            return Ok(None);
        };
        let events = loaded.events(outcome);
        let mut sources = Vec::new();
        for event in &events {
            let header = &event.header;
            let entry = self.directory.specs().get(&header.spec).ok_or_else(|| damaged("a spec is not known"))?;
            let Some(now) = loaded.record(&header.record) else { continue };
            let (record, before) = (seen(entry, &now.parties), header.prev.and_then(|prev| loaded.header(&prev)));
            let needed = needed_contents(viewer, record, header, before);
            let contents = self.contents(header, &needed).await?;
            sources.push(SourceEvent { header, before, openings: &event.openings, record, contents });
        }
        let records = loaded.judged(intent, outcome, &events, &self.directory);
        let package = outcome.reasons().and_then(|reasons| reasons.judged.package);
        let package = package.or(events.first().map(|event| event.header.package));
        let manifest: Option<&Manifest> =
            package.and_then(|digest| self.directory.package(&digest)).map(|contract| contract.manifest.as_ref());
        let source = Source { intent, outcome, place, manifest, events: sources, records };
        Ok(share(&source, viewer))
    }

    async fn stored(&self, ids: Vec<String>) -> Result<Vec<Stored>, NodeError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.table(name::EVENT)?.only(&["header", "openings"]);
        let ids: Vec<Cell> = ids.into_iter().map(Cell::Text).collect();
        let rows = self.database.select(&events, "event_id", &ids).await?;
        let read = |row: &Row| {
            let bytes = |column: &str| cell(&events, row, column).and_then(Cell::as_bytes).unwrap_or_default();
            let header = Header::read(bytes("header")).map_err(damaged)?;
            Ok(Stored { header, openings: EventOpenings::read(bytes("openings")).map_err(damaged)? })
        };
        rows.iter().map(read).collect()
    }

    /// Contents of sections as they were after an event, with the salts of their commitments.
    async fn contents(
        &self,
        header: &Header,
        sections: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Given>, NodeError> {
        if sections.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids = self.chain(&header.record).await?.into_iter().filter(|(seq, _)| *seq <= header.seq);
        let mut all = self.stored(ids.map(|(_, event)| event).collect()).await?;
        all.sort_by_key(|event| event.header.seq);
        let state = self.state_after(header, &all).await?;
        let mut given = BTreeMap::new();
        for section in sections {
            let Some(sealed) = header.sections.get(section) else { continue };
            let writer = all.iter().find(|event| event.header.seq == sealed.seq);
            let salt = writer.and_then(|event| {
                let body = event.openings.sections.get(section).map(|body| body.content_salt);
                body.or(event.openings.given.get(section).map(|given| given.salt))
            });
            let known = state.as_ref().and_then(|state| state.sections.get(section)).filter(|state| !state.hidden);
            if let (Some(salt), Some(known)) = (salt, known) {
                given.insert(section.clone(), Given { salt, content: (*known.content).clone() });
            }
        }
        Ok(given)
    }

    /// The record after an event: as it stands, or by all events up to that one.
    async fn state_after(&self, header: &Header, all: &[Stored]) -> Result<Option<Arc<RecordState>>, NodeError> {
        let named = vec![(header.record.clone(), None)];
        let states =
            records_named(self.database, &self.records, self.table(name::EVENT)?, named, &States::new()).await?;
        let now = states.get(&header.record).cloned().flatten();
        if now.as_ref().is_some_and(|state| state.seq == header.seq) {
            return Ok(now);
        }
        let mut state = None;
        for event in all {
            let replayed = replay(event.header.clone(), event.openings.clone(), state, &self.directory);
            state = Some(replayed.map_err(damaged)?.after);
        }
        Ok(state)
    }
}

/// The proof that this node's log has only grown since the viewer's last head of it, which it moves on.
async fn growth(proofs: &mut Proofs<'_>, known: &mut u64, size: u64) -> Result<Option<Growth>, NodeError> {
    let from = std::mem::replace(known, size.max(*known));
    if from == 0 || size <= from {
        return Ok(None);
    }
    Ok(Some(Growth { from, path: proofs.growth(from, size).await? }))
}

fn seen<'a>(entry: &'a SpecEntry, parties: &'a Json) -> Seen<'a> {
    Seen { spec: &entry.spec, parties }
}

fn count(table: &Table, row: &Row, column: &str) -> Result<u64, NodeError> {
    let found = cell(table, row, column).and_then(Cell::as_count);
    found.ok_or_else(|| {
        let detail = format!("{column} is no count");
        NodeError::Database(DatabaseError::Shape { table: table.name.clone(), detail })
    })
}

fn text<'a>(table: &Table, row: &'a Row, column: &str) -> &'a str {
    cell(table, row, column).and_then(Cell::as_str).unwrap_or_default()
}
