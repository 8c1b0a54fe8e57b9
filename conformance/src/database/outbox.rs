//! The outbox: in order, at least once, noted once.

use lockstep_core::database::{Database, Delivery};
use lockstep_core::tables::{Cell, Row, Table, name, own_tables};
use lockstep_core::time::Timestamp;

use super::Factory;
use super::sample::{batch, commit, inserts, prepared, text, words};
use crate::ensure;

fn outbox() -> Result<Table, String> {
    own_tables().into_iter().find(|table| table.name == name::OUTBOX).ok_or_else(|| "there is no outbox".to_owned())
}

/// A database with ten pending notifications, written in another order than theirs.
async fn with_notifications(factory: &dyn Factory) -> Result<Box<dyn Database>, String> {
    let database = prepared(factory).await?;
    let table = outbox()?;
    let rows = (0..10_i64).map(|at| at * 7 % 10).map(|at| {
        let cell = |column: &str| match column {
            "id" => text(&format!("n{at}")),
            "position" => Cell::Integer(at * 1_000_000),
            "payload" => text("{}"),
            "status" => text("pending"),
            "attempts" => Cell::Integer(0),
            "last_error" | "delivered_at" => Cell::Null,
            _ => text("x"),
        };
        table.columns.iter().map(|column| cell(&column.name)).collect::<Row>()
    });
    commit(&*database, &batch(0, 1, vec![(table.clone(), inserts(rows))])).await?;
    Ok(database)
}

async fn pending_ids(database: &dyn Database, limit: usize) -> Result<String, String> {
    let rows = database.undelivered(limit).await.map_err(words)?;
    Ok(rows.iter().filter_map(|row| row.first()).filter_map(Cell::as_str).collect::<Vec<_>>().join(" "))
}

/// Status, attempts, last error and time of one notification.
async fn state(database: &dyn Database, id: &str) -> Result<Vec<Option<String>>, String> {
    let table = outbox()?;
    let rows = database.select(&table, "id", &[text(id)]).await.map_err(words)?;
    let row = rows.first().ok_or_else(|| format!("{id} is gone"))?;
    let columns = ["status", "attempts", "last_error", "delivered_at"];
    Ok(columns.iter().map(|name| table.position(name).and_then(|at| row.get(at)).and_then(Cell::show)).collect())
}

fn delivered(id: &str, attempt: u64, micros: i64) -> Option<Delivery> {
    Some(Delivery { id: id.to_owned(), attempt, result: Ok(Timestamp::from_micros(micros)?) })
}

fn failed(id: &str, attempt: u64, why: &str) -> Option<Delivery> {
    Some(Delivery { id: id.to_owned(), attempt, result: Err(why.to_owned()) })
}

async fn deliver(
    database: &dyn Database,
    deliveries: impl IntoIterator<Item = Option<Delivery>>,
) -> Result<(), String> {
    let deliveries: Vec<_> = deliveries.into_iter().flatten().collect();
    database.deliver(&deliveries).await.map_err(words)
}

pub(super) async fn pending(factory: &dyn Factory) -> Result<(), String> {
    let database = with_notifications(factory).await?;
    let found = pending_ids(&*database, 3).await?;
    ensure!(found == "n0 n1 n2", "the first three are {found}");
    deliver(&*database, [delivered("n0", 1, 1), failed("n1", 1, "down"), delivered("n2", 1, 1)]).await?;
    let found = pending_ids(&*database, 100).await?;
    ensure!(found == "n1 n3 n4 n5 n6 n7 n8 n9", "pending are {found}");
    Ok(())
}

pub(super) async fn twice(factory: &dyn Factory) -> Result<(), String> {
    let database = with_notifications(factory).await?;
    let notes = || [failed("n0", 1, "down"), failed("n1", 1, "down"), delivered("n1", 2, 0), failed("gone", 1, "down")];
    deliver(&*database, notes()).await?;
    let (first, second) = (state(&*database, "n0").await?, state(&*database, "n1").await?);
    let expected = [Some("pending".to_owned()), Some("1".to_owned()), Some("down".to_owned()), None];
    ensure!(first == expected, "after one failure it is {first:?}");
    let expected =
        [Some("delivered".to_owned()), Some("2".to_owned()), None, Some("1970-01-01T00:00:00.000000Z".to_owned())];
    ensure!(second == expected, "after delivery it is {second:?}");
    deliver(&*database, notes()).await?;
    ensure!(
        state(&*database, "n0").await? == first && state(&*database, "n1").await? == second,
        "noting again changed something"
    );
    deliver(&*database, []).await
}

pub(super) async fn stays(factory: &dyn Factory) -> Result<(), String> {
    let database = with_notifications(factory).await?;
    deliver(&*database, [delivered("n5", 1, 0)]).await?;
    let before = state(&*database, "n5").await?;
    deliver(&*database, [failed("n5", 2, "late"), delivered("n5", 3, 99)]).await?;
    ensure!(state(&*database, "n5").await? == before, "a delivered notification changed");
    Ok(())
}
