//! Tiles: how the tree lies in storage, 64 hashes to a row.
//!
//! A tile of level L and index N holds up to 64 hashes, side by side, of the tree's level 6 L: those at the
//! positions 64 N and up. Only roots of complete subtrees are stored, so a hash never changes once it is
//! there; a tile only grows until it is full. Levels between are computed from the tile.

use super::LogError;
use super::tree::root;
use crate::crypto::Digest;

/// How many levels of the tree one tile stands for.
pub const TILE_HEIGHT: u32 = 6;

/// How many hashes a full tile has.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// Some hashes of one level, as one row of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Counted in tiles: its hashes are roots of subtrees of 64^level leaves.
    pub level: u32,
    /// Its place among the tiles of its level.
    pub index: u64,
    /// One to 64 hashes, from the left.
    pub hashes: Vec<Digest>,
}

/// Where tiles come from: storage, or what is held in memory of it.
pub(crate) type ReadTile<'a> = dyn FnMut(u32, u64) -> Option<Tile> + 'a;

/// Reads a tile that must have at least `needed` hashes and be the one that was asked for.
pub(crate) fn read_tile(read: &mut ReadTile<'_>, level: u32, index: u64, needed: usize) -> Result<Tile, LogError> {
    let tile = read(level, index).ok_or(LogError::MissingTile { level, index })?;
    let found = tile.hashes.len();
    if (tile.level, tile.index) != (level, index) {
        return Err(LogError::OtherTile { level, index });
    }
    if found < needed || found as u64 > TILE_WIDTH {
        return Err(LogError::DamagedTile { level, index, needed, found });
    }
    Ok(tile)
}

impl Tile {
    /// The root over `2^height` of the hashes, beginning at position `from`.
    pub(crate) fn subtree(&self, from: usize, height: u32) -> Result<Digest, LogError> {
        let needed = from + (1_usize << height);
        let damaged =
            || LogError::DamagedTile { level: self.level, index: self.index, needed, found: self.hashes.len() };
        self.hashes.get(from..needed).map(root).ok_or_else(damaged)
    }
}
