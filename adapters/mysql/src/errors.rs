//! What the server's words mean: whether a row is refused for good, or all of it may work later.
//!
//! A user's trigger may fail with any error there is, so what is not known to pass is a refusal: else one trigger
//! would stop the node. What is known to pass is listed here by number.

use lockstep_core::database::{CommitError, DatabaseError};
use sqlx::mysql::MySqlDatabaseError;

/// Numbers of errors that mean something to us, in MariaDB and MySQL alike.
pub(crate) const DUPLICATE: u16 = 1062;
pub(crate) const NOT_NULL: u16 = 1048;
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_COLUMN: u16 = 1054;
const DEADLOCK: u16 = 1213;

/// What passes: locks, deadlocks, space, connections, shutdown, read-only, replication, the administrator's hand.
const PASSING: [u16; 48] = [
    1015, 1020, 1021, 1026, 1028, 1030, 1036, 1037, 1038, 1040, 1041, 1045, 1047, 1053, 1080, 1094, 1099, 1114, 1129,
    1130, 1135, 1158, 1159, 1160, 1161, 1180, 1184, 1189, 1203, 1205, 1206, 1213, 1226, 1290, 1297, 1317, 1412, 1461,
    1598, 1613, 1614, 1615, 1665, 1792, 1836, 1927, 1969, 3024,
];

/// Group replication's and Galera's ways to give a transaction up.
const PASSING_REPLICATION: [u16; 5] = [3098, 3100, 3101, 3058, 3572];

/// Rights that were taken away, and tables that are gone: of our own table it passes, inside a trigger it is a refusal.
const ABOUT_A_TABLE: [u16; 6] = [1044, 1100, 1142, 1143, NO_SUCH_TABLE, 1932];

/// The server's number for an error.
pub(crate) fn number(error: &sqlx::Error) -> Option<u16> {
    error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

/// The database's own words, without the wrapping of the driver's.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => inner.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        sqlx::Error::Io(error) => format!("the connection to the server broke: {error}"),
        other => other.to_string(),
    }
}

/// What a failure before COMMIT means, of a statement on this table. The database's no to a row is for good.
pub(crate) fn before_commit(table: &str, error: &sqlx::Error) -> CommitError {
    match number(error) {
        Some(number) if passes(number) || is_about(table, number, error) => unavailable(error),
        Some(NOT_NULL) => CommitError::Refused { detail: refused_null(table, error) },
        Some(_) => CommitError::Refused { detail: words(error) },
        None => unavailable(error),
    }
}

/// What a failure of COMMIT itself means: of all but a transaction that lost against another, nobody knows.
pub(crate) fn at_commit(error: &sqlx::Error) -> CommitError {
    match number(error) {
        Some(DEADLOCK | 3101) => unavailable(error),
        _ => CommitError::Unknown { detail: words(error) },
    }
}

pub(crate) fn unavailable(error: &sqlx::Error) -> CommitError {
    CommitError::Unavailable { detail: words(error) }
}

fn passes(number: u16) -> bool {
    PASSING.contains(&number) || PASSING_REPLICATION.contains(&number)
}

fn is_about(table: &str, number: u16, error: &sqlx::Error) -> bool {
    ABOUT_A_TABLE.contains(&number) && (number == 1044 || words(error).contains(table))
}

/// A row that is put meets another row in a unique index: see `write::on_duplicate`.
fn refused_null(table: &str, error: &sqlx::Error) -> String {
    format!("{}; or another row of {table} has the same value in a unique index", words(error))
}

/// What a failed read of a known table means.
pub(crate) fn read_error(table: &str, error: &sqlx::Error) -> DatabaseError {
    let detail = words(error);
    match number(error) {
        Some(NO_SUCH_TABLE | NO_SUCH_COLUMN) => DatabaseError::Shape { table: table.to_owned(), detail },
        _ => DatabaseError::Unavailable { detail },
    }
}

/// What any other failure means.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn failed(error: sqlx::Error) -> DatabaseError {
    DatabaseError::Unavailable { detail: words(&error) }
}
