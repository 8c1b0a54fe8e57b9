//! Everything that reads known tables: by column, in order, page by page.

use std::collections::BTreeMap;

use lockstep_core::database::{DatabaseError, Page, Pending, Snapshot};
use lockstep_core::json::Json;
use lockstep_core::tables::{Cell, Row, Table};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::bind::{self, Raw, bind_raw, quoted, read_error, stored};
use crate::connect::SqliteDatabase;

/// Rows whose column holds one of the values. They go as one JSON array, so that any number of them is one
/// statement, of one moment, and stays prepared.
pub(crate) async fn select(
    database: &SqliteDatabase,
    table: &Table,
    column: &str,
    values: &[Cell],
) -> Result<Vec<Row>, DatabaseError> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let value = if values.iter().any(|value| matches!(value, Cell::Bytes(_))) { "unhex(value)" } else { "value" };
    let sql = format!("{} WHERE {} IN (SELECT {value} FROM json_each(?))", select_sql(table), qualified(table, column));
    let list: Vec<String> = values.iter().filter_map(json_text).collect();
    rows(database, table, sql, &[Raw::Text(format!("[{}]", list.join(",")))]).await
}

/// Rows in the order of an integer column.
pub(crate) async fn follow(
    database: &SqliteDatabase,
    table: &Table,
    column: &str,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let column = qualified(table, column);
    let from = if after.is_some() { format!(" WHERE {column} > ?") } else { String::new() };
    let sql = format!("{}{from} ORDER BY {column} LIMIT ?", select_sql(table));
    let arguments: Vec<Raw> = after.map(Raw::Integer).into_iter().chain([count(limit)]).collect();
    rows(database, table, sql, &arguments).await
}

/// All columns of a table in order. They are qualified, since SQLite takes a quoted name that is no column for text.
pub(crate) fn select_sql(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| qualified(table, &column.name)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name))
}

fn qualified(table: &Table, column: &str) -> String {
    format!("{}.{}", quoted(&table.name), quoted(column))
}

pub(crate) fn count(number: usize) -> Raw {
    Raw::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Reads rows of a known table with one of the kept connections.
pub(crate) async fn rows(
    database: &SqliteDatabase,
    table: &Table,
    sql: String,
    arguments: &[Raw],
) -> Result<Vec<Row>, DatabaseError> {
    let mut reader = database.readers.acquire().await.map_err(|error| read_error(&table.name, &error))?;
    let rows = fetch(&mut reader, table, sql, arguments).await?;
    rows.iter().map(|row| bind::row(table, row).map_err(|error| read_error(&table.name, &error))).collect()
}

async fn fetch(
    connection: &mut SqliteConnection,
    table: &Table,
    sql: String,
    values: &[Raw],
) -> Result<Vec<SqliteRow>, DatabaseError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        bind_raw(&mut arguments, value).map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
    }
    sqlx::query_with(AssertSqlSafe(sql), arguments)
        .fetch_all(connection)
        .await
        .map_err(|error| read_error(&table.name, &error))
}

/// A value to look for, as JSON. Numbers are printed here, since SQLite reads 64 bits where JSON of ours holds 53.
fn json_text(cell: &Cell) -> Option<String> {
    match stored(cell) {
        Raw::Text(text) if text.contains('\0') => None,
        Raw::Text(text) => Some(Json::from(text.as_str()).canonical()),
        Raw::Integer(number) => Some(number.to_string()),
        Raw::Blob(bytes) => Some(format!("\"{}\"", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
        Raw::Null | Raw::Real(_) | Raw::BadText(_) => None,
    }
}

/// Opens a snapshot on a connection of its own: dropping it ends its transaction for sure.
pub(crate) async fn snapshot(database: &SqliteDatabase) -> Result<Box<dyn Snapshot>, DatabaseError> {
    let failed = |error: sqlx::Error| DatabaseError::Unavailable { detail: bind::words(&error) };
    let mut connection = database.reading.connect().await.map_err(failed)?;
    // BEGIN alone fixes nothing; the first read does.
    for sql in ["BEGIN", "SELECT count(*) FROM sqlite_schema"] {
        sqlx::query(sql).execute(&mut connection).await.map_err(failed)?;
    }
    Ok(Box::new(SqliteSnapshot { connection, last: BTreeMap::new() }))
}

/// One moment of the file.
struct SqliteSnapshot {
    connection: SqliteConnection,
    /// The key of the last row given out of each table, as cells and as stored: a key that was tampered with can
    /// be continued from only as what it is.
    last: BTreeMap<String, (Vec<Cell>, Vec<Raw>)>,
}

impl Snapshot for SqliteSnapshot {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(self.read_page(table, page))
    }
}

impl SqliteSnapshot {
    async fn read_page(&mut self, table: &Table, page: &Page) -> Result<Vec<Row>, DatabaseError> {
        let after = page.after.as_deref().map(|after| self.stored_key(table, after));
        let key: Vec<String> = table.key.iter().map(|column| qualified(table, column)).collect();
        let from = after
            .as_deref()
            .map_or_else(String::new, |after| format!(" WHERE ({}) > ({})", key.join(", "), placeholders(after)));
        let sql = format!("{}{from} ORDER BY {} LIMIT ?", select_sql(table), key.join(", "));
        let arguments: Vec<Raw> = after.into_iter().flatten().chain([count(page.limit)]).collect();
        let found = fetch(&mut self.connection, table, sql, &arguments).await?;
        let failed = |error: sqlx::Error| read_error(&table.name, &error);
        if let Some(last) = found.last() {
            let raw = table
                .key_positions()
                .into_iter()
                .map(|at| bind::raw(last, at))
                .collect::<Result<Vec<_>, _>>()
                .map_err(failed)?;
            let kinds =
                table.key_positions().into_iter().filter_map(|at| table.columns.get(at)).map(|column| column.kind);
            let cells = kinds.zip(&raw).map(|(kind, raw)| bind::cell(kind, raw.clone())).collect();
            self.last.insert(table.name.clone(), (cells, raw));
        }
        found.iter().map(|row| bind::row(table, row).map_err(failed)).collect()
    }

    fn stored_key(&self, table: &Table, after: &[Cell]) -> Vec<Raw> {
        match self.last.get(&table.name) {
            Some((cells, raw)) if cells == after => raw.clone(),
            _ => after.iter().map(stored).collect(),
        }
    }
}

fn placeholders(values: &[Raw]) -> String {
    let places: Vec<&str> =
        values.iter().map(|value| if matches!(value, Raw::BadText(_)) { "CAST(? AS TEXT)" } else { "?" }).collect();
    places.join(", ")
}

/// Ends a connection that was opened for one purpose.
pub(crate) async fn end(connection: SqliteConnection) {
    connection.close().await.ok();
}
