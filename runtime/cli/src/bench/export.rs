//! `lockstep bench --export`: reading in bulk what the database would export itself.
//!
//! All records of a spec come as NDJSON from a node that runs, and rows as CSV from `lockstep sql`. Beside each stands
//! one statement through the same driver whose rows are written as they come: the same bytes, which is looked at.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, json};
use lockstep_sqlite::export;

use super::BenchArgs;
use super::found::{Found, row, settings};
use super::load::{self, Spread};
use super::machine;
use super::progress::Progress;
use super::report::number;
use super::world::{AUTHOR, World, internal};
use crate::client::Client;
use crate::error::{CliError, file_error};
use crate::organisation::Organisation;
use crate::running::Running;

/// How often each is done; the fastest counts.
const TIMES: usize = 3;

/// The lines of `/v1/records/bulletin`, put together by the database.
const LINES: &str = r#"SELECT '{"contract":"' || substr(lockstep_contract, 1, instr(lockstep_contract, '@') - 1)
 || '","contract_version":"' || substr(lockstep_contract, instr(lockstep_contract, '@') + 1) || '","head":"' || lockstep_head
 || '","hidden":' || coalesce(lockstep_hidden, '[]') || ',"record_id":"' || record_id || '","scope":"' || lockstep_scope
 || '","sections":{"entries":' || coalesce(entries, 'null') || ',"parties":' || coalesce(parties, 'null')
 || ',"text":' || coalesce(text, 'null') || '},"seq":' || lockstep_seq || ',"spec":"bulletin","updated_at":"'
 || lockstep_updated_at || '"}' FROM bulletin ORDER BY record_id"#;

/// What is read as CSV: the records, and their history.
const TABLES: [&str; 2] = ["bulletin", "lockstep_event"];

/// One of the readings.
struct Read {
    rows: u64,
    bytes: u64,
    lockstep: Duration,
    bare: Duration,
}

pub(super) async fn measure(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Found, CliError> {
    let machine = machine::describe(dir)?;
    let work = args.workload(Spread::Even);
    let world = World::make(&dir.join("node")).await?;
    load::open_records(&world, &work, progress).await?;
    super::whole(&world, work, 1, progress).await?;
    let database = world.file();
    world.node.stop().await;
    let files = Files { lockstep: dir.join("lockstep.out"), bare: dir.join("bare.out"), database };
    progress.begin("NDJSON of all records");
    let lines = lines(dir, &files).await?;
    let mut read = vec![("ndjson_records", lines)];
    for (name, table) in ["csv_records", "csv_events"].into_iter().zip(TABLES) {
        progress.begin(&format!("CSV of {table}"));
        read.push((name, csv(dir, &files, table).await?));
    }
    let mut document = json!({"machine": machine, "settings": settings(&work)});
    for (name, read) in &read {
        if let Json::Object(document) = &mut document {
            document.insert(*name, read.to_json());
        }
    }
    let members = ["rows", "bytes", "lockstep_mb_per_s", "bare_mb_per_s", "ratio"];
    let rows = read.iter().map(|(name, _)| row(name, document.get(name), &members)).collect();
    let table = (vec!["", "rows", "bytes", "lockstep MB/s", "bare MB/s", "ratio"], rows);
    Ok(Found { document, tables: vec![table] })
}

/// Where what was read is put.
struct Files {
    lockstep: PathBuf,
    bare: PathBuf,
    database: PathBuf,
}

fn create(path: &Path) -> Result<File, CliError> {
    File::create(path).map_err(|error| file_error(path, &error))
}

/// All records of the spec, over HTTP from a node's process.
async fn lines(dir: &Path, files: &Files) -> Result<Read, CliError> {
    let mut node = Organisation::new("node", dir);
    node.start()?;
    let token = node.does(&["token", "--as", AUTHOR, "--ttl", "1h"])?;
    let token = token.get("token").and_then(Json::as_str).unwrap_or_default().to_owned();
    let client = Client::new(Running::find(&node.dir).ok_or_else(|| internal("the node does not run"))?);
    let (mut lockstep, mut bare) = (Duration::MAX, Duration::MAX);
    for _ in 0..TIMES {
        let mut out = BufWriter::new(create(&files.lockstep)?);
        let started = Instant::now();
        client.download("/v1/records/bulletin", &token, |data| out.write_all(data).map_err(internal)).await?;
        out.flush().map_err(internal)?;
        lockstep = lockstep.min(started.elapsed());
        let mut out = BufWriter::new(create(&files.bare)?);
        let started = Instant::now();
        export::lines(&files.database, LINES, &mut out).await?;
        out.flush().map_err(internal)?;
        bare = bare.min(started.elapsed());
    }
    node.stop()?;
    files.read(0, lockstep, bare)
}

/// A table, by `lockstep sql` as anyone runs it.
async fn csv(dir: &Path, files: &Files, table: &str) -> Result<Read, CliError> {
    let sql = format!("SELECT * FROM {table}");
    let program = std::env::current_exe().map_err(internal)?;
    let (mut lockstep, mut bare) = (Duration::MAX, Duration::MAX);
    for _ in 0..TIMES {
        let mut command = Command::new(&program);
        command.arg("--dir").arg(dir.join("node")).args(["sql", &sql, "--csv", "--limit", "1000000000"]);
        command.stdin(Stdio::null()).stdout(create(&files.lockstep)?);
        let started = Instant::now();
        let ended = command.status().map_err(internal)?;
        lockstep = lockstep.min(started.elapsed());
        if !ended.success() {
            return Err(internal("lockstep sql ended with an error"));
        }
        let mut out = BufWriter::new(create(&files.bare)?);
        let started = Instant::now();
        export::csv(&files.database, &sql, &mut out).await?;
        out.flush().map_err(internal)?;
        bare = bare.min(started.elapsed());
    }
    files.read(1, lockstep, bare)
}

impl Files {
    /// What was read, which must be the same; `header` lines of it are no rows.
    fn read(&self, header: u64, lockstep: Duration, bare: Duration) -> Result<Read, CliError> {
        let contents = |path: &Path| std::fs::read(path).map_err(|error| file_error(path, &error));
        let (one, other) = (contents(&self.lockstep)?, contents(&self.bare)?);
        if one != other {
            let at = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
            let lengths = format!("{} and {} bytes", one.len(), other.len());
            return Err(internal(format!("what was read differs from the database's export at byte {at}; {lengths}")));
        }
        let lines = one.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(Read { rows: lines.saturating_sub(header), bytes: one.len() as u64, lockstep, bare })
    }
}

impl Read {
    fn to_json(&self) -> Json {
        let seconds = |time: Duration| time.as_secs_f64().max(f64::EPSILON);
        let rate = |time: Duration| number(self.bytes as f64 / 1e6 / seconds(time), 1);
        json!({
            "rows": self.rows, "bytes": self.bytes, "lockstep_s": number(seconds(self.lockstep), 4),
            "bare_s": number(seconds(self.bare), 4), "lockstep_mb_per_s": rate(self.lockstep), "bare_mb_per_s": rate(self.bare),
            "ratio": number(seconds(self.bare) / seconds(self.lockstep), 3)
        })
    }
}
