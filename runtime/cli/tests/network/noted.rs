//! `lockstep_network_status`: what `network status` says, for whoever asks with SQL, and also when nothing runs.

use std::time::{Duration, Instant};

use lockstep_core::json::Json;

use crate::organisation::{Organisation, agreed, listing, text};

const QUERY: &str =
    "SELECT node, participant, reachable, since, behind_events, behind_s, last_error FROM lockstep_network_status";

/// Waits until the view says what is awaited; a node writes once a second.
fn becomes(organisation: &Organisation, reachable: u64) -> Json {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = organisation.rows(QUERY);
        assert_eq!(rows.len(), 1, "every other node has its row: {rows:?}");
        if rows[0].get("reachable").and_then(Json::as_u64) == Some(reachable) {
            return rows[0].clone();
        }
        assert!(Instant::now() < until, "still {rows:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_view_says_what_the_command_says() {
    let (mut seller, mut buyer) = agreed("noted");
    seller.submits("alice", "list", &listing());
    let status = buyer.waits();
    let peer = &status.get("peers").and_then(Json::as_array).unwrap()[0];
    let row = becomes(&buyer, 1);
    for member in ["node", "participant", "since", "behind_events", "behind_s", "last_error"] {
        assert_eq!(row.get(member), peer.get(member), "{member}: {row} {peer}");
    }
    seller.stop();
    let gone = becomes(&buyer, 0);
    assert_eq!(gone.get("since"), Some(&Json::Null));
    assert!(!text(&gone, "last_error").is_empty());
    assert_eq!(becomes(&seller, 0).get("since"), Some(&Json::Null), "who stops says so itself");
    seller.is_clean();
    buyer.is_clean();
    buyer.stop();
    let at = |organisation: &Organisation| organisation.rows("SELECT at FROM lockstep_network_status");
    let (before, noted) = (at(&buyer), buyer.rows(QUERY));
    assert_eq!((at(&buyer), buyer.rows(QUERY)), (before, noted), "nothing is written where nothing changes");
    buyer.is_clean();
}
