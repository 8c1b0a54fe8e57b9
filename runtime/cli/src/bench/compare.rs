//! Whether the two databases hold the same: row by row, and byte by byte as the database counts them.

use std::collections::BTreeMap;

use lockstep_core::codes::Code;
use lockstep_core::database::{Database, Page};
use lockstep_core::tables::Table;

use super::store::Store;
use crate::databases::Stored;
use crate::error::CliError;

/// Rows that are held against each other at once.
const PAGE: usize = 2_048;

/// How far payload bytes may be apart.
const TOLERANCE: f64 = 0.01;

/// What two databases hold.
pub(super) struct Compared {
    /// Rows by table: end to end, floor.
    pub(super) rows: BTreeMap<String, (u64, u64)>,
    /// Stored bytes by table: before the run, after it, floor.
    pub(super) bytes: BTreeMap<String, [Stored; 3]>,
    /// The first difference.
    pub(super) differs: Option<String>,
}

/// Databases to compare: before the run, after it, floor.
pub(super) struct Files<'a> {
    pub(super) base: &'a Store,
    pub(super) end_to_end: &'a Store,
    pub(super) floor: &'a Store,
}

/// Compares all tables.
pub(super) async fn compare(
    tables: &[Table],
    end_to_end: &dyn Database,
    floor: &dyn Database,
    files: &Files<'_>,
) -> Result<Compared, CliError> {
    let mut compared = Compared { rows: BTreeMap::new(), bytes: BTreeMap::new(), differs: None };
    for table in tables {
        let (rows, differs) = rows(table, end_to_end, floor).await?;
        compared.rows.insert(table.name.clone(), rows);
        compared.differs = compared.differs.or(differs);
    }
    for (at, file) in [files.base, files.end_to_end, files.floor].into_iter().enumerate() {
        for (table, found) in file.stored().await? {
            // What is not held against the other by rows is not by bytes.
            if !tables.iter().any(|known| known.name == table) {
                continue;
            }
            if let Some(bytes) = compared.bytes.entry(table).or_default().get_mut(at) {
                *bytes = found;
            }
        }
    }
    for (table, [_, one, other]) in &compared.bytes {
        let apart = one.payload.abs_diff(other.payload) as f64;
        if apart > TOLERANCE * one.payload.max(other.payload) as f64 {
            let what =
                format!("{table} has {} bytes of payload end to end, {} on the floor", one.payload, other.payload);
            compared.differs = compared.differs.or(Some(what));
        }
    }
    Ok(compared)
}

/// Rows of both, and the first that differs.
async fn rows(
    table: &Table,
    one: &dyn Database,
    other: &dyn Database,
) -> Result<((u64, u64), Option<String>), CliError> {
    let (mut one, mut other) = (one.snapshot().await?, other.snapshot().await?);
    let (mut counts, mut differs) = ((0, 0), None);
    let mut pages = [Page { after: None, limit: PAGE }, Page { after: None, limit: PAGE }];
    loop {
        let [first, second] = &pages;
        let (left, right) = (one.page(table, first).await?, other.page(table, second).await?);
        if left.is_empty() && right.is_empty() {
            return Ok((counts, differs));
        }
        counts = (counts.0 + left.len() as u64, counts.1 + right.len() as u64);
        if left != right && differs.is_none() {
            let at = left.iter().zip(&right).find(|(left, right)| left != right);
            differs = Some(format!("rows of {} differ: {at:?}", table.name));
        }
        for (page, found) in pages.iter_mut().zip([left, right]) {
            let key = |row: &lockstep_core::tables::Row| {
                table.key_positions().into_iter().filter_map(|at| row.get(at).cloned()).collect()
            };
            page.after = found.last().map(key).or(page.after.take());
        }
    }
}

impl Compared {
    /// Fails where the floor wrote something else.
    pub(super) fn must_be_same(&self) -> Result<(), CliError> {
        match &self.differs {
            None => Ok(()),
            Some(what) => {
                let what: String = what.chars().take(2_000).collect();
                Err(CliError::new(Code::Internal, format!("the bare writer wrote other rows than the node: {what}")))
            }
        }
    }
}
