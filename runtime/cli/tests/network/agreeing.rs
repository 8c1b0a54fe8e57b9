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
        let approvals = one.get("approvals").and_then(Json::as_array).unwrap();
        let who: Vec<String> = approvals.iter().map(|one| text(one, "actor")).collect();
        assert_eq!(who, ["admin@seller", "admin@buyer"], "in the order of the directory, {one}");
        assert!(text(&approvals[0], "time") < text(&approvals[1], "time"));
        assert_eq!(one.get("records"), Some(&Json::from(0)));
        organisation.is_clean();
    }
    assert_eq!(text(&seller.submits("alice", "list", &listing()), "status"), "applied");
    let list = seller.does("contract-list", &["contract", "list"]);
    assert_eq!(list.as_array().unwrap()[0].get("records"), Some(&Json::from(1)), "{list}");
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
    assert_eq!(list.as_array().unwrap()[0].get("missing"), Some(&lockstep_core::json::json!(["buyer"])));
    let ran = buyer.place.run_with(&["contract", "approve", "house_sale@1.0.0"], "yes\n");
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("negotiation") || ran.stderr.contains("negotiation"), "the plan is shown");
    assert_eq!(buyer.fails(1, &["contract", "approve", "house_sale@9.9.9", "--yes"]).0, "not_found");
}
