//! What is seen of other nodes: noted beside the commits, no part of them.

use lockstep_core::database::{Database, PeerSeen};
use lockstep_core::tables::{Cell, Row, Table, name, own_tables};
use lockstep_core::time::Timestamp;

use super::Factory;
use super::sample::{batch, commit, prepared, text, words};
use crate::ensure;

fn table() -> Result<Table, String> {
    own_tables().into_iter().find(|table| table.name == name::PEER).ok_or_else(|| "there is no such table".to_owned())
}

fn seen(node: &str, behind: u64, micros: i64) -> Result<PeerSeen, String> {
    let at = Timestamp::from_micros(micros).ok_or("no such time")?;
    let since = (behind == 0).then_some(at);
    let last_error = (behind > 0).then(|| "it is \"slow\"\0".to_owned());
    Ok(PeerSeen { node: node.to_owned(), since, behind_events: behind, behind_since: Some(at), last_error, at })
}

async fn row(database: &dyn Database, node: &str) -> Result<Row, String> {
    let rows = database.select(&table()?, "node", &[text(node)]).await.map_err(words)?;
    ensure!(rows.len() == 1, "{} rows of {node}", rows.len());
    Ok(rows.into_iter().next().unwrap_or_default())
}

pub(super) async fn replaced(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let (first, second, other) = (seen("bolt", 3, 1)?, seen("bolt", 0, 2)?, seen("crane", 0, 1)?);
    database.note_peers(&[first.clone(), other.clone()]).await.map_err(words)?;
    ensure!(row(&*database, "bolt").await? == first.row(), "it is not there as it was noted");
    for _ in 0..2 {
        database.note_peers(std::slice::from_ref(&second)).await.map_err(words)?;
        ensure!(row(&*database, "bolt").await? == second.row(), "the row before still stands");
    }
    ensure!(row(&*database, "crane").await? == other.row(), "another node's row changed");
    Ok(())
}

pub(super) async fn leaves_head(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let before = database.head().await.map_err(words)?;
    database.note_peers(&[seen("bolt", 1, 1)?]).await.map_err(words)?;
    ensure!(database.head().await.map_err(words)? == before, "the head moved");
    commit(&*database, &batch(0, 1, Vec::new())).await?;
    ensure!(matches!(row(&*database, "bolt").await?.get(3), Some(Cell::Integer(1))), "a commit took it away");
    Ok(())
}
