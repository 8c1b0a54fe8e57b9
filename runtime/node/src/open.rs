//! A node: how it is made, how it starts from its database, what the rest of the pipeline shares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::database::{CommitError, Database, DatabaseError};
use lockstep_core::directory::{Body, Directory, DirectoryError, DirectoryEvent, History};
use lockstep_core::engine::{Engine, Limits};
use lockstep_core::execute::Packages;
use lockstep_core::log::Checkpoint;
use lockstep_core::names::NodeName;
use lockstep_core::package::Package;
use lockstep_core::project::{Ledger, Projection, own_tables_by_name};
use lockstep_core::sync::{Directories, LogHead, Message, Wanted};
use lockstep_core::tables::{Table, own_tables};
use lockstep_core::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::effort::{Effort, Spent};
use crate::load;
use crate::meters::Meters;
use crate::network::Network;
use crate::objections::Objections;
use crate::pipeline;
use crate::random::{Secrets, random_bytes};
use crate::resume::Resume;
use crate::submit::{Job, Undecided, Waiter, Work};

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

/// Signed heads of another log that are kept in memory, to hold against what its other readers were shown.
const KEPT_HEADS: usize = 4096;

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
    given_up: tokio::sync::watch::Sender<Option<Duration>>,
}

impl Shared {
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

/// A running node.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
    orders: Arc<AtomicU64>,
    undecided: Arc<AtomicUsize>,
    done: Arc<tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>>,
}

/// Makes a new network in an empty database: its tables, the genesis, the first checkpoint.
///
/// # Errors
/// [`NodeError`]; nothing is left half made.
pub async fn create(parts: &Parts, node: &NodeName, genesis: &DirectoryEvent) -> Result<(), NodeError> {
    join(parts, node, &[(genesis.clone(), None)]).await
}

/// Makes the database of a node that joins a network: its tables, the directory up to the event that names the node,
/// the first checkpoint. Events that propose a contract come with the package's bytes.
///
/// # Errors
/// [`NodeError`]; nothing is left half made.
pub async fn join(
    parts: &Parts,
    node: &NodeName,
    events: &[(DirectoryEvent, Option<Vec<u8>>)],
) -> Result<(), NodeError> {
    let broken = |what: &str| NodeError::Broken(what.to_owned());
    let ((genesis, _), later) = events.split_first().ok_or_else(|| broken("a network has a genesis"))?;
    let mut directory = Directory::found(genesis)?;
    let ledger = Ledger::new(directory.network(), format!("{node}/1"), genesis.time);
    let mut projection = Projection::new(&ledger, &own_tables_by_name());
    projection.directory(genesis, &directory, None);
    for (event, package) in later {
        directory.apply(event)?;
        projection.directory(event, &directory, package.as_deref());
    }
    if !directory.nodes().contains_key(node.as_str()) {
        return Err(broken("the directory does not name the node"));
    }
    projection.meta(&directory, node.as_str());
    parts.database.prepare(&all_tables(&directory)).await?;
    let projected = projection.finish(parts.signer.as_ref()).map_err(|error| NodeError::Broken(error.to_string()))?;
    parts.database.commit(&projected.batch).await?;
    write_checkpoint(&parts.checkpoint, &projected.note)
}

/// Every managed table: Lockstep's own, then those of the records.
#[must_use]
pub fn all_tables(directory: &Directory) -> Vec<Table> {
    let mut tables = own_tables();
    tables.extend(directory.record_tables());
    tables
}

/// Keeps a checkpoint beside the key: written whole, synced, renamed into place.
pub(crate) fn write_checkpoint(path: &Path, note: &str) -> Result<(), NodeError> {
    lay_checkpoint(path, note)?;
    place_checkpoint(path)
}

/// Writes a checkpoint beside its place, synced, so that only its name is left to change.
pub(crate) fn lay_checkpoint(path: &Path, note: &str) -> Result<(), NodeError> {
    let failed = |source| NodeError::Checkpoint { path: path.to_owned(), source };
    std::fs::File::create(path.with_extension("new"))
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, note.as_bytes())?;
            file.sync_all()
        })
        .map_err(failed)
}

/// Renames what [`lay_checkpoint`] wrote into place.
pub(crate) fn place_checkpoint(path: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::Checkpoint { path: path.to_owned(), source };
    std::fs::rename(path.with_extension("new"), path).map_err(failed)
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
        let (queue, jobs) = mpsc::channel(shared.config.queue);
        let running = tokio::spawn(pipeline::run(shared.clone(), loaded.ledger, jobs));
        Ok(Node {
            shared,
            queue,
            orders: Arc::default(),
            undecided: Arc::default(),
            done: Arc::new(tokio::sync::Mutex::new(Some(running))),
        })
    }

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

/// Holds the database against the checkpoint beside the key.
async fn check_checkpoint(parts: &Parts, loaded: &load::Start) -> Result<(), NodeError> {
    let note = match std::fs::read_to_string(&parts.checkpoint) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(NodeError::Checkpoint { path: parts.checkpoint.clone(), source }),
    };
    let foreign = |what: String| NodeError::Foreign(what);
    let kept = Checkpoint::verify(&note, &loaded.ledger.origin(), &parts.signer.public_key())
        .map_err(|error| foreign(error.to_string()))?;
    let found = loaded.ledger.appender.size();
    if kept.size > found {
        return Err(NodeError::Behind { found, signed: kept.size });
    }
    let root = load::root_at(parts.database.as_ref(), &loaded.ledger.log, kept.size).await?;
    if root != Some(kept.root) {
        return Err(foreign(format!("the roots over the first {} leaves differ", kept.size)));
    }
    Ok(())
}
