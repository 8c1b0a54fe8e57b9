//! Tables: made, widened, never bent.

use lockstep_core::database::{DatabaseError, Write};
use lockstep_core::tables::{Cell, Index, Kind};

use super::Factory;
use super::sample::{all, batch, column, commit, inserts, pair, pairs, prepared, tables, text, words};
use crate::ensure;

pub(super) async fn twice(factory: &dyn Factory) -> Result<(), String> {
    let database = factory.fresh().await?;
    ensure!(!database.plan(&tables()).await.map_err(words)?.is_empty(), "an empty database needs nothing");
    database.prepare(&tables()).await.map_err(words)?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))])).await?;
    let left = database.plan(&tables()).await.map_err(words)?;
    ensure!(left.is_empty(), "after preparing there is still to do: {left:?}");
    database.prepare(&tables()).await.map_err(words)?;
    ensure!(all(&*database, &pairs()).await? == [pair("a", 1, 1)], "preparing again changed rows");
    Ok(())
}

pub(super) async fn add_column(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1), pair("b", 1, 2)]))])).await?;
    let mut wider = pairs();
    // Not at the end: where a column stands in the catalogue is not where a database keeps it.
    wider.columns.insert(2, column("more", Kind::Json, true));
    wider.indexes.push(Index { columns: vec!["seq".to_owned()], unique: false });
    let all_tables: Vec<_> =
        tables().into_iter().map(|table| if table.name == wider.name { wider.clone() } else { table }).collect();
    database.prepare(&all_tables).await.map_err(words)?;
    let row =
        |name: &str, more: Cell, value: i64| vec![text(name), Cell::Integer(1), more, Cell::Integer(value), Cell::Null];
    ensure!(
        all(&*database, &wider).await? == [row("a", Cell::Null, 1), row("b", Cell::Null, 2)],
        "rows are not NULL in the new column"
    );
    let fill = Write::Update { key: vec![text("a"), Cell::Integer(1)], set: vec![(2, text("[1]"))] };
    commit(&*database, &batch(1, 2, vec![(wider.clone(), vec![fill, Write::Insert(row("c", text("{}"), 3))])])).await?;
    let expected = [row("a", text("[1]"), 1), row("b", Cell::Null, 2), row("c", text("{}"), 3)];
    ensure!(all(&*database, &wider).await? == expected, "the new column does not hold what was written");
    // A node that still has the older catalogue goes on with it.
    database.prepare(&tables()).await.map_err(words)?;
    ensure!(
        all(&*database, &pairs()).await?.first() == Some(&pair("a", 1, 1)),
        "the older table does not read its columns"
    );
    commit(&*database, &batch(2, 3, vec![(pairs(), inserts([pair("d", 1, 4)]))])).await
}

pub(super) async fn other_shape(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let mut retyped = pairs();
    retyped.columns.splice(2..3, [column("value", Kind::Text, true)]);
    let mut required = pairs();
    required.columns.push(column("more", Kind::Text, false));
    for (what, table) in [("a retyped column", retyped), ("a new required column", required)] {
        match database.prepare(std::slice::from_ref(&table)).await {
            Err(DatabaseError::Shape { table, .. }) if table == "suite_pairs" => {}
            other => return Err(format!("{what} should be refused and is {other:?}")),
        }
    }
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))])).await
}
