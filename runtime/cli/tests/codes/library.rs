//! What only a node used as a library can be brought to, on a real directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::{Digest, LocalSigner, Signer};
use lockstep_core::directory::{Body, DirectoryEvent, NewNode};
use lockstep_core::engine::{CodeError, Engine, Host, Limits, Stop};
use lockstep_core::intent::told;
use lockstep_core::json::Json;
use lockstep_core::memory_transport::MemoryNetwork;
use lockstep_core::names::{ActorId, NodeName, ParticipantName};
use lockstep_core::package::Package;
use lockstep_core::sync::{Forward, Hello, Message};
use lockstep_core::transport::{Bounds, Connection, Transport};
use lockstep_node::{Network, Node, NodeConfig, Parts, Serving, SystemClock, keep_connected, outcome};
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};
use lockstep_vm::{WasmConfig, WasmEngine};

use crate::stage::{Met, Stage, wait};

const LONG: Duration = Duration::from_secs(60);

/// An engine that ends every call in the same way, whatever the contract says.
struct Always(Result<(), Stop>);

impl Engine for Always {
    fn call(&self, _: &Package, _: &str, _: &str, _: &mut dyn Host, _: &Limits) -> Result<(), Stop> {
        self.0.clone()
    }

    fn check(&self, _: &Package) -> Result<(), CodeError> {
        Ok(())
    }
}

async fn node(stage: &Stage, dir: &Path, engine: Arc<dyn Engine>, config: NodeConfig) -> Node {
    let path = dir.join("lockstep.db");
    let database = SqliteDatabase::open(SqliteConfig { path, read_only: false, create: false }).await.unwrap();
    let parts = Parts {
        database: Arc::new(database),
        engine,
        signer: Arc::new(stage.key("node.key")),
        clock: Arc::new(SystemClock),
        checkpoint: dir.join("checkpoint"),
        notice: Arc::new(|_| ()),
    };
    Node::open(parts, config).await.unwrap()
}

fn bytes(stage: &Stage) -> Vec<u8> {
    stage.good().canonical().into_bytes()
}

/// Applies an offer that the contract would have rejected.
pub(crate) fn lie(stage: &Stage, dir: &Path) {
    let offer = bytes(stage);
    wait(async {
        let node = node(stage, dir, Arc::new(Always(Ok(()))), NodeConfig::default()).await;
        node.submit(offer, LONG).await.unwrap();
        node.stop().await;
    });
}

pub(crate) fn limits(stage: &Stage) -> Met {
    let (dir, offer) = (stage.copy(), bytes(stage));
    wait(async {
        let limits = Limits { fuel: 1, ..Limits::default() };
        let engine = Arc::new(WasmEngine::new(WasmConfig::default()).unwrap());
        let node = node(stage, &dir, engine, NodeConfig { limits, ..NodeConfig::default() }).await;
        let decided = node.submit(offer, LONG).await.unwrap();
        let ended = outcome(node.database(), &decided.intent).await.unwrap().unwrap();
        node.stop().await;
        let codes = ended.get("code").and_then(Json::as_str).map(str::to_owned);
        Met { codes: codes.into_iter().collect(), ..Met::default() }
    })
}

pub(crate) fn internal(stage: &Stage) -> Met {
    let (dir, offer) = (stage.copy(), bytes(stage));
    wait(async {
        let broken = Always(Err(Stop::Broken("out of disk".to_owned())));
        let node = node(stage, &dir, Arc::new(broken), NodeConfig::default()).await;
        Met::code(node.submit(offer, LONG).await.unwrap_err().code())
    })
}

/// A queue of one, and eight intents at once.
pub(crate) fn overloaded(stage: &Stage) -> Met {
    let (dir, offers) = (stage.copy(), (0..8).map(|_| bytes(stage)).collect::<Vec<_>>());
    wait(async {
        let config = NodeConfig { queue: 1, queue_patience: Duration::ZERO, ..NodeConfig::default() };
        let node = node(stage, &dir, Arc::new(Always(Ok(()))), config).await;
        let mut last = None;
        for answer in node.submit_all(offers, LONG).await {
            last = answer.err().or(last);
        }
        node.stop().await;
        Met::code(last.unwrap().code())
    })
}

/// A second node of the same participant hands an intent over under a wrapper about another one.
pub(crate) fn forward_refused(stage: &Stage) -> Met {
    let (dir, offer) = (stage.copy(), bytes(stage));
    let code = wait(async {
        let node = node(stage, &dir, Arc::new(Always(Ok(()))), NodeConfig::default()).await;
        let (second, network) = (LocalSigner::from_secret([9; 32]), MemoryNetwork::new());
        node.change_directory(second_node(stage, &node, &second), None, LONG).await.unwrap();
        let own = stage.key("node.key").public_key();
        let transport = network.node(own, Bounds::default(), Arc::new(|_| true));
        node.attach(Arc::new(Network::new(Arc::new(transport))));
        let serving = Serving::on(node.network().unwrap(), Some("acme:1")).await.unwrap();
        let stop = tokio::sync::watch::Sender::new(false);
        let connected = tokio::spawn(keep_connected(node.clone(), serving, stop.subscribe()));
        let code = refused_forward(&node, &network, &second, offer).await;
        stop.send_replace(true);
        connected.await.unwrap();
        node.stop().await;
        code
    });
    Met { codes: vec![code], ..Met::default() }
}

fn second_node(stage: &Stage, node: &Node, key: &LocalSigner) -> DirectoryEvent {
    let directory = node.directory();
    let name = NodeName::parse("second").unwrap();
    let added = NewNode { name, key: key.public_key(), addresses: Vec::new() };
    let participant = ParticipantName::parse("acme").unwrap();
    let after = Some((directory.network(), directory.seq(), directory.head()));
    let (admin, time) = (ActorId::parse("admin@acme").unwrap(), node.now());
    let body = Body::NodeAdd { participant, node: Box::new(added) };
    DirectoryEvent::sign(after, time, &admin, body, &stage.key("keys/admin@acme.key")).unwrap()
}

/// The code of the refusal.
async fn refused_forward(node: &Node, network: &MemoryNetwork, key: &LocalSigner, offer: Vec<u8>) -> String {
    let transport = network.node(key.public_key(), Bounds::default(), Arc::new(|_| true));
    let own = node.directory().nodes().get("acme").unwrap().key;
    let Connection { mut sender, mut receiver, .. } = transport.dial("acme:1", &own).await.unwrap();
    let told = told(&offer, &lockstep_core::json::Limits::default()).unwrap();
    let second = NodeName::parse("second").unwrap();
    let other = Forward::of(&second, Digest::of(b"another intent"), &told.payload, &[1], node.now());
    let directory = node.directory();
    let (network, directory) = (directory.network(), directory.seq());
    let hello = Hello { network, node: second, directory, wants: std::collections::BTreeMap::new() };
    let wrapper = other.sign(key).unwrap();
    for message in [Message::Hello(hello), Message::Forward { number: 1, submission: offer, wrapper }] {
        sender.send(&message.encode()).await.unwrap();
    }
    loop {
        let frame = receiver.receive().await.unwrap().unwrap();
        if let Message::Forwarded { refused: Some((code, _)), .. } = Message::decode(&frame).unwrap() {
            return code;
        }
    }
}
