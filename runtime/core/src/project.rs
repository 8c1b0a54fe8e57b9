//! Step `project`: evidence becomes rows.
//!
//! Every row of every managed table is a pure function of evidence, and this is that function. The commit
//! path, the replay of a database and the audit all call it, so what is checked is what was written.
//!
//! A [`Ledger`] is where a node's log stands; a [`Projection`] collects one batch on top of it.

mod objected;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::{Digest, Signer};
use crate::database::{Batch, TableWrites, Write};
use crate::directory::{Body, Directory, DirectoryEvent, SpecEntry};
use crate::disputes::Disputes;
use crate::intent::VerifiedIntent;
use crate::json::json;
use crate::log::{Appender, Checkpoint, CheckpointError, leaf_hash};
use crate::names::RecordId;
use crate::outcome::{Outcome, directory_leaf};
use crate::received::{Place, Received};
use crate::record::RecordState;
use crate::seal::SealedEvent;
use crate::tables::{Cell, LOG_HEAD, Row, Table, name};
use crate::time::Timestamp;

pub(crate) use objected::OBJECTIONS;
pub(crate) use rows::objection_row;
pub use rows::{cloud_event, notification_id, record_row};

/// Where a node's log stands.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The network.
    pub network: Digest,
    /// The log: NODE/INCARNATION.
    pub log: String,
    /// The tree.
    pub appender: Appender,
    /// Time of the last leaf.
    pub time: Timestamp,
    /// The log head as the database holds it; `None` before the first batch.
    pub head: Option<String>,
    /// What is disputed.
    pub disputes: Arc<Disputes>,
}

impl Ledger {
    /// A log without leaves.
    #[must_use]
    pub fn new(network: Digest, log: String, time: Timestamp) -> Self {
        Ledger { network, log, appender: Appender::empty(), time, head: None, disputes: Arc::default() }
    }

    pub(crate) fn disputes_mut(&mut self) -> &mut Disputes {
        Arc::make_mut(&mut self.disputes)
    }

    /// The origin of the log's checkpoints.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.network, &self.log)
    }
}

/// The origin of a log's checkpoints: unique for network, node and incarnation.
#[must_use]
pub fn origin(network: &Digest, log: &str) -> String {
    format!("lockstep/{network}/{log}")
}

/// A table's name; with the spec's digest where its columns are those of a spec's version.
type TableKey = (String, Option<Digest>);

/// A batch being put together.
pub struct Projection {
    before: Ledger,
    ledger: Ledger,
    own: BTreeMap<String, Arc<Table>>,
    writes: BTreeMap<TableKey, (Arc<Table>, Vec<Write>)>,
    records: BTreeMap<RecordId, Touched>,
    scoped: BTreeMap<RecordId, Scoped>,
}

/// A record that an objection is about, as it stands.
struct Scoped {
    entry: Arc<SpecEntry>,
    state: Arc<RecordState>,
}

/// A record that the batch changes: written once, as it is in the end.
struct Touched {
    entry: Arc<SpecEntry>,
    before: Option<Arc<RecordState>>,
    after: Arc<RecordState>,
    contents: BTreeMap<String, Arc<str>>,
    time: Timestamp,
}

/// A batch with the ledger after it.
#[derive(Clone, Debug)]
pub struct Projected {
    /// What to commit.
    pub batch: Batch,
    /// The log after the commit.
    pub ledger: Ledger,
    /// The signed head of the log after the commit.
    pub note: String,
    /// Size of the log after the commit.
    pub size: u64,
}

impl Projection {
    /// Starts a batch.
    #[must_use]
    pub fn new(ledger: &Ledger, own: &BTreeMap<String, Arc<Table>>) -> Self {
        Projection {
            before: ledger.clone(),
            ledger: ledger.clone(),
            own: own.clone(),
            writes: BTreeMap::new(),
            records: BTreeMap::new(),
            scoped: BTreeMap::new(),
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ledger.appender.size() == self.before.appender.size()
    }

    /// Time of the last leaf, with what was added.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.ledger.time
    }

    /// Sets the time of the last leaf, where its evidence is gone and only the checkpoint still tells.
    pub(crate) fn adopt_time(&mut self, time: Timestamp) {
        self.ledger.time = time;
    }

    pub(crate) fn append(&mut self, leaf: Digest, time: Timestamp) -> u64 {
        let position = self.ledger.appender.size();
        self.ledger.appender.append(leaf);
        self.ledger.time = time;
        position
    }

    /// Appends a leaf that says nothing about time.
    pub(crate) fn append_same_time(&mut self, leaf: Digest) -> u64 {
        self.append(leaf, self.ledger.time)
    }

    fn write(&mut self, table: &str, write: Write) {
        let Some(table) = self.own.get(table) else { return };
        self.writes.entry((table.name.clone(), None)).or_insert_with(|| (table.clone(), Vec::new())).1.push(write);
    }

    /// Rows of records have the columns of their own spec's version.
    fn write_record(&mut self, entry: &SpecEntry, table: &Arc<Table>, write: Write) {
        let key = (table.name.clone(), Some(entry.spec.digest()));
        self.writes.entry(key).or_insert_with(|| (table.clone(), Vec::new())).1.push(write);
    }

    /// Adds what the database is: a node's, as the directory names it.
    pub fn meta(&mut self, directory: &Directory, node: &str) {
        for row in rows::meta_rows(directory, node, &self.ledger.log) {
            self.write(name::META, Write::Insert(row));
        }
    }

    /// Adds an event of the directory; `directory` is the state after it. A proposed package comes with its bytes.
    /// The log's time moves on to the event's, where that is later: both are evidence, a node's clock is not.
    pub fn directory(&mut self, event: &DirectoryEvent, directory: &Directory, package: Option<&[u8]>) {
        let hash = leaf_hash(&directory_leaf(&directory.network(), event.seq, &event.head()));
        let proposed = matches!(event.body, Body::ContractPropose { .. });
        self.directory_at(hash, event, directory, package, proposed);
    }

    /// As [`Projection::directory`], where the audit knows the leaf better than the event does.
    pub(crate) fn directory_at(
        &mut self,
        hash: Digest,
        event: &DirectoryEvent,
        directory: &Directory,
        package: Option<&[u8]>,
        proposed: bool,
    ) {
        let time = event.time.max(self.ledger.time);
        let position = self.append(hash, time);
        let row = rows::directory_row(event, &self.ledger.log, position);
        self.write(name::DIRECTORY, Write::Insert(row));
        for (table, write) in rows::directory_writes(event.seq, proposed, directory, package) {
            self.write(table, write);
        }
    }

    /// Adds an outcome with its events; returns the position of its leaf.
    pub fn outcome(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        events: &[SealedEvent],
        directory: &Directory,
    ) -> u64 {
        let leaf = outcome.leaf();
        self.place(leaf_hash(&leaf), outcome.stored_with(&leaf), intent, outcome, events, directory)
    }

    /// As [`Projection::outcome`], where the audit knows the leaf better than the outcome does.
    pub(crate) fn outcome_at(
        &mut self,
        hash: Digest,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        events: &[SealedEvent],
        directory: &Directory,
    ) -> u64 {
        self.place(hash, outcome.stored(), intent, outcome, events, directory)
    }

    /// The rows of an outcome behind the leaf with this hash; `stored` are the outcome's own bytes.
    fn place(
        &mut self,
        hash: Digest,
        stored: Vec<u8>,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        events: &[SealedEvent],
        directory: &Directory,
    ) -> u64 {
        let position = self.append(hash, outcome.time);
        let row = rows::intent_row(intent, (outcome, stored), events, directory, &self.ledger.log, position);
        self.write(name::INTENT, Write::Insert(row));
        for event in events {
            self.event(intent, outcome, event, directory, position);
        }
        position
    }

    /// Adds what another node sequenced, with the leaf that says that it was received.
    pub fn received(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        events: &[SealedEvent],
        place: &Place,
        directory: &Directory,
    ) -> u64 {
        let leaf = Received::of(outcome, intent.openings(), events, place).stored();
        self.received_at(leaf_hash(&leaf), intent, outcome, events, directory, rows::feed_row(outcome, place, leaf))
    }

    /// As [`Projection::received`], where the audit knows leaf and row better.
    pub(crate) fn received_at(
        &mut self,
        hash: Digest,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        events: &[SealedEvent],
        directory: &Directory,
        feed: Row,
    ) -> u64 {
        let outcome_time = outcome.time.max(self.ledger.time);
        let position = self.outcome_at(hash, intent, outcome, events, directory);
        self.ledger.time = outcome_time;
        self.write(name::FEED, Write::Insert(feed));
        position
    }

    fn event(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        event: &SealedEvent,
        directory: &Directory,
        position: u64,
    ) {
        self.write(name::EVENT, Write::Insert(rows::event_row(intent, event, directory, &self.ledger.log, position)));
        for row in rows::change_rows(event) {
            self.write(name::CHANGE, Write::Insert(row));
        }
        let place = outcome.events.iter().position(|id| *id == event.id).unwrap_or_default();
        for row in rows::outbox_rows(event, position, place) {
            self.write(name::OUTBOX, Write::Insert(row));
        }
        if let Some(table) = &event.entry.versions {
            self.write_record(&event.entry, table, Write::Insert(rows::version_row(event)));
        }
        let touched = self.records.entry(event.header.record.clone()).or_insert_with(|| Touched {
            entry: event.entry.clone(),
            before: event.before.clone(),
            after: event.after.clone(),
            contents: BTreeMap::new(),
            time: event.header.time,
        });
        touched.entry = event.entry.clone();
        touched.after = event.after.clone();
        touched.time = event.header.time;
        touched.contents.extend(event.contents.iter().map(|(name, content)| (name.clone(), content.clone())));
    }

    /// Ends the batch with a checkpoint that `signer` signs.
    ///
    /// # Errors
    /// The signer's.
    pub fn finish(self, signer: &dyn Signer) -> Result<Projected, CheckpointError> {
        let checkpoint = Checkpoint {
            origin: self.ledger.origin(),
            size: self.ledger.appender.size(),
            root: self.ledger.appender.root(),
        };
        let note = checkpoint.sign(signer)?;
        Ok(self.finish_with(note))
    }

    /// Ends the batch with a checkpoint that was signed before.
    #[must_use]
    pub fn finish_with(mut self, note: String) -> Projected {
        let (size, root) = (self.ledger.appender.size(), self.ledger.appender.root());
        let previous = self.before.appender.size();
        for (table, writes) in self.writes.values_mut() {
            rows::set_checkpoint(table, writes, size);
        }
        for tile in self.ledger.appender.take_changed() {
            let row = rows::tile_row(&self.ledger.log, &tile);
            self.write(name::LOG, Write::Put(row));
        }
        let row = rows::checkpoint_row(&self.ledger.log, size, &root, self.ledger.time, previous, &note);
        self.write(name::CHECKPOINT, Write::Insert(row));
        let head = json!({"log": self.ledger.log.as_str(), "size": size, "root": root.to_string(), "time": self.ledger.time.to_string()}).canonical();
        self.ledger.head = Some(head.clone());
        self.write_scopes();
        for (record, touched) in std::mem::take(&mut self.records) {
            let stops = (self.before.disputes.stop(&record), self.ledger.disputes.stop(&record));
            let write = rows::record_write(
                &touched.entry,
                touched.before.as_deref(),
                &touched.after,
                &touched.contents,
                touched.time,
                record.as_str(),
                stops,
            );
            self.write_record(&touched.entry, &touched.entry.table, write);
        }
        let tables = self.writes.into_values().map(|(table, writes)| TableWrites { table, writes }).collect();
        let batch = Batch { expected_head: self.before.head, head, tables };
        Projected { batch, ledger: self.ledger, note, size }
    }
}

/// The value of the row in `lockstep_meta` that holds the log's head.
#[must_use]
pub fn head_row(head: &str) -> Row {
    vec![Cell::Text(LOG_HEAD.to_owned()), Cell::Text(head.to_owned())]
}

/// Lockstep's own tables by name.
#[must_use]
pub fn own_tables_by_name() -> BTreeMap<String, Arc<Table>> {
    crate::tables::own_tables().into_iter().map(|table| (table.name.clone(), Arc::new(table))).collect()
}
