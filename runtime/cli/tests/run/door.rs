//! What comes in by HTTP and is no good: a problem document, and the node goes on.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::http::{ask, raw};
use crate::seller::Seller;
use crate::support::Place;
use crate::support::daemon::Daemon;

#[test]
fn every_no_is_a_problem_document() {
    let place = Place::sale("run-problems");
    let node = Daemon::start(&place, &[]);
    let problem = |method: &str, path: &str, body: &str| {
        ask(&node.address(), method, path, "application/json", body.as_bytes()).unwrap().problem()
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(problem("GET", "/nowhere", ""), is(404, "not_found"));
    assert_eq!(problem("PUT", "/v1/intents", "{}"), is(405, "usage"));
    assert_eq!(problem("POST", "/v1/checkpoint", "{}"), is(405, "usage"));
    assert_eq!(problem("POST", "/v1/intents?wait=soon", "{}"), is(400, "usage"));
    assert_eq!(problem("POST", "/v1/intents", "{}"), is(400, "malformed"));
    assert_eq!(problem("POST", "/v1/intents", ""), is(400, "malformed"));
    assert_eq!(problem("POST", "/v1/intents", r#"{"a":1,"a":2}"#), is(400, "duplicate_key"));
    assert_eq!(problem("POST", "/v1/intents", &"x".repeat(13 << 20)), is(413, "too_large"));
    assert_eq!(problem("POST", "/v1/directory", r#"{"event":{}}"#), is(400, "malformed"));
    let (listing, _) = Seller::of(&place).lists("sale-2");
    place.well(&["actor", "revoke", "alice"]);
    assert_eq!(problem("POST", "/v1/intents", &listing), is(403, "revoked_actor"));
    node.stop();
    place.well(&["verify"]);
}

#[test]
fn a_body_that_lies_about_its_length_gets_nowhere() {
    let place = Place::sale("run-lies");
    let node = Daemon::start(&place, &[]);
    let address = node.address();
    let (listing, id) = Seller::of(&place).lists("sale-2");
    let send = |length: usize, body: &str| {
        let head = format!("POST /v1/intents HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        raw(&address, head.as_bytes())
    };
    let longer = send(listing.len() + 1000, &listing);
    if let Some(answer) = longer {
        assert_eq!(answer.problem(), (400, "malformed".to_owned()));
    }
    let shorter = send(listing.len() / 2, &listing).unwrap();
    assert_eq!(shorter.problem().0, 400);
    let huge = send(1 << 40, "{}").unwrap();
    assert_eq!(huge.problem(), (413, "too_large".to_owned()));
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20)).repeat(13);
    let endless = format!("POST /v1/intents HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    if let Some(answer) = raw(&address, endless.as_bytes()) {
        assert_eq!(answer.problem(), (413, "too_large".to_owned()));
    }
    assert_eq!(place.run(&["intent", "show", &id]).status, 1, "half an intent is none");
    assert_eq!(ask(&address, "POST", "/v1/intents", "application/json", listing.as_bytes()).unwrap().status, 200);
    node.stop();
}

#[test]
fn a_line_that_is_too_long_ends_its_request_and_no_other() {
    let place = Place::sale("run-long-line");
    let node = Daemon::start(&place, &[]);
    let (listing, id) = Seller::of(&place).lists("sale-2");
    let body = format!("{listing}\n{}", "x".repeat(13 << 20));
    let answer = ask(&node.address(), "POST", "/v1/intents", "application/x-ndjson", body.as_bytes()).unwrap();
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines.len(), 2, "{}", answer.body);
    assert!(lines[0].contains(&id) && lines[1].contains("too_large"), "{}", answer.body);
    let checkpoint = ask(&node.address(), "GET", "/v1/checkpoint", "text/plain", b"").unwrap();
    assert_eq!(checkpoint.body, std::fs::read_to_string(place.dir().join("checkpoint")).unwrap());
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(ask(&node.address(), "GET", path, "text/plain", b"").unwrap().status, 200);
    }
    node.stop();
}

#[test]
fn who_never_sends_the_head_is_cut_off() {
    let place = Place::sale("run-slow");
    let node = Daemon::start(&place, &[]);
    let mut slow = TcpStream::connect(node.address()).unwrap();
    slow.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    slow.write_all(b"POST /v1/intents HT").unwrap();
    let mut rest = Vec::new();
    let read = slow.read_to_end(&mut rest);
    assert!(read.is_ok(), "the node closes: {read:?}");
    node.stop();
}
