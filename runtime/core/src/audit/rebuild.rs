//! Replay: all evidence of a database applied to an empty one gives the same tables.

use std::sync::Arc;

use crate::database::{Batch, CommitError, Database, DatabaseError, Snapshot, TableWrites, Write};
use crate::tables::{Row, name, own_tables};

use super::derive::Walk;
use super::found::Tables;
use super::{Known, Report};

/// Why a database was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The source is damaged; what is wrong stands in the report.
    #[error("the source has {} findings; only a clean database is replayed", .0.findings.len())]
    Damaged(Box<Report>),
    /// The source or the target cannot be read or prepared.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The target does not take a batch.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Applies every piece of evidence of a database to an empty one, batch by batch, by the audit's own derivation.
///
/// # Errors
/// [`RebuildError`]; a damaged source leaves the target untouched.
pub async fn rebuild(source: &mut dyn Snapshot, target: &dyn Database) -> Result<Report, RebuildError> {
    let silent: &mut (dyn FnMut(super::Progress) + Send) = &mut |_| {};
    let mut tables = Tables::read_own(source, silent).await?;
    let mut walk = Walk::start(&tables, Known::default());
    walk.find_directory(&tables);
    let records = walk.record_tables();
    tables.read_records(source, &records, silent).await?;
    let handed_over = tables.get(name::FORWARD).rows.clone();
    let mut batches: Vec<Batch> = Vec::new();
    let report = walk.run(tables, silent, &mut |projected| batches.push(projected.batch.clone()));
    if !report.is_clean() {
        return Err(RebuildError::Damaged(Box::new(report)));
    }
    target.prepare(&own_tables().into_iter().chain(records).collect::<Vec<_>>()).await?;
    for batch in &batches {
        target.commit(batch).await?;
    }
    if let Some(batch) = batches.last().and_then(|last| beside_the_log(handed_over, &last.head)) {
        target.commit(&batch).await?;
    }
    Ok(report)
}

/// What was handed over has no leaf: its rows are evidence by themselves, and go over as they are.
fn beside_the_log(rows: Vec<Row>, head: &str) -> Option<Batch> {
    let table = own_tables().into_iter().find(|table| table.name == name::FORWARD)?;
    let writes: Vec<Write> = rows.into_iter().map(Write::Put).collect();
    if writes.is_empty() {
        return None;
    }
    let tables = vec![TableWrites { table: Arc::new(table), writes }];
    Some(Batch { expected_head: Some(head.to_owned()), head: head.to_owned(), tables })
}
