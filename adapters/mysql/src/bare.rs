//! A writer without anything around it: rows into tables, in transactions, through the same driver, with the same
//! settings and the same statements as a commit. `lockstep bench` holds the whole against it.

use lockstep_core::database::{DatabaseError, TableWrites};
use lockstep_core::tables::Cell;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Executor};

use crate::bind;
use crate::check::Server;
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
    /// Bytes of its pages.
    pub pages: u64,
    /// Bytes of what was written into them; the server does not say, so these are the pages' again.
    pub payload: u64,
}

/// What each table takes, as far as the server's statistics say.
///
/// # Errors
/// The database's own words.
pub async fn stored(url: &str) -> Result<Vec<(String, Stored)>, DatabaseError> {
    let config = MySqlConfig { url: url.to_owned(), password: None, read_only: true, create: false };
    let database = MySqlDatabase::open(config).await?;
    let mut connection = connect(&database.options, &database.server, Session::Reading).await.map_err(failed)?;
    let sql = "SELECT TABLE_NAME, CAST(DATA_LENGTH + INDEX_LENGTH AS SIGNED) FROM information_schema.TABLES \
               WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'";
    let rows = ask(&mut connection, sql, &[]).await.map_err(failed)?;
    let table = |row| -> Result<(String, Stored), sqlx::Error> {
        let name = bind::answer(bind::raw(row, 0)?).show().unwrap_or_default();
        let pages = match bind::answer(bind::raw(row, 1)?) {
            Cell::Integer(number) => u64::try_from(number).unwrap_or_default(),
            _ => 0,
        };
        Ok((name, Stored { pages, payload: pages }))
    };
    let found = rows.iter().map(table).collect::<Result<_, _>>().map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(found)
}
