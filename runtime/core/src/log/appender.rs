//! The growing end of a log: it holds the right edge of the tree and no more.

use super::LogError;
use super::tile::{ReadTile, TILE_HEIGHT, TILE_WIDTH, Tile, read_tile};
use super::tree::{join, root};
use crate::crypto::Digest;

/// Appends leaves and tells which tiles changed.
///
/// Invariant: it agrees with `root` over all leaves, whether grown from empty or opened at any size; the
/// test `an_appender_opened_at_any_size_continues_to_the_same_root` guards it. It is small (at most 63
/// hashes a level), so a batch clones it, appends, and drops the clone when the commit fails.
#[derive(Debug, Clone, Default)]
pub struct Appender {
    size: u64,
    edge: Vec<Edge>,
    filled: Vec<Tile>,
}

/// The growing tile of one level: fewer than 64 hashes.
#[derive(Debug, Clone, Default)]
struct Edge {
    index: u64,
    hashes: Vec<Digest>,
    changed: bool,
}

impl Appender {
    /// A log without leaves.
    pub fn empty() -> Appender {
        Appender::default()
    }

    /// Takes up a log of that size from its tiles; one tile is read per level.
    ///
    /// Tiles may hold more than the size needs: a store that is ahead of the checkpoint still opens at it.
    /// Whether the root is the one that was signed is for the caller to compare.
    pub fn open(size: u64, mut read: impl FnMut(u32, u64) -> Option<Tile>) -> Result<Appender, LogError> {
        let mut edge = Vec::new();
        let mut count = size;
        for level in 0.. {
            if count == 0 {
                break;
            }
            edge.push(Edge::open(&mut read, level, count)?);
            count /= TILE_WIDTH;
        }
        Ok(Appender { size, edge, filled: Vec::new() })
    }

    /// Appends one leaf by its hash.
    pub fn append(&mut self, leaf_hash: Digest) {
        let mut carried = Some(leaf_hash);
        for (level, edge) in (0..).zip(&mut self.edge) {
            let Some(hash) = carried else { break };
            carried = edge.push(hash).map(|full| {
                let subtree = root(&full.hashes);
                self.filled.push(Tile { level, ..full });
                subtree
            });
        }
        if let Some(hash) = carried {
            self.edge.push(Edge { index: 0, hashes: vec![hash], changed: true });
        }
        self.size += 1;
    }

    /// How many leaves the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves, as RFC 9162 defines it.
    pub fn root(&self) -> Digest {
        let peaks: Vec<Digest> = self.edge.iter().rev().flat_map(Edge::peaks).collect();
        join(&peaks)
    }

    /// The tiles to write since the last call, each replacing an older one of its level and index.
    #[must_use = "tiles that are taken and not written are missing from the log"]
    pub fn take_changed(&mut self) -> Vec<Tile> {
        let mut changed = std::mem::take(&mut self.filled);
        for (level, edge) in (0..).zip(&mut self.edge) {
            if std::mem::take(&mut edge.changed) && !edge.hashes.is_empty() {
                changed.push(Tile { level, index: edge.index, hashes: edge.hashes.clone() });
            }
        }
        changed.sort_by_key(|tile| (tile.level, tile.index));
        changed
    }
}

impl Edge {
    /// The growing tile of a level with that many hashes; where the last tile is full, a new one begins.
    fn open(read: &mut ReadTile<'_>, level: u32, count: u64) -> Result<Edge, LogError> {
        let (index, width) = (count / TILE_WIDTH, (count % TILE_WIDTH) as usize);
        let mut hashes = Vec::new();
        if width > 0 {
            hashes = read_tile(read, level, index, width)?.hashes;
            hashes.truncate(width);
        }
        Ok(Edge { index, hashes, changed: false })
    }

    /// Adds a hash; a tile that is full by it is handed out and the next one begun.
    fn push(&mut self, hash: Digest) -> Option<Tile> {
        self.hashes.push(hash);
        self.changed = true;
        if (self.hashes.len() as u64) < TILE_WIDTH {
            return None;
        }
        let full = Tile { level: 0, index: self.index, hashes: std::mem::take(&mut self.hashes) };
        *self = Edge { index: self.index + 1, hashes: Vec::new(), changed: false };
        Some(full)
    }

    /// Roots of the complete subtrees within the tile, from the left, largest first.
    fn peaks(&self) -> Vec<Digest> {
        let mut rest = self.hashes.as_slice();
        let mut peaks = Vec::new();
        for height in (0..TILE_HEIGHT).rev() {
            if let Some((subtree, after)) = rest.split_at_checked(1 << height) {
                peaks.push(root(subtree));
                rest = after;
            }
        }
        peaks
    }
}
