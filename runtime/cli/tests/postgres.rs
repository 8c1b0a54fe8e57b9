//! A node on PostgreSQL does what one on SQLite does, and never shows the password.

#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

mod support;

use lockstep_core::json::Json;
use lockstep_testbed::postgres::{Postgres, PostgresDatabase};
use support::daemon::Daemon;
use support::{Place, package};

const LISTING: &str =
    r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;

/// A node with a sale in a schema of its own; every word that it says is looked through for the password.
fn sale(place: &Place, database: &PostgresDatabase) {
    let dir = place.dir().display().to_string();
    let with_password = database.url().replacen("://postgres@", "://postgres:hidden@", 1);
    let url = format!("{with_password}?schema=acme");
    well(place, &["init", &dir, "--network", "sales", "--participant", "acme", "--database", &url]);
    for (actor, participant, role) in
        [("alice", "acme", "seller"), ("bob", "buyer", "buyer"), ("ivy", "inspector", "inspector")]
    {
        well(place, &["actor", "add", actor, "--participant", participant, "--role", role]);
    }
    well(place, &["contract", "deploy", package().to_str().unwrap()]);
    well(place, &["submit", "house_sale.list", "acme:sale-1", "--as", "alice", "--args", LISTING]);
    well(place, &["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"340000.00"}"#]);
}

fn run(place: &Place, args: &[&str], status: i32) -> Json {
    let ran = place.run(&[args, &["--json"]].concat());
    assert_eq!(ran.status, status, "{args:?}: {}{}", ran.stdout, ran.stderr);
    assert!(!ran.stdout.contains("hidden") && !ran.stderr.contains("hidden"), "{args:?}: {}{}", ran.stdout, ran.stderr);
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
fn a_node_on_postgres_works_verifies_and_names_the_cell_that_was_edited() {
    let Some(server) = Postgres::shared() else { return };
    let (place, database) = (Place::new("postgres"), server.database());
    sale(&place, &database);
    assert!(is_clean(&place));
    let found =
        well(&place, &["sql", "SELECT asking_price, lockstep_seq FROM house_sale WHERE record_id = 'acme:sale-1'"]);
    assert_eq!(found.canonical(), r#"[{"asking_price":350000,"lockstep_seq":2}]"#);
    assert_eq!(well(&place, &["doctor"]).get("ok"), Some(&Json::from(true)));
    run(&place, &["sql", "DELETE FROM acme.house_sale"], 3);

    // What PostgreSQL itself prints alike is no edit.
    database.run(r#"UPDATE acme.house_sale SET listing = (listing - 'rooms') || '{"rooms" : 4}'"#);
    assert!(is_clean(&place));
    for (edit, undo, column, expected) in [
        (
            "listing = jsonb_set(listing, '{rooms}', '4.0')",
            "listing = jsonb_set(listing, '{rooms}', '4')",
            "listing",
            "house_sale",
        ),
        ("asking_price = 'NaN'", "asking_price = 350000", "asking_price", "house_sale"),
        (
            "lockstep_updated_at = lockstep_updated_at + '1 microsecond'",
            "lockstep_updated_at = lockstep_updated_at - interval '1 microsecond'",
            "lockstep_updated_at",
            "house_sale",
        ),
    ] {
        database.run(&format!("UPDATE acme.house_sale SET {edit}"));
        let report = run(&place, &["verify"], 5);
        let findings = report.get("findings").and_then(Json::as_array).unwrap();
        let named = findings.iter().any(|finding| {
            let is = |name: &str, text: &str| finding.get(name).and_then(Json::as_str) == Some(text);
            is("table", expected) && is("column", column)
        });
        assert!(named && findings.len() == 1, "{edit}: {}", report.canonical());
        database.run(&format!("UPDATE acme.house_sale SET {undo}"));
    }
    assert!(is_clean(&place));
}

#[test]
fn a_password_stands_in_a_file_that_nobody_else_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let Some(server) = Postgres::shared() else { return };
    let (place, database) = (Place::new("postgres-password"), server.database());
    sale(&place, &database);
    if std::env::var_os(lockstep_testbed::postgres::URL).is_some() {
        return;
    }
    let config = std::fs::read_to_string(place.dir().join("lockstep.toml")).unwrap();
    assert!(config.contains("password_file = \"database.password\"") && !config.contains("hidden"), "{config}");
    let file = place.dir().join("database.password");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hidden\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&place, &["record", "list", "house_sale"], 1);
    assert_eq!(refused.get("error").and_then(|error| error.get("code")?.as_str()), Some("key_file"));
}

#[test]
fn a_users_constraint_rejects_its_intent_and_nothing_else() {
    let Some(server) = Postgres::shared() else { return };
    let (place, database) = (Place::new("postgres-refused"), server.database());
    sale(&place, &database);
    database.run("ALTER TABLE acme.house_sale ADD CONSTRAINT mine CHECK (address <> '2 Elm St')");
    let other = LISTING.replace("1 Elm St", "2 Elm St");
    let rejected = run(&place, &["submit", "house_sale.list", "acme:sale-2", "--as", "alice", "--args", &other], 4);
    assert_eq!(rejected.get("code").and_then(Json::as_str), Some("database_refused"), "{}", rejected.canonical());
    well(&place, &["submit", "house_sale.list", "acme:sale-3", "--as", "alice", "--args", LISTING]);
    assert!(is_clean(&place));
}

#[test]
fn a_node_moves_from_sqlite_to_postgres_and_goes_on_there() {
    let Some(server) = Postgres::shared() else { return };
    let (place, database) = (Place::sale("postgres-copy"), server.database());
    let (from, to) = (format!("sqlite:{}", place.dir().join("lockstep.db").display()), database.url());
    let copied = well(&place, &["database", "copy", &from, &to]);
    assert_eq!(copied.get("same"), Some(&Json::from(true)), "{}", copied.canonical());
    let config = place.dir().join("lockstep.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("sqlite:lockstep.db", &to)).unwrap();
    well(&place, &["submit", "house_sale.list", "acme:moved", "--as", "alice", "--args", LISTING]);
    assert!(is_clean(&place));
    assert!(well(&place, &["database", "size"]).get("lockstep_event").and_then(Json::as_u64) > Some(0));
}

#[test]
fn the_bench_measures_in_schemas_of_its_own_and_leaves_none() {
    let Some(server) = Postgres::shared() else { return };
    let (place, database) = (Place::new("postgres-bench"), server.database());
    let ran = place.run(&["bench", "--database", &database.url(), "--intents", "100", "--records", "10", "--json"]);
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
    support::schemas::check("bench", &ran.json());
    let settings = ran.json().get("settings").cloned().unwrap();
    assert_eq!(settings.get("database").and_then(Json::as_str), Some("postgres"));
    assert_eq!(database.run("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'lockstep%'"), "0");
}

#[test]
fn a_node_goes_on_by_itself_when_its_server_was_killed_and_is_back() {
    let Some(server) = Postgres::private() else { return };
    let (place, database) = (Place::new("postgres-killed"), server.database());
    sale(&place, &database);
    let node = Daemon::start(&place, &[]);
    for round in 0..3 {
        let arguments = format!(r#"{{"price":"34{round}000.00"}}"#);
        let sign = ["intent", "sign", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", &arguments];
        let signed = place.0.join(format!("signed-{round}"));
        std::fs::write(&signed, well(&place, &sign).canonical()).unwrap();
        let envelope = format!("@{}", signed.display());
        server.kill();
        let away = std::thread::spawn({
            let server = std::sync::Arc::clone(&server);
            move || {
                std::thread::sleep(std::time::Duration::from_millis(700));
                server.start_again();
            }
        });
        // The same intent again and again, as people do: it ends once.
        let ends = || place.run(&["submit", "--envelope", &envelope, "--timeout", "30s", "--json"]).status == 0;
        assert!((0..200).any(|_| ends()), "round {round}");
        away.join().unwrap();
        assert!(ends());
    }
    node.stop();
    assert!(is_clean(&place));
    let seqs = well(&place, &["sql", "SELECT max(seq) AS last, count(*) AS n FROM house_sale_history"]);
    assert_eq!(seqs.canonical(), r#"[{"last":5,"n":5}]"#);
}
