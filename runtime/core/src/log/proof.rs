//! Making proofs from tiles: RFC 9162, sections 2.1.3.1 (inclusion) and 2.1.4.1 (consistency).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::LogError;
use super::tile::{ReadTile, TILE_HEIGHT, TILE_WIDTH, Tile, read_tile};
use super::tree::{node_hash, split_point};
use crate::crypto::Digest;

/// The hashes that lead from the leaf at `index` to the root of the log's first `size` leaves, leaf first.
///
/// Reads each tile it needs once. A log that has grown since still proves its older sizes.
pub fn inclusion_path(
    index: u64,
    size: u64,
    read: &mut dyn FnMut(u32, u64) -> Option<Tile>,
) -> Result<Vec<Digest>, LogError> {
    if index >= size {
        return Err(LogError::OutOfRange { asked: index, size });
    }
    let mut nodes = Nodes::new(read);
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split_point(end - start);
        if index < middle {
            path.push(nodes.range(middle, end)?);
            end = middle;
        } else {
            path.push(nodes.range(start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the log's first `old` leaves are the beginning of its first `new`.
///
/// RFC 9162 leaves the proof for an empty and for the same log undefined; here both are the empty path.
pub fn consistency_path(
    old: u64,
    new: u64,
    read: &mut dyn FnMut(u32, u64) -> Option<Tile>,
) -> Result<Vec<Digest>, LogError> {
    if old > new {
        return Err(LogError::OutOfRange { asked: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut nodes = Nodes::new(read);
    let (mut start, mut end, mut path) = (0, new, Vec::new());
    // Walks down to the subtree whose end is that of the old log, noting the sibling at each step.
    while end != old {
        let middle = start + split_point(end - start);
        if old <= middle {
            path.push(nodes.range(middle, end)?);
            end = middle;
        } else {
            path.push(nodes.range(start, middle)?);
            start = middle;
        }
    }
    // That subtree is the old log itself when it begins at 0: its verifier knows it already.
    if start != 0 {
        path.push(nodes.range(start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Hashes of ranges of leaves, computed from tiles that are read once each.
struct Nodes<'a> {
    read: &'a mut ReadTile<'a>,
    tiles: BTreeMap<(u32, u64), Tile>,
}

impl<'a> Nodes<'a> {
    fn new(read: &'a mut ReadTile<'a>) -> Nodes<'a> {
        Nodes { read, tiles: BTreeMap::new() }
    }

    /// Root over the leaves from `start` to before `end`: a range that a split of the tree produced, so
    /// `start` is a multiple of the power of two at or above its length. At most 64 deep.
    fn range(&mut self, start: u64, end: u64) -> Result<Digest, LogError> {
        let length = end - start;
        if length.is_power_of_two() {
            return self.complete(start, length.ilog2());
        }
        let middle = start + split_point(length);
        Ok(node_hash(&self.complete(start, (middle - start).ilog2())?, &self.range(middle, end)?))
    }

    /// Root of the complete subtree of `2^height` leaves that begins at leaf `start`.
    fn complete(&mut self, start: u64, height: u32) -> Result<Digest, LogError> {
        let (level, height_in_tile) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let position = start >> (level * TILE_HEIGHT);
        let (index, from) = (position / TILE_WIDTH, (position % TILE_WIDTH) as usize);
        let needed = from + (1_usize << height_in_tile);
        let tile = match self.tiles.entry((level, index)) {
            Entry::Occupied(read_before) => read_before.into_mut(),
            Entry::Vacant(place) => place.insert(read_tile(self.read, level, index, needed)?),
        };
        tile.subtree(from, height_in_tile)
    }
}
