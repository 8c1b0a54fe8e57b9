//! Everything that reads known tables: by column, in order, page by page.

use lockstep_core::database::{DatabaseError, Page, Pending, Snapshot};
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Kind, Row, Table};
use sqlx::mysql::{MySqlArguments, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::bind::{self, bind_cell, quoted};
use crate::connect::{MySqlDatabase, PATIENCE, READERS, Session, connect, within};
use crate::errors::{failed, read_error};

/// Most values that one statement looks for.
const VALUES: usize = 4_096;

/// Lists that are longer than this are not kept prepared.
const KEPT: usize = 64;

/// Rows whose column holds one of the values. A list is filled up to a power of two with its last value, so that few
/// shapes cover every count.
pub(crate) async fn select(
    database: &MySqlDatabase,
    table: &Table,
    column: &str,
    values: &[Cell],
) -> Result<Vec<Row>, DatabaseError> {
    let mut values: Vec<Cell> = values.iter().filter(|value| **value != Cell::Null).cloned().collect();
    values.sort_unstable();
    values.dedup();
    let kind = table.columns.iter().find(|known| known.name == column).map(|known| known.kind);
    let mut found = Vec::new();
    for some in values.chunks(VALUES) {
        let places = some.len().next_power_of_two();
        let list = vec![place(kind, some.first()); places].join(", ");
        let sql = format!("{} WHERE {} IN ({list})", select_sql(table), quoted(column));
        let filled: Vec<Cell> =
            some.iter().chain(std::iter::repeat(some.last().unwrap_or(&Cell::Null))).take(places).cloned().collect();
        found.extend(rows(database, table, sql, &filled).await?);
    }
    Ok(found)
}

/// How a value is compared: text with a decimal would be compared as doubles.
fn place(kind: Option<Kind>, value: Option<&Cell>) -> String {
    match (kind, value) {
        (Some(Kind::Projected(ColumnType::Decimal(precision, scale))), _) => {
            format!("CAST(? AS DECIMAL({precision},{scale}))")
        }
        (_, Some(Cell::Decimal(_))) => "CAST(? AS DECIMAL(65,30))".to_owned(),
        (_, Some(Cell::Timestamp(_))) => "CAST(? AS DATETIME(6))".to_owned(),
        (_, Some(Cell::Date(_))) => "CAST(? AS DATE)".to_owned(),
        _ => "?".to_owned(),
    }
}

/// Rows in the order of an integer column.
pub(crate) async fn follow(
    database: &MySqlDatabase,
    table: &Table,
    column: &str,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let column = quoted(column);
    let from = if after.is_some() { format!(" WHERE {column} > ?") } else { String::new() };
    let sql = format!("{}{from} ORDER BY {column} LIMIT ?", select_sql(table));
    let values: Vec<Cell> = after.map(Cell::Integer).into_iter().chain([count(limit)]).collect();
    rows(database, table, sql, &values).await
}

/// All columns of a table in order.
pub(crate) fn select_sql(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name))
}

pub(crate) fn count(number: usize) -> Cell {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Reads rows of a known table with one of the kept connections. They are not tried before each use; one that the
/// server closed meanwhile fails at once, and the next one is taken.
pub(crate) async fn rows(
    database: &MySqlDatabase,
    table: &Table,
    sql: String,
    values: &[Cell],
) -> Result<Vec<Row>, DatabaseError> {
    let mut tries = 0..READERS;
    loop {
        match rows_once(database, table, &sql, values).await {
            Err(sqlx::Error::Io(_)) if tries.next().is_some() => {}
            result => return result.map_err(|error| read_error(&table.name, &error)),
        }
    }
}

async fn rows_once(
    database: &MySqlDatabase,
    table: &Table,
    sql: &str,
    values: &[Cell],
) -> Result<Vec<Row>, sqlx::Error> {
    let mut reader = database.readers.acquire().await?;
    fetch(&mut reader, table, sql, values).await
}

async fn fetch(
    connection: &mut MySqlConnection,
    table: &Table,
    sql: &str,
    values: &[Cell],
) -> Result<Vec<Row>, sqlx::Error> {
    let mut arguments = MySqlArguments::default();
    for value in values {
        bind_cell(&mut arguments, value).map_err(|words| sqlx::Error::Encode(words.into()))?;
    }
    let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments).persistent(values.len() <= KEPT);
    within(PATIENCE, query.fetch_all(connection)).await?.iter().map(|row| bind::row(table, row)).collect()
}

/// Opens a snapshot on a connection of its own: dropping it ends its transaction for sure.
pub(crate) async fn snapshot(database: &MySqlDatabase) -> Result<Box<dyn Snapshot>, DatabaseError> {
    let mut connection = connect(&database.options, &database.server, Session::Reading).await.map_err(failed)?;
    // What all reads of a transaction see is fixed at this level only, and by this word at its beginning.
    for sql in
        ["SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"]
    {
        within(PATIENCE, connection.execute(sql)).await.map_err(failed)?;
    }
    Ok(Box::new(MySqlSnapshot { connection }))
}

/// One moment of the database.
struct MySqlSnapshot {
    connection: MySqlConnection,
}

impl Snapshot for MySqlSnapshot {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(self.read_page(table, page))
    }
}

impl MySqlSnapshot {
    async fn read_page(&mut self, table: &Table, page: &Page) -> Result<Vec<Row>, DatabaseError> {
        let key: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
        let (from, values) = match &page.after {
            Some(after) => beyond(&key, after),
            None => (String::new(), Vec::new()),
        };
        let sql = format!("{} FORCE INDEX (PRIMARY){from} ORDER BY {} LIMIT ?", select_sql(table), key.join(", "));
        let values: Vec<Cell> = values.into_iter().chain([count(page.limit)]).collect();
        fetch(&mut self.connection, table, &sql, &values).await.map_err(|error| read_error(&table.name, &error))
    }
}

/// Keys after one, in words that reach the index: comparing rows, as in `(a, b) > (?, ?)`, does not.
fn beyond(key: &[String], after: &[Cell]) -> (String, Vec<Cell>) {
    let (mut arms, mut values) = (Vec::new(), Vec::new());
    for last in 0..key.len().min(after.len()) {
        let known = key.iter().take(last).map(|column| format!("{column} = ?"));
        let next = key.iter().skip(last).take(1).map(|column| format!("{column} > ?"));
        arms.push(format!("({})", known.chain(next).collect::<Vec<_>>().join(" AND ")));
        values.extend(after.iter().take(last + 1).cloned());
    }
    (format!(" WHERE {}", arms.join(" OR ")), values)
}

/// Ends a connection that was opened for one purpose.
pub(crate) async fn end(connection: MySqlConnection) {
    within(PATIENCE, connection.close()).await.ok();
}
