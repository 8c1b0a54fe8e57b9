//! What the tables hold: every row of every managed table, by key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::database::{DatabaseError, Page, Snapshot};
use crate::tables::{Cell, Row, Table, own_tables};
use crate::time::Timestamp;

use super::{Counts, Finding, Progress};

/// Rows that are asked for at once. Large, because a page that ends in a row with a damaged key has no sure successor.
const PAGE_ROWS: usize = 1 << 24;

/// A row's key, in the order of its table's key columns.
pub(super) type Key = Vec<Cell>;

/// One table as found.
pub(super) struct Found {
    pub(super) table: Arc<Table>,
    pub(super) rows: Vec<Row>,
    /// Which rows are explained, by evidence or because they are not compared.
    pub(super) seen: Vec<bool>,
    by_key: HashMap<Key, Vec<usize>>,
}

impl Found {
    fn new(table: Arc<Table>, rows: Vec<Row>) -> Self {
        let mut by_key: HashMap<Key, Vec<usize>> = HashMap::with_capacity(rows.len());
        let positions = table.key_positions();
        for (index, row) in rows.iter().enumerate() {
            by_key.entry(key_at(&positions, row)).or_default().push(index);
        }
        Found { seen: vec![false; rows.len()], table, rows, by_key }
    }

    /// The rows with this key; more than one only where the database lost its primary key.
    pub(super) fn with_key(&self, key: &[Cell]) -> &[usize] {
        self.by_key.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A cell; NULL where there is none.
    pub(super) fn cell(&self, row: usize, column: &str) -> &Cell {
        self.table.position(column).and_then(|at| self.rows.get(row)?.get(at)).unwrap_or(&Cell::Null)
    }

    pub(super) fn text(&self, row: usize, column: &str) -> Option<&str> {
        self.cell(row, column).as_str()
    }

    pub(super) fn bytes(&self, row: usize, column: &str) -> &[u8] {
        self.cell(row, column).as_bytes().unwrap_or_default()
    }

    pub(super) fn count(&self, row: usize, column: &str) -> Option<u64> {
        self.cell(row, column).as_count()
    }

    pub(super) fn digest(&self, row: usize, column: &str) -> Option<Digest> {
        Digest::parse(self.text(row, column)?).ok()
    }

    pub(super) fn time(&self, row: usize, column: &str) -> Option<Timestamp> {
        match self.cell(row, column) {
            Cell::Timestamp(time) => Some(*time),
            _ => None,
        }
    }

    pub(super) fn key_of(&self, row: usize) -> Key {
        self.rows.get(row).map(|row| key_at(&self.table.key_positions(), row)).unwrap_or_default()
    }

    pub(super) fn indexes(&self) -> std::ops::Range<usize> {
        0..self.rows.len()
    }
}

fn key_at(positions: &[usize], row: &Row) -> Key {
    positions.iter().map(|at| row.get(*at).cloned().unwrap_or(Cell::Null)).collect()
}

/// The key's columns with their values, for findings.
pub(super) fn named_key(table: &Table, key: &[Cell]) -> Vec<(String, Cell)> {
    table.key.iter().cloned().zip(key.iter().cloned()).collect()
}

/// All tables as found.
pub(super) struct Tables {
    tables: BTreeMap<String, Found>,
    pub(super) counts: Counts,
    /// Tables that could not be read as they must be.
    pub(super) shapes: Vec<Finding>,
    none: Found,
}

impl Tables {
    /// Reads Lockstep's own tables.
    pub(super) async fn read_own(
        snapshot: &mut dyn Snapshot,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Self, DatabaseError> {
        let nothing = Arc::new(Table {
            name: String::new(),
            columns: Vec::new(),
            key: Vec::new(),
            indexes: Vec::new(),
            role: crate::tables::Role::Own,
            comment: String::new(),
        });
        let mut tables = Tables {
            tables: BTreeMap::new(),
            counts: Counts::new(),
            shapes: Vec::new(),
            none: Found::new(nothing, Vec::new()),
        };
        tables.read(snapshot, own_tables(), progress).await?;
        Ok(tables)
    }

    /// Reads the tables of records.
    pub(super) async fn read_records(
        &mut self,
        snapshot: &mut dyn Snapshot,
        wanted: &[Table],
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DatabaseError> {
        self.read(snapshot, wanted.to_vec(), progress).await
    }

    async fn read(
        &mut self,
        snapshot: &mut dyn Snapshot,
        wanted: Vec<Table>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), DatabaseError> {
        for table in wanted {
            match all_rows(snapshot, &table).await {
                Ok(rows) => {
                    progress(Progress::Read { table: table.name.clone(), rows: rows.len() as u64 });
                    self.counts.insert(table.name.clone(), rows.len() as u64);
                    self.tables.insert(table.name.clone(), Found::new(Arc::new(table), rows));
                }
                Err(DatabaseError::Shape { table: name, detail }) => self.shapes.push(shape(&name, &detail)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A table; an empty one where it could not be read.
    pub(super) fn get(&self, name: &str) -> &Found {
        self.tables.get(name).unwrap_or(&self.none)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Found> {
        self.tables.get_mut(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Found> {
        self.tables.values()
    }
}

async fn all_rows(snapshot: &mut dyn Snapshot, table: &Table) -> Result<Vec<Row>, DatabaseError> {
    let mut rows = Vec::new();
    let mut page = Page { after: None, limit: PAGE_ROWS };
    let positions = table.key_positions();
    loop {
        let more = snapshot.page(table, &page).await?;
        let full = more.len() == PAGE_ROWS;
        rows.extend(more);
        match rows.last().map(|row| key_at(&positions, row)) {
            Some(last) if full && page.after.as_ref() != Some(&last) => page.after = Some(last),
            _ => return Ok(rows),
        }
    }
}

fn shape(table: &str, detail: &str) -> Finding {
    Finding {
        code: Code::TableShape,
        table: table.to_owned(),
        key: Vec::new(),
        column: None,
        record_id: None,
        seq: None,
        expected: None,
        found: None,
        message: format!("table {table} is not as it must be: {detail}"),
    }
}
