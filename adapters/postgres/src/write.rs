//! From a batch to statements: one for each run of writes alike, whatever its length, so that every shape recurs and
//! stays prepared. Rows travel as one array for each column.

use std::collections::HashSet;

use lockstep_core::database::{CommitError, TableWrites, Write};
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Column, Kind, Table};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, Executor};

use crate::bind::{Many, Wire, quoted, sql_type};
use crate::connect::answered;
use crate::error::before_commit;

/// Most rows of one statement.
const CHUNK_ROWS: usize = 4_096;

/// Most bytes of one statement, unless a single row has more.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// One statement with its arguments and what must come of it.
pub(crate) struct Statement {
    sql: String,
    arguments: PgArguments,
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
    pub(crate) fn comparing_head(sql: String, arguments: PgArguments) -> Self {
        Statement { sql, arguments, expects: Expects::Head }
    }

    pub(crate) fn changing_any(sql: String, arguments: PgArguments) -> Self {
        Statement { sql, arguments, expects: Expects::Any }
    }

    /// Runs it, once.
    pub(crate) async fn run(self, connection: &mut PgConnection) -> Result<(), CommitError> {
        let query = sqlx::query_with(AssertSqlSafe(self.sql), self.arguments);
        let changed = answered(connection.execute(query)).await.map_err(|error| before_commit(&error))?.rows_affected();
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
    groups(table, writes).into_iter().flat_map(chunks).map(move |chunk| statement(table, chunk))
}

/// A run of writes in parts that one statement may have.
fn chunks(alike: &[Write]) -> impl Iterator<Item = &[Write]> + Send {
    let mut rest = alike;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at_checked(chunk_len(rest)).filter(|(chunk, _)| !chunk.is_empty())?;
        rest = after;
        Some(chunk)
    })
}

/// Runs of neighbours that one statement can do: the same verb, for updates the same columns, and where a row may be
/// there already no key twice.
fn groups<'a>(table: &Table, writes: &'a [Write]) -> Vec<&'a [Write]> {
    let mut groups = Vec::new();
    let mut start = 0;
    let mut keys: HashSet<Vec<&Cell>> = HashSet::new();
    for (position, write) in writes.iter().enumerate() {
        let with_last = position.checked_sub(1).and_then(|last| writes.get(last)).is_none_or(|last| alike(last, write));
        let key = key_of(table, write);
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

/// The key of a row that may be there already.
fn key_of<'a>(table: &Table, write: &'a Write) -> Option<Vec<&'a Cell>> {
    match write {
        Write::Insert(_) => None,
        Write::Put(row) => Some(table.key_positions().into_iter().filter_map(|at| row.get(at)).collect()),
        Write::Update { key, .. } => Some(key.iter().collect()),
    }
}

fn chunk_len(writes: &[Write]) -> usize {
    let mut bytes = 0;
    let fits = |write: &&Write| {
        bytes += size(write);
        bytes <= CHUNK_BYTES
    };
    writes.iter().take(CHUNK_ROWS).take_while(fits).count().max(1).min(writes.len())
}

fn size(write: &Write) -> usize {
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
    let columns = columns(table, chunk.first())?;
    let mut arrays: Vec<Many> = columns.iter().map(|column| Many::new(Wire::of(column.kind))).collect();
    for write in chunk {
        let cells: Vec<&Cell> = match write {
            Write::Insert(row) | Write::Put(row) => row.iter().collect(),
            Write::Update { key, set } => key.iter().chain(set.iter().map(|(_, cell)| cell)).collect(),
        };
        if cells.len() != columns.len() {
            return Err(format!("{} has {} columns and was given {} values", table.name, columns.len(), cells.len()));
        }
        for ((array, column), cell) in arrays.iter_mut().zip(&columns).zip(cells) {
            array.push_for(table, column, cell)?;
        }
    }
    let mut arguments = PgArguments::default();
    for array in arrays {
        arguments.add(array).map_err(|error| error.to_string())?;
    }
    let sql = match chunk.first() {
        Some(Write::Update { .. }) => update_sql(table, &columns),
        Some(Write::Put(_)) => format!("{} {}", insert_sql(table), on_conflict(table)),
        _ => insert_sql(table),
    };
    Ok(Statement { sql, arguments, expects: Expects::Rows(chunk.len() as u64, table.name.clone()) })
}

/// The columns that a write gives values for: all, or those of the key and then those that are set.
fn columns<'a>(table: &'a Table, write: Option<&Write>) -> Result<Vec<&'a Column>, String> {
    let Some(Write::Update { set, .. }) = write else { return Ok(table.columns.iter().collect()) };
    let keys = table.key_positions();
    let at = |position: usize| {
        table.columns.get(position).ok_or_else(|| format!("{} has no column at position {position}", table.name))
    };
    keys.into_iter().chain(set.iter().map(|(position, _)| *position)).map(at).collect()
}

/// `given` has a row for each write, its columns named by number; decimals, which travel as text, are cast.
fn given(columns: usize) -> String {
    let arrays: Vec<String> = (1..=columns).map(|at| format!("${at}")).collect();
    let names: Vec<String> = (1..=columns).map(|at| format!("c{at}")).collect();
    format!("unnest({}) AS given({})", arrays.join(", "), names.join(", "))
}

fn given_value(at: usize, column: &Column) -> String {
    match column.kind {
        Kind::Projected(ColumnType::Decimal(..)) => format!("given.c{}::{}", at + 1, sql_type(column.kind)),
        _ => format!("given.c{}", at + 1),
    }
}

fn insert_sql(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let values: Vec<String> = table.columns.iter().enumerate().map(|(at, column)| given_value(at, column)).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        quoted(&table.name),
        columns.join(", "),
        values.join(", "),
        given(columns.len())
    )
}

fn on_conflict(table: &Table) -> String {
    let key: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    let set: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !table.key.contains(&column.name))
        .map(|column| quoted(&column.name))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    // A table of nothing but its key still counts the row as written.
    let set =
        if set.is_empty() { key.iter().map(|column| format!("{column} = excluded.{column}")).collect() } else { set };
    format!("ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), set.join(", "))
}

/// Rows are found by the key's columns, which come first, and get the ones behind.
fn update_sql(table: &Table, columns: &[&Column]) -> String {
    let name = quoted(&table.name);
    let keys = table.key_positions().len();
    let pair = |(at, column): (usize, &&Column)| (quoted(&column.name), given_value(at, column));
    let pairs: Vec<(String, String)> = columns.iter().enumerate().map(pair).collect();
    let (key, set) = pairs.split_at_checked(keys).unwrap_or((&pairs, &[]));
    let set: Vec<String> = set.iter().map(|(column, value)| format!("{column} = {value}")).collect();
    let key: Vec<String> = key.iter().map(|(column, value)| format!("{name}.{column} = {value}")).collect();
    format!("UPDATE {name} SET {} FROM {} WHERE {}", set.join(", "), given(columns.len()), key.join(" AND "))
}
