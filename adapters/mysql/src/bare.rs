//! A writer without anything around it: rows into tables, in transactions, through the same driver, with the same
//! settings and the same statements as a commit. `lockstep bench` holds the whole against it.

use std::str::FromStr;

use lockstep_core::database::{DatabaseError, TableWrites};
use lockstep_core::tables::{Cell, Table};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{Connection, Executor};

use crate::bind::{self, quoted};
use crate::check::Server;
use crate::client::execute;
use crate::connect::{MySqlConfig, MySqlDatabase, Session, ask, connect};
use crate::errors::words;
use crate::write::{Statement, statements_of};

/// A connection that writes, and nobody else's.
#[derive(Debug)]
pub struct BareWriter {
    connection: MySqlConnection,
    server: Server,
}

/// The statements of one transaction with all their arguments, so that writing them is all that is left to do.
pub struct Transaction(Vec<Statement>);

impl Transaction {
    /// Makes the statements that write these rows.
    ///
    /// # Errors
    /// [`DatabaseError::Query`] where a cell does not fit its column.
    pub fn of(tables: &[TableWrites]) -> Result<Self, DatabaseError> {
        let statements = tables.iter().flat_map(statements_of).collect::<Result<Vec<_>, _>>();
        Ok(Transaction(statements.map_err(|detail| DatabaseError::Query { detail })?))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: sqlx::Error) -> DatabaseError {
    DatabaseError::Query { detail: words(&error) }
}

impl BareWriter {
    /// Opens a database that is there.
    ///
    /// # Errors
    /// [`DatabaseError::Open`].
    pub async fn open(url: &str) -> Result<Self, DatabaseError> {
        let config = MySqlConfig { url: url.to_owned(), password: None, read_only: true, create: false };
        let database = MySqlDatabase::open(config).await?;
        let connection = connect(&database.options, &database.server, Session::Writing).await.map_err(failed)?;
        Ok(BareWriter { connection, server: database.server.clone() })
    }

    /// Writes a transaction; durable when this returns.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn write(&mut self, transaction: Transaction) -> Result<(), DatabaseError> {
        self.connection.execute("BEGIN").await.map_err(failed)?;
        for statement in transaction.0 {
            let done = statement.run(&mut self.connection, self.server.max_packet).await;
            done.map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
        }
        self.connection.execute("COMMIT").await.map(|_| ()).map_err(failed)
    }

    /// Ends.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn close(self) -> Result<(), DatabaseError> {
        self.connection.close().await.map_err(failed)
    }
}

/// What a table takes, with its indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of its pages, as far as the server's statistics say.
    pub pages: u64,
    /// Bytes of the values in them.
    pub payload: u64,
}

/// What each table takes.
///
/// # Errors
/// The database's own words.
pub async fn stored(url: &str) -> Result<Vec<(String, Stored)>, DatabaseError> {
    let mut connection = BareWriter::open(url).await?.connection;
    let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'";
    let mut found = Vec::new();
    for row in ask(&mut connection, sql, &[]).await.map_err(failed)? {
        let name = text(&row).map_err(failed)?;
        found.push((name.clone(), of_table(&mut connection, &name).await.map_err(failed)?));
    }
    connection.close().await.map_err(failed)?;
    Ok(found)
}

async fn of_table(connection: &mut MySqlConnection, table: &str) -> Result<Stored, sqlx::Error> {
    // Who may not write gets the statistics as they are.
    ask(connection, &format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {}", quoted(table)), &[]).await.ok();
    let here = "TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
    let named = [Cell::Text(table.to_owned())];
    let pages =
        format!("SELECT CAST(DATA_LENGTH + INDEX_LENGTH AS SIGNED) FROM information_schema.TABLES WHERE {here}");
    let pages = ask(connection, &pages, &named).await?;
    let columns = format!("SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE {here}");
    let columns = ask(connection, &columns, &named).await?;
    let columns = columns.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let lengths: Vec<String> =
        columns.iter().map(|column| format!("COALESCE(LENGTH({}), 0)", quoted(column))).collect();
    let payload = format!("SELECT CAST(COALESCE(SUM({}), 0) AS SIGNED) FROM {}", lengths.join(" + "), quoted(table));
    let payload = ask(connection, &payload, &[]).await?;
    Ok(Stored { pages: number(pages.first())?, payload: number(payload.first())? })
}

fn text(row: &MySqlRow) -> Result<String, sqlx::Error> {
    Ok(bind::answer(bind::raw(row, 0)?).show().unwrap_or_default())
}

fn number(row: Option<&MySqlRow>) -> Result<u64, sqlx::Error> {
    let cell = row.map(|row| bind::raw(row, 0)).transpose()?.map(bind::answer);
    Ok(cell.and_then(|cell| cell.as_count()).unwrap_or_default())
}

/// Copies all rows into another database of the same server, whose tables are there and empty.
///
/// # Errors
/// The database's own words.
pub async fn copy(from: &str, to: &str, tables: &[Table]) -> Result<(), DatabaseError> {
    let source = quoted(database_of(from)?.as_str());
    let statement = |table: &Table| {
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let (name, columns) = (quoted(&table.name), columns.join(", "));
        format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM {source}.{name}")
    };
    let statements: Vec<String> = tables.iter().map(statement).collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    execute(to, &statements).await
}

fn database_of(url: &str) -> Result<String, DatabaseError> {
    let options = MySqlConnectOptions::from_str(url).map_err(failed)?;
    let named = options.get_database().map(str::to_owned);
    named.ok_or_else(|| DatabaseError::Query { detail: "a copy goes from one named database to another".to_owned() })
}
