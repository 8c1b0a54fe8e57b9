//! What a running node answers about itself.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::crypto::Signer;
use lockstep_core::database::Database;
use lockstep_core::directory::Directory;
use lockstep_core::engine::Engine;
use lockstep_core::execute::Packages;
use lockstep_core::names::NodeName;
use lockstep_core::time::Timestamp;
use tokio::sync::{mpsc, watch};

use super::shared::{Past, Shared};
use super::{Node, NodeConfig};
use crate::effort::Spent;
use crate::meters::Meters;
use crate::submit::{Job, Undecided, Waiter, Work};

impl Node {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.shared.name
    }

    /// The directory after the last commit.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.shared.directory()
    }

    /// The node's database.
    #[must_use]
    pub fn database(&self) -> &dyn Database {
        self.shared.parts.database.as_ref()
    }

    /// The engine that executes contracts here.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.shared.parts.engine.as_ref()
    }

    /// The packages of this node.
    #[must_use]
    pub fn packages(&self) -> &dyn Packages {
        &self.shared.packages
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.shared.parts.clock.as_ref()
    }

    /// Tells the operator something that no reply says.
    pub(crate) fn notice(&self, text: &str) {
        (self.shared.parts.notice)(text);
    }

    /// Now, by the node's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.parts.clock.now()
    }

    /// Leaves of this node's log after the last commit that is signed for.
    pub(crate) fn leaves(&self) -> u64 {
        self.shared.leaves.load(Ordering::Relaxed)
    }

    /// What it counts.
    pub(crate) fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// Processor time that the stages of the pipeline took since the node was opened.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.shared.effort.spent()
    }

    /// How many intents were taken and not answered yet.
    #[must_use]
    pub fn undecided(&self) -> usize {
        self.undecided.load(Ordering::Relaxed)
    }

    /// The node's bounds.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.shared.config
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        self.shared.parts.signer.as_ref()
    }

    pub(crate) fn past(&self) -> &Past {
        &self.shared.past
    }

    /// The log that this node writes, NODE/INCARNATION.
    #[must_use]
    pub fn log(&self) -> String {
        self.shared.log.clone()
    }

    /// What has its place in the queue now.
    pub(crate) fn job(&self, work: Work, waiter: Waiter) -> Job {
        let order = self.orders.fetch_add(1, Ordering::Relaxed);
        let counted = Undecided::one_more(&self.undecided);
        Job { work, order, waiters: vec![waiter], refused_by_database: false, _undecided: counted }
    }

    pub(crate) fn queue_sender(&self) -> &mpsc::Sender<Job> {
        &self.queue
    }

    pub(crate) fn given_up(&self) -> Option<Duration> {
        self.shared.given_up()
    }

    pub(crate) fn stop_reason(&self) -> String {
        self.shared.stop_reason().unwrap_or_else(|| "it was asked to".to_owned())
    }

    /// Where the latest checkpoint is kept.
    #[must_use]
    pub fn checkpoint(&self) -> &Path {
        &self.shared.parts.checkpoint
    }

    /// Whether the database took the last batch, as far as is known.
    #[must_use]
    pub fn commits_well(&self) -> bool {
        !self.shared.held_up.load(Ordering::Relaxed)
    }

    /// Counts the batches that are committed, for whoever wants to know that there is something new.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.shared.commits.subscribe()
    }
}
