//! What a node says on standard error: for people, or for programs.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, Limits};

use crate::support::Place;

/// Runs a node until it is ready and ends it; what it said on standard error.
fn said(place: &Place, more: &[&str]) -> String {
    let log = place.0.join("node.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.arg("run").args(["--listen", "127.0.0.1:0"]).args(more).env("LOCKSTEP_DIR", place.dir());
    command.env_remove("LOCKSTEP_DATABASE").stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let mut node = command.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !place.dir().join("run.json").exists() {
        assert!(Instant::now() < until, "it does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Without a certificate there is nothing to read again; it is no reason to end.
    for signal in ["HUP", "TERM"] {
        std::thread::sleep(Duration::from_millis(200));
        Command::new("kill").args([&format!("-{signal}"), &node.id().to_string()]).status().unwrap();
    }
    assert!(node.wait().unwrap().success());
    std::fs::read_to_string(log).unwrap()
}

fn lines(text: &str) -> Vec<Json> {
    let parse = |line: &str| Json::parse(line.as_bytes(), &Limits::default());
    text.lines().map(|line| parse(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn part<'a>(line: &'a Json, name: &str) -> &'a str {
    line.get(name).and_then(Json::as_str).unwrap_or_default()
}

#[test]
fn programs_get_an_object_a_line_and_people_a_time_and_a_level() {
    let place = Place::sale("run-logs");
    let json = lines(&said(&place, &["--log", "json"]));
    let messages: Vec<&str> = json.iter().map(|line| part(line, "message").split([' ', ':']).next().unwrap()).collect();
    assert_eq!(messages, ["ready", "there", "draining"]);
    for line in &json {
        assert_eq!((part(line, "level"), part(line, "node")), ("info", "acme"));
        assert!(part(line, "time").ends_with('Z'));
    }
    let human = said(&place, &[]);
    let words: Vec<Vec<&str>> = human.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert!(words.iter().all(|words| words[0].ends_with('Z') && words[1] == "info"), "{human}");
    assert_eq!(said(&place, &["--quiet"]), "");
}

#[test]
fn why_a_node_does_not_start_is_a_line_of_its_log_too() {
    let place = Place::sale("run-logs-end");
    std::fs::remove_file(place.dir().join("node.key")).unwrap();
    let ran = place.run(&["run", "--log", "json", "--listen", "127.0.0.1:0"]);
    let told = lines(&ran.stderr);
    assert_eq!((ran.status, told.len()), (1, 1), "{}", ran.stderr);
    assert_eq!((part(&told[0], "level"), part(&told[0], "code")), ("error", "io"));
    let human = place.run(&["run", "--listen", "127.0.0.1:0"]);
    assert!(human.status == 1 && human.stderr.starts_with("error[io]:"), "{}", human.stderr);
}
