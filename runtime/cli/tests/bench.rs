//! `lockstep bench` at a small scale: it prints what its schema says, and its floor is what it claims to be.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json::Json;
use support::Place;

fn number(json: &Json, path: [&str; 2]) -> f64 {
    json.get(path[0]).and_then(|part| part.get(path[1])).and_then(Json::as_f64).unwrap()
}

#[test]
fn the_floor_writes_the_same_rows_so_that_its_database_verifies_as_the_nodes_own() {
    let place = Place::new("bench");
    let kept = place.0.join("kept").display().to_string();
    let ran = place.run(&["bench", "--intents", "300", "--records", "20", "--keep", &kept, "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let document = ran.json();
    support::schemas::check("bench", &document);
    for (table, rows) in document.get("rows").and_then(Json::as_object).unwrap().iter() {
        assert_eq!(rows.get("end_to_end"), rows.get("floor"), "{table}");
    }
    assert!(number(&document, ["end_to_end", "intents_per_s"]) > 0.0);
    assert!(number(&document, ["floor", "intents_per_s"]) > 0.0);
    // 20 that open the records, 300 with many under way, 30 one by one.
    let outcomes = document.get("rows").and_then(|rows| rows.get("lockstep_event")).unwrap();
    assert_eq!(outcomes.get("end_to_end").and_then(Json::as_u64), Some(350));
    let floor = format!("sqlite:{kept}/floor.db");
    let node = format!("{kept}/node");
    let verified = place.run(&["--dir", &node, "--database", &floor, "verify", "--json"]);
    assert_eq!(verified.json().get("clean"), Some(&Json::from(true)), "{}", verified.stdout);
}

#[test]
fn what_is_there_is_not_written_over_and_nobodys_database_is_measured() {
    let place = Place::new("bench-no");
    std::fs::write(place.0.join("mine"), "x").unwrap();
    let there = place.run(&["bench", "--intents", "100", "--keep", &place.0.display().to_string(), "--json"]);
    assert_eq!(there.status, 1, "{}{}", there.stdout, there.stderr);
    let url = place.run(&["bench", "--intents", "100", "--database", "sqlite:mine.db", "--json"]);
    assert_eq!(url.status, 2, "{}{}", url.stdout, url.stderr);
}
