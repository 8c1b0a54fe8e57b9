//! The views say what happened and who may do what, through indexes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use common::open;
use common::sample::{batch, document, row, table, tables, text, version};
use lockstep_core::database::Database;
use lockstep_core::json::Json;
use lockstep_core::tables::Cell;
use lockstep_mysql::MySqlDatabase;
use lockstep_testbed::mariadb::{MariaDb, MariaDbDatabase};

const PARTIES: &str = r#"{"members":[{"actor":null,"from":1,"participant":"acme","role":"seller","to":null},{"actor":"bob@buyer","from":2,"participant":"buyer","role":"buyer","to":5}]}"#;

fn spec_row(version: &str, document: &Json) -> (&'static str, Vec<Cell>) {
    let text_of = document.canonical();
    let cells = [
        ("digest", text(&format!("digest of {version}"))),
        ("name", text("house_sale")),
        ("contract", text("sale")),
        ("contract_version", text(version)),
        ("document", Cell::Text(text_of)),
    ];
    ("lockstep_spec", row(&table("lockstep_spec"), &cells))
}

fn record(id: &str, contract: &str) -> (&'static str, Vec<Cell>) {
    let cells = [("record_id", text(id)), ("parties", text(PARTIES)), ("lockstep_contract", text(contract))];
    ("house_sale", row(&table("house_sale"), &cells))
}

/// Two records on different versions of the contract, 500 versions each of 20 others.
async fn filled(home: &MariaDbDatabase) -> MySqlDatabase {
    let database = open(home.url()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    let mut later = document();
    if let Json::Object(members) = &mut later {
        let sections = Json::parse(
            br#"{"listing":{"read":["buyer"],"schema":{},"description":"not JSON"}}"#,
            &lockstep_core::json::Limits::default(),
        )
        .unwrap();
        members.insert("sections", sections);
    }
    let mut rows = vec![
        spec_row("1.0.0", &document()),
        spec_row("1.10.0", &later),
        record("acme:old", "sale@1.9.0"),
        record("acme:new", "sale@1.10.2"),
    ];
    for position in 0..10_000 {
        rows.extend(version(
            &format!("acme:r{:02}", position % 20),
            position / 20 + 1,
            position,
            &format!("{position}.50"),
        ));
    }
    database.commit(&batch(None, "one", rows)).await.unwrap();
    database
}

async fn lines(database: &MySqlDatabase, sql: &str) -> Vec<String> {
    let answer = database.query(sql, 1_000).await.expect(sql);
    answer
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.show().unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn views_tell_what_happened_and_who_may_do_what_through_indexes() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    history_and_changes_tell_every_version(&database).await;
    entitlements_follow_the_version_that_the_record_is_on(&database).await;
    views_answer_through_indexes(&database, &home).await;
    comments_stand_at_tables_and_columns(&home);
    a_view_that_was_changed_is_made_anew(&database, &home).await;
}

async fn history_and_changes_tell_every_version(database: &MySqlDatabase) {
    let history = lines(database, "SELECT seq, valid_from, valid_to, actor, method, asking_price FROM house_sale_history WHERE record_id = 'acme:r03' AND seq >= 499 ORDER BY seq").await;
    assert_eq!(
        history,
        [
            "499 2027-01-15T08:08:19.000000Z 2027-01-15T08:08:20.000000Z alice@acme offer 9963.50",
            "500 2027-01-15T08:08:20.000000Z - alice@acme offer 9983.50"
        ]
    );
    let changes = lines(
        database,
        "SELECT seq, section, op, path, `before`, `after` FROM house_sale_changes WHERE record_id = 'acme:r03' AND seq = 7",
    )
    .await;
    assert_eq!(changes, ["7 listing replace /asking_price \"0.00\" \"123.50\""]);
}

async fn entitlements_follow_the_version_that_the_record_is_on(database: &MySqlDatabase) {
    let of = async |record: &str| {
        lines(database, &format!("SELECT section, subject, mode, from_seq, to_seq FROM lockstep_entitlement WHERE spec = 'house_sale' AND record_id = '{record}' ORDER BY 1, 2, 3")).await
    };
    assert_eq!(
        of("acme:old").await,
        [
            "listing * read 1 -",
            "listing acme create 1 -",
            "listing acme modify 1 -",
            "negotiation * audit 1 -",
            "negotiation acme modify 1 -",
            "negotiation acme read 1 -",
            "negotiation bob@buyer create 2 5",
            "negotiation bob@buyer modify 2 5",
            "negotiation bob@buyer read 2 5",
            "parties * create 1 -",
            "parties * read 1 -",
            "parties acme modify 1 -",
        ]
    );
    assert_eq!(
        of("acme:new").await,
        ["listing bob@buyer read 2 5", "parties * create 1 -", "parties * read 1 -", "parties acme modify 1 -"]
    );
}

/// Table and way of access of each step of a query, such as `e ref`.
async fn plan(database: &MySqlDatabase, sql: &str) -> Vec<String> {
    let answer = database.query(&format!("EXPLAIN {sql}"), 100).await.expect(sql);
    let at = |name: &str| answer.columns.iter().position(|column| column == name).unwrap();
    let (table, kind) = (at("table"), at("type"));
    let cell = |row: &Vec<Cell>, at: usize| row.get(at).and_then(Cell::show).unwrap_or_default();
    answer.rows.iter().map(|row| format!("{} {}", cell(row, table), cell(row, kind))).collect()
}

async fn views_answer_through_indexes(database: &MySqlDatabase, home: &MariaDbDatabase) {
    home.run("ANALYZE TABLE lockstep_event, lockstep_change, house_sale_version, house_sale, lockstep_spec");
    for sql in [
        "SELECT * FROM house_sale_history WHERE record_id = 'acme:r03'",
        "SELECT * FROM house_sale_history WHERE record_id = 'acme:r03' AND seq = 7",
        "SELECT * FROM house_sale_history WHERE asking_price = 120.5",
        "SELECT * FROM house_sale_history WHERE asking_price BETWEEN 120 AND 130",
        "SELECT * FROM house_sale_changes WHERE record_id = 'acme:r03' AND seq = 7",
        "SELECT * FROM house_sale_changes WHERE record_id = 'acme:r03'",
    ] {
        let plan = plan(database, sql).await;
        assert!(!plan.iter().any(|step| step.ends_with(" ALL") || step.ends_with(" index")), "{sql}: {plan:#?}");
    }
    let sql = "SELECT * FROM lockstep_entitlement WHERE spec = 'house_sale' AND record_id = 'acme:old'";
    let plan = plan(database, sql).await;
    assert!(!plan.iter().any(|step| ["r ALL", "s ALL", "g ALL"].contains(&step.as_str())), "{plan:#?}");
}

fn comments_stand_at_tables_and_columns(home: &MariaDbDatabase) {
    let comment = "SELECT COLUMN_COMMENT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'lockstep_event' AND COLUMN_NAME = 'prev'";
    assert_eq!(home.run(comment), "The record's event before; NULL for the first");
    let comment = "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'lockstep_event'";
    assert_eq!(home.run(comment), "What did change a record: hash-chained headers");
}

async fn a_view_that_was_changed_is_made_anew(database: &MySqlDatabase, home: &MariaDbDatabase) {
    assert!(database.plan(&tables()).await.unwrap().is_empty());
    home.run("CREATE OR REPLACE VIEW house_sale_history AS SELECT 1 AS a");
    let plan = database.plan(&tables()).await.unwrap();
    assert_eq!(plan.len(), 1, "{plan:?}");
    database.prepare(&tables()).await.unwrap();
    assert!(database.plan(&tables()).await.unwrap().is_empty());
}
