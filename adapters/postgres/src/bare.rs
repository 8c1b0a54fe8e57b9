//! A writer without anything around it: rows into tables, in transactions, through the same driver, with the same
//! settings and the same statements as a commit. `lockstep bench` holds the whole against it.

use lockstep_core::database::{DatabaseError, TableWrites};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use crate::connect::{PostgresConfig, connected, end, writing};
use crate::error::words;
use crate::write::{Statement, statements_of};

/// A connection that writes, and nobody else's.
#[derive(Debug)]
pub struct BareWriter {
    connection: PgConnection,
}

/// The statements of one transaction with all their arguments, so that writing them is all that is left to do.
pub struct Transaction(Vec<Statement>);

impl Transaction {
    /// Makes the statements that write these rows.
    ///
    /// # Errors
    /// [`DatabaseError::Query`] where a cell does not fit its column.
    pub fn of(tables: &[TableWrites]) -> Result<Self, DatabaseError> {
        let written = tables.iter().filter(|part| !part.writes.is_empty());
        let statements = written.flat_map(statements_of).collect::<Result<Vec<_>, _>>();
        Ok(Transaction(statements.map_err(|detail| DatabaseError::Query { detail })?))
    }
}

impl BareWriter {
    /// Opens a database that is there.
    ///
    /// # Errors
    /// [`DatabaseError::Open`].
    pub async fn open(config: &PostgresConfig) -> Result<Self, DatabaseError> {
        let (url, options) = writing(config).await?;
        let failed = |error: sqlx::Error| DatabaseError::Open { url: url.clone(), detail: words(&error) };
        Ok(BareWriter { connection: connected(&options).await.map_err(failed)? })
    }

    /// Writes a transaction; durable when this returns.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn write(&mut self, transaction: Transaction) -> Result<(), DatabaseError> {
        let failed = |error: sqlx::Error| DatabaseError::Query { detail: words(&error) };
        let mut open = self.connection.begin().await.map_err(failed)?;
        for statement in transaction.0 {
            statement.run(&mut open).await.map_err(|error| DatabaseError::Query { detail: error.to_string() })?;
        }
        open.commit().await.map_err(failed)
    }

    /// Ends.
    pub async fn close(self) {
        end(self.connection).await;
    }
}

/// Bytes that each table takes, its indexes and what is stored apart included.
///
/// # Errors
/// The database's own words.
pub async fn stored(config: &PostgresConfig) -> Result<Vec<(String, u64)>, DatabaseError> {
    let (_, options) = writing(config).await?;
    let failed = |error: sqlx::Error| DatabaseError::Query { detail: words(&error) };
    let mut connection = connected(&options).await.map_err(failed)?;
    let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid) FROM pg_class AS c \
               JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'";
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.map_err(failed)?;
    end(connection).await;
    let table = |row: &sqlx::postgres::PgRow| -> Result<(String, u64), sqlx::Error> {
        Ok((row.try_get(0)?, u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default()))
    };
    rows.iter().map(table).collect::<Result<_, _>>().map_err(failed)
}
