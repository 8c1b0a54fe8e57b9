//! One run of a proof: its scale and seed, what is counted, and a journal from which an interrupted run goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use lockstep_core::json::{Json, Limits, Object, json};

use super::{Dice, record};
use crate::tree;

/// What a proof, or a case of it, counted and what was not as it must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Counts by name.
    pub(crate) counts: BTreeMap<String, u64>,
    /// Sentences; a proof without any has held.
    pub(crate) failures: Vec<String>,
}

impl Totals {
    /// Counts.
    pub(crate) fn count(&mut self, name: &str, by: u64) {
        *self.counts.entry(name.to_owned()).or_default() += by;
    }

    /// Notes what is not as it must be.
    pub(crate) fn fail(&mut self, failure: impl Into<String>) {
        self.failures.push(failure.into());
    }

    /// Counts one check that held, or notes that it did not.
    pub(crate) fn must(&mut self, name: &str, holds: bool, failure: impl FnOnce() -> String) {
        if holds { self.count(name, 1) } else { self.fail(failure()) }
    }

    /// Adds what another counted.
    pub(crate) fn add(&mut self, other: Totals) {
        for (name, by) in other.counts {
            self.count(&name, by);
        }
        self.failures.extend(other.failures);
    }

    pub(super) fn counts_to_json(&self) -> Json {
        Json::Object(self.counts.iter().map(|(name, count)| (name.clone(), Json::from(*count))).collect::<Object>())
    }

    pub(super) fn failures_to_json(&self) -> Json {
        self.failures.iter().map(|failure| Json::from(failure.as_str())).collect()
    }

    /// What `{"counts":…,"failures":…}` says.
    pub(super) fn from_json(json: &Json) -> Option<Totals> {
        let Json::Object(counts) = json.get("counts")? else { return None };
        let count = |(name, count): (_, &Json)| Some((str::to_owned(name), count.as_u64()?));
        let counts = counts.iter().map(|(name, value)| count((name, value))).collect::<Option<_>>()?;
        let failures = json.get("failures")?.as_array()?.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        Some(Totals { counts, failures })
    }
}

/// A run.
pub(crate) struct Job {
    /// 1 is the whole proof.
    pub(crate) scale: f64,
    /// What all randomness comes from.
    pub(crate) seed: u64,
    totals: Totals,
    done: BTreeMap<u64, Totals>,
    journal: File,
    journal_path: PathBuf,
    scratch: PathBuf,
}

impl Job {
    /// Starts or goes on: the journal of the same proof, scale, seed and commit is taken up.
    pub(super) fn start(name: &'static str, scale: f64, seed: u64) -> Result<Job, String> {
        let folder = tree::target().join("proof");
        // Two runs at a time must not clean up under each other.
        let scratch = folder.join(format!("{name}-{seed}-{scale}-scratch"));
        let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(&scratch).map_err(|error| failed(&scratch, error))?;
        let journal_path = folder.join(format!("{name}-{seed}-{scale}-{}.journal", record::commit()));
        let done = std::fs::read_to_string(&journal_path).map(|text| finished(&text)).unwrap_or_default();
        if !done.is_empty() {
            println!("going on after {} cases of an interrupted run", done.len());
        }
        let journal = OpenOptions::new().create(true).append(true).open(&journal_path);
        let journal = journal.map_err(|error| failed(&journal_path, error))?;
        Ok(Job { scale, seed, totals: Totals::default(), done, journal, journal_path, scratch })
    }

    /// How many of `whole` at this scale; at least one.
    pub(crate) fn scaled(&self, whole: u64) -> u64 {
        let scaled = (whole as f64 * self.scale).round();
        // A count: small, positive, and saturating by definition of `as`.
        (scaled as u64).max(1)
    }

    /// Runs cases `0..count`, `at_once` at a time, each with its number, dice and an empty folder of its own; those of
    /// an interrupted run count without being run again. What the cases count does not depend on their order.
    pub(crate) fn cases(
        &mut self,
        count: u64,
        at_once: usize,
        work: impl Fn(u64, &mut Dice, &Path) -> Result<Totals, String> + Sync,
    ) -> Result<(), String> {
        let done = (0..count).filter_map(|number| self.done.remove(&number).map(|totals| (number, totals)));
        let (numbers, totals): (BTreeSet<u64>, Vec<Totals>) = done.unzip();
        totals.into_iter().for_each(|totals| self.totals.add(totals));
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let (seed, scratch) = (self.seed, self.scratch.clone());
        let (finished, cases) = mpsc::channel();
        let worker = |finished: mpsc::Sender<(u64, Result<Totals, String>)>| {
            while !failed.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                if !numbers.contains(&number) {
                    let result = one(number, seed, &scratch, &work);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    // Who counts is there until the last worker has gone.
                    drop(finished.send((number, result)));
                }
            }
        };
        std::thread::scope(|scope| {
            let worker = &worker;
            for _ in 0..at_once.max(1) {
                let finished = finished.clone();
                scope.spawn(move || worker(finished));
            }
            drop(finished);
            cases.into_iter().try_for_each(|(number, result)| self.note(number, result?))
        })
    }

    fn note(&mut self, number: u64, totals: Totals) -> Result<(), String> {
        let line = json!({"case": number, "counts": totals.counts_to_json(), "failures": totals.failures_to_json()});
        writeln!(self.journal, "{line}").map_err(|error| format!("{}: {error}", self.journal_path.display()))?;
        self.totals.add(totals);
        Ok(())
    }

    /// Ends it: the journal has served.
    pub(super) fn finish(self) -> Totals {
        drop(std::fs::remove_file(&self.journal_path));
        // Only where nothing was kept in it.
        drop(std::fs::remove_dir(&self.scratch));
        self.totals
    }

    pub(super) fn counted(&self) -> &Totals {
        &self.totals
    }
}

/// Runs one case; what went well needs no looking at, and its folder goes.
fn one(
    number: u64,
    seed: u64,
    scratch: &Path,
    work: &impl Fn(u64, &mut Dice, &Path) -> Result<Totals, String>,
) -> Result<Totals, String> {
    let folder = scratch.join(number.to_string());
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut totals = work(number, &mut Dice::of(seed, number), &folder)?;
    totals.failures.iter_mut().for_each(|failure| *failure = format!("case {number}: {failure}"));
    if totals.failures.is_empty() {
        drop(std::fs::remove_dir_all(&folder));
    } else {
        println!("case {number} failed; its files are kept in {}", folder.display());
    }
    Ok(totals)
}

/// As many cases at once as there are processors.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The cases that a journal holds; a torn last line is a case that was not finished.
fn finished(text: &str) -> BTreeMap<u64, Totals> {
    let case = |line: &str| {
        let json = Json::parse(line.as_bytes(), &Limits::default()).ok()?;
        Some((json.get("case")?.as_u64()?, Totals::from_json(&json)?))
    };
    text.lines().filter_map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_journal_loses_only_its_last_case() {
        let whole = r#"{"case":0,"counts":{"rows":3},"failures":[]}"#;
        let found = finished(&format!("{whole}\n{{\"case\":1,\"cou"));
        assert_eq!(found.keys().collect::<Vec<_>>(), [&0]);
        assert_eq!(found.get(&0).and_then(|totals| totals.counts.get("rows")), Some(&3));
    }
}
