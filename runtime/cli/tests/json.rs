//! Every verb with `--json` on a real directory: what it prints satisfies its schema in docs/schemas/cli.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use std::collections::BTreeSet;

use lockstep_core::json::{Json, Limits};
use support::daemon::Daemon;
use support::{Place, package, root};

/// Holds documents against the schemas and notes which ones were used.
struct Schemas(BTreeSet<String>);

impl Schemas {
    fn check(&mut self, name: &str, document: &Json) {
        support::schemas::check(name, document);
        self.0.insert(name.to_owned());
    }
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap()
}

#[test]
fn every_verb_prints_what_its_schema_says() {
    let place = Place::new("json");
    let dir = place.dir().display().to_string();
    let mut schemas = Schemas(BTreeSet::new());
    let mut one = |name: &str, status: i32, args: &[&str]| {
        let ran = place.run(&[args, &["--json"]].concat());
        assert_eq!(ran.status, status, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.lines().count(), 1, "{args:?} prints one document: {}", ran.stdout);
        schemas.check(name, &ran.json());
        ran.json()
    };
    one("init", 0, &["init", &dir, "--network", "sales", "--participant", "acme"]);
    one("error", 1, &["init", &dir, "--network", "sales", "--participant", "acme"]);
    for (actor, participant, role) in
        [("alice", "acme", "seller"), ("bob", "buyer", "buyer"), ("ivy", "inspector", "inspector")]
    {
        one("actor-add", 0, &["actor", "add", actor, "--participant", participant, "--role", role]);
    }
    one("actor-add", 0, &["actor", "add", "eve", "--participant", "buyer"]);
    one("actor-rotate", 0, &["actor", "rotate", "eve"]);
    one("actor-revoke", 0, &["actor", "revoke", "eve"]);
    one("actor-show", 0, &["actor", "show", "bob"]);
    one("actor-list", 0, &["actor", "list"]);
    one("key-new", 0, &["key", "new", "carol"]);
    one("key-show", 0, &["key", "show", "carol"]);
    one("key-list", 0, &["key", "list"]);
    one("token", 0, &["token", "--as", "bob", "--ttl", "5m"]);
    one("error", 2, &["token", "--as", "bob", "--ttl", "25h"]);
    one("contract-deploy", 0, &["contract", "deploy", package().to_str().unwrap()]);
    one("contract-list", 0, &["contract", "list"]);

    let listing = r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;
    one("submit", 0, &["submit", "house_sale.list", "acme:sale-1", "--as", "alice", "--args", listing]);
    let offer = ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args"];
    let applied = one("submit", 0, &[&offer[..], &[r#"{"price":"340000.00"}"#]].concat());
    let rejected = one("submit", 4, &[&offer[..], &[r#"{"price":"1.00"}"#]].concat());
    one("error", 3, &["submit", "house_sale.offer", "acme:sale-1", "--as", "eve", "--args", "{}"]);
    one("error", 2, &["submit", "house_sale", "acme:sale-1"]);
    one("intent-sign", 0, &["intent", "sign", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", "{}"]);
    one("intent-show", 0, &["intent", "show", text(&applied, "intent_id")]);
    one("intent-list", 0, &["intent", "list"]);
    let replayed = one("intent-replay", 0, &["intent", "replay", text(&applied, "intent_id")]);
    assert_eq!(replayed.get("same"), Some(&Json::from(true)));
    let replayed = one("intent-replay", 0, &["intent", "replay", &text(&rejected, "intent_id")[..12]]);
    assert_eq!((text(&replayed, "status"), text(&replayed, "reason")), ("rejected", "offer_too_low"));
    one("error", 1, &["intent", "replay", &"0".repeat(64)]);

    let history = place.dir().join("lockstep.db").display().to_string();
    let next = root().join("examples/house-sale-1.1/package/house_sale-1.1.0.lockstep").display().to_string();
    one("contract-test", 0, &["contract", "test", &next, "--against-history", &history]);

    let shown = one("record-show", 0, &["record", "show", "house_sale", "acme:sale-1"]);
    assert_eq!(one("record-show", 0, &["record", "show", "house_sale", "acme:sale-1", "--at", "2"]), shown);
    let narrow = one("record-show", 0, &["record", "show", "house_sale", "acme:sale-1", "--as", "ivy"]);
    let sections: Vec<&str> = narrow.get("sections").and_then(Json::as_object).unwrap().keys().collect();
    assert_eq!(sections, ["listing", "parties"], "the inspector may not read the negotiation");
    one("record-history", 0, &["record", "history", "house_sale", "acme:sale-1"]);
    one("record-list", 0, &["record", "list", "house_sale"]);
    one("objection-list", 0, &["objection", "list"]);
    one("error", 1, &["objection", "show", "4131dbc6485e"]);
    one("error", 2, &["objection", "show", "execution"]);
    one("error", 1, &["record", "show", "house_sale", "acme:sale-9"]);
    one("sql", 0, &["sql", "SELECT record_id, lockstep_seq, inspection, x'cafe' AS b, 1.5 AS r FROM house_sale"]);
    one("error", 3, &["sql", "DELETE FROM house_sale"]);
    one("explain", 0, &["explain", "stale_expect"]);
    one("explain-list", 0, &["explain", "--list"]);
    one("error", 2, &["explain", "stale"]);
    let suite = format!("sqlite:{}", place.0.join("suite.db").display());
    one("conformance-database", 0, &["conformance", "database", "--url", &suite]);
    one("completions", 0, &["completions", "bash"]);
    let copy = place.0.join("copy.db").display().to_string();
    one("database-backup", 0, &["database", "backup", &copy]);
    one("error", 2, &["database", "backup", &copy]);
    one("database-restore", 0, &["database", "restore", &copy]);
    one("database-size", 0, &["database", "size"]);
    one("doctor", 0, &["doctor"]);
    one("doctor-columns", 0, &["doctor", "--columns"]);
    one("error", 2, &["frobnicate"]);
    one("error", 1, &["--dir", "/nowhere", "doctor"]);
    let verified = one("verify", 0, &["verify", "--execute"]);
    assert_eq!(verified.get("clean"), Some(&Json::from(true)));

    let (from, to) = (format!("sqlite:{history}"), format!("sqlite:{}", place.0.join("moved.db").display()));
    let copied = one("database-copy", 0, &["database", "copy", &from, &to]);
    assert_eq!(copied.get("same"), Some(&Json::from(true)));
    one("error", 2, &["database", "copy", &from, &to]);
    assert_eq!(one("verify", 0, &["verify", "--database", &to]).get("root"), verified.get("root"));

    for (name, args) in [("events", ["events", "--json"]), ("notifications", ["notifications", "--json"])] {
        let lines = place.well(&args).lines();
        assert!(!lines.is_empty());
        lines.iter().for_each(|line| schemas.check(name, line));
        let last = lines.last().and_then(|line| line.get("position")).unwrap().to_string();
        let after = place.well(&[name, "--after", last.trim_matches('"'), "--json"]);
        assert!(after.stdout.is_empty(), "nothing comes after the last position");
    }
    // A node that runs says where on its first line and nothing after it.
    let mut node = Daemon::start(&place, &["--json"]);
    schemas.check("run", &Json::parse(node.first.trim().as_bytes(), &Limits::default()).unwrap());
    node.signal("TERM");
    assert_eq!(node.ended(), (Some(0), String::new()));
    // These are held to their schemas where they are tested: they build, take longer, or need several nodes.
    let elsewhere = [
        "bench",
        "bench-export",
        "bench-growth",
        "bench-naive",
        "bench-replication",
        "bench-sections",
        "bench-verify",
        "contract-build",
        "demo",
    ];
    let of_networks = [
        "contract-approve",
        "demo-network",
        "intent-proof",
        "network-invite",
        "network-peers",
        "network-status",
        "objection-show",
    ];
    let all: BTreeSet<String> = std::fs::read_dir(root().join("docs/schemas/cli"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !elsewhere.iter().chain(&of_networks).any(|other| other == name))
        .collect();
    assert_eq!(schemas.0, all, "every schema is held against something");
}
