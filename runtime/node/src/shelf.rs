//! What this node holds of outcomes, read back so that others can be given their part.
//!
//! Only reads: which bytes another node may have is decided by `lockstep_core::sync`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::event::{EventOpenings, Given, Header};
use lockstep_core::intent::{Payload, VerifiedIntent, Whole, read_stored};
use lockstep_core::log::Checkpoint;
use lockstep_core::names::RecordId;
use lockstep_core::outcome::Outcome;
use lockstep_core::package::Manifest;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::received::{Place, read_path};
use lockstep_core::record::{RecordState, States};
use lockstep_core::seal::replay;
use lockstep_core::sync::{
    Directories, End, Growth, HeadAt, Seen, Share, Source, SourceEvent, Viewer, needed_contents, share,
};
use lockstep_core::tables::{Cell, Role, Row, Table, name};

use crate::load::{cell, records_named};
use crate::open::NodeError;
use crate::reply::{growth, path};

/// A page ends after so many bytes of shares: one more must fit into a frame with them.
const PAGE_BYTES: usize = 4 << 20;

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
    directories: &'a dyn Directories,
    own: BTreeMap<String, Arc<Table>>,
    records: BTreeMap<String, Table>,
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
    pub(crate) fn new(database: &'a dyn Database, directory: Arc<Directory>, directories: &'a dyn Directories) -> Self {
        let tables = directory.record_tables().into_iter().filter(|table| table.role == Role::Records);
        let records = tables.map(|table| (table.name.clone(), table)).collect();
        Shelf { database, directory, directories, own: own_tables_by_name(), records }
    }

    fn table(&self, name: &str) -> Result<&Table, NodeError> {
        self.own.get(name).map(AsRef::as_ref).ok_or_else(|| damaged(format!("no table {name}")))
    }

    /// Outcomes of this node's own log from a position on.
    pub(crate) async fn page(
        &self,
        log: &str,
        from: u64,
        limit: usize,
        viewer: &Viewer,
        known: &mut u64,
    ) -> Result<Page, NodeError> {
        let intents = self.table(name::INTENT)?;
        let after = i64::try_from(from).unwrap_or(i64::MAX) - 1;
        let rows = self.database.follow(intents, "log_position", Some(after), limit).await?;
        let (mut next, mut more) = (from, rows.len() == limit);
        let mut bytes = 0;
        let mut shares = Vec::new();
        let mut heads: BTreeMap<RecordId, HeadAt> = BTreeMap::new();
        let mut notes: BTreeSet<String> = BTreeSet::new();
        let received = self.received(&rows).await?;
        for row in &rows {
            if bytes > PAGE_BYTES {
                more = true;
                break;
            }
            next = count(intents, row, "log_position")? + 1;
            let id = text(intents, row, "intent_id");
            if let Some(place) = received.get(id) {
                let found = self.heads(row, viewer).await?;
                if !found.is_empty() {
                    notes.insert(place.note.clone());
                }
                heads.extend(found.into_iter().map(|head| (head.record.clone(), head)));
            } else {
                let place = self.own_place(log, row).await?;
                if let Some(mut share) = self.share(row, place, viewer).await? {
                    bytes += share.bytes();
                    share.growth = self.growth(log, known, share.place.size).await?;
                    shares.push(share);
                }
            }
        }
        Ok(Page { next, shares, heads: heads.into_values().collect(), notes: notes.into_iter().collect(), more })
    }

    /// The proof that this node's log has only grown since the viewer's last head of it, which it moves on.
    async fn growth(&self, log: &str, known: &mut u64, size: u64) -> Result<Option<Growth>, NodeError> {
        let from = std::mem::replace(known, size.max(*known));
        if from == 0 || size <= from {
            return Ok(None);
        }
        let path = growth(self.database, self.table(name::LOG)?, log, from, size).await?;
        Ok(Some(Growth { from, path }))
    }

    /// The events of an outcome that another node sequenced, of records that the viewer follows.
    async fn heads(&self, row: &Row, viewer: &Viewer) -> Result<Vec<HeadAt>, NodeError> {
        let stored = cell(self.table(name::INTENT)?, row, "outcome").and_then(Cell::as_bytes).unwrap_or_default();
        let events = self.events(&Outcome::read(stored).map_err(damaged)?).await?;
        let named = events.iter().map(|event| (event.header.record.clone(), None)).collect();
        let states =
            records_named(self.database, &self.records, self.table(name::EVENT)?, named, &States::new()).await?;
        let mut heads = Vec::new();
        for Stored { header, .. } in &events {
            let entry = self.directory.specs().get(&header.spec);
            let state = states.get(&header.record).and_then(Option::as_ref);
            let Some((entry, state)) = entry.zip(state) else { continue };
            if viewer.follows(seen(entry, &state.parties()), header.seq) {
                let (record, event) = (header.record.clone(), header.id());
                heads.push(HeadAt { record, epoch: header.epoch, seq: header.seq, event });
            }
        }
        Ok(heads)
    }

    /// The event here at one place of a record, and the last seq that is here.
    pub(crate) async fn at(&self, head: &HeadAt) -> Result<(Option<Digest>, u64), NodeError> {
        let rows = self.stored(&[Cell::Text(head.record.to_string())], "record_id").await?;
        let at = rows.iter().find(|event| (event.header.epoch, event.header.seq) == (head.epoch, head.seq));
        let last = rows.iter().map(|event| event.header.seq).max().unwrap_or(0);
        Ok((at.map(|event| event.header.id()), last))
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
        let (events, intents) = (self.table(name::EVENT)?, self.table(name::INTENT)?);
        let rows = self.database.select(events, "record_id", &[Cell::Text(record.to_string())]).await?;
        let mut wanted: BTreeMap<u64, String> = BTreeMap::new();
        for row in &rows {
            let seq = count(events, row, "seq")?;
            if seqs.contains(&seq) {
                wanted.insert(seq, text(events, row, "intent_id").to_owned());
            }
        }
        let ids: Vec<Cell> = wanted.values().take(limit).cloned().map(Cell::Text).collect();
        let rows = self.database.select(intents, "intent_id", &ids).await?;
        let received = self.received(&rows).await?;
        let mut shares = Vec::new();
        for id in wanted.values().take(limit) {
            let Some(row) = rows.iter().find(|row| text(intents, row, "intent_id") == id) else { continue };
            let place = match received.get(id) {
                Some(place) => place.clone(),
                None => self.own_place(log, row).await?,
            };
            shares.extend(self.share(row, place, viewer).await?);
        }
        Ok(shares)
    }

    /// How an intent ended, for a node that handed it over and gets no share of it.
    pub(crate) async fn end_for(&self, log: &str, intent: &Digest, viewer: &Viewer) -> Result<Option<End>, NodeError> {
        let intents = self.table(name::INTENT)?;
        let rows = self.database.select(intents, "intent_id", &[Cell::Text(intent.to_string())]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let place = self.own_place(log, row).await?;
        if self.share(row, place.clone(), viewer).await?.is_some() {
            return Ok(None);
        }
        let stored = cell(intents, row, "outcome").and_then(Cell::as_bytes).unwrap_or_default();
        let outcome = Outcome::read(stored).map_err(damaged)?.sealed().stored();
        Ok(Some(End::Decided { outcome, place }))
    }

    /// Where the outcomes of these rows stand that other nodes sequenced.
    async fn received(&self, rows: &[Row]) -> Result<BTreeMap<String, Place>, NodeError> {
        let (intents, feed) = (self.table(name::INTENT)?, self.table(name::FEED)?);
        let ids: Vec<Cell> = rows.iter().filter_map(|row| cell(intents, row, "intent_id").cloned()).collect();
        let mut found = BTreeMap::new();
        for row in self.database.select(feed, "intent_id", &ids).await? {
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
            found.insert(text(feed, &row, "intent_id").to_owned(), place);
        }
        Ok(found)
    }

    /// Where an outcome of this node stands in its log, under the first signed head that covers it.
    async fn own_place(&self, log: &str, row: &Row) -> Result<Place, NodeError> {
        let (intents, checkpoints) = (self.table(name::INTENT)?, self.table(name::CHECKPOINT)?);
        let (position, size) = (count(intents, row, "log_position")?, count(intents, row, "checkpoint")?);
        let notes = self.database.select(checkpoints, "size", &[Cell::count(size)]).await?;
        let note = notes.iter().find(|row| text(checkpoints, row, "log") == log);
        let note = note.map(|row| text(checkpoints, row, "note").to_owned()).unwrap_or_default();
        let (head, _) = Checkpoint::parse(&note).map_err(damaged)?;
        let path = path(self.database, self.table(name::LOG)?, log, position, size).await?;
        Ok(Place { log: log.to_owned(), position, path, note, size: head.size, root: head.root })
    }

    async fn share(&self, row: &Row, place: Place, viewer: &Viewer) -> Result<Option<Share>, NodeError> {
        let intents = self.table(name::INTENT)?;
        let bytes = |column: &str| cell(intents, row, column).and_then(Cell::as_bytes).unwrap_or_default();
        let outcome = Outcome::read(bytes("outcome")).map_err(damaged)?;
        let events = self.events(&outcome).await?;
        let intent = self.intent(bytes("envelope"), bytes("openings"), &outcome, &events)?;
        let states = self.states(&intent).await?;
        let befores = self.befores(&events).await?;
        let judged = outcome.reasons().map(|reasons| reasons.judged.reads.as_slice()).unwrap_or_default();
        let parties: BTreeMap<&RecordId, Arc<lockstep_core::json::Json>> =
            states.iter().filter_map(|(record, state)| Some((record, state.as_ref()?.parties()))).collect();
        let mut records = Vec::new();
        for target in intent.targets() {
            let event = events.iter().find(|event| event.header.record == target.record);
            let state = states.get(&target.record).and_then(Option::as_ref);
            let read = judged.iter().find(|read| read.record == target.record);
            let seq = event.map(|event| event.header.seq).or(read.map(|read| read.seq + 1));
            let spec = event.map(|event| event.header.spec).or(state.map(|state| state.spec_digest));
            let entry = spec.and_then(|digest| self.directory.specs().get(&digest));
            let seen = entry.zip(parties.get(&target.record)).map(|(entry, parties)| seen(entry, parties));
            records.push(seen.zip(seq));
        }
        let mut sources = Vec::new();
        for event in &events {
            let header = &event.header;
            let entry = self.directory.specs().get(&header.spec).ok_or_else(|| damaged("a spec is not known"))?;
            let Some(parties) = parties.get(&header.record) else { continue };
            let (record, before) = (seen(entry, parties), header.prev.and_then(|prev| befores.get(&prev)));
            let needed = needed_contents(viewer, record, header, before);
            let contents = self.contents(header, &needed, states.get(&header.record)).await?;
            sources.push(SourceEvent { header, before, openings: &event.openings, record, contents });
        }
        let package = outcome.reasons().and_then(|reasons| reasons.judged.package);
        let package = package.or(events.first().map(|event| event.header.package));
        let manifest: Option<&Manifest> =
            package.and_then(|digest| self.directory.package(&digest)).map(|contract| contract.manifest.as_ref());
        let source = Source { intent: &intent, outcome: &outcome, place: &place, manifest, events: sources, records };
        Ok(share(&source, viewer))
    }

    /// The events of an outcome, in its order, as far as they are here.
    async fn events(&self, outcome: &Outcome) -> Result<Vec<Stored>, NodeError> {
        let ids: Vec<Cell> = outcome.events.iter().map(|event| Cell::Text(event.to_string())).collect();
        let mut found = self.stored(&ids, "event_id").await?;
        found.sort_by_key(|event| outcome.events.iter().position(|id| *id == event.header.id()));
        Ok(found)
    }

    async fn stored(&self, values: &[Cell], column: &str) -> Result<Vec<Stored>, NodeError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let events = self.table(name::EVENT)?;
        let rows = self.database.select(events, column, values).await?;
        let read = |row: &Row| {
            let bytes = |column: &str| cell(events, row, column).and_then(Cell::as_bytes).unwrap_or_default();
            let header = Header::read(bytes("header")).map_err(damaged)?;
            Ok(Stored { header, openings: EventOpenings::read(bytes("openings")).map_err(damaged)? })
        };
        rows.iter().map(read).collect()
    }

    async fn befores(&self, events: &[Stored]) -> Result<BTreeMap<Digest, Header>, NodeError> {
        let ids: Vec<Cell> =
            events.iter().filter_map(|event| Some(Cell::Text(event.header.prev?.to_string()))).collect();
        let found = self.stored(&ids, "event_id").await?;
        Ok(found.into_iter().map(|event| (event.header.id(), event.header)).collect())
    }

    /// The intent; its signature was good under the directory that judged it, or one before.
    fn intent(
        &self,
        envelope: &[u8],
        openings: &[u8],
        outcome: &Outcome,
        events: &[Stored],
    ) -> Result<VerifiedIntent, NodeError> {
        let seq = outcome.reasons().map(|reasons| reasons.directory.0);
        let seq = seq.or(events.first().map(|event| event.header.directory.0));
        let mut before = seq.unwrap_or(self.directory.seq());
        loop {
            let directory = self.directories.at(before).ok_or_else(|| damaged("the directory is not whole"))?;
            let mut changed = 1;
            let key = |payload: &Payload| {
                let actor = directory.actors().get(&payload.actor)?;
                changed = actor.seq;
                Some(actor.key)
            };
            match read_stored(envelope, openings, Whole::Some, key) {
                Ok(intent) => return Ok(intent),
                Err(_) if changed > 1 => before = changed - 1,
                Err(error) => return Err(damaged(format!("intent {}: {error:?}", outcome.intent))),
            }
        }
    }

    async fn states(&self, intent: &VerifiedIntent) -> Result<States, NodeError> {
        let named = intent.targets().iter().map(|target| (target.record.clone(), None)).collect();
        records_named(self.database, &self.records, self.table(name::EVENT)?, named, &States::new()).await
    }

    /// Contents of sections as they were after an event, with the salts of their commitments.
    async fn contents(
        &self,
        header: &Header,
        sections: &BTreeSet<String>,
        now: Option<&Option<Arc<RecordState>>>,
    ) -> Result<BTreeMap<String, Given>, NodeError> {
        if sections.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut all = self.stored(&[Cell::Text(header.record.to_string())], "record_id").await?;
        all.sort_by_key(|event| event.header.seq);
        all.retain(|event| event.header.seq <= header.seq);
        let mut state = now.cloned().flatten().filter(|state| state.seq == header.seq);
        if state.is_none() {
            for event in &all {
                let replayed = replay(event.header.clone(), event.openings.clone(), state, &self.directory);
                state = Some(replayed.map_err(damaged)?.after);
            }
        }
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
}

fn seen<'a>(entry: &'a SpecEntry, parties: &'a lockstep_core::json::Json) -> Seen<'a> {
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
