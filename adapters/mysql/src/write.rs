//! From a batch to statements: as few as possible, each of a shape that recurs, so that it stays prepared.

use std::collections::HashSet;

use lockstep_core::database::{CommitError, TableWrites, Write};
use lockstep_core::tables::{Cell, Column, Row, Table, name};
use sqlx::mysql::{MySqlArguments, MySqlConnection};
use sqlx::{AssertSqlSafe, Executor};

use crate::bind::{bind, quoted};
use crate::connect::{PATIENCE, within};
use crate::errors::{DUPLICATE, before_commit, number};

/// Most rows of one statement. Chunks are powers of two, so that few shapes cover every count.
const CHUNK_ROWS: usize = 64;

/// Most rows of one update, which compares each row's key with all of them.
const UPDATED_ROWS: usize = 32;

/// Most values of one statement; the protocol's own limit is 65,535.
const CHUNK_VALUES: usize = 8_192;

/// Rows with more bytes than this go alone, so that no statement holds many of them.
const LARGE_ROW: usize = 64 * 1024;

/// What a statement takes in a packet beside its texts and bytes, for each value.
const VALUE_BYTES: usize = 16;

/// One statement with its arguments and what must come of it.
pub(crate) struct Statement {
    sql: String,
    arguments: MySqlArguments,
    /// About how many bytes go to the server.
    bytes: usize,
    table: String,
    expects: Expects,
}

/// How many rows a statement changes, and what it means if it does not.
enum Expects {
    /// One, or the log head is another one.
    Head,
    /// So many, or the database refuses one of them. What puts a row in place of another counts twice.
    Rows(u64),
    /// Any number.
    Any,
}

impl Statement {
    pub(crate) fn comparing_head(sql: String, arguments: MySqlArguments) -> Self {
        Statement { sql, arguments, bytes: 0, table: name::META.to_owned(), expects: Expects::Head }
    }

    pub(crate) fn changing_any(table: &str, sql: String, arguments: MySqlArguments) -> Self {
        Statement { sql, arguments, bytes: 0, table: table.to_owned(), expects: Expects::Any }
    }

    /// Runs it, once.
    pub(crate) async fn run(self, connection: &mut MySqlConnection, max_packet: u64) -> Result<(), CommitError> {
        let Statement { sql, arguments, bytes, table, expects } = self;
        if bytes as u64 >= max_packet {
            return Err(CommitError::Refused { detail: too_large(&table, bytes, max_packet) });
        }
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        let done = within(PATIENCE, connection.execute(query)).await;
        let changed = match done {
            // The first head of a database is inserted; that it is there is the conflict.
            Err(error) if matches!(expects, Expects::Head) && number(&error) == Some(DUPLICATE) => 0,
            done => done.map_err(|error| before_commit(&table, &error))?.rows_affected(),
        };
        match expects {
            Expects::Head if changed != 1 => Err(CommitError::Conflict),
            Expects::Rows(expected) if !(expected..=2 * expected).contains(&changed) => {
                Err(CommitError::Refused { detail: format!("{table}: {changed} of {expected} rows could be written") })
            }
            _ => Ok(()),
        }
    }
}

fn too_large(table: &str, bytes: usize, max_packet: u64) -> String {
    format!(
        "{table}: a row of {bytes} bytes does not go through the server's max_allowed_packet of {max_packet}; \
         mend it with: SET GLOBAL max_allowed_packet = 67108864, and start the node again"
    )
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
    let rows = if matches!(writes.first(), Some(Write::Update { .. })) { UPDATED_ROWS } else { CHUNK_ROWS };
    let most = (CHUNK_VALUES / table.columns.len().max(1)).clamp(1, rows).min(writes.len());
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
    let mut arguments = MySqlArguments::default();
    for write in chunk {
        if let Write::Insert(row) | Write::Put(row) = write {
            bind_row(&mut arguments, table, row)?;
        }
    }
    bind_updates(&mut arguments, table, chunk)?;
    let sql = match chunk.first() {
        Some(Write::Update { set, .. }) => update_sql(table, set, chunk.len()),
        Some(Write::Put(_)) => format!("{} {}", insert_sql(table, chunk.len()), on_duplicate(table)),
        _ => insert_sql(table, chunk.len()),
    };
    let values = chunk.len() * 2 * table.columns.len() * VALUE_BYTES;
    let bytes = chunk.iter().map(bytes).sum::<usize>() + values;
    Ok(Statement { sql, arguments, bytes, table: table.name.clone(), expects: Expects::Rows(chunk.len() as u64) })
}

fn bind_row(arguments: &mut MySqlArguments, table: &Table, row: &Row) -> Result<(), String> {
    if row.len() != table.columns.len() {
        return Err(format!("{} has {} columns and was given {} values", table.name, table.columns.len(), row.len()));
    }
    table.columns.iter().zip(row).try_for_each(|(column, cell)| bind(arguments, table, column, cell))
}

fn bind_set(arguments: &mut MySqlArguments, table: &Table, set: &[(usize, Cell)]) -> Result<(), String> {
    set.iter().try_for_each(|(position, cell)| bind(arguments, table, column(table, *position)?, cell))
}

fn bind_key(arguments: &mut MySqlArguments, table: &Table, key: &[Cell]) -> Result<(), String> {
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

/// An upsert, not REPLACE, which deletes the row first: that would fire users' delete triggers and foreign keys. The
/// server takes any unique index for the key's; where the row that it found has another key, that is made NULL, which
/// no key can be, and the row is refused.
fn on_duplicate(table: &Table) -> String {
    let given = |column: &str| format!("VALUES({column})");
    let is_key = |column: &Column| table.key.contains(&column.name);
    let key = table.columns.iter().filter(|column| is_key(column)).map(|column| quoted(&column.name));
    let guarded = key.map(|key| format!("{key} = IF({key} = {given}, {key}, NULL)", given = given(&key)));
    let others = table.columns.iter().filter(|column| !is_key(column)).map(|column| quoted(&column.name));
    let set: Vec<String> = guarded.chain(others.map(|column| format!("{column} = {}", given(&column)))).collect();
    format!("ON DUPLICATE KEY UPDATE {}", set.join(", "))
}

/// Several rows are updated by choosing each new value by the key. A list of values to join with would be a temporary
/// table, on disk where one of them is a document.
fn update_sql(table: &Table, set: &[(usize, Cell)], rows: usize) -> String {
    let columns = set.iter().filter_map(|(position, _)| table.columns.get(*position));
    let key: Vec<String> = table.key.iter().map(|column| format!("{} = ?", quoted(column))).collect();
    let key = key.join(" AND ");
    let value = match rows {
        1 => "?".to_owned(),
        _ => format!("CASE {}END", format!("WHEN {key} THEN ? ").repeat(rows)),
    };
    let set: Vec<String> = columns.map(|column| format!("{} = {value}", quoted(&column.name))).collect();
    let found = vec![format!("({key})"); rows].join(" OR ");
    format!("UPDATE {} SET {} WHERE {found}", quoted(&table.name), set.join(", "))
}

/// The arguments of an update: for each column every row's key and value, or the value alone where there is one row,
/// then the keys again.
fn bind_updates(arguments: &mut MySqlArguments, table: &Table, chunk: &[Write]) -> Result<(), String> {
    let updates = || {
        chunk.iter().filter_map(|write| match write {
            Write::Update { key, set } => Some((key, set)),
            _ => None,
        })
    };
    for at in 0..updates().next().map_or(0, |(_, set)| set.len()) {
        for (key, set) in updates() {
            if chunk.len() > 1 {
                bind_key(arguments, table, key)?;
            }
            bind_set(arguments, table, set.get(at..=at).unwrap_or_default())?;
        }
    }
    updates().try_for_each(|(key, _)| bind_key(arguments, table, key))
}

fn values(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}
