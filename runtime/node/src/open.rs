//! A node starts from its database, and ends. What it is made of, how its database comes to be, what its stages share
//! and what it answers stand beside it, a file each.

mod answers;
mod checkpoint;
mod create;
mod heard;
mod parts;
mod shared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::sync::mpsc;

pub(crate) use checkpoint::{lay_checkpoint, place_checkpoint};
pub use create::{all_tables, create, join};
pub use parts::{NodeConfig, NodeError, Parts};
pub(crate) use shared::Shared;

use crate::load;
use crate::pipeline;
use crate::random::{Secrets, random_bytes};
use crate::submit::Job;
use checkpoint::check_checkpoint;

/// A running node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    orders: Arc<AtomicU64>,
    undecided: Arc<AtomicUsize>,
    done: Arc<tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

impl Node {
    /// Starts a node from its database and the checkpoint beside its key.
    ///
    /// # Errors
    /// [`NodeError`] where the database is damaged, older than the checkpoint, or another one.
    pub async fn open(parts: Parts, config: NodeConfig) -> Result<Node, NodeError> {
        Node::open_with(parts, config, Arc::new(random_bytes)).await
    }

    /// As [`Node::open`], with the secrets that salts come from chosen: the same intents with the same secrets
    /// and times give the same events.
    ///
    /// # Errors
    /// As for [`Node::open`].
    pub async fn open_with(parts: Parts, config: NodeConfig, secrets: Secrets) -> Result<Node, NodeError> {
        let loaded = load::start(parts.database.as_ref()).await?;
        check_key(&parts, &loaded)?;
        check_checkpoint(&parts, &loaded).await?;
        parts.database.prepare(&all_tables(&loaded.directory)).await?;
        let (shared, ledger) = Shared::made(parts, config, secrets, loaded);
        let (queue, jobs) = mpsc::channel(shared.config.queue);
        let running = tokio::spawn(pipeline::run(shared.clone(), ledger, jobs));
        Ok(Node {
            shared,
            queue,
            orders: Arc::default(),
            undecided: Arc::default(),
            done: Arc::new(tokio::sync::Mutex::new(Some(running))),
        })
    }

    /// Whether it takes no more intents.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.queue.is_closed()
    }

    /// Waits until the node takes no more intents; why. It ends by itself where it cannot go on.
    pub async fn ended(&self) -> String {
        self.queue.closed().await;
        self.stop_reason()
    }

    /// Takes no more intents, ends those that wait, and returns when the last commit has ended; after the
    /// configuration's `stop_patience` all the same, as [`Node::stop_within`] does.
    pub async fn stop(self) {
        let patience = self.shared.config.stop_patience;
        self.stop_within(patience).await;
    }

    /// As [`Node::stop`], but waits no longer than this for a database that takes no commit. What is not answered
    /// then is answered with `TimedOut`: a commit that has begun is applied whole or not at all, and what has not
    /// begun never will.
    pub async fn stop_within(self, limit: Duration) {
        self.shared.closing.notify_one();
        let Some(mut running) = self.done.lock().await.take() else { return };
        if tokio::time::timeout(limit, &mut running).await.is_err() {
            self.shared.given_up.send_replace(Some(limit));
            // A panic of the pipeline was reported to every waiter already.
            drop(running.await);
        }
    }
}

/// Another node's key would sign heads that nobody could verify.
fn check_key(parts: &Parts, loaded: &load::Start) -> Result<(), NodeError> {
    let agreed = loaded.directory.nodes().get(loaded.node.as_str());
    if agreed.is_none_or(|node| node.key != parts.signer.public_key()) {
        return Err(NodeError::Foreign(format!(
            "its key is not the one that the directory has for node {}",
            loaded.node
        )));
    }
    Ok(())
}
