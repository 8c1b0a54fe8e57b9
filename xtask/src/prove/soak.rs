//! Proof `soak`: an hour of ordinary work changes nothing about a node but its database.
//!
//! One node at half of what its clients can get out of it, with readers who follow. In the middle the key of a seller
//! who goes on selling is rotated, and a new version of the contract is deployed; nobody waits for either. Memory,
//! latency and processor time are looked at in windows, a minute each at full scale: after a warm-up they must not grow
//! (`windows`). Every reader has every event once, in order; the node ends when it is asked to; `lockstep verify` is clean.

mod senders;
mod windows;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::kill::world::{Person, World};
use super::readers::crowd::{Crowd, Followed};
use super::{Dice, Job, Totals};
use crate::rust;
use crate::shell::command;
use senders::{Pace, People, Sender};
use windows::{Course, Window};

/// How long the whole proof takes, and the shortest.
const WHOLE: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(60);
/// The longest window; a short run has as many, which are shorter.
const WINDOW: Duration = Duration::from_secs(60);
const WINDOWS: u32 = 20;
/// How long clients submit as fast as they can, to find out what half of it is.
const RUSH: std::ops::Range<Duration> = Duration::from_secs(5)..Duration::from_secs(60);
/// Clients, each with one intent under way, and readers.
const SENDERS: u64 = 8;
const READERS: u64 = 20;
/// Bytes of disk that an intent may take, generously, and the share of what is free that a run may fill.
const BYTES_EACH: u64 = 16 << 10;
const SHARE: u64 = 2;
/// How long readers may take to hear of what was decided last.
const LONG: Duration = Duration::from_secs(60);

const FIRST: &str = "examples/house-sale/package/house_sale-1.0.0.lockstep";
const SECOND: &str = "examples/house-sale-1.1/package/house_sale-1.1.0.lockstep";
const PEOPLE: [Person; 3] =
    [("alice", "acme", &["seller"]), ("carol", "acme", &["seller"]), ("bob", "buyer", &["buyer"])];

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    rust::release()?;
    let lasts = WHOLE.mul_f64(job.scale).max(SHORTEST);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    job.cases(1, 1, |_, dice, folder| one(&runtime, folder, dice, lasts))
}

fn one(runtime: &tokio::runtime::Runtime, folder: &Path, dice: &mut Dice, lasts: Duration) -> Result<Totals, String> {
    let world = World::of(folder, &PEOPLE, &[FIRST])?;
    let token = world.does(&["token", "--as", "bob", "--ttl", "12h"])?;
    let token = token.get("token").and_then(lockstep_core::json::Json::as_str).ok_or("no token")?;
    let people = People::of(&world)?;
    let mut totals = Totals::default();
    let (mut process, address) = world.start(&[])?;
    let crowd = runtime.block_on(Crowd::gather(Followed { address: &address, token }, READERS))?;
    let mut senders: Vec<Sender<'_>> =
        (0..SENDERS).map(|number| Sender::new(number, &people, Dice::of(dice.next(), number))).collect();

    let rush = (lasts / WINDOWS).clamp(RUSH.start, RUSH.end);
    let rushed = rate(&mut senders, &address, rush)?;
    let half = (rushed / 2).clamp(1, room(folder, lasts));
    println!("{rushed} intents a second at most; {half} a second for {lasts:?}");
    let course = Soak { world: &world, people: &people, address: &address, process: process.id(), crowd: &crowd };
    let course = course.lasts(&mut senders, half, lasts, &mut totals)?;

    totals.count("full_rate_per_s", rushed);
    totals.count("rate_per_s", half);
    totals.count("seconds", lasts.as_secs());
    course.judge(half, &mut totals);
    ended(&mut senders, &mut totals);
    let applied = totals.counts.get("applied").copied().unwrap_or(0);
    runtime.block_on(crowd.all_have(applied, LONG));
    let heard = crowd.heard();
    totals.must("readers_complete", heard.is_whole(applied), || {
        format!("{applied} events, and readers have {}", heard.words())
    });
    let stopped = process.stop()?;
    totals.must("clean_ends", stopped.success(), || format!("asked to end, the node ended with {stopped}"));
    let verified = world.verify(&[]);
    totals.must("verified", verified.is_ok(), || format!("verify: {verified:?}"));
    Ok(totals)
}

/// As many intents a second as the disk has room for.
fn room(folder: &Path, lasts: Duration) -> u64 {
    let shown = folder.display().to_string();
    let free = command("df").args(["--output=avail", "-B1", &shown]).quietly();
    let free = free.and_then(|text| text.lines().last()?.trim().parse::<u64>().ok()).unwrap_or(u64::MAX);
    (free / SHARE / BYTES_EACH / lasts.as_secs().max(1)).max(1)
}

/// How many intents a second all senders get answered together, as fast as they can.
fn rate(senders: &mut [Sender<'_>], address: &str, lasts: Duration) -> Result<u64, String> {
    let until = Instant::now() + lasts;
    let done = std::thread::scope(|scope| {
        let running: Vec<_> = senders
            .iter_mut()
            .map(|sender| scope.spawn(move || sender.drive(address, &Pace { every: None, until })))
            .collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| "a sender broke off".to_owned())?)
    });
    done?;
    let answered = senders.iter().map(|sender| sender.take_latencies().len() as u64).sum::<u64>();
    Ok(answered / lasts.as_secs().max(1))
}

/// What senders counted.
fn ended(senders: &mut [Sender<'_>], totals: &mut Totals) {
    let (mut first, mut second) = (0, 0);
    for sender in senders {
        totals.add(std::mem::take(&mut sender.totals));
        first += sender.under_first;
        second += sender.under_second;
    }
    totals.count("intents_under_the_first_contract", first);
    totals.count("intents_under_the_second_contract", second);
    totals.must("contract_taken_over", second > 0, || "no intent was judged by the contract deployed last".to_owned());
}

/// A node under way.
struct Soak<'a> {
    world: &'a World,
    people: &'a People,
    address: &'a str,
    process: u32,
    crowd: &'a Crowd,
}

impl Soak<'_> {
    /// Senders at their pace on threads of their own; here the windows, and what is done in the middle.
    fn lasts(
        &self,
        senders: &mut [Sender<'_>],
        rate: u64,
        lasts: Duration,
        totals: &mut Totals,
    ) -> Result<Course, String> {
        let window = (lasts / WINDOWS).min(WINDOW);
        let begun = Instant::now();
        let every = Duration::from_secs_f64(SENDERS as f64 / rate as f64);
        let over = AtomicBool::new(false);
        self.crowd.forget_delays();
        std::thread::scope(|scope| {
            let latencies: Vec<_> = senders.iter().map(Sender::latencies).collect();
            let running: Vec<_> = senders
                .iter_mut()
                .map(|sender| {
                    let (pace, over) = (Pace { every: Some(every), until: begun + lasts }, &over);
                    scope.spawn(move || {
                        let driven = sender.drive(self.address, &pace);
                        over.fetch_or(driven.is_err(), Ordering::Relaxed);
                        driven
                    })
                })
                .collect();
            let (mut course, mut before) = (Course::of(window), self.worked());
            let mut middle = Some(begun + lasts / 2);
            let count = (lasts.as_secs_f64() / window.as_secs_f64()).round() as u32;
            for number in 1..=count {
                let resident = self.resident_until(begun + window * number, &over)?;
                let took: Vec<Duration> = latencies.iter().flat_map(senders::Latencies::take).collect();
                let worked = std::mem::replace(&mut before, self.worked());
                let heard = self.crowd.heard();
                self.crowd.forget_delays();
                let seen = Window::of(resident, took, before.saturating_sub(worked), heard.p99());
                println!("{:>5} s  {}", (window * number).as_secs(), seen.words());
                course.push(seen);
                if middle.is_some_and(|middle| middle <= Instant::now()) {
                    middle = None;
                    self.changes(totals)?;
                }
            }
            running.into_iter().try_for_each(|one| one.join().map_err(|_| "a sender broke off".to_owned())?)?;
            Ok(course)
        })
    }

    /// Processor time that the node has used.
    fn worked(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let ticks = after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        // A hundred a second wherever Linux runs.
        Duration::from_millis(10 * ticks)
    }

    /// A key is rotated, and a contract deployed, while everybody goes on.
    fn changes(&self, totals: &mut Totals) -> Result<(), String> {
        self.people.rotate_carol(self.world, self.address, totals)?;
        self.world.deploy(SECOND)?;
        totals.count("keys_rotated", 1);
        totals.count("contracts_deployed", 1);
        Ok(())
    }

    /// What the node has of memory, in KiB, every half a second until a moment.
    fn resident_until(&self, until: Instant, over: &AtomicBool) -> Result<Vec<u64>, String> {
        let mut found = Vec::new();
        while Instant::now() < until && !over.load(Ordering::Relaxed) {
            let path = format!("/proc/{}/status", self.process);
            let status = std::fs::read_to_string(path).map_err(|error| format!("the node is gone: {error}"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            found.extend(line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()));
            std::thread::sleep(Duration::from_millis(500).min(until.saturating_duration_since(Instant::now())));
        }
        Ok(found)
    }
}
