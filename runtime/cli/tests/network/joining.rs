//! Who comes in, who decides it, who leaves.

use lockstep_core::json::Json;

use crate::organisation::{Organisation, agreed, listing, price, text, two};

#[test]
fn two_organisations_have_all_of_each_other() {
    let (mut seller, buyer) = two("two");
    let status = seller.waits();
    let peer = &status.get("peers").and_then(Json::as_array).unwrap()[0];
    assert_eq!((text(peer, "node"), peer.get("reachable")), ("buyer".to_owned(), Some(&Json::from(true))));
    assert_eq!(buyer.knows("seller").as_deref(), Some("active"));
    assert_eq!(seller.does("network-peers", &["network", "peers"]), buyer.does("network-peers", &["network", "peers"]));
    seller.is_clean();
    buyer.is_clean();
    seller.stop();
    let ran = buyer.run(&["network", "status", "--wait", "1s"]);
    assert_eq!(ran.status, 5, "a node that is down has not caught up: {}", ran.stdout);
    seller.start();
    buyer.waits();
}

#[test]
fn from_the_third_participant_on_others_decide() {
    let (seller, buyer) = two("third");
    let mut inspector = Organisation::new("third", "inspector");
    inspector.joins(&seller.invites("inspector", &[]));
    buyer.waits();
    assert_eq!(buyer.knows("inspector").as_deref(), Some("proposed"));
    let (code, _) = inspector.fails(3, &["network", "invite", "friend"]);
    assert_eq!(code, "directory_refused", "who waits for approval invites nobody");
    let (code, _) = seller.fails(3, &["network", "approve", "inspector"]);
    assert_eq!(code, "directory_refused", "whoever invites has approved with that");
    let approved = buyer.does("network-peers", &["network", "approve", "inspector"]);
    let found = approved.as_array().unwrap().iter().find(|one| text(one, "participant") == "inspector").unwrap();
    assert_eq!((text(found, "status"), found.get("voting")), ("active".to_owned(), Some(&Json::from(true))));
    for organisation in [&seller, &buyer, &inspector] {
        organisation.waits();
        assert_eq!(organisation.knows("inspector").as_deref(), Some("active"), "{}", organisation.name);
        organisation.is_clean();
    }
}

#[test]
fn an_observer_has_no_vote() {
    let (seller, buyer) = two("observer");
    let mut regulator = Organisation::new("observer", "regulator");
    regulator.joins(&seller.invites("regulator", &["--observer"]));
    buyer.waits();
    buyer.does("network-peers", &["network", "approve", "regulator"]);
    regulator.waits();
    let (code, message) = regulator.fails(3, &["network", "invite", "friend"]);
    assert_eq!((code.as_str(), message.contains("no vote")), ("directory_refused", true), "{message}");
    regulator.is_clean();
}

#[test]
fn who_leaves_is_told_and_has_no_say_any_more() {
    let (seller, buyer) = agreed("leave");
    assert_eq!(text(&seller.submits("alice", "list", &listing()), "status"), "applied");
    buyer.waits();
    let (code, _) = seller.fails(3, &["network", "leave"]);
    assert_eq!(code, "directory_refused", "its node orders the directory");
    let left = buyer.does("network-peers", &["network", "leave"]);
    let found = left.as_array().unwrap().iter().find(|one| text(one, "participant") == "buyer").unwrap();
    assert_eq!(text(found, "status"), "left");
    assert_eq!(seller.knows("buyer").as_deref(), Some("left"));
    let offer = price("320000.00").canonical();
    let offer = ["submit", "house_sale.offer", "seller:sale-1", "--as", "bob", "--args", &offer];
    assert_eq!(buyer.fails(3, &offer).0, "revoked_actor");
    let signed = buyer.place.run(&[&["intent", "sign"][..], &offer[1..]].concat());
    std::fs::write(seller.place.0.join("signed.json"), signed.stdout).unwrap();
    assert_eq!(seller.fails(3, &["submit", "--envelope", "@signed.json"]).0, "revoked_actor");
    seller.waits();
    assert_eq!(buyer.rows("SELECT record_id FROM house_sale").len(), 1, "the tables stay its own");
    buyer.is_clean();
    seller.is_clean();
}
