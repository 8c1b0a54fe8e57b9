//! A sequencer that tells two stories: its owner runs a copy of the node and shows each reader another one.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, json};

use crate::organisation::{Organisation, agreed, listing, price, text};

/// Files of a directory, one deep and the keys: what an owner can copy.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "it never came that {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn seq(organisation: &Organisation) -> Option<u64> {
    organisation.rows("SELECT lockstep_seq FROM house_sale").first()?.get("lockstep_seq")?.as_u64()
}

/// What a node says of a peer that has another story.
fn forks(organisation: &Organisation, peer: &str) -> Vec<Json> {
    let status = organisation.run(&["network", "status"]).json();
    let peers = status.get("peers").and_then(Json::as_array).unwrap();
    let found = peers.iter().find(|one| text(one, "node") == peer).unwrap();
    found.get("forks").and_then(Json::as_array).unwrap().to_vec()
}

#[test]
fn a_sequencer_that_tells_two_stories_is_found_by_those_whom_it_told_them_and_nobody_else_is_accused() {
    let (mut seller, mut buyer) = agreed("forks");
    let mut regulator = Organisation::new("forks", "regulator");
    regulator.joins(&seller.invites("regulator", &["--observer"]));
    buyer.waits();
    buyer.does("network-peers", &["network", "approve", "regulator"]);
    seller.submits("alice", "list", &listing());
    for one in [&seller, &buyer, &regulator] {
        one.waits();
        assert_eq!(seq(one), Some(1));
    }
    assert!(forks(&buyer, "regulator").is_empty(), "nobody is accused while there is one story");

    seller.stop();
    regulator.stop();
    let (dir, kept) = (seller.place.dir(), seller.place.0.join("kept"));
    copy(&dir, &kept);
    seller.start();
    assert_eq!(text(&buyer.submits("bob", "offer", &price("320000.00")), "status"), "applied");
    until("the buyer has its offer", || seq(&buyer) == Some(2));

    seller.stop();
    buyer.stop();
    std::fs::remove_dir_all(&dir).unwrap();
    copy(&kept, &dir);
    regulator.start();
    seller.start();
    let report = json!({"passed": true, "findings": []});
    assert_eq!(text(&seller.submits("ivy", "inspect", &report), "status"), "applied");
    until("the regulator has the report instead", || seq(&regulator) == Some(2));

    seller.stop();
    buyer.start();
    until("one of the two finds the fork", || {
        !forks(&buyer, "regulator").is_empty() || !forks(&regulator, "buyer").is_empty()
    });
    let found: Vec<Json> = forks(&buyer, "regulator").into_iter().chain(forks(&regulator, "buyer")).collect();
    assert!(found.iter().any(|fork| fork.get("proven") == Some(&Json::from(true))), "{found:?}");
    assert!(found.iter().all(|fork| text(fork, "message").contains("seller")), "it is the seller's: {found:?}");
    [&buyer, &regulator].into_iter().for_each(Organisation::is_clean);
}
