//! Proof `readers`: what it costs a node that many follow it, and that nobody who follows is forgotten.
//!
//! One node, one process. First many readers who wait for something to happen, each on a connection of its own: what
//! one of them costs in memory, and how long one event is on its way to all. Then fewer readers and more and more
//! intents, as long as the 99th of a hundred events arrives within a second of being decided. Some readers read
//! nothing all the while. Every reader must have every event once, in order.

pub(super) mod crowd;
mod node;

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Job, Totals};
use crate::rust;
use crowd::Crowd;
use node::Node;

/// Readers who wait, of the whole proof.
const IDLE: u64 = 10_000;
/// Readers who follow much.
const BUSY: u64 = 1000;
/// Readers who never read.
const STUCK: usize = 8;
/// Bytes of the node's memory that a reader may cost, where there are enough of them to tell.
const BYTES_EACH: u64 = 25_000;
const ENOUGH: u64 = 1000;
/// How late the 99th of a hundred events may be.
const LATE: Duration = Duration::from_secs(1);
/// How long each rate is held.
const STEP: Duration = Duration::from_secs(3);
/// Intents a second to begin with, and at most.
const RATES: std::ops::Range<u64> = 25..20_000;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    rust::release()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let (idle, busy) = (job.scaled(IDLE), job.scaled(BUSY).max(20));
    job.cases(1, 1, |_, _, folder| runtime.block_on(one(folder, idle, busy)))
}

async fn one(folder: &Path, idle: u64, busy: u64) -> Result<Totals, String> {
    let node = Node::start(folder)?;
    let mut totals = Totals::default();
    let stuck = Crowd::stuck(node.followed(), STUCK).await?;
    wait(&node, idle, &mut totals).await?;
    follow(&node, busy, &mut totals).await?;
    totals.count("stuck_readers", STUCK as u64);
    drop(stuck);
    node.stop()?;
    Ok(totals)
}

/// Many who wait, and one event to all of them.
async fn wait(node: &Node, idle: u64, totals: &mut Totals) -> Result<(), String> {
    let before = node.resident()?;
    let crowd = Crowd::gather(node.followed(), idle).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = node.resident()?.saturating_sub(before) / idle;
    node.submit(1).await?;
    crowd.all_have(1, LONG).await;
    let heard = crowd.heard();
    totals.count("idle_readers", idle);
    totals.count("bytes_each", each);
    totals.count("one_event_p99_ms", heard.p99().as_millis() as u64);
    totals.must("idle_complete", heard.is_whole(1), || format!("one event did not reach all: {}", heard.words()));
    if idle >= ENOUGH {
        totals.must("idle_cheap", each <= BYTES_EACH, || format!("a reader who waits costs {each} bytes"));
    }
    Ok(())
}

/// Fewer who follow more and more, until it comes late.
async fn follow(node: &Node, busy: u64, totals: &mut Totals) -> Result<(), String> {
    let crowd = Crowd::gather(node.followed(), busy).await?;
    let (mut rate, mut held, mut p99, mut events) = (RATES.start, 0, Duration::ZERO, 0);
    while RATES.contains(&rate) {
        let (began, sent) = (Instant::now(), node.submit_at(rate, STEP).await?);
        let took = began.elapsed();
        events += sent;
        crowd.all_have(events, LONG).await;
        let heard = crowd.heard();
        totals.must("steps_complete", heard.is_whole(events), || format!("at {rate} a second: {}", heard.words()));
        let late = heard.p99();
        crowd.forget_delays();
        println!("{busy} readers, {rate} intents a second: p99 {late:?}, {sent} sent in {took:?}");
        // Whoever cannot submit as fast says nothing about readers.
        if late > LATE || took > STEP * 3 / 2 {
            break;
        }
        (held, p99, rate) = (rate, late, rate * 2);
    }
    totals.count("busy_readers", busy);
    totals.count("intents_per_s", held);
    totals.count("p99_ms", p99.as_millis() as u64);
    totals.must("follow_in_time", held > 0, || "not even the lowest rate arrives within a second".to_owned());
    Ok(())
}
