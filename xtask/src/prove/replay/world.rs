//! A node that takes a story in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::clock::ManualClock;
use lockstep_core::crypto::{Digest, LocalSigner};
use lockstep_core::database::Database;
use lockstep_core::tables::Table;
use lockstep_node::{Node, NodeConfig, Parts, SubmitError, all_tables, create};
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};
use lockstep_vm::WasmEngine;

use super::story::{Step, Story};

const PATIENCE: Duration = Duration::from_secs(120);

/// How intents are handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) enum Manner {
    /// All of a moment at once.
    Batches,
    /// Each after the last one's outcome.
    Alone,
}

/// What is left when the story is over.
pub(in crate::prove) struct World {
    /// What each submission was answered: the intent, or the code of the refusal.
    pub(in crate::prove) answers: Vec<Result<Digest, String>>,
    /// The tables that the database has now.
    pub(in crate::prove) tables: Vec<Table>,
}

/// A new SQLite file.
pub(in crate::prove) async fn sqlite(path: &Path) -> Result<SqliteDatabase, String> {
    let config = SqliteConfig { path: path.to_owned(), read_only: false, create: true };
    SqliteDatabase::open(config).await.map_err(|error| error.to_string())
}

impl World {
    /// Founds the network in an empty database and plays the story.
    pub(in crate::prove) async fn play(
        story: &Story,
        database: Arc<dyn Database>,
        engine: Arc<WasmEngine>,
        secret: [u8; 32],
        checkpoint: PathBuf,
        manner: Manner,
    ) -> Result<World, String> {
        let clock = Arc::new(ManualClock::new(story.begins));
        let parts = Parts {
            database,
            engine,
            signer: Arc::new(LocalSigner::from_secret(story.node_secret)),
            clock: clock.clone(),
            checkpoint,
            notice: Arc::new(|text| eprintln!("node: {text}")),
        };
        let words = |error: lockstep_node::NodeError| error.to_string();
        create(&parts, &story.node, &story.genesis).await.map_err(words)?;
        // One secret for all: then no salt depends on the order in which two threads asked for theirs.
        let node = Node::open_with(parts, NodeConfig::default(), Arc::new(move || Ok(secret))).await.map_err(words)?;
        let mut answers = Vec::new();
        for (time, step) in &story.steps {
            clock.set(*time);
            match step {
                Step::Directory { event, package } => {
                    let changed = node.change_directory(event.as_ref().clone(), package.clone(), PATIENCE).await;
                    changed.map_err(|error| format!("the directory does not change: {error}"))?;
                }
                Step::Intents(intents) => answers.extend(hand_in(&node, intents, manner).await?),
            }
        }
        let tables = all_tables(&node.directory());
        node.stop().await;
        Ok(World { answers, tables })
    }
}

async fn hand_in(node: &Node, intents: &[Vec<u8>], manner: Manner) -> Result<Vec<Result<Digest, String>>, String> {
    let answered = match manner {
        Manner::Batches => node.submit_all(intents.to_vec(), PATIENCE).await,
        Manner::Alone => {
            let mut answered = Vec::new();
            for intent in intents {
                answered.push(node.submit(intent.clone(), PATIENCE).await);
            }
            answered
        }
    };
    let answer = |one| match one {
        Ok(lockstep_node::Decided { intent, .. }) => Ok(Ok(intent)),
        Err(SubmitError::Refused(refusal)) => Ok(Err(refusal.code.as_str().to_owned())),
        Err(error) => Err(format!("no outcome: {error}")),
    };
    answered.into_iter().map(answer).collect()
}
