//! Two organisations, acme and bolt, each with a node and a database in memory; acme's sequences the deals.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lockstep_core::audit::{Known, audit, rebuild};
use lockstep_core::clock::ManualClock;
use lockstep_core::crypto::{PublicKey, Signer};
use lockstep_core::database::Database;
use lockstep_core::directory::{Address, Body};
use lockstep_core::engine::{CodeError, Engine, Host, Limits, Stop};
use lockstep_core::json::{Json, json};
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::memory_transport::MemoryNetwork;
use lockstep_core::names::NodeName;
use lockstep_core::package::Package;
use lockstep_core::sync::{Feed, Hello, Message};
use lockstep_core::tables::{Cell, Row, Table, name, own_tables};
use lockstep_core::transport::{Bounds, Connection, Transport};
use lockstep_node::{Decided, Network, Node, NodeConfig, Parts, Serving, SubmitError, join, keep_connected};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bed::Gated;
use crate::world::{Script, Wish, World, actor, deal_manifest, key, members, now, op, set};

/// How long anything here may take: other tests run beside it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node that talks to the other one.
pub struct Side {
    pub node: Node,
    pub clock: Arc<ManualClock>,
    pub engine: Arc<Bent>,
    pub database: Arc<Gated>,
    folder: PathBuf,
    parts: Parts,
    pub network: Arc<MemoryNetwork>,
    stop: watch::Sender<bool>,
    connecting: JoinHandle<()>,
}

/// An engine that may have its own idea of what contracts do where an intent says `bent`.
#[derive(Default)]
pub struct Bent(AtomicBool);

impl Bent {
    pub fn bends(&self, bends: bool) {
        self.0.store(bends, Ordering::SeqCst);
    }
}

impl Engine for Bent {
    fn call(
        &self,
        package: &Package,
        method: &str,
        arguments: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop> {
        let bends = self.0.load(Ordering::SeqCst) && arguments.contains("bent");
        let arguments = if bends { arguments.replace("bent", "straight") } else { arguments.to_owned() };
        Script.call(package, method, &arguments, host, limits)
    }

    fn check(&self, package: &Package) -> Result<(), CodeError> {
        Script.check(package)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub struct Pair {
    pub world: World,
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

async fn side(world: &World, network: &Arc<MemoryNetwork>, name: &str) -> Side {
    let (clock, folder, engine) = (Arc::new(ManualClock::new(now())), folder(name), Arc::new(Bent::default()));
    let database = Arc::new(Gated::of(MemoryDatabase::new()));
    let parts = Parts {
        database: database.clone(),
        engine: engine.clone(),
        signer: Arc::new(key(name)),
        clock: clock.clone(),
        checkpoint: folder.join("checkpoint"),
        notice: Arc::new(|_| ()),
    };
    join(&parts, &NodeName::parse(name).unwrap(), &world.events).await.unwrap();
    let (node, stop, connecting) = started(&parts, network, name).await;
    Side { node, clock, engine, database, folder, parts, network: network.clone(), stop, connecting }
}

async fn started(parts: &Parts, network: &MemoryNetwork, name: &str) -> (Node, watch::Sender<bool>, JoinHandle<()>) {
    let node = Node::open(parts.clone(), NodeConfig::default()).await.unwrap();
    let transport = network.node(public(name), Bounds::default(), Arc::new(|_| true));
    node.attach(Arc::new(Network::new(Arc::new(transport))));
    let address = (name == "acme").then_some("acme:1");
    let serving = Serving::on(node.network().unwrap(), address).await.unwrap();
    let stop = watch::Sender::new(false);
    let connecting = tokio::spawn(keep_connected(node.clone(), serving, stop.subscribe()));
    (node, stop, connecting)
}

impl Pair {
    pub async fn new() -> Self {
        let (world, network) = (agreed(), Arc::new(MemoryNetwork::new()));
        let acme = side(&world, &network, "acme").await;
        let bolt = side(&world, &network, "bolt").await;
        Pair { world, acme, bolt }
    }

    /// A connection on which the test speaks in bolt's place.
    pub async fn as_bolt(&mut self) -> Connection {
        if !self.bolt.connecting.is_finished() {
            self.bolt.halt().await;
        }
        let transport = self.acme.network.node(public("bolt"), Bounds::default(), Arc::new(|_| true));
        let mut connection = transport.dial("acme:1", &public("acme")).await.unwrap();
        let directory = self.acme.node.directory();
        let node = NodeName::parse("bolt").unwrap();
        let hello = Hello { network: directory.network(), node, directory: directory.seq(), wants: BTreeMap::new() };
        connection.sender.send(&Message::Hello(hello).encode()).await.unwrap();
        connection
    }

    /// Speaks as bolt to acme, in bolt's place: sends this and waits until all of it was looked at.
    pub async fn says_as_bolt(&mut self, messages: Vec<Message>) {
        let mut connection = self.as_bolt().await;
        for message in messages {
            connection.sender.send(&message.encode()).await.unwrap();
        }
        // Messages are taken in their order: what was sent before this is done with when it is answered.
        let last = Message::Feed(Feed { log: "bolt/1".to_owned(), next: 7, more: false, shares: Vec::new() });
        connection.sender.send(&last.encode()).await.unwrap();
        let answer = Message::Ack { log: "bolt/1".to_owned(), next: 7 };
        while let Some(frame) = connection.receiver.receive().await.unwrap() {
            if !frame.is_empty() && Message::decode(&frame).unwrap() == answer {
                return;
            }
        }
        panic!("acme ends the connection");
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
    /// Stops the node and starts it again from its database.
    pub async fn restart(&mut self) {
        self.halt().await;
        self.start().await;
    }

    /// Starts the node from its database.
    pub async fn start(&mut self) {
        let name = self.node.name().to_string();
        (self.node, self.stop, self.connecting) = started(&self.parts, &self.network, &name).await;
    }

    /// Stops the node as a process ends.
    pub async fn halt(&mut self) {
        self.stop.send_replace(true);
        (&mut self.connecting).await.unwrap();
        self.node.clone().stop().await;
    }

    /// As [`Side::restart`], with how far the feeds had come forgotten: all is asked for again.
    pub async fn restart_from_the_beginning(&mut self) {
        self.halt().await;
        std::fs::remove_file(self.parts.checkpoint.with_extension("feeds")).unwrap();
        self.start().await;
    }

    /// A copy of its database as it is now.
    pub async fn copy(&self) -> MemoryDatabase {
        let (copy, mut snapshot) = (MemoryDatabase::new(), self.database.snapshot().await.unwrap());
        rebuild(snapshot.as_mut(), &copy).await.unwrap();
        copy
    }

    /// Goes on from a copy, with whatever would tell that it is older left out.
    pub async fn restart_from(&mut self, copy: MemoryDatabase) {
        self.halt().await;
        self.database = Arc::new(Gated::of(copy));
        self.parts.database = self.database.clone();
        std::fs::remove_file(&self.parts.checkpoint).unwrap();
        self.start().await;
    }

    /// Waits until this holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Side) -> bool) {
        let looking = async {
            while !holds(self) {
                tokio::time::sleep(LOOK).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "it never came that {what}");
    }

    /// The rows of a table, each cell by its column's name.
    pub fn rows(&self, table: &Table) -> Vec<BTreeMap<String, Cell>> {
        let rows = self.database.memory.contents().remove(&table.name).unwrap_or_default();
        let named = |row: Row| table.columns.iter().map(|column| column.name.clone()).zip(row).collect();
        rows.into_iter().map(named).collect()
    }

    /// What is wrong with its database: nothing.
    pub async fn is_clean(&self) {
        let mut snapshot = self.database.snapshot().await.unwrap();
        let report = audit(snapshot.as_mut(), Known::default(), &mut |_| {}).await.unwrap();
        assert!(report.is_clean(), "{}: {:#?}", self.node.name(), report.findings);
    }

    /// Submits while the test goes on.
    pub fn begin(&self, wish: &Wish) -> JoinHandle<Result<Decided, SubmitError>> {
        let (node, bytes) = (self.node.clone(), wish.bytes());
        tokio::spawn(async move { node.submit(bytes, PATIENCE).await })
    }

    /// What is handed over, in the order of the counts.
    pub fn forwards(&self) -> Vec<BTreeMap<String, Cell>> {
        let table = own_tables().into_iter().find(|table| table.name == name::FORWARD).unwrap();
        let mut rows = self.rows(&table);
        rows.sort_by_key(|row| row["count"].clone());
        rows
    }

    /// How many intents have an outcome here.
    pub fn intents(&self) -> usize {
        self.database.memory.contents().get(name::INTENT).map_or(0, Vec::len)
    }

    /// Waits until all of so many intents that are handed over are acknowledged.
    pub async fn acknowledged(&self, count: usize) {
        let taken = |row: &BTreeMap<String, Cell>| row["taken"] != Cell::Null;
        self.until("they are acknowledged", |side| side.forwards().iter().filter(|row| taken(row)).count() == count)
            .await;
    }

    /// Waits until so many intents that were handed over have ended.
    pub async fn ends(&self, count: usize) {
        let ended = |row: &&BTreeMap<String, Cell>| row["status"] == Cell::Text("ended".to_owned());
        self.until("they end", |side| side.forwards().iter().filter(ended).count() == count).await;
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
        self.database.memory.contents().get("deal").map_or(0, Vec::len)
    }
}
