//! The in-memory [`Database`]: the promise of the seam in its shortest form, stricter than any real one.
//!
//! It refuses what some databases let pass (a cell of another kind, a document that is not canonical, a missing
//! NOT NULL), so that what works on it works everywhere. Tests of the node make its commits fail on purpose
//! with [`MemoryDatabase::fail_next`]. `store` has the tables and what changes them. It
//! deliberately has no SQL: views and queries are the adapters' matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod store;

use store::{Key, Part, Stored, Tables, apply, arranged, found, head_in, note, own_table, part, shape, widened};

use crate::database::{
    Answer, Batch, CommitError, Database, DatabaseError, Delivery, Page, PeerSeen, Pending, Snapshot,
};
use crate::tables::{Cell, Row, Table, name};

/// A failure to come.
#[derive(Debug)]
struct Fault {
    error: CommitError,
    applied: bool,
}

/// A database in memory.
#[derive(Debug, Default)]
pub struct MemoryDatabase {
    tables: Mutex<Tables>,
    faults: Mutex<VecDeque<Fault>>,
}

impl MemoryDatabase {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a coming commit answer `error`, each call the next one. Only [`CommitError::Unknown`] may be `applied`:
    /// the batch is then there though nobody was told so.
    pub fn fail_next(&self, error: CommitError, applied: bool) {
        assert!(
            !applied || matches!(error, CommitError::Unknown { .. }),
            "only a commit of unknown outcome may have been applied"
        );
        locked(&self.faults).push_back(Fault { error, applied });
    }

    /// All tables by name with their rows in key order.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<Row>> {
        let tables = locked(&self.tables);
        tables
            .iter()
            .map(|(name, stored)| {
                (name.clone(), stored.rows.values().map(|row| arranged(&stored.table, row)).collect())
            })
            .collect()
    }

    fn prepare_now(&self, tables: &[Table]) -> Result<(), DatabaseError> {
        let mut all = locked(&self.tables);
        let mut next = all.clone();
        for table in tables {
            let known = next.get(&table.name).map(|stored| stored.table.clone());
            let rows = next.get(&table.name).map(|stored| stored.rows.clone()).unwrap_or_default();
            next.insert(table.name.clone(), Arc::new(Stored::of(widened(known, table)?, rows)?));
        }
        *all = next;
        Ok(())
    }

    fn commit_now(&self, batch: &Batch) -> Result<(), CommitError> {
        let fault = locked(&self.faults).pop_front();
        match fault {
            None => apply(&mut locked(&self.tables), batch),
            Some(Fault { error, applied }) => {
                if applied {
                    apply(&mut locked(&self.tables), batch)?;
                }
                Err(error)
            }
        }
    }

    fn matching(&self, table: &Table, column: &str, wanted: impl Fn(&Cell) -> bool) -> Result<Vec<Row>, DatabaseError> {
        let tables = locked(&self.tables);
        let stored = found(&tables, table)?;
        if stored.table.position(column).is_none() {
            return Err(shape(table, &format!("there is no column {column}")));
        }
        Ok(stored
            .rows
            .values()
            .filter(|row| row.get(column).is_some_and(&wanted))
            .map(|row| arranged(table, row))
            .collect())
    }

    fn select_now(&self, table: &Table, column: &str, values: &[Cell]) -> Result<Vec<Row>, DatabaseError> {
        let wanted: BTreeSet<Part> = values.iter().filter(|value| **value != Cell::Null).map(part).collect();
        self.matching(table, column, |cell| wanted.contains(&part(cell)))
    }

    fn follow_now(
        &self,
        table: &Table,
        column: &str,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Row>, DatabaseError> {
        let rows = self.matching(
            table,
            column,
            |cell| matches!(cell, Cell::Integer(number) if after.is_none_or(|after| *number > after)),
        )?;
        Ok(first_by(table, column, rows, limit))
    }

    fn undelivered_now(&self, limit: usize) -> Result<Vec<Row>, DatabaseError> {
        let table = own_table(name::OUTBOX)?;
        let pending = Cell::Text("pending".to_owned());
        let rows = self.matching(&table, "status", |status| *status == pending)?;
        Ok(first_by(&table, "position", rows, limit))
    }

    fn deliver_now(&self, deliveries: &[Delivery]) {
        let mut tables = locked(&self.tables);
        let Some(stored) = tables.get_mut(name::OUTBOX).map(Arc::make_mut) else { return };
        for delivery in deliveries {
            if let Some(row) = stored.rows.get_mut(&vec![Part::Text(delivery.id.clone())]) {
                note(row, delivery);
            }
        }
    }
}

impl MemoryDatabase {
    fn note_peers_now(&self, peers: &[PeerSeen]) -> Result<(), DatabaseError> {
        let table = own_table(name::PEER)?;
        let mut tables = locked(&self.tables);
        let Some(stored) = tables.get_mut(name::PEER).map(Arc::make_mut) else {
            return Err(shape(&table, "it is not there"));
        };
        for peer in peers {
            let columns = table.columns.iter().map(|column| column.name.clone());
            stored.rows.insert(vec![Part::Text(peer.node.clone())], columns.zip(peer.row()).collect());
        }
        Ok(())
    }
}

fn first_by(table: &Table, column: &str, mut rows: Vec<Row>, limit: usize) -> Vec<Row> {
    let at = table.position(column);
    rows.sort_by_key(|row| at.and_then(|at| row.get(at)).map(part));
    rows.truncate(limit);
    rows
}

/// A lock that a panicking test left behind still guards whole batches: [`apply`] takes back what it began.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One moment.
struct MemorySnapshot(Tables);

impl Snapshot for MemorySnapshot {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        let after = page
            .after
            .as_ref()
            .map_or(Bound::Unbounded, |after| Bound::Excluded(after.iter().map(part).collect::<Key>()));
        let rows = found(&self.0, table).map(|stored| {
            stored.rows.range((after, Bound::Unbounded)).take(page.limit).map(|(_, row)| arranged(table, row)).collect()
        });
        Box::pin(ready(rows))
    }
}

impl Database for MemoryDatabase {
    fn prepare<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<(), DatabaseError>> {
        Box::pin(ready(self.prepare_now(tables)))
    }

    fn plan<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<Vec<String>, DatabaseError>> {
        let known = locked(&self.tables);
        let missing =
            tables.iter().filter(|table| !known.contains_key(&table.name)).map(|table| table.name.clone()).collect();
        Box::pin(ready(Ok(missing)))
    }

    fn head(&self) -> Pending<'_, Result<Option<String>, DatabaseError>> {
        Box::pin(ready(Ok(head_in(&locked(&self.tables)))))
    }

    fn commit<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Result<(), CommitError>> {
        Box::pin(async move { self.commit_now(batch) })
    }

    fn select<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        values: &'a [Cell],
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(ready(self.select_now(table, column, values)))
    }

    fn follow<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        after: Option<i64>,
        limit: usize,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(ready(self.follow_now(table, column, after, limit)))
    }

    fn snapshot(&self) -> Pending<'_, Result<Box<dyn Snapshot>, DatabaseError>> {
        let snapshot: Box<dyn Snapshot> = Box::new(MemorySnapshot(locked(&self.tables).clone()));
        Box::pin(ready(Ok(snapshot)))
    }

    fn query<'a>(&'a self, _sql: &'a str, _limit: usize) -> Pending<'a, Result<Answer, DatabaseError>> {
        Box::pin(ready(Err(DatabaseError::Query { detail: "the in-memory database has no SQL".to_owned() })))
    }

    fn undelivered(&self, limit: usize) -> Pending<'_, Result<Vec<Row>, DatabaseError>> {
        Box::pin(ready(self.undelivered_now(limit)))
    }

    fn deliver<'a>(&'a self, deliveries: &'a [Delivery]) -> Pending<'a, Result<(), DatabaseError>> {
        self.deliver_now(deliveries);
        Box::pin(ready(Ok(())))
    }

    fn note_peers<'a>(&'a self, peers: &'a [PeerSeen]) -> Pending<'a, Result<(), DatabaseError>> {
        Box::pin(ready(self.note_peers_now(peers)))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::database::{TableWrites, Write};
    use crate::tables::own_tables;

    /// What a future of this database answers; it never waits.
    fn now<T>(mut future: Pending<'_, T>) -> T {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("the in-memory database never waits"),
        }
    }

    fn prepared() -> MemoryDatabase {
        let database = MemoryDatabase::new();
        assert!(now(database.prepare(&own_tables())).is_ok());
        database
    }

    fn batch(expected: Option<&str>, head: &str, facts: &[(&str, &str)]) -> Batch {
        let text = |text: &str| Cell::Text(text.to_owned());
        let writes = facts.iter().map(|(key, value)| Write::Insert(vec![text(key), text(value)])).collect();
        let tables = own_tables()
            .into_iter()
            .find(|table| table.name == name::META)
            .map(|table| TableWrites { table: Arc::new(table), writes });
        Batch {
            expected_head: expected.map(str::to_owned),
            head: head.to_owned(),
            tables: tables.into_iter().collect(),
        }
    }

    fn head(database: &MemoryDatabase) -> Option<String> {
        now(database.head()).unwrap_or_default()
    }

    #[test]
    fn a_failing_batch_leaves_everything_as_it_was() {
        let database = prepared();
        assert!(now(database.commit(&batch(None, "one", &[("a", "1")]))).is_ok());
        let before = database.contents();
        assert!(matches!(
            now(database.commit(&batch(Some("one"), "two", &[("b", "1"), ("a", "2")]))),
            Err(CommitError::Refused { .. })
        ));
        assert!(matches!(now(database.commit(&batch(None, "two", &[("b", "1")]))), Err(CommitError::Conflict)));
        assert_eq!(database.contents(), before);
    }

    #[test]
    fn faults_come_in_order_and_only_an_unknown_one_may_have_been_applied() {
        let database = prepared();
        let detail = || "on purpose".to_owned();
        database.fail_next(CommitError::Unavailable { detail: detail() }, false);
        database.fail_next(CommitError::Unknown { detail: detail() }, false);
        database.fail_next(CommitError::Unknown { detail: detail() }, true);
        let one = batch(None, "one", &[("a", "1")]);
        assert!(matches!(now(database.commit(&one)), Err(CommitError::Unavailable { .. })));
        assert!(matches!(now(database.commit(&one)), Err(CommitError::Unknown { .. })));
        assert_eq!(head(&database), None);
        assert!(matches!(now(database.commit(&one)), Err(CommitError::Unknown { .. })));
        assert_eq!(head(&database).as_deref(), Some("one"));
        assert!(matches!(now(database.commit(&one)), Err(CommitError::Conflict)));
    }
}
