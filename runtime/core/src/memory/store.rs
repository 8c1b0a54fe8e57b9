//! What the in-memory database holds, and the one function that changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::database::{Batch, CommitError, DatabaseError, Delivery, Write};
use crate::json::{Json, Limits};
use crate::tables::{Cell, Index, Kind, LOG_HEAD, Row, Table, name, own_tables};

/// A key as it sorts: bytewise, numbers by value, which is the order that every adapter pages in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn part(cell: &Cell) -> Part {
    match cell {
        Cell::Null => Part::Null,
        Cell::Integer(number) => Part::Integer(*number),
        Cell::Boolean(truth) => Part::Integer(i64::from(*truth)),
        Cell::Timestamp(time) => Part::Integer(time.micros()),
        Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => Part::Text(text.clone()),
        Cell::Bytes(bytes) => Part::Bytes(bytes.clone()),
    }
}

pub(super) type Key = Vec<Part>;

/// A row by column name, so that a table may gain columns anywhere.
pub(super) type Named = BTreeMap<String, Cell>;

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) table: Table,
    pub(super) rows: BTreeMap<Key, Named>,
    /// For each index, where it is unique, whose key has which values.
    taken: Vec<BTreeMap<Key, Key>>,
}

/// All tables, shared with the snapshots taken; the first write after a snapshot copies the table.
pub(super) type Tables = BTreeMap<String, Arc<Stored>>;

/// Notes a delivery in its row; what is delivered or parked stays so.
pub(super) fn note(row: &mut Named, delivery: &Delivery) {
    if row.get("status").and_then(Cell::as_str) != Some("pending") {
        return;
    }
    let attempts = row.get("attempts").and_then(Cell::as_count).unwrap_or(0).max(delivery.attempt);
    row.insert("attempts".to_owned(), Cell::count(attempts));
    match &delivery.result {
        Ok(time) => {
            row.insert("status".to_owned(), Cell::Text("delivered".to_owned()));
            row.insert("delivered_at".to_owned(), Cell::Timestamp(*time));
            row.insert("last_error".to_owned(), Cell::Null);
        }
        Err(reason) => {
            row.insert("last_error".to_owned(), Cell::Text(reason.replace('\0', "")));
        }
    }
}

/// Applies a batch whole, or takes back what was done of it.
pub(super) fn apply(tables: &mut Tables, batch: &Batch) -> Result<(), CommitError> {
    if head_in(tables) != batch.expected_head {
        return Err(CommitError::Conflict);
    }
    let meta = own_table(name::META).map_err(|error| CommitError::Unavailable { detail: error.to_string() })?;
    let head = Write::Put(vec![Cell::Text(LOG_HEAD.to_owned()), Cell::Text(batch.head.clone())]);
    let writes = batch.tables.iter().flat_map(|part| part.writes.iter().map(|write| (part.table.as_ref(), write)));
    let mut undo = Vec::new();
    for (table, write) in std::iter::once((&meta, &head)).chain(writes) {
        let done = tables
            .get_mut(&table.name)
            .ok_or_else(|| format!("there is no table {}", table.name))
            .and_then(|stored| Arc::make_mut(stored).write(table, write));
        match done {
            Ok(replaced) => undo.push((&table.name, replaced)),
            Err(detail) => {
                for (name, (key, row)) in undo.into_iter().rev() {
                    if let Some(stored) = tables.get_mut(name) {
                        Arc::make_mut(stored).set(key, row);
                    }
                }
                return Err(CommitError::Refused { detail });
            }
        }
    }
    Ok(())
}

pub(super) fn head_in(tables: &Tables) -> Option<String> {
    let row = tables.get(name::META)?.rows.get(&vec![Part::Text(LOG_HEAD.to_owned())])?;
    row.get("value")?.as_str().map(str::to_owned)
}

impl Stored {
    pub(super) fn of(table: Table, rows: BTreeMap<Key, Named>) -> Result<Self, DatabaseError> {
        let mut stored = Stored { taken: vec![BTreeMap::new(); table.indexes.len()], table, rows: BTreeMap::new() };
        for (key, row) in rows {
            stored.check_unique(&key, &row).map_err(|detail| shape(&stored.table, &detail))?;
            stored.set(key, Some(row));
        }
        Ok(stored)
    }

    /// Does one write; what it returns, given to [`Stored::set`], undoes it.
    fn write(&mut self, table: &Table, write: &Write) -> Result<(Key, Option<Named>), String> {
        let (key, row) = match write {
            Write::Insert(cells) => {
                let (key, row) = checked(table, cells)?;
                if self.rows.contains_key(&key) {
                    return Err(format!("{} has a row with this key already", table.name));
                }
                (key, row)
            }
            Write::Put(cells) => checked(table, cells)?,
            Write::Update { key, set } => {
                let key: Key = key.iter().map(part).collect();
                let mut cells = self
                    .rows
                    .get(&key)
                    .map(|row| arranged(table, row))
                    .ok_or_else(|| format!("{} has no row with the key to update", table.name))?;
                for (position, cell) in set {
                    *cells
                        .get_mut(*position)
                        .ok_or_else(|| format!("{} has no column at position {position}", table.name))? = cell.clone();
                }
                let (after, row) = checked(table, &cells)?;
                if after != key {
                    return Err(format!("an update may not change the key of {}", table.name));
                }
                (key, row)
            }
        };
        let row: Named = self.rows.get(&key).cloned().unwrap_or_default().into_iter().chain(row).collect();
        self.check_unique(&key, &row)?;
        let replaced = self.set(key.clone(), Some(row));
        Ok((key, replaced))
    }

    /// Sets or removes a row with its places in the unique indexes; returns what was there.
    fn set(&mut self, key: Key, row: Option<Named>) -> Option<Named> {
        let replaced = self.rows.remove(&key);
        for (index, taken) in self.table.indexes.iter().zip(&mut self.taken) {
            if let Some(values) = replaced.as_ref().and_then(|row| indexed(index, row)) {
                taken.remove(&values);
            }
            if let Some(values) = row.as_ref().and_then(|row| indexed(index, row)) {
                taken.insert(values, key.clone());
            }
        }
        if let Some(row) = row {
            self.rows.insert(key, row);
        }
        replaced
    }

    fn check_unique(&self, key: &Key, row: &Named) -> Result<(), String> {
        for (index, taken) in self.table.indexes.iter().zip(&self.taken) {
            if indexed(index, row).and_then(|values| taken.get(&values)).is_some_and(|holder| holder != key) {
                return Err(format!(
                    "{} has a row with the same {} already",
                    self.table.name,
                    index.columns.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// The values of a row under a unique index; NULL is like nothing.
fn indexed(index: &Index, row: &Named) -> Option<Key> {
    let values: Key = index.columns.iter().map(|column| row.get(column).map_or(Part::Null, part)).collect();
    (index.unique && !values.contains(&Part::Null)).then_some(values)
}

/// The key and the cells of a row in which every cell is of its column's kind, documents are canonical and nothing
/// required is missing.
fn checked(table: &Table, row: &Row) -> Result<(Key, Named), String> {
    if row.len() != table.columns.len() {
        return Err(format!("{} has {} columns and was given {} values", table.name, table.columns.len(), row.len()));
    }
    for (column, cell) in table.columns.iter().zip(row) {
        let required = !column.nullable || table.key.contains(&column.name);
        let canonical = match (column.kind, cell) {
            (Kind::Json, Cell::Text(text)) => {
                Json::parse_canonical(text.as_bytes(), &Limits { bytes: text.len(), ..Limits::default() }).is_ok()
            }
            _ => true,
        };
        if (required && *cell == Cell::Null) || !column.kind.holds(cell) || !canonical {
            return Err(format!("column {} of {} cannot hold what it was given", column.name, table.name));
        }
    }
    let key = table.key_positions().into_iter().filter_map(|at| row.get(at)).map(part).collect();
    Ok((key, table.columns.iter().map(|column| column.name.clone()).zip(row.iter().cloned()).collect()))
}

/// The cells in the order of a table's columns; what a row has not is NULL.
pub(super) fn arranged(table: &Table, row: &Named) -> Row {
    table.columns.iter().map(|column| row.get(&column.name).cloned().into()).collect()
}

/// The table as wanted, with the columns that are there already and are not wanted any more.
pub(super) fn widened(known: Option<Table>, wanted: &Table) -> Result<Table, DatabaseError> {
    let Some(mut table) = known else { return Ok(wanted.clone()) };
    if table.key != wanted.key {
        return Err(shape(wanted, "its key is another one"));
    }
    for column in &wanted.columns {
        match table.position(&column.name).and_then(|at| table.columns.get(at)) {
            Some(there) if there.kind != column.kind || there.nullable != column.nullable => {
                return Err(shape(wanted, &format!("column {} has another type", column.name)));
            }
            Some(_) => {}
            None if column.nullable => table.columns.push(column.clone()),
            None => return Err(shape(wanted, &format!("column {} is missing", column.name))),
        }
    }
    table
        .indexes
        .extend(wanted.indexes.iter().filter(|index| !table.indexes.contains(index)).cloned().collect::<Vec<_>>());
    Ok(table)
}

pub(super) fn own_table(table_name: &str) -> Result<Table, DatabaseError> {
    let table = own_tables().into_iter().find(|table| table.name == table_name);
    table.ok_or_else(|| DatabaseError::Shape {
        table: table_name.to_owned(),
        detail: "there is no such table".to_owned(),
    })
}

pub(super) fn found<'a>(tables: &'a Tables, table: &Table) -> Result<&'a Stored, DatabaseError> {
    tables.get(&table.name).map(Arc::as_ref).ok_or_else(|| shape(table, "there is no such table"))
}

pub(super) fn shape(table: &Table, detail: &str) -> DatabaseError {
    DatabaseError::Shape { table: table.name.clone(), detail: detail.to_owned() }
}
