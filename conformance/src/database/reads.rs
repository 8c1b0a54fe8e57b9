//! Reads: complete, in byte order, of one moment, and never more than reads.

use lockstep_core::database::{Database, DatabaseError, Page, Write};
use lockstep_core::tables::{Cell, Row, Table};

use super::Factory;
use super::sample::{all, batch, commit, inserts, kinds, pair, pairs, prepared, text, time, with, words};
use crate::ensure;

pub(super) async fn select_many(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let rows: Vec<Row> = (0..12_000).map(|at| pair(&format!("row {at:05}"), 1, at)).collect();
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts(rows.clone()))])).await?;
    let names: Vec<Cell> = (2_000..12_000).chain([2_000]).map(|at| text(&format!("row {at:05}"))).collect();
    let numbers: Vec<Cell> = (2_000..12_000).map(Cell::Integer).collect();
    for (column, values) in [("name", names), ("value", numbers)] {
        let mut found = database.select(&pairs(), column, &values).await.map_err(words)?;
        found.sort_by_key(|row| row.first().and_then(Cell::as_str).map(str::to_owned));
        ensure!(
            found.as_slice() == rows.get(2_000..).unwrap_or_default(),
            "{} of 10,000 rows were found by {column}",
            found.len()
        );
    }
    ensure!(database.select(&pairs(), "name", &[]).await.map_err(words)?.is_empty(), "no values found rows");
    Ok(())
}

pub(super) async fn select_kinds(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let cells = [
        ("text", text("x'\"\\y")),
        ("integer", Cell::Integer(i64::MAX)),
        ("boolean", Cell::Boolean(true)),
        ("timestamp", time("2026-11-21T10:12:00.000000Z")),
        ("p_text", text("日本語")),
        ("p_short", Cell::Decimal("350000.10".to_owned())),
        ("p_long", Cell::Decimal("0.0000000001".to_owned())),
        ("p_date", Cell::Date("2026-11-21".to_owned())),
        ("bytes", Cell::Bytes(vec![0, 255])),
    ];
    let rows: Vec<Row> = cells.iter().map(|(name, cell)| with(name, name, cell.clone())).collect();
    commit(&*database, &batch(0, 1, vec![(kinds(), inserts(rows.clone()))])).await?;
    for ((name, cell), row) in cells.iter().zip(rows) {
        let found = database.select(&kinds(), name, std::slice::from_ref(cell)).await.map_err(words)?;
        ensure!(found == [row], "{name} by {cell:?} found {} rows", found.len());
    }
    Ok(())
}

pub(super) async fn follow(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let rows = (0..100).map(|at| pair(&format!("row {:02}", at * 37 % 100), at, at * 10 - 500));
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts(rows))])).await?;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let rows = database.follow(&pairs(), "value", after, 7).await.map_err(words)?;
        let values = rows.iter().filter_map(|row| match row.get(2) {
            Some(Cell::Integer(value)) => Some(*value),
            _ => None,
        });
        seen.extend(values);
        if rows.is_empty() {
            break;
        }
        after = seen.last().copied();
    }
    ensure!(seen == (0..100).map(|at| at * 10 - 500).collect::<Vec<_>>(), "the order is {seen:?}");
    Ok(())
}

/// All rows in pages of a size.
async fn paged(database: &dyn Database, table: &Table, limit: usize) -> Result<Vec<Row>, String> {
    let mut snapshot = database.snapshot().await.map_err(words)?;
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = snapshot.page(table, &Page { after, limit }).await.map_err(words)?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = Some(table.key_positions().into_iter().filter_map(|at| last.get(at)).cloned().collect());
        rows.extend(page);
    }
}

pub(super) async fn pages(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let names =
        ["a", "B", "_", "Z", "ä", "a b", "aa", "é", "e\u{301}", "z", "日", "", "~", "A", "a\u{1}", "𝔘", "\u{ffff}"];
    let mut keys: Vec<(&str, i64)> =
        names.into_iter().flat_map(|name| [-10, -9, 0, 9, 10, 100].map(|seq| (name, seq))).collect();
    let mut shuffled = keys.clone();
    shuffled.sort_by_key(|(name, seq)| (seq.rem_euclid(7), name.len(), *seq));
    let rows = shuffled.into_iter().enumerate().map(|(at, (name, seq))| pair(name, seq, at as i64));
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts(rows))])).await?;
    keys.sort_unstable();
    for limit in [1, 2, 5, 101, 102, 1_000] {
        let found = paged(&*database, &pairs(), limit).await?;
        let order: Vec<(&str, i64)> = found
            .iter()
            .filter_map(|row| match (row.first(), row.get(1)) {
                (Some(Cell::Text(name)), Some(Cell::Integer(seq))) => Some((name.as_str(), *seq)),
                _ => None,
            })
            .collect();
        ensure!(order == keys, "in pages of {limit} the order is {order:?}");
    }
    Ok(())
}

pub(super) async fn snapshot(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts((0..10).map(|at| pair("a", at, at))))])).await?;
    let mut before = database.snapshot().await.map_err(words)?;
    let more =
        inserts((10..20).map(|at| pair("a", at, at))).into_iter().chain([Write::Put(pair("a", 0, 100))]).collect();
    commit(&*database, &batch(1, 2, vec![(pairs(), more)])).await?;
    let expected: Vec<Row> = (0..10).map(|at| pair("a", at, at)).collect();
    let found = before.page(&pairs(), &Page { after: None, limit: 100 }).await.map_err(words)?;
    ensure!(found == expected, "the snapshot saw a later commit: {} rows", found.len());
    drop(before);
    ensure!(all(&*database, &pairs()).await?.len() == 20, "a new snapshot does not see the commit");
    commit(&*database, &batch(2, 3, Vec::new())).await
}

pub(super) async fn missing_table(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let missing = Table { name: "suite_missing".to_owned(), ..pairs() };
    let named = |result: Result<Vec<Row>, DatabaseError>| match result {
        Err(DatabaseError::Shape { table, .. }) if table == "suite_missing" => Ok(()),
        other => Err(format!("should name the table and is {other:?}")),
    };
    let mut snapshot = database.snapshot().await.map_err(words)?;
    named(snapshot.page(&missing, &Page { after: None, limit: 1 }).await)?;
    named(database.select(&missing, "name", &[text("a")]).await)?;
    named(database.follow(&missing, "value", None, 1).await)
}

pub(super) async fn query_is_read_only(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(pairs(), inserts((0..5).map(|at| pair("a", at, at))))])).await?;
    let before = all(&*database, &pairs()).await?;
    let hostile = [
        "DELETE FROM suite_pairs",
        "UPDATE suite_pairs SET value = 7",
        "INSERT INTO suite_pairs VALUES ('x', 1, 9, NULL)",
        "WITH x AS (SELECT 1) DELETE FROM suite_pairs",
        "SELECT 1; DELETE FROM suite_pairs",
        "DROP TABLE suite_pairs",
        "CREATE TABLE suite_more (a TEXT)",
        "ALTER TABLE suite_pairs ADD COLUMN more TEXT",
        "COMMIT",
        "not sql",
    ];
    for sql in hostile {
        match database.query(sql, 10).await {
            Err(DatabaseError::Query { .. }) => {}
            other => return Err(format!("{sql} should be refused and is {other:?}")),
        }
    }
    ensure!(all(&*database, &pairs()).await? == before, "a query changed rows");
    let answer = match database.query("SELECT seq AS n FROM suite_pairs ORDER BY seq", 3).await {
        Ok(answer) => answer,
        // A database without SQL answers every query so.
        Err(DatabaseError::Query { .. }) if factory.again().await?.is_none() => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    ensure!(answer.columns == ["n"] && answer.truncated, "the answer has columns {:?}", answer.columns);
    ensure!(
        answer.rows == (0..3).map(|at| vec![Cell::Integer(at)]).collect::<Vec<_>>(),
        "the answer is {:?}",
        answer.rows
    );
    Ok(())
}
