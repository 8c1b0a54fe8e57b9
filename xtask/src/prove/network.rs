//! Proof `network`: five real processes stay the same through kills, cuts, delays and losses.
//!
//! A case makes a network of five organisations by the verbs that people type. Every node announces an address of
//! a proxy of ours. While people submit signed intents at each node, over HTTP, and repeat those whose outcome they
//! do not know, nodes are killed and started again, connections are cut at any byte, delayed, held up and robbed of
//! bytes, and single nodes are parted from all others. Then the weather is calm, and everything must be the same.
//!
//! What happens comes from the seed; when it happens, from the machine: the same seed is the same storm, not the
//! same run.

mod clerks;
mod judge;
mod load;
mod organisation;
mod origin;
mod proxy;
mod world;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_core::json::Json;

use super::{Dice, Job, Totals};
use crate::rust;
use clerks::Clerk;
use load::{Book, Crowd};
use organisation::Organisation;
use world::World;

/// Networks of the whole proof.
const CASES: u64 = 20;
/// Nodes killed in each.
const KILLS: u64 = 8;
/// Connections cut in each.
const CUTS: u64 = 8;
/// Submitters at each node.
const SUBMITTERS: usize = 3;
/// A storm that does not get through its faults in this time proves nothing.
const LONGEST_STORM: Duration = Duration::from_secs(180);

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    rust::release()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    job.cases(job.scaled(CASES), 1, |_, dice, folder| one(dice, folder, &runtime))
}

fn one(dice: &mut Dice, folder: &Path, runtime: &tokio::runtime::Runtime) -> Result<Totals, String> {
    let started = Instant::now();
    let world = World::make(dice, folder)?;
    let mut totals = Totals::default();
    println!("five nodes after {:.1} s", started.elapsed().as_secs_f64());
    let (mut books, clerks) = storm(&world, dice, &mut totals)?;
    println!("calm after {:.1} s", started.elapsed().as_secs_f64());
    settle(&world, &mut books, &mut totals)?;
    println!("settled after {:.1} s", started.elapsed().as_secs_f64());
    runtime.block_on(judge::judge(&world, &books, &clerks, &mut totals))?;
    verify(&world, &mut totals);
    note(&world, &books, &mut totals);
    Ok(totals)
}

/// People submit and things break; back when enough has broken and everything runs again.
fn storm(world: &World, dice: &mut Dice, totals: &mut Totals) -> Result<(Vec<Book>, Vec<Clerk>), String> {
    let crowd = Crowd::of(world)?;
    std::thread::scope(|scope| {
        let crowd = &crowd;
        let submit = |organisation: &Organisation| {
            let (name, dice) = (organisation.name, Dice::of(dice.next(), 0));
            scope.spawn(move || crowd.submit(world, name, dice))
        };
        let each = world.organisations.iter().flat_map(|one| std::iter::repeat_n(one, SUBMITTERS));
        let submitters: Vec<_> = each.map(submit).collect();
        let (stop, own) = (&crowd.stop, Dice::of(dice.next(), 0));
        let clerks = scope.spawn(move || clerks::appoint(world, stop, own));
        world.proxy.storm(true);
        let broken = Faults { world, dice, totals }.happen();
        world.proxy.storm(false);
        crowd.stop.store(true, Ordering::Relaxed);
        let books = submitters.into_iter().map(|one| one.join().map_err(|_| "a submitter broke off".to_owned())?);
        let books = books.collect::<Result<Vec<_>, String>>();
        let clerks = clerks.join().map_err(|_| "an administrator broke off".to_owned());
        let (books, clerks) = broken.and(books).and_then(|books| Ok((books, clerks?)))?;
        Ok((books, clerks))
    })
}

/// What breaks, and how often it did.
struct Faults<'a> {
    world: &'a World,
    dice: &'a mut Dice,
    totals: &'a mut Totals,
}

impl Faults<'_> {
    fn happen(&mut self) -> Result<(), String> {
        let until = Instant::now() + LONGEST_STORM;
        let cuts = || self.world.proxy.counts.cuts.load(Ordering::Relaxed);
        let mut kills = 0;
        while kills < KILLS || cuts() < CUTS {
            if Instant::now() > until {
                return Err(format!("only {kills} kills and {} cuts in {LONGEST_STORM:?}", cuts()));
            }
            self.rest(500);
            match self.dice.below(10) {
                0..=3 if kills < KILLS => kills += self.kill()?,
                4 => self.world.proxy.hold_one(Duration::from_millis(self.dice.below(2500))),
                5 => self.world.proxy.lose_some(),
                6 => self.part(),
                _ => self.world.proxy.cut_one(self.dice.below(4000)),
            }
        }
        Ok(())
    }

    fn rest(&mut self, longest_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.dice.below(longest_ms)));
    }

    /// Kills one node, sometimes two; how many.
    fn kill(&mut self) -> Result<u64, String> {
        let count = if self.dice.percent(25) { 2 } else { 1 };
        let mut down: Vec<&Organisation> = Vec::new();
        for _ in 0..count {
            let found =
                self.dice.pick(&self.world.organisations).filter(|one| !down.iter().any(|two| two.name == one.name));
            if let Some(organisation) = found {
                self.totals.failures.extend(organisation.died());
                if organisation.kill() {
                    self.totals.count("kills", 1);
                }
                down.push(organisation);
            }
        }
        self.rest(1200);
        for organisation in &down {
            self.world.start(organisation)?;
        }
        Ok(u64::try_from(down.len()).unwrap_or(0))
    }

    fn part(&mut self) {
        let Some(organisation) = self.dice.pick(&self.world.organisations) else { return };
        self.world.proxy.part(organisation.name);
        self.totals.count("partitions", 1);
        self.rest(2500);
        let cut = self.dice.percent(50);
        self.world.proxy.rejoin(cut);
    }
}

/// Everybody catches up, and everything that was submitted gets its answer.
fn settle(world: &World, books: &mut [Book], totals: &mut Totals) -> Result<(), String> {
    totals.failures.extend(world.wait().err());
    std::thread::scope(|scope| {
        let ends: Vec<_> = books.iter_mut().map(|book| scope.spawn(move || book.end(world))).collect();
        ends.into_iter().try_for_each(|end| end.join().map_err(|_| "a submitter broke off".to_owned())?)
    })?;
    for organisation in &world.organisations {
        totals.failures.extend(organisation.died());
    }
    totals.failures.extend(world.wait().err());
    Ok(())
}

/// Every database for itself, every intent executed again where its node may.
fn verify(world: &World, totals: &mut Totals) {
    for organisation in &world.organisations {
        let verified = organisation.does(&["verify", "--execute"]);
        let clean = verified.as_ref().is_ok_and(|report| report.get("clean").and_then(Json::as_bool) == Some(true));
        totals.must("nodes_verified", clean, || {
            let found = verified.map(|report| report.get("findings").cloned().unwrap_or_default().canonical());
            let found: String = found.unwrap_or_else(|error| error).chars().take(600).collect();
            format!("{} is not clean: {found}", organisation.name)
        });
    }
}

fn note(world: &World, books: &[Book], totals: &mut Totals) {
    let counts = &world.proxy.counts;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    totals.count("cuts", read(&counts.cuts));
    totals.count("delays", read(&counts.delays));
    totals.count("losses", read(&counts.drops));
    totals.count("refused_connections", read(&counts.refused));
    totals.count("connections", read(&counts.links));
    totals.count("bytes_through_proxy", read(&counts.bytes));
    for book in books {
        totals.count("intents_submitted", book.submitted);
        totals.count("intents_repeated", book.repeated);
        totals.count("intents_acknowledged", u64::try_from(book.acknowledged.len()).unwrap_or(0));
        for one in &book.acknowledged {
            totals.count(if one.status == "applied" { "applied" } else { "rejected" }, 1);
        }
        totals.failures.extend(book.refused.iter().take(3).cloned());
        totals.must("submitters_answered", book.open.is_empty(), || {
            let first = book.open.first().map(|wish| format!("{} on {}", wish.method, wish.record));
            format!("{} intents submitted at {} have no outcome, first: {first:?}", book.open.len(), book.at)
        });
    }
}
