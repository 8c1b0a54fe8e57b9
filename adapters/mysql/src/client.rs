//! What any other SQL client does to a database: for demonstrations, backups and tests.
//!
//! Nothing here knows a managed table. It is kept apart from the adapter on purpose: what it writes did not
//! come through a commit, and `verify` is there to notice.

use std::str::FromStr;

use lockstep_core::database::DatabaseError;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::connect::without_password;
use crate::errors::words;

fn failed(url: &str, error: &sqlx::Error) -> DatabaseError {
    DatabaseError::Query { detail: format!("{}: {}", without_password(url), words(error)) }
}

async fn connect(url: &str) -> Result<MySqlConnection, DatabaseError> {
    let options = MySqlConnectOptions::from_str(url).map_err(|error| failed(url, &error))?;
    options.disable_statement_logging().connect().await.map_err(|error| failed(url, &error))
}

/// Runs statements on a database, as its owner could with any client.
///
/// # Errors
/// The database's own words.
pub async fn execute(url: &str, statements: &[&str]) -> Result<(), DatabaseError> {
    let mut connection = connect(url).await?;
    for statement in statements {
        connection.execute(AssertSqlSafe((*statement).to_owned())).await.map_err(|error| failed(url, &error))?;
    }
    connection.close().await.map_err(|error| failed(url, &error))
}
