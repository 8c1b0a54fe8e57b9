//! `lockstep bench --verify`: events a second that `lockstep verify` checks, by core, beside what its signature checks
//! and hashes alone take.
//!
//! How many there are, and of how many bytes, is counted where they are made while the audit runs; they are then done
//! again as often, with nothing around them.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::audit::Report;
use lockstep_core::crypto::{Context as Place, Count, Digest, Envelope, PublicKey, Salt, Signature, Tally};
use lockstep_core::crypto::{commit_canonical, tally};
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::tables::Cell;

use super::BenchArgs;
use super::found::{Found, row, settings};
use super::load::{self, Spread};
use super::machine;
use super::progress::Progress;
use super::report::number;
use super::world::{World, internal};
use crate::check::check;
use crate::context::{Access, Context, Home, open_database};
use crate::error::CliError;
use crate::output::Output;

/// Signatures that are checked by turns.
const SIGNED: usize = 1_000;

/// An audit, with what it cost.
struct Audited {
    report: Report,
    took: Duration,
    spent: Duration,
    tally: Tally,
}

/// What the signature checks and hashes alone took.
struct Bare {
    signatures: Duration,
    hashes: Duration,
    commitments: Duration,
}

pub(super) async fn measure(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Found, CliError> {
    let machine = machine::describe(dir)?;
    let work = args.workload(Spread::Even);
    let world = World::make(&dir.join("node")).await?;
    load::open_records(&world, &work, progress).await?;
    super::whole(&world, work, 1, progress).await?;
    let (key, home) = (world.author.public(), dir.join("node"));
    world.node.stop().await;
    let output = Output { json: true, quiet: true };
    let home = Context { dir: Some(home), database: None, actor: None, output }.home()?;
    progress.begin("verifying");
    let audited = tokio::task::spawn_blocking({
        let (home, runtime) = (home.clone(), tokio::runtime::Handle::current());
        // On one thread from end to end, since that is what counts.
        move || runtime.block_on(audit(&home))
    });
    let audited = audited.await.map_err(internal)??;
    progress.begin("signatures and hashes alone");
    let bare = bare(&audited.tally, &signed(&home).await?, &key)?;
    Ok(told(machine, settings(&work), &audited, &bare))
}

async fn audit(home: &Home) -> Result<Audited, CliError> {
    let (before, process, started) = (tally(), machine::process_time(), Instant::now());
    let report = check(home, &home.database, None, false, &mut |_| {}).await?;
    let spent = machine::process_time().saturating_sub(process);
    if !report.is_clean() {
        return Err(internal("the database that was measured does not verify"));
    }
    Ok(Audited { report, took: started.elapsed(), spent, tally: tally().since(before) })
}

/// Envelopes of intents, as they were signed.
async fn signed(home: &Home) -> Result<Vec<Envelope>, CliError> {
    let database = open_database(&home.database, Access::Read).await?;
    let answer = database.query("SELECT envelope FROM lockstep_intent", SIGNED).await?;
    let envelopes = answer.rows.iter().map(|row| {
        let bytes = row.first().and_then(Cell::as_bytes).unwrap_or_default();
        let json = Json::parse(bytes, &Limits::default()).map_err(internal)?;
        Envelope::from_json(json.get("envelope").unwrap_or(&json)).map_err(internal)
    });
    envelopes.collect()
}

/// Does the same number of checks and hashes, of as many bytes; what they take is processor time, too.
fn bare(tally: &Tally, envelopes: &[Envelope], key: &PublicKey) -> Result<Bare, CliError> {
    let signature = |envelope: &Envelope| {
        let signature = envelope.signatures.first().and_then(|one| Signature::from_bytes(&one.sig).ok())?;
        Some((envelope.pae(), signature))
    };
    let signed: Vec<_> = envelopes.iter().filter_map(signature).collect();
    let before = machine::process_time();
    for (message, signature) in signed.iter().cycle().take(times(tally.signatures)) {
        if !key.verify(message, signature) {
            return Err(internal("a signature that verified does not"));
        }
    }
    let signatures = machine::process_time().saturating_sub(before);
    let content = vec![b'x'; mean(tally.hashes)];
    let before = machine::process_time();
    for _ in 0..tally.hashes.calls {
        black_box(Digest::of(black_box(&content)));
    }
    let hashes = machine::process_time().saturating_sub(before);
    let (salt, place) =
        (Salt::from([7; 32]), Place { domain: "", network: None, record: None, section: None, seq: None });
    let around = br#"{"content":,"domain":""}"#.len();
    let content = vec![b'x'; mean(tally.commitments).saturating_sub(around)];
    let before = machine::process_time();
    for _ in 0..tally.commitments.calls {
        black_box(commit_canonical(&salt, &place, black_box(&content)));
    }
    Ok(Bare { signatures, hashes, commitments: machine::process_time().saturating_sub(before) })
}

fn times(count: Count) -> usize {
    usize::try_from(count.calls).unwrap_or(usize::MAX)
}

fn mean(count: Count) -> usize {
    usize::try_from(count.bytes.div_ceil(count.calls.max(1))).unwrap_or(usize::MAX)
}

fn told(machine: Json, settings: Json, audited: &Audited, bare: &Bare) -> Found {
    let events = audited.report.events;
    let alone = bare.signatures + bare.hashes + bare.commitments;
    let each = |time: Duration| number(time.as_secs_f64() * 1e6 / events.max(1) as f64, 2);
    let rate = |time: Duration| number(events as f64 / time.as_secs_f64().max(f64::EPSILON), 1);
    let counted =
        |count: Count, took: Duration| json!({"calls": count.calls, "bytes": count.bytes, "us_an_event": each(took)});
    let Tally { signatures, hashes, commitments } = audited.tally;
    let document = json!({
        "machine": machine, "settings": settings, "events": events,
        "verify": {
            "events_per_s": rate(audited.took), "events_per_s_per_core": rate(audited.spent),
            "cpu_us_an_event": each(audited.spent), "seconds": number(audited.took.as_secs_f64(), 3)
        },
        "bare": {
            "events_per_s_per_core": rate(alone), "cpu_us_an_event": each(alone),
            "signatures": counted(signatures, bare.signatures), "hashes": counted(hashes, bare.hashes),
            "commitments": counted(commitments, bare.commitments)
        },
        "ratio": number(alone.as_secs_f64() / audited.spent.as_secs_f64().max(f64::EPSILON), 3),
        "peak_rss_bytes": machine::peak_resident_bytes()
    });
    let part = |name: &str| document.get(name);
    let members = ["events_per_s_per_core", "cpu_us_an_event"];
    let rates = vec![row("verify", part("verify"), &members), row("bare", part("bare"), &members)];
    let of_bare =
        |name: &str| row(name, part("bare").and_then(|bare| bare.get(name)), &["calls", "bytes", "us_an_event"]);
    let counts = ["signatures", "hashes", "commitments"].map(of_bare);
    let tables = vec![
        (vec!["", "events/s a core", "CPU µs an event"], rates),
        (vec!["alone", "calls", "bytes", "µs an event"], Vec::from(counts)),
        (vec!["bare by verify", ""], vec![row("ratio", Some(&document), &["ratio"])]),
    ];
    Found { tables, document }
}
