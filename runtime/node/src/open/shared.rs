//! What the stages of the pipeline share, and who talks with other nodes: made once, when a node starts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Directory, DirectoryError, DirectoryEvent, History};
use lockstep_core::execute::Packages;
use lockstep_core::names::NodeName;
use lockstep_core::package::Package;
use lockstep_core::project::{Ledger, own_tables_by_name};
use lockstep_core::sync::Directories;
use lockstep_core::tables::Table;
use tokio::sync::watch;

use super::{NodeConfig, Parts};
use crate::effort::Effort;
use crate::load;
use crate::meters::Meters;
use crate::network::Network;
use crate::objections::Objections;
use crate::random::Secrets;
use crate::resume::Resume;

/// What the stages of the pipeline share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) config: NodeConfig,
    pub(crate) name: NodeName,
    /// The log that this node writes.
    pub(crate) log: String,
    pub(crate) own: BTreeMap<String, Arc<Table>>,
    pub(crate) packages: PackageStore,
    pub(crate) secrets: Secrets,
    directory: RwLock<Arc<Directory>>,
    /// The directory as it was.
    pub(crate) past: Past,
    /// From where on this node wants each other log.
    pub(crate) resume: Resume,
    /// The objections that are stored here.
    pub(crate) objections: Objections,
    /// Leaves of this node's own log after the last commit.
    pub(crate) leaves: AtomicU64,
    /// The last signed heads of each other log that were heard of: roots by size.
    pub(crate) heads: Mutex<BTreeMap<String, BTreeMap<u64, Digest>>>,
    /// The other nodes, where this one talks to them.
    pub(crate) network: std::sync::OnceLock<Arc<Network>>,
    stopped: Mutex<Option<String>>,
    /// Whether the committer waits for a database that does not take its batch.
    pub(crate) held_up: AtomicBool,
    /// What it counts.
    pub(crate) meters: Meters,
    /// Processor time by stage.
    pub(crate) effort: Effort,
    /// Batches committed since the start.
    pub(crate) commits: watch::Sender<u64>,
    /// Told when no more intents are to be taken.
    pub(crate) closing: tokio::sync::Notify,
    /// How long a stop was waited for in vain, once it was.
    pub(super) given_up: tokio::sync::watch::Sender<Option<Duration>>,
}

impl Shared {
    /// What a node that starts shares, and its log to go on with.
    pub(super) fn made(
        parts: Parts,
        config: NodeConfig,
        secrets: Secrets,
        loaded: load::Start,
    ) -> (Arc<Shared>, Ledger) {
        let shared = Arc::new(Shared {
            name: loaded.node,
            log: loaded.ledger.log.clone(),
            own: own_tables_by_name(),
            packages: PackageStore::default(),
            secrets,
            directory: RwLock::new(Arc::new(loaded.directory)),
            past: Past(RwLock::new(loaded.history)),
            resume: Resume::open(&parts.checkpoint, loaded.ledger.appender.size()),
            objections: Objections::of(loaded.objections),
            leaves: AtomicU64::new(loaded.ledger.appender.size()),
            heads: Mutex::default(),
            network: std::sync::OnceLock::new(),
            stopped: Mutex::new(None),
            held_up: AtomicBool::new(false),
            meters: Meters::default(),
            effort: Effort::default(),
            commits: watch::Sender::new(0),
            closing: tokio::sync::Notify::new(),
            given_up: tokio::sync::watch::Sender::new(None),
            parts,
            config,
        });
        for package in loaded.packages {
            shared.packages.insert(package);
        }
        (shared, loaded.ledger)
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_directory(&self, directory: Arc<Directory>) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    /// Notes why the node stops; the first reason stays.
    pub(crate) fn stop(&self, reason: String) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    /// Waits until nobody waits any more for what is not committed yet.
    pub(crate) async fn giving_up(&self) {
        // The sender is ours, so it is not gone.
        drop(self.given_up.subscribe().wait_for(Option::is_some).await);
    }

    /// How long a stop was waited for in vain; what it left is of unknown outcome.
    pub(crate) fn given_up(&self) -> Option<Duration> {
        *self.given_up.borrow()
    }

    pub(crate) fn stop_reason(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The directory after each of its events.
pub(crate) struct Past(RwLock<History>);

impl Past {
    /// Notes an event that was committed.
    pub(crate) fn push(&self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(event.clone())
    }

    /// The events after a seq.
    pub(crate) fn after(&self, seq: u64) -> Vec<Arc<DirectoryEvent>> {
        let history = self.0.read().unwrap_or_else(PoisonError::into_inner);
        history.events().iter().filter(|event| event.seq > seq).cloned().collect()
    }
}

impl Directories for Past {
    fn at(&self, seq: u64) -> Option<Arc<Directory>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).at(seq)
    }
}

/// The packages of this node, verified when they came in.
#[derive(Default)]
pub(crate) struct PackageStore(RwLock<BTreeMap<Digest, Arc<Package>>>);

impl PackageStore {
    pub(crate) fn insert(&self, package: Package) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(package.digest(), Arc::new(package));
    }
}

impl Packages for PackageStore {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }
}
