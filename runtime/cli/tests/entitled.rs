//! What an organisation sees of a record while it is in, out, and back: two nodes, two databases, one timeline.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json;
use lockstep_core::json::Json;
use support::Place;
use support::daemon::Daemon;
use support::packages::recast;

/// Who owns a task may do all; a reader reads the notes; the body is for everybody.
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

struct Two {
    acme: Place,
    partner: Place,
    nodes: Vec<Daemon>,
}

fn free() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Two {
    fn begin() -> Two {
        let (acme, partner) = (Place::new("entitled-acme"), Place::new("entitled-partner"));
        acme.well(&["network", "create", "tasks", "--participant", "acme", "--address", &free()]);
        let mut nodes = vec![Daemon::start(&acme, &[])];
        let invited = acme.well(&["network", "invite", "partner", "--json"]).json();
        let line = invited.get("invitation").and_then(Json::as_str).unwrap();
        partner.well(&["network", "join", line, "--address", &free()]);
        nodes.push(Daemon::start(&partner, &[]));
        let two = Two { acme, partner, nodes };
        two.wait();
        let package = two.acme.0.join("task.lockstep");
        std::fs::write(
            &package,
            recast("examples/house-sale/package/house_sale-1.0.0.lockstep", "task", spec(), json!({})),
        )
        .unwrap();
        two.acme.well(&["contract", "deploy", package.to_str().unwrap()]);
        two.wait();
        two.partner.well(&["contract", "approve", "task@1.0.0", "--yes"]);
        two.acme.well(&["actor", "add", "olga", "--role", "owner"]);
        two
    }

    fn wait(&self) {
        for place in [&self.acme, &self.partner] {
            place.well(&["network", "status", "--wait", "30s"]);
        }
    }

    /// One signed intent of the owner, and the record's seq after it.
    fn change(&self, changes: &str) {
        let id = "acme:task-1";
        self.acme.well(&["submit", "--changes", changes, "--spec", "task", id, "--as", "olga"]);
        self.wait();
    }

    fn note(&self, text: &str) {
        self.change(&format!(r#"[{{"section":"notes","op":"add","path":"","value":"{text}"}}]"#));
    }

    fn rights(&self, verb: &str) {
        self.acme.well(&[verb, "task/acme:task-1", "notes", "partner", "read", "--as", "olga"]);
        self.wait();
    }

    /// Seq, notes, scope and hidden sections as the partner's row has them.
    fn seen(&self) -> [Json; 4] {
        let rows = sql(&self.partner, "SELECT lockstep_seq, notes, lockstep_scope, lockstep_hidden FROM task");
        let row = rows.as_array().and_then(|rows| rows.first()).cloned().unwrap();
        ["lockstep_seq", "notes", "lockstep_scope", "lockstep_hidden"].map(|name| row.get(name).cloned().unwrap())
    }
}

fn sql(place: &Place, query: &str) -> Json {
    place.well(&["sql", query, "--json"]).json()
}

fn row(seq: u64, notes: Option<&str>) -> [Json; 4] {
    let (scope, hidden) = if notes.is_some() { ("full", None) } else { ("partial", Some("[\"notes\"]")) };
    [Json::from(seq), Json::from(notes), Json::from(scope), Json::from(hidden)]
}

#[test]
fn who_goes_out_and_comes_back_sees_what_it_may_at_each_seq_and_both_sides_can_say_who_saw_what() {
    let two = Two::begin();
    two.change(
        r#"[{"section":"parties","op":"add","path":"","value":{"members":[
            {"role":"owner","participant":"acme","from":1},{"role":"reader","participant":"partner","from":1}]}},
            {"section":"body","op":"add","path":"","value":"task"},{"section":"notes","op":"add","path":"","value":"one"}]"#,
    );
    two.note("two");
    two.note("three");
    assert_eq!(two.seen(), row(3, Some("\"three\"")), "in from 1");
    two.rights("ungrant");
    assert_eq!(two.seen(), row(4, Some("\"three\"")), "out from 4; what it had it keeps while nothing changes");
    two.note("five");
    two.note("six");
    two.note("seven");
    assert_eq!(two.seen(), row(7, None), "out: what was written since is not for it");
    two.rights("grant");
    assert_eq!(two.seen(), row(8, Some("\"seven\"")), "back from 8, with the content that it missed");
    two.note("nine");
    assert_eq!(two.seen(), row(9, Some("\"nine\"")));

    let written = sql(&two.partner, "SELECT seq FROM task_changes WHERE section = 'notes' ORDER BY seq");
    let seqs: Vec<u64> =
        written.as_array().unwrap().iter().filter_map(|row| row.get("seq").and_then(Json::as_u64)).collect();
    assert_eq!(seqs, [1, 2, 3, 9], "of what happened while it was out it has no change");
    for seq in 1..=9_u64 {
        let query = format!(
            "SELECT DISTINCT subject FROM lockstep_entitlement WHERE record_id = 'acme:task-1' AND section = 'notes' \
             AND mode = 'read' AND from_seq <= {seq} AND (to_seq IS NULL OR to_seq > {seq})"
        );
        let (here, there) = (sql(&two.acme, &query), sql(&two.partner, &query));
        assert_eq!(here, there, "both sides say the same of seq {seq}");
        let saw = here.canonical().contains("partner");
        assert_eq!(saw, !(4..8).contains(&seq), "seq {seq}: {}", here.canonical());
    }
    let bytes = std::fs::read(two.partner.dir().join("lockstep.db")).unwrap();
    let log = std::fs::read(two.partner.dir().join("lockstep.db-wal")).unwrap_or_default();
    for hidden in ["\"five\"", "\"six\""] {
        let there = |bytes: &[u8]| bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes());
        assert!(!there(&bytes) && !there(&log), "{hidden} never came");
    }
    for place in [&two.acme, &two.partner] {
        let verified = place.well(&["verify", "--execute", "--json"]).json();
        assert_eq!(verified.get("clean"), Some(&Json::from(true)), "{}", verified.canonical());
    }
    two.nodes.into_iter().for_each(Daemon::stop);
}
