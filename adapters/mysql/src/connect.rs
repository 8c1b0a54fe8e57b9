//! Opening a database: whose session, with which settings; who holds which connection.
//!
//! Invariant: exactly one connection can write, and the committer owns it. All others have sessions in which every
//! transaction is read-only.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lockstep_core::database::DatabaseError;
use lockstep_core::tables::{Cell, name};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlRow, MySqlSslMode};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tokio::sync::Semaphore;

use crate::bind::{self, Raw, bind_cell};
use crate::check::{self, Server};
use crate::commit::Committer;
use crate::errors::{self, words};

/// The newest format that this adapter knows, `format` in `lockstep_meta`.
pub const FORMAT: u32 = 1;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one statement may go unanswered before its connection counts as lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long a writer waits for another one's lock before it gives up, in seconds.
pub(crate) const LOCK_TIMEOUT_S: u32 = 5;

/// Most reading connections that are kept.
pub(crate) const READERS: u32 = 4;

/// Most queries of users that run at the same time.
const QUERIES: usize = 8;

/// Statements that a connection keeps prepared; all of a server's connections share 16,382 by default.
const STATEMENTS: usize = 256;

/// The server's number for a database that is not there.
const NO_DATABASE: u16 = 1049;

/// What a session must be strict about; a value that does not fit is an error, never bent.
const SQL_MODE: &str =
    "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/// Which database, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct MySqlConfig {
    /// `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`.
    pub url: String,
    /// The password, where the URL has none.
    pub password: Option<String>,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// Whether a database that is not there is made.
    pub create: bool,
}

impl fmt::Debug for MySqlConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MySqlConfig {{ {}, read_only: {} }}", without_password(&self.url), self.read_only)
    }
}

/// A MariaDB or MySQL database.
pub struct MySqlDatabase {
    /// How connections are opened.
    pub(crate) options: MySqlConnectOptions,
    /// What the server is.
    pub(crate) server: Server,
    /// Connections that read one statement at a time.
    pub(crate) readers: MySqlPool,
    /// Permits for queries of users.
    pub(crate) queries: Semaphore,
    /// The one that writes; none where the database is open read-only.
    pub(crate) committer: Option<Committer>,
}

impl fmt::Debug for MySqlDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MySqlDatabase {{ {:?} }}", self.server)
    }
}

impl MySqlDatabase {
    /// Opens a database that is there.
    ///
    /// # Errors
    /// [`DatabaseError::Open`] where it cannot be reached or is refused, with the reason and the statement that mends
    /// it; [`DatabaseError::NewerFormat`] where its format is another than those up to [`FORMAT`];
    /// [`DatabaseError::Unavailable`] where the server does not answer now.
    pub async fn open(config: MySqlConfig) -> Result<Self, DatabaseError> {
        let url = without_password(&config.url);
        let failed = |detail: String| DatabaseError::Open { url: url.clone(), detail };
        let options = options(&config.url, config.password.as_deref()).map_err(&failed)?;
        let mut connection = match plain(&options).await {
            Err(error) if errors::number(&error) == Some(NO_DATABASE) && config.create && !config.read_only => {
                create(&options).await.map_err(|error| opening(&url, &options, &error))?
            }
            opened => opened.map_err(|error| opening(&url, &options, &error))?,
        };
        let server = Server::of(&mut connection).await.map_err(&failed)?;
        enter(&mut connection, &server, Session::Reading).await.map_err(|error| failed(words(&error)))?;
        refuse_newer_format(&url, format(&mut connection).await.map_err(&failed)?)?;
        drop(connection);
        let committer = match config.read_only {
            true => None,
            false => Some(Committer::start(options.clone(), server.clone()).await.map_err(&failed)?),
        };
        let readers = readers(&options, &server);
        Ok(MySqlDatabase { options, server, readers, queries: Semaphore::new(QUERIES), committer })
    }

    /// Ends all connections, after what was given to the committer is done.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(committer) = self.committer {
            committer.close().await;
        }
    }
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    Reading,
    Writing,
}

/// A connection whose session is set up.
pub(crate) async fn connect(
    options: &MySqlConnectOptions,
    server: &Server,
    session: Session,
) -> Result<MySqlConnection, sqlx::Error> {
    let mut connection = plain(options).await?;
    enter(&mut connection, server, session).await?;
    Ok(connection)
}

/// A connection as the server gives it.
async fn plain(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    within(CONNECT_TIMEOUT, options.connect()).await
}

/// Makes the database, by way of one that is always there.
async fn create(options: &MySqlConnectOptions) -> Result<MySqlConnection, sqlx::Error> {
    let name = bind::quoted(options.get_database().unwrap_or_default());
    let mut connection = plain(&options.clone().database("information_schema")).await?;
    let sql = format!("CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4");
    within(CONNECT_TIMEOUT, connection.execute(AssertSqlSafe(sql))).await?;
    drop(connection);
    plain(options).await
}

/// Nothing hangs on a default of the server's.
async fn enter(connection: &mut MySqlConnection, server: &Server, session: Session) -> Result<(), sqlx::Error> {
    let access = if session == Session::Writing { "READ WRITE" } else { "READ ONLY" };
    let settings = format!(
        "SET NAMES utf8mb4 COLLATE {}, SESSION sql_mode = '{SQL_MODE}', time_zone = '+00:00', autocommit = 1, \
         foreign_key_checks = 1, unique_checks = 1, wait_timeout = 86400, \
         lock_wait_timeout = {LOCK_TIMEOUT_S}, innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}",
        server.collation()
    );
    let isolation = format!("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, {access}");
    for sql in [settings, isolation] {
        within(CONNECT_TIMEOUT, connection.execute(AssertSqlSafe(sql))).await?;
    }
    Ok(())
}

fn readers(options: &MySqlConnectOptions, server: &Server) -> MySqlPool {
    let server = server.clone();
    PoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .test_before_acquire(false)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            let server = server.clone();
            Box::pin(async move { enter(connection, &server, Session::Reading).await })
        })
        .connect_lazy_with(options.clone())
}

/// Waits for an answer, not for ever: a connection that was cut without a word never gives one.
pub(crate) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let late = || {
        let words = format!("no answer within {} seconds", patience.as_secs());
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words))
    };
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(late()))
}

/// The rows that a statement answers, through the binary protocol.
pub(crate) async fn ask(
    connection: &mut MySqlConnection,
    sql: &str,
    values: &[Cell],
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let mut arguments = MySqlArguments::default();
    for value in values {
        bind_cell(&mut arguments, value).map_err(|words| sqlx::Error::Encode(words.into()))?;
    }
    let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments).persistent(false);
    within(PATIENCE, query.fetch_all(connection)).await
}

/// The text in the first column of the first row that a statement answers.
pub(crate) async fn ask_text(
    connection: &mut MySqlConnection,
    sql: &str,
    values: &[Cell],
) -> Result<Option<String>, sqlx::Error> {
    let rows = ask(connection, sql, values).await?;
    let first = rows.first().map(|row| bind::raw(row, 0)).transpose()?;
    Ok(first.filter(|raw| *raw != Raw::Null).and_then(|raw| bind::answer(raw).show()))
}

/// How the driver is to connect. What a session is set to stands in [`enter`], so the driver sets nothing.
fn options(url: &str, password: Option<&str>) -> Result<MySqlConnectOptions, String> {
    let wrong =
        |detail: String| format!("a database is written mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE: {detail}");
    let mut options = MySqlConnectOptions::from_str(url).map_err(|error| wrong(error.to_string()))?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(wrong("there is no DATABASE in it".to_owned()));
    }
    if let Some(password) = password {
        options = options.password(password);
    }
    if !url.contains("ssl-mode") && !url.contains("sslmode") {
        options = options.ssl_mode(MySqlSslMode::Preferred);
    }
    Ok(options
        .statement_cache_capacity(STATEMENTS)
        .set_names(false)
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging())
}

/// A URL that may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    let shown = host.split_once('?').map_or(host, |(shown, _)| shown);
    format!("{scheme}://{name}@{shown}")
}

/// Whether it is for now or for good that the server does not let us in, and what mends it.
fn opening(url: &str, options: &MySqlConnectOptions, error: &sqlx::Error) -> DatabaseError {
    let database = bind::quoted(options.get_database().unwrap_or_default());
    let refused = |detail: String| DatabaseError::Open { url: url.to_owned(), detail };
    // A certificate that is not trusted is no broken connection.
    let is_broken = matches!(error, sqlx::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData);
    match (errors::number(error), is_broken) {
        (None, true) | (Some(1040 | 1041 | 1053 | 1129 | 1203 | 1226), _) => {
            DatabaseError::Unavailable { detail: format!("{url}: {}", words(error)) }
        }
        (Some(NO_DATABASE), _) => {
            refused(format!("{}; make it with: CREATE DATABASE {database} CHARACTER SET utf8mb4", words(error)))
        }
        (Some(1044), _) => {
            refused(format!("{}; mend it with: {}", words(error), check::grant(options.get_username(), &database)))
        }
        _ => refused(words(error)),
    }
}

/// What `lockstep_meta` says the format is; `None` where there is no such table or row yet.
async fn format(connection: &mut MySqlConnection) -> Result<Option<String>, String> {
    if !check::has_table(connection, name::META).await.map_err(|error| words(&error))? {
        return Ok(None);
    }
    let sql = format!("SELECT value FROM {} WHERE `key` = 'format'", name::META);
    ask_text(connection, &sql, &[]).await.map_err(|error| words(&error))
}

fn refuse_newer_format(url: &str, format: Option<String>) -> Result<(), DatabaseError> {
    match format {
        Some(format) if format.parse::<u32>().is_ok_and(|known| known <= FORMAT) => Ok(()),
        None => Ok(()),
        Some(format) => Err(DatabaseError::NewerFormat { url: url.to_owned(), format, known: FORMAT.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let check = |url: &str, expected: &str| assert_eq!(without_password(url), expected);
        check("mysql://u:p@h:1/d", "mysql://u@h:1/d");
        check("mysql://u:p%40:x@h/d?ssl-key=secret", "mysql://u@h/d");
        check("mysql://u@h/d", "mysql://u@h/d");
        check("mysql://h/d", "mysql://h/d");
        check("mysql://u:p@w@h/d", "mysql://u@h/d");
        let config = MySqlConfig {
            url: "mysql://u:secret@h/d".to_owned(),
            password: Some("secret".to_owned()),
            read_only: true,
            create: false,
        };
        assert!(!format!("{config:?}").contains("secret"));
    }
}
