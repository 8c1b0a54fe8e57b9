//! Whether the tables still say what was signed: the heart of `lockstep verify`.
//!
//! Every row of every managed table is a pure function of evidence: directory envelopes, intents with their
//! openings, outcomes, event headers with their openings, packages, signed heads of the log. The audit reads all
//! tables at one moment, checks the evidence, derives every row again with the function that wrote it
//! ([`crate::project`]) and compares cell by cell. It is read-only, and nothing that a table holds makes it fail:
//! whatever is wrong is a [`Finding`].
//!
//! Evidence that is broken in one place accuses nobody else: what depended on it is taken as found, so that one
//! edited cell gives one finding. When that one is mended, the next audit says more.
//!
//! In reading order: `found` reads the tables, `votes` learns which network and log this is and where its batches
//! end, `chain` orders the directory, `leaves` orders the log, `derive` walks it, with `agreed` and `placed` for
//! events of the directory, `objected` for objections, `decided` and `rerun` for intents, `changed` and `restored` for events of records;
//! `compare` holds found against expected, in the `words` that people read; `heads` has the log's signed heads,
//! `forwards` what was handed over to other nodes and by them.
//! `rebuild` and `rehearse` use the same walk: one writes what it derives, one tries a new package along it.

mod agreed;
mod chain;
mod changed;
mod compare;
mod decided;
mod derive;
mod forwards;
mod found;
mod heads;
mod leaves;
mod lookup;
mod members;
mod objected;
mod placed;
mod rebuild;
mod received;
mod rehearse;
mod report;
mod rerun;
mod restored;
mod votes;
mod words;

use std::collections::BTreeMap;

use crate::crypto::{Digest, PublicKey};
use crate::database::{DatabaseError, Snapshot};
use crate::directory::Directory;
use crate::engine::{Engine, Limits};
use crate::tables::{Class, own_tables};

pub use rebuild::{RebuildError, rebuild};
pub use rehearse::{Difference, Rehearsal, RehearseError, Rehearsed, rehearse};
pub use report::{Finding, Report};
pub(crate) use rerun::differs;

/// What the auditor knows besides the database.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    /// The note kept beside the node's key: the newest head of the log that the node signed.
    pub checkpoint: Option<&'a str>,
    /// The node's key.
    pub node_key: Option<PublicKey>,
    /// The network's id.
    pub network: Option<Digest>,
    /// Only findings about this record, spec and id.
    pub record: Option<(&'a str, &'a str)>,
    /// What executes contracts and within which bounds, where every intent is to be executed again.
    pub executor: Option<(&'a dyn Engine, Limits)>,
}

/// How far an audit is, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A table was read.
    Read {
        /// The table.
        table: String,
        /// Its rows.
        rows: u64,
    },
    /// So many leaves of the log are checked.
    Checked {
        /// Leaves checked.
        leaves: u64,
        /// Leaves in all.
        of: u64,
    },
}

/// Audits a database.
///
/// # Errors
/// [`DatabaseError`] only where the database cannot be read; whatever is wrong with its content is a finding.
pub async fn audit(
    snapshot: &mut dyn Snapshot,
    known: Known<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, DatabaseError> {
    let mut tables = found::Tables::read_own(snapshot, progress).await?;
    let mut walk = derive::Walk::start(&tables, known);
    walk.find_directory(&tables);
    tables.read_records(snapshot, &walk.record_tables(), progress).await?;
    Ok(walk.run(tables, progress, &mut |_| {}))
}

/// One column of a managed table, for `doctor --columns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnClass {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// How it is held to the truth.
    pub class: Class,
    /// What proves it.
    pub proved_by: &'static str,
}

/// Every column of every managed table with its class, straight from the catalogue.
#[must_use]
pub fn column_classes(directory: &Directory) -> Vec<ColumnClass> {
    let tables = own_tables().into_iter().chain(directory.record_tables());
    let classes = tables.flat_map(|table| {
        let name = table.name;
        table.columns.into_iter().map(move |column| ColumnClass {
            table: name.clone(),
            column: column.name,
            class: column.class,
            proved_by: column.proved_by,
        })
    });
    classes.collect()
}

/// Rows by table.
pub type Counts = BTreeMap<String, u64>;
