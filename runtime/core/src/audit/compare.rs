//! Expected rows against found ones, cell by cell, and what to tell people about a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::codes::Code;
use crate::database::{TableWrites, Write};
use crate::names::ActorId;
use crate::tables::{Cell, Class, Kind, Role, Row, Table, name};
use crate::time::Timestamp;

use super::Finding;
use super::found::{Key, Tables};
use super::words::{Difference, difference, finding, place, told};

/// What is not compared about one row, because the evidence for it is damaged and named already.
#[derive(Clone, Debug, Default)]
pub(super) struct Mask {
    columns: BTreeSet<String>,
    proofs: BTreeSet<&'static str>,
}

impl Mask {
    fn hides(&self, column: &str, proved_by: &str) -> bool {
        self.columns.contains(column) || self.proofs.contains(proved_by)
    }
}

/// Who signed what an event wrote, and when.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) record: String,
    pub(super) seq: u64,
    pub(super) actor: Option<String>,
    pub(super) time: Timestamp,
    pub(super) intent: String,
}

/// The comparison as it goes along.
pub(super) struct Comparison {
    expected: BTreeMap<String, BTreeMap<Key, Row>>,
    masks: HashMap<(String, Key), Mask>,
    /// Events by id.
    pub(super) notes: HashMap<String, Arc<Note>>,
    by_seq: HashMap<(String, u64), Arc<Note>>,
    /// The seq at which each section was last written, by record.
    pub(super) written: HashMap<String, BTreeMap<String, u64>>,
    /// Which section a projected column of a table is taken from.
    pub(super) sources: HashMap<(String, String), String>,
    /// Records whose content cannot be followed any more.
    pub(super) doubtful: BTreeSet<String>,
    /// Whether the tree itself is in doubt, and was said to be.
    pub(super) tree_doubtful: bool,
    /// Directory events that were put together from tables.
    pub(super) mended: BTreeSet<u64>,
    pub(super) findings: Vec<Finding>,
}

impl Comparison {
    pub(super) fn new() -> Self {
        Comparison {
            expected: BTreeMap::new(),
            masks: HashMap::new(),
            notes: HashMap::new(),
            by_seq: HashMap::new(),
            written: HashMap::new(),
            sources: HashMap::new(),
            doubtful: BTreeSet::new(),
            tree_doubtful: false,
            mended: BTreeSet::new(),
            findings: Vec::new(),
        }
    }

    /// Leaves one column of a row out.
    pub(super) fn mask(&mut self, table: &str, key: Key, column: &str) {
        self.masks.entry((table.to_owned(), key)).or_default().columns.insert(column.to_owned());
    }

    /// Leaves the columns of a row out that this proves.
    pub(super) fn mask_proof(&mut self, table: &str, key: Key, proved_by: &'static str) {
        self.masks.entry((table.to_owned(), key)).or_default().proofs.insert(proved_by);
    }

    pub(super) fn note(&mut self, event: String, note: Note) {
        let note = Arc::new(note);
        self.by_seq.insert((note.record.clone(), note.seq), note.clone());
        self.notes.insert(event, note);
    }

    /// Takes in what a batch wrote. Rows that no later batch changes are compared at once.
    pub(super) fn take(&mut self, writes: &[TableWrites], tables: &mut Tables) {
        for part in writes {
            let table = tables.get(&part.table.name).table.clone();
            if table.columns.is_empty() {
                continue;
            }
            let same = table.columns.len() == part.table.columns.len()
                && table.columns.iter().zip(&part.table.columns).all(|(a, b)| a.name == b.name);
            let places: Vec<Option<usize>> =
                part.table.columns.iter().map(|column| table.position(&column.name)).collect();
            for write in &part.writes {
                match write {
                    Write::Insert(row) | Write::Put(row) => {
                        let row = if same { row.clone() } else { widened(&table, &places, row) };
                        let key: Key = table
                            .key_positions()
                            .iter()
                            .map(|at| row.get(*at).cloned().unwrap_or(Cell::Null))
                            .collect();
                        if is_final(&table) {
                            self.compare(&table, &key, &row, tables);
                        } else {
                            self.expected.entry(table.name.clone()).or_default().insert(key, row);
                        }
                    }
                    Write::Update { key, set } => {
                        let Some(row) = self.expected.get_mut(&table.name).and_then(|rows| rows.get_mut(key)) else {
                            continue;
                        };
                        for (at, cell) in set {
                            if let Some(place) = places.get(*at).copied().flatten().and_then(|at| row.get_mut(at)) {
                                *place = cell.clone();
                            }
                        }
                    }
                }
            }
        }
    }

    /// Expects one row.
    pub(super) fn expect(&mut self, table: &str, row: Row, tables: &Tables) {
        let table = &tables.get(table).table;
        let key: Key = table.key_positions().iter().map(|at| row.get(*at).cloned().unwrap_or(Cell::Null)).collect();
        self.expected.entry(table.name.clone()).or_default().insert(key, row);
    }

    /// Compares what is left, then names the rows that nothing explains.
    pub(super) fn finish(&mut self, tables: &mut Tables) {
        for (name, rows) in std::mem::take(&mut self.expected) {
            let table = tables.get(&name).table.clone();
            for (key, row) in rows {
                self.compare(&table, &key, &row, tables);
            }
        }
        let mut extra = Vec::new();
        for found in tables.iter().filter(|found| !found.table.is_operational()) {
            for row in found.indexes().filter(|row| found.seen.get(*row) == Some(&false)) {
                let key = found.key_of(row);
                let record = self.record_of(&found.table, found.rows.get(row).map(Vec::as_slice).unwrap_or_default());
                let mended = is_agreed(&found.table)
                    && found.count(row, "directory_seq").is_some_and(|seq| self.mended.contains(&seq));
                let doubted = record.0.as_ref().is_some_and(|record| self.doubtful.contains(record))
                    && found.table.role != Role::Own;
                if !mended && !doubted {
                    extra.push((found.table.clone(), key, record));
                }
            }
        }
        for (table, key, (record_id, seq)) in extra {
            let message = format!(
                "{}: no evidence knows this row; it was inserted, or its key was edited",
                place(&table, &key, None)
            );
            self.findings.push(finding(Code::RowExtra, &table, &key, None, record_id, seq, message));
        }
    }

    fn compare(&mut self, table: &Arc<Table>, key: &Key, expected: &Row, tables: &mut Tables) {
        let (record_id, seq) = self.record_of(table, expected);
        let doubtful =
            table.role != Role::Own && record_id.as_ref().is_some_and(|record| self.doubtful.contains(record));
        let Some(found) = tables.get_mut(&table.name) else { return };
        let Some(row) = found.with_key(key).first().copied() else {
            if !doubtful {
                let who = self.signer(table, expected, None);
                let message = format!(
                    "{}: the row is missing; it was deleted, or its key was edited{who}",
                    place(table, key, None)
                );
                self.findings.push(finding(Code::RowMissing, table, key, None, record_id, seq, message));
            }
            return;
        };
        if let Some(seen) = found.seen.get_mut(row) {
            *seen = true;
        }
        if doubtful {
            return;
        }
        let mask = self.masks.get(&(table.name.clone(), key.clone())).cloned();
        let Some(holds) = found.rows.get(row) else { return };
        let mut differing = Vec::new();
        for ((column, want), got) in table.columns.iter().zip(expected).zip(holds) {
            let hidden = column.class == Class::Operational
                || mask.as_ref().is_some_and(|mask| mask.hides(&column.name, column.proved_by));
            if want != got && !hidden && !self.excused(table, &column.name, expected, holds) {
                differing.push((column.clone(), want.clone(), got.clone()));
            }
        }
        for (column, want, got) in differing {
            let code = match (table.name.as_str(), want.show(), got.show()) {
                (name::META, Some(want), Some(got)) if newer(key, &want, &got) => Code::NewerFormat,
                _ => Code::CellDiffers,
            };
            let who = self.signer(table, expected, Some(&column.name));
            let place = place(table, key, Some(&column.name));
            let message = match (column.kind == Kind::Json).then(|| difference(&want, &got)).flatten() {
                Some(Difference { at, want, got }) if !at.is_empty() => {
                    format!("{place} holds {got} at {at}, evidence says {want}{who}")
                }
                _ => format!("{place} holds {}, evidence says {}{who}", told(&got), told(&want)),
            };
            let mut one = finding(code, table, key, Some(column.name.clone()), record_id.clone(), seq, message);
            (one.expected, one.found) = (want.show(), got.show());
            self.findings.push(one);
        }
    }

    /// Whether a difference follows from damage that is named already.
    fn excused(&self, table: &Table, column: &str, expected: &Row, holds: &Row) -> bool {
        if self.tree_doubtful {
            let of_tree = matches!((table.name.as_str(), column), (name::LOG, "hashes") | (name::CHECKPOINT, "root"));
            return of_tree
                || (table.name == name::META
                    && column == "value"
                    && expected.first().and_then(Cell::as_str) == Some(crate::tables::LOG_HEAD));
        }
        if !self.mended.is_empty() && is_agreed(table) {
            let seq = |row: &Row| table.position("directory_seq").and_then(|at| row.get(at)).and_then(Cell::as_count);
            return [seq(expected), seq(holds)].into_iter().flatten().any(|seq| self.mended.contains(&seq));
        }
        table.name == name::CHANGE
            && column == "before"
            && self.record_of(table, expected).0.is_some_and(|record| self.doubtful.contains(&record))
    }

    /// The record that a row is about, and its seq.
    pub(super) fn record_of(&self, table: &Table, row: &[Cell]) -> (Option<String>, Option<u64>) {
        let cell = |column: &str| table.position(column).and_then(|at| row.get(at));
        if matches!(table.name.as_str(), name::CHANGE | name::OUTBOX) {
            let note = cell("event_id").and_then(Cell::as_str).and_then(|id| self.notes.get(id));
            return (note.map(|note| note.record.clone()), note.map(|note| note.seq));
        }
        let record = cell("record_id").and_then(Cell::as_str).map(str::to_owned);
        let seq = cell("seq").or_else(|| cell("lockstep_seq")).and_then(Cell::as_count).filter(|_| record.is_some());
        (record, seq)
    }

    /// Who signed the true value and when, as the end of a sentence.
    fn signer(&self, table: &Table, expected: &Row, column: Option<&str>) -> String {
        let cell = |column: &str| table.position(column).and_then(|at| expected.get(at));
        let text = |column: &str| cell(column).and_then(Cell::as_str).unwrap_or_default();
        if table.name == name::INTENT {
            let time = cell("decided_at").and_then(Cell::show).unwrap_or_default();
            return format!("; {} signed this intent, it was decided at {time}", text("actor"));
        }
        if is_agreed(table) {
            return format!(
                "; agreed in event {} of the directory",
                cell("directory_seq").and_then(Cell::show).unwrap_or_default()
            );
        }
        if table.name == name::DIRECTORY && text("actor") != ActorId::nobody().as_str() {
            return format!(
                "; {} signed this event of the directory at {}",
                text("actor"),
                cell("time").and_then(Cell::show).unwrap_or_default()
            );
        }
        if table.name == name::OBJECTION {
            let time = cell("time").and_then(Cell::show).unwrap_or_default();
            return format!("; node {} signed this objection at {time}", text("node"));
        }
        let (record, seq) = self.record_of(table, expected);
        let Some(record) = record else { return String::new() };
        let section = column
            .map(|column| self.sources.get(&(table.name.clone(), column.to_owned())).map_or(column, String::as_str));
        let written = (table.role == Role::Records)
            .then(|| self.written.get(&record).zip(section).and_then(|(sections, section)| sections.get(section)))
            .flatten();
        let note = written.copied().or(seq).and_then(|seq| self.by_seq.get(&(record, seq)));
        note.map_or_else(String::new, |note| {
            let actor = note.actor.as_deref().unwrap_or("somebody");
            format!(
                "; the true value was signed by {actor} at {} (seq {}, intent {})",
                note.time, note.seq, note.intent
            )
        })
    }
}

fn is_final(table: &Table) -> bool {
    table.role == Role::Versions
        || matches!(
            table.name.as_str(),
            name::DIRECTORY | name::INTENT | name::EVENT | name::CHANGE | name::OUTBOX | name::CHECKPOINT | name::FEED
        )
}

fn is_agreed(table: &Table) -> bool {
    matches!(table.name.as_str(), name::PARTICIPANT | name::NODE | name::ACTOR | name::CONTRACT | name::SPEC)
}

fn widened(table: &Table, places: &[Option<usize>], row: &Row) -> Row {
    let mut wide = vec![Cell::Null; table.columns.len()];
    for (place, cell) in places.iter().zip(row) {
        if let Some(at) = place.and_then(|at| wide.get_mut(at)) {
            *at = cell.clone();
        }
    }
    wide
}

fn newer(key: &Key, want: &str, got: &str) -> bool {
    let numbers = (want.parse::<u64>(), got.parse::<u64>());
    key.first().and_then(Cell::as_str) == Some("format") && matches!(numbers, (Ok(want), Ok(got)) if got > want)
}
