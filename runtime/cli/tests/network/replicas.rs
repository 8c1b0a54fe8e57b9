//! What each node knows of an intent that one of them sequenced, and that every verb tells it on a replica, too.

use lockstep_core::crypto::{Digest, PublicKey};
use lockstep_core::json::Json;
use lockstep_core::log::{Checkpoint, leaf_hash, verify_inclusion};

use crate::organisation::{Organisation, agreed, listing, price, text};
use crate::support::schemas::check;

/// The sequencer's key, as this node's directory has it.
fn key_of(organisation: &Organisation, node: &str) -> PublicKey {
    let peers = organisation.does("network-peers", &["network", "peers"]);
    let found = peers.as_array().unwrap().iter().find(|one| text(one, "participant") == node).unwrap();
    PublicKey::parse(&text(&found.get("nodes").and_then(Json::as_array).unwrap()[0], "public_key")).unwrap()
}

/// Holds a receipt against the sequencer's key, as somebody who has nothing else would.
fn proves(receipt: &Json, network: &str, key: &PublicKey) {
    let log = text(receipt, "log");
    let head = Checkpoint::verify(&text(receipt, "checkpoint"), &format!("lockstep/{network}/{log}"), key).unwrap();
    let path = receipt.get("path").and_then(Json::as_array).unwrap();
    let path: Vec<Digest> = path.iter().map(|hash| Digest::parse(hash.as_str().unwrap()).unwrap()).collect();
    let index = receipt.get("index").and_then(Json::as_u64).unwrap();
    assert!(verify_inclusion(&leaf_hash(text(receipt, "leaf").as_bytes()), index, head.size, &path, &head.root));
}

#[test]
fn an_intent_comes_back_with_outcome_and_receipt_of_the_sequencers_log() {
    let (seller, buyer) = agreed("receipt");
    let network = text(&buyer.does("verify", &["verify"]), "network_id");
    let key = key_of(&buyer, "seller");
    seller.submits("alice", "list", &listing());
    buyer.waits();
    for (offered, status) in [("320000.00", "applied"), ("1.00", "rejected")] {
        let outcome = buyer.submits("bob", "offer", &price(offered));
        assert_eq!(text(&outcome, "status"), status);
        let receipt = outcome.get("receipt").unwrap();
        assert_eq!(text(receipt, "log"), "seller/1");
        proves(receipt, &network, &key);
        let id = text(&outcome, "intent_id");
        for organisation in [&seller, &buyer] {
            let shown = organisation.run(&["intent", "show", &id]);
            check("intent-show", &shown.json());
            assert_eq!(shown.json().get("receipt"), Some(receipt), "at {}", organisation.name);
        }
    }
    let listed = buyer.does("intent-list", &["intent", "list"]);
    let listing = listed.as_array().unwrap().iter().find(|one| text(one, "actor") == "alice@seller").unwrap();
    let shown = buyer.does("intent-show", &["intent", "show", &text(listing, "intent_id")]);
    proves(shown.get("receipt").unwrap(), &network, &key);
}

#[test]
fn an_intent_signed_for_another_node_waits_for_its_sequencer() {
    let (mut seller, buyer) = agreed("waits");
    seller.submits("alice", "list", &listing());
    buyer.waits();
    seller.stop();
    let offer = price("320000.00").canonical();
    let late = ["submit", "house_sale.offer", "seller:sale-1", "--as", "bob", "--args", &offer, "--timeout", "1s"];
    assert_eq!(buyer.fails(6, &late).0, "outcome_unknown");
    seller.start();
    buyer.waits();
    assert_eq!(text(&buyer.submits("bob", "offer", &price("330000.00")), "status"), "applied");
    buyer.waits();
    buyer.is_clean();
}

/// Seller and buyer with an inspector of its own organisation, who may not see the negotiation.
fn three(test: &str) -> (Organisation, Organisation, Organisation) {
    let (seller, buyer) = agreed(test);
    let mut inspector = Organisation::new(test, "inspector");
    inspector.joins(&seller.invites("inspector", &[]));
    buyer.waits();
    buyer.does("network-peers", &["network", "approve", "inspector"]);
    inspector.waits();
    inspector.does("actor-add", &["actor", "add", "ingrid", "--role", "inspector"]);
    inspector.waits();
    let listed = listing().canonical().replace("ivy@seller", "ingrid@inspector");
    let listed = lockstep_core::json::Json::parse(listed.as_bytes(), &lockstep_core::json::Limits::default()).unwrap();
    assert_eq!(text(&seller.submits("alice", "list", &listed), "status"), "applied");
    buyer.waits();
    (seller, buyer, inspector)
}

#[test]
fn why_an_intent_was_rejected_is_its_own_nodes_to_know() {
    let (seller, buyer, inspector) = three("private");
    let rejected = buyer.submits("bob", "offer", &price("1.00"));
    assert_eq!(
        (text(&rejected, "code"), text(&rejected, "reason")),
        ("contract".to_owned(), "offer_too_low".to_owned())
    );
    inspector.waits();
    seller.waits();
    let id = text(&rejected, "intent_id");
    let sql = format!(
        "SELECT status, code, reason, message, method, arguments FROM lockstep_intent WHERE intent_id = '{id}'"
    );
    let at = |organisation: &Organisation| organisation.rows(&sql)[0].clone();
    assert_eq!(text(&at(&seller), "reason"), "offer_too_low", "who sequences has judged it");
    assert_eq!(text(&at(&buyer), "message"), text(&rejected, "message"));
    let there = at(&inspector);
    assert_eq!(text(&there, "status"), "rejected", "that it was rejected, all know who see the record");
    for column in ["code", "reason", "message", "method", "arguments"] {
        assert_eq!(there.get(column), Some(&Json::Null), "{column} at the inspector: {there}");
    }
    let listed = inspector.place.well(&["intent", "list"]).stdout;
    let line = listed.lines().find(|line| line.contains(&id[..12])).unwrap();
    assert!(line.contains("hidden") && !line.contains("raw changes"), "{line}");
}

#[test]
fn every_verb_that_reads_does_so_on_a_replica() {
    let (seller, buyer, inspector) = three("verbs");
    for offered in ["320000.00", "330000.00"] {
        assert_eq!(text(&buyer.submits("bob", "offer", &price(offered)), "status"), "applied");
    }
    for organisation in [&seller, &buyer, &inspector] {
        organisation.waits();
    }
    let record = ["house_sale", "seller:sale-1"];
    let show =
        |at: &Organisation, more: &[&str]| at.does("record-show", &[&["record", "show"], &record[..], more].concat());
    let (whole, part) = (show(&buyer, &[]), show(&inspector, &[]));
    assert_eq!(text(&whole, "head"), text(&part, "head"), "the same record");
    assert_eq!((text(&whole, "scope"), text(&part, "scope")), ("full".to_owned(), "partial".to_owned()));
    assert_eq!(show(&seller, &[]).get("sections"), whole.get("sections"));
    assert_eq!(part.get("sections").unwrap().get("negotiation"), Some(&Json::Null));
    assert_eq!(part.get("hidden"), Some(&Json::Array(vec![Json::from("negotiation")])));
    assert_eq!(show(&inspector, &["--at", "3"]), part, "also as of a seq");
    let narrow = show(&buyer, &["--as", "bob"]);
    assert_eq!(narrow.get("sections"), whole.get("sections"));
    let people = inspector.place.well(&[&["record", "show"], &record[..]].concat()).stdout;
    assert!(people.contains("hidden from this node"), "{people}");
    for (at, sections) in
        [(&buyer, vec!["listing", "negotiation", "parties"]), (&inspector, vec!["listing", "parties"])]
    {
        let history = at.does("record-history", &[&["record", "history"], &record[..]].concat());
        let changes =
            history.as_array().unwrap().iter().flat_map(|one| one.get("changes").and_then(Json::as_array).unwrap());
        let mut seen: Vec<String> = changes.map(|change| text(change, "section")).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, sections, "{}", at.name);
        at.does("record-list", &["record", "list", "house_sale"]);
        let ran = at.place.well(&["events", "--json"]);
        assert_eq!(ran.lines().len(), 3, "{}", at.name);
        ran.lines().iter().for_each(|line| check("events", line));
        let told = at.place.well(&["notifications", "--json"]);
        told.lines().iter().for_each(|line| check("notifications", line));
        let hidden = told.lines().iter().filter(|line| text(line, "section") == "negotiation").count();
        assert_eq!(hidden, if at.name == "buyer" { 2 } else { 0 }, "{}", at.name);
        let rows = at.rows("SELECT negotiation, lockstep_scope FROM house_sale");
        assert_eq!(rows[0].get("negotiation") == Some(&Json::Null), at.name == "inspector");
        let doctor = at.does("doctor", &["doctor"]);
        assert_eq!(doctor.get("ok"), Some(&Json::from(true)), "{doctor}");
        at.is_clean();
    }
    let price = inspector.rows("SELECT count(*) AS n FROM lockstep_change WHERE section = 'negotiation'");
    assert_eq!(price[0].get("n"), Some(&Json::from(0_u64)));
}
