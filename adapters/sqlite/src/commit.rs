//! The one committer: a task that owns the one connection that writes.
//!
//! Work reaches it as closures in a queue and runs to its end there, so a caller that stops waiting leaves no
//! transaction open. After a failure whose state is in doubt the connection is thrown away, not mended.
//!
//! Invariant: a commit is acknowledged only after COMMIT returned, which in WAL mode with `synchronous=FULL`
//! is after the log was synced (`tests/durability.rs` counts the syncs and kills the process).

use std::path::{Path, PathBuf};

use lockstep_core::database::{Batch, CommitError, DatabaseError, Pending};
use lockstep_core::tables::{LOG_HEAD, name};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::{mpsc, oneshot};

use crate::bind::{self, Raw};
use crate::connect::SqliteDatabase;
use crate::write::{Statement, statements_of};

/// Work for the committer.
type Job = Box<dyn for<'w> FnOnce(&'w mut Writer) -> Pending<'w, ()> + Send>;

/// Jobs that may wait in the queue.
const QUEUE: usize = 16;

/// Statements of a batch that are made ahead of the one that runs.
const AHEAD: usize = 32;

/// What comes next in a transaction.
pub(crate) enum Next {
    /// A statement to run.
    Statement(Statement),
    /// No more statements.
    Commit,
    /// There is no such statement, in words.
    Refuse(String),
}

/// The handle to the committer's task.
#[derive(Debug)]
pub(crate) struct Committer {
    jobs: mpsc::Sender<Job>,
    task: tokio::task::JoinHandle<()>,
}

impl Committer {
    pub(crate) fn start(options: SqliteConnectOptions, path: PathBuf, connection: SqliteConnection) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let mut writer =
            Writer { identity: identity(&path), options, path, connection: Some(connection), in_doubt: false };
        let task = tokio::spawn(async move {
            while let Some(job) = queue.recv().await {
                job(&mut writer).await;
            }
            if let Some(connection) = writer.connection.take() {
                // Closing checkpoints the log; where that fails, the next one to open the file does it.
                connection.close().await.ok();
            }
        });
        Committer { jobs, task }
    }

    /// Does a job in its turn. `None` where the committer died over it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl for<'w> FnOnce(&'w mut Writer) -> Pending<'w, T> + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |writer| {
            Box::pin(async move {
                // Nobody may be waiting any more; the job is done all the same.
                done.send(job(writer).await).ok();
            })
        });
        self.jobs.send(job).await.ok()?;
        result.await.ok()
    }

    pub(crate) async fn close(self) {
        drop(self.jobs);
        self.task.await.ok();
    }
}

/// What the committer's task owns.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    path: PathBuf,
    /// Which file it is, beyond its name.
    identity: Option<(u64, u64)>,
    connection: Option<SqliteConnection>,
    /// Whether a COMMIT failed and what is in the log may not be on the medium.
    in_doubt: bool,
}

impl Writer {
    /// The connection, opened again if the last one was thrown away. A file that was removed or replaced under
    /// the connection is not written to: what would be acknowledged could not be found again.
    pub(crate) async fn ready(&mut self) -> Result<&mut SqliteConnection, String> {
        if identity(&self.path) != self.identity {
            self.connection = None;
            return Err(format!(
                "{} was removed or replaced; put it back, or restart on what is there now",
                self.path.display()
            ));
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| bind::words(&error))?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Throws the connection away; its transaction ends with it.
    pub(crate) async fn discard(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await.ok();
        }
    }

    /// Runs what comes between BEGIN IMMEDIATE and COMMIT. Where it ends without [`Next::Commit`], nobody wants it
    /// any more, and nothing is committed.
    pub(crate) async fn transact(&mut self, coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        let result = self.attempt(coming).await;
        match &result {
            Ok(()) | Err(CommitError::Conflict | CommitError::Refused { .. }) => {}
            Err(CommitError::Unavailable { .. }) => self.discard().await,
            Err(CommitError::Unknown { .. }) => {
                self.in_doubt = true;
                self.discard().await;
            }
        }
        result
    }

    async fn attempt(&mut self, mut coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        let connection = self.ready().await.map_err(|detail| CommitError::Unavailable { detail })?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| unavailable(&error))?;
        loop {
            let done = match coming.recv().await {
                Some(Next::Statement(statement)) => statement.run(&mut transaction).await,
                Some(Next::Commit) => break,
                Some(Next::Refuse(detail)) => Err(CommitError::Refused { detail }),
                None => Err(CommitError::Unavailable { detail: "the commit was given up".to_owned() }),
            };
            if let Err(error) = done {
                // A trigger's RAISE(ROLLBACK) leaves nothing to roll back, and the driver at odds with SQLite about it.
                if transaction.rollback().await.is_err() {
                    self.discard().await;
                }
                return Err(error);
            }
        }
        transaction.commit().await.map_err(|error| at_commit(&error))
    }

    /// Reads the log head while holding the write lock.
    async fn head(&mut self) -> Result<Option<String>, String> {
        if self.in_doubt {
            self.settle().await?;
        }
        let connection = self.ready().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| bind::words(&error))?;
        let head = read_head(&mut transaction).await;
        transaction.rollback().await.map_err(|error| bind::words(&error))?;
        head
    }

    /// Makes durable whatever is visible now. After a failed sync the log may be in the page cache only; moving
    /// it into the database file writes and syncs all of it again, elsewhere.
    async fn settle(&mut self) -> Result<(), String> {
        let connection = self.ready().await?;
        let row = sqlx::query("PRAGMA wal_checkpoint(FULL)")
            .fetch_one(connection)
            .await
            .map_err(|error| bind::words(&error))?;
        if !matches!(bind::raw(&row, 0), Ok(Raw::Integer(0))) {
            return Err("a long-running reader keeps the log from being made durable".to_owned());
        }
        self.in_doubt = false;
        Ok(())
    }
}

/// Commits a batch in the committer's task.
pub(crate) async fn commit(database: &SqliteDatabase, batch: &Batch) -> Result<(), CommitError> {
    let Some(committer) = &database.committer else {
        return Err(CommitError::Unavailable { detail: "the database is open read-only".to_owned() });
    };
    // The next statements are made while one runs, so that the database does not wait for them.
    let (next, coming) = mpsc::channel(AHEAD);
    let running = committer.run(move |writer| Box::pin(writer.transact(coming)));
    let (result, ()) = tokio::join!(running, hand_over(batch, next));
    result.unwrap_or_else(|| Err(CommitError::Unknown { detail: "the committer stopped".to_owned() }))
}

/// Statements that are all there.
pub(crate) fn all_of(statements: Vec<Statement>) -> mpsc::Receiver<Next> {
    let (next, coming) = mpsc::channel(statements.len() + 1);
    for one in statements.into_iter().map(Next::Statement).chain([Next::Commit]) {
        // There is room for all of them.
        next.try_send(one).ok();
    }
    coming
}

/// Makes the statements of a batch, one table after the other; ends early where the transaction has.
async fn hand_over(batch: &Batch, next: mpsc::Sender<Next>) {
    let head = std::iter::once(compare_and_set(batch).map(Next::Statement));
    let rows = batch.tables.iter().flat_map(statements_of).map(|made| made.map(Next::Statement));
    for made in head.chain(rows).chain([Ok(Next::Commit)]) {
        if next.send(made.unwrap_or_else(Next::Refuse)).await.is_err() {
            return;
        }
    }
}

/// The log head, once no writer is at work.
pub(crate) async fn head(database: &SqliteDatabase) -> Result<Option<String>, DatabaseError> {
    let head = match &database.committer {
        Some(committer) => committer
            .run(|writer| {
                Box::pin(async move {
                    let head = writer.head().await;
                    if head.is_err() {
                        writer.discard().await;
                    }
                    head
                })
            })
            .await
            .unwrap_or_else(|| Err("the committer stopped".to_owned())),
        None => match database.readers.acquire().await {
            Ok(mut reader) => read_head(&mut reader).await,
            Err(error) => Err(bind::words(&error)),
        },
    };
    head.map_err(|detail| DatabaseError::Unavailable { detail })
}

async fn read_head(connection: &mut SqliteConnection) -> Result<Option<String>, String> {
    let words = |error: sqlx::Error| bind::words(&error);
    let table = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
    let tables = sqlx::query(table).bind(name::META).fetch_one(&mut *connection).await.map_err(words)?;
    if bind::raw(&tables, 0).map_err(words)? == Raw::Integer(0) {
        return Ok(None);
    }
    let sql = format!("SELECT value FROM {} WHERE key = ?", name::META);
    let row = sqlx::query(AssertSqlSafe(sql)).bind(LOG_HEAD).fetch_optional(connection).await.map_err(words)?;
    match row.map(|row| bind::raw(&row, 0)).transpose().map_err(words)? {
        None => Ok(None),
        Some(Raw::Text(head)) => Ok(Some(head)),
        Some(_) => Err("lockstep_meta holds no readable log head".to_owned()),
    }
}

/// The two statements that compare the log head and set it: one changes a row, or somebody else wrote.
pub(crate) fn compare_and_set(batch: &Batch) -> Result<Statement, String> {
    let (sql, values) = match &batch.expected_head {
        None => (
            format!("INSERT INTO {} (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name::META),
            vec![LOG_HEAD, &batch.head],
        ),
        Some(expected) => (
            format!("UPDATE {} SET value = ? WHERE key = ? AND value = ?", name::META),
            vec![&batch.head, LOG_HEAD, expected],
        ),
    };
    let mut arguments = SqliteArguments::default();
    for value in values {
        bind::bind_raw(&mut arguments, &Raw::Text(value.to_owned())).map_err(|error| error.to_string())?;
    }
    Ok(Statement::comparing_head(sql, arguments))
}

/// What a failure before COMMIT means. The database's no to a row is for good; all else may pass.
pub(crate) fn before_commit(error: &sqlx::Error) -> CommitError {
    // 1 ERROR (a user's trigger that cannot run), 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH
    match bind::primary_code(error) {
        Some(1 | 18 | bind::CONSTRAINT | 20) => CommitError::Refused { detail: bind::words(error) },
        _ => unavailable(error),
    }
}

fn unavailable(error: &sqlx::Error) -> CommitError {
    CommitError::Unavailable { detail: bind::words(error) }
}

/// A deferred constraint speaks up at COMMIT and leaves nothing behind; of any other failure there nobody knows.
fn at_commit(error: &sqlx::Error) -> CommitError {
    match bind::primary_code(error) {
        Some(bind::CONSTRAINT) => CommitError::Refused { detail: bind::words(error) },
        _ => CommitError::Unknown { detail: bind::words(error) },
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    path.exists().then_some((0, 0))
}
