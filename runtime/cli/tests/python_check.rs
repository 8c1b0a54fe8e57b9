//! `tools/lockstep_check.py` against databases that this binary makes: clean ones pass, tampered ones do not.
//!
//! The script calls nothing of ours, so this is a second implementation of docs/spec that reads the same bytes.
#![allow(clippy::expect_used, reason = "tests")]

mod documents;

use std::path::{Path, PathBuf};
use std::process::Command;

use documents::{both, house_sale, repository};

/// Python with an Ed25519 package, or `None` where there is no Python and that is no failure.
fn python() -> Option<Command> {
    let works = |code: &str, path: Option<&Path>| {
        let mut command = Command::new("python3");
        command.args(["-c", code]).envs(path.map(|path| ("PYTHONPATH", path)));
        command.output().is_ok_and(|output| output.status.success())
    };
    if !works("import sqlite3", None) {
        assert!(std::env::var_os("CI").is_none(), "python3 with sqlite3 is needed: apt-get install python3");
        eprintln!("skipped: there is no python3 here");
        return None;
    }
    let mut command = Command::new("python3");
    if !works("import cryptography", None) {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-packages");
        if !works("import cryptography", Some(&packages)) {
            let pip = Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--target"])
                .arg(&packages)
                .arg("cryptography")
                .output();
            assert!(
                pip.is_ok_and(|output| output.status.success()),
                "`pip install cryptography` failed; run it by hand"
            );
        }
        command.env("PYTHONPATH", packages);
    }
    Some(command)
}

struct Made {
    dir: PathBuf,
    script: PathBuf,
}

impl Made {
    fn check(&self, database: &str, record: &str, more: &[&str]) -> (i32, String) {
        let mut python = python().expect("python was there a moment ago");
        let output = python
            .arg(&self.script)
            .args([database, "house_sale", record])
            .args(more)
            .current_dir(&self.dir)
            .output()
            .expect("python runs");
        (output.status.code().unwrap_or(-1), both(&output))
    }

    /// A copy of the database, edited by statements as its owner could; CHECK constraints do not stop one.
    fn edited(&self, name: &str, sql: &str) -> String {
        let code = "import sqlite3, sys\nsource, copy = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True), sqlite3.connect(sys.argv[2])\n\
                    source.backup(copy)\ncopy.execute('PRAGMA ignore_check_constraints = 1')\ncopy.executescript(sys.argv[3])\ncopy.commit()\n";
        let copy = format!("{name}.db");
        let output = Command::new("python3")
            .args(["-c", code, "lockstep.db", &copy, sql])
            .current_dir(&self.dir)
            .output()
            .expect("python runs");
        assert!(output.status.success(), "{name}: {}", both(&output));
        copy
    }
}

fn made(name: &str) -> Option<Made> {
    python()?;
    Some(Made { dir: house_sale(name), script: repository().join("tools/lockstep_check.py") })
}

#[test]
fn a_clean_database_passes_without_a_line_of_ours() {
    let Some(made) = made("python-clean") else { return };
    for record in ["acme:sale-1", "acme:sale-2"] {
        let (status, said) = made.check("lockstep.db", record, &["--checkpoint", "checkpoint"]);
        assert_eq!(status, 0, "{said}");
        assert!(said.ends_with(&format!("house_sale/{record}: nothing wrong\n")), "{said}");
    }
}

#[test]
fn the_demo_passes_and_its_tampered_copy_does_not() {
    if python().is_none() {
        return;
    }
    let scratch = documents::scratch("python-demo");
    documents::run(&scratch, &["demo", "--dir", "demo", "--quiet"], &[0]);
    let made = Made { dir: scratch.join("demo"), script: repository().join("tools/lockstep_check.py") };
    let check = |database: &str, spec: &str, record: &str| {
        let mut python = python().expect("python was there a moment ago");
        let output = python
            .arg(&made.script)
            .args([database, spec, record, "--checkpoint", "checkpoint"])
            .current_dir(&made.dir)
            .output();
        let output = output.expect("python runs");
        (output.status.code(), both(&output))
    };
    for (spec, record) in [
        ("house_sale", "acme:sale-1"),
        ("house_sale", "acme:sale-2"),
        ("request_for_quote", "acme:rfq-AAPL"),
        ("cash", "acme:cash-eur"),
        ("bond", "acme:bond-de1"),
    ] {
        for database in ["lockstep.db", "rogue.db"] {
            let (status, said) = check(database, spec, record);
            assert_eq!(status, Some(0), "{database}: {said}");
        }
    }
    let (status, said) = check("tampered.db", "house_sale", "acme:sale-1");
    assert!(status == Some(1) && said.contains("WRONG  house_sale.negotiation of acme:sale-1"), "{said}");
}

#[test]
fn a_tampered_copy_fails_at_the_layer_that_was_touched() {
    let Some(made) = made("python-tampered") else { return };
    let last = "(SELECT event_id FROM lockstep_event WHERE record_id = 'acme:sale-1' ORDER BY seq DESC LIMIT 1)";
    let cases = [
        ("row", "UPDATE house_sale SET asking_price = 1 WHERE record_id = 'acme:sale-1'".to_owned(), "house_sale.asking_price of acme:sale-1 is 1 and should be 350000.00"),
        ("section", "UPDATE house_sale SET negotiation = replace(negotiation, '340000.00', '140000.00') WHERE record_id = 'acme:sale-1'".to_owned(), "house_sale.negotiation of acme:sale-1"),
        ("header", format!("UPDATE lockstep_event SET header = CAST(replace(CAST(header AS TEXT), 'T', 'T') || ' ' AS BLOB) WHERE event_id = {last}"), "header"),
        ("change", "UPDATE lockstep_change SET before = '\"300000.00\"' WHERE event_id IN (SELECT event_id FROM lockstep_event WHERE record_id = 'acme:sale-1' AND seq = 5) AND position = 1".to_owned(), "lockstep_change.before of"),
        ("openings", format!("UPDATE lockstep_event SET openings = CAST(replace(CAST(openings AS TEXT), 'loose', 'tight') AS BLOB) WHERE event_id = {last}"), "commitment to the changes of inspection"),
        ("actor", "UPDATE lockstep_event SET actor = 'ivy@inspector' WHERE record_id = 'acme:sale-1' AND seq = 2".to_owned(), "lockstep_event.actor of"),
        ("intent", "UPDATE lockstep_intent SET arguments = replace(arguments, '340000.00', '140000.00')".to_owned(), "lockstep_intent.arguments of"),
        ("signature", "UPDATE lockstep_intent SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"sig\":\"', '\"sig\":\"AAAA') AS BLOB)".to_owned(), "the signature is not"),
        ("key", "UPDATE lockstep_directory SET envelope = (SELECT envelope FROM lockstep_directory WHERE seq = 2) WHERE seq = 3".to_owned(), "directory: lockstep_directory.envelope of seq 3"),
        ("tree", "UPDATE lockstep_log SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)".to_owned(), "the leaf at 0 is not the one whose hash the log holds"),
        ("checkpoint", "UPDATE lockstep_checkpoint SET note = replace(note, char(10) || size || char(10), char(10) || (size + 1) || char(10))".to_owned(), "is not signed by the node's key"),
        (
            "thinned",
            format!(
                "DELETE FROM lockstep_change WHERE event_id = {last}; DELETE FROM lockstep_event WHERE event_id = {last};\
                 UPDATE house_sale SET inspection = NULL, lockstep_seq = 5, lockstep_head = {last}, lockstep_updated_at = (SELECT time FROM lockstep_event WHERE event_id = {last}) WHERE record_id = 'acme:sale-1'"
            ),
            "is missing from lockstep_event",
        ),
        (
            "forgotten",
            format!(
                "DELETE FROM lockstep_change WHERE event_id = {last}; DELETE FROM lockstep_intent WHERE intent_id = (SELECT intent_id FROM lockstep_event WHERE event_id = {last});\
                 DELETE FROM lockstep_event WHERE event_id = {last};\
                 UPDATE house_sale SET inspection = NULL, lockstep_seq = 5, lockstep_head = {last}, lockstep_updated_at = (SELECT time FROM lockstep_event WHERE event_id = {last}) WHERE record_id = 'acme:sale-1'"
            ),
            "the positions of the leaves under the checkpoint",
        ),
    ];
    for (name, sql, expected) in cases {
        let copy = made.edited(name, &sql);
        let (status, said) = made.check(&copy, "acme:sale-1", &[]);
        assert_eq!(status, 1, "{name}: {said}");
        assert!(said.contains(expected), "{name} should name {expected:?}:\n{said}");
    }
}

#[test]
fn what_is_not_taken_on_trust_is_held_against_the_database() {
    let Some(made) = made("python-trust") else { return };
    let older = made.edited("older", "SELECT 1");
    documents::run(&made.dir, &["submit", "house_sale.close", "acme:sale-1", "--as", "bob", "--args", "{}"], &[0]);
    let (status, said) = made.check(&older, "acme:sale-1", &[]);
    assert_eq!(status, 0, "an older copy is sound in itself: {said}");
    let (status, said) = made.check(&older, "acme:sale-1", &["--checkpoint", "checkpoint"]);
    assert!(status == 1 && said.contains("an older copy, or its tail was cut off"), "{said}");
    let other = "a".repeat(64);
    let (status, said) = made.check("lockstep.db", "acme:sale-1", &["--node-key", &other]);
    assert!(status == 1 && said.contains("not signed by the node's key"), "{said}");
    let (status, said) = made.check("lockstep.db", "acme:sale-1", &["--network", &other]);
    assert!(status == 1 && said.contains("the network's id"), "{said}");
    let (status, said) = made.check("nowhere.db", "acme:sale-1", &[]);
    assert!(status == 2 && said.contains("cannot read nowhere.db"), "{said}");
}

#[test]
fn a_replica_passes_as_far_as_it_may_see_and_tampered_it_does_not() {
    if python().is_none() {
        return;
    }
    let scratch = documents::scratch("python-network");
    documents::run(&scratch, &["demo", "--network", "--dir", "network", "--quiet"], &[0]);
    let node = |name: &str| Made {
        dir: scratch.join("network").join(name),
        script: repository().join("tools/lockstep_check.py"),
    };
    for name in ["seller", "buyer", "inspector", "regulator"] {
        let (status, said) = node(name).check("lockstep.db", "seller:sale-1", &["--checkpoint", "checkpoint"]);
        assert_eq!(status, 0, "{name}: {said}");
    }
    let inspector = node("inspector");
    let first = "(SELECT min(intent_id) FROM lockstep_feed)";
    let event = "(SELECT event_id FROM lockstep_event WHERE seq = 2)";
    let cases = [
        ("told", "UPDATE house_sale SET negotiation = '{\"offers\":[]}'".to_owned(), "house_sale.negotiation of"),
        ("seen", "UPDATE house_sale SET lockstep_hidden = NULL".to_owned(), "house_sale.lockstep_hidden of"),
        ("whole", "UPDATE house_sale SET lockstep_scope = 'full'".to_owned(), "house_sale.lockstep_scope of"),
        ("path", format!("UPDATE lockstep_feed SET path = CAST(zeroblob(length(path)) AS BLOB) WHERE intent_id = {first}"), "the root that its path in seller/1 leads to"),
        ("note", "UPDATE lockstep_feed SET note = replace(note, char(10) || char(10), char(10) || char(32) || char(10))".to_owned(), "the note is not a checkpoint"),
        ("leaf", format!("UPDATE lockstep_feed SET position = position + 1000 WHERE intent_id = {first}"), "its place"),
        ("lost", "DELETE FROM lockstep_feed".to_owned(), "is not the one whose hash the log holds"),
        ("openings", "UPDATE lockstep_intent SET openings = CAST(replace(CAST(openings AS TEXT), 'expect', 'expekt') AS BLOB)".to_owned(), "digest of its openings"),
        ("thinned", format!("DELETE FROM lockstep_event WHERE event_id = {event}"), "is missing from lockstep_event"),
        (
            "vote",
            "UPDATE lockstep_directory SET envelope = CAST(substr(CAST(envelope AS TEXT), 1, instr(CAST(envelope AS TEXT), '},{\"keyid\"')) || ']}' AS BLOB) WHERE kind = 'contract.propose'".to_owned(),
            "of 3 participants signed it, it needs 3",
        ),
    ];
    for (name, sql, expected) in cases {
        let copy = inspector.edited(name, &sql);
        let (status, said) = inspector.check(&copy, "seller:sale-1", &[]);
        assert_eq!(status, 1, "{name}: {said}");
        assert!(said.contains(expected), "{name} should name {expected:?}:\n{said}");
    }
}
