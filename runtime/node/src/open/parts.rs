//! What a node is made of, its bounds, and why it does not start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Signer;
use lockstep_core::database::{CommitError, Database, DatabaseError};
use lockstep_core::directory::DirectoryError;
use lockstep_core::engine::{Engine, Limits};

/// Bounds of a node; all explicit, defaults for tests only.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Most intents that wait for their turn.
    pub queue: usize,
    /// How long a submitter waits for room in the queue.
    pub queue_patience: Duration,
    /// How long a node that is stopped goes on with what waits.
    pub stop_patience: Duration,
    /// Most intents in one batch.
    pub batch: usize,
    /// Bytes of submissions after which a batch takes no more.
    pub batch_bytes: usize,
    /// Bytes of one submission.
    pub largest_intent: usize,
    /// How far ahead an intent may expire.
    pub longest_expiry: Duration,
    /// Most records whose state stays in memory.
    pub cached_records: usize,
    /// Bounds of one execution.
    pub limits: Limits,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            queue: 4096,
            queue_patience: Duration::from_secs(5),
            stop_patience: Duration::from_secs(30),
            batch: 4096,
            batch_bytes: 16 << 20,
            // Base64 of the payload and the openings around 8 MiB of arguments.
            largest_intent: 12 << 20,
            longest_expiry: Duration::from_secs(24 * 3600),
            cached_records: 10_000,
            limits: Limits::default(),
        }
    }
}

/// What a node is made of; whoever embeds it chooses.
#[derive(Clone)]
pub struct Parts {
    /// The participant's database.
    pub database: Arc<dyn Database>,
    /// What executes contracts.
    pub engine: Arc<dyn Engine>,
    /// The node's key.
    pub signer: Arc<dyn Signer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where the latest checkpoint is kept, outside the database.
    pub checkpoint: PathBuf,
    /// Takes what the operator should know and no reply says.
    pub notice: Arc<dyn Fn(&str) + Send + Sync>,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The database does not answer or is not as it must be.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The first commit failed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The directory in the database is damaged.
    #[error("the directory in the database is damaged: {0}; `lockstep verify` says more")]
    Directory(#[from] DirectoryError),
    /// Something else in the database is damaged.
    #[error("the database is damaged: {0}; `lockstep verify` says more")]
    Damaged(String),
    /// The database is older than the checkpoint beside the key.
    #[error(
        "the database's log has {found} leaves, this node signed {signed}: an older copy was restored, or the tail was cut off"
    )]
    Behind {
        /// Leaves in the database.
        found: u64,
        /// Leaves that the node signed.
        signed: u64,
    },
    /// The database is another log than the checkpoint beside the key.
    #[error("the database's log is not the one that this node signed: {0}")]
    Foreign(String),
    /// The checkpoint's file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        source: std::io::Error,
    },
    /// No randomness, or the signer failed.
    #[error("{0}")]
    Broken(String),
}

impl NodeError {
    /// The code that people and programs see.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            NodeError::Database(DatabaseError::Shape { .. }) | NodeError::Directory(_) | NodeError::Damaged(_) => {
                Code::DatabaseShape
            }
            NodeError::Database(_) | NodeError::Commit(_) => Code::DatabaseUnavailable,
            NodeError::Behind { .. } => Code::BehindCheckpoint,
            NodeError::Foreign(_) => Code::ForeignCheckpoint,
            NodeError::Checkpoint { .. } => Code::Io,
            NodeError::Broken(_) => Code::Internal,
        }
    }
}
