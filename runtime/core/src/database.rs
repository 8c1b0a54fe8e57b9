//! Seam: the participant's own database.
//!
//! Promise of a [`Database`]:
//! - [`Database::commit`] is atomic and durable: when it returns `Ok`, every row of the batch survives the
//!   death of process and machine; when it returns anything else, either all rows are there or none.
//! - It first compares the log head with [`Batch::expected_head`] and sets it to [`Batch::head`] in the same
//!   transaction. Two committers on one database can therefore never both succeed.
//! - It must not retry a batch by itself once the fate of a commit is unknown: it answers
//!   [`CommitError::Unknown`], and the caller asks [`Database::head`], which waits out a transaction that may
//!   still be running and then reads what happened.
//! - Reads never wait for a commit and never make one wait. What a [`Snapshot`] returns is all of one moment.
//! - Only `commit`, [`Database::deliver`] and [`Database::note_peers`] change rows, the latter two only operational
//!   columns, and all of one database take turns; only [`Database::prepare`] changes tables. A future
//!   that is dropped leaves no transaction open.
//! - What comes back is what the tables hold, not what was written: a value that the column's kind could not
//!   hold comes back as [`Cell::Foreign`].

use std::future::Future;
use std::pin::Pin;

use crate::tables::{Cell, Row, Table};
use crate::time::Timestamp;

/// What an async method of a seam returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How one row is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new row, all columns.
    Insert(Row),
    /// A new row, or in place of the one with the same key, all columns.
    Put(Row),
    /// New values for some columns of the row with this key. The row must be there.
    Update {
        /// The key, in the order of the table's key columns.
        key: Vec<Cell>,
        /// Column positions with their new values.
        set: Vec<(usize, Cell)>,
    },
}

/// The writes to one table, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct TableWrites {
    /// The table.
    pub table: std::sync::Arc<Table>,
    /// Its writes.
    pub writes: Vec<Write>,
}

/// What is committed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The log head that this batch builds on; `None` for the first batch of a database.
    pub expected_head: Option<String>,
    /// The log head after it; the one before, where it writes beside the log. After such a batch of unknown fate the head
    /// tells nothing, so that it must say the same when it is committed twice.
    pub head: String,
    /// The rows.
    pub tables: Vec<TableWrites>,
}

/// Why a batch was not committed, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The log head is another one: somebody else wrote. Nothing was committed.
    #[error("the log's head is not the one that this node wrote last; another process writes to this database")]
    Conflict,
    /// The database refuses a row for good (a CHECK, UNIQUE, foreign key or trigger of the user's). Nothing was committed.
    #[error("the database refuses a row: {detail}")]
    Refused {
        /// The database's own words; they stay local.
        detail: String,
    },
    /// Nothing was committed, and the same may work later (locked, full, read-only, out of connections).
    #[error("the database cannot take a commit now: {detail}")]
    Unavailable {
        /// The database's own words.
        detail: String,
    },
    /// Nobody knows whether it was committed.
    #[error("the outcome of a commit is unknown: {detail}")]
    Unknown {
        /// The database's own words.
        detail: String,
    },
}

/// Why something else than a commit failed.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is no such database, or it cannot be opened.
    #[error("cannot open {url}: {detail}")]
    Open {
        /// Where, without password.
        url: String,
        /// The database's own words.
        detail: String,
    },
    /// A newer version of lockstep wrote it, in a format that this one does not know.
    #[error(
        "cannot open {url}: its format is {format}, and this version of lockstep knows formats up to {known}; open it with a newer one"
    )]
    NewerFormat {
        /// Where, without password.
        url: String,
        /// What the database says its format is.
        format: String,
        /// The newest format known here.
        known: u64,
    },
    /// The tables are not the ones expected.
    #[error("table {table} is not as expected: {detail}")]
    Shape {
        /// The table.
        table: String,
        /// What differs.
        detail: String,
    },
    /// A query of the user's is wrong or not read-only.
    #[error("{detail}")]
    Query {
        /// The database's own words.
        detail: String,
    },
    /// The database does not answer now.
    #[error("the database is not available: {detail}")]
    Unavailable {
        /// The database's own words.
        detail: String,
    },
}

/// The answer to a query of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Whether there were more rows than asked for.
    pub truncated: bool,
}

/// A place to continue reading a table from, in key order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The key of the last row seen; `None` from the start.
    pub after: Option<Vec<Cell>>,
    /// Most rows to return.
    pub limit: usize,
}

/// What the tables hold at one moment.
pub trait Snapshot: Send {
    /// Rows of a table in key order. A table that does not exist is [`DatabaseError::Shape`].
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>>;
}

/// One delivery to note in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The notification.
    pub id: String,
    /// Which attempt it was, from 1; makes noting it twice the same as noting it once.
    pub attempt: u64,
    /// When the broker confirmed, or why it did not.
    pub result: Result<Timestamp, String>,
}

/// What a node sees of another one at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerSeen {
    /// The other node.
    pub node: String,
    /// Since when it is connected; `None` where it is not.
    pub since: Option<Timestamp>,
    /// What it sent that waits for something.
    pub behind_events: u64,
    /// Since when something does.
    pub behind_since: Option<Timestamp>,
    /// Why the last connection failed or ended.
    pub last_error: Option<String>,
    /// When it was seen like this.
    pub at: Timestamp,
}

impl PeerSeen {
    /// Its row in `lockstep_peer`.
    #[must_use]
    pub fn row(&self) -> Row {
        let time = |time: Option<Timestamp>| time.map_or(Cell::Null, Cell::Timestamp);
        vec![
            Cell::Text(self.node.clone()),
            Cell::Boolean(self.since.is_some()),
            time(self.since),
            Cell::count(self.behind_events),
            time(self.behind_since),
            self.last_error.as_ref().map_or(Cell::Null, |error| Cell::Text(error.replace('\0', ""))),
            Cell::Timestamp(self.at),
        ]
    }
}

/// A participant's database.
pub trait Database: Send + Sync {
    /// Makes the tables match: creates them, adds nullable columns and indexes, makes the views anew. `tables`
    /// are all of them, since one view covers every record table. Never drops or retypes anything; doing it
    /// again changes nothing; interrupted, it can be done again. A column added to a table with rows is NULL
    /// in them until the caller fills it with [`Write::Update`].
    fn prepare<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<(), DatabaseError>>;
    /// The statements that [`Database::prepare`] would run now, for people who want to see them first.
    fn plan<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<Vec<String>, DatabaseError>>;
    /// The log head, after waiting out any transaction of a writer that may still be running; `None` where
    /// nothing was ever committed.
    fn head(&self) -> Pending<'_, Result<Option<String>, DatabaseError>>;
    /// Commits a batch.
    fn commit<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Result<(), CommitError>>;
    /// The rows whose `column` holds one of the values; any number of values, in no particular order. They hold the
    /// columns that `table` names, which may be fewer than there are, and need not have `column` among them.
    fn select<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        values: &'a [Cell],
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>>;
    /// Rows of a table in the order of an integer column, from `after` (exclusive) on.
    fn follow<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        after: Option<i64>,
        limit: usize,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>>;
    /// What the tables hold now, to be read at leisure.
    fn snapshot(&self) -> Pending<'_, Result<Box<dyn Snapshot>, DatabaseError>>;
    /// A read-only query of the user's, at most `limit` rows.
    fn query<'a>(&'a self, sql: &'a str, limit: usize) -> Pending<'a, Result<Answer, DatabaseError>>;
    /// Pending notifications of the outbox in order, at most `limit`.
    fn undelivered(&self, limit: usize) -> Pending<'_, Result<Vec<Row>, DatabaseError>>;
    /// Notes deliveries in the outbox; repeating it changes nothing.
    fn deliver<'a>(&'a self, deliveries: &'a [Delivery]) -> Pending<'a, Result<(), DatabaseError>>;
    /// Notes what is seen of other nodes, each in place of what was noted of it before. Takes its turn among commits;
    /// it need not be durable.
    fn note_peers<'a>(&'a self, peers: &'a [PeerSeen]) -> Pending<'a, Result<(), DatabaseError>>;
}
