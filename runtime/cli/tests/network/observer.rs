//! An observer that supervises: it gets every section, runs every method again, and changes nothing.

use lockstep_core::json::{Json, json};

use crate::organisation::{Organisation, agreed, listing, price, text};

const SALE: &str = "SELECT lockstep_head, lockstep_scope, negotiation IS NULL AS hidden FROM house_sale";

/// The listing, with the regulator as its supervisor.
fn supervised() -> Json {
    let mut listing = listing();
    if let Json::Object(listing) = &mut listing {
        listing.insert("supervisor", "regulator");
    }
    listing
}

/// Seller, buyer and a regulator without a vote, whose rita may supervise.
fn three(test: &str) -> (Organisation, Organisation, Organisation) {
    let (seller, buyer) = agreed(test);
    let mut regulator = Organisation::new(test, "regulator");
    regulator.joins(&seller.invites("regulator", &["--observer"]));
    buyer.waits();
    buyer.does("network-peers", &["network", "approve", "regulator"]);
    regulator.waits();
    regulator.does("actor-add", &["actor", "add", "rita", "--role", "supervisor"]);
    seller.waits();
    regulator.waits();
    (seller, buyer, regulator)
}

/// How many outcomes a node applied that came from others: executed again, and not.
fn compared(organisation: &Organisation) -> (u64, u64) {
    let status = organisation.waits();
    let peers = status.get("peers").and_then(Json::as_array).unwrap();
    let sum = |level: &str| {
        peers
            .iter()
            .map(|peer| peer.get("compared").and_then(|all| all.get(level)).and_then(Json::as_u64).unwrap())
            .sum()
    };
    (sum("full"), sum("partial"))
}

#[test]
fn who_supervises_sees_all_runs_all_again_and_changes_nothing() {
    let (seller, buyer, regulator) = three("observer");
    seller.submits("alice", "list", &supervised());
    buyer.waits();
    assert_eq!(text(&buyer.submits("bob", "offer", &price("320000.00")), "status"), "applied");
    // The sequencer knows when a reader has all; the reader knows of what it was told.
    seller.waits();
    assert_eq!(compared(&regulator), (2, 0), "both outcomes were executed again");

    let report = json!({"passed": false, "findings": ["By decree."]});
    let refused = regulator.submits("rita", "inspect", &report);
    assert_eq!((text(&refused, "status"), text(&refused, "code")), ("rejected".to_owned(), "entitlement".to_owned()));
    let refused = regulator.submits("rita", "offer", &price("330000.00"));
    assert_eq!((text(&refused, "status"), text(&refused, "code")), ("rejected".to_owned(), "contract".to_owned()));
    seller.waits();
    assert_eq!(compared(&regulator), (4, 0), "that it was told no, and why, it could check, too");

    buyer.waits();
    let sale = seller.rows(SALE);
    assert_eq!((text(&sale[0], "lockstep_scope"), sale[0].get("hidden")), ("full".to_owned(), Some(&Json::from(0))));
    for organisation in [&seller, &buyer, &regulator] {
        assert_eq!(organisation.rows(SALE), sale, "{}", organisation.name);
        organisation.is_clean();
    }
}

#[test]
fn where_a_contract_governs_grant_names_the_method_that_does_it() {
    let (seller, _buyer) = agreed("governed");
    seller.submits("alice", "list", &listing());
    for verb in ["grant", "ungrant"] {
        let wanted = [verb, "house_sale/seller:sale-1", "negotiation", "regulator", "read", "--as", "alice"];
        let ran = seller.run(&wanted);
        assert_eq!(ran.status, 2, "{verb}: {}{}", ran.stdout, ran.stderr);
        let error = ran.json();
        let error = error.get("error").unwrap();
        assert_eq!(text(error, "code"), "raw_changes");
        assert!(text(error, "hint").contains("lockstep submit house_sale.accept seller:sale-1"), "{error}");
    }
    let intents = seller.rows("SELECT count(*) AS n FROM lockstep_intent");
    assert_eq!(intents[0].get("n"), Some(&Json::from(1)), "nothing was signed that would be rejected");
}
