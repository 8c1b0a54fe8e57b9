//! Proof `faults`: what befalls a node that runs, as real processes meet it.
//!
//! Each case has a node and a client that asks again and again: before, while something is wrong, and after. While it is
//! wrong every answer is a clear one; once it is over the same process serves within five seconds; its memory stays
//! bounded; and then what it acknowledged is judged as after a kill (`kill/judge.py`).

mod cases;
mod door;

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::clock::Clock;
use lockstep_node::SystemClock;

use super::kill::clients::Life;
use super::kill::points::Scene;
use super::kill::world::Process;
use super::{Dice, Job, Totals};
use crate::rust;

/// How soon after the end of what was wrong a node serves again.
const RESUMES: Duration = Duration::from_secs(5);
/// What a node says that cannot do its work now, or not yet: a status and a code.
const CLEAR: [(u16, &str); 6] = [
    (202, "pending"),
    (408, "malformed"),
    (429, "overloaded"),
    (500, "io"),
    (503, "database_unavailable"),
    (503, "outcome_unknown"),
];
/// More than a node of a few thousand small records needs, whatever is sent to it.
const MOST_RESIDENT_KIB: u64 = 400 << 10;

/// Runs it: each case once, at full scale as long and as much as the issue says.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    rust::release()?;
    let scale = job.scale;
    job.cases(cases::CASES.len() as u64, 1, |number, dice, folder| {
        let case = usize::try_from(number).ok().and_then(|at| cases::CASES.get(at)).ok_or("no such case")?;
        one(case, scale, dice, folder)
    })
}

fn one(case: &cases::Case, scale: f64, dice: &mut Dice, folder: &Path) -> Result<Totals, String> {
    let begun = Instant::now();
    let mut totals = Totals::default();
    if let Some(missing) = (case.needs)() {
        println!("skipped: {}: {missing}", case.name);
        totals.count("skipped", 1);
        return Ok(totals);
    }
    let mut trouble = Trouble::begin(case, scale, dice, folder)?;
    let worked = (case.work)(&mut trouble);
    let ended = worked.and_then(|()| trouble.end(&mut totals));
    (case.clean)(folder);
    ended.map_err(|error| format!("{}: {error}", case.name))?;
    println!("{}: {:.1} s", case.name, begun.elapsed().as_secs_f64());
    Ok(totals)
}

/// A node in trouble.
struct Trouble<'a> {
    name: &'static str,
    scale: f64,
    scene: Scene,
    process: Process,
    address: String,
    began: String,
    /// Answers while something was wrong.
    refused: u64,
    totals: Totals,
    folder: &'a Path,
}

impl<'a> Trouble<'a> {
    fn begin(case: &cases::Case, scale: f64, dice: &mut Dice, folder: &'a Path) -> Result<Trouble<'a>, String> {
        (case.prepare)(folder)?;
        let mut scene = Scene::set(folder, dice)?;
        scene.lives += 1;
        let began = SystemClock.now().to_string();
        let (process, address) = scene.world.start(&(case.before)())?;
        let totals = Totals::default();
        let mut trouble =
            Trouble { name: case.name, scale, scene, process, address, began, refused: 0, totals, folder };
        trouble.serves("before")?;
        Ok(trouble)
    }

    /// Asks once, by itself; the status and code of the answer, or `None`.
    fn ask(&mut self) -> Result<Option<(u16, String)>, String> {
        let life = Life { number: self.scene.lives, address: &self.address, began: &self.began, ends: false };
        let client = self.scene.clients.last_mut().ok_or("no clients")?;
        client.once(life, "1s")
    }

    /// It answers with an outcome now.
    fn serves(&mut self, when: &str) -> Result<(), String> {
        let answer = self.ask()?;
        let served = matches!(answer, Some((200, _)));
        self.totals.must("served", served, || format!("{}: {when}: {answer:?}", self.name));
        Ok(())
    }

    /// Asks while something is wrong: each answer is an outcome or a clear no.
    fn suffers(&mut self, lasts: Duration) -> Result<(), String> {
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            match self.ask()? {
                None => self.totals.count("no_answer", 1),
                Some((200, _)) => self.totals.count("served_meanwhile", 1),
                Some((status, code)) => {
                    self.refused += 1;
                    let clear = CLEAR.contains(&(status, code.as_str()));
                    self.totals.must("clear_answers", clear, || format!("{}: {status} {code}", self.name));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What was wrong is over: the same process serves soon.
    fn resumes(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < 2 * RESUMES {
            last = self.ask()?;
            if matches!(last, Some((200, _))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = begun.elapsed();
        let well = matches!(last, Some((200, _))) && took <= RESUMES;
        self.totals.count("resumed_after_ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.totals.must("resumed", well, || {
            format!("{}: {last:?} after {took:?}; {}", self.name, self.scene.world.last_words())
        });
        Ok(())
    }

    /// Something had to be refused, or the case was none.
    fn was_refused(&mut self) {
        let refused = self.refused;
        self.totals.must("troubles_felt", refused > 0, || format!("{}: nothing was refused meanwhile", self.name));
    }

    /// Its memory at the highest, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn end(mut self, totals: &mut Totals) -> Result<(), String> {
        let peak = self.peak();
        self.totals
            .must("memory_bounded", peak < MOST_RESIDENT_KIB, || format!("{}: {peak} KiB at the peak", self.name));
        let ended = self.process.stop()?;
        self.totals.must("clean_ends", ended.success(), || format!("{}: ended with {ended}", self.name));
        self.scene.write()?;
        self.scene.end(&mut self.totals, self.name)?;
        println!("  peak {} MiB, {} refused", peak >> 10, self.refused);
        totals.add(self.totals);
        Ok(())
    }
}
