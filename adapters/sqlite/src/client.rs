//! What any other SQL client does to the file: for demonstrations, backups and tests.
//!
//! Nothing here knows a managed table. It is kept apart from the adapter on purpose: what it writes did not
//! come through a commit, and `verify` is there to notice.

use std::path::Path;

use lockstep_core::database::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

fn failed(path: &Path, error: &sqlx::Error) -> DatabaseError {
    DatabaseError::Query { detail: format!("{}: {error}", path.display()) }
}

async fn connect(path: &Path) -> Result<SqliteConnection, DatabaseError> {
    SqliteConnectOptions::new().filename(path).connect().await.map_err(|error| failed(path, &error))
}

/// Runs statements on a file, as its owner could with any client.
///
/// # Errors
/// The database's own words.
pub async fn execute(path: &Path, statements: &[&str]) -> Result<(), DatabaseError> {
    let mut connection = connect(path).await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe((*statement).to_owned()))
            .execute(&mut connection)
            .await
            .map_err(|error| failed(path, &error))?;
    }
    connection.close().await.map_err(|error| failed(path, &error))
}

/// Copies a database to a new file in rollback-journal mode, which any client of any version may write to.
///
/// # Errors
/// The database's own words; the target must not be there.
pub async fn copy(from: &Path, to: &Path) -> Result<(), DatabaseError> {
    let mut connection = connect(from).await?;
    sqlx::query("VACUUM INTO ?")
        .bind(to.display().to_string())
        .execute(&mut connection)
        .await
        .map_err(|error| failed(from, &error))?;
    connection.close().await.map_err(|error| failed(from, &error))?;
    execute(to, &["PRAGMA journal_mode = DELETE"]).await
}
