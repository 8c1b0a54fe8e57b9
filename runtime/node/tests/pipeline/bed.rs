//! A node to be tested: a world's directory on a database that does as it is told.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_core::clock::ManualClock;
use lockstep_core::database::{
    Answer, Batch, CommitError, Database, DatabaseError, Delivery, PeerSeen, Pending, Snapshot, Write,
};
use lockstep_core::json::Json;
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::tables::{Cell, Row, Table};
use lockstep_node::{Decided, Node, NodeConfig, NodeError, Parts, SubmitError, create, outcome};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::world::{Script, Wish, World, key, now};

pub const LONG: Duration = Duration::from_secs(60);

/// A database in memory whose commits wait while it is held, and which refuses rows that hold a word.
pub struct Gated {
    pub memory: MemoryDatabase,
    gate: Semaphore,
    begun: AtomicUsize,
    pub commits: AtomicUsize,
    /// Texts that were asked for, by which column whatever.
    asked: Mutex<BTreeSet<String>>,
    refused: Mutex<Option<String>>,
    /// Of the reads to come: how many are answered first, and how many are not then.
    unreadable: Mutex<(usize, usize)>,
}

const OPEN: usize = 1 << 20;

impl Gated {
    fn new() -> Self {
        Gated::of(MemoryDatabase::new())
    }

    pub fn of(memory: MemoryDatabase) -> Self {
        Gated {
            memory,
            gate: Semaphore::new(OPEN),
            begun: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            asked: Mutex::new(BTreeSet::new()),
            refused: Mutex::new(None),
            unreadable: Mutex::new((0, 0)),
        }
    }

    /// From now on commits wait.
    pub fn hold(&self) {
        self.gate.forget_permits(OPEN * 2);
    }

    pub fn release(&self) {
        self.gate.add_permits(OPEN);
    }

    /// Waits until a commit is being held.
    pub async fn held(&self) {
        while self.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// As a CHECK of the database's owner would: no deal of this title, and no row with a cell that is this word; no word, nothing is refused.
    pub fn refuse(&self, word: &str) {
        *self.refused.lock().unwrap() = Some(word.to_owned()).filter(|word| !word.is_empty());
    }

    /// Answers so many reads, and then so many not.
    pub fn fail_reads(&self, answered: usize, failing: usize) {
        *self.unreadable.lock().unwrap() = (answered, failing);
    }

    /// Whether all reads that were to fail have failed.
    pub fn reads_again(&self) -> bool {
        *self.unreadable.lock().unwrap() == (0, 0)
    }

    /// Waits until a read has failed.
    pub async fn failed_to_read(&self) {
        let before = *self.unreadable.lock().unwrap();
        while *self.unreadable.lock().unwrap() == before {
            tokio::task::yield_now().await;
        }
    }

    fn read(&self) -> Result<(), DatabaseError> {
        let mut reads = self.unreadable.lock().unwrap();
        match &mut *reads {
            (0, 0) => Ok(()),
            (0, failing) => {
                *failing -= 1;
                Err(DatabaseError::Unavailable { detail: "no connection became free in time".to_owned() })
            }
            (answered, _) => {
                *answered -= 1;
                Ok(())
            }
        }
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        let refused = self.refused.lock().unwrap().clone();
        let Some(word) = refused else { return Ok(()) };
        let title = format!("\"title\":\"{word}\"");
        let mut texts =
            batch.tables.iter().flat_map(|part| part.writes.iter().map(move |write| (part, write))).flat_map(
                |(part, write)| {
                    let cells: Vec<Cell> = match write {
                        Write::Insert(row) | Write::Put(row) => row.clone(),
                        Write::Update { set, .. } => set.iter().map(|(_, cell)| cell.clone()).collect(),
                    };
                    cells.into_iter().filter_map(move |cell| match cell {
                        Cell::Text(text) => Some((part.table.name == "deal", text)),
                        _ => None,
                    })
                },
            );
        match texts.any(|(deal, text)| text == word || (deal && text.contains(&title))) {
            true => Err(CommitError::Refused { detail: format!("no {word} here") }),
            false => Ok(()),
        }
    }
}

/// What only a database in memory can be asked.
impl std::ops::Deref for Gated {
    type Target = MemoryDatabase;

    fn deref(&self) -> &MemoryDatabase {
        &self.memory
    }
}

impl Database for Gated {
    fn prepare<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<(), DatabaseError>> {
        self.memory.prepare(tables)
    }
    fn plan<'a>(&'a self, tables: &'a [Table]) -> Pending<'a, Result<Vec<String>, DatabaseError>> {
        self.memory.plan(tables)
    }
    fn head(&self) -> Pending<'_, Result<Option<String>, DatabaseError>> {
        Box::pin(async move {
            self.read()?;
            self.memory.head().await
        })
    }
    fn commit<'a>(&'a self, batch: &'a Batch) -> Pending<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            drop(self.gate.acquire().await.unwrap());
            self.begun.fetch_sub(1, Ordering::SeqCst);
            self.check(batch)?;
            self.memory.commit(batch).await?;
            self.commits.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }
    fn select<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        values: &'a [Cell],
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        let texts = values.iter().filter_map(|value| match value {
            Cell::Text(text) => Some(text.clone()),
            _ => None,
        });
        self.asked.lock().unwrap().extend(texts);
        Box::pin(async move {
            self.read()?;
            self.memory.select(table, column, values).await
        })
    }
    fn follow<'a>(
        &'a self,
        table: &'a Table,
        column: &'a str,
        after: Option<i64>,
        limit: usize,
    ) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        Box::pin(async move {
            self.read()?;
            self.memory.follow(table, column, after, limit).await
        })
    }
    fn snapshot(&self) -> Pending<'_, Result<Box<dyn Snapshot>, DatabaseError>> {
        self.memory.snapshot()
    }
    fn query<'a>(&'a self, sql: &'a str, limit: usize) -> Pending<'a, Result<Answer, DatabaseError>> {
        self.memory.query(sql, limit)
    }
    fn undelivered(&self, limit: usize) -> Pending<'_, Result<Vec<Row>, DatabaseError>> {
        self.memory.undelivered(limit)
    }
    fn deliver<'a>(&'a self, deliveries: &'a [Delivery]) -> Pending<'a, Result<(), DatabaseError>> {
        self.memory.deliver(deliveries)
    }
    fn note_peers<'a>(&'a self, peers: &'a [PeerSeen]) -> Pending<'a, Result<(), DatabaseError>> {
        self.memory.note_peers(peers)
    }
}

/// A node with all around it.
pub struct Bed {
    pub world: World,
    pub database: Arc<Gated>,
    pub clock: Arc<ManualClock>,
    pub folder: PathBuf,
    pub node: Node,
    /// Intents of a jam.
    jammed: usize,
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub fn folder() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("lockstep-node-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn parts(database: &Arc<Gated>, clock: &Arc<ManualClock>, folder: &std::path::Path) -> Parts {
    Parts {
        database: database.clone(),
        engine: Arc::new(Script),
        signer: Arc::new(key("acme")),
        clock: clock.clone(),
        checkpoint: folder.join("checkpoint"),
        notice: Arc::new(|_| ()),
    }
}

impl Bed {
    /// A node on which people deal.
    pub async fn dealing() -> Self {
        Self::of(World::dealing(), NodeConfig::default()).await
    }

    /// A node whose directory is the world's.
    pub async fn of(world: World, config: NodeConfig) -> Self {
        let (database, clock, folder) = (Arc::new(Gated::new()), Arc::new(ManualClock::new(now())), folder());
        let parts = parts(&database, &clock, &folder);
        create(&parts, &world.node, &world.events[0].0).await.unwrap();
        let node = Node::open(parts, config).await.unwrap();
        for (event, package) in world.events.iter().skip(1) {
            node.change_directory(event.clone(), package.clone(), LONG).await.unwrap();
        }
        Bed { world, database, clock, folder, node, jammed: 0 }
    }

    pub fn parts(&self) -> Parts {
        parts(&self.database, &self.clock, &self.folder)
    }

    /// Stops the node and starts it again from its database.
    pub async fn restart(&mut self) {
        self.node.clone().stop().await;
        self.node = self.open().await.unwrap();
    }

    pub async fn open(&self) -> Result<Node, NodeError> {
        Node::open(self.parts(), NodeConfig::default()).await
    }

    pub async fn submit(&self, wish: &Wish) -> Result<Decided, SubmitError> {
        self.node.submit(wish.bytes(), LONG).await
    }

    /// Submits while the test goes on.
    pub fn begin(&self, wish: &Wish) -> JoinHandle<Result<Decided, SubmitError>> {
        let (node, bytes) = (self.node.clone(), wish.bytes());
        tokio::spawn(async move { node.submit(bytes, LONG).await })
    }

    /// Holds commits; returns when one is held and the next batch is begun, so that what comes now waits.
    pub async fn jam(&mut self) -> [JoinHandle<Result<Decided, SubmitError>>; 2] {
        self.database.hold();
        let first = self.world.make("jam-1");
        let first = self.begin(&first);
        self.database.held().await;
        let second = self.world.make("jam-2");
        let second = self.begin(&second);
        // The record that it is executed on is read when it has been taken from the queue.
        while !self.database.asked.lock().unwrap().contains("acme:jam-2") {
            tokio::task::yield_now().await;
        }
        self.jammed = 2;
        [first, second]
    }

    /// Waits until so many intents were taken besides those of the jam.
    pub async fn waiting(&self, count: usize) {
        while self.node.undecided() < self.jammed + count {
            tokio::task::yield_now().await;
        }
    }

    pub async fn outcome(&self, decided: &Decided) -> Json {
        outcome(self.node.database(), &decided.intent).await.unwrap().unwrap()
    }

    /// `applied`, or the code of the no.
    pub async fn ending(&self, decided: &Decided) -> String {
        let outcome = self.outcome(decided).await;
        let text = |name: &str| outcome.get(name).and_then(Json::as_str).map(str::to_owned);
        text("code").or_else(|| text("status")).unwrap()
    }

    /// Rows of a table.
    pub fn count(&self, table: &str) -> usize {
        self.database.memory.contents().get(table).map_or(0, Vec::len)
    }

    /// The content of a record's section `open`, as its row has it.
    pub fn open_section(&self, name: &str) -> Option<String> {
        let contents = self.database.memory.contents();
        let row = contents["deal"].iter().find(|row| row[0] == Cell::Text(format!("acme:{name}")))?.clone();
        let table = self.world.directory.record_tables().into_iter().find(|table| table.name == "deal")?;
        row[table.position("open")?].as_str().map(str::to_owned)
    }
}
