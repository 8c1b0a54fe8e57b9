//! How a node ends, and what is there after it.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lockstep_core::json::Json;

use crate::http::ask;
use crate::seller::Seller;
use crate::support::Place;
use crate::support::daemon::Daemon;

const SUBMIT: [&str; 7] =
    ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"341000.00"}"#];

fn stored(place: &Place) -> BTreeSet<String> {
    let rows = place.well(&["sql", "SELECT intent_id FROM lockstep_intent", "--json"]).json();
    let id = |row: &Json| row.get("intent_id").and_then(Json::as_str).unwrap().to_owned();
    rows.as_array().unwrap().iter().map(id).collect()
}

/// Submits from several sides until the node is gone; which outcomes were told.
fn told_until_gone(place: &Place, node: &mut Daemon, signal: &str) -> (BTreeSet<String>, Option<i32>) {
    let seller = Seller::of(place);
    let (address, told) = (node.address(), Mutex::new(BTreeSet::new()));
    let mut status = None;
    std::thread::scope(|scope| {
        for side in 0..4 {
            let (address, told, seller) = (&address, &told, &seller);
            scope.spawn(move || {
                for number in 0.. {
                    let (listing, id) = seller.lists(&format!("{signal}-{side}-{number}"));
                    let Some(answer) = ask(address, "POST", "/v1/intents", "application/json", listing.as_bytes())
                    else {
                        return;
                    };
                    match answer.status {
                        200 => drop(told.lock().unwrap().insert(id)),
                        _ => assert_eq!(answer.problem(), (503, "database_unavailable".to_owned())),
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        node.signal(signal);
        status = node.ended().0;
    });
    (told.into_inner().unwrap(), status)
}

#[test]
fn asked_to_end_it_loses_nothing_that_it_told() {
    let place = Place::sale("run-drain");
    let mut node = Daemon::start(&place, &[]);
    let (told, status) = told_until_gone(&place, &mut node, "TERM");
    assert_eq!(status, Some(0));
    assert!(told.len() > 4, "{} intents", told.len());
    assert!(told.is_subset(&stored(&place)));
    assert!(!place.dir().join("run.json").exists());
    place.well(&["verify"]);
}

#[test]
fn interrupted_it_ends_as_well() {
    let place = Place::sale("run-interrupt");
    let mut node = Daemon::start(&place, &[]);
    node.signal("INT");
    assert_eq!(node.ended(), (Some(0), String::new()));
}

#[test]
fn who_has_not_asked_for_anything_is_not_waited_for() {
    let place = Place::sale("run-idle");
    let mut node = Daemon::start(&place, &[]);
    let idle: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    let health = ask(&node.address(), "GET", "/health/live", "text/plain", b"").unwrap();
    assert_eq!(health.status, 200, "those who came before are accepted by now");
    let begun = Instant::now();
    node.signal("TERM");
    assert_eq!(node.ended(), (Some(0), String::new()));
    // A head may take ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(idle);
}

#[test]
fn killed_it_is_started_again_with_all_that_it_told() {
    let place = Place::sale("run-kill");
    let mut node = Daemon::start(&place, &[]);
    let (told, status) = told_until_gone(&place, &mut node, "KILL");
    assert_eq!(status, None);
    assert!(place.dir().join("run.json").exists(), "nobody could take it away");
    place.well(&SUBMIT);
    assert!(!place.dir().join("run.json").exists(), "it is known to be stale");
    let again = Daemon::start(&place, &[]);
    place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"342000.00"}"#]);
    again.stop();
    assert!(told.is_subset(&stored(&place)));
    place.well(&["verify"]);
}

#[test]
fn a_second_node_on_the_directory_is_turned_away() {
    let place = Place::sale("run-second");
    let node = Daemon::start(&place, &[]);
    let second = place.run(&["run", "--listen", "127.0.0.1:0", "--json"]);
    let code = second.json().get("error").and_then(|error| error.get("code").cloned());
    assert_eq!((second.status, code), (6, Some(Json::from("directory_in_use"))));
    place.well(&SUBMIT);
    node.stop();
}

#[test]
fn a_holder_of_the_lock_that_does_not_answer_is_in_the_way() {
    let place = Place::sale("run-silent");
    let mut node = Daemon::start(&place, &[]);
    node.signal("KILL");
    node.ended();
    let lock = std::fs::File::options().append(true).open(place.dir().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let ran = place.run(&SUBMIT);
    assert_eq!(ran.status, 6, "{}", ran.stderr);
}

#[test]
fn what_others_could_reach_is_not_listened_on() {
    let place = Place::sale("run-loopback");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7400", "nonsense"] {
        let ran = place.run(&["run", "--listen", address]);
        assert_eq!(ran.status, 2, "{address}: {}", ran.stderr);
    }
    let open = place.run(&["run", "--listen", "0.0.0.0:0"]);
    assert!(open.stderr.contains("no certificate for TLS"), "{}", open.stderr);
}
