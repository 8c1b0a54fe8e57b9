//! A node on MariaDB does what one on SQLite does, and never shows the password.

#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json::Json;
use lockstep_testbed::mariadb::{MariaDb, MariaDbDatabase, URL};
use support::{Place, package};

const LISTING: &str =
    r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;

/// A node with a sale, whose database is told by a user with a password; every word that it says is looked through for
/// that.
fn sale(place: &Place, database: &MariaDbDatabase) {
    let dir = place.dir().display().to_string();
    well(place, &["init", &dir, "--network", "sales", "--participant", "acme", "--database", &owner(database)]);
    history(place);
}

/// A listed sale with an offer.
fn history(place: &Place) {
    for (actor, participant, role) in
        [("alice", "acme", "seller"), ("bob", "buyer", "buyer"), ("ivy", "inspector", "inspector")]
    {
        well(place, &["actor", "add", actor, "--participant", participant, "--role", role]);
    }
    well(place, &["contract", "deploy", package().to_str().unwrap()]);
    well(place, &["submit", "house_sale.list", "acme:sale-1", "--as", "alice", "--args", LISTING]);
    well(place, &["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"340000.00"}"#]);
}

/// The URL of a user who has rights on this database alone, and a password; of a server that is not our own, its URL.
fn owner(database: &MariaDbDatabase) -> String {
    if std::env::var_os(URL).is_some() {
        return database.url();
    }
    let name = database.name();
    let user = format!("u{name}");
    database.run(&format!(
        "CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'hid/den@'; GRANT ALL ON {name}.* TO {user}@'127.0.0.1'"
    ));
    database.url().replacen("root@", &format!("{user}:hid%2Fden%40@"), 1)
}

fn run(place: &Place, args: &[&str], status: i32) -> Json {
    let ran = place.run(&[args, &["--json"]].concat());
    assert_eq!(ran.status, status, "{args:?}: {}{}", ran.stdout, ran.stderr);
    for secret in ["hid/den", "hid%2Fden"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{args:?}: {}{}", ran.stdout, ran.stderr);
    }
    ran.json()
}

fn well(place: &Place, args: &[&str]) -> Json {
    run(place, args, 0)
}

fn is_clean(place: &Place) -> bool {
    let ran = place.run(&["verify", "--execute", "--json"]);
    assert!([0, 5].contains(&ran.status), "{}{}", ran.stdout, ran.stderr);
    ran.json().get("clean").and_then(Json::as_bool).unwrap()
}

#[test]
fn a_node_on_mariadb_works_verifies_and_names_the_cell_that_was_edited() {
    let Some(server) = MariaDb::shared() else { return };
    let (place, database) = (Place::new("mysql"), server.database());
    sale(&place, &database);
    assert!(is_clean(&place));
    let found =
        well(&place, &["sql", "SELECT asking_price, lockstep_seq FROM house_sale WHERE record_id = 'acme:sale-1'"]);
    assert_eq!(found.canonical(), r#"[{"asking_price":350000,"lockstep_seq":2}]"#);
    assert_eq!(well(&place, &["doctor"]).get("ok"), Some(&Json::from(true)));
    let listed = well(&place, &["contract", "list"]).canonical();
    assert!(listed.contains(r#""records":1"#), "{listed}");
    run(&place, &["sql", "DELETE FROM house_sale"], 3);

    for (edit, undo, column) in [
        (
            "listing = REPLACE(listing, '\"rooms\":4', '\"rooms\": 4')",
            "listing = REPLACE(listing, '\"rooms\": 4', '\"rooms\":4')",
            "listing",
        ),
        ("asking_price = asking_price + 0.01", "asking_price = asking_price - 0.01", "asking_price"),
        ("address = CONCAT(address, ' ')", "address = TRIM(address)", "address"),
        (
            "lockstep_updated_at = lockstep_updated_at + INTERVAL 1 MICROSECOND",
            "lockstep_updated_at = lockstep_updated_at - INTERVAL 1 MICROSECOND",
            "lockstep_updated_at",
        ),
    ] {
        database.run(&format!("UPDATE house_sale SET {edit}"));
        let report = run(&place, &["verify"], 5);
        let findings = report.get("findings").and_then(Json::as_array).unwrap();
        let named = findings.iter().any(|finding| {
            let is = |name: &str, text: &str| finding.get(name).and_then(Json::as_str) == Some(text);
            is("table", "house_sale") && is("column", column)
        });
        assert!(named && findings.len() == 1, "{edit}: {}", report.canonical());
        database.run(&format!("UPDATE house_sale SET {undo}"));
    }
    assert!(is_clean(&place));
}

#[test]
fn a_password_stands_in_a_file_and_a_users_constraint_rejects_its_intent_alone() {
    let Some(server) = MariaDb::shared() else { return };
    let (place, database) = (Place::new("mysql-refused"), server.database());
    sale(&place, &database);
    if std::env::var_os(URL).is_none() {
        let config = std::fs::read_to_string(place.dir().join("lockstep.toml")).unwrap();
        assert!(config.contains("password_file = \"database.password\"") && !config.contains("hid"), "{config}");
        assert_eq!(std::fs::read_to_string(place.dir().join("database.password")).unwrap(), "hid/den@\n");
    }
    database.run("ALTER TABLE house_sale ADD CONSTRAINT mine CHECK (address <> '2 Elm St')");
    let other = LISTING.replace("1 Elm St", "2 Elm St");
    let rejected = run(&place, &["submit", "house_sale.list", "acme:sale-2", "--as", "alice", "--args", &other], 4);
    assert_eq!(rejected.get("code").and_then(Json::as_str), Some("database_refused"), "{}", rejected.canonical());
    well(&place, &["submit", "house_sale.list", "acme:sale-3", "--as", "alice", "--args", LISTING]);
    assert!(is_clean(&place));
}

/// What people ask, in words that every database understands.
const QUESTIONS: &[&str] = &[
    "SELECT record_id, address, asking_price, lockstep_seq, lockstep_head, lockstep_updated_at FROM house_sale",
    "SELECT h.seq, h.actor, h.method, h.valid_from, h.valid_to, h.asking_price FROM house_sale_history h ORDER BY h.seq",
    "SELECT c.seq, c.section, c.op, c.path, c.before, c.after FROM house_sale_changes c ORDER BY c.seq, c.section, c.path",
    "SELECT e.section, e.subject, e.mode, e.from_seq, e.to_seq FROM lockstep_entitlement e ORDER BY e.section, e.subject, e.mode, e.from_seq",
    "SELECT i.actor, count(*) AS intents, sum(CASE WHEN i.status = 'applied' THEN 1 ELSE 0 END) AS applied FROM lockstep_intent i GROUP BY i.actor ORDER BY i.actor",
    "SELECT m.value FROM lockstep_meta m WHERE m.key = 'log_head'",
    "SELECT node, participant, reachable, behind_events, behind_s, last_error FROM lockstep_network_status",
];

#[test]
fn a_node_moves_from_sqlite_to_mariadb_and_answers_the_same() {
    let Some(server) = MariaDb::shared() else { return };
    let (place, database) = (Place::new("mysql-moved"), server.database());
    let dir = place.dir().display().to_string();
    let file = format!("sqlite:{}", place.dir().join("lockstep.db").display());
    well(&place, &["init", &dir, "--network", "sales", "--participant", "acme"]);
    history(&place);
    let url = owner(&database);
    let copied = well(&place, &["database", "copy", &file, &url]);
    assert_eq!(copied.get("same"), Some(&Json::from(true)), "{}", copied.canonical());
    for question in QUESTIONS {
        let before = well(&place, &["sql", question]);
        assert_eq!(well(&place, &["--database", &url, "sql", question]).canonical(), before.canonical(), "{question}");
    }
    well(&place, &["--database", &url, "submit", "house_sale.list", "acme:sale-2", "--as", "alice", "--args", LISTING]);
    assert_eq!(well(&place, &["--database", &url, "verify"]).get("clean"), Some(&Json::from(true)));
    let size = well(&place, &["--database", &url, "database", "size"]);
    assert!(size.get("per_intent").is_some() && size.get("house_sale").is_some(), "{}", size.canonical());
}
