//! What any other SQL client does to a database: for demonstrations, backups and tests.
//!
//! Nothing here knows a managed table. It is kept apart from the adapter on purpose: what it writes did not
//! come through a commit, and `verify` is there to notice.

use std::str::FromStr;

use lockstep_core::database::DatabaseError;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::bind::quoted;
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

/// The same server, another database.
#[must_use]
pub fn in_database(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, String::new()), |(base, query)| (base, format!("?{query}")));
    let server = base.find("://").and_then(|at| base.get(..at + 3 + base.get(at + 3..)?.rfind('/')?));
    format!("{}/{database}{query}", server.unwrap_or(base))
}

/// Removes a database with everything in it.
///
/// # Errors
/// The server's own words.
pub async fn remove(url: &str, database: &str) -> Result<(), DatabaseError> {
    let sql = format!("DROP DATABASE IF EXISTS {}", quoted(database));
    execute(&in_database(url, "information_schema"), &[&sql]).await
}

#[cfg(test)]
mod tests {
    use super::in_database;

    #[test]
    fn a_url_gets_another_database() {
        let check = |url: &str, expected: &str| assert_eq!(in_database(url, "x"), expected);
        check("mysql://u:p@h:1/d", "mysql://u:p@h:1/x");
        check("mysql://u:a/b@h/d?ssl-mode=disabled", "mysql://u:a/b@h/x?ssl-mode=disabled");
        check("mysql://u@h", "mysql://u@h/x");
    }
}
