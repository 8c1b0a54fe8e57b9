//! The world of one scenario: a fresh directory with a real node on a real SQLite database.
//!
//! It is made as `init`, `actor add` and `contract deploy` make one, so that whoever keeps it can look
//! around in it with every command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::{Digest, Salt};
use lockstep_core::engine::Engine;
use lockstep_core::intent::Draft;
use lockstep_core::json::{Json, json};
use lockstep_core::names::{ActorId, RecordId};
use lockstep_core::package::Package;
use lockstep_core::tables::{Cell, Row, Table};
use lockstep_node::{Node, NodeConfig, Parts, SubmitError, random_bytes, random_salt};

use super::script::Submit;
use crate::error::CliError;
use crate::keys::{self, Key};
use crate::verbs::{actor, contract, init};
use crate::way::Way;

/// How long a step may take; a scenario that reaches it has found a bug of ours.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node with everybody's keys.
pub(super) struct World {
    dir: PathBuf,
    node: Node,
    admin: Key,
    actors: BTreeMap<ActorId, Key>,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

fn message(error: CliError) -> String {
    error.message
}

/// A new folder of its own below the system's folder for temporary files.
pub(super) fn new_folder() -> Result<PathBuf, String> {
    let random = Digest::from_bytes(random_bytes()?).to_string();
    let dir = std::env::temp_dir().join(format!("lockstep-scenario-{}", random.get(..16).unwrap_or_default()));
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir)
}

impl World {
    /// Founds a network of one node in `dir` and lets the actors in.
    pub(super) async fn make(
        dir: &Path,
        participant: &str,
        actors: &[(ActorId, Vec<String>)],
        engine: Arc<dyn Engine>,
    ) -> Result<World, String> {
        let made = init::make(dir, "scenario", participant, None, None).await.map_err(message)?;
        let admin = Key::read(&keys::actor_key_path(dir, &made.home.config.actor)).map_err(message)?;
        let parts = Parts { engine, notice: Arc::new(|_| {}), ..made.home.parts().await.map_err(message)? };
        let node = Node::open(parts, NodeConfig::default()).await.map_err(words)?;
        let mut world = World { dir: dir.to_owned(), node, admin, actors: BTreeMap::new() };
        for (id, roles) in actors {
            actor::add(&Way::of(&world.node), &world.admin, dir, id, roles, None).await.map_err(message)?;
            let key = Key::read(&keys::actor_key_path(dir, id.as_str())).map_err(message)?;
            world.actors.insert(id.clone(), key);
        }
        Ok(world)
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Proposes and approves a package.
    pub(super) async fn deploy(&self, package: &Package) -> Result<(), String> {
        contract::deploy(&Way::of(&self.node), &self.admin, package).await.map_err(message)
    }

    /// Signs and submits; the outcome, or `{"status": "refused", "code", "message"}`.
    pub(super) async fn submit(&self, step: &Submit) -> Result<Json, String> {
        let key =
            self.actors.get(&step.actor).ok_or_else(|| format!("{} is not among the scenario's actors", step.actor))?;
        let now = self.node.now();
        let draft = Draft {
            network: self.node.directory().network(),
            sequencer: self.node.name().clone(),
            actor: step.actor.clone(),
            nonce: Digest::from_bytes(random_bytes()?),
            expires: now.plus(step.expires),
            not_before: step.not_before.map(|later| now.plus(later)),
            call: step.call.clone(),
            targets: step.targets.clone(),
        };
        // The call takes one salt, each record another one.
        let salts = (0..=step.targets.len()).map(|_| random_salt()).collect::<Result<Vec<Salt>, String>>()?;
        let mut salts = salts.into_iter();
        let signed = draft.sign(&key.signer, || salts.next().unwrap_or_else(|| Salt::from([0; 32]))).map_err(words)?;
        match self.node.submit(signed.to_json().canonical().into_bytes(), PATIENCE).await {
            Ok(decided) => {
                let outcome = lockstep_node::outcome(self.node.database(), &decided.intent).await.map_err(words)?;
                outcome.ok_or_else(|| format!("the database does not know intent {}", decided.intent))
            }
            Err(SubmitError::Refused(refusal)) => {
                Ok(json!({"status": "refused", "code": refusal.code.as_str(), "message": refusal.message}))
            }
            Err(error) => Err(words(error)),
        }
    }

    /// A record's row with its table; no row where the record is not there.
    pub(super) async fn row(&self, spec: &str, record: &RecordId) -> Result<(Table, Option<Row>), String> {
        let table = self.node.directory().record_tables().into_iter().find(|table| table.name == spec);
        let table = table.ok_or_else(|| format!("no deployed package brings spec {spec}"))?;
        let found =
            self.node.database().select(&table, "record_id", &[Cell::Text(record.to_string())]).await.map_err(words)?;
        Ok((table, found.into_iter().next()))
    }

    /// Ends the node; the folder stays.
    pub(super) async fn stop(self) {
        self.node.stop().await;
    }
}
