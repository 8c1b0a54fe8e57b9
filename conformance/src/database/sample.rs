//! Tables and rows that the cases use.

use std::sync::Arc;

use lockstep_core::database::{Batch, CommitError, Database, DatabaseError, Page, TableWrites, Write};
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Class, Column, Index, Kind, Role, Row, Table, own_tables};
use lockstep_core::time::Timestamp;

use super::Factory;

/// A table with a column of every kind.
pub(crate) fn kinds() -> Table {
    let kinds = [
        ("text", Kind::Text),
        ("long_text", Kind::LongText),
        ("bytes", Kind::Bytes),
        ("integer", Kind::Integer),
        ("boolean", Kind::Boolean),
        ("timestamp", Kind::Timestamp),
        ("json", Kind::Json),
        ("p_text", Kind::Projected(ColumnType::Text(255))),
        ("p_integer", Kind::Projected(ColumnType::Integer)),
        ("p_short", Kind::Projected(ColumnType::Decimal(15, 2))),
        ("p_long", Kind::Projected(ColumnType::Decimal(38, 10))),
        ("p_boolean", Kind::Projected(ColumnType::Boolean)),
        ("p_date", Kind::Projected(ColumnType::Date)),
        ("p_timestamp", Kind::Projected(ColumnType::Timestamp)),
    ];
    let mut columns = vec![column("id", Kind::Text, false)];
    columns.extend(kinds.into_iter().map(|(name, kind)| column(name, kind, true)));
    table("suite_kinds", columns, &["id"])
}

/// A table with a key of two columns and a unique index.
pub(crate) fn pairs() -> Table {
    let columns = vec![
        column("name", Kind::Text, false),
        column("seq", Kind::Integer, false),
        column("value", Kind::Integer, true),
        column("note", Kind::LongText, true),
    ];
    let mut table = table("suite_pairs", columns, &["name", "seq"]);
    table.indexes.push(Index { columns: vec!["value".to_owned()], unique: true });
    table
}

pub(crate) fn column(name: &str, kind: Kind, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        nullable,
        class: Class::Derived,
        proved_by: "the suite",
        comment: String::new(),
    }
}

fn table(name: &str, columns: Vec<Column>, key: &[&str]) -> Table {
    let key = key.iter().map(|&name| name.to_owned()).collect();
    Table { name: name.to_owned(), columns, key, indexes: Vec::new(), role: Role::Own, comment: String::new() }
}

/// A row of [`kinds`] with nothing but an id.
pub(crate) fn empty(id: &str) -> Row {
    let mut row = vec![Cell::Null; kinds().columns.len()];
    if let Some(first) = row.first_mut() {
        *first = text(id);
    }
    row
}

/// A row of [`kinds`] with one other cell.
pub(crate) fn with(id: &str, name: &str, cell: Cell) -> Row {
    let mut row = empty(id);
    if let Some(place) = kinds().position(name).and_then(|at| row.get_mut(at)) {
        *place = cell;
    }
    row
}

/// A row of [`pairs`].
pub(crate) fn pair(name: &str, seq: i64, value: i64) -> Row {
    vec![text(name), Cell::Integer(seq), Cell::Integer(value), Cell::Null]
}

pub(crate) fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

pub(crate) fn time(text: &str) -> Cell {
    Timestamp::parse(text).map_or(Cell::Null, Cell::Timestamp)
}

/// An empty database with the suite's tables.
pub(crate) async fn prepared(factory: &dyn Factory) -> Result<Box<dyn Database>, String> {
    let database = factory.fresh().await?;
    database.prepare(&tables()).await.map_err(words)?;
    Ok(database)
}

/// The suite's tables and Lockstep's own.
pub(crate) fn tables() -> Vec<Table> {
    own_tables().into_iter().chain([kinds(), pairs()]).collect()
}

/// A batch that moves the head from one number to another.
pub(crate) fn batch(from: u32, to: u32, tables: Vec<(Table, Vec<Write>)>) -> Batch {
    let head = |number: u32| format!("head {number}");
    Batch {
        expected_head: (from > 0).then(|| head(from)),
        head: head(to),
        tables: tables.into_iter().map(|(table, writes)| TableWrites { table: Arc::new(table), writes }).collect(),
    }
}

pub(crate) fn inserts(rows: impl IntoIterator<Item = Row>) -> Vec<Write> {
    rows.into_iter().map(Write::Insert).collect()
}

pub(crate) async fn commit(database: &dyn Database, batch: &Batch) -> Result<(), String> {
    database.commit(batch).await.map_err(|error| error.to_string())
}

/// Checks that a batch is refused.
pub(crate) async fn refused(database: &dyn Database, batch: &Batch) -> Result<(), String> {
    match database.commit(batch).await {
        Err(CommitError::Refused { .. }) => Ok(()),
        other => Err(format!("should be refused and is {other:?}")),
    }
}

/// All rows of a table in key order.
pub(crate) async fn all(database: &dyn Database, table: &Table) -> Result<Vec<Row>, String> {
    let mut snapshot = database.snapshot().await.map_err(words)?;
    snapshot.page(table, &Page { after: None, limit: 1_000_000 }).await.map_err(words)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn words(error: DatabaseError) -> String {
    error.to_string()
}
