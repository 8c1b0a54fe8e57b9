//! The views say what happened and who may do what, through indexes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod common;

use common::open;
use common::sample::{batch, document, row, table, tables, text, version};
use lockstep_core::database::Database;
use lockstep_core::json::Json;
use lockstep_core::tables::Cell;
use lockstep_postgres::PostgresDatabase;
use lockstep_testbed::postgres::{Postgres, PostgresDatabase as Server};

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
async fn filled(server: &Server) -> PostgresDatabase {
    let database = open(server.url()).await.unwrap();
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

async fn lines(database: &PostgresDatabase, sql: &str) -> Vec<String> {
    let answer = database.query(sql, 1_000).await.expect(sql);
    answer
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.show().unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn history_and_changes_tell_every_version() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    let history = lines(&database, "SELECT seq, valid_from, valid_to, actor, method, asking_price FROM house_sale_history WHERE record_id = 'acme:r03' AND seq >= 499 ORDER BY seq").await;
    assert_eq!(
        history,
        [
            "499 2027-01-15T08:08:19.000000Z 2027-01-15T08:08:20.000000Z alice@acme offer 9963.50",
            "500 2027-01-15T08:08:20.000000Z - alice@acme offer 9983.50"
        ]
    );
    let changes = lines(
        &database,
        "SELECT seq, section, op, path, before, after FROM house_sale_changes WHERE record_id = 'acme:r03' AND seq = 7",
    )
    .await;
    assert_eq!(changes, ["7 listing replace /asking_price \"0.00\" \"123.50\""]);
}

#[tokio::test]
async fn entitlements_follow_the_version_that_the_record_is_on() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    let of = async |record: &str| {
        lines(&database, &format!("SELECT section, subject, mode, from_seq, to_seq FROM lockstep_entitlement WHERE spec = 'house_sale' AND record_id = '{record}' ORDER BY 1, 2, 3")).await
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

#[tokio::test]
async fn views_answer_through_indexes() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run("ANALYZE");
    for sql in [
        "SELECT * FROM house_sale_history WHERE record_id = 'acme:r03'",
        "SELECT * FROM house_sale_history WHERE record_id = 'acme:r03' AND seq = 7",
        "SELECT * FROM house_sale_history WHERE asking_price = 120.5",
        "SELECT * FROM house_sale_history WHERE asking_price BETWEEN 120 AND 130",
        "SELECT * FROM house_sale_changes WHERE record_id = 'acme:r03' AND seq = 7",
    ] {
        let plan = lines(&database, &format!("EXPLAIN {sql}")).await;
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{sql}: {plan:#?}");
    }
}

#[tokio::test]
async fn a_view_that_is_to_have_other_columns_is_made_anew() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run("DROP VIEW house_sale_changes; CREATE VIEW house_sale_changes AS SELECT 1 AS other");
    assert_eq!(database.plan(&tables()).await.unwrap().len(), 2);
    database.prepare(&tables()).await.unwrap();
    assert!(database.plan(&tables()).await.unwrap().is_empty());
    assert_eq!(lines(&database, "SELECT count(*) FROM house_sale_changes").await, ["10000"]);
}
