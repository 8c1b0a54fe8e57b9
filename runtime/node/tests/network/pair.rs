//! Two organisations, acme and bolt, each with a node and a database in memory; acme's sequences the deals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockstep_core::audit::{Known, audit};
use lockstep_core::clock::ManualClock;
use lockstep_core::crypto::{PublicKey, Signer};
use lockstep_core::database::Database;
use lockstep_core::directory::{Address, Body};
use lockstep_core::json::{Json, json};
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::memory_transport::MemoryNetwork;
use lockstep_core::names::NodeName;
use lockstep_core::tables::{Cell, own_tables};
use lockstep_core::transport::Bounds;
use lockstep_node::{Decided, Network, Node, NodeConfig, Parts, Serving, SubmitError, join, keep_connected};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::world::{Script, Wish, World, actor, deal_manifest, key, members, now, op, set};

/// How long anything here may take: other tests run beside it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node that talks to the other one.
pub struct Side {
    pub node: Node,
    pub clock: Arc<ManualClock>,
    pub database: Arc<MemoryDatabase>,
    name: String,
    folder: PathBuf,
    stop: watch::Sender<bool>,
    connections: Option<JoinHandle<()>>,
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub struct Pair {
    pub world: World,
    pub network: MemoryNetwork,
    pub acme: Side,
    pub bolt: Side,
}

fn public(node: &str) -> PublicKey {
    key(node).public_key()
}

fn folder(node: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("lockstep-pair-{}-{count}-{node}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Both organisations, the deals' contract, and who deals.
fn agreed() -> World {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let addresses = vec![Address::parse("acme:1").unwrap()];
    world.change("root@acme", Body::NodeAddresses { node: NodeName::parse("acme").unwrap(), addresses }).unwrap();
    for (name, role) in [("ann@acme", "owner"), ("bob@bolt", "partner")] {
        let admin = format!("root@{}", actor(name).participant());
        let add = Body::ActorAdd { actor: actor(name), roles: [role.to_owned()].into(), key: public(name) };
        world.change(&admin, add).unwrap();
    }
    let package = world.propose(&deal_manifest("1.0.0")).unwrap();
    for admin in ["root@acme", "root@bolt"] {
        world.change(admin, Body::ContractApprove { package }).unwrap();
    }
    world
}

async fn side(world: &World, network: &MemoryNetwork, name: &str) -> Side {
    let (clock, folder) = (Arc::new(ManualClock::new(now())), folder(name));
    let database = Arc::new(MemoryDatabase::new());
    let parts = parts(name, &database, &clock, &folder);
    join(&parts, &NodeName::parse(name).unwrap(), &world.events).await.unwrap();
    let node = Node::open(parts, NodeConfig::default()).await.unwrap();
    let stop = watch::Sender::new(false);
    let mut side = Side { node, clock, database, name: name.to_owned(), folder, stop, connections: None };
    side.connect(network).await;
    side
}

fn parts(name: &str, database: &Arc<MemoryDatabase>, clock: &Arc<ManualClock>, folder: &Path) -> Parts {
    Parts {
        database: database.clone(),
        engine: Arc::new(Script),
        signer: Arc::new(key(name)),
        clock: clock.clone(),
        checkpoint: folder.join("checkpoint"),
        notice: Arc::new(|_| ()),
    }
}

impl Pair {
    pub async fn new() -> Self {
        let (world, network) = (agreed(), MemoryNetwork::new());
        let acme = side(&world, &network, "acme").await;
        let bolt = side(&world, &network, "bolt").await;
        Pair { world, network, acme, bolt }
    }

    /// Ann's intent that changes a deal.
    pub fn edit(&mut self, name: &str) -> Wish {
        self.world.call("ann@acme", "edit", name, vec![op("open", "add", "/title", "better")])
    }

    /// The intent that makes a deal of ann's with bob.
    pub fn deal(&mut self, name: &str) -> Wish {
        let parties = members(&[("owner", "ann@acme", 1), ("partner", "bob@bolt", 1)]);
        let steps =
            vec![set("parties", parties), set("open", json!({"title": "t"})), set("secret", json!({"price": 7}))];
        self.world.call("ann@acme", "make", name, steps)
    }
}

impl Side {
    async fn connect(&mut self, network: &MemoryNetwork) {
        let transport = network.node(public(&self.name), Bounds::default(), Arc::new(|_| true));
        self.node.attach(Arc::new(Network::new(Arc::new(transport))));
        let address = (self.name == "acme").then_some("acme:1");
        let serving = Serving::on(self.node.network().unwrap(), address).await.unwrap();
        self.stop = watch::Sender::new(false);
        self.connections = Some(tokio::spawn(keep_connected(self.node.clone(), serving, self.stop.subscribe())));
    }

    /// Ends the node as a process ends.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        self.connections.take().unwrap().await.unwrap();
        self.node.clone().stop().await;
    }

    /// Starts it again from its database.
    pub async fn start(&mut self, network: &MemoryNetwork) {
        let parts = parts(&self.name, &self.database, &self.clock, &self.folder);
        self.node = Node::open(parts, NodeConfig::default()).await.unwrap();
        self.connect(network).await;
    }

    /// Submits while the test goes on.
    pub fn begin(&self, wish: &Wish) -> JoinHandle<Result<Decided, SubmitError>> {
        let (node, bytes) = (self.node.clone(), wish.bytes());
        tokio::spawn(async move { node.submit(bytes, PATIENCE).await })
    }

    fn rows(&self, table: &str) -> Vec<BTreeMap<String, Cell>> {
        let columns = own_tables().into_iter().find(|one| one.name == table).unwrap().columns;
        let rows = self.database.contents().get(table).cloned().unwrap_or_default();
        let named = |row: Vec<Cell>| columns.iter().map(|column| column.name.clone()).zip(row).collect();
        rows.into_iter().map(named).collect()
    }

    /// What is handed over, in the order of the counts.
    pub fn forwards(&self) -> Vec<BTreeMap<String, Cell>> {
        let mut rows = self.rows("lockstep_forward");
        rows.sort_by_key(|row| row["count"].clone());
        rows
    }

    pub fn intents(&self) -> usize {
        self.rows("lockstep_intent").len()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let looking = async {
            while !holds(self) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        assert!(seen.is_ok(), "it never came that {what}: {:?}", self.forwards());
    }

    /// Waits until so many intents are noted as handed over.
    pub async fn stored(&self, count: usize) {
        self.until("it is stored", |side| side.forwards().len() == count).await;
    }

    /// Waits until all that is handed over is acknowledged.
    pub async fn acknowledged(&self) {
        let taken = |row: &BTreeMap<String, Cell>| row["taken"] != Cell::Null;
        self.until("it is acknowledged", |side| side.forwards().iter().all(taken)).await;
    }

    /// Waits until so many intents that were handed over have ended.
    pub async fn ends(&self, count: usize) {
        let ended = |row: &&BTreeMap<String, Cell>| row["status"] == Cell::Text("ended".to_owned());
        self.until("they end", |side| side.forwards().iter().filter(ended).count() == count).await;
    }

    /// Its database verifies.
    pub async fn is_clean(&self) {
        let mut snapshot = self.database.snapshot().await.unwrap();
        let report = audit(snapshot.as_mut(), Known::default(), &mut |_| {}).await.unwrap();
        assert!(report.is_clean(), "{}: {:?}", self.name, report.findings);
    }

    /// How an intent ended here.
    pub async fn status(&self, wish: &Wish) -> String {
        let outcome = lockstep_node::outcome(self.node.database(), &wish.id()).await.unwrap().unwrap();
        outcome.get("status").and_then(Json::as_str).unwrap().to_owned()
    }

    pub async fn submit(&self, wish: &Wish) -> String {
        let decided = self.node.submit(wish.bytes(), PATIENCE).await.unwrap();
        let outcome = lockstep_node::outcome(self.node.database(), &decided.intent).await.unwrap().unwrap();
        outcome.get("status").and_then(Json::as_str).unwrap().to_owned()
    }

    /// What its status says of its one peer.
    pub fn peer(&self, what: &str) -> Json {
        let status = self.node.network().unwrap().status(&self.node);
        let peer = status.get("peers").and_then(Json::as_array).unwrap()[0].clone();
        peer.get(what).cloned().unwrap()
    }

    /// Waits until its status says this of its peer.
    pub async fn sees(&self, what: &str, expected: impl Into<Json>) {
        let expected = expected.into();
        let looking = async {
            while self.peer(what) != expected {
                tokio::time::sleep(LOOK).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        assert!(seen.is_ok(), "{what} is {}, not {expected}", self.peer(what));
    }

    /// Waits until it has so many deals.
    pub async fn has(&self, count: usize) {
        let looking = async {
            while self.deals() < count {
                tokio::time::sleep(LOOK).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        assert!(seen.is_ok(), "{} deals, not {count}", self.deals());
    }

    /// How many deals it has.
    pub fn deals(&self) -> usize {
        self.database.contents().get("deal").map_or(0, Vec::len)
    }
}
