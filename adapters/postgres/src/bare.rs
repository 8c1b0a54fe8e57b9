//! A writer without anything around it: rows into tables, in transactions, through the same driver, with the same
//! settings and the same statements as a commit. `lockstep bench` holds the whole against it.

use lockstep_core::database::{DatabaseError, TableWrites};
use lockstep_core::tables::Table;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::bind::quoted;
use crate::client::execute;
use crate::connect::{PostgresConfig, connected, end, writing};
use crate::error::words;
use crate::url::Address;
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

/// What a table takes, with its indexes and what is stored apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of its pages.
    pub pages: u64,
    /// Bytes of the rows in them.
    pub payload: u64,
}

/// What each table takes.
///
/// # Errors
/// The database's own words.
pub async fn stored(config: &PostgresConfig) -> Result<Vec<(String, Stored)>, DatabaseError> {
    let (_, options) = writing(config).await?;
    let failed = |error: sqlx::Error| DatabaseError::Query { detail: words(&error) };
    let mut connection = connected(&options).await.map_err(failed)?;
    let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid) FROM pg_class AS c \
               JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'";
    let tables = sqlx::query(sql).fetch_all(&mut connection).await.map_err(failed)?;
    let count = |row: &PgRow, at: usize| row.try_get::<i64, _>(at).map(|number| u64::try_from(number).unwrap_or(0));
    let mut found = Vec::new();
    for table in &tables {
        let name: String = table.try_get(0).map_err(failed)?;
        let sql = format!("SELECT coalesce(sum(pg_column_size(t.*)), 0)::bigint FROM {} AS t", quoted(&name));
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await.map_err(failed)?;
        let stored = Stored { pages: count(table, 1).map_err(failed)?, payload: count(&row, 0).map_err(failed)? };
        found.push((name, stored));
    }
    end(connection).await;
    Ok(found)
}

/// Copies all rows into another schema of the same database, whose tables are there and empty.
///
/// # Errors
/// The database's own words.
pub async fn copy(from: &PostgresConfig, to: &PostgresConfig, tables: &[Table]) -> Result<(), DatabaseError> {
    let schema = |config: &PostgresConfig| {
        let address = Address::parse(&config.url).ok().and_then(|address| address.schema);
        address
            .ok_or_else(|| DatabaseError::Query { detail: "a copy goes from one named schema to another".to_owned() })
    };
    let (source, target) = (schema(from)?, schema(to)?);
    let statement = |table: &Table| {
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let (name, columns) = (quoted(&table.name), columns.join(", "));
        format!("INSERT INTO {target}.{name} ({columns}) SELECT {columns} FROM {source}.{name}")
    };
    let statements: Vec<String> = tables.iter().map(statement).collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    execute(to, &statements).await
}
