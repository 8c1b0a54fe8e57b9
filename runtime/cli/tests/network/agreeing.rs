//! A contract is what all who have a vote agreed to, and nobody else's.

use lockstep_core::json::Json;

use crate::organisation::{listing, text, two};
use crate::support::package;

#[test]
fn a_version_is_active_after_both_have_approved() {
    let (seller, buyer) = two("agree");
    for (home, person, role) in [(&seller, "alice", "seller"), (&seller, "ivy", "inspector"), (&buyer, "bob", "buyer")]
    {
        home.does("actor-add", &["actor", "add", person, "--role", role]);
    }
    let proposed = seller.does("contract-deploy", &["contract", "deploy", package().to_str().unwrap()]);
    assert_eq!(text(&proposed, "status"), "proposed");
    let early =
        seller.run(&["submit", "house_sale.list", "seller:sale-1", "--as", "alice", "--args", &listing().canonical()]);
    assert_ne!(early.status, 0, "half an agreement is none: {}", early.stdout);
    buyer.waits();
    let digest = text(&proposed, "digest");
    let approved = buyer.does("contract-approve", &["contract", "approve", &digest, "--yes"]);
    assert_eq!((text(&approved, "status"), text(&approved, "digest")), ("active".to_owned(), digest));
    seller.waits();
    for organisation in [&seller, &buyer] {
        let list = organisation.does("contract-list", &["contract", "list"]);
        let one = &list.as_array().unwrap()[0];
        assert_eq!(text(one, "status"), "active", "{}", organisation.name);
        assert_eq!(one.get("approvals").and_then(Json::as_array).map(<[Json]>::len), Some(2), "{one}");
        organisation.is_clean();
    }
    assert_eq!(text(&seller.submits("alice", "list", &listing()), "status"), "applied");
}

#[test]
fn nobody_approves_without_reading() {
    let (seller, buyer) = two("unread");
    seller.does("contract-deploy", &["contract", "deploy", package().to_str().unwrap()]);
    buyer.waits();
    let ran = buyer.place.run_with(&["contract", "approve", "house_sale@1.0.0"], "no\n");
    assert_ne!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    let list = buyer.does("contract-list", &["contract", "list"]);
    assert_eq!(text(&list.as_array().unwrap()[0], "status"), "proposed");
    let ran = buyer.place.run_with(&["contract", "approve", "house_sale@1.0.0"], "yes\n");
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("negotiation") || ran.stderr.contains("negotiation"), "the plan is shown");
    assert_eq!(buyer.fails(1, &["contract", "approve", "house_sale@9.9.9", "--yes"]).0, "not_found");
}
