//! What a process that runs shows over HTTP: to whom, from when to when, and in the form that it says itself.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_core::schema::Schema;

use crate::http::{Answer, ask, parse, raw};
use crate::seller::Seller;
use crate::support::Place;
use crate::support::daemon::Daemon;
use crate::support::packages::recast;

/// Reads with a token.
fn get(node: &Daemon, path: &str, token: &str) -> Answer {
    let address = node.address();
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    crate::http::take_apart(&answer).unwrap()
}

fn token(place: &Place, actor: &str) -> String {
    place.well(&["token", "--as", actor, "--ttl", "10m"]).stdout.trim().to_owned()
}

/// Follows until so many messages have come; each with its id and data.
fn follow(node: &Daemon, path: &str, token: &str, count: usize) -> Vec<(String, Json)> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let (mut text, mut buffer, until) = (String::new(), [0; 4096], Instant::now() + Duration::from_secs(20));
    loop {
        let messages = messages(&text);
        if messages.len() >= count || Instant::now() > until {
            return messages;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return messages,
            Ok(read) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
        }
    }
}

fn messages(text: &str) -> Vec<(String, Json)> {
    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let message = |part: &str| {
        let line = |name: &str| part.lines().find_map(|line| line.strip_prefix(name));
        Some((line("id: ")?.to_owned(), parse(line("data: ")?)))
    };
    whole.split("\n\n").filter_map(message).collect()
}

/// Records whose owner says who reads the notes.
fn spec() -> Json {
    json!({"task": {
        "roles": {"anyone": {"everyone": true}, "owner": {}, "reader": {}},
        "parties": {"create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
        "sections": {
            "body": {"schema": {}, "create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
            "notes": {"schema": {}, "create": ["owner"], "modify": ["owner"], "read": ["reader"]}
        },
        "raw_changes": true
    }})
}

/// A task whose reader pat is in at 1, out at 4, back at 8.
fn task(name: &str) -> Place {
    let place = Place::new(name);
    let dir = place.dir().display().to_string();
    place.well(&["init", &dir, "--network", "tasks", "--participant", "acme"]);
    place.well(&["actor", "add", "olga", "--role", "owner"]);
    place.well(&["actor", "add", "pat", "--participant", "partner", "--role", "reader"]);
    place.well(&["actor", "add", "nora", "--participant", "partner"]);
    let package = place.0.join("task.lockstep");
    let recast = recast("examples/house-sale/package/house_sale-1.0.0.lockstep", "task", spec(), json!({}));
    std::fs::write(&package, recast).unwrap();
    place.well(&["contract", "deploy", package.to_str().unwrap()]);
    let change = |changes: &str| {
        place.well(&["submit", "--changes", changes, "--spec", "task", "acme:task-1", "--as", "olga"]);
    };
    let note = |text: &str| change(&format!(r#"[{{"section":"notes","op":"add","path":"","value":"{text}"}}]"#));
    let rights = |verb: &str| {
        place.well(&[verb, "task/acme:task-1", "notes", "partner", "read", "--as", "olga"]);
    };
    change(
        r#"[{"section":"parties","op":"add","path":"","value":{"members":[
            {"role":"owner","participant":"acme","from":1},{"role":"reader","participant":"partner","from":1}]}},
            {"section":"body","op":"add","path":"","value":"task"},{"section":"notes","op":"add","path":"","value":"one"}]"#,
    );
    note("two");
    note("three");
    rights("ungrant");
    note("five");
    note("six");
    note("seven");
    rights("grant");
    note("nine");
    place
}

#[test]
fn who_was_out_from_4_and_is_back_from_8_sees_what_it_may_at_each_seq() {
    let place = task("run-entitled");
    let node = Daemon::start(&place, &[]);
    let [olga, pat, nora] = ["olga", "pat", "nora"].map(|actor| token(&place, actor));
    let notes = |token: &str, at: &str| {
        let answer = get(&node, &format!("/v1/records/task/acme:task-1{at}"), token);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json().get("sections").and_then(|all| all.get("body")), Some(&Json::from("task")));
        answer.json().get("sections").and_then(|all| all.get("notes")).and_then(Json::as_str).map(str::to_owned)
    };
    let words = ["one", "two", "three", "three", "five", "six", "seven", "seven", "nine"];
    for (seq, word) in (1..).zip(words) {
        let at = format!("?at={seq}");
        let in_then = !(4..8).contains(&seq);
        assert_eq!(notes(&olga, &at).as_deref(), Some(word), "the owner sees all");
        assert_eq!(notes(&pat, &at).as_deref(), in_then.then_some(word), "seq {seq}");
        assert_eq!(notes(&nora, &at), None, "who may take on no role reads what is for everyone");
    }
    assert_eq!(notes(&pat, "").as_deref(), Some("nine"));
    // The command line reads by the same rights.
    for (actor, at) in [("pat", "3"), ("pat", "6"), ("olga", "6")] {
        let shown = place.well(&["record", "show", "task", "acme:task-1", "--at", at, "--as", actor, "--json"]);
        let over_http = get(&node, &format!("/v1/records/task/acme:task-1?at={at}"), &token(&place, actor));
        assert_eq!(shown.json(), over_http.json(), "{actor} at {at}");
    }
    let line = |token: &str| parse(&get(&node, "/v1/records/task", token).body);
    let listed = |token: &str| line(token).get("sections").and_then(|all| all.get("notes")).cloned();
    assert_eq!(
        [listed(&olga), listed(&pat), listed(&nora)],
        [Some(Json::from("nine")), Some(Json::from("nine")), None]
    );
    node.stop();
}

#[test]
fn what_is_followed_goes_on_across_a_restart_without_gap_or_double() {
    let place = Place::sale("run-resume");
    let (seller, alice) = (Seller::of(&place), token(&place, "alice"));
    let submit = |node: &Daemon, house: &str| {
        let (listing, _) = seller.lists(house);
        assert_eq!(ask(&node.address(), "POST", "/v1/intents", "", listing.as_bytes()).unwrap().status, 200);
    };
    let mut seen: Vec<(String, Json)> = Vec::new();
    for round in 0..3 {
        let mut node = Daemon::start(&place, &[]);
        (0..4).for_each(|one| submit(&node, &format!("house-{round}-{one}")));
        let after = seen.last().map_or_else(|| "0".to_owned(), |(id, _)| id.clone());
        // Less than all that is there: the rest comes after the restart.
        seen.extend(follow(&node, &format!("/v1/events?after={after}&contract=house_sale"), &alice, 3));
        if round == 1 {
            node.signal("KILL");
            drop(node.ended());
        } else {
            node.stop();
        }
    }
    let node = Daemon::start(&place, &[]);
    let after = seen.last().unwrap().0.clone();
    submit(&node, "last");
    while seen.last().unwrap().1.get("record_id") != Some(&Json::from("acme:last")) {
        let after = seen.last().map_or(after.clone(), |(id, _)| id.clone());
        let more = follow(&node, &format!("/v1/events?after={after}"), &alice, 1);
        assert!(!more.is_empty(), "nothing comes after {after}");
        seen.extend(more);
    }
    let positions: Vec<u64> = seen.iter().map(|(id, _)| id.parse().unwrap()).collect();
    let stored = place.well(&["events", "--json"]).lines();
    let stored: Vec<u64> = stored.iter().map(|event| event.get("position").and_then(Json::as_u64).unwrap()).collect();
    assert_eq!(positions, stored, "every event, once, in order");
    let notified = follow(&node, "/v1/notifications?type=offer.made", &token(&place, "bob"), 1);
    assert_eq!(notified[0].1.get("type"), Some(&Json::from("offer.made")));
    assert!(follow_none(&node, "/v1/notifications?type=offer.made", &token(&place, "ivy")), "not for the inspector");
    node.stop();
}

/// Whether nothing comes for a while.
fn follow_none(node: &Daemon, path: &str, token: &str) -> bool {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    messages(&text).is_empty()
}

#[test]
fn commands_follow_what_a_running_node_commits() {
    let place = Place::sale("run-follow");
    let node = Daemon::start(&place, &[]);
    for verb in ["events", "notifications"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command
            .args([verb, "--follow", "--json"])
            .env("LOCKSTEP_DIR", place.dir())
            .stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let price = if verb == "events" { "341000.00" } else { "342000.00" };
        let offer = format!("{{\"price\":\"{price}\"}}");
        let outcome =
            place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", &offer, "--json"]);
        let outcome = outcome.json();
        let id = match verb {
            "events" => outcome.get("intent_id").and_then(Json::as_str),
            _ => outcome.get("notifications").and_then(|all| all.as_array()?.first()?.get("id")?.as_str()),
        };
        let id = id.unwrap_or_else(|| panic!("{}", outcome.canonical())).to_owned();
        assert!(lines.any(|line| line.unwrap().contains(&id)), "{verb}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    node.stop();
}

/// The document's schema of what a path answers with a status, by kind.
fn declared(document: &Json, path: &str, method: &str, status: u16) -> Option<(String, Json)> {
    let operation = document.get("paths")?.get(path)?.get(method)?;
    let content = operation.get("responses")?.get(&status.to_string())?.get("content")?.as_object()?;
    let (kind, media) = content.iter().next()?;
    let schema = media.get("schema")?;
    let named = schema.get("$ref").and_then(Json::as_str).and_then(|name| name.strip_prefix("#/components/schemas/"));
    let schema = named.and_then(|name| document.get("components")?.get("schemas")?.get(name)).unwrap_or(schema);
    Some((kind.to_owned(), schema.clone()))
}

/// Holds an answer to what the document says of it.
fn check(document: &Json, path: &str, method: &str, answer: &Answer) {
    let what = format!("{method} {path} {}", answer.status);
    let (kind, schema) =
        declared(document, path, method, answer.status).unwrap_or_else(|| panic!("{what} is not in it"));
    assert!(answer.head.contains(&format!("content-type: {kind}")), "{what}: {}", answer.head);
    let schema = Schema::compile(&schema).unwrap();
    let bodies: Vec<Json> = match kind.as_str() {
        "text/plain" => vec![Json::from(answer.body.as_str())],
        "text/event-stream" => messages(&answer.body).into_iter().map(|(_, data)| data).collect(),
        "application/x-ndjson" => answer.body.lines().map(parse).collect(),
        _ => vec![parse(&answer.body)],
    };
    for body in bodies {
        schema.check(&body).unwrap_or_else(|violation| panic!("{what}: {violation:?} in {}", body.canonical()));
    }
}

#[test]
fn every_path_answers_as_the_openapi_document_says() {
    let place = Place::sale("run-openapi");
    let node = Daemon::start(&place, &[]);
    let (address, bob, ivy) = (node.address(), token(&place, "bob"), token(&place, "ivy"));
    let document = get(&node, "/openapi.json", "").json();
    let offered = place.well(&["intent", "list", "--json"]).json();
    let id = offered.as_array().unwrap()[0].get("intent_id").and_then(Json::as_str).unwrap().to_owned();
    let mut seen = BTreeSet::new();
    let mut probe = |path: &str, at: &str, token: &str, expected: u16| {
        let answer = get(&node, at, token);
        assert_eq!(answer.status, expected, "{at}: {answer:?}");
        check(&document, path, "get", &answer);
        seen.insert(path.to_owned());
    };
    let record = "/v1/records/{spec}/{id}";
    for token in [&bob, &ivy] {
        probe("/v1/intents/{id}", &format!("/v1/intents/{id}"), token, 200);
        probe(record, "/v1/records/house_sale/acme:sale-1", token, 200);
        probe(record, "/v1/records/house_sale/acme%3Asale-1?at=1", token, 200);
        probe("/v1/records/{spec}", "/v1/records/house_sale", token, 200);
    }
    for (path, at, expected) in [
        ("/v1/intents/{id}", format!("/v1/intents/{}", "0".repeat(64)), 404),
        ("/v1/intents/{id}", "/v1/intents/abc".to_owned(), 400),
        (record, "/v1/records/house_sale/acme:sale-9".to_owned(), 404),
        (record, "/v1/records/house_sale/acme:sale-1?at=99".to_owned(), 404),
        (record, "/v1/records/house_sale/acme:sale-1?at=soon".to_owned(), 400),
        (record, "/v1/records/house_sale/%ff".to_owned(), 400),
        (record, "/v1/records/nothing/acme:sale-1".to_owned(), 404),
        ("/v1/records/{spec}", "/v1/records/House".to_owned(), 400),
        ("/v1/events", "/v1/events?after=77000000000".to_owned(), 410),
        ("/v1/events", "/v1/events?since=1".to_owned(), 400),
        ("/v1/notifications", "/v1/notifications?after=77000000000".to_owned(), 410),
    ] {
        probe(path, &at, &bob, expected);
    }
    for at in ["/v1/checkpoint", "/v1/network", "/health/live", "/health/ready", "/metrics", "/openapi.json"] {
        probe(at, at, "", 200);
    }
    for at in ["/v1/events", "/v1/notifications"] {
        probe(at, at, "", 401);
        let (_, schema) = declared(&document, at, "get", 200).unwrap();
        let schema = Schema::compile(&schema).unwrap();
        for (_, data) in follow(&node, at, &bob, 2) {
            schema.check(&data).unwrap_or_else(|violation| panic!("{at}: {violation:?}: {}", data.canonical()));
        }
    }
    let (listing, _) = Seller::of(&place).lists("sale-2");
    for (body, kind, query, expected) in [
        (listing.as_str(), "application/json", "?wait=10s", 200),
        ("{}", "application/json", "", 400),
        ("{}", "text/html", "", 415),
        ("{}", "application/json", "?wait=soon", 400),
    ] {
        let answer = ask(&address, "POST", &format!("/v1/intents{query}"), kind, body.as_bytes()).unwrap();
        assert_eq!(answer.status, expected, "{answer:?}");
        check(&document, "/v1/intents", "post", &answer);
        seen.insert("/v1/intents".to_owned());
    }
    let answer = ask(&address, "POST", "/v1/directory", "application/json", b"{}").unwrap();
    check(&document, "/v1/directory", "post", &answer);
    seen.insert("/v1/directory".to_owned());
    let paths = document.get("paths").and_then(Json::as_object).unwrap();
    assert_eq!(seen, paths.keys().map(str::to_owned).collect(), "every path was asked for");
    // What a path does not have, it does not take.
    for (path, operations) in paths.iter() {
        for method in ["get", "post", "put", "delete", "patch"] {
            if operations.get(method).is_none() {
                let at = path.replace("{spec}", "house_sale").replace("{id}", "acme:sale-1");
                let answer = ask(&address, &method.to_ascii_uppercase(), &at, "application/json", b"").unwrap();
                assert_eq!(answer.problem(), (405, "usage".to_owned()), "{method} {path}");
            }
        }
    }
    node.stop();
}

#[test]
fn what_the_metrics_say_goes_up_with_what_was_done_and_names_nobody() {
    let place = Place::sale("run-metrics");
    let node = Daemon::start(&place, &[]);
    let (listing, _) = Seller::of(&place).lists("sale-2");
    for body in [listing.as_str(), listing.as_str(), "{}"] {
        ask(&node.address(), "POST", "/v1/intents", "application/json", body.as_bytes()).unwrap();
    }
    let text = get(&node, "/metrics", "").body;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
    };
    assert_eq!(value("lockstep_intents_total{status=\"applied\"}"), 1.0, "the second time it is the same intent");
    assert_eq!(value("lockstep_intents_total{status=\"refused\"}"), 1.0);
    assert_eq!(value("lockstep_commit_seconds_count"), 1.0);
    assert!(value("lockstep_commit_seconds_sum") < 5.0);
    assert_eq!(value("lockstep_batch_intents_bucket{le=\"1\"}"), 1.0);
    assert_eq!(value("lockstep_http_answers_total{status=\"200\"}"), 2.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    for name in ["alice", "sale-1", "house_sale", "Elm"] {
        assert!(!text.contains(name), "{name}");
    }
    let mut typed = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.insert(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(typed.contains(name) || typed.contains(base), "{line} has no type");
        }
    }
    node.stop();
}

#[test]
fn heads_that_are_too_long_or_no_http_are_answered_and_forgotten() {
    let place = Place::sale("run-heads");
    let node = Daemon::start(&place, &[]);
    let long = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    assert!(raw(&node.address(), long.as_bytes()).is_none_or(|answer| answer.status == 431));
    assert!(raw(&node.address(), b"\x16\x03\x01 hello\r\n\r\n").is_none_or(|answer| answer.status == 400));
    assert_eq!(get(&node, "/health/live", "").status, 200);
    node.stop();
}
