//! The append-only Merkle log of a node, and the notes that sign its head.
//!
//! It owns the tree of RFC 9162 (section 2.1), its storage as tiles, both kinds of proof and the C2SP
//! checkpoint. It does not know what a leaf means, and it stores nothing: tiles are handed in and out, so
//! that a proof reads log(n) rows and a batch writes its right edge.

pub mod appender;
pub mod checkpoint;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod verify;

pub use appender::Appender;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use note::{NoteError, NoteSignature};
pub use proof::{consistency_path, inclusion_path};
pub use tile::{TILE_HEIGHT, TILE_WIDTH, Tile};
pub use tree::{empty_root, leaf_hash, node_hash, root};
pub use verify::{verify_consistency, verify_inclusion};

/// Why a log could not be opened or a proof not be made. All of them mean that the stored tiles are
/// damaged or that more was asked for than the log holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A leaf or a size beyond the end of the log.
    #[error("the log has {size} leaves, so there is no proof for {asked}")]
    OutOfRange {
        /// The index or size that was asked for.
        asked: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// A tile that must be there is not.
    #[error("tile {index} of level {level} is missing from the log")]
    MissingTile {
        /// The tile's level.
        level: u32,
        /// The tile's place in its level.
        index: u64,
    },
    /// The store handed out another tile than was asked for.
    #[error("tile {index} of level {level} was asked for, and the store gave another one")]
    OtherTile {
        /// The tile's level.
        level: u32,
        /// The tile's place in its level.
        index: u64,
    },
    /// A tile holds too few hashes, or more than fit.
    #[error("tile {index} of level {level} of the log is damaged: it needs {needed} hashes and has {found}")]
    DamagedTile {
        /// The tile's level.
        level: u32,
        /// The tile's place in its level.
        index: u64,
        /// How many hashes it needs at least.
        needed: usize,
        /// How many it has.
        found: usize,
    },
}
