//! Opening a database: which settings, which servers are refused, who holds which connection.
//!
//! Invariant: exactly one connection can write, and the committer owns it. All others begin read-only transactions.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use lockstep_core::database::DatabaseError;
use lockstep_core::tables::name;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tokio::sync::Semaphore;

use crate::bind::{literal, quoted};
use crate::check;
use crate::commit::Committer;
use crate::error::{self, words};
use crate::url::Address;

/// The newest format that this adapter knows, `format` in `lockstep_meta`.
pub const FORMAT: u32 = 1;

/// How long a server may take to accept a connection.
const CONNECTING: Duration = Duration::from_secs(10);

/// How long anything else may take, seen from here; the server's own limits end sooner.
const ANSWERING: Duration = Duration::from_secs(90);

/// Most reading connections that are kept.
const READERS: u32 = 4;

/// Most queries of users that run at the same time.
const QUERIES: usize = 8;

/// Statements that a connection keeps prepared: some of each table's.
const STATEMENTS: usize = 512;

/// What every session of ours sets, whatever the server's defaults: a lock is waited for five seconds, a dead peer is
/// noticed within a minute, and the plans of our statements, which all go by an index, are made once.
const SETTINGS: [(&str, &str); 9] = [
    ("lock_timeout", "5s"),
    ("default_transaction_isolation", "read committed"),
    ("row_security", "off"),
    ("bytea_output", "hex"),
    ("jit", "off"),
    ("client_min_messages", "warning"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

const WRITING: [(&str, &str); 4] = [
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("default_transaction_read_only", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

const READING: [(&str, &str); 3] = [
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("default_transaction_read_only", "on"),
];

/// Which database, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME`; what is not there comes from `PGPASSWORD` and the
    /// other variables of PostgreSQL's clients.
    pub url: String,
    /// The password, where the URL has none.
    pub password: Option<String>,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// Whether the schema is made where it is not there.
    pub create: bool,
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = Address::parse(&self.url).map_or_else(|_| "postgres://…".to_owned(), |address| address.shown);
        f.debug_struct("PostgresConfig")
            .field("url", &shown)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// A schema of a PostgreSQL database.
pub struct PostgresDatabase {
    /// How reading connections are opened.
    pub(crate) reading: PgConnectOptions,
    /// Connections that read one statement at a time.
    pub(crate) readers: PgPool,
    /// Permits for queries of users.
    pub(crate) queries: Semaphore,
    /// The one that writes; none where the database is open read-only.
    pub(crate) committer: Option<Committer>,
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresDatabase").finish_non_exhaustive()
    }
}

impl PostgresDatabase {
    /// Opens a database, and looks whether it may be trusted with commits.
    ///
    /// # Errors
    /// [`DatabaseError::Open`] where it cannot be opened or its settings would break the promise of a commit;
    /// [`DatabaseError::NewerFormat`] where its format is another than those up to [`FORMAT`];
    /// [`DatabaseError::Unavailable`] where the server does not answer.
    pub async fn open(config: PostgresConfig) -> Result<Self, DatabaseError> {
        let Sessions { address, reading, writing } = sessions(&config).await?;
        let committer = if config.read_only {
            None
        } else {
            let connection = connected(&writing).await.map_err(|error| opening(&address, &error))?;
            Some(Committer::start(writing, connection))
        };
        let readers = PoolOptions::new().max_connections(READERS).min_connections(0).connect_lazy_with(reading.clone());
        Ok(PostgresDatabase { reading, readers, queries: Semaphore::new(QUERIES), committer })
    }

    /// Ends all connections, after what was given to the committer is done.
    pub async fn close(self) {
        self.readers.close().await;
        if let Some(committer) = self.committer {
            committer.close().await;
        }
    }
}

/// How sessions of a database that was looked at are opened.
struct Sessions {
    address: Address,
    reading: PgConnectOptions,
    writing: PgConnectOptions,
}

async fn sessions(config: &PostgresConfig) -> Result<Sessions, DatabaseError> {
    let (address, options) = options(config)?;
    let refused = |detail: String| DatabaseError::Open { url: address.shown.clone(), detail };
    let failed = |error: sqlx::Error| opening(&address, &error);
    let mut connection = connected(&options).await.map_err(failed)?;
    check::server(&mut connection, config.read_only).await.map_err(failed)?.map_err(refused)?;
    let schema = schema(&mut connection, &address, config).await?;
    let synchronous = check::synchronous_commit(&mut connection).await.map_err(failed)?;
    refuse_newer_format(&address, format(&mut connection, &schema).await.map_err(failed)?)?;
    end(connection).await;
    let path = format!("{},pg_temp", quoted(&schema));
    let options = options.options([("search_path", path.as_str()), ("synchronous_commit", synchronous)]);
    Ok(Sessions { address, reading: options.clone().options(READING), writing: options.options(WRITING) })
}

/// How a connection that writes is opened, and where.
pub(crate) async fn writing(config: &PostgresConfig) -> Result<(String, PgConnectOptions), DatabaseError> {
    let sessions = sessions(config).await?;
    Ok((sessions.address.shown, sessions.writing))
}

/// What every connection has in common.
pub(crate) fn options(config: &PostgresConfig) -> Result<(Address, PgConnectOptions), DatabaseError> {
    let open = |url: &str, detail: String| DatabaseError::Open { url: url.to_owned(), detail };
    let address = Address::parse(&config.url).map_err(|detail| open("postgres://…", detail))?;
    let options =
        PgConnectOptions::from_str(&address.driver).map_err(|error| open(&address.shown, error.to_string()))?;
    let options = match &config.password {
        Some(password) => options.password(password),
        None => options,
    };
    let options = options.application_name("lockstep").statement_cache_capacity(STATEMENTS).disable_statement_logging();
    Ok((address, options.options(SETTINGS)))
}

/// A new connection.
pub(crate) async fn connected(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(CONNECTING, options.connect()).await
}

/// What the server answers, or an I/O error where it does not: a network may swallow what it was given.
pub(crate) async fn answered<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    within(ANSWERING, work).await
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer for {} seconds", limit.as_secs()),
        ))),
    }
}

/// Ends a connection that was opened for one purpose.
pub(crate) async fn end(connection: PgConnection) {
    tokio::time::timeout(Duration::from_secs(1), connection.close()).await.ok();
}

/// Whether it is for now or for good that a database does not open.
fn opening(address: &Address, error: &sqlx::Error) -> DatabaseError {
    let detail = words(error);
    let for_now = match error {
        // A certificate that is not trusted today will not be tomorrow.
        sqlx::Error::Io(cause) => cause.kind() != std::io::ErrorKind::InvalidData,
        sqlx::Error::PoolTimedOut => true,
        // Too many connections, a server that starts or stops.
        other => ["53", "57", "08"].iter().any(|class| error::code(other).starts_with(class)),
    };
    if for_now {
        DatabaseError::Unavailable { detail: format!("{}: {detail}", address.shown) }
    } else {
        DatabaseError::Open { url: address.shown.clone(), detail }
    }
}

/// The schema of our tables, made where that is asked for.
async fn schema(
    connection: &mut PgConnection,
    address: &Address,
    config: &PostgresConfig,
) -> Result<String, DatabaseError> {
    let failed = |error: sqlx::Error| opening(address, &error);
    let refused = |detail: String| DatabaseError::Open { url: address.shown.clone(), detail };
    let found: Option<String> = match &address.schema {
        Some(name) => {
            let sql = "SELECT nspname::text FROM pg_namespace WHERE nspname = $1";
            sqlx::query_scalar(sql).bind(name).fetch_optional(&mut *connection).await.map_err(failed)?
        }
        None => {
            sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut *connection).await.map_err(failed)?
        }
    };
    match (found, &address.schema) {
        (Some(schema), _) => {
            check::privileges(connection, &schema, config.read_only).await.map_err(failed)?.map_err(refused)?;
            Ok(schema)
        }
        (None, Some(wanted)) if config.create && !config.read_only => {
            let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(wanted));
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(failed)?;
            Ok(wanted.clone())
        }
        (None, Some(wanted)) => {
            Err(refused(format!("there is no schema {wanted}; mend it with: CREATE SCHEMA {wanted}")))
        }
        (None, None) => Err(refused("no schema of search_path is there; name one with ?schema=".to_owned())),
    }
}

/// What `lockstep_meta` says the format is; `None` where there is no such table or row yet.
async fn format(connection: &mut PgConnection, schema: &str) -> Result<Option<String>, sqlx::Error> {
    let table = format!("{}.{}", quoted(schema), name::META);
    let there = format!("SELECT to_regclass({}) IS NOT NULL", literal(&table));
    if !sqlx::query(AssertSqlSafe(there)).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(None);
    }
    let format = format!("SELECT value::text FROM {table} WHERE key::text = 'format'");
    sqlx::query_scalar(AssertSqlSafe(format)).fetch_optional(connection).await
}

fn refuse_newer_format(address: &Address, format: Option<String>) -> Result<(), DatabaseError> {
    match format {
        Some(format) if format.parse::<u32>().is_ok_and(|known| known <= FORMAT) => Ok(()),
        None => Ok(()),
        Some(format) => Err(DatabaseError::NewerFormat { url: address.shown.clone(), format, known: FORMAT.into() }),
    }
}
