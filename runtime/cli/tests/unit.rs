//! The systemd unit that is shipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use std::process::Command;

use support::{Place, root};

fn text() -> String {
    std::fs::read_to_string(root().join("packaging/systemd/lockstep@.service")).unwrap()
}

/// The one value of a key.
fn value(key: &str) -> String {
    let text = text();
    let mut found = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    found.next().unwrap_or_else(|| panic!("no {key}")).to_owned()
}

#[test]
fn the_unit_starts_what_this_binary_understands() {
    let place = Place::new("unit");
    let command = value("ExecStart").replace("%i", "acme");
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/lockstep"));
    let arguments: Vec<&str> = words.chain(["--help"]).collect();
    assert_eq!(place.run(&arguments).status, 0, "{arguments:?}");
    assert!(arguments.contains(&"run") && arguments.contains(&"/var/lib/lockstep/acme"));
    // A drain takes 30 seconds at most, and connections 10 of them.
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > 40);
    assert_eq!(value("KillSignal"), "SIGTERM");
}

/// Where systemd is: it understands every line, and finds little to say about what the node may do.
#[test]
fn systemd_understands_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        let known = |line: &str| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=');
        assert!(text().lines().all(known));
        return;
    }
    let place = Place::new("unit-systemd");
    let unit = place.0.join("lockstep@acme.service");
    std::fs::write(&unit, text().replace("/usr/local/bin/lockstep", env!("CARGO_BIN_EXE_lockstep"))).unwrap();
    let analyze = |arguments: &[&str]| {
        let ran = Command::new("systemd-analyze").args(arguments).arg(&unit).output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success(), "systemd-analyze {arguments:?}: {said}");
        said
    };
    let said = analyze(&["verify", "--man=no"]);
    assert!(!said.contains("lockstep@acme.service:"), "{said}");
    analyze(&["security", "--offline=yes", "--threshold=20"]);
}
