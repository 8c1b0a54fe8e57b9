//! The world of one scenario: a fresh directory with a real node on a real SQLite database.
//!
//! It is laid out as `init` lays one out, so that whoever keeps it can look around with every command.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::crypto::{Digest, Salt};
use lockstep_core::database::Database;
use lockstep_core::directory::{Body, DirectoryEvent, Founder};
use lockstep_core::engine::Engine;
use lockstep_core::intent::Draft;
use lockstep_core::json::{Json, json};
use lockstep_core::names::{ActorId, ActorName, NodeName, ParticipantName, RecordId};
use lockstep_core::package::Package;
use lockstep_core::tables::{Cell, Row, Table};
use lockstep_node::{Node, NodeConfig, Parts, SubmitError, SystemClock, random_bytes, random_salt};
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};

use super::scenario::Submit;
use crate::config::{Config, FILE};
use crate::keys::{self, Key};

/// How long a step may take; a scenario that reaches it has found a bug of ours.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an intent of a scenario is valid.
const EXPIRY: Duration = Duration::from_secs(600);

/// A running node with everybody's keys.
pub(super) struct World {
    pub(super) dir: PathBuf,
    node: Node,
    admin: ActorId,
    keys: BTreeMap<ActorId, Key>,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl World {
    /// Founds a network of one node in a new folder and lets the actors in.
    pub(super) async fn make(name: &str, actors: &[(ActorId, BTreeSet<String>)], engine: Arc<dyn Engine>) -> Result<World, String> {
        let (participant, node) = (ParticipantName::parse(name).map_err(words)?, NodeName::parse(name).map_err(words)?);
        let admin = ActorId::of(&ActorName::parse("admin").map_err(words)?, &participant);
        let dir = new_folder()?;
        let config = Config {
            node: name.to_owned(),
            participant: name.to_owned(),
            database: "sqlite:lockstep.db".to_owned(),
            actor: admin.to_string(),
            brokers: Vec::new(),
        };
        std::fs::write(dir.join(FILE), config.render()).map_err(words)?;
        let node_key = new_key(&keys::node_key_path(&dir), name)?;
        let admin_key = new_key(&keys::actor_key_path(&dir, admin.as_str()), admin.as_str())?;

        let body = Body::Genesis {
            title: "scenario".to_owned(),
            random: Digest::from(random_bytes()?),
            founders: vec![Founder {
                participant: participant.clone(),
                admin: (admin.clone(), admin_key.public()),
                node: (node.clone(), node_key.public()),
            }],
        };
        let genesis = DirectoryEvent::sign(None, SystemClock.now(), &admin, body, &admin_key.signer).map_err(words)?;
        let database = SqliteConfig { path: dir.join("lockstep.db"), read_only: false, create: true };
        let parts = Parts {
            database: Arc::new(SqliteDatabase::open(database).await.map_err(words)?),
            engine,
            signer: Arc::new(node_key.signer),
            clock: Arc::new(SystemClock),
            checkpoint: dir.join("checkpoint"),
            notice: Arc::new(|_| {}),
        };
        lockstep_node::create(&parts, &node, &genesis).await.map_err(words)?;
        let node = Node::open(parts, NodeConfig::default()).await.map_err(words)?;
        let mut world = World { dir, node, admin: admin.clone(), keys: BTreeMap::from([(admin, admin_key)]) };
        world.let_in(&participant, actors).await?;
        Ok(world)
    }

    async fn let_in(&mut self, host: &ParticipantName, actors: &[(ActorId, BTreeSet<String>)]) -> Result<(), String> {
        let others: BTreeSet<ParticipantName> = actors.iter().map(|(actor, _)| actor.participant()).filter(|found| found != host).collect();
        for participant in others {
            self.decide(Body::ParticipantAdd { participant, hosted_by: host.clone() }, None).await?;
        }
        for (actor, roles) in actors {
            let key = new_key(&keys::actor_key_path(&self.dir, actor.as_str()), actor.as_str())?;
            self.decide(Body::ActorAdd { actor: actor.clone(), roles: roles.clone(), key: key.public() }, None).await?;
            self.keys.insert(actor.clone(), key);
        }
        Ok(())
    }

    /// Has the directory take an event of the admin's.
    async fn decide(&self, body: Body, package: Option<Vec<u8>>) -> Result<(), String> {
        let directory = self.node.directory();
        let after = Some((directory.network(), directory.seq(), directory.head()));
        let key = self.keys.get(&self.admin).ok_or("the admin has no key")?;
        let event = DirectoryEvent::sign(after, self.node.now(), &self.admin, body, &key.signer).map_err(words)?;
        self.node.change_directory(event, package, PATIENCE).await.map_err(words)
    }

    /// Proposes and approves a package.
    pub(super) async fn deploy(&self, package: &Package) -> Result<(), String> {
        let propose = Body::ContractPropose { manifest: Box::new(package.manifest.clone()) };
        self.decide(propose, Some(package.encode())).await?;
        self.decide(Body::ContractApprove { package: package.digest() }, None).await
    }

    /// Signs and submits; the outcome, or `{"status": "refused", "code", "message"}`.
    pub(super) async fn submit(&self, step: &Submit) -> Result<Json, String> {
        let key = self.keys.get(&step.actor).ok_or_else(|| format!("{} is not among the scenario's actors", step.actor))?;
        let draft = Draft {
            network: self.node.directory().network(),
            sequencer: self.node.name().clone(),
            actor: step.actor.clone(),
            nonce: Digest::from(random_bytes()?),
            expires: self.node.now().plus(EXPIRY),
            not_before: None,
            call: step.call.clone(),
            targets: step.targets.clone(),
        };
        let salts = (0..=step.targets.len()).map(|_| random_salt()).collect::<Result<Vec<Salt>, String>>()?;
        let mut salts = salts.into_iter();
        let signed = draft.sign(&key.signer, || salts.next().unwrap_or_else(|| unreachable!("one salt for the call and one for each record")));
        let bytes = signed.map_err(words)?.to_json().canonical().into_bytes();
        match self.node.submit(bytes, PATIENCE).await {
            Ok(decided) => {
                let outcome = lockstep_node::outcome(self.node.database(), &decided.intent).await.map_err(words)?;
                outcome.ok_or_else(|| format!("the database does not know intent {}", decided.intent))
            }
            Err(SubmitError::Refused(refusal)) => Ok(json!({"status": "refused", "code": refusal.code.as_str(), "message": refusal.message})),
            Err(error) => Err(words(error)),
        }
    }

    /// A record's row with its table; no row where the record is not there.
    pub(super) async fn row(&self, spec: &str, record: &RecordId) -> Result<(Table, Option<Row>), String> {
        let table = self.node.directory().record_tables().into_iter().find(|table| table.name == spec);
        let table = table.ok_or_else(|| format!("no deployed package brings spec {spec}"))?;
        let found = self.node.database().select(&table, "record_id", &[Cell::Text(record.to_string())]).await.map_err(words)?;
        Ok((table, found.into_iter().next()))
    }

    /// Ends the node; the folder stays.
    pub(super) async fn stop(self) -> PathBuf {
        self.node.stop().await;
        self.dir
    }
}

fn new_folder() -> Result<PathBuf, String> {
    let random = Digest::from(random_bytes()?).to_string();
    let dir = std::env::temp_dir().join(format!("lockstep-scenario-{}", random.get(..16).unwrap_or_default()));
    std::fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(dir)
}

fn new_key(path: &Path, owner: &str) -> Result<Key, String> {
    let key = Key::generate(owner).map_err(|error| error.message)?;
    key.write(path).map_err(|error| error.message)?;
    Ok(key)
}
