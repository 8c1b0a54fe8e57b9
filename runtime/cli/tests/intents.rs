//! What `intent list` and `intent replay` tell of intents that are not as simple as most.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

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
    assert_eq!(about(&place, "acme:Sale_2"), [rejected.clone()]);
    assert_eq!(about(&place, "acme:sale-1"), [vec![rejected], before].concat());
    for other in ["acme:sale_2", "acme:Sale-2", "acme:Sale_"] {
        assert_eq!(about(&place, other), [""; 0], "{other} is another record");
    }
}
