//! Opening a file: which settings, which files are refused, who holds which connection.
//!
//! Invariant: exactly one connection can write, and the committer owns it. All others are opened read-only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_core::database::DatabaseError;
use lockstep_core::tables::name;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::Semaphore;

use crate::bind::{self, Raw};
use crate::commit::Committer;

/// The newest file format that this adapter knows, `format` in `lockstep_meta`.
pub const FORMAT: u32 = 1;

/// `LKST`, what `file` and other tools can tell a Lockstep database by.
pub const APPLICATION_ID: i64 = 0x4C4B_5354;

/// How long a writer waits for another process's lock before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Most reading connections that are kept.
const READERS: u32 = 4;

/// Most queries of users that run at the same time.
const QUERIES: usize = 8;

/// Statements that a connection keeps prepared: some sizes of each table's.
const STATEMENTS: usize = 512;

/// Memory for pages of the connection that writes, in KiB: what one batch changes fits, so that no page is written
/// to the log twice in one transaction.
const WRITER_CACHE_KIB: u32 = 64 * 1024;

/// Pages of the log after which it is moved into the file: pages that many batches change are moved once. The log
/// stays below 32 MiB and a batch.
const CHECKPOINT_PAGES: u32 = 8_192;

/// Which file, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file.
    pub path: PathBuf,
    /// Whether nothing may be written, not even the file's mode.
    pub read_only: bool,
    /// Whether a file that is not there is made.
    pub create: bool,
}

/// A SQLite file.
#[derive(Debug)]
pub struct SqliteDatabase {
    /// How reading connections are opened.
    pub(crate) reading: SqliteConnectOptions,
    /// Connections that read one statement at a time.
    pub(crate) readers: SqlitePool,
    /// Permits for queries of users.
    pub(crate) queries: Semaphore,
    /// The one that writes; none where the file is open read-only.
    pub(crate) committer: Option<Committer>,
}

impl SqliteDatabase {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DatabaseError::Open`] where the file is missing, is no SQLite database or cannot be opened as asked;
    /// [`DatabaseError::NewerFormat`] where its format is another than those up to [`FORMAT`].
    pub async fn open(config: SqliteConfig) -> Result<Self, DatabaseError> {
        let url = format!("sqlite:{}", config.path.display());
        let failed = |detail: String| DatabaseError::Open { url: url.clone(), detail };
        let there = config.path.exists();
        if !there && (config.read_only || !config.create) {
            return Err(failed("there is no such file".to_owned()));
        }
        let mut reading = reading_options(&config.path);
        if there {
            reading = readable(reading, &config.path).await.map_err(|error| failed(bind::words(&error)))?;
            let format = format(&reading).await.map_err(failed)?;
            refuse_newer_format(&url, format)?;
        }
        let committer = if config.read_only {
            None
        } else {
            let writing = writing_options(&config.path);
            let connection = writing
                .clone()
                .create_if_missing(config.create)
                .connect()
                .await
                .map_err(|error| failed(bind::words(&error)))?;
            Some(Committer::start(writing, config.path, connection))
        };
        let readers = PoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .test_before_acquire(false)
            .connect_lazy_with(reading.clone());
        Ok(SqliteDatabase { reading, readers, queries: Semaphore::new(QUERIES), committer })
    }

    /// Ends all connections, after what was given to the committer is done. The writing one goes last: only that
    /// one can move the log into the file, so that the file alone is the whole database.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(committer) = self.committer {
            committer.close().await;
        }
    }
}

fn common_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

pub(crate) fn reading_options(path: &Path) -> SqliteConnectOptions {
    common_options(path).read_only(true).pragma("query_only", "ON")
}

/// To copy all of it into another file, which `query_only` would not let happen. The file itself is not written.
pub(crate) fn copying_options(path: &Path) -> SqliteConnectOptions {
    common_options(path).read_only(true)
}

/// FULL is what makes a commit durable in WAL mode: the log is synced before COMMIT returns.
pub(crate) fn writing_options(path: &Path) -> SqliteConnectOptions {
    common_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("fullfsync", "ON")
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
}

/// The options with which the file can be read. A WAL database on read-only media cannot make the shared-memory
/// file that it wants; without a log beside it nobody writes to it either, so it may be read as immutable.
async fn readable(options: SqliteConnectOptions, path: &Path) -> Result<SqliteConnectOptions, sqlx::Error> {
    match first_row(&options, "SELECT count(*) FROM sqlite_schema").await {
        Ok(_) => Ok(options),
        Err(error) if matches!(bind::primary_code(&error), Some(bind::READONLY | bind::CANTOPEN)) && !has_log(path) => {
            let immutable = options.immutable(true);
            first_row(&immutable, "SELECT count(*) FROM sqlite_schema").await.map(|_| immutable).map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}

fn has_log(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|suffix| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        std::fs::metadata(beside).is_ok_and(|file| file.len() > 0)
    })
}

/// What `lockstep_meta` says the format is; `None` where there is no such table or row yet.
async fn format(options: &SqliteConnectOptions) -> Result<Option<String>, String> {
    let words = |error: sqlx::Error| bind::words(&error);
    let table = format!("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = '{}'", name::META);
    if first_row(options, &table).await.map_err(words)?.is_none() {
        return Ok(None);
    }
    let format = format!("SELECT value FROM {} WHERE key = 'format'", name::META);
    let found = first_row(options, &format).await.map_err(words)?;
    Ok(found.map(|raw| bind::answer(raw).show().unwrap_or_default()))
}

fn refuse_newer_format(url: &str, format: Option<String>) -> Result<(), DatabaseError> {
    match format {
        Some(format) if format.parse::<u32>().is_ok_and(|known| known <= FORMAT) => Ok(()),
        None => Ok(()),
        Some(format) => Err(DatabaseError::NewerFormat { url: url.to_owned(), format, known: FORMAT.into() }),
    }
}

/// The first column of the first row, read by a connection of its own.
async fn first_row(options: &SqliteConnectOptions, sql: &str) -> Result<Option<Raw>, sqlx::Error> {
    let mut connection: SqliteConnection = options.connect().await?;
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).fetch_optional(&mut connection).await?;
    connection.close().await?;
    row.map(|row| bind::raw(&row, 0)).transpose()
}
