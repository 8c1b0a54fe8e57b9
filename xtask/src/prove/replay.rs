//! Proof `replay`: what a node writes depends on nothing but what was signed, the salts and the times.
//!
//! A case makes up a story: a directory that grows and intents of all kinds, good and bad, signed once. One node
//! takes it in batches into SQLite, another one intent by intent into memory. Both must hold the same rows in every
//! table, but for where the batches ended. Then each database's evidence is applied to empty databases of both
//! kinds, and those must hold the same rows in every table, batches' ends included; between two SQLite files,
//! the same bytes in every cell.

mod compare;
pub(in crate::prove) mod story;
pub(in crate::prove) mod world;

use std::path::Path;
use std::sync::Arc;

use lockstep_core::audit::rebuild;
use lockstep_core::database::Database;
use lockstep_core::memory::MemoryDatabase;
use lockstep_vm::{WasmConfig, WasmEngine};

use super::job::processors;
use super::{Dice, Job, Totals};
use compare::{Compared, storage, tables};
use story::{Packages, Story};
use world::{Manner, World, sqlite};

/// Stories of the whole proof.
const STORIES: u64 = 200;

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let engine = Arc::new(WasmEngine::new(WasmConfig::default()).map_err(|error| error.to_string())?);
    let packages = Packages::read()?;
    job.cases(job.scaled(STORIES), processors(), |_, dice, folder| {
        let story = Story::make_up(dice, &packages)?;
        runtime.block_on(one(&story, &engine, dice, folder))
    })
}

async fn one(story: &Story, engine: &Arc<WasmEngine>, dice: &mut Dice, folder: &Path) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let secret = dice.bytes();
    let file: Arc<dyn Database> = Arc::new(sqlite(&folder.join("batches.db")).await?);
    let memory: Arc<dyn Database> = Arc::new(MemoryDatabase::new());
    let batches =
        World::play(story, file.clone(), engine.clone(), secret, folder.join("batches"), Manner::Batches).await?;
    let alone = World::play(story, memory.clone(), engine.clone(), secret, folder.join("alone"), Manner::Alone).await?;
    totals.count("stories", 1);
    totals.count("intents", u64::try_from(batches.answers.len()).unwrap_or(0));
    for answer in &batches.answers {
        totals.count(if answer.is_ok() { "decided" } else { "refused" }, 1);
    }
    totals.must("answers_equal", batches.answers == alone.answers, || {
        "batches and single intents were answered differently".to_owned()
    });

    let expected = tables(file.as_ref(), &batches.tables).await?;
    totals.count("events", expected.rows_of("lockstep_event"));
    totals.count("applied", expected.rows_with("lockstep_intent", "status", "applied"));
    totals.count("rejected", expected.rows_with("lockstep_intent", "status", "rejected"));
    let found = tables(memory.as_ref(), &alone.tables).await?;
    note(&mut totals, "alone in memory", expected.compare_but_for_batches(&found));

    for (what, source, expected) in [("SQLite", &file, &expected), ("memory", &memory, &found)] {
        let empty = MemoryDatabase::new();
        replay(source.as_ref(), &empty).await?;
        note(
            &mut totals,
            &format!("{what} replayed into memory"),
            expected.compare(&tables(&empty, &batches.tables).await?),
        );
        let path = folder.join(format!("replayed-{what}.db"));
        let empty = sqlite(&path).await?;
        replay(source.as_ref(), &empty).await?;
        note(
            &mut totals,
            &format!("{what} replayed into SQLite"),
            expected.compare(&tables(&empty, &batches.tables).await?),
        );
        if what == "SQLite" {
            let (was, is) = (storage(source.as_ref(), &batches.tables).await?, storage(&empty, &batches.tables).await?);
            totals.count("stored_rows_compared", u64::try_from(was.len()).unwrap_or(0));
            totals.must("files_equal", was == is, || {
                let differing = was.iter().zip(&is).find(|(was, is)| was != is);
                format!("the replayed file stores something else: {differing:?}")
            });
        }
        empty.close().await;
    }
    Ok(totals)
}

async fn replay(source: &dyn Database, target: &dyn Database) -> Result<(), String> {
    let mut snapshot = source.snapshot().await.map_err(|error| error.to_string())?;
    rebuild(snapshot.as_mut(), target).await.map(|_| ()).map_err(|error| match error {
        lockstep_core::audit::RebuildError::Damaged(report) => {
            format!("what was just written is not clean: {:?}", report.findings.first())
        }
        other => other.to_string(),
    })
}

fn note(totals: &mut Totals, what: &str, compared: Compared) {
    totals.count("rows_compared", compared.rows);
    totals.count("cells_compared", compared.cells);
    totals.failures.extend(compared.differences.into_iter().map(|difference| format!("{what}: {difference}")));
}
