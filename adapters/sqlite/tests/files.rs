//! Files: which are opened, which are refused, and what a DBA's hand in them looks like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use common::sample::{batch, row, table, tables, text, version};
use common::{Directory, open, open_read_only};
use lockstep_core::database::{CommitError, Database, DatabaseError, Page};
use lockstep_core::tables::Cell;
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// Another program's connection.
async fn dba(path: &std::path::Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &str) {
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect(sql);
}

async fn filled(directory: &Directory) -> (std::path::PathBuf, SqliteDatabase) {
    let path = directory.file("node.db");
    let database = open(path.clone()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    let meta = row(&table("lockstep_meta"), &[("key", text("format")), ("value", text("1"))]);
    let mut rows = vec![("lockstep_meta", meta)];
    rows.extend((1..=5).flat_map(|seq| version("acme:r", seq, seq, "350000.10")));
    database.commit(&batch(None, "one", rows)).await.unwrap();
    (path, database)
}

fn refusal<T>(result: Result<T, DatabaseError>) -> String {
    match result {
        Err(error @ (DatabaseError::Open { .. } | DatabaseError::NewerFormat { .. })) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("should be refused"),
    }
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_refused() {
    let directory = Directory::new("refused");
    let missing = SqliteConfig { path: directory.file("missing.db"), read_only: false, create: false };
    assert!(refusal(SqliteDatabase::open(missing).await).contains("no such file"));
    std::fs::write(
        directory.file("text.db"),
        "not a database, only text that is long enough to be read as a header".repeat(20),
    )
    .unwrap();
    assert!(refusal(open(directory.file("text.db")).await).contains("not a database"));
    let (path, database) = filled(&directory).await;
    database.close().await;
    run(&mut dba(&path).await, "UPDATE lockstep_meta SET value = '2' WHERE key = 'format'").await;
    assert!(refusal(open(path.clone()).await).contains("its format is 2"));
    assert!(refusal(open_read_only(path).await).contains("its format is 2"));
}

#[tokio::test]
async fn a_read_only_handle_reads_and_changes_nothing() {
    let directory = Directory::new("read-only");
    let (path, database) = filled(&directory).await;
    let beside = open_read_only(path.clone()).await.unwrap();
    assert_eq!(beside.head().await.unwrap().as_deref(), Some("one"));
    assert!(matches!(
        beside.commit(&batch(Some("one"), "two", Vec::new())).await,
        Err(CommitError::Unavailable { .. })
    ));
    assert!(beside.prepare(&tables()).await.is_err());
    assert!(beside.plan(&tables()).await.unwrap().is_empty());
    beside.close().await;
    database.close().await;

    let copy = directory.file("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let before = std::fs::read(&copy).unwrap();
    let reader = open_read_only(copy.clone()).await.unwrap();
    assert_eq!(reader.head().await.unwrap().as_deref(), Some("one"));
    reader.close().await;
    assert_eq!(std::fs::read(&copy).unwrap(), before);

    let journal = directory.file("journal.db");
    std::fs::copy(&path, &journal).unwrap();
    let delete = SqliteConnectOptions::new().filename(&journal).journal_mode(SqliteJournalMode::Delete);
    delete.connect().await.unwrap().close().await.unwrap();
    let reader = open_read_only(journal.clone()).await.unwrap();
    assert_eq!(reader.head().await.unwrap().as_deref(), Some("one"));
    reader.close().await;
    assert!(
        std::fs::read(&journal).unwrap().starts_with(b"SQLite format 3\0\x10\x00\x01\x01"),
        "the file's mode was changed"
    );
}

#[tokio::test]
async fn durability_does_not_hang_on_a_default() {
    let directory = Directory::new("settings");
    let (_, database) = filled(&directory).await;
    let mode = database.query("SELECT journal_mode FROM pragma_journal_mode", 1).await.unwrap();
    assert_eq!(mode.rows, [[text("wal")]]);
    let id = database.query("SELECT application_id FROM pragma_application_id", 1).await.unwrap();
    assert_eq!(id.rows, [[Cell::Integer(lockstep_sqlite::APPLICATION_ID)]]);
}

#[tokio::test]
async fn cells_edited_by_hand_come_back_as_what_they_are() {
    let directory = Directory::new("edited");
    let (path, database) = filled(&directory).await;
    let mut hand = dba(&path).await;
    run(&mut hand, "PRAGMA ignore_check_constraints = ON; UPDATE lockstep_event SET actor = x'616263' WHERE seq = 1; UPDATE lockstep_event SET log_position = 'x' WHERE seq = 2; UPDATE lockstep_event SET time = '2026-11-21' WHERE seq = 3").await;
    run(&mut hand, "UPDATE house_sale_version SET asking_price = 350000.1000000001 WHERE seq = 1; UPDATE house_sale_version SET asking_price = '350000.100' WHERE seq = 2; UPDATE house_sale_version SET asking_price = 'much' WHERE seq = 3").await;
    let mut snapshot = database.snapshot().await.unwrap();
    let mut column = async |table_name: &str, name: &str| {
        let table = table(table_name);
        let rows = snapshot.page(&table, &Page { after: None, limit: 100 }).await.unwrap();
        rows.iter().map(|row| row.get(table.position(name).unwrap()).unwrap().clone()).collect::<Vec<_>>()
    };
    let foreign = |text: &str| Cell::Foreign(text.to_owned());
    assert_eq!(column("lockstep_event", "actor").await.first(), Some(&foreign("x'616263'")));
    assert_eq!(column("lockstep_event", "log_position").await.get(1), Some(&foreign("x")));
    assert_eq!(column("lockstep_event", "time").await.get(2), Some(&foreign("2026-11-21")));
    let price = Cell::Decimal("350000.10".to_owned());
    // The second edit is none: SQLite stores the same double.
    assert_eq!(
        column("house_sale_version", "asking_price").await,
        [foreign("350000.1000000001"), price.clone(), foreign("much"), price.clone(), price]
    );
}

#[tokio::test]
async fn keys_edited_by_hand_do_not_stop_or_hide_a_page() {
    let directory = Directory::new("keys");
    let (path, database) = filled(&directory).await;
    run(&mut dba(&path).await, "UPDATE lockstep_event SET event_id = x'00' WHERE seq = 1; UPDATE lockstep_event SET event_id = 7 WHERE seq = 2; UPDATE lockstep_event SET event_id = CAST(x'ff41' AS TEXT) WHERE seq = 3").await;
    let events = table("lockstep_event");
    let mut snapshot = database.snapshot().await.unwrap();
    let (mut seen, mut after) = (0, None);
    while seen < 100 {
        let page = snapshot.page(&events, &Page { after, limit: 1 }).await.unwrap();
        let Some(row) = page.first() else { break };
        after = Some(vec![row.first().unwrap().clone()]);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn a_users_trigger_or_constraint_refuses_its_own_batch_only() {
    let directory = Directory::new("trigger");
    let (path, database) = filled(&directory).await;
    let mut hand = dba(&path).await;
    for (number, verb) in ["ABORT", "FAIL", "ROLLBACK"].into_iter().enumerate() {
        run(&mut hand, &format!("CREATE TRIGGER t{number} AFTER INSERT ON house_sale_version WHEN new.address = '1 Main Street' AND new.seq = 1{number} BEGIN SELECT RAISE({verb}, 'house {number} is not for sale'); END")).await;
        let seq = 10 + number as i64;
        match database.commit(&batch(Some("one"), "two", version("acme:r", seq, seq, "1.00"))).await {
            Err(CommitError::Refused { detail }) => assert_eq!(detail, format!("house {number} is not for sale")),
            other => panic!("{verb}: {other:?}"),
        }
        assert_eq!(database.head().await.unwrap().as_deref(), Some("one"));
    }
    database.commit(&batch(Some("one"), "two", version("acme:r", 20, 20, "1.00"))).await.unwrap();
}

#[tokio::test]
async fn a_locked_or_removed_file_is_unavailable_and_then_works_again() {
    let directory = Directory::new("locked");
    let (path, database) = filled(&directory).await;
    let mut hand = dba(&path).await;
    run(&mut hand, "BEGIN IMMEDIATE").await;
    let blocked = database.commit(&batch(Some("one"), "two", Vec::new())).await;
    assert!(matches!(blocked, Err(CommitError::Unavailable { .. })), "{blocked:?}");
    run(&mut hand, "ROLLBACK").await;
    hand.close().await.unwrap();
    database.commit(&batch(Some("one"), "two", Vec::new())).await.unwrap();

    let aside = directory.file("aside.db");
    std::fs::rename(&path, &aside).unwrap();
    let gone = database.commit(&batch(Some("two"), "three", Vec::new())).await;
    assert!(matches!(gone, Err(CommitError::Unavailable { .. })), "{gone:?}");
    std::fs::rename(&aside, &path).unwrap();
    database.commit(&batch(Some("two"), "three", Vec::new())).await.unwrap();
    assert_eq!(database.head().await.unwrap().as_deref(), Some("three"));
}

#[tokio::test]
async fn a_query_reaches_no_other_file_and_no_setting() {
    let directory = Directory::new("query");
    let (path, database) = filled(&directory).await;
    let other = directory.file("other.db");
    for sql in [
        format!("ATTACH '{}' AS other", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
        "PRAGMA query_only = OFF".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "CREATE TEMP TABLE t (a)".to_owned(),
        "EXPLAIN SELECT 1; DELETE FROM lockstep_event".to_owned(),
    ] {
        let refused = database.query(&sql, 1).await;
        assert!(matches!(refused, Err(DatabaseError::Query { .. })), "{sql}: {refused:?}");
    }
    assert!(!other.exists());
    let count = open_read_only(path).await.unwrap().query("SELECT count(*) FROM lockstep_event", 1).await.unwrap();
    assert_eq!(count.rows, [[Cell::Integer(5)]]);
}
