//! What `intent list` and `intent replay` tell of intents that are not as simple as most.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod support;

use lockstep_core::json::Json;
use support::Place;

/// The ids of the intents about a record.
fn about(place: &Place, record: &str) -> Vec<String> {
    let listed = place.well(&["intent", "list", "--record", record, "--json"]).json();
    let id = |one: &Json| one.get("intent_id").and_then(Json::as_str).unwrap().to_owned();
    listed.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn an_intent_is_listed_under_each_of_its_records_however_it_ended() {
    let place = Place::sale("intents-records");
    let before = about(&place, "acme:sale-1");
    let both = ["submit", "house_sale.offer", "acme:sale-1", "--also", "acme:Sale_2", "--as", "bob", "--args"];
    let ran = place.run(&[&both[..], &[r#"{"price":"340000.00"}"#, "--json"]].concat());
    assert_eq!(ran.status, 4, "a sale's method takes one record: {}{}", ran.stdout, ran.stderr);
    let rejected = ran.json().get("intent_id").and_then(Json::as_str).unwrap().to_owned();
    let with_both = [vec![rejected], before].concat();
    assert_eq!(about(&place, "acme:Sale_2"), with_both[..1]);
    assert_eq!(about(&place, "acme:sale-1"), with_both);
    for other in ["acme:sale_2", "acme:Sale-2", "acme:Sale_"] {
        assert_eq!(about(&place, other), [""; 0], "{other} is another record");
    }
}

#[test]
fn a_change_is_of_the_first_record_unless_it_names_another_and_is_read_strictly() {
    let place = Place::sale("intents-changes");
    let sign = ["intent", "sign", "--spec", "task", "--changes", "-", "acme:t-1", "--also", "acme:t-2"];
    let signed = place.run_with(
        &sign,
        r#"[{"section":"a","op":"remove","path":""},{"section":"a","op":"remove","path":"","record":1}]"#,
    );
    assert_eq!(signed.status, 0, "{}", signed.stderr);
    let signed = signed.json();
    let changes = signed.get("openings").and_then(|openings| openings.get("call")?.get("changes")?.as_array()).unwrap();
    let records: Vec<_> = changes.iter().map(|change| change.get("record").and_then(Json::as_u64)).collect();
    assert_eq!(records, [Some(0), Some(1)]);
    for (wrong, said) in [
        (r#"[{"section":"a","op":"remove","path":"","record":"one"}]"#, "`record`"),
        (r#"[{"op":"remove","path":""}]"#, "`section`"),
        (r#"[{"section":"a","op":"add","path":""}]"#, "value"),
        ("{}", "a JSON array"),
    ] {
        let ran = place.run_with(&sign, wrong);
        assert_eq!((ran.status, ran.stderr.contains(said)), (2, true), "{wrong}: {}", ran.stderr);
    }
}

/// A panic two calls deep in the contract: the author's file with both lines, innermost first, and nothing is changed.
#[test]
fn replaying_a_trapped_intent_shows_the_contract_s_lines() {
    let place = Place::sale("intents-trap");
    let package = place.0.join("probe.lockstep");
    std::fs::write(&package, support::packages::probe()).unwrap();
    place.well(&["contract", "deploy", package.to_str().unwrap()]);
    let trapped = place.run(&["submit", "probe.panics", "acme:probe-1", "--as", "alice"]);
    assert_eq!(trapped.status, 4, "{}{}", trapped.stdout, trapped.stderr);
    let replay = trapped.stderr.split_once("next: lockstep intent replay ").map(|(_, id)| id);
    let id = replay.unwrap_or_else(|| panic!("how to replay it is not said: {}", trapped.stderr)).trim();
    let source = std::fs::read_to_string(support::root().join("runtime/vm/tests/guest/src/lib.rs")).unwrap();
    let line = |text: &str| source.lines().position(|line| line.trim() == text).unwrap() + 1;
    let shown = place.well(&["intent", "replay", id]).stdout;
    let frames: Vec<&str> = shown.lines().filter(|line| line.starts_with("  at ")).collect();
    for (frame, (function, text)) in frames
        .iter()
        .zip([("second_step", "let number = numbers[wanted];"), ("first_step", "second_step(&[cx.seq()])")])
    {
        assert!(frame.contains(function), "{shown}");
        assert!(frame.ends_with(&format!(" src/lib.rs:{}", line(text))), "{shown}");
    }
    assert!(frames.len() > 1 && shown.contains("trap: probe@1.0.0 broke in "), "{shown}");
}
