//! `lockstep bench --replication` at a small scale: it prints what its schema says, and measured what it claims.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json::Json;
use support::Place;

fn at<'a>(json: &'a Json, part: &str, name: &str) -> &'a Json {
    json.get(part).and_then(|part| part.get(name)).unwrap()
}

#[test]
fn readers_execute_everything_again_and_the_floor_writes_what_a_reader_wrote() {
    let place = Place::new("bench-replication");
    let kept = place.0.join("kept").display().to_string();
    let ran = place.run(&[
        "bench",
        "--replication",
        "--readers",
        "2",
        "--intents",
        "100",
        "--records",
        "10",
        "--keep",
        &kept,
        "--json",
    ]);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let document = ran.json();
    support::schemas::check("bench-replication", &document);
    for (table, rows) in document.get("rows").and_then(Json::as_object).unwrap().iter() {
        assert_eq!(rows.get("reader"), rows.get("floor"), "{table}");
    }
    let timed = at(&document, "lag", "events").as_u64().unwrap();
    assert_eq!(at(&document, "compared", "full").as_u64(), Some(2 * (300 + timed)));
    for (part, name) in [("sequencer", "events_per_s"), ("backlog", "events_per_s"), ("floor", "events_per_s")] {
        assert!(at(&document, part, name).as_f64().unwrap() > 0.0, "{part}");
    }
    // The directory of the reader with the bare writer's rows in place of its own.
    let (home, floor) = (format!("{kept}/reader1"), format!("sqlite:{kept}/floor.db"));
    std::fs::remove_file(format!("{home}/checkpoint")).unwrap();
    let verified = place.run(&["--dir", &home, "--database", &floor, "verify", "--json"]);
    assert_eq!(verified.json().get("clean"), Some(&Json::from(true)), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn readers_are_of_a_replication_and_contention_is_not() {
    let place = Place::new("bench-replication-no");
    for wrong in [["bench", "--readers", "2"], ["bench", "--replication", "--contended"]] {
        assert_eq!(place.run(&wrong).status, 2, "{wrong:?}");
    }
}
