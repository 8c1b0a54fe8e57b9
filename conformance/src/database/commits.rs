//! Commits: whole or nothing, one after the other, by one committer.

use lockstep_core::database::{CommitError, Write};
use lockstep_core::tables::Cell;

use super::Factory;
use super::sample::{all, batch, commit, inserts, pair, pairs, prepared, refused, text, words};
use crate::ensure;

pub(super) async fn whole(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    ensure!(database.head().await.map_err(words)?.is_none(), "an empty database has a head");
    let rows: Vec<_> = (0..1_000).map(|at| pair(&format!("row {at:04}"), at, at)).collect();
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts(rows.clone()))])).await?;
    ensure!(database.head().await.map_err(words)?.as_deref() == Some("head 1"), "the head is not the batch's");
    ensure!(all(&*database, &pairs()).await? == rows, "the rows are not those of the batch");
    Ok(())
}

pub(super) async fn refused_leaves_nothing(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))])).await?;
    let rows = inserts([pair("b", 1, 2), pair("c", 1, 3), pair("a", 1, 4)]);
    refused(&*database, &batch(1, 2, vec![(pairs(), rows)])).await?;
    ensure!(all(&*database, &pairs()).await? == [pair("a", 1, 1)], "rows of a refused batch are there");
    ensure!(database.head().await.map_err(words)?.as_deref() == Some("head 1"), "a refused batch moved the head");
    commit(&*database, &batch(1, 2, vec![(pairs(), inserts([pair("b", 1, 2)]))])).await
}

pub(super) async fn conflict(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let conflicts = |from: u32| {
        let database = &database;
        async move {
            match database.commit(&batch(from, 9, vec![(pairs(), inserts([pair("x", 1, 1)]))])).await {
                Err(CommitError::Conflict) => Ok(()),
                other => Err(format!("should conflict and is {other:?}")),
            }
        }
    };
    conflicts(1).await?;
    commit(&*database, &batch(0, 1, Vec::new())).await?;
    conflicts(0).await?;
    conflicts(2).await?;
    ensure!(all(&*database, &pairs()).await?.is_empty(), "rows of a conflicting batch are there");
    ensure!(database.head().await.map_err(words)?.as_deref() == Some("head 1"), "a conflicting batch moved the head");
    Ok(())
}

pub(super) async fn again(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let first = batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))]);
    let second = batch(1, 2, vec![(pairs(), vec![Write::Put(pair("a", 1, 2))])]);
    commit(&*database, &first).await?;
    commit(&*database, &second).await?;
    for batch in [&first, &second, &first] {
        let repeated = database.commit(batch).await;
        ensure!(matches!(repeated, Err(CommitError::Conflict)), "the same batch again is {repeated:?}");
    }
    ensure!(all(&*database, &pairs()).await? == [pair("a", 1, 2)], "a batch that conflicts changed rows");
    Ok(())
}

pub(super) async fn race(factory: &dyn Factory) -> Result<(), String> {
    let first = prepared(factory).await?;
    let second = factory.again().await?;
    for round in 0..20_u32 {
        let (one, two) = (contender(round, 1), contender(round, 2));
        let other = second.as_deref().unwrap_or(&*first);
        let (one, two) = tokio::join!(first.commit(&one), other.commit(&two));
        let won = [&one, &two].into_iter().filter(|result| result.is_ok()).count();
        let lost = [&one, &two].into_iter().filter(|result| matches!(result, Err(CommitError::Conflict))).count();
        ensure!(won == 1 && lost == 1, "round {round}: {one:?} and {two:?}");
    }
    ensure!(all(&*first, &pairs()).await?.len() == 20, "there is not one row for each round");
    Ok(())
}

fn contender(round: u32, who: i64) -> lockstep_core::database::Batch {
    batch(round, round + 1, vec![(pairs(), inserts([pair("row", i64::from(round), i64::from(round) * 2 + who)]))])
}

pub(super) async fn seen_again(factory: &dyn Factory) -> Result<(), String> {
    let first = prepared(factory).await?;
    let Some(second) = factory.again().await? else { return Ok(()) };
    for round in 0..20_u32 {
        let (writer, reader) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        commit(&**writer, &contender(round, 1)).await?;
        ensure!(
            all(&**reader, &pairs()).await?.len() == round as usize + 1,
            "round {round} is not seen by the other connection"
        );
    }
    Ok(())
}

pub(super) async fn known_key(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    refused(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1), pair("a", 1, 2)]))])).await?;
    commit(
        &*database,
        &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1), pair("a", 2, 2), pair("A", 1, 3), pair("a ", 1, 4)]))]),
    )
    .await
}

pub(super) async fn put(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let puts = |rows: Vec<_>| vec![(pairs(), rows.into_iter().map(Write::Put).collect())];
    commit(&*database, &batch(0, 1, puts(vec![pair("a", 1, 1), pair("b", 1, 2)]))).await?;
    commit(&*database, &batch(1, 2, puts(vec![pair("b", 1, 20), pair("c", 1, 3), pair("c", 1, 4)]))).await?;
    ensure!(
        all(&*database, &pairs()).await? == [pair("a", 1, 1), pair("b", 1, 20), pair("c", 1, 4)],
        "the rows are not the last ones put"
    );
    Ok(())
}

pub(super) async fn beside_the_log(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))])).await?;
    let beside = || batch(1, 1, vec![(pairs(), vec![Write::Put(pair("b", 1, 2))])]);
    commit(&*database, &beside()).await?;
    commit(&*database, &beside()).await?;
    ensure!(all(&*database, &pairs()).await? == [pair("a", 1, 1), pair("b", 1, 2)], "it is not there once");
    ensure!(database.head().await.map_err(words)?.as_deref() == Some("head 1"), "the head has moved");
    let late = database.commit(&batch(2, 2, vec![(pairs(), vec![Write::Put(pair("c", 1, 3))])])).await;
    ensure!(matches!(late, Err(CommitError::Conflict)), "another head is no conflict: {late:?}");
    Ok(())
}

fn update_of(name: &str, seq: i64, set: Vec<(usize, Cell)>) -> Write {
    Write::Update { key: vec![text(name), Cell::Integer(seq)], set }
}

pub(super) async fn update_nothing(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts((0..5).map(|at| pair("a", at, at))))])).await?;
    let missing = || update_of("a", 99, vec![(3, text("note"))]);
    refused(&*database, &batch(1, 2, vec![(pairs(), vec![missing()])])).await?;
    let several = (0..5).map(|at| update_of("a", at, vec![(3, text("note"))])).chain([missing()]).collect();
    refused(&*database, &batch(1, 2, vec![(pairs(), several)])).await?;
    ensure!(
        all(&*database, &pairs()).await?.iter().all(|row| row.get(3) == Some(&Cell::Null)),
        "a refused update changed rows"
    );
    Ok(())
}

pub(super) async fn update_many(factory: &dyn Factory, rows: i64) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts((0..rows).map(|at| pair("a", at, at))))])).await?;
    let updates = (0..rows)
        .map(|at| update_of("a", at, vec![(2, Cell::Integer(1_000 + at)), (3, text(&format!("note {at}")))]))
        .collect();
    commit(&*database, &batch(1, 2, vec![(pairs(), updates)])).await?;
    let expected: Vec<_> = (0..rows)
        .map(|at| vec![text("a"), Cell::Integer(at), Cell::Integer(1_000 + at), text(&format!("note {at}"))])
        .collect();
    ensure!(all(&*database, &pairs()).await? == expected, "{rows} updates did not set what they say");
    Ok(())
}

pub(super) async fn update(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1), pair("a", 2, 2), pair("b", 1, 3)]))]))
        .await?;
    commit(&*database, &batch(1, 2, vec![(pairs(), vec![update_of("a", 2, vec![(3, text("note"))])])])).await?;
    let rows = all(&*database, &pairs()).await?;
    let changed = vec![text("a"), Cell::Integer(2), Cell::Integer(2), text("note")];
    ensure!(rows == [pair("a", 1, 1), changed, pair("b", 1, 3)], "the update changed something else: {rows:?}");
    for rows in [1, 2, 3, 63, 64, 65, 200] {
        update_many(factory, rows).await?;
    }
    Ok(())
}

pub(super) async fn order(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let set = |value: i64| update_of("a", 1, vec![(2, Cell::Integer(value))]);
    let writes = vec![
        Write::Insert(pair("a", 1, 1)),
        set(2),
        set(3),
        Write::Put(pair("a", 1, 4)),
        set(5),
        Write::Insert(pair("b", 1, 4)),
        set(6),
    ];
    commit(&*database, &batch(0, 1, vec![(pairs(), writes)])).await?;
    ensure!(
        all(&*database, &pairs()).await? == [pair("a", 1, 6), pair("b", 1, 4)],
        "the last write in order did not win"
    );
    Ok(())
}

pub(super) async fn unique(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts([pair("a", 1, 1)]))])).await?;
    refused(&*database, &batch(1, 2, vec![(pairs(), inserts([pair("b", 1, 1)]))])).await?;
    refused(
        &*database,
        &batch(
            1,
            2,
            vec![(pairs(), vec![Write::Insert(pair("b", 1, 2)), update_of("b", 1, vec![(2, Cell::Integer(1))])])],
        ),
    )
    .await?;
    let without = |name: &str| vec![text(name), Cell::Integer(1), Cell::Null, Cell::Null];
    commit(&*database, &batch(1, 2, vec![(pairs(), inserts([without("c"), without("d")]))])).await
}

pub(super) async fn dropped(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let mut head = 0;
    for round in 1..=20_u32 {
        let rows = (0..50).map(|at| pair(&format!("round {round:02}"), at, i64::from(round) * 100 + at));
        let batch = batch(head, round, vec![(pairs(), inserts(rows))]);
        let patience = std::time::Duration::from_micros(u64::from(round) * 50);
        tokio::time::timeout(patience, database.commit(&batch)).await.ok();
        let found = database.head().await.map_err(words)?;
        let there = all(&*database, &pairs())
            .await?
            .iter()
            .filter(|row| row.first() == Some(&text(&format!("round {round:02}"))))
            .count();
        let committed = found.as_deref() == Some(&batch.head);
        ensure!(there == if committed { 50 } else { 0 }, "round {round}: {there} rows and head {found:?}");
        head = if committed { round } else { head };
    }
    Ok(())
}
