//! What any other SQL client does to the database: for demonstrations and tests.
//!
//! Nothing here knows a managed table. It is kept apart from the adapter on purpose: what it writes did not
//! come through a commit, and `verify` is there to notice.

use lockstep_core::database::DatabaseError;
use sqlx::AssertSqlSafe;

use crate::connect::{PostgresConfig, connected, end, options};
use crate::error::words;
use crate::url::Address;

/// Runs statements in the schema that a URL names, as its owner could with any client.
///
/// # Errors
/// The database's own words.
pub async fn execute(config: &PostgresConfig, statements: &[&str]) -> Result<(), DatabaseError> {
    let (address, options) = options(config)?;
    let failed = |error: sqlx::Error| DatabaseError::Query { detail: format!("{}: {}", address.shown, words(&error)) };
    let path = address.schema.clone().unwrap_or_else(|| "\"$user\",public".to_owned());
    let options = options.options([("search_path", path)]);
    let mut connection = connected(&options).await.map_err(failed)?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe((*statement).to_owned())).execute(&mut connection).await.map_err(failed)?;
    }
    end(connection).await;
    Ok(())
}

/// The same database, another schema.
#[must_use]
pub fn in_schema(url: &str, schema: &str) -> String {
    match Address::parse(url) {
        Ok(address) if address.driver.contains('?') => format!("{}&schema={schema}", address.driver),
        Ok(address) => format!("{}?schema={schema}", address.driver),
        Err(_) => url.to_owned(),
    }
}
