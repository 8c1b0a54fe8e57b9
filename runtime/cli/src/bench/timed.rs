//! A database whose commits are timed, between a node and its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockstep_core::database::{
    Answer, Batch, CommitError, Database, DatabaseError, Delivery, PeerSeen, Pending, Snapshot,
};
use lockstep_core::tables::{Cell, Row, Table, name};

/// What a commit took, and how many intents were in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commit {
    pub(super) took: Duration,
    pub(super) intents: usize,
}

/// The database, with the commits since they were asked for last.
pub(super) struct Timed {
    inner: Arc<dyn Database>,
    commits: Mutex<Vec<Commit>>,
}

impl Timed {
    pub(super) fn new(inner: Arc<dyn Database>) -> Self {
        Timed { inner, commits: Mutex::default() }
    }

    /// The commits since this was called last.
    pub(super) fn take(&self) -> Vec<Commit> {
        std::mem::take(&mut *self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Database for Timed {
    fn prepare<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<(), DatabaseError>> {
        self.inner.prepare(tables)
    }

    fn plan<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<Vec<String>, DatabaseError>> {
        self.inner.plan(tables)
    }

    fn head(&self) -> Pending<'_, Result<Option<String>, DatabaseError>> {
        self.inner.head()
    }

    fn commit<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Result<(), CommitError>> {
        let intents = batch.tables.iter().filter(|writes| writes.table.name == name::INTENT);
        let intents = intents.map(|writes| writes.writes.len()).sum();
        Box::pin(async move {
            let started = Instant::now();
            let ended = self.inner.commit(batch).await;
            let commit = Commit { took: started.elapsed(), intents };
            self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(commit);
            ended
        })
    }

    fn select<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        values: &'a [Cell],
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        self.inner.select(table, column, values)
    }

    fn follow<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        after: Option<i64>,
        limit: usize,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        self.inner.follow(table, column, after, limit)
    }

    fn snapshot(&self) -> Pending<'_, Result<Box<dyn Snapshot>, DatabaseError>> {
        self.inner.snapshot()
    }

    fn query<'a>(&'a self, sql: &'a str, limit: usize) -> Pending<'a, Result<Answer, DatabaseError>> {
        self.inner.query(sql, limit)
    }

    fn undelivered(&self, limit: usize) -> Pending<'_, Result<Vec<Row>, DatabaseError>> {
        self.inner.undelivered(limit)
    }

    fn deliver<'a>(&'a self, deliveries: &'a [Delivery]) -> Pending<'a, Result<(), DatabaseError>> {
        self.inner.deliver(deliveries)
    }

    fn note_peers<'a>(&'a self, peers: &'a [PeerSeen]) -> Pending<'a, Result<(), DatabaseError>> {
        self.inner.note_peers(peers)
    }
}
