//! What `lockstep bench` measures beside the whole, at a small scale: each prints what its schema says, and has looked
//! at what it claims.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json::Json;
use support::Place;

/// Runs one of them on 100 intents and 20 records.
fn measured(what: &[&str], schema: &str) -> Json {
    let place = Place::new(schema);
    let arguments = [&["bench", "--intents", "100", "--records", "20", "--json"], what].concat();
    let ran = place.run(&arguments);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let document = ran.json();
    support::schemas::check(schema, &document);
    document
}

fn at<'a>(json: &'a Json, path: &[&str]) -> &'a Json {
    path.iter().fold(json, |json, name| json.get(name).unwrap())
}

#[test]
fn an_application_without_evidence_serves_the_same_requests() {
    let document = measured(&["--naive"], "bench-naive");
    for spread in ["even", "contended"] {
        for clients in ["1", "4", "16", "64"] {
            for side in ["lockstep_per_s", "naive_per_s"] {
                let rate = at(&document, &[spread, "waiting", clients, side]).as_f64();
                assert!(rate.unwrap() > 0.0, "{spread} {clients} {side}");
            }
        }
    }
}

#[test]
fn commits_are_timed_with_few_records_and_with_many() {
    let document = measured(&["--growth", "300"], "bench-growth");
    let costs = at(&document, &["costs"]).as_array().unwrap();
    let records: Vec<_> = costs.iter().map(|costs| at(costs, &["records"]).as_u64().unwrap()).collect();
    assert_eq!(records, [20, 300]);
    assert!(at(&document, &["ratio"]).as_f64().unwrap() > 0.0);
}

#[test]
fn what_a_change_costs_is_told_for_a_small_section_and_a_large_one() {
    let document = measured(&["--sections"], "bench-sections");
    let sections = at(&document, &["sections"]).as_array().unwrap();
    let bytes: Vec<_> = sections.iter().map(|section| at(section, &["bytes"]).as_u64().unwrap()).collect();
    let [small, large] = bytes.as_slice() else { panic!("{bytes:?}") };
    assert!((4 << 10..8 << 10).contains(small), "{small}");
    assert!((4 << 20..8 << 20).contains(large), "{large}");
}

#[test]
fn every_event_is_verified_and_its_signatures_and_hashes_are_counted() {
    let document = measured(&["--verify"], "bench-verify");
    assert_eq!(at(&document, &["events"]).as_u64(), Some(120));
    let calls = |what: &str| at(&document, &["bare", what, "calls"]).as_u64().unwrap();
    assert!(calls("signatures") >= 120, "an intent is signed");
    assert!(calls("hashes") >= 3 * 120, "an intent, its event and their leaf are hashed");
    assert!(calls("commitments") >= 6 * 120, "what is committed to is opened");
}

#[test]
fn what_is_read_in_bulk_is_what_the_database_exports() {
    let document = measured(&["--export"], "bench-export");
    assert_eq!(at(&document, &["ndjson_records", "rows"]).as_u64(), Some(20));
    assert_eq!(at(&document, &["csv_records", "rows"]).as_u64(), Some(20));
    assert_eq!(at(&document, &["csv_events", "rows"]).as_u64(), Some(120));
}

#[test]
fn one_thing_is_measured_at_a_time() {
    let place = Place::new("bench-beside-no");
    for wrong in [["--naive", "--verify"], ["--growth", "--export"], ["--sections", "--contended"]] {
        let arguments = [&["bench", "--json"][..], &wrong].concat();
        assert_eq!(place.run(&arguments).status, 2, "{wrong:?}");
    }
}
