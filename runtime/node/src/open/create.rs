//! A database is made: for a new network, or for a node that joins one.

use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::names::NodeName;
use lockstep_core::project::{Ledger, Projection, own_tables_by_name};
use lockstep_core::tables::{Table, own_tables};

use super::checkpoint::write_checkpoint;
use super::{NodeError, Parts};

/// Makes a new network in an empty database: its tables, the genesis, the first checkpoint.
///
/// # Errors
/// [`NodeError`]; nothing is left half made.
pub async fn create(parts: &Parts, node: &NodeName, genesis: &DirectoryEvent) -> Result<(), NodeError> {
    join(parts, node, &[(genesis.clone(), None)]).await
}

/// Makes the database of a node that joins a network: its tables, the directory up to the event that names the node,
/// the first checkpoint. Events that propose a contract come with the package's bytes.
///
/// # Errors
/// [`NodeError`]; nothing is left half made.
pub async fn join(
    parts: &Parts,
    node: &NodeName,
    events: &[(DirectoryEvent, Option<Vec<u8>>)],
) -> Result<(), NodeError> {
    let broken = |what: &str| NodeError::Broken(what.to_owned());
    let ((genesis, _), later) = events.split_first().ok_or_else(|| broken("a network has a genesis"))?;
    let mut directory = Directory::found(genesis)?;
    let ledger = Ledger::new(directory.network(), format!("{node}/1"), genesis.time);
    let mut projection = Projection::new(&ledger, &own_tables_by_name());
    projection.directory(genesis, &directory, None);
    for (event, package) in later {
        directory.apply(event)?;
        projection.directory(event, &directory, package.as_deref());
    }
    if !directory.nodes().contains_key(node.as_str()) {
        return Err(broken("the directory does not name the node"));
    }
    projection.meta(&directory, node.as_str());
    parts.database.prepare(&all_tables(&directory)).await?;
    let projected = projection.finish(parts.signer.as_ref()).map_err(|error| NodeError::Broken(error.to_string()))?;
    parts.database.commit(&projected.batch).await?;
    write_checkpoint(&parts.checkpoint, &projected.note)
}

/// Every managed table: Lockstep's own, then those of the records.
#[must_use]
pub fn all_tables(directory: &Directory) -> Vec<Table> {
    let mut tables = own_tables();
    tables.extend(directory.record_tables());
    tables
}
