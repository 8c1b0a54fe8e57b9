//! From a batch to statements: as few as possible, each of a shape that recurs, so that it stays prepared.

use std::collections::HashSet;

use lockstep_core::database::{CommitError, TableWrites, Write};
use lockstep_core::tables::{Cell, Column, Row, Table};
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Executor};

use crate::bind::{bind, quoted};
use crate::commit::before_commit;

/// Most rows of one statement. Chunks are powers of two, so that few shapes cover every count.
const CHUNK_ROWS: usize = 64;

/// Most values of one statement; SQLite's own limit is 32,766.
const CHUNK_VALUES: usize = 8_192;

/// Rows with more bytes than this go alone, so that no statement holds many of them.
const LARGE_ROW: usize = 256 * 1024;

/// One statement with its arguments and what must come of it.
pub(crate) struct Statement {
    sql: String,
    arguments: SqliteArguments,
    expects: Expects,
}

/// How many rows a statement changes, and what it means if it does not.
enum Expects {
    /// One, or the log head is another one.
    Head,
    /// So many of this table, or the database refuses one of them.
    Rows(u64, String),
    /// Any number.
    Any,
}

impl Statement {
    pub(crate) fn comparing_head(sql: String, arguments: SqliteArguments) -> Self {
        Statement { sql, arguments, expects: Expects::Head }
    }

    pub(crate) fn changing_any(sql: String, arguments: SqliteArguments) -> Self {
        Statement { sql, arguments, expects: Expects::Any }
    }

    /// Runs it, once.
    pub(crate) async fn run(self, connection: &mut SqliteConnection) -> Result<(), CommitError> {
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let changed = connection.execute(query).await.map_err(|error| before_commit(&error))?.rows_affected();
        match self.expects {
            Expects::Head if changed != 1 => Err(CommitError::Conflict),
            Expects::Rows(expected, table) if changed != expected => {
                Err(CommitError::Refused { detail: format!("{table}: {changed} of {expected} rows could be written") })
            }
            _ => Ok(()),
        }
    }
}

/// The statements of one table's writes, in order, each made when it is asked for; in words, where a cell does not
/// fit its column.
pub(crate) fn statements_of(writes: &TableWrites) -> impl Iterator<Item = Result<Statement, String>> + Send + '_ {
    let TableWrites { table, writes } = writes;
    groups(writes).into_iter().flat_map(move |alike| chunks(table, alike)).map(move |chunk| statement(table, chunk))
}

/// A run of writes in parts that one statement may have.
fn chunks<'a>(table: &'a Table, alike: &'a [Write]) -> impl Iterator<Item = &'a [Write]> + Send {
    let mut rest = alike;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at_checked(chunk_len(table, rest)).filter(|(chunk, _)| !chunk.is_empty())?;
        rest = after;
        Some(chunk)
    })
}

/// Runs of neighbours that one statement can do: the same verb and, for updates, the same columns and no key twice.
fn groups(writes: &[Write]) -> Vec<&[Write]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut keys: HashSet<String> = HashSet::new();
    for (position, write) in writes.iter().enumerate() {
        let with_last = position.checked_sub(1).and_then(|last| writes.get(last)).is_none_or(|last| alike(last, write));
        let key = key_text(write);
        let repeated = key.as_ref().is_some_and(|key| keys.contains(key));
        if !with_last || repeated {
            groups.push(writes.get(start..position).unwrap_or_default());
            start = position;
            keys.clear();
        }
        keys.extend(key);
    }
    groups.push(writes.get(start..).unwrap_or_default());
    groups
}

fn alike(one: &Write, other: &Write) -> bool {
    match (one, other) {
        (Write::Insert(_), Write::Insert(_)) | (Write::Put(_), Write::Put(_)) => true,
        (Write::Update { set: one, .. }, Write::Update { set: other, .. }) => {
            one.iter().map(|(at, _)| at).eq(other.iter().map(|(at, _)| at))
        }
        _ => false,
    }
}

fn key_text(write: &Write) -> Option<String> {
    match write {
        Write::Update { key, .. } => Some(format!("{key:?}")),
        _ => None,
    }
}

/// The largest power of two of rows that stays within the limits.
fn chunk_len(table: &Table, writes: &[Write]) -> usize {
    let most = (CHUNK_VALUES / table.columns.len().max(1)).clamp(1, CHUNK_ROWS).min(writes.len());
    let small = writes.iter().take(most).take_while(|write| bytes(write) <= LARGE_ROW).count();
    small.max(1).checked_ilog2().map_or(1, |power| 1 << power)
}

fn bytes(write: &Write) -> usize {
    let of = |cell: &Cell| match cell {
        Cell::Text(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    match write {
        Write::Insert(row) | Write::Put(row) => row.iter().map(of).sum(),
        Write::Update { set, .. } => set.iter().map(|(_, cell)| of(cell)).sum(),
    }
}

/// One statement for writes that are alike.
pub(crate) fn statement(table: &Table, chunk: &[Write]) -> Result<Statement, String> {
    let mut arguments = SqliteArguments::default();
    for write in chunk {
        match write {
            Write::Insert(row) | Write::Put(row) => bind_row(&mut arguments, table, row)?,
            Write::Update { key, set } if chunk.len() == 1 => {
                bind_set(&mut arguments, table, set)?;
                bind_key(&mut arguments, table, key)?;
            }
            Write::Update { key, set } => {
                bind_key(&mut arguments, table, key)?;
                bind_set(&mut arguments, table, set)?;
            }
        }
    }
    let sql = match chunk.first() {
        Some(Write::Update { set, .. }) => update_sql(table, set, chunk.len()),
        Some(Write::Put(_)) => format!("{} {}", insert_sql(table, chunk.len()), on_conflict(table)),
        _ => insert_sql(table, chunk.len()),
    };
    Ok(Statement { sql, arguments, expects: Expects::Rows(chunk.len() as u64, table.name.clone()) })
}

fn bind_row(arguments: &mut SqliteArguments, table: &Table, row: &Row) -> Result<(), String> {
    if row.len() != table.columns.len() {
        return Err(format!("{} has {} columns and was given {} values", table.name, table.columns.len(), row.len()));
    }
    table.columns.iter().zip(row).try_for_each(|(column, cell)| bind(arguments, table, column, cell))
}

fn bind_set(arguments: &mut SqliteArguments, table: &Table, set: &[(usize, Cell)]) -> Result<(), String> {
    set.iter().try_for_each(|(position, cell)| bind(arguments, table, column(table, *position)?, cell))
}

fn bind_key(arguments: &mut SqliteArguments, table: &Table, key: &[Cell]) -> Result<(), String> {
    if key.len() != table.key.len() {
        return Err(format!(
            "the key of {} has {} columns and was given {} values",
            table.name,
            table.key.len(),
            key.len()
        ));
    }
    table
        .key_positions()
        .into_iter()
        .zip(key)
        .try_for_each(|(position, cell)| bind(arguments, table, column(table, position)?, cell))
}

fn column(table: &Table, position: usize) -> Result<&Column, String> {
    table.columns.get(position).ok_or_else(|| format!("{} has no column at position {position}", table.name))
}

fn insert_sql(table: &Table, rows: usize) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    format!("INSERT INTO {} ({}) VALUES {}", quoted(&table.name), columns.join(", "), values(rows, columns.len()))
}

/// An upsert, not REPLACE, which deletes the row first: that would fire users' delete triggers and foreign keys.
fn on_conflict(table: &Table) -> String {
    let key: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    let set: Vec<String> = table
        .columns
        .iter()
        .map(|column| quoted(&column.name))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    format!("ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
}

/// Several rows are updated from a list of values, first the key's, then the new ones.
fn update_sql(table: &Table, set: &[(usize, Cell)], rows: usize) -> String {
    let name = quoted(&table.name);
    let listed: Vec<String> = set
        .iter()
        .filter_map(|(position, _)| table.columns.get(*position))
        .map(|column| quoted(&column.name))
        .collect();
    let keys: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    if rows == 1 {
        let set: Vec<String> = listed.iter().map(|column| format!("{column} = ?")).collect();
        let key: Vec<String> = keys.iter().map(|column| format!("{column} = ?")).collect();
        return format!("UPDATE {name} SET {} WHERE {}", set.join(", "), key.join(" AND "));
    }
    let given = |at: usize| format!("given.column{}", at + 1);
    let set: Vec<String> =
        listed.iter().enumerate().map(|(at, column)| format!("{column} = {}", given(keys.len() + at))).collect();
    let key: Vec<String> =
        keys.iter().enumerate().map(|(at, column)| format!("{name}.{column} = {}", given(at))).collect();
    let values = values(rows, keys.len() + listed.len());
    format!("UPDATE {name} SET {} FROM (VALUES {values}) AS given WHERE {}", set.join(", "), key.join(" AND "))
}

fn values(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}
