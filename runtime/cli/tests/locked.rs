//! A database that another program keeps locked: a command ends when its time is over.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::Place;

/// Another program that holds the write lock until it is told to end.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HOLD: &str = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.read()";

impl Holder {
    /// `None` where `cargo xtask test` found no python.
    fn of(place: &Place) -> Option<Self> {
        let missing = std::env::var("LOCKSTEP_MISSING").unwrap_or_default();
        if missing.split(',').any(|tool| tool == "python") {
            eprintln!("skipped: no python");
            return None;
        }
        let mut command = Command::new("python3");
        command.args(["-c", HOLD]).arg(place.dir().join("lockstep.db"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim(), "held");
        Some(Holder(child))
    }
}

/// More than a pipe holds: whoever has written it knows that the other end reads.
const MORE_THAN_A_PIPE: usize = 1 << 20;

#[test]
fn a_submission_to_a_database_that_gets_locked_ends_when_its_time_is_over() {
    let place = Place::sale("locked");
    let offer = ["intent", "sign", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args"];
    let signed = place.well(&[&offer[..], &[r#"{"price":"341000.00"}"#]].concat()).stdout;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(["submit", "--batch", "-", "--timeout", "1s"]).env("LOCKSTEP_DIR", place.dir());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It reads when it has opened the database; empty lines are no intents.
    input.write_all(&vec![b'\n'; MORE_THAN_A_PIPE]).unwrap();
    let holder = Holder::of(&place);
    let begun = Instant::now();
    input.write_all(signed.as_bytes()).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let Some(holder) = holder else { return };
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(6), "{said}");
    assert!(said.contains("outcome_unknown"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    drop(holder);
    let again = place.run_with(&["submit", "--batch", "-"], &signed);
    assert_eq!(again.status, 0, "the same again is safe: {}{}", again.stdout, again.stderr);
    place.well(&["verify"]);
}
