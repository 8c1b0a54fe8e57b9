//! What PostgreSQL's errors mean, by SQLSTATE: a no to a row, a no for now, or nobody knows.

use lockstep_core::database::{CommitError, DatabaseError};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

pub(crate) const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_COLUMN: &str = "42703";
pub(crate) const INVALID_TABLE_DEFINITION: &str = "42P16";

/// Classes that say no to what a row holds: data, constraints, WITH CHECK OPTION, what triggers and functions of the
/// user's raise, and limits that a row exceeds, such as the longest key of an index.
const REFUSING: [&str; 14] = ["09", "20", "21", "22", "23", "27", "2F", "38", "39", "44", "54", "P0", "0Z", "3B"];

/// Classes that pass: connections, serialization failures and deadlocks, resources, locks, shutdowns, I/O, corruption;
/// and among them 25, a server that takes no writes now.
const PASSING: [&str; 9] = ["08", "25", "40", "53", "55", "57", "58", "F0", "XX"];

/// What the server answered, where it was the server.
pub(crate) fn by_server(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

pub(crate) fn code(error: &sqlx::Error) -> &str {
    by_server(error).map_or("", PgDatabaseError::code)
}

/// The database's own words, without the wrapping of the driver's.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match (by_server(error), error) {
        (Some(said), _) => match said.detail() {
            Some(detail) => format!("{}: {detail}", said.message()),
            None => said.message().to_owned(),
        },
        (None, sqlx::Error::PoolTimedOut) => "no connection became free in time".to_owned(),
        (None, sqlx::Error::Io(cause)) => format!("the connection failed: {cause}"),
        (None, other) => other.to_string(),
    }
}

/// Whether the server says no to what the rows hold, so that trying again gives the same.
fn refuses(said: &PgDatabaseError) -> bool {
    let class = said.code().get(..2).unwrap_or_default();
    // What else fails inside of a user's trigger (a table that it lacks, a right) has a context, and is about the row.
    REFUSING.contains(&class) || (said.r#where().is_some() && !PASSING.contains(&class))
}

/// What a failure before COMMIT means. The database's no to a row is for good; all else may pass.
pub(crate) fn before_commit(error: &sqlx::Error) -> CommitError {
    match by_server(error) {
        Some(said) if refuses(said) => CommitError::Refused { detail: words(error) },
        _ => CommitError::Unavailable { detail: words(error) },
    }
}

/// What a failure of COMMIT means. An error that the server answers with, and lives on, ended the transaction: a
/// deferred constraint, a serialization failure. Of any other failure there nobody knows.
pub(crate) fn at_commit(error: &sqlx::Error) -> CommitError {
    match by_server(error) {
        Some(said) if said.severity() == PgSeverity::Error => before_commit(error),
        _ => CommitError::Unknown { detail: words(error) },
    }
}

/// What a failed read means.
pub(crate) fn of_read(table: &str, error: &sqlx::Error) -> DatabaseError {
    let detail = words(error);
    match code(error) {
        UNDEFINED_TABLE | UNDEFINED_COLUMN => DatabaseError::Shape { table: table.to_owned(), detail },
        _ => DatabaseError::Unavailable { detail },
    }
}

/// What a failure of a user's query means.
pub(crate) fn of_query(error: &sqlx::Error) -> DatabaseError {
    let detail = words(error);
    match by_server(error) {
        Some(said) if !["08", "40", "53", "58", "XX"].iter().any(|class| said.code().starts_with(class)) => {
            DatabaseError::Query { detail }
        }
        _ => DatabaseError::Unavailable { detail },
    }
}

/// For whatever needs the server and nothing else.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn unavailable(error: sqlx::Error) -> DatabaseError {
    DatabaseError::Unavailable { detail: words(&error) }
}
