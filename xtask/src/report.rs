//! Adds up what the steps and their tests gave.

use std::time::Duration;

/// What a step found, where it ran at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Tests that passed within it.
    pub(crate) passed: u64,
    /// Tests that failed within it.
    pub(crate) failed: u64,
    /// What is worth a line in the table: counts, sizes, versions.
    pub(crate) note: String,
    /// Why the step failed; empty where it passed.
    pub(crate) problems: Vec<String>,
}

impl Findings {
    /// A passed step with a note.
    pub(crate) fn note(note: impl Into<String>) -> Self {
        Findings { note: note.into(), ..Findings::default() }
    }

    /// A failed step.
    pub(crate) fn problem(problem: impl Into<String>) -> Self {
        Findings { problems: vec![problem.into()], ..Findings::default() }
    }

    /// Adds another part of the same step.
    pub(crate) fn and(mut self, other: Findings) -> Self {
        self.passed += other.passed;
        self.failed += other.failed;
        self.note = [self.note, other.note].into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(", ");
        self.problems.extend(other.problems);
        self
    }
}

/// How a step ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It ran.
    Ran(Findings),
    /// It needs what this machine has not; the reason.
    Skipped(String),
}

impl From<Result<Findings, String>> for End {
    fn from(result: Result<Findings, String>) -> Self {
        End::Ran(result.unwrap_or_else(Findings::problem))
    }
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The step.
    pub(crate) name: &'static str,
    /// How long it took.
    pub(crate) took: Duration,
    /// What its processes computed, which a busy machine does not change.
    pub(crate) computed: Duration,
    /// How it ended.
    pub(crate) end: End,
}

/// Prints the table, the failures and the last line; whether all is well.
pub(crate) fn print(rows: &[Row]) -> bool {
    println!("\n{:<12} {:>8} {:>8}  {:<8} {:>6} {:>6}  note", "step", "seconds", "cpu", "", "passed", "failed");
    let (mut passed, mut failed) = (0, 0);
    for row in rows {
        let (seconds, cpu) = (row.took.as_secs_f64(), row.computed.as_secs_f64());
        match &row.end {
            End::Skipped(why) => {
                println!("{:<12} {seconds:>8.1} {cpu:>8.1}  {:<8} {:>6} {:>6}  {why}", row.name, "skipped", "", "")
            }
            End::Ran(found) => {
                let well = found.problems.is_empty() && found.failed == 0;
                passed += found.passed + u64::from(well);
                failed += found.failed + u64::from(!well);
                let word = if well { "ok" } else { "FAILED" };
                println!(
                    "{:<12} {seconds:>8.1} {cpu:>8.1}  {word:<8} {:>6} {:>6}  {}",
                    row.name, found.passed, found.failed, found.note
                );
            }
        }
    }
    let sum = |of: fn(&Row) -> Duration| rows.iter().map(|row| of(row).as_secs_f64()).sum::<f64>();
    println!("{:<12} {:>8.1} {:>8.1}", "all", sum(|row| row.took), sum(|row| row.computed));
    for row in rows {
        if let End::Ran(found) = &row.end {
            for problem in &found.problems {
                println!("\n{} failed: {problem}", row.name);
            }
        }
    }
    println!("\n{passed} passed, {failed} failed");
    failed == 0
}

/// Adds up the `test result:` lines of cargo's output. Ignored tests are problems: nothing may be ignored.
pub(crate) fn test_results(stdout: &str) -> Findings {
    let mut found = Findings::default();
    let mut ignored = 0;
    for line in stdout.lines() {
        if let Some(rest) = line.trim().strip_prefix("test result:") {
            let count = |word: &str| {
                let part = rest.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
                part.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            found.passed += count(" passed");
            found.failed += count(" failed");
            ignored += count(" ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            found.problems.push(format!("test {name}"));
        }
    }
    if ignored > 0 {
        found.problems.push(format!("{ignored} tests are ignored; assert what is wrong with a FIXME instead"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_add_up() {
        let found = test_results(
            "running 2 tests\ntest a::b ... ok\ntest a::c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        );
        assert_eq!((found.passed, found.failed), (41, 1));
        assert_eq!(found.problems, ["test a::c"]);
    }

    #[test]
    fn an_ignored_test_is_a_problem() {
        let found = test_results("test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out");
        assert_eq!(found.problems.len(), 1);
    }
}
