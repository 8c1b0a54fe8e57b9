//! The floor: the same inserts and updates, written with nothing around them.
//!
//! It starts from a copy of the database as it was before the run. What a transaction writes is read and made into
//! statements before the clock runs, so that all that is timed is the driver and the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_core::database::{TableWrites, Write};
use lockstep_core::tables::Table;

use super::progress::Progress;
use super::store::{Store, Transaction, Writer};
use super::written::{Step, Written};
use crate::error::CliError;

/// Intents in one transaction.
pub(super) const GROUPS: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// Steps that are read and made into statements at once.
const AHEAD: u64 = 10_000;

/// Transactions after which a small group has told what it can do.
const ENOUGH: u64 = 500;

/// Where the leaves of a run lie: what was measured with many under way, and after it one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) many: u64,
    pub(super) to: u64,
}

/// What the bare writer did.
pub(super) struct Floor {
    /// Intents a second by group.
    pub(super) by_group: BTreeMap<usize, f64>,
    /// The best of them.
    pub(super) best: f64,
    pub(super) best_group: usize,
    /// How long single transactions took.
    pub(super) alone: Vec<Duration>,
}

/// Makes the floor; `base` is the database before the run, `store` becomes the one after it.
pub(super) async fn lay(
    written: &Written<'_>,
    range: Range,
    base: &Store,
    store: &Store,
    progress: &Progress,
) -> Result<Floor, CliError> {
    let tables = written.tables();
    let mut by_group = BTreeMap::new();
    for group in GROUPS {
        progress.begin(&format!("floor, groups of {group}"));
        let some = Range { many: range.many.min(range.from + ENOUGH * group as u64), ..range };
        let mut writer = fresh(base, store, &tables).await?;
        let took = many(&mut writer, written, some, group).await?;
        writer.close().await?;
        by_group.insert(group, (some.many - some.from) as f64 / took.as_secs_f64().max(f64::EPSILON));
    }
    let best = by_group.iter().max_by(|(_, one), (_, other)| one.total_cmp(other));
    let best_group = best.map_or(1, |(group, _)| *group);
    // Once more with the best, whole: this is the database that is compared, and kept.
    progress.begin(&format!("floor, groups of {best_group}, all of it"));
    let mut writer = fresh(base, store, &tables).await?;
    let took = many(&mut writer, written, range, best_group).await?;
    let rate = (range.many - range.from) as f64 / took.as_secs_f64().max(f64::EPSILON);
    let known = by_group.entry(best_group).or_insert(rate);
    *known = known.max(rate);
    let best = *known;
    let alone = alone(&mut writer, written, range).await?;
    writer.close().await?;
    Ok(Floor { by_group, best, best_group, alone })
}

/// A writer on a new copy of the database before the run.
async fn fresh(base: &Store, store: &Store, tables: &[Table]) -> Result<Writer, CliError> {
    base.copy(store, tables).await?;
    store.writer().await
}

/// Writes the steps that had many under way; how long that took.
async fn many(writer: &mut Writer, written: &Written<'_>, range: Range, group: usize) -> Result<Duration, CliError> {
    let (mut took, mut from) = (Duration::ZERO, range.from);
    while from < range.many {
        let to = range.many.min(from + AHEAD);
        let steps = written.steps(from, to).await?;
        let transactions: Vec<Transaction> =
            steps.chunks(group).map(|steps| transaction(writer, steps)).collect::<Result<_, _>>()?;
        drop(steps);
        let started = Instant::now();
        for transaction in transactions {
            writer.write(transaction).await?;
        }
        took += started.elapsed();
        from = to;
    }
    Ok(took)
}

/// Writes the steps that were made one by one, each in a transaction.
async fn alone(writer: &mut Writer, written: &Written<'_>, range: Range) -> Result<Vec<Duration>, CliError> {
    let mut times = Vec::new();
    for step in written.steps(range.many, range.to).await? {
        let transaction = transaction(writer, &[step])?;
        let started = Instant::now();
        writer.write(transaction).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

/// The writes of some steps, table by table.
fn transaction(writer: &Writer, steps: &[Step]) -> Result<Transaction, CliError> {
    let mut tables: BTreeMap<&str, (Arc<Table>, Vec<Write>)> = BTreeMap::new();
    for (table, write) in steps.iter().flatten() {
        let (_, writes) = tables.entry(&table.name).or_insert_with(|| (table.clone(), Vec::new()));
        writes.push(write.clone());
    }
    let tables: Vec<TableWrites> = tables.into_values().map(|(table, writes)| TableWrites { table, writes }).collect();
    writer.transaction(&tables)
}
