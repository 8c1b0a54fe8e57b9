//! Asks the judge, a program of its own (`judge.py`), and checks that the judge would have found what it looks for.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lockstep_core::json::{Json, Limits};

use super::world::World;
use crate::prove::Totals;
use crate::shell::command;
use crate::tree;

/// The judge at work: a question a line, an answer a line.
pub(in crate::prove) struct Judge {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    python: PathBuf,
}

/// What somebody could do to a database, each of which the judge must find.
const MISDEEDS: [(&str, &str); 6] = [
    (
        "an intent that was acknowledged is gone",
        "DELETE FROM lockstep_intent WHERE intent_id = (SELECT max(intent_id) FROM lockstep_intent WHERE status = 'applied')",
    ),
    ("an event is gone", "DELETE FROM lockstep_event WHERE event_id = (SELECT max(event_id) FROM lockstep_event)"),
    (
        "the changes of an event are gone",
        "DELETE FROM lockstep_change WHERE event_id = (SELECT max(event_id) FROM lockstep_change)",
    ),
    (
        "a settlement moved the cash twice",
        "UPDATE cash SET balances = '{\"alice@acme\":\"900000.00\",\"bob@buyer\":\"100000.00\"}' WHERE record_id = 'acme:cash-0'",
    ),
    (
        "a record is behind its events",
        "UPDATE house_sale SET lockstep_seq = 0 WHERE record_id = (SELECT max(record_id) FROM house_sale)",
    ),
    (
        "an outcome is another than was told",
        "UPDATE lockstep_intent SET status = 'rejected' WHERE intent_id = (SELECT max(intent_id) FROM lockstep_intent WHERE status = 'applied')",
    ),
];

/// A python that can check signatures.
fn python() -> Result<PathBuf, String> {
    // A shim of a version manager takes longer than the judge.
    let found = command("python3").args(["-c", "import cryptography, sqlite3, sys; print(sys.executable)"]).quietly();
    found.map(PathBuf::from).ok_or_else(|| "no python3 with the package cryptography, which the judge needs".to_owned())
}

impl Judge {
    pub(in crate::prove) fn of(world: &World) -> Result<Judge, String> {
        let (python, root) = (python()?, tree::root());
        let mut command = Command::new(&python);
        command.arg(root.join("xtask/src/prove/kill/judge.py")).arg(root.join("tools")).arg(world.node_key()?);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("{}: {error}", python.display()))?;
        let (questions, answers) = (process.stdin.take(), process.stdout.take().map(BufReader::new));
        let (questions, answers) = (questions.ok_or("no pipe")?, answers.ok_or("no pipe")?);
        Ok(Judge { process, questions, answers, python })
    }

    /// What the judge finds: counts, and failures.
    pub(in crate::prove) fn finds(
        &mut self,
        database: &Path,
        record: &Path,
        kept: Option<&Path>,
    ) -> Result<Totals, String> {
        let kept = kept.map(|kept| kept.display().to_string()).unwrap_or_default();
        let gone = |error: std::io::Error| format!("the judge is gone: {error}");
        writeln!(self.questions, "{}\t{}\t{kept}", database.display(), record.display()).map_err(gone)?;
        let mut said = String::new();
        self.answers.read_line(&mut said).map_err(gone)?;
        let said = Json::parse(said.trim().as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() });
        let said = said.map_err(|error| format!("the judge says no JSON: {error}"))?;
        Totals::from_json(&said).ok_or_else(|| "the judge says something else".to_owned())
    }

    /// Adds what the judge finds to the totals: checks that held by the number of the last time, failures all.
    pub(in crate::prove) fn judges(
        &mut self,
        world: &World,
        record: &Path,
        totals: &mut Totals,
    ) -> Result<Totals, String> {
        let mut found = self.finds(&world.database(), record, Some(&world.dir.join("checkpoint")))?;
        totals.count("judgements", 1);
        totals.failures.append(&mut found.failures);
        Ok(found)
    }

    /// Each misdeed, done to a copy, must be found.
    pub(in crate::prove) fn is_no_fool(
        &mut self,
        world: &World,
        record: &Path,
        totals: &mut Totals,
    ) -> Result<(), String> {
        for (name, sql) in MISDEEDS {
            let copy = world.dir.with_extension("edited.db");
            std::fs::copy(world.database(), &copy).map_err(|error| format!("{}: {error}", copy.display()))?;
            let edit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); n = c.execute(sys.argv[2]).rowcount; c.commit(); print(n)";
            let edited = command(&self.python).args(["-c", edit]).args([copy.as_os_str()]).args([sql]).quietly();
            let found = self.finds(&copy, record, None)?;
            let guilty = edited.as_deref().is_some_and(|rows| rows != "0") && !found.failures.is_empty();
            totals.must("misdeeds_found", guilty, || {
                format!("{name}: the judge finds nothing wrong (rows edited: {edited:?})")
            });
            drop(std::fs::remove_file(&copy));
        }
        Ok(())
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
