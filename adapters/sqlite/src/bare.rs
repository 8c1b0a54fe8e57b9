//! A writer without anything around it: rows into tables, in transactions, through the same driver, with the same
//! settings and the same statements as a commit. `lockstep bench` holds the whole against it.

use std::path::Path;

use lockstep_core::database::{DatabaseError, TableWrites};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::bind;
use crate::connect::{reading_options, writing_options};
use crate::write::{Statement, statements_of};

/// A connection that writes, and nobody else's.
#[derive(Debug)]
pub struct BareWriter {
    connection: SqliteConnection,
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

impl BareWriter {
    /// Opens a database that is there.
    ///
    /// # Errors
    /// [`DatabaseError::Open`].
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        let failed = |error: sqlx::Error| DatabaseError::Open {
            url: format!("sqlite:{}", path.display()),
            detail: bind::words(&error),
        };
        Ok(BareWriter { connection: writing_options(path).connect().await.map_err(failed)? })
    }

    /// Writes a transaction; durable when this returns.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn write(&mut self, transaction: Transaction) -> Result<(), DatabaseError> {
        let failed = |error: sqlx::Error| DatabaseError::Query { detail: bind::words(&error) };
        let mut open = self.connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for statement in transaction.0 {
            statement.run(&mut open).await.map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
        }
        open.commit().await.map_err(failed)
    }

    /// Moves the log into the file, and ends.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn close(self) -> Result<(), DatabaseError> {
        let failed = |error: sqlx::Error| DatabaseError::Query { detail: bind::words(&error) };
        self.connection.close().await.map_err(failed)
    }
}

/// What a table takes, with its indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of its pages.
    pub pages: u64,
    /// Bytes of what was written into them.
    pub payload: u64,
}

/// What each table takes.
///
/// # Errors
/// The database's own words.
pub async fn stored(path: &Path) -> Result<Vec<(String, Stored)>, DatabaseError> {
    let failed = |error: sqlx::Error| DatabaseError::Query { detail: bind::words(&error) };
    let mut connection = reading_options(path).connect().await.map_err(failed)?;
    let sql = "SELECT schema.tbl_name, sum(stat.pgsize), sum(stat.payload) FROM dbstat AS stat \
               JOIN sqlite_schema AS schema ON schema.name = stat.name GROUP BY schema.tbl_name";
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.map_err(failed)?;
    let count = |row, at| bind::raw(row, at).map(|raw| bind::answer(raw).as_count().unwrap_or_default());
    let table = |row| -> Result<(String, Stored), sqlx::Error> {
        let name = bind::answer(bind::raw(row, 0)?);
        let stored = Stored { pages: count(row, 1)?, payload: count(row, 2)? };
        Ok((name.as_str().unwrap_or_default().to_owned(), stored))
    };
    let found = rows.iter().map(table).collect::<Result<_, _>>().map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(found)
}
