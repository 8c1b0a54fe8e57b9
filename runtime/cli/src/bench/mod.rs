//! `lockstep bench`: what the whole costs beside what its rows cost.
//!
//! One run, end to end: intents signed beforehand, verified, executed in WebAssembly, committed durably through the
//! node's own way, many under way. Beside it a floor: the same inserts and updates, written by nothing but the
//! database's driver. Both databases are compared; a floor that wrote other rows fails the run.

mod compare;
mod export;
mod floor;
mod found;
mod growth;
mod load;
mod machine;
mod naive;
mod progress;
mod replication;
mod report;
mod sections;
mod store;
mod timed;
mod verify;
mod world;
mod written;

use std::path::{Path, PathBuf};

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::json::Json;
use lockstep_node::{all_tables, random_bytes};

use crate::context::Context;
use crate::error::{CliError, Exit, file_error};
use crate::output::Output;
use compare::{Files, compare};
use floor::Range;
use found::Found;
use load::{Sent, Spread, Workload};
use progress::Progress;
use report::Measured;
use store::Stores;
use world::World;
use written::Written;

/// Arguments of `bench`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  lockstep bench\n  lockstep bench --intents 20000 --keep ./kept && sqlite3 ./kept/floor.db .schema\n  lockstep bench --database postgres://me@localhost/test\n  lockstep bench --replication --intents 20000"
)]
pub(crate) struct BenchArgs {
    /// Intents that are measured
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..))]
    intents: u32,
    /// Records that they change
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..))]
    records: u32,
    /// Bytes of each one's arguments
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(16..4_000_000))]
    payload: u32,
    /// Four of five intents on ten records
    #[arg(long)]
    contended: bool,
    #[command(flatten)]
    instead: Instead,
    /// Readers of `--replication`
    #[arg(long, default_value_t = 4, requires = "replication", value_parser = clap::value_parser!(u8).range(1..=8))]
    readers: u8,
    /// Leave the databases here [default: a folder for temporary files, removed]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What is measured instead of the whole beside its floor.
#[derive(Args, Debug)]
#[group(multiple = false, conflicts_with = "contended")]
struct Instead {
    /// Nodes of several organisations instead of one: what readers cost that execute everything again
    #[arg(long)]
    replication: bool,
    /// The same requests, as an application serves them that keeps no evidence: a transaction each
    #[arg(long)]
    naive: bool,
    /// What a commit takes with so many records, beside what it takes with --records [default: 1000000]
    #[arg(long, value_name = "RECORDS", num_args = 0..=1, default_missing_value = "1000000")]
    growth: Option<u32>,
    /// A change of one value, in a section of 4 KiB and in one of 4 MiB
    #[arg(long)]
    sections: bool,
    /// Events a second that `verify` checks, beside its signature checks and hashes alone
    #[arg(long)]
    verify: bool,
    /// Reading in bulk as NDJSON and CSV, beside what the database exports itself
    #[arg(long)]
    export: bool,
}

impl Instead {
    /// Whether anything else than the whole is measured.
    fn is_any(&self) -> bool {
        self.replication || self.naive || self.growth.is_some() || self.sections || self.verify || self.export
    }
}

impl BenchArgs {
    /// The work, with this spread.
    fn workload(&self, spread: Spread) -> Workload {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (intents, records, payload) = (count(self.intents), count(self.records), count(self.payload));
        Workload { intents, records, payload, spread }
    }
}

/// Most intents of the run with the other spread, and most that are sent one by one.
const OTHER: usize = 20_000;
const ALONE: usize = 1_000;

/// The databases of a run: the node's, its copy from before, the bare writer's; and the other run's.
const STORES: [&str; 4] = [NODE, BEFORE, FLOOR, OTHER_NODE];
const NODE: &str = "node/lockstep";
const BEFORE: &str = "before";
const FLOOR: &str = "floor";
const OTHER_NODE: &str = "other/lockstep";

pub(crate) async fn run(context: &Context, args: BenchArgs) -> Result<Exit, CliError> {
    let progress = Progress::new(context.output);
    if args.instead.is_any() && context.database.is_some() {
        let message = "this measurement makes files of its own and takes no --database";
        return Err(CliError::new(Code::Usage, message));
    }
    let url = context.database.as_deref();
    // A URL that cannot be measured is said before anything is made.
    Stores::of(Path::new("."), url)?;
    let dir = Folder::make(args.keep.as_deref())?;
    if args.instead.replication {
        let measured = replication::measure(&dir.path, &args, &progress).await;
        progress.end();
        let measured = measured?;
        measured.same.must_be_same()?;
        return print(context.output, &measured.to_json(), |output| measured.show(output));
    }
    if let Some(found) = beside(&dir.path, &args, &progress).await.transpose() {
        progress.end();
        let found = found?;
        return print(context.output, &found.document, |output| found.show(output));
    }
    let stores = Stores::of(&dir.path, url)?;
    let measured = measure(&dir.path, &stores, &args, &progress).await;
    progress.end();
    if args.keep.is_none() {
        for name in STORES {
            stores.named(name).remove().await?;
        }
    }
    let measured = measured?;
    measured.compared.must_be_same()?;
    print(context.output, &measured.to_json(), |output| measured.show(output))
}

/// What is measured instead of the whole; nothing where that is wanted.
async fn beside(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Option<Found>, CliError> {
    let Instead { replication: _, naive, growth, sections, verify, export } = args.instead;
    let found = match (naive, growth, sections, verify, export) {
        (true, ..) => naive::measure(dir, args, progress).await?,
        (_, Some(records), ..) => {
            growth::measure(dir, args, usize::try_from(records).unwrap_or(usize::MAX), progress).await?
        }
        (_, _, true, ..) => sections::measure(dir, args, progress).await?,
        (_, _, _, true, _) => verify::measure(dir, args, progress).await?,
        (.., true) => export::measure(dir, args, progress).await?,
        _ => return Ok(None),
    };
    Ok(Some(found))
}

fn print(output: Output, document: &Json, show: impl FnOnce(Output)) -> Result<Exit, CliError> {
    output.document(document);
    if !output.json {
        show(output);
    }
    Ok(Exit::Done)
}

/// Where a run's databases are.
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    fn make(keep: Option<&Path>) -> Result<Folder, CliError> {
        let path = match keep {
            Some(path) => path.to_owned(),
            None => {
                let random = random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
                let random = Digest::from_bytes(random).to_string();
                std::env::temp_dir().join(format!("lockstep-bench-{}", random.get(..16).unwrap_or_default()))
            }
        };
        std::fs::create_dir_all(&path).map_err(|error| file_error(&path, &error))?;
        if std::fs::read_dir(&path).map_err(|error| file_error(&path, &error))?.next().is_some() {
            return Err(CliError::new(Code::DirectoryExists, format!("{} is not empty", path.display())));
        }
        Ok(Folder { path, kept: keep.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

async fn measure(dir: &Path, stores: &Stores, args: &BenchArgs, progress: &Progress) -> Result<Measured, CliError> {
    let machine = machine::describe(dir)?;
    let spread = if args.contended { Spread::Contended } else { Spread::Even };
    let work = args.workload(spread);
    let (end_to_end, base, file) = (stores.named(NODE), stores.named(BEFORE), stores.named(FLOOR));
    let world = World::make_on(&dir.join("node"), &end_to_end).await?;
    load::open_records(&world, &work, progress).await?;
    end_to_end.copy(&base, &all_tables(&world.node.directory())).await?;
    let (from, batches) = (world.leaves().await?, *world.node.commits().borrow());
    let main = whole(&world, work, 1, progress).await?;
    let (many, batches) = (world.leaves().await?, *world.node.commits().borrow() - batches);
    progress.begin("one by one");
    let alone = load::alone(&world, &work, ALONE.min(work.intents / 10)).await?;
    let (to, peak_rss) = (world.leaves().await?, machine::peak_resident_bytes());
    let (tables, batch) = (all_tables(&world.node.directory()), world.node.config().batch);
    world.node.stop().await;

    let (other, other_intents) = other(dir, stores, work, progress).await?;

    let database = end_to_end.open().await?;
    let written = Written::read(database.as_ref(), &tables).await?;
    let floor = floor::lay(&written, Range { from, many, to }, &base, &file, progress).await?;
    progress.begin("comparing both databases");
    let beside = file.open().await?;
    let files = Files { base: &base, end_to_end: &end_to_end, floor: &file };
    let compared = compare(&tables, database.as_ref(), beside.as_ref(), &files).await?;
    Ok(Measured {
        machine,
        database: stores.kind(),
        work,
        batch,
        batches,
        main,
        other,
        other_intents,
        alone,
        floor,
        compared,
        peak_rss,
        all_intents: to - from,
    })
}

/// Signs a run's intents and sends them.
async fn whole(world: &World, work: Workload, seed: u64, progress: &Progress) -> Result<Sent, CliError> {
    progress.begin(&format!("signing {} intents", work.intents));
    let file = world.dir.join("intents.ndjson");
    let (author, path) = (world.author.clone(), file.clone());
    let signing = tokio::task::spawn_blocking(move || load::sign(&author, work, seed, &path));
    signing.await.map_err(|error| CliError::new(Code::Internal, error.to_string()))??;
    let sent = load::run(world, &file, work.intents, progress).await?;
    std::fs::remove_file(&file).map_err(|error| file_error(&file, &error))?;
    Ok(sent)
}

/// The run with the other spread, on a node of its own.
async fn other(dir: &Path, stores: &Stores, work: Workload, progress: &Progress) -> Result<(Sent, usize), CliError> {
    let spread = if work.spread == Spread::Even { Spread::Contended } else { Spread::Even };
    let work = Workload { intents: work.intents.min(OTHER), spread, ..work };
    let home = dir.join("other");
    let world = World::make_on(&home, &stores.named(OTHER_NODE)).await?;
    load::open_records(&world, &work, progress).await?;
    let sent = whole(&world, work, 2, progress).await?;
    world.node.stop().await;
    std::fs::remove_dir_all(&home).map_err(|error| file_error(&home, &error))?;
    Ok((sent, work.intents))
}
