//! The one committer: a task that owns the one connection that writes.
//!
//! Work reaches it as closures in a queue and runs to its end there, so a caller that stops waiting leaves no
//! transaction open. After a failure whose state is in doubt the connection is thrown away, not mended.
//!
//! Invariant: a commit is acknowledged only after COMMIT returned, which with the settings that `check` insists on is
//! after InnoDB's log, and the binary log where there is one, were synced (`tests/durability.rs` kills the server).

use lockstep_core::database::{Batch, CommitError, DatabaseError, Pending};
use lockstep_core::tables::{Cell, LOG_HEAD, name};
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use crate::bind::bind_cell;
use crate::check::{self, Server};
use crate::connect::{LOCK_TIMEOUT_S, MySqlDatabase, PATIENCE, Session, ask, ask_text, connect, within};
use crate::errors::{at_commit, number, words};
use crate::write::{Statement, statements_of};

/// Work for the committer.
type Job = Box<dyn for<'w> FnOnce(&'w mut Writer) -> Pending<'w, ()> + Send>;

/// Jobs that may wait in the queue.
const QUEUE: usize = 16;

/// Statements of a batch that are made ahead of the one that runs.
const AHEAD: usize = 32;

/// The server's number for a lock that did not come free in time.
const LOCK_WAIT_TIMEOUT: u16 = 1205;

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
    /// Connects, looks at the server, and waits for work.
    ///
    /// # Errors
    /// Why this server is refused, in words.
    pub(crate) async fn start(options: MySqlConnectOptions, server: Server) -> Result<Self, String> {
        let mut writer = Writer { options, server, open: None, lost: Vec::new(), in_doubt: false };
        writer.ready().await?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let task = tokio::spawn(async move {
            while let Some(job) = queue.recv().await {
                job(&mut writer).await;
            }
            if let Some(open) = writer.open.take() {
                // The server ends the session in any case.
                within(PATIENCE, open.connection.close()).await.ok();
            }
        });
        Ok(Committer { jobs, task })
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

/// A connection, and the lock that only its session holds: what the session can be found by when it is lost.
struct Open {
    connection: MySqlConnection,
    session: String,
}

/// What the committer's task owns.
pub(crate) struct Writer {
    options: MySqlConnectOptions,
    pub(crate) server: Server,
    open: Option<Open>,
    /// The sessions of connections that were lost and may still hold locks.
    lost: Vec<String>,
    /// Whether the reply of a COMMIT was lost, so that what is visible may not be synced.
    in_doubt: bool,
}

impl Writer {
    /// The connection, opened again if the last one was thrown away, to a server that was looked at.
    pub(crate) async fn ready(&mut self) -> Result<&mut MySqlConnection, String> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        Ok(&mut self.open.insert(open).connection)
    }

    async fn connect(&self) -> Result<Open, String> {
        let failed = |error: sqlx::Error| words(&error);
        let mut connection = connect(&self.options, &self.server, Session::Writing).await.map_err(failed)?;
        check::check(&mut connection, &self.server).await?;
        let session = ask_text(&mut connection, "SELECT CONCAT('lockstep ', UUID())", &[]).await.map_err(failed)?;
        let session = session.unwrap_or_default();
        // A cluster may not have such locks; its sessions end when their connections do.
        ask(&mut connection, "SELECT GET_LOCK(?, 0)", &[Cell::Text(session.clone())]).await.ok();
        Ok(Open { connection, session })
    }

    /// Throws the connection away; the server rolls its transaction back when it notices.
    pub(crate) fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            self.lost.push(open.session);
        }
    }

    /// Runs what comes between BEGIN and COMMIT. Where it ends without [`Next::Commit`], nobody wants it any more, and
    /// nothing is committed.
    pub(crate) async fn transact(&mut self, coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        let result = self.attempt(coming).await;
        if matches!(result, Err(CommitError::Unknown { .. })) {
            self.in_doubt = true;
            self.discard();
        }
        result
    }

    async fn attempt(&mut self, mut coming: mpsc::Receiver<Next>) -> Result<(), CommitError> {
        self.begin().await?;
        let max_packet = self.server.max_packet;
        let connection = self.ready().await.map_err(|detail| CommitError::Unavailable { detail })?;
        loop {
            let done = match coming.recv().await {
                Some(Next::Statement(statement)) => statement.run(connection, max_packet).await,
                Some(Next::Commit) => break,
                Some(Next::Refuse(detail)) => Err(CommitError::Refused { detail }),
                None => Err(CommitError::Unavailable { detail: "the commit was given up".to_owned() }),
            };
            if let Err(error) = done {
                self.roll_back().await;
                return Err(error);
            }
        }
        let done = within(PATIENCE, connection.execute("COMMIT")).await;
        match done.map_err(|error| at_commit(&error)) {
            Err(error @ CommitError::Unavailable { .. }) => {
                self.roll_back().await;
                Err(error)
            }
            done => done.map(|_| ()),
        }
    }

    /// Begins a transaction. A connection that the server has closed meanwhile is opened again: nothing was sent yet.
    async fn begin(&mut self) -> Result<(), CommitError> {
        let unavailable = |detail: String| CommitError::Unavailable { detail };
        let connection = self.ready().await.map_err(unavailable)?;
        if within(PATIENCE, connection.execute("BEGIN")).await.is_ok() {
            return Ok(());
        }
        self.discard();
        let connection = self.ready().await.map_err(unavailable)?;
        within(PATIENCE, connection.execute("BEGIN"))
            .await
            .map(|_| ())
            .map_err(|error| crate::errors::unavailable(&error))
    }

    /// All of it, always: the server itself undoes only the one statement after a lock timeout.
    async fn roll_back(&mut self) {
        let Some(open) = &mut self.open else { return };
        if within(PATIENCE, open.connection.execute("ROLLBACK")).await.is_err() {
            self.discard();
        }
    }

    /// Reads the log head under its lock, which waits out a lost transaction: each takes that lock first.
    async fn head(&mut self) -> Result<Option<String>, String> {
        match self.locked_head().await {
            Err(error) if number(&error) == Some(LOCK_WAIT_TIMEOUT) && !self.lost.is_empty() => {
                self.roll_back().await;
                self.end_lost().await?;
                self.locked_head().await.map_err(|error| locked(&error))
            }
            result => result.map_err(|error| locked(&error)),
        }
    }

    async fn locked_head(&mut self) -> Result<Option<String>, sqlx::Error> {
        self.begin().await.map_err(|error| sqlx::Error::Protocol(error.to_string()))?;
        let in_doubt = self.in_doubt;
        let connection = self.ready().await.map_err(sqlx::Error::Protocol)?;
        if !check::has_table(connection, name::META).await? {
            self.roll_back().await;
            return Ok(None);
        }
        let head = read_head(connection, " FOR UPDATE").await?;
        if let (true, Some(head)) = (in_doubt, &head) {
            settle(connection, head).await?;
            self.in_doubt = false;
        } else {
            self.roll_back().await;
        }
        self.lost.clear();
        Ok(head)
    }

    /// Ends sessions whose connection was cut where the server did not notice; they would hold their locks for hours.
    async fn end_lost(&mut self) -> Result<(), String> {
        let lost = std::mem::take(&mut self.lost);
        let connection = self.ready().await?;
        for session in lost {
            let holder = ask_text(connection, "SELECT IS_USED_LOCK(?)", &[Cell::Text(session)]).await;
            let holder = holder.map_err(|error| words(&error))?.and_then(|id| id.parse::<u64>().ok());
            if let Some(id) = holder {
                // It may end by itself at this moment.
                within(PATIENCE, connection.execute(AssertSqlSafe(format!("KILL CONNECTION {id}")))).await.ok();
            }
        }
        Ok(())
    }
}

fn locked(error: &sqlx::Error) -> String {
    match number(error) {
        Some(LOCK_WAIT_TIMEOUT) => {
            format!("somebody holds the lock on the log head for more than {LOCK_TIMEOUT_S} seconds")
        }
        _ => words(error),
    }
}

/// Makes durable whatever is visible now: InnoDB shows a commit before its log is synced, and syncs that log in order,
/// so that the next commit that writes something syncs all before it. The row itself ends as it was.
async fn settle(connection: &mut MySqlConnection, head: &str) -> Result<(), sqlx::Error> {
    let sql = format!("UPDATE {} SET value = ? WHERE `key` = ?", name::META);
    let text = |text: &str| Cell::Text(text.to_owned());
    for value in [format!("{head} "), head.to_owned()] {
        ask(connection, &sql, &[text(&value), text(LOG_HEAD)]).await?;
    }
    within(PATIENCE, connection.execute("COMMIT")).await.map(|_| ())
}

/// Commits a batch in the committer's task.
pub(crate) async fn commit(database: &MySqlDatabase, batch: &Batch) -> Result<(), CommitError> {
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
pub(crate) async fn head(database: &MySqlDatabase) -> Result<Option<String>, DatabaseError> {
    let head = match &database.committer {
        Some(committer) => committer
            .run(|writer| {
                Box::pin(async move {
                    let head = writer.head().await;
                    if head.is_err() {
                        writer.discard();
                    }
                    head
                })
            })
            .await
            .unwrap_or_else(|| Err("the committer stopped".to_owned())),
        None => seen_head(database).await.map_err(|error| words(&error)),
    };
    head.map_err(|detail| DatabaseError::Unavailable { detail })
}

async fn seen_head(database: &MySqlDatabase) -> Result<Option<String>, sqlx::Error> {
    let mut reader = database.readers.acquire().await?;
    if check::has_table(&mut reader, name::META).await? { read_head(&mut reader, "").await } else { Ok(None) }
}

async fn read_head(connection: &mut MySqlConnection, lock: &str) -> Result<Option<String>, sqlx::Error> {
    let sql = format!("SELECT value FROM {} WHERE `key` = ?{lock}", name::META);
    ask_text(connection, &sql, &[Cell::Text(LOG_HEAD.to_owned())]).await
}

/// The two statements that compare the log head and set it: one changes a row, or somebody else wrote.
pub(crate) fn compare_and_set(batch: &Batch) -> Result<Statement, String> {
    let (sql, values) = match &batch.expected_head {
        None => {
            (format!("INSERT INTO {} (`key`, value) VALUES (?, ?)", name::META), vec![LOG_HEAD, batch.head.as_str()])
        }
        Some(expected) => (
            format!("UPDATE {} SET value = ? WHERE `key` = ? AND value = ?", name::META),
            vec![batch.head.as_str(), LOG_HEAD, expected.as_str()],
        ),
    };
    let mut arguments = MySqlArguments::default();
    for value in values {
        bind_cell(&mut arguments, &Cell::Text(value.to_owned()))?;
    }
    Ok(Statement::comparing_head(sql, arguments))
}
