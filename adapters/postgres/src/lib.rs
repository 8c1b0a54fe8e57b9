//! Lockstep in a schema of a PostgreSQL database, beside the user's own tables.
//!
//! The modules mirror those of the other adapters: `connect` opens and refuses (`url` reads what it is given, `check`
//! looks at the server), `ddl` makes the tables (`catalogue` reads which are there) and `views` the views beside them, `bind` turns cells into arguments
//! and values into cells (`jsonb` for documents), `write` turns a batch into statements, `commit` is the one
//! committer, `read` and `query` everything that reads, `outbox` the deliveries, `peers` what is noted of other nodes,
//! `error` what the server's errors mean. `bare` writes rows with nothing around it, to measure against; `client` is
//! anybody's SQL client.
//!
//! It owns how rows are stored, nothing of what they mean. See the crate's README for the life of a commit.

pub mod bare;
mod bind;
mod catalogue;
mod check;
pub mod client;
mod commit;
mod connect;
mod ddl;
mod error;
mod jsonb;
mod outbox;
mod peers;
mod query;
mod read;
mod url;
mod views;
mod write;

use lockstep_core::database::{
    Answer, Batch, CommitError, Database, DatabaseError, Delivery, PeerSeen, Pending, Snapshot,
};
use lockstep_core::tables::{Cell, Row, Table};

pub use connect::{FORMAT, PostgresConfig, PostgresDatabase};

impl Database for PostgresDatabase {
    fn prepare<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<(), DatabaseError>> {
        Box::pin(ddl::prepare(self, tables))
    }

    fn plan<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<Vec<String>, DatabaseError>> {
        Box::pin(ddl::plan(self, tables))
    }

    fn head(&self) -> Pending<'_, Result<Option<String>, DatabaseError>> {
        Box::pin(commit::head(self))
    }

    fn commit<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Result<(), CommitError>> {
        Box::pin(commit::commit(self, batch))
    }

    fn select<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        values: &'a [Cell],
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(read::select(self, table, column, values))
    }

    fn follow<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        after: Option<i64>,
        limit: usize,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(read::follow(self, table, column, after, limit))
    }

    fn snapshot(&self) -> Pending<'_, Result<Box<dyn Snapshot>, DatabaseError>> {
        Box::pin(read::snapshot(self))
    }

    fn query<'a>(&'a self, sql: &'a str, limit: usize) -> Pending<'a, Result<Answer, DatabaseError>> {
        Box::pin(query::query(self, sql, limit))
    }

    fn undelivered(&self, limit: usize) -> Pending<'_, Result<Vec<Row>, DatabaseError>> {
        Box::pin(outbox::undelivered(self, limit))
    }

    fn deliver<'a>(&'a self, deliveries: &'a [Delivery]) -> Pending<'a, Result<(), DatabaseError>> {
        Box::pin(outbox::deliver(self, deliveries))
    }

    fn note_peers<'a>(&'a self, peers: &'a [PeerSeen]) -> Pending<'a, Result<(), DatabaseError>> {
        Box::pin(peers::note(self, peers))
    }
}
