//! What a node has heard of the logs of others, and what it tells them of the directory.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Body, DirectoryEvent};
use lockstep_core::execute::Packages;
use lockstep_core::sync::{LogHead, Message, Wanted};

use super::{Node, NodeError};
use crate::load;

/// Signed heads of another log that are kept in memory, to hold against what its other readers were shown.
const KEPT_HEADS: usize = 4096;

impl Node {
    /// From where on this node wants another's log.
    pub(crate) async fn wanted(&self, log: &str) -> Result<Wanted, NodeError> {
        let stored = load::last_head(self.database(), log).await?;
        let next = self.shared.resume.next(log);
        if let (None, Some(stored)) = (self.last_head(log), stored) {
            self.note_head(log, stored);
        }
        Ok(Wanted { next, size: self.last_head(log).map_or(0, |(size, _)| size) })
    }

    /// Notes that all of another log before this position is here.
    pub(crate) fn note_next(&self, log: &str, position: u64) {
        let leaves = self.shared.leaves.load(Ordering::Relaxed);
        if let Err(error) = self.shared.resume.note(log, position, leaves) {
            self.notice(&format!("how far {log} has come cannot be noted, it will be asked for again: {error}"));
        }
    }

    /// The last signed head of another log that was heard of.
    pub(crate) fn last_head(&self, log: &str) -> Option<LogHead> {
        let heads = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.get(log)?.last_key_value().map(|(size, root)| (*size, *root))
    }

    pub(crate) fn note_head(&self, log: &str, head: LogHead) {
        let mut heads = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heads.entry(log.to_owned()).or_default();
        known.insert(head.0, head.1);
        if known.len() > KEPT_HEADS {
            known.pop_first();
        }
    }

    /// The root that another log had at a size, where this node was shown it lately.
    pub(crate) fn shown(&self, log: &str, size: u64) -> Option<Digest> {
        self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner).get(log)?.get(&size).copied()
    }

    /// Events of the directory with the packages that they propose, as they travel.
    pub(crate) fn directory_message(&self, events: &[Arc<DirectoryEvent>]) -> Message {
        let packages = events.iter().filter_map(|event| match &event.body {
            Body::ContractPropose { manifest } => Some(self.shared.packages.package(&manifest.digest())?.encode()),
            _ => None,
        });
        Message::Directory { events: events.iter().map(|event| event.stored()).collect(), packages: packages.collect() }
    }
}
