//! `lockstep bench --sections`: one value of a section is changed, in a section of 4 KiB and in one of 4 MiB.
//!
//! What a contract does goes by what it looks at and changes, not by what else the section holds; what is written is
//! the whole section, so that its canonical form, its hash and its row cost what they cost. Each is told apart.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, Limits, Object, json};
use lockstep_core::tables::Cell;
use lockstep_node::Spent;

use super::BenchArgs;
use super::found::{Found, row};
use super::machine::{self, percentile};
use super::progress::Progress;
use super::report::{micros, number};
use super::world::{World, internal, text};
use crate::error::CliError;

/// Entries of the two sections, and bytes of each value: 4 KiB and 4 MiB of them.
const ENTRIES: [usize; 2] = [4, 4_096];
const VALUE: usize = 1_024;

/// Changes before the clock runs, and most that are measured.
const WARM: usize = 5;
const MOST: usize = 100;

/// How long an outcome may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a change takes.
struct Cost {
    record: usize,
    entries: usize,
    bytes: usize,
    times: Vec<Duration>,
    spent: Spent,
    database: Duration,
    canonicalise: Duration,
}

pub(super) async fn measure(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Found, CliError> {
    let machine = machine::describe(dir)?;
    let changes = usize::try_from(args.intents / 10).unwrap_or(MOST).min(MOST);
    let world = World::make(&dir.join("node")).await?;
    let mut costs = Vec::new();
    for (record, entries) in ENTRIES.into_iter().enumerate() {
        progress.begin(&format!("a section of {} bytes", entries * VALUE));
        costs.push(Cost::open(&world, record, entries).await?);
    }
    progress.begin("one value after another");
    // By turns, so that neither finds the processor's caches as it left them itself.
    for change in 0..WARM + changes {
        for cost in &mut costs {
            cost.change(&world, change).await?;
        }
    }
    for cost in &mut costs {
        cost.canonicalise(&world).await?;
    }
    world.node.stop().await;
    let guest = |cost: &Cost| cost.each(cost.spent.execute);
    let ratio = match costs.as_slice() {
        [small, large] => guest(large).as_secs_f64() / guest(small).as_secs_f64().max(f64::EPSILON),
        _ => 0.0,
    };
    let told: Vec<Json> = costs.iter().map(Cost::to_json).collect();
    let members = ["bytes", "guest_us", "check_us", "canonicalise_us", "hash_us", "write_us", "p50_us"];
    let rows = told.iter().map(|cost| row("one value", Some(cost), &members)).collect();
    let mut header = vec!["changed"];
    header.extend(["bytes", "guest", "check", "canonicalise", "hash", "write", "all, p50 (µs)"]);
    let ratios = vec![row("4 MiB by 4 KiB", Some(&json!({"ratio": number(ratio, 2)})), &["ratio"])];
    let settings = json!({"value_bytes": VALUE, "changes": changes, "database": "sqlite"});
    let document = json!({"machine": machine, "settings": settings, "sections": told, "guest_ratio": number(ratio, 3)});
    Ok(Found { document, tables: vec![(header, rows), (vec!["guest", "ratio"], ratios)] })
}

fn value(seed: u64) -> String {
    text(seed, VALUE)
}

async fn submit(world: &World, signed: Vec<u8>) -> Result<(), CliError> {
    world.node.submit(signed, PATIENCE).await?;
    Ok(())
}

impl Cost {
    /// Opens a record with so many entries.
    async fn open(world: &World, record: usize, entries: usize) -> Result<Cost, CliError> {
        let named: Object = (0..entries).map(|entry| (format!("e{entry}"), value(entry as u64))).collect();
        let opened = json!({"title": "Entries", "body": "-", "entries": Json::Object(named)});
        submit(world, world.author.signed("open", record, opened)?).await?;
        let (spent, database, canonicalise) = Default::default();
        Ok(Cost { record, entries, bytes: 0, times: Vec::new(), spent, database, canonicalise })
    }

    /// Changes one entry; the first changes are not counted.
    async fn change(&mut self, world: &World, change: usize) -> Result<(), CliError> {
        let name = format!("e{}", change * 7 % self.entries);
        let arguments = json!({"name": name, "value": value((1 << 46) + change as u64)});
        let signed = world.author.signed("enter", self.record, arguments)?;
        let (before, database, started) = (world.node.spent(), machine::database_time(), Instant::now());
        submit(world, signed).await?;
        if change >= WARM {
            self.times.push(started.elapsed());
            self.spent = self.spent.plus(world.node.spent().since(before));
            self.database += machine::database_time().saturating_sub(database);
        }
        Ok(())
    }

    /// Notes the bytes of the section as it is stored, and what it takes to put it into its canonical form.
    async fn canonicalise(&mut self, world: &World) -> Result<(), CliError> {
        let sql = format!("SELECT entries, lockstep_seq FROM bulletin WHERE record_id = 'acme:b{}'", self.record);
        let answer = world.node.database().query(&sql, 1).await?;
        let cells = answer.rows.first().map(Vec::as_slice).unwrap_or_default();
        if cells.get(1).and_then(Cell::as_count) != Some((1 + WARM + self.times.len()) as u64) {
            return Err(internal("a change was not applied"));
        }
        let stored = cells.first().and_then(Cell::as_str).unwrap_or_default();
        let content = Json::parse(stored.as_bytes(), &Limits::default()).map_err(internal)?;
        let mut took = Vec::new();
        for _ in 0..self.times.len() {
            let started = Instant::now();
            let canonical = content.canonical();
            took.push(started.elapsed());
            if canonical.len() != stored.len() {
                return Err(internal("a stored section is not canonical"));
            }
        }
        (self.bytes, self.canonicalise) = (stored.len(), percentile(&mut took, 50));
        Ok(())
    }

    fn each(&self, time: Duration) -> Duration {
        time / u32::try_from(self.times.len().max(1)).unwrap_or(u32::MAX)
    }

    fn to_json(&self) -> Json {
        let Spent { verify, execute, entitle, seal, project, commit } = self.spent;
        let checked = self.each(entitle).saturating_sub(self.canonicalise);
        json!({
            "bytes": self.bytes, "verify_us": micros(self.each(verify)), "guest_us": micros(self.each(execute)),
            "check_us": micros(checked), "canonicalise_us": micros(self.canonicalise), "hash_us": micros(self.each(seal)),
            "write_us": micros(self.each(project + commit + self.database)), "p50_us": micros(percentile(&mut self.times.clone(), 50))
        })
    }
}
