//! What people see, kept as transcripts in `transcripts/`; `LOCKSTEP_BLESS=1 cargo test` writes them anew.
//!
//! What differs from run to run is masked: digests, times, the directory, free space.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use std::fmt::Write;

use support::{Place, root};

/// Runs commands and holds all that they print against a file.
fn check(place: &Place, name: &str, commands: &[&[&str]]) {
    let mut transcript = String::new();
    for args in commands {
        let ran = place.run(args);
        let shown: Vec<String> = args
            .iter()
            .map(|arg| if arg.contains([' ', '"']) { format!("'{arg}'") } else { (*arg).to_owned() })
            .collect();
        writeln!(transcript, "$ lockstep {}", shown.join(" ")).unwrap();
        transcript.push_str(&ran.stdout);
        transcript.push_str(&ran.stderr);
        if ran.status != 0 {
            writeln!(transcript, "[exit status {}]", ran.status).unwrap();
        }
        transcript.push('\n');
    }
    let transcript = mask(&transcript, &place.0.display().to_string());
    let path = root().join(format!("runtime/cli/tests/transcripts/{name}.txt"));
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &transcript).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != transcript {
        let line = kept.lines().zip(transcript.lines()).position(|(old, new)| old != new);
        let line = line.unwrap_or_else(|| kept.lines().count().min(transcript.lines().count()));
        panic!(
            "{} differs from line {} on; LOCKSTEP_BLESS=1 rewrites it\n--- kept\n{kept}\n--- now\n{transcript}",
            path.display(),
            line + 1
        );
    }
}

/// Puts words in place of what is another one in every run.
fn mask(text: &str, place: &str) -> String {
    let mut masked = String::new();
    let mut rest = text.replace(place, "PLACE");
    while !rest.is_empty() {
        let (taken, put) = volatile(&rest, masked.chars().last()).unwrap_or_else(|| {
            let first = rest.chars().next().unwrap();
            (first.len_utf8(), first.to_string())
        });
        masked.push_str(&put);
        rest.drain(..taken);
    }
    masked
}

/// How many bytes at the start are volatile, and what stands for them.
fn volatile(text: &str, before: Option<char>) -> Option<(usize, String)> {
    if before.is_some_and(|before| before.is_ascii_alphanumeric()) {
        return None;
    }
    let run = |fits: fn(char) -> bool| text.chars().take_while(|c| fits(*c)).count();
    let time = run(|c| c.is_ascii_digit() || "-T:.Z".contains(c));
    if time >= 10 && text.as_bytes().get(4) == Some(&b'-') {
        return Some((time, if time > 10 { "TIME" } else { "DATE" }.to_owned()));
    }
    let hex = run(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    if hex == 64 || hex == 12 {
        return Some((hex, format!("HEX{hex}")));
    }
    let number = run(|c| c.is_ascii_digit() || c == '.');
    let unit = ["MiB", "s\n"].into_iter().find(|unit| text[number..].starts_with(&format!(" {unit}")));
    unit.filter(|_| number > 0).map(|_| (number, "N".to_owned()))
}

#[test]
fn records_read_well() {
    let place = Place::sale("transcript-record");
    check(
        &place,
        "record",
        &[
            &["record", "show", "house_sale", "acme:sale-1"],
            &["record", "show", "house_sale", "acme:sale-1", "--at", "1", "--as", "ivy"],
            &["record", "history", "house_sale", "acme:sale-1"],
            &["record", "list", "house_sale"],
            &["record", "show", "house_sal", "acme:sale-1"],
            &["record", "show", "house_sale", "acme:sale-1", "--at", "7"],
            &["record", "show", "house_sale", "acme:sale-1", "--at", "noon"],
        ],
    );
}

#[test]
fn intents_events_and_queries_read_well() {
    let place = Place::sale("transcript-intent");
    place.run(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"1.00"}"#]);
    let listed = place.well(&["intent", "list", "--json"]).json();
    let id = |at: usize| {
        let one = listed.as_array().unwrap().get(at).unwrap();
        one.get("intent_id").and_then(lockstep_core::json::Json::as_str).unwrap().chars().take(12).collect::<String>()
    };
    check(
        &place,
        "intent",
        &[
            &["intent", "list"],
            &["intent", "list", "--status", "rejected", "--record", "acme:sale-1"],
            &["intent", "replay", &id(0)],
            &["intent", "replay", &id(1)],
            &["events"],
            &["sql", "SELECT record_id, status, inspection FROM house_sale"],
            &["sql", "SELECT 'a,b' AS x, NULL AS y, '' AS z", "--csv"],
            &["sql", "DROP TABLE house_sale"],
        ],
    );
}

/// A copy of the database that somebody edited with another client.
fn edited_copy(place: &Place) {
    use lockstep_sqlite::client::{copy, execute};
    let edited = place.0.join("edited.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(copy(&place.dir().join("lockstep.db"), &edited)).unwrap();
    let edits = ["UPDATE house_sale SET asking_price = 1", "DELETE FROM lockstep_outbox"];
    runtime.block_on(execute(&edited, &edits)).unwrap();
}

#[test]
fn checks_and_explanations_read_well() {
    let place = Place::sale("transcript-check");
    edited_copy(&place);
    check(
        &place,
        "check",
        &[
            &["verify"],
            &["verify", "--record", "house_sale/acme:sale-1"],
            &["verify", "--database", "sqlite:nowhere.db"],
            &["verify", "--database", "sqlite:edited.db"],
            &["doctor"],
            &["explain", "stale_expect"],
            &["explain", "stale"],
        ],
    );
}

#[test]
fn every_verb_has_examples_in_its_help() {
    let place = Place::new("transcript-help");
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(verb) = waiting.pop() {
        let args: Vec<&str> = verb.iter().map(String::as_str).chain(["--help"]).collect();
        let help = place.well(&args).stdout;
        let listed = help.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default());
        match listed {
            Some(list) => {
                let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
                let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
                waiting.extend(names.map(|name| [verb.clone(), vec![name.to_owned()]].concat()));
            }
            None => assert!(help.contains("Example"), "lockstep {} has no example:\n{help}", verb.join(" ")),
        }
    }
}
