//! What is seen of other nodes: a row for each, in place of the one before.

use lockstep_core::database::{DatabaseError, PeerSeen, Write};
use lockstep_core::tables::{name, own_tables};

use crate::connect::PostgresDatabase;
use crate::outbox;
use crate::write::statement;

/// Notes it, in one transaction.
pub(crate) async fn note(database: &PostgresDatabase, peers: &[PeerSeen]) -> Result<(), DatabaseError> {
    let Some(table) = own_tables().into_iter().find(|table| table.name == name::PEER) else { return Ok(()) };
    let rows = peers.iter().map(|peer| statement(&table, &[Write::Put(peer.row())])).collect::<Result<Vec<_>, _>>();
    let statements = rows.map_err(|detail| DatabaseError::Unavailable { detail })?;
    if statements.is_empty() { Ok(()) } else { outbox::note(database, statements).await }
}
