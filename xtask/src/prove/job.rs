//! One run of a proof: its scale and seed, what is counted, and a journal from which an interrupted run goes on.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

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

    fn add(&mut self, other: Totals) {
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

    fn from_json(json: &Json) -> Option<Totals> {
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

    /// Runs cases `0..count`, each with dice and an empty folder of its own; those of an interrupted run count
    /// without being run again.
    pub(crate) fn cases(
        &mut self,
        count: u64,
        mut work: impl FnMut(&mut Dice, &Path) -> Result<Totals, String>,
    ) -> Result<(), String> {
        for number in 0..count {
            if let Some(done) = self.done.remove(&number) {
                self.totals.add(done);
                continue;
            }
            let folder = self.scratch.join(number.to_string());
            drop(std::fs::remove_dir_all(&folder));
            std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let mut totals = work(&mut Dice::of(self.seed, number), &folder)?;
            totals.failures.iter_mut().for_each(|failure| *failure = format!("case {number}: {failure}"));
            if totals.failures.is_empty() {
                // What went well needs no looking at.
                drop(std::fs::remove_dir_all(&folder));
            } else {
                println!("case {number} failed; its files are kept in {}", folder.display());
            }
            let line =
                json!({"case": number, "counts": totals.counts_to_json(), "failures": totals.failures_to_json()});
            writeln!(self.journal, "{line}").map_err(|error| format!("{}: {error}", self.journal_path.display()))?;
            self.totals.add(totals);
        }
        Ok(())
    }

    /// Ends it: the journal has served.
    pub(super) fn finish(self) -> Totals {
        drop(std::fs::remove_file(&self.journal_path));
        self.totals
    }

    pub(super) fn counted(&self) -> &Totals {
        &self.totals
    }
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
