//! `lockstep doctor` names what should be mended, and how; done as it says, it is mended.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lockstep_core::json::Json;
use support::daemon::Daemon;
use support::{Place, root};

/// What it finds, `[name, detail, fix]` each; with none it ends with 0, else with 5.
fn found(place: &Place) -> Vec<[String; 3]> {
    let ran = place.run(&["doctor", "--json"]);
    let json = ran.json();
    let checks = json.get("checks").and_then(Json::as_array).unwrap();
    let ill: Vec<&Json> = checks.iter().filter(|check| check.get("ok") == Some(&Json::from(false))).collect();
    assert_eq!(ran.status, if ill.is_empty() { 0 } else { 5 }, "{}", ran.stdout);
    let part = |check: &Json, name: &str| check.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    ill.iter().map(|check| ["name", "detail", "fix"].map(|name| part(check, name))).collect()
}

/// It finds this one thing, with a way to mend it.
fn finds(place: &Place, name: &str) -> String {
    let all = found(place);
    let [[found, detail, fix]] = all.as_slice() else { panic!("{name}: {all:?}") };
    assert_eq!(found, name, "{detail}");
    assert!(!detail.is_empty() && !fix.is_empty(), "{name}: {detail:?} {fix:?}");
    fix.clone()
}

fn mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn does(command: &str) {
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

#[test]
fn each_finding_says_how_to_mend_it() {
    let place = Place::sale("doctor");
    let dir = place.dir();
    assert!(found(&place).is_empty(), "{:?}", found(&place));

    let (alice, node, keys) = (dir.join("keys/alice@acme.key"), dir.join("node.key"), dir.join("keys"));
    for (file, wrong, name) in [(&alice, 0o644, "keys"), (&node, 0o640, "node_key"), (&keys, 0o777, "keys")] {
        mode(file, wrong);
        does(&finds(&place, name));
        assert!(found(&place).is_empty(), "done as it says, {name} is mended");
    }

    let checkpoint = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    finds(&place, "checkpoint");
    std::fs::write(dir.join("checkpoint"), "another\n").unwrap();
    finds(&place, "checkpoint");
    std::fs::write(dir.join("checkpoint"), checkpoint).unwrap();

    let own = std::fs::read(&node).unwrap();
    std::fs::copy(&alice, &node).unwrap();
    let other: Vec<String> = found(&place).into_iter().map(|[name, _, fix]| format!("{name}: {fix}")).collect();
    assert!(other.iter().any(|one| one.starts_with("node_key: restore")), "{other:?}");
    std::fs::write(&node, own).unwrap();

    let file = dir.join("lockstep.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("actor =", "akctor =")).unwrap();
    let ran = place.run(&["doctor", "--json"]);
    assert!(ran.status == 5 && ran.stdout.contains("did you mean actor?"), "{}", ran.stdout);
    finds(&place, "configuration");

    let pair = ["cert.pem", "key.pem"].map(|name| root().join("adapters/tls/tests/localhost").join(name));
    for from in &pair {
        std::fs::copy(from, dir.join(from.file_name().unwrap())).unwrap();
    }
    mode(&dir.join("key.pem"), 0o644);
    std::fs::write(&file, format!("tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n{text}")).unwrap();
    does(&finds(&place, "certificate"));
    assert!(found(&place).is_empty());
    std::fs::copy(root().join("adapters/tls/tests/renewed/key.pem"), dir.join("key.pem")).unwrap();
    finds(&place, "certificate");
    std::fs::write(&file, &text).unwrap();

    let database = dir.join("lockstep.db");
    std::fs::rename(&database, dir.join("away.db")).unwrap();
    finds(&place, "database");
}

/// A copy that was restored and is older than what the node signed.
#[test]
fn an_older_copy_is_noticed_by_doctor_verify_and_the_node() {
    let place = Place::sale("doctor-older");
    let copy = place.0.join("monday.db").display().to_string();
    place.well(&["database", "backup", &copy]);
    assert!(found(&place).is_empty());
    let offer = ["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"341000.00"}"#];
    place.well(&offer);
    // The copy is whole, and as old as it is.
    let whole = place.run(&["verify", "--database", &format!("sqlite:{copy}"), "--json"]);
    assert!(whole.status == 5 && whole.stdout.contains("behind_checkpoint"), "{}", whole.stdout);

    // It is not put back; who puts it back by hand is told, too.
    let refused = place.run(&["database", "restore", &copy, "--json"]);
    assert!(refused.status == 1 && refused.stdout.contains("behind_checkpoint"), "{}", refused.stdout);
    assert!(found(&place).is_empty(), "nothing was changed");
    for name in ["lockstep.db", "lockstep.db-wal", "lockstep.db-shm"] {
        let _ = std::fs::remove_file(place.dir().join(name));
    }
    std::fs::copy(&copy, place.dir().join("lockstep.db")).unwrap();
    let names: Vec<String> = found(&place).into_iter().map(|[name, _, _]| name).collect();
    assert!(names.contains(&"checkpoint".to_owned()), "{names:?}");
    let verified = place.run(&["verify", "--json"]);
    assert!(verified.status == 5 && verified.stdout.contains("behind_checkpoint"), "{}", verified.stdout);
    let started = place.run(&["run", "--listen", "127.0.0.1:0", "--json"]);
    assert!(started.status == 1 && started.stdout.contains("behind_checkpoint"), "{}", started.stdout);
}

/// A copy that was taken last takes the place of the database, whatever is left of that; not while a node runs.
#[test]
fn the_newest_copy_takes_the_place_of_the_database() {
    let place = Place::sale("doctor-newest");
    let copy = place.0.join("tuesday.db").display().to_string();
    let node = Daemon::start(&place, &[]);
    place.well(&["database", "backup", &copy]);
    let busy = place.run(&["database", "restore", &copy, "--json"]);
    assert!(busy.status == 6 && busy.stdout.contains("directory_in_use"), "{}", busy.stdout);
    node.stop();
    std::fs::write(place.dir().join("lockstep.db"), "half of what was there").unwrap();
    assert!(!found(&place).is_empty());
    let kept = place.well(&["database", "restore", &copy, "--json"]).json();
    let kept = kept.get("kept").and_then(Json::as_str).unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "half of what was there");
    place.well(&["verify", "--execute"]);
    place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"341000.00"}"#]);
    place.well(&["verify"]);
    assert!(found(&place).is_empty(), "{:?}", found(&place));
}
