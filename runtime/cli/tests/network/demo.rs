//! `demo --network` as people start it; what it says is held against the databases that it leaves.

use lockstep_core::json::Json;

use crate::organisation::text;
use crate::support::Place;
use crate::support::schemas::check;

/// What a database that the demo left answers.
fn rows(place: &Place, node: &str, sql: &str) -> Vec<Json> {
    place.well(&["--dir", &format!("network/{node}"), "sql", sql, "--json"]).json().as_array().unwrap().to_vec()
}

#[test]
fn four_databases_have_the_same_heads_and_each_its_own_sections() {
    let place = Place::new("network-demo");
    let ran = place.run(&["demo", "--network", "--dir", "network", "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let said = ran.json();
    check("demo-network", &said);
    assert_eq!(said.get("same_heads"), Some(&Json::from(true)));
    assert_eq!(said.get("hidden_bytes_seen"), Some(&Json::from(0_u64)));
    assert!(said.get("negotiation_bytes_to_buyer").and_then(Json::as_u64).unwrap() > 100, "what counts is counted");
    let nodes = said.get("nodes").and_then(Json::as_array).unwrap();
    let names: Vec<String> = nodes.iter().map(|node| text(node, "name")).collect();
    assert_eq!(names, ["seller", "buyer", "inspector", "regulator"]);
    for verified in said.get("verify").and_then(Json::as_array).unwrap() {
        assert_eq!(verified.get("clean"), Some(&Json::from(true)), "{verified}");
    }
    let all = "SELECT lockstep_head AS head, negotiation FROM house_sale";
    let head = rows(&place, "seller", all)[0].get("head").cloned();
    for node in nodes {
        let name = text(node, "name");
        let row = rows(&place, &name, all)[0].clone();
        assert_eq!(row.get("head"), head.as_ref(), "{name}");
        let hidden = node.get("null_sections").and_then(Json::as_array).unwrap().contains(&Json::from("negotiation"));
        assert_eq!(row.get("negotiation") == Some(&Json::Null), hidden, "{name}: {row}");
        assert_eq!(hidden, name == "inspector", "{name}");
        let verified = place.well(&["--dir", &format!("network/{name}"), "verify", "--execute", "--json"]).json();
        assert_eq!(verified.get("clean"), Some(&Json::from(true)), "{name}");
    }
    let bought = text(&rows(&place, "buyer", all)[0], "negotiation");
    assert!(bought.contains("345000.00"), "the buyer has the negotiation: {bought}");
    let again = place.run(&["demo", "--network", "--dir", ".", "--json"]);
    assert_eq!(again.status, 1, "a directory that is not the demo's is left alone: {}", again.stdout);
}
