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
    let sql = "SELECT lockstep_seq FROM house_sale WHERE record_id = 'seller:sale-1'";
    organisation.rows(sql).first()?.get("lockstep_seq")?.as_u64()
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

    for reader in [&buyer, &regulator] {
        until("each reader has the proof in its database", || !proofs(reader).is_empty());
        assert_eq!(scope(reader, "seller:sale-1"), "disputed", "{}", reader.name);
        let listed = reader.does("objection-list", &["objection", "list"]);
        let of_sale = |one: &&Json| one.get("record_id") == Some(&Json::from("seller:sale-1"));
        let id = text(listed.as_array().unwrap().iter().find(of_sale).unwrap(), "id");
        let shown = reader.does("objection-show", &["objection", "show", &id[..12]]);
        assert_eq!((text(&shown, "kind"), text(&shown, "record_id")), ("fork".to_owned(), "seller:sale-1".to_owned()));
        assert!(shown.get("evidence").is_some_and(|evidence| evidence.get("fork").is_some()), "{shown}");
        let told = reader.place.run(&["network", "status"]);
        assert_eq!(told.status, 5, "not all is well");
        assert!(told.stderr.contains("lockstep objection list"), "{}", told.stderr);
        let sale = reader.does("record-show", &["record", "show", "house_sale", "seller:sale-1"]);
        assert_eq!(text(&sale, "scope"), "disputed");
        reader.is_clean();
    }
    let (before, at) = (proofs(&regulator), seq(&regulator));

    // Those who were told the story that goes on take what it says of other records, and of that one nothing more.
    regulator.stop();
    regulator.start();
    seller.start();
    let sale = listing().canonical();
    let args = ["submit", "house_sale.list", "seller:sale-2", "--as", "alice", "--args", &sale, "--timeout", "60s"];
    assert_eq!(seller.run(&args).status, 0);
    seller.submits("ivy", "inspect", &report);
    until("the regulator has the other sale", || scope(&regulator, "seller:sale-2") == "partial");
    until("the seller is told", || !proofs(&seller).is_empty());
    assert_eq!((proofs(&regulator), seq(&regulator)), (before, at), "nothing new of the one that is disputed");
    assert_eq!(scope(&regulator, "seller:sale-1"), "disputed");
    [&seller, &buyer, &regulator].into_iter().for_each(Organisation::is_clean);
    for (one, sale) in [(&buyer, "seller:sale-1"), (&regulator, "seller:sale-1"), (&regulator, "seller:sale-2")] {
        python_agrees(one, sale);
    }
}

/// The second implementation finds nothing wrong either, where Python has what it needs.
fn python_agrees(organisation: &Organisation, sale: &str) {
    let python = || std::process::Command::new("python3");
    let ready = python().args(["-c", "import cryptography, sqlite3"]).output();
    if !ready.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no python3 with cryptography here");
        return;
    }
    let script = crate::support::root().join("tools/lockstep_check.py");
    let args = ["lockstep.db", "house_sale", sale, "--checkpoint", "checkpoint"];
    let output = python().arg(script).args(args).current_dir(organisation.place.dir()).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{}: {said}", organisation.name);
}

/// The proofs of forks that an organisation's database has.
fn proofs(organisation: &Organisation) -> Vec<Json> {
    organisation.rows(
        "SELECT objection_id, node, log, record_id, seq, message FROM lockstep_objection \
         WHERE kind = 'fork' AND record_id IS NOT NULL AND evidence IS NOT NULL AND holds ORDER BY objection_id",
    )
}

fn scope(organisation: &Organisation, record: &str) -> String {
    let sql = format!("SELECT lockstep_scope AS scope FROM house_sale WHERE record_id = '{record}'");
    organisation.rows(&sql).first().map_or_else(String::new, |row| text(row, "scope"))
}
