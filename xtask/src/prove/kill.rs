//! Proof `kill`: what a node acknowledged survives, whatever kills it and whenever.
//!
//! Most cases kill a node again and again with a signal that nothing can answer: under load, while it starts and
//! recovers, while it drains. Clients submit what they signed ahead, many at once, write down what they are told, and
//! submit again what they were not. One case watches the node's system calls; the others stop it, or fail it, at each of
//! the calls that a commit is made of (`trace`, `points`, `faults`).
//!
//! The judge is a program of its own, `judge.py`: it knows the clients' record and the tables, and asks nobody else.

pub(super) mod clients;
pub(super) mod door;
mod faults;
mod image;
mod judge;
pub(super) mod points;
mod trace;
mod wal;
pub(super) mod world;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockstep_core::clock::Clock;
use lockstep_node::SystemClock;

use super::{Dice, Job, Totals};
use crate::rust;
use clients::{Client, Life, Signers};
use judge::Judge;
use world::{Process, World};

/// Cases of the whole proof, and kills in each.
const CASES: u64 = 44;
const KILLS: u64 = 25;
/// Clients, and how many of them submit many intents with each request.
const CLIENTS: u64 = 16;
const WITH_MANY: u64 = 4;
/// The longest that a node lives under load, and drains, before it is killed.
const LONGEST_LIFE_MS: u64 = 400;
const LONGEST_DRAIN_MS: u64 = 60;
/// Calls after which the machine stops; more than a recording has, so that it stops after each.
const POINTS: u64 = 4000;
/// The judge looks after so many kills, and at the end.
const JUDGED: u64 = 8;

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    if is_missing("python") {
        println!("skipped: no python for the judge");
        return Ok(());
    }
    rust::release()?;
    let (kills, faults) = (job.scaled(CASES), job.scaled(faults::cases()));
    let points = job.scaled(POINTS) as usize;
    let watched = if is_missing("strace") { 0 } else { 1 + faults };
    if watched == 0 {
        println!("skipped: no strace to watch calls with, and to make them fail");
    }
    job.cases(kills + watched, 1, |number, dice, folder| match number.checked_sub(kills) {
        None => killed(dice, folder),
        Some(0) => timed("a recording, stopped at its calls", || points::recorded(dice, folder, points)),
        Some(number) => timed("calls that fail", || faults::failed(number - 1, faults, dice, folder)),
    })
}

/// Whether `cargo xtask test` did not find a tool.
pub(super) fn is_missing(tool: &str) -> bool {
    std::env::var("LOCKSTEP_MISSING").is_ok_and(|missing| missing.split(',').any(|one| one == tool))
}

fn timed(what: &str, work: impl FnOnce() -> Result<Totals, String>) -> Result<Totals, String> {
    let begun = Instant::now();
    let totals = work()?;
    println!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    Ok(totals)
}

/// When a node is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Starting,
    Loaded,
    Draining,
}

/// A node that is killed again and again, and its clients.
struct Story<'a> {
    world: World,
    judge: Judge,
    clients: Vec<Client>,
    record: PathBuf,
    dice: &'a mut Dice,
    totals: Totals,
    /// How long it took the node to start, the last time.
    start: Duration,
    lives: u64,
    unheard: BTreeSet<u64>,
}

fn killed(dice: &mut Dice, folder: &Path) -> Result<Totals, String> {
    let begun = Instant::now();
    let mut story = Story::begin(dice, folder)?;
    for kill in 1..=KILLS {
        story.kill()?;
        if kill % JUDGED == 0 {
            story.judged()?;
        }
    }
    let totals = story.end()?;
    println!("{KILLS} kills in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(totals)
}

impl Story<'_> {
    fn begin<'a>(dice: &'a mut Dice, folder: &Path) -> Result<Story<'a>, String> {
        let world = World::make(folder)?;
        let signers = Signers::of(&world)?;
        let mut clients: Vec<Client> = (0..CLIENTS)
            .map(|number| Client::new(&signers, Dice::of(dice.next(), number), number < WITH_MANY))
            .collect();
        let judge = Judge::of(&world)?;
        let (start, record) = (Duration::from_millis(100), folder.join("record.ndjson"));
        // Trades need their registers: one client opens them before anybody else comes.
        clients.iter_mut().last().ok_or("no clients")?.sign_registers()?;
        let (totals, unheard) = (Totals::default(), BTreeSet::new());
        let mut story = Story { world, judge, clients, record, dice, totals, start, lives: 0, unheard };
        let (mut process, address, began) = story.start()?;
        let life = Life { number: 0, address: &address, began: &began, ends: false };
        story.clients.iter_mut().last().ok_or("no clients")?.live(life);
        process.stop()?;
        Ok(story)
    }

    fn start(&mut self) -> Result<(Process, String, String), String> {
        let (begun, began) = (Instant::now(), SystemClock.now().to_string());
        let (process, address) = self.world.start(&[])?;
        self.start = begun.elapsed();
        Ok((process, address, began))
    }

    fn kill(&mut self) -> Result<(), String> {
        self.lives += 1;
        match self.dice.below(100) {
            0..=14 => self.kill_starting(),
            15..=29 => self.kill_loaded(When::Draining),
            _ => self.kill_loaded(When::Loaded),
        }
    }

    /// Kills a node that starts, at any moment of what that takes.
    fn kill_starting(&mut self) -> Result<(), String> {
        let mut process = self.world.begin(&[])?;
        std::thread::sleep(self.start.mul_f64(self.dice.below(1000) as f64 / 1000.0));
        let lived = process.kill();
        self.note(When::Starting, lived, 0);
        Ok(())
    }

    /// Kills a node that works, or that was asked to end and drains.
    fn kill_loaded(&mut self, when: When) -> Result<(), String> {
        self.clients.iter_mut().try_for_each(|client| client.sign_ahead(usize::MAX))?;
        let (mut process, address, began) = self.start()?;
        let life = Life { number: self.lives, address: &address, began: &began, ends: false };
        let lives = Duration::from_millis(20 + self.dice.below(LONGEST_LIFE_MS));
        let drains = Duration::from_millis(self.dice.below(LONGEST_DRAIN_MS));
        let lived = std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(move || client.live(life));
            }
            std::thread::sleep(lives);
            if when == When::Draining {
                process.signal("TERM");
                std::thread::sleep(drains);
            }
            process.kill()
        });
        let cut_off = self.clients.iter().map(|client| client.cut_off).sum();
        self.note(when, lived, cut_off);
        self.write()
    }

    fn note(&mut self, when: When, lived: bool, cut_off: u64) {
        if !lived {
            // A drain that was over before the signal is no kill; any other end by itself is a failure.
            match when {
                When::Draining => self.totals.count("drained_before_the_kill", 1),
                _ => self.totals.fail(format!("the node ended by itself: {}", self.world.last_words())),
            }
            return;
        }
        let totals = &mut self.totals;
        totals.count("kills", 1);
        match when {
            When::Starting => totals.count("kills_while_starting", 1),
            When::Draining => totals.count("kills_while_draining", 1),
            When::Loaded => {}
        }
        totals.count("requests_cut_off", cut_off);
        if cut_off > 0 {
            totals.count("kills_with_requests_open", 1);
        }
        if std::fs::read(self.world.dir.join("lockstep.db-wal")).is_ok_and(|log| wal::is_torn(&log)) {
            totals.count("kills_inside_a_transaction", 1);
        }
    }

    fn write(&mut self) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.record.display());
        let file = OpenOptions::new().create(true).append(true).open(&self.record).map_err(failed)?;
        let mut file = std::io::BufWriter::new(file);
        self.clients.iter_mut().try_for_each(|client| client.write(&mut file))
    }

    /// Starts the node once more and has the judge look while it runs.
    fn judged(&mut self) -> Result<Totals, String> {
        self.write()?;
        let (mut process, ..) = self.start()?;
        let found = self.judge.judges(&self.world, &self.record, &mut self.totals);
        process.stop()?;
        found
    }

    /// What clients do not know ends once; then everything is looked at.
    fn end(mut self) -> Result<Totals, String> {
        let (mut process, address, began) = self.start()?;
        let life = Life { number: self.lives + 1, address: &address, began: &began, ends: true };
        self.clients.iter_mut().for_each(|client| client.live(life));
        let open = self.clients.iter().filter(|client| !client.answered()).count();
        self.totals.must("clients_answered", open == 0, || format!("{open} clients have intents without an outcome"));
        let ended = process.stop()?;
        self.totals.must("clean_ends", ended.success(), || format!("asked to end, the node ended with {ended}"));
        self.write()?;
        let found = self.judge.judges(&self.world, &self.record, &mut self.totals)?;
        found.counts.iter().for_each(|(name, count)| self.totals.count(name, *count));
        self.judge.is_no_fool(&self.world, &self.record, &mut self.totals)?;
        let verified = self.world.verify(&["--execute"]);
        self.totals.must("verified", verified.is_ok(), || format!("verify: {verified:?}"));
        for client in &mut self.clients {
            self.unheard.append(&mut client.decided_unheard);
            self.totals.add(std::mem::take(&mut client.totals));
        }
        self.totals.count("kills_with_a_batch_committed_unheard", self.unheard.len() as u64);
        let count = |name: &str| self.totals.counts.get(name).copied().unwrap_or(0);
        let (open, kills) = (count("kills_with_requests_open"), count("kills"));
        self.totals.must("halves_in_flight", 2 * open >= kills, || {
            format!("only {open} of {kills} kills with a batch in flight")
        });
        Ok(self.totals)
    }
}
