//! Proofs from the tiles of a log, which are read as a proof turns out to need them, and kept for the next one.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::log::{LogError, Tile, consistency_path, inclusion_path};
use lockstep_core::tables::{Table, name};

use crate::load::tiles;

/// What makes a proof of tiles.
type Make<'a> = dyn Fn(&mut dyn FnMut(u32, u64) -> Option<Tile>) -> Result<Vec<Digest>, LogError> + Sync + 'a;

/// Proofs about one log. Tiles grow, and those read once stay as they were: for proofs about heads that are there
/// when the first one is made.
pub(crate) struct Proofs<'a> {
    database: &'a dyn Database,
    table: &'a Table,
    log: &'a str,
    known: BTreeMap<(u32, u64), Tile>,
    read: BTreeSet<u64>,
}

impl<'a> Proofs<'a> {
    pub(crate) fn of(database: &'a dyn Database, table: &'a Table, log: &'a str) -> Self {
        Proofs { database, table, log, known: BTreeMap::new(), read: BTreeSet::new() }
    }

    /// The inclusion path of a leaf in the log of `size` leaves.
    pub(crate) async fn inclusion(&mut self, index: u64, size: u64) -> Result<Vec<Digest>, DatabaseError> {
        self.prove(&|read| inclusion_path(index, size, read)).await
    }

    /// The proof that the log of `old` leaves is the beginning of the one of `new`.
    pub(crate) async fn growth(&mut self, old: u64, new: u64) -> Result<Vec<Digest>, DatabaseError> {
        self.prove(&|read| consistency_path(old, new, read)).await
    }

    async fn prove(&mut self, make: &Make<'_>) -> Result<Vec<Digest>, DatabaseError> {
        loop {
            let mut missing = BTreeSet::new();
            let found = make(&mut |level, at| {
                if !self.read.contains(&at) {
                    missing.insert(at);
                }
                self.known.get(&(level, at)).cloned()
            });
            match found {
                Ok(path) => return Ok(path),
                Err(error) if missing.is_empty() => {
                    let detail = error.to_string();
                    return Err(DatabaseError::Shape { table: name::LOG.to_owned(), detail });
                }
                Err(_) => {
                    self.known.extend(tiles(self.database, self.table, self.log, &missing).await?);
                    self.read.extend(missing);
                }
            }
        }
    }
}
