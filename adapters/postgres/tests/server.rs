//! Servers that die, connections that are cut, and what is acknowledged through it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::sample::{batch, table, tables, version};
use common::{config, open};
use lockstep_core::database::{CommitError, Database, DatabaseError, Page};
use lockstep_postgres::{PostgresConfig, PostgresDatabase};
use lockstep_testbed::postgres::Postgres;
use lockstep_testbed::{Cut, Proxy};

async fn prepared(url: String) -> PostgresDatabase {
    let database = open(url).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database
}

/// Commits until something fails; the number that was acknowledged last.
async fn commit_on(database: &PostgresDatabase, first: i64) -> (i64, CommitError) {
    let mut head = (first > 1).then(|| (first - 1).to_string());
    for number in first.. {
        let rows = version("acme:r", number, number, "1.00");
        match database.commit(&batch(head.as_deref(), &number.to_string(), rows)).await {
            Ok(()) => head = Some(number.to_string()),
            Err(error) => return (number - 1, error),
        }
    }
    unreachable!("the numbers do not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_commit_survives_a_kill_of_the_server() {
    let Some(server) = Postgres::private() else { return };
    let own = server.database();
    let database = Arc::new(prepared(own.url()).await);
    let mut next = 1;
    for round in 0..4_u64 {
        let committing = tokio::spawn({
            let database = Arc::clone(&database);
            async move { commit_on(&database, next).await }
        });
        tokio::time::sleep(Duration::from_millis(150 + round * 37)).await;
        let killer = Arc::clone(&server);
        tokio::task::spawn_blocking(move || killer.kill()).await.unwrap();
        let (acknowledged, error) = committing.await.unwrap();
        assert!(matches!(error, CommitError::Unknown { .. } | CommitError::Unavailable { .. }), "{error:?}");
        assert!(matches!(database.head().await, Err(DatabaseError::Unavailable { .. })));
        let starter = Arc::clone(&server);
        tokio::task::spawn_blocking(move || starter.start_again()).await.unwrap();

        // The same handle goes on by itself.
        let head: i64 = database.head().await.unwrap().map_or(0, |head| head.parse().unwrap());
        assert!(head == acknowledged || head == acknowledged + 1, "acknowledged {acknowledged}, found {head}");
        let mut snapshot = database.snapshot().await.unwrap();
        for name in ["lockstep_event", "lockstep_change", "house_sale_version"] {
            let rows = snapshot.page(&table(name), &Page { after: None, limit: 1_000_000 }).await.unwrap();
            assert_eq!(rows.len() as i64, head, "round {round}: rows of {name}");
        }
        next = head + 1;
    }
    assert!(next > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_commit_is_unknown_until_the_head_is_read() {
    let Some(server) = Postgres::private() else { return };
    let own = server.database();
    let proxy = Proxy::new(server.port());
    let database = prepared(own.url_by(proxy.port())).await;
    let mut head: Option<String> = None;
    for (number, cut, is_there) in
        [(1, Cut::BeforeReply, true), (2, Cut::BeforeRequest, false), (3, Cut::BeforeReply, true)]
    {
        proxy.cut(b"COMMIT\0", cut);
        let next = number.to_string();
        let lost = database.commit(&batch(head.as_deref(), &next, version("acme:r", number, number, "1.00"))).await;
        assert!(matches!(lost, Err(CommitError::Unknown { .. })), "{cut:?}: {lost:?}");
        assert!(proxy.has_cut());
        let found = database.head().await.unwrap();
        assert_eq!(found, if is_there { Some(next) } else { head.clone() }, "{cut:?}");
        head = found;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_before_commit_leaves_nothing_and_no_transaction_open() {
    let Some(server) = Postgres::private() else { return };
    let own = server.database();
    let proxy = Proxy::new(server.port());
    let database = prepared(own.url_by(proxy.port())).await;
    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        for at in ["BEGIN", "INSERT INTO lockstep_meta", "INSERT INTO \"lockstep_event\""] {
            proxy.cut(at.as_bytes(), cut);
            let lost = database.commit(&batch(None, "one", version("acme:r", 1, 1, "1.00"))).await;
            assert!(matches!(lost, Err(CommitError::Unavailable { .. })), "{at}, {cut:?}: {lost:?}");
            assert_eq!(database.head().await.unwrap(), None, "{at}, {cut:?}");
        }
    }
    database.commit(&batch(None, "one", version("acme:r", 1, 1, "1.00"))).await.unwrap();
    let open = own.run("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'");
    assert_eq!(open, "0");
}

#[tokio::test]
async fn a_backend_that_was_ended_is_replaced() {
    let Some(server) = Postgres::shared() else { return };
    let own = server.database();
    let database = prepared(own.url()).await;
    database.commit(&batch(None, "one", Vec::new())).await.unwrap();
    own.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lockstep' AND datname = current_database()");
    let ended = database.commit(&batch(Some("one"), "two", Vec::new())).await;
    assert!(matches!(ended, Err(CommitError::Unavailable { .. })), "{ended:?}");
    database.commit(&batch(Some("one"), "two", Vec::new())).await.unwrap();
    assert_eq!(database.head().await.unwrap().as_deref(), Some("two"));
}

fn refusal<T>(result: Result<T, DatabaseError>) -> String {
    match result {
        Err(error @ (DatabaseError::Open { .. } | DatabaseError::NewerFormat { .. })) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("should be refused"),
    }
}

#[tokio::test]
async fn a_server_that_would_lose_commits_is_refused_with_what_mends_it() {
    let Some(server) = Postgres::private() else { return };
    let own = server.database();
    own.run("ALTER SYSTEM SET full_page_writes = off");
    own.run("SELECT pg_reload_conf(), pg_sleep(0.3)");
    let said = refusal(open(own.url()).await);
    assert!(
        said.contains("full_page_writes is off") && said.contains("ALTER SYSTEM SET full_page_writes = on"),
        "{said}"
    );
    own.run("ALTER SYSTEM SET full_page_writes = on");
    own.run("ALTER SYSTEM SET synchronous_commit = off");
    own.run("SELECT pg_reload_conf(), pg_sleep(0.3)");
    let database = prepared(own.url()).await;
    let ours =
        database.query("SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')", 1);
    assert_eq!(format!("{:?}", ours.await.unwrap().rows), "[[Text(\"on\"), Text(\"repeatable read\")]]");

    own.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
    let latin = format!("postgres://postgres@127.0.0.1:{}/latin", server.port());
    assert!(refusal(open(latin).await).contains("encoding is LATIN1"));
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused() {
    let Some(server) = Postgres::private() else { return };
    let own = server.database();
    let url = |rest: &str| format!("postgres://{rest}");
    let port = server.port();
    assert!(refusal(open(url(&format!("postgres@127.0.0.1:{port}/nowhere"))).await).contains("nowhere"));
    let missing = PostgresConfig { create: false, ..config(format!("{}?schema=none", own.url())) };
    assert!(refusal(PostgresDatabase::open(missing).await).contains("CREATE SCHEMA none"));
    assert!(refusal(open(format!("{}?schema=Bad", own.url())).await).contains("schema's name"));

    let database = prepared(own.url()).await;
    drop(database);
    own.run("INSERT INTO lockstep_meta VALUES ('format', '2')");
    assert!(refusal(open(own.url()).await).contains("its format is 2"));
    own.run("UPDATE lockstep_meta SET value = '1' WHERE key = 'format'");
    own.run("CREATE ROLE clerk LOGIN PASSWORD 'hidden'");
    let clerk = format!("postgres://clerk:hidden@127.0.0.1:{port}/{}", own.run("SELECT current_database()"));
    let said = refusal(open(clerk.clone()).await);
    assert!(said.contains("GRANT SELECT, INSERT, UPDATE ON ALL TABLES") && !said.contains("hidden"), "{said}");
    server.kill();
    let gone = open(clerk).await.err().unwrap();
    assert!(matches!(gone, DatabaseError::Unavailable { .. }) && !gone.to_string().contains("hidden"), "{gone}");
}
