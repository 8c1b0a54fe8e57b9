//! `lockstep bench --growth`: what a commit takes with a thousand records, and with a million.
//!
//! All of them are opened by intents of their own, so that the database has for each what it has of any record: an
//! intent with its evidence, an event, rows of changes, leaves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lockstep_core::database::Database;
use lockstep_core::json::{Json, json};

use super::BenchArgs;
use super::found::{Found, row, settings};
use super::load::{self, Spread, Workload};
use super::machine::{self, percentile};
use super::progress::Progress;
use super::report::{micros, number};
use super::timed::{Commit, Timed};
use super::world::{World, internal};
use crate::error::CliError;

/// Intents that are measured one by one, and with many under way.
const ALONE: usize = 1_000;
const MANY: usize = 20_000;

/// Bytes of the text of the records that only have to be there.
const FILLING: usize = 64;

/// Records that are opened at once, and by how many clients.
const CHUNK: usize = 1_024;
const CLIENTS: usize = 4;

/// How long an outcome may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What commits took with so many records.
struct Costs {
    records: usize,
    database_bytes: u64,
    lone: Vec<Duration>,
    whole: Vec<Duration>,
    many: Vec<Commit>,
}

pub(super) async fn measure(
    dir: &Path,
    args: &BenchArgs,
    records: usize,
    progress: &Progress,
) -> Result<Found, CliError> {
    let machine = machine::describe(dir)?;
    let work = args.workload(Spread::Even);
    let mut timed = None;
    let over = |inner| {
        let over = Arc::new(Timed::new(inner));
        timed = Some(over.clone());
        over as Arc<dyn Database>
    };
    let world = World::make_over(&dir.join("node"), over).await?;
    let timed = timed.ok_or_else(|| internal("nothing is timed"))?;
    fill(&world, 0, work.records, progress).await?;
    let few = costs(&world, &timed, work, progress).await?;
    let started = Instant::now();
    fill(&world, work.records, records, progress).await?;
    let filling = started.elapsed();
    let many = costs(&world, &timed, Workload { records, ..work }, progress).await?;
    world.node.stop().await;
    Ok(told(machine, &work, filling, &few, &many))
}

/// Opens the records from `from` to `to`, exclusive.
async fn fill(world: &World, from: usize, to: usize, progress: &Progress) -> Result<(), CliError> {
    let next = Arc::new(AtomicUsize::new(from));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (node, author, next) = (world.node.clone(), world.author.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= to {
                        return Ok::<_, CliError>(());
                    }
                    let signed = (first..to.min(first + CHUNK)).map(|record| author.open(record, FILLING));
                    for answer in node.submit_all(signed.collect::<Result<_, _>>()?, PATIENCE).await {
                        answer?;
                    }
                }
            })
        })
        .collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        progress.step("opening records", next.load(Ordering::Relaxed).min(to), to);
    }
    for client in clients {
        client.await.map_err(internal)??;
    }
    Ok(())
}

/// What commits take on the records that are there.
async fn costs(world: &World, timed: &Timed, work: Workload, progress: &Progress) -> Result<Costs, CliError> {
    let work = Workload { intents: work.intents.min(MANY), ..work };
    drop(timed.take());
    super::whole(world, work, work.records as u64, progress).await?;
    let many = timed.take();
    progress.begin("one by one");
    let whole = load::alone(world, &work, ALONE.min(work.intents)).await?;
    let lone = timed.take().into_iter().filter(|commit| commit.intents > 0).map(|commit| commit.took).collect();
    let size = world.node.database().query("SELECT count(*) FROM bulletin", 1).await?;
    let there = size.rows.first().and_then(|row| row.first()).and_then(lockstep_core::tables::Cell::as_count);
    if there != Some(work.records as u64) {
        return Err(internal("a record was not opened"));
    }
    let database_bytes = std::fs::metadata(world.file()).map_or(0, |file| file.len());
    Ok(Costs { records: work.records, database_bytes, lone, whole, many })
}

impl Costs {
    fn lone_p50(&self) -> Duration {
        percentile(&mut self.lone.clone(), 50)
    }

    /// The middle of what a commit of many took for each of them.
    fn each_p50(&self) -> Duration {
        let each = |commit: &Commit| commit.took / u32::try_from(commit.intents.max(1)).unwrap_or(u32::MAX);
        percentile(&mut self.many.iter().filter(|commit| commit.intents > 0).map(each).collect::<Vec<_>>(), 50)
    }

    fn to_json(&self) -> Json {
        let (mut lone, mut whole) = (self.lone.clone(), self.whole.clone());
        json!({
            "records": self.records, "database_bytes": self.database_bytes, "commit_p50_us": micros(self.lone_p50()),
            "commit_p99_us": micros(percentile(&mut lone, 99)), "lone_p50_us": micros(percentile(&mut whole, 50)),
            "commit_of_many_p50_us": micros(self.each_p50())
        })
    }
}

fn ratio(many: Duration, few: Duration) -> Json {
    number(many.as_secs_f64() / few.as_secs_f64().max(f64::EPSILON), 3)
}

fn told(machine: Json, work: &Workload, filling: Duration, few: &Costs, many: &Costs) -> Found {
    let told = [few.to_json(), many.to_json()];
    let members = ["records", "commit_p50_us", "commit_p99_us", "lone_p50_us", "commit_of_many_p50_us"];
    let rows = told.iter().map(|costs| row("", Some(costs), &members)).collect();
    let header = vec!["", "records", "commit p50 µs", "p99", "intent p50", "commit of many, each"];
    let ratios = json!({
        "ratio": ratio(many.lone_p50(), few.lone_p50()), "ratio_of_many": ratio(many.each_p50(), few.each_p50())
    });
    let below =
        (vec!["more records by fewer", "commit", "of many"], vec![row("", Some(&ratios), &["ratio", "ratio_of_many"])]);
    let mut document = json!({
        "machine": machine, "settings": settings(work), "filling_bytes": FILLING, "filling_s": number(filling.as_secs_f64(), 1),
        "costs": Vec::from(told)
    });
    if let (Json::Object(document), Json::Object(ratios)) = (&mut document, ratios) {
        ratios.into_iter().for_each(|(name, ratio)| drop(document.insert(name, ratio)));
    }
    Found { document, tables: vec![(header, rows), below] }
}
