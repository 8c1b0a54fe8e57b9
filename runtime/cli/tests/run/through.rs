//! While a node runs on a directory, commands go through it.

use lockstep_core::json::Json;

use crate::http::{ask, parse};
use crate::seller::Seller;
use crate::support::daemon::Daemon;
use crate::support::{Place, Ran, package};

const OFFER: [&str; 5] = ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob"];

fn offer(place: &Place, price: &str) -> Ran {
    place.run(&[&OFFER[..], &["--args", price, "--json"]].concat())
}

fn members(outcome: &Json) -> Vec<String> {
    outcome.as_object().unwrap().keys().map(str::to_owned).collect()
}

#[test]
fn an_outcome_is_the_same_through_a_running_node() {
    let place = Place::sale("run-same");
    let (alone, rejected) = (offer(&place, r#"{"price":"341000.00"}"#), offer(&place, r#"{"price":"1.00"}"#));
    let node = Daemon::start(&place, &[]);
    for (without, price) in [(alone, r#"{"price":"342000.00"}"#), (rejected, r#"{"price":"2.00"}"#)] {
        let with = offer(&place, price);
        assert_eq!(with.status, without.status);
        assert_eq!(members(&with.json()), members(&without.json()));
        let (id, outcome) = (with.json().get("intent_id").unwrap().as_str().unwrap().to_owned(), with.json());
        let shown = place.run(&["intent", "show", &id, "--json"]);
        assert_eq!(shown.json(), outcome, "what was answered is what is stored");
    }
    let refused = place.run(&[&OFFER[..], &["--expires", "0s", "--json"]].concat());
    assert_eq!(refused.status, 3, "{}", refused.stdout);
    let waits = place.run(&[&OFFER[..], &["--args", r#"{"price":"343000.00"}"#, "--no-wait", "--json"]].concat());
    assert_eq!((waits.status, waits.json().get("status").and_then(Json::as_str)), (0, Some("pending")));
    node.stop();
    assert_eq!(place.run(&["verify"]).status, 0);
}

#[test]
fn everything_that_writes_goes_through_it() {
    let place = Place::new("run-writes");
    let dir = place.dir().display().to_string();
    place.well(&["init", &dir, "--network", "sales", "--participant", "acme"]);
    let node = Daemon::start(&place, &[]);
    place.well(&["actor", "add", "alice", "--role", "seller"]);
    place.well(&["actor", "add", "bob", "--participant", "buyer", "--role", "buyer"]);
    place.well(&["actor", "add", "ivy", "--participant", "inspector", "--role", "inspector"]);
    place.well(&["actor", "rotate", "bob"]);
    place.well(&["contract", "deploy", package().to_str().unwrap()]);
    let again = place.run(&["contract", "deploy", package().to_str().unwrap(), "--json"]);
    assert_eq!(again.status, 3, "{}", again.stdout);
    let (listing, _) = Seller::of(&place).lists("sale-1");
    std::fs::write(place.0.join("listing.json"), listing).unwrap();
    place.well(&["submit", "--envelope", "@listing.json"]);
    place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"340000.00"}"#]);
    place.well(&["actor", "revoke", "bob"]);
    let relayed = "SELECT count(*) AS n FROM lockstep_outbox WHERE status <> 'delivered'";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while place.well(&["sql", relayed, "--json"]).stdout.trim() != r#"[{"n":0}]"# {
        assert!(std::time::Instant::now() < until, "a running node relays");
    }
    node.stop();
    place.well(&["verify", "--execute"]);
}

#[test]
fn several_processes_write_at_once() {
    let place = Place::sale("run-several");
    let node = Daemon::start(&place, &[]);
    std::thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            let place = &place;
            scope.spawn(move || {
                let house = format!("acme:house-{name}");
                let listing = r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;
                place.well(&["submit", "house_sale.list", &house, "--as", "alice", "--args", listing]);
                place.well(&["actor", "add", name, "--role", "seller"]);
            });
        }
    });
    node.stop();
    place.well(&["verify"]);
}

#[test]
fn a_thousand_lines_are_answered_in_their_order() {
    let place = Place::sale("run-lines");
    let seller = Seller::of(&place);
    let node = Daemon::start(&place, &[]);
    let signed: Vec<(String, String)> = (0..1000).map(|number| seller.lists(&format!("house-{number}"))).collect();
    let lines: Vec<&str> = signed.iter().map(|(line, _)| line.as_str()).collect();
    // What is no intent is answered in its place, too; an empty line is nothing.
    let body = format!("{}\n\nno intent\n", lines.join("\n"));
    let answer = ask(&node.address(), "POST", "/v1/intents?wait=60s", "application/x-ndjson", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200);
    let answers: Vec<Json> = answer.body.lines().map(parse).collect();
    let (last, outcomes) = answers.split_last().unwrap();
    let ids: Vec<&str> =
        outcomes.iter().map(|outcome| outcome.get("intent_id").and_then(Json::as_str).unwrap()).collect();
    assert_eq!(ids, signed.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>());
    assert!(outcomes.iter().all(|outcome| outcome.get("status").and_then(Json::as_str) == Some("applied")));
    assert_eq!(last.get("code").and_then(Json::as_str), Some("malformed"));
    std::fs::write(place.0.join("batch.ndjson"), lines.join("\n")).unwrap();
    let again = place.well(&["submit", "--batch", "@batch.ndjson", "--json"]);
    assert_eq!(again.lines(), outcomes, "the same intents have the same outcomes");
    node.stop();
    place.well(&["verify"]);
}

#[test]
fn a_node_on_another_database_takes_nothing_for_this_one() {
    let place = Place::sale("run-other");
    let node = Daemon::start(&place, &[]);
    let other = place.run(&[&OFFER[..], &["--args", "{}", "--database", "sqlite:other.db", "--json"]].concat());
    assert_eq!(other.status, 6, "{}", other.stdout);
    node.stop();
}
