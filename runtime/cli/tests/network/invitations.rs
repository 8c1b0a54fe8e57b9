//! Invitations that are no good: refused with a code and a hint, and nothing half made.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::organisation::{Organisation, free_address};

const PREFIX: &str = "lockstep-invitation-1:";

/// The invitation with something in it put in place of something else.
fn altered(invitation: &str, change: impl FnOnce(String) -> String) -> String {
    let bytes = BASE64URL_NOPAD.decode(invitation.strip_prefix(PREFIX).unwrap().as_bytes()).unwrap();
    let changed = change(String::from_utf8(bytes).unwrap());
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(changed.as_bytes()))
}

fn refused(guest: &Organisation, status: i32, invitation: &str) -> (String, String) {
    let refused = guest.fails(status, &["network", "join", invitation]);
    assert!(!guest.place.dir().join("lockstep.toml").exists(), "{refused:?}: no configuration is left");
    assert!(!guest.place.dir().join("lockstep.db").exists(), "{refused:?}: no database is left");
    assert_eq!(guest.fails(1, &["network", "peers"]).0, "no_directory");
    refused
}

#[test]
fn an_invitation_that_is_no_good_leaves_nothing() {
    let seller = Organisation::founder("bad");
    let mut buyer = Organisation::new("bad", "buyer");
    let good = seller.invites("buyer", &[]);
    let cut = &good[..good.len() - 40];
    for garbled in ["hello", PREFIX, &good[1..], cut, &good.replace(':', ":!"), &altered(&good, |_| "{}".to_owned())] {
        assert_eq!(refused(&buyer, 2, garbled).0, "usage", "{garbled}");
    }
    let secret = altered(&good, |line| {
        let (before, secret) = line.split_once("\"secret\":\"").unwrap();
        let digit = if secret.starts_with('0') { '1' } else { '0' };
        format!("{before}\"secret\":\"{digit}{}", &secret[1..])
    });
    let (code, message) = refused(&buyer, 3, &secret);
    assert_eq!((code.as_str(), message.contains("secret")), ("directory_refused", true), "{message}");
    let short = seller.invites("buyer", &["--expires", "1s"]);
    std::thread::sleep(Duration::from_millis(1100));
    let (code, message) = refused(&buyer, 3, &short);
    assert_eq!((code.as_str(), message.contains("expired")), ("directory_refused", true), "{message}");
    let other = altered(&good, |line| {
        let (before, host) = line.split_once("\"host\":\"").unwrap();
        format!("{before}\"host\":\"{}{}", "a".repeat(64), &host[64..])
    });
    assert_eq!(refused(&buyer, 3, &other).0, "directory_refused", "another node answers there");
    // After all that the same directory is good for another try.
    buyer.joins(&good);
    buyer.waits();
    let again = Organisation::new("bad", "buyer-again");
    let (code, message) = refused(&again, 3, &good);
    assert_eq!((code.as_str(), message.contains("used")), ("directory_refused", true), "{message}");
    assert_eq!(buyer.fails(1, &["network", "join", &good]).0, "directory_exists");
    // A name is never used twice, whoever invites it.
    let taken = seller.run(&["network", "invite", "buyer"]);
    if taken.status == 0 {
        let taken = taken.json().get("invitation").and_then(lockstep_core::json::Json::as_str).unwrap().to_owned();
        let (code, message) = refused(&again, 3, &taken);
        assert_eq!((code.as_str(), message.contains("never used again")), ("directory_refused", true), "{message}");
    }
    seller.waits();
    seller.is_clean();
    buyer.is_clean();
}

#[test]
fn who_asks_a_host_that_does_not_run_is_told_so() {
    let mut seller = Organisation::founder("down");
    let mut buyer = Organisation::new("down", "buyer");
    let invitation = seller.invites("buyer", &[]);
    seller.stop();
    let (code, message) = refused(&buyer, 6, &invitation);
    assert_eq!((code.as_str(), message.contains("cannot reach")), ("outcome_unknown", true), "{message}");
    seller.start();
    buyer.joins(&invitation);
    buyer.waits();
}

#[test]
fn a_node_that_nobody_reaches_invites_nobody() {
    let hermit = Organisation::new("hermit", "seller");
    hermit.does("init", &["network", "create", "sales", "--participant", "seller"]);
    assert_eq!(hermit.fails(2, &["network", "invite", "buyer"]).0, "usage");
    let (code, _) = hermit.fails(2, &["network", "create", "sales", "--participant", "seller", "--address", "here"]);
    assert_eq!(code, "usage");
    assert!(!free_address().is_empty());
}
