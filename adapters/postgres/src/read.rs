//! Everything that reads known tables: by column, in order, page by page.

use lockstep_core::database::{DatabaseError, Page, Pending, Snapshot};
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Column, Kind, Row, Table};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, Executor};

use crate::bind::{self, Many, One, Wire, quoted};
use crate::connect::{PostgresDatabase, answered, connected};
use crate::error::{of_read, unavailable};

/// How a snapshot sees what was there when it read first, and nothing later.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Rows whose column holds one of the values. They go as one array, so that any number of them is one statement, of
/// one moment, and stays prepared.
pub(crate) async fn select(
    database: &PostgresDatabase,
    table: &Table,
    column: &str,
    values: &[Cell],
) -> Result<Vec<Row>, DatabaseError> {
    let Some((wire, cast)) = travels(table, column, values) else { return Ok(Vec::new()) };
    let mut list = Many::new(wire);
    for value in values.iter().filter(|value| **value != Cell::Null) {
        // What is of another kind than the column stands in no row of it.
        list.push(value);
    }
    let sql = format!("{} WHERE {} = ANY($1{cast})", select_sql(table), qualified(table, column));
    let mut arguments = PgArguments::default();
    arguments.add(list).map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
    rows(database, table, sql, arguments).await
}

/// How the values of a column travel and what they are cast to; the table may not have the column among those that it
/// names, and then the values tell.
fn travels(table: &Table, column: &str, values: &[Cell]) -> Option<(Wire, &'static str)> {
    let known = table.position(column).and_then(|at| table.columns.get(at)).map(|column| column.kind);
    let told = || {
        values.iter().find_map(|value| match value {
            Cell::Text(_) => Some(Kind::Text),
            Cell::Bytes(_) => Some(Kind::Bytes),
            Cell::Integer(_) => Some(Kind::Integer),
            Cell::Boolean(_) => Some(Kind::Boolean),
            Cell::Timestamp(_) => Some(Kind::Timestamp),
            Cell::Decimal(_) => Some(Kind::Projected(ColumnType::Decimal(38, 0))),
            Cell::Date(_) => Some(Kind::Projected(ColumnType::Date)),
            Cell::Null | Cell::Foreign(_) => None,
        })
    };
    let kind = if values.is_empty() { None } else { known.or_else(told) }?;
    let cast = if matches!(kind, Kind::Projected(ColumnType::Decimal(..))) { "::text[]::numeric[]" } else { "" };
    Some((Wire::of(kind), cast))
}

/// Rows in the order of an integer column.
pub(crate) async fn follow(
    database: &PostgresDatabase,
    table: &Table,
    column: &str,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let column = qualified(table, column);
    let from = if after.is_some() { format!(" WHERE {column} > $2") } else { String::new() };
    let sql = format!("{}{from} ORDER BY {column} LIMIT $1", select_sql(table));
    let numbers = [Some(count(limit)), after];
    rows(database, table, sql, integers(numbers.into_iter().flatten())?).await
}

/// All columns of a table in order. Decimals as text: that is exact, and what the other databases give.
pub(crate) fn select_sql(table: &Table) -> String {
    let column = |column: &Column| match column.kind {
        Kind::Projected(ColumnType::Decimal(..)) => format!("{}::text", qualified(table, &column.name)),
        _ => qualified(table, &column.name),
    };
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    format!("SELECT {} FROM {}", columns.join(", "), quoted(&table.name))
}

fn qualified(table: &Table, column: &str) -> String {
    format!("{}.{}", quoted(&table.name), quoted(column))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn integers(numbers: impl IntoIterator<Item = i64>) -> Result<PgArguments, DatabaseError> {
    let mut arguments = PgArguments::default();
    for number in numbers {
        arguments.add(number).map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
    }
    Ok(arguments)
}

/// Reads at most so many rows of a known table.
pub(crate) async fn first(
    database: &PostgresDatabase,
    table: &Table,
    condition: &str,
    limit: usize,
) -> Result<Vec<Row>, DatabaseError> {
    let sql = format!("{} {condition} LIMIT $1", select_sql(table));
    rows(database, table, sql, integers([count(limit)])?).await
}

/// Reads rows of a known table with one of the kept connections.
async fn rows(
    database: &PostgresDatabase,
    table: &Table,
    sql: String,
    arguments: PgArguments,
) -> Result<Vec<Row>, DatabaseError> {
    let mut reader = database.readers.acquire().await.map_err(|error| of_read(&table.name, &error))?;
    fetch(&mut reader, table, sql, arguments).await
}

async fn fetch(
    connection: &mut PgConnection,
    table: &Table,
    sql: String,
    arguments: PgArguments,
) -> Result<Vec<Row>, DatabaseError> {
    let failed = |error: sqlx::Error| of_read(&table.name, &error);
    let found =
        answered(sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection)).await.map_err(failed)?;
    found.iter().map(|row| bind::row(table, row).map_err(failed)).collect()
}

/// Opens a snapshot on a connection of its own: dropping it ends its transaction for sure.
pub(crate) async fn snapshot(database: &PostgresDatabase) -> Result<Box<dyn Snapshot>, DatabaseError> {
    let mut connection = connected(&database.reading).await.map_err(unavailable)?;
    // BEGIN alone fixes nothing; the first read does.
    for sql in [BEGIN, "SELECT 1"] {
        answered(connection.execute(sql)).await.map_err(unavailable)?;
    }
    Ok(Box::new(PostgresSnapshot { connection }))
}

/// One moment of the database.
struct PostgresSnapshot {
    connection: PgConnection,
}

impl Snapshot for PostgresSnapshot {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(self.read_page(table, page))
    }
}

impl PostgresSnapshot {
    /// A failed statement would end the transaction, and with it the moment: each has a savepoint.
    async fn read_page(&mut self, table: &Table, page: &Page) -> Result<Vec<Row>, DatabaseError> {
        let (sql, arguments) = page_of(table, page)?;
        answered(self.connection.execute("SAVEPOINT page")).await.map_err(unavailable)?;
        let found = fetch(&mut self.connection, table, sql, arguments).await;
        let ended = if found.is_ok() { "RELEASE SAVEPOINT page" } else { "ROLLBACK TO SAVEPOINT page" };
        answered(self.connection.execute(ended)).await.map_err(unavailable)?;
        found
    }
}

fn page_of(table: &Table, page: &Page) -> Result<(String, PgArguments), DatabaseError> {
    let mut arguments = integers([count(page.limit)])?;
    let key: Vec<String> = table.key.iter().map(|column| qualified(table, column)).collect();
    let mut from = String::new();
    if let Some(after) = &page.after {
        let places: Vec<String> = (2..after.len() + 2).map(|at| format!("${at}")).collect();
        from = format!(" WHERE ({}) > ({})", key.join(", "), places.join(", "));
        let kinds = table.key_positions().into_iter().filter_map(|at| table.columns.get(at)).map(|column| column.kind);
        for (kind, cell) in kinds.zip(after) {
            let shape = |detail: String| DatabaseError::Shape { table: table.name.clone(), detail };
            let one = One::new(Wire::of(kind), cell)
                .ok_or_else(|| shape("its key has another type; nothing can be read behind it".to_owned()))?;
            arguments.add(one).map_err(|error| shape(error.to_string()))?;
        }
    }
    Ok((format!("{}{from} ORDER BY {} LIMIT $1", select_sql(table), key.join(", ")), arguments))
}
