//! Proof `honest`: among honest nodes nobody is accused, and in the end all hold the same.
//!
//! The runs are those of core's tests (`runtime/core/tests/sync/honest.rs`): intents of all kinds that a sequencer
//! decides, cut for three receivers with different rights, coming in any order and twice. A case is some of them, from
//! a seed of its own, in the binary that `cargo test` makes.

use lockstep_core::json::{Json, Limits};

use super::{Dice, Job, Totals};
use crate::shell;

/// Runs of the whole proof.
const RUNS: u64 = 10_000;
/// Runs of one case: some seconds.
const RUNS_OF_A_CASE: u64 = 1_000;
/// What the seeds of a case start below, far from where they would overflow.
const FIRST_SEED_BELOW: u64 = 1 << 62;

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    job.cases(job.scaled(RUNS / RUNS_OF_A_CASE), 1, |_, dice, _| case(dice))
}

fn case(dice: &mut Dice) -> Result<Totals, String> {
    let from = dice.below(FIRST_SEED_BELOW);
    let test =
        ["test", "--release", "--package", "lockstep-core", "--test", "sync", "--", "honest_runs", "--nocapture"];
    let ended =
        shell::cargo(&test).env("SYNC_FROM", from.to_string()).env("SYNC_RUNS", RUNS_OF_A_CASE.to_string()).run()?;
    let mut totals = Totals::default();
    ended.stdout.lines().filter_map(counted).for_each(|counts| add(&mut totals, &counts));
    let runs = totals.counts.get("runs").copied().unwrap_or(0);
    if ended.code != 0 || runs != RUNS_OF_A_CASE {
        totals.fail(format!("{runs} of {RUNS_OF_A_CASE} runs from seed {from} ended well, exit {}", ended.code));
    }
    Ok(totals)
}

/// The counts that a line of a test ends with.
fn counted(line: &str) -> Option<Json> {
    let (_, json) = line.split_once('{')?;
    Json::parse(format!("{{{json}").as_bytes(), &Limits::default()).ok()
}

fn add(totals: &mut Totals, counts: &Json) {
    let Json::Object(counts) = counts else { return };
    for (name, count) in counts.iter().filter_map(|(name, count)| Some((name, count.as_u64()?))) {
        totals.count(name, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_wherever_the_line_begins() {
        let mut totals = Totals::default();
        let lines = [r#"{"runs":250}"#, r#"test honest_runs ... {"runs":250,"applied":7}"#, "test result: ok"];
        lines.iter().copied().filter_map(counted).for_each(|counts| add(&mut totals, &counts));
        assert_eq!(totals.counts, [("applied".to_owned(), 7), ("runs".to_owned(), 500)].into());
    }
}
