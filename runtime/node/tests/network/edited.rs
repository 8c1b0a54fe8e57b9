//! Rows of what was handed over, edited: named to the cell, and nobody else is accused.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::audit::{Finding, Known, audit};
use lockstep_core::codes::Code;
use lockstep_core::database::{Batch, Database, TableWrites, Write};
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::tables::{Cell, Class, Kind, LOG_HEAD, Row, Table, name, own_tables};
use lockstep_core::time::Timestamp;

use crate::pair::{Pair, Side};

type Contents = BTreeMap<String, Vec<Row>>;

/// What an audit finds where somebody has edited the rows of what was handed over.
async fn found(pair: &Pair, side: &Side, edit: impl FnOnce(&mut Vec<Row>)) -> Vec<Finding> {
    let mut contents = side.database.memory.contents();
    edit(contents.get_mut(name::FORWARD).unwrap());
    let database = database_of(pair, side, contents).await;
    let mut snapshot = database.snapshot().await.unwrap();
    audit(snapshot.as_mut(), Known::default(), &mut |_| {}).await.unwrap().findings
}

async fn database_of(pair: &Pair, side: &Side, mut contents: Contents) -> MemoryDatabase {
    let head = side.database.head().await.unwrap().unwrap();
    let tables: Vec<Table> = own_tables().into_iter().chain(pair.world.directory.record_tables()).collect();
    let meta = contents.get_mut(name::META).unwrap();
    meta.retain(|row| row[0] != Cell::Text(LOG_HEAD.to_owned()));
    let database = MemoryDatabase::new();
    database.prepare(&tables).await.unwrap();
    let writes = tables.into_iter().map(|table| {
        let rows = contents.remove(&table.name).unwrap_or_default();
        TableWrites { writes: rows.into_iter().map(Write::Insert).collect(), table: Arc::new(table) }
    });
    database.commit(&Batch { expected_head: None, head, tables: writes.collect() }).await.unwrap();
    database
}

fn table() -> Table {
    own_tables().into_iter().find(|table| table.name == name::FORWARD).unwrap()
}

/// Another value of the same kind.
fn other(kind: Kind, cell: &Cell) -> Cell {
    match (kind, cell) {
        (Kind::Integer, Cell::Integer(number)) => Cell::Integer(number + 7),
        (Kind::Timestamp, _) => Cell::Timestamp(Timestamp::MIN),
        (_, Cell::Bytes(bytes)) => {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Cell::Bytes(bytes)
        }
        _ => Cell::Text("other".to_owned()),
    }
}

/// Three intents that bolt handed over: two with outcomes, one that ended elsewhere.
async fn handed_over() -> Pair {
    let mut pair = Pair::new().await;
    let wishes = [pair.deal("one"), pair.edit("one"), pair.world.call("ann@acme", "edit", "nothing", vec![])];
    for (wish, ending) in wishes.iter().zip(["applied", "applied", "rejected"]) {
        assert_eq!(pair.bolt.submit(wish).await, ending);
    }
    for side in [&pair.acme, &pair.bolt] {
        side.ends(3).await;
        side.acknowledged(3).await;
    }
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn every_edited_cell_that_is_proven_is_named_and_nobody_else_is_accused() {
    let pair = handed_over().await;
    let mut tried = 0;
    for side in [&pair.acme, &pair.bolt] {
        assert!(found(&pair, side, |_| ()).await.is_empty());
        for (at, column) in table().columns.iter().enumerate() {
            let answers = matches!(column.name.as_str(), "taken" | "ended");
            for row in 0..3 {
                let cell = side.database.memory.contents()[name::FORWARD][row][at].clone();
                if (column.class == Class::Operational && !answers) || cell == Cell::Null {
                    continue;
                }
                tried += 1;
                let edited = other(column.kind, &cell);
                let findings = found(&pair, side, |rows| rows[row][at] = edited).await;
                let in_key = table().key.contains(&column.name);
                let named = findings.iter().any(|one| in_key || one.column.as_deref() == Some(column.name.as_str()));
                assert!(named, "{} of row {row}: {findings:#?}", column.name);
                assert!(findings.iter().all(|one| one.table == name::FORWARD), "{}: {findings:#?}", column.name);
            }
        }
    }
    assert!(tried > 40, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_whose_row_was_deleted_is_missed_and_an_invented_row_is_extra() {
    let pair = handed_over().await;
    for side in [&pair.acme, &pair.bolt] {
        let count = table().position("count").unwrap();
        let findings = found(&pair, side, |rows| {
            let (first, one) = (Cell::Integer(1), Cell::Text("acme:one".to_owned()));
            rows.retain(|row| row[count] != first || row[table().position("record_id").unwrap()] != one);
        });
        let findings = findings.await;
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!((findings[0].code, findings[0].record_id.as_deref()), (Code::RowMissing, Some("acme:one")));
        assert!(findings[0].message.contains("count 1 of node bolt"), "{}", findings[0].message);
        let invented = found(&pair, side, |rows| {
            let mut row = rows[0].clone();
            (row[1], row[count]) = (Cell::Text("0".repeat(64)), Cell::Integer(9));
            rows.push(row);
        });
        let invented = invented.await;
        assert!(invented.iter().any(|one| one.code == Code::RowExtra), "{invented:#?}");
        assert!(invented.iter().all(|one| one.table == name::FORWARD), "{invented:#?}");
    }
}
