//! What was acknowledged survives; what nobody knows is told truly; what was cut off leaves nothing open.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::open;
use common::sample::{batch, table, tables, version};
use lockstep_core::database::{Batch, CommitError, Database, Page};
use lockstep_mysql::MySqlDatabase;
use lockstep_testbed::mariadb::{MariaDb, MariaDbDatabase};
use lockstep_testbed::{Cut, Proxy};

fn numbered(head: Option<&str>, number: i64) -> Batch {
    batch(head, &number.to_string(), version("acme:r", number, number, "1.00"))
}

async fn count(database: &MySqlDatabase, name: &str) -> i64 {
    let mut snapshot = database.snapshot().await.unwrap();
    snapshot.page(&table(name), &Page { after: None, limit: 1_000_000 }).await.unwrap().len() as i64
}

/// Asks until the server answers again.
async fn head(database: &MySqlDatabase) -> Option<String> {
    for _ in 0..200 {
        if let Ok(head) = database.head().await {
            return head;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the database does not come back");
}

/// The server ends a transaction a moment after its connection was dropped.
async fn nothing_is_left_open(home: &MariaDbDatabase) {
    for _ in 0..40 {
        if home.run("SELECT count(*) FROM information_schema.INNODB_TRX") == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a transaction was left open");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_commit_survives_the_servers_death() {
    let Some(server) = MariaDb::private() else { return };
    let home = server.database();
    let database = Arc::new(open(home.url()).await.unwrap());
    database.prepare(&tables()).await.unwrap();
    let acknowledged = Arc::new(AtomicI64::new(0));
    for round in 0..5_u64 {
        let committing = tokio::spawn({
            let (database, acknowledged) = (Arc::clone(&database), Arc::clone(&acknowledged));
            async move {
                let mut head = head(&database).await;
                loop {
                    let number = head.as_deref().map_or(0, |head| head.parse().unwrap()) + 1;
                    if database.commit(&numbered(head.as_deref(), number)).await.is_err() {
                        return;
                    }
                    acknowledged.store(number, Ordering::SeqCst);
                    head = Some(number.to_string());
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(300 + round * 37)).await;
        server.kill();
        committing.await.unwrap();
        server.start_again();
        let last = acknowledged.load(Ordering::SeqCst);
        let found: i64 = head(&database).await.unwrap().parse().unwrap();
        assert!(found == last || found == last + 1, "round {round}: acknowledged {last}, found {found}");
        for name in ["lockstep_event", "lockstep_change", "house_sale_version"] {
            assert_eq!(count(&database, name).await, found, "round {round}: rows of {name}");
        }
    }
    assert!(acknowledged.load(Ordering::SeqCst) > 5);
}

#[tokio::test]
async fn a_commit_whose_connection_is_cut_is_unknown_and_the_head_tells_the_truth() {
    let Some(server) = MariaDb::private() else { return };
    let home = server.database();
    let proxy = Proxy::new(server.port());
    let database = open(home.url_by(proxy.port())).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database.commit(&numbered(None, 1)).await.unwrap();

    proxy.cut(b"COMMIT", Cut::BeforeReply);
    let lost = database.commit(&numbered(Some("1"), 2)).await;
    assert!(matches!(lost, Err(CommitError::Unknown { .. })) && proxy.has_cut(), "{lost:?}");
    assert_eq!(database.head().await.unwrap().as_deref(), Some("2"), "the server committed");
    database.commit(&numbered(Some("2"), 3)).await.unwrap();

    proxy.cut(b"COMMIT", Cut::BeforeRequest);
    let lost = database.commit(&numbered(Some("3"), 4)).await;
    assert!(matches!(lost, Err(CommitError::Unknown { .. })) && proxy.has_cut(), "{lost:?}");
    assert_eq!(database.head().await.unwrap().as_deref(), Some("3"), "the server never heard of it");
    database.commit(&numbered(Some("3"), 4)).await.unwrap();

    for cut in [Cut::BeforeRequest, Cut::BeforeReply] {
        proxy.cut(b"acme:r#00000005", cut);
        let lost = database.commit(&numbered(Some("4"), 5)).await;
        assert!(matches!(lost, Err(CommitError::Unavailable { .. })) && proxy.has_cut(), "{cut:?}: {lost:?}");
        assert_eq!(database.head().await.unwrap().as_deref(), Some("4"), "{cut:?}");
    }
    database.commit(&numbered(Some("4"), 5)).await.unwrap();
    assert_eq!(count(&database, "lockstep_event").await, 5);
    nothing_is_left_open(&home).await;
}

#[tokio::test]
async fn a_read_only_server_is_unavailable_and_then_works_again() {
    let Some(server) = MariaDb::private() else { return };
    let home = server.database();
    home.run(&format!("CREATE USER w@'127.0.0.1'; GRANT ALL ON {}.* TO w@'127.0.0.1'", home.name()));
    let database = open(home.url().replacen("root@", "w@", 1)).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database.commit(&numbered(None, 1)).await.unwrap();
    home.run("SET GLOBAL read_only = ON");
    let refused = database.commit(&numbered(Some("1"), 2)).await;
    assert!(matches!(refused, Err(CommitError::Unavailable { .. })), "{refused:?}");
    assert!(database.head().await.is_err(), "a head that cannot be locked is not told");
    assert_eq!(count(&database, "lockstep_event").await, 1, "readers go on");
    home.run("SET GLOBAL read_only = OFF");
    assert_eq!(database.head().await.unwrap().as_deref(), Some("1"));
    database.commit(&numbered(Some("1"), 2)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_killed_or_a_server_that_is_full_is_unavailable_and_then_works_again() {
    let Some(server) = MariaDb::private() else { return };
    let home = server.database();
    home.run(&format!("CREATE USER w@'127.0.0.1'; GRANT ALL ON {}.* TO w@'127.0.0.1'", home.name()));
    let database = open(home.url().replacen("root@", "w@", 1)).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database.commit(&numbered(None, 1)).await.unwrap();
    home.run("KILL USER w");
    // Nothing was sent yet: the connection is made anew without a word.
    database.commit(&numbered(Some("1"), 2)).await.unwrap();
    let events = table("lockstep_event");
    assert_eq!(database.follow(&events, "log_position", None, 9).await.unwrap().len(), 2);
    home.run("KILL USER w");
    assert_eq!(database.follow(&events, "log_position", None, 9).await.unwrap().len(), 2);
    home.run("ALTER USER w@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1; KILL USER w");
    database.commit(&numbered(Some("2"), 3)).await.unwrap();
    assert!(database.snapshot().await.is_err(), "there is no connection left");
    home.run("ALTER USER w@'127.0.0.1' WITH MAX_USER_CONNECTIONS 0");
    assert_eq!(count(&database, "lockstep_event").await, 3);
}

#[tokio::test]
async fn a_session_whose_end_the_server_did_not_notice_is_ended() {
    let Some(server) = MariaDb::private() else { return };
    let home = server.database();
    let proxy = Proxy::new(server.port());
    let database = open(home.url_by(proxy.port())).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database.commit(&numbered(None, 1)).await.unwrap();
    proxy.cut(b"acme:r#00000002", Cut::Unnoticed);
    let lost = database.commit(&numbered(Some("1"), 2)).await;
    assert!(matches!(lost, Err(CommitError::Unavailable { .. })) && proxy.has_cut(), "{lost:?}");
    let open = "SELECT count(*) FROM information_schema.INNODB_TRX";
    assert_eq!(home.run(open), "1", "the lost transaction holds its locks");
    assert_eq!(database.head().await.unwrap().as_deref(), Some("1"));
    nothing_is_left_open(&home).await;
    database.commit(&numbered(Some("1"), 2)).await.unwrap();
}
