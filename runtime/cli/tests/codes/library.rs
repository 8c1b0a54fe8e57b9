//! What only a node used as a library can be brought to, on a real directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::engine::{CodeError, Engine, Host, Limits, Stop};
use lockstep_core::json::Json;
use lockstep_core::package::Package;
use lockstep_node::{Node, NodeConfig, Parts, SystemClock, outcome};
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
