//! The one committer: a task that owns the one connection that writes.
//!
//! Work reaches it as closures in a queue and runs to its end there, so a caller that stops waiting leaves no
//! transaction open. After a failure whose state is in doubt the connection is thrown away, not mended.
//!
//! Invariant: a commit is acknowledged only after COMMIT returned, which with `synchronous_commit=on` and `fsync=on`
//! is after the log was synced (`tests/server.rs` kills the server under it).

use lockstep_core::database::{Batch, CommitError, DatabaseError, Pending};
use lockstep_core::tables::{Cell, LOG_HEAD, name};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use crate::bind::{One, Wire};
use crate::connect::{PostgresDatabase, answered, connected, end};
use crate::error::{UNDEFINED_TABLE, at_commit, code, words};
use crate::write::{Statement, statements_of};

/// Work for the committer.
type Job = Box<dyn for<'w> FnOnce(&'w mut Writer) -> Pending<'w, ()> + Send>;

/// Jobs that may wait in the queue.
const QUEUE: usize = 16;

/// Statements of a batch that are made ahead of the one that runs.
const AHEAD: usize = 32;

/// Chosen for commits, whatever the server's default: the row of the log head is looked at again after its lock was
/// waited for, and a serialization failure cannot come of what users write beside it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

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
    pub(crate) fn start(options: PgConnectOptions, connection: PgConnection) -> Self {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let mut writer = Writer { options, connection: Some(connection) };
        let task = tokio::spawn(async move {
            while let Some(job) = queue.recv().await {
                job(&mut writer).await;
            }
            writer.discard().await;
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
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl Writer {
    /// The connection, opened again if the last one was thrown away.
    pub(crate) async fn ready(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connected(&self.options).await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Throws the connection away; its transaction ends with it.
    pub(crate) async fn discard(&mut self) {
        if let Some(connection) = self.connection.take() {
            end(connection).await;
        }
    }

    /// Runs what comes between BEGIN and COMMIT. Where it ends without [`Next::Commit`], nobody wants it any more, and
    /// nothing is committed.
    pub(crate) async fn transact(&mut self, coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        let result = self.attempt(coming).await;
        if matches!(result, Err(CommitError::Unavailable { .. } | CommitError::Unknown { .. })) {
            self.discard().await;
        }
        result
    }

    async fn attempt(&mut self, mut coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        let unavailable = |error: sqlx::Error| CommitError::Unavailable { detail: words(&error) };
        let connection = self.ready().await.map_err(unavailable)?;
        let mut transaction = answered(connection.begin_with(BEGIN)).await.map_err(unavailable)?;
        loop {
            let done = match coming.recv().await {
                Some(Next::Statement(statement)) => statement.run(&mut transaction).await,
                Some(Next::Commit) => break,
                Some(Next::Refuse(detail)) => Err(CommitError::Refused { detail }),
                None => Err(CommitError::Unavailable { detail: "the commit was given up".to_owned() }),
            };
            if let Err(error) = done {
                if answered(transaction.rollback()).await.is_err() {
                    self.discard().await;
                }
                return Err(error);
            }
        }
        answered(transaction.commit()).await.map_err(|error| at_commit(&error))
    }

    /// Reads the log head once no transaction that writes it is open, a lost one included: the lock waits those out.
    /// The table and not the row is locked, since the first of all commits makes the row.
    async fn head(&mut self) -> Result<Option<String>, sqlx::Error> {
        let connection = self.ready().await?;
        let mut transaction = answered(connection.begin_with(BEGIN)).await?;
        let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", name::META);
        let head = match answered(transaction.execute(AssertSqlSafe(lock))).await {
            Ok(_) => read_head(&mut transaction).await,
            Err(error) if code(&error) == UNDEFINED_TABLE => Ok(None),
            Err(error) => Err(error),
        };
        answered(transaction.rollback()).await?;
        head
    }
}

/// Commits a batch in the committer's task.
pub(crate) async fn commit(database: &PostgresDatabase, batch: &Batch) -> Result<(), CommitError> {
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
    let rows = batch.tables.iter().filter(|part| !part.writes.is_empty()).flat_map(statements_of);
    for made in head.chain(rows.map(|made| made.map(Next::Statement))).chain([Ok(Next::Commit)]) {
        if next.send(made.unwrap_or_else(Next::Refuse)).await.is_err() {
            return;
        }
    }
}

/// The log head, once no writer is at work.
pub(crate) async fn head(database: &PostgresDatabase) -> Result<Option<String>, DatabaseError> {
    let head = match &database.committer {
        Some(committer) => committer
            .run(|writer| {
                Box::pin(async move {
                    let head = writer.head().await;
                    if head.is_err() {
                        writer.discard().await;
                    }
                    head.map_err(|error| words(&error))
                })
            })
            .await
            .unwrap_or_else(|| Err("the committer stopped".to_owned())),
        None => match database.readers.acquire().await {
            Ok(mut reader) => read_head(&mut reader).await.map_err(|error| words(&error)),
            Err(error) => Err(words(&error)),
        },
    };
    head.map_err(|detail| DatabaseError::Unavailable { detail })
}

async fn read_head(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let sql = format!("SELECT value::text FROM {} WHERE key = $1", name::META);
    let row = sqlx::query_scalar(AssertSqlSafe(sql)).bind(LOG_HEAD).fetch_optional(connection);
    match answered(row).await {
        Err(error) if code(&error) == UNDEFINED_TABLE => Ok(None),
        head => head,
    }
}

/// The two statements that compare the log head and set it: one changes a row, or somebody else wrote.
pub(crate) fn compare_and_set(batch: &Batch) -> Result<Statement, String> {
    let (sql, values) = match &batch.expected_head {
        None => (
            format!("INSERT INTO {} (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", name::META),
            vec![LOG_HEAD, &batch.head],
        ),
        Some(expected) => (
            format!("UPDATE {} SET value = $1 WHERE key = $2 AND value = $3", name::META),
            vec![&batch.head, LOG_HEAD, expected],
        ),
    };
    let mut arguments = PgArguments::default();
    for value in values {
        let one = One::new(Wire::Text, &Cell::Text(value.to_owned())).ok_or("the log head is no text")?;
        arguments.add(one).map_err(|error| error.to_string())?;
    }
    Ok(Statement::comparing_head(sql, arguments))
}
