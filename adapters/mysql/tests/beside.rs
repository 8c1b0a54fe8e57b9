//! Beside the user's own: triggers, foreign keys, locks, indexes, and a DBA's hand in the rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use common::sample::{batch, row, table, tables, text, version};
use common::{open, open_read_only};
use lockstep_core::database::{Batch, CommitError, Database, DatabaseError, Page, TableWrites, Write};
use lockstep_core::tables::{Cell, Row};
use lockstep_mysql::MySqlDatabase;
use lockstep_testbed::mariadb::{MariaDb, MariaDbDatabase};

async fn filled(home: &MariaDbDatabase) -> MySqlDatabase {
    let database = open(home.url()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    let meta = row(&table("lockstep_meta"), &[("key", text("format")), ("value", text("1"))]);
    let mut rows = vec![("lockstep_meta", meta)];
    rows.extend((1..=5).flat_map(|seq| version("acme:r", seq, seq, "350000.10")));
    database.commit(&batch(None, "one", rows)).await.unwrap();
    database
}

async fn all(database: &MySqlDatabase, name: &str) -> Vec<Row> {
    let mut snapshot = database.snapshot().await.unwrap();
    snapshot.page(&table(name), &Page { after: None, limit: 1_000 }).await.unwrap()
}

async fn column(database: &MySqlDatabase, name: &str, column: &str) -> Vec<Cell> {
    let at = table(name).position(column).unwrap();
    all(database, name).await.iter().map(|row| row.get(at).unwrap().clone()).collect()
}

fn refusal<T>(result: Result<T, DatabaseError>) -> String {
    match result {
        Err(error @ (DatabaseError::Open { .. } | DatabaseError::NewerFormat { .. })) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("should be refused"),
    }
}

#[tokio::test]
async fn a_trigger_that_fills_the_users_own_table_commits_with_us_and_one_that_fails_refuses_its_batch_only() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    home.run("CREATE TABLE my_prices (seq BIGINT PRIMARY KEY, price DECIMAL(12,2)) ENGINE = InnoDB");
    home.run("CREATE TRIGGER my_copy AFTER INSERT ON house_sale_version FOR EACH ROW INSERT INTO my_prices VALUES (NEW.seq, NEW.asking_price)");
    database.commit(&batch(Some("one"), "two", version("acme:r", 6, 6, "7.00"))).await.unwrap();
    assert_eq!(home.run("SELECT * FROM my_prices"), "6\t7.00");
    home.run("DELIMITER //\nCREATE TRIGGER my_no AFTER INSERT ON lockstep_change FOR EACH ROW BEGIN IF NEW.value = '\"8.00\"' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not for sale'; END IF; END//");
    match database.commit(&batch(Some("two"), "three", version("acme:r", 7, 7, "8.00"))).await {
        Err(CommitError::Refused { detail }) => assert_eq!(detail, "not for sale"),
        other => panic!("{other:?}"),
    }
    // One that cannot run at all refuses, too: the node goes on.
    home.run("CREATE TRIGGER my_broken AFTER INSERT ON lockstep_event FOR EACH ROW INSERT INTO my_gone VALUES (1)");
    let broken = database.commit(&batch(Some("two"), "three", version("acme:r", 7, 7, "9.00"))).await;
    assert!(matches!(broken, Err(CommitError::Refused { .. })), "{broken:?}");
    home.run("DROP TRIGGER my_broken");
    assert_eq!(home.run("SELECT count(*) FROM my_prices"), "1");
    database.commit(&batch(Some("two"), "three", version("acme:r", 7, 7, "9.00"))).await.unwrap();
    assert_eq!(home.run("SELECT count(*) FROM my_prices"), "2");
}

#[tokio::test]
async fn a_users_foreign_key_index_and_check_hold_and_refuse_in_the_databases_words() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    home.run("CREATE TABLE my_notes (event_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL, note TEXT, FOREIGN KEY (event_id) REFERENCES lockstep_event (event_id)) ENGINE = InnoDB");
    home.run("INSERT INTO my_notes SELECT event_id, 'mine' FROM lockstep_event WHERE seq = 1");
    home.run("CREATE UNIQUE INDEX my_index ON house_sale_version (asking_price, seq)");
    home.run("ALTER TABLE house_sale_version ADD CONSTRAINT my_check CHECK (asking_price < 1000000)");
    let refused =
        async |price: &str| match database.commit(&batch(Some("one"), "two", version("acme:r", 6, 6, price))).await {
            Err(CommitError::Refused { detail }) => detail,
            other => panic!("{other:?}"),
        };
    assert!(refused("2000000.00").await.contains("my_check"));
    database.commit(&batch(Some("one"), "two", version("acme:r", 6, 6, "2.00"))).await.unwrap();
    let again = version("acme:other", 6, 7, "2.00");
    match database.commit(&batch(Some("two"), "three", again)).await {
        Err(CommitError::Refused { detail }) => assert!(detail.contains("my_index"), "{detail}"),
        other => panic!("{other:?}"),
    }
    assert!(database.plan(&tables()).await.unwrap().is_empty(), "what the user added is none of ours");
}

#[tokio::test]
async fn a_put_never_lands_on_another_row_through_a_unique_index() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    home.run("CREATE UNIQUE INDEX my_index ON lockstep_participant (status(64))");
    let participant = |name: &str, status: &str| {
        row(&table("lockstep_participant"), &[("participant", text(name)), ("status", text(status))])
    };
    let put = |expected: &str, head: &str, row: Row| Batch {
        expected_head: Some(expected.to_owned()),
        head: head.to_owned(),
        tables: vec![TableWrites { table: table("lockstep_participant").into(), writes: vec![Write::Put(row)] }],
    };
    database.commit(&put("one", "two", participant("a", "x"))).await.unwrap();
    let other = database.commit(&put("two", "three", participant("b", "x"))).await;
    assert!(matches!(other, Err(CommitError::Refused { .. })), "{other:?}");
    database.commit(&put("two", "three", participant("a", "y"))).await.unwrap();
    assert_eq!(home.run("SELECT participant, status FROM lockstep_participant"), "a\ty");
}

#[tokio::test]
async fn a_users_lock_is_waited_for_and_then_unavailable_and_then_it_works_again() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    let held = std::thread::spawn({
        let url = home.url();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let lock = "SELECT value FROM lockstep_meta WHERE `key` = 'log_head' FOR UPDATE";
            runtime.block_on(lockstep_mysql::client::execute(&url, &["BEGIN", lock, "DO SLEEP(7)", "ROLLBACK"]))
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let blocked = database.commit(&batch(Some("one"), "two", Vec::new())).await;
    assert!(matches!(blocked, Err(CommitError::Unavailable { .. })), "{blocked:?}");
    held.join().unwrap().unwrap();
    database.commit(&batch(Some("one"), "two", Vec::new())).await.unwrap();
    assert_eq!(home.run("SELECT count(*) FROM information_schema.INNODB_TRX t JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.DB = DATABASE()"), "0", "a transaction was left open");
}

#[tokio::test]
async fn cells_edited_by_hand_come_back_as_what_they_are() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    home.run("SET sql_mode = ''; UPDATE lockstep_event SET time = '0000-00-00' WHERE seq = 1; UPDATE lockstep_event SET time = '2026-00-11 10:00:00' WHERE seq = 2; UPDATE lockstep_event SET actor = 'a\\0b' WHERE seq = 3");
    home.run("SET check_constraint_checks = OFF; UPDATE house_sale_version SET asking_price = NULL WHERE seq = 1; INSERT INTO lockstep_peer (node, reachable, behind_events, `at`) VALUES ('n', 2, 0, NOW())");
    home.run("SET sql_mode = ''; ALTER TABLE house_sale_version MODIFY address INT");
    let foreign = |text: &str| Cell::Foreign(text.to_owned());
    let times = column(&database, "lockstep_event", "time").await;
    assert_eq!(times.first(), Some(&foreign("0000-00-00 00:00:00.000000")));
    assert_eq!(times.get(1), Some(&foreign("2026-00-11 10:00:00.000000")));
    assert_eq!(column(&database, "lockstep_event", "actor").await.get(2), Some(&foreign("a\0b")));
    assert_eq!(column(&database, "house_sale_version", "asking_price").await.first(), Some(&Cell::Null));
    assert_eq!(column(&database, "lockstep_peer", "reachable").await, [foreign("2")]);
    assert!(database.plan(&tables()).await.is_err(), "a retyped column is drift");
}

#[tokio::test]
async fn what_cannot_keep_the_promise_is_refused_with_what_mends_it() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let missing = home.url().replace(home.name(), "lockstep_gone");
    assert!(refusal(open(missing).await).contains("CREATE DATABASE `lockstep_gone`"));
    filled(&home).await.close().await;
    home.run("CREATE TRIGGER my_before BEFORE INSERT ON lockstep_event FOR EACH ROW SET NEW.actor = 'x'");
    assert!(refusal(open(home.url()).await).contains("DROP TRIGGER `my_before`"));
    home.run("DROP TRIGGER my_before");
    home.run("UPDATE lockstep_meta SET value = '2' WHERE `key` = 'format'");
    assert!(refusal(open(home.url()).await).contains("its format is 2"));
    assert!(refusal(open_read_only(home.url()).await).contains("its format is 2"));
    home.run("UPDATE lockstep_meta SET value = '1' WHERE `key` = 'format'");
    let database = open(home.url()).await.unwrap();
    home.run("CREATE TABLE moved LIKE house_sale; DROP TABLE house_sale; CREATE TABLE house_sale (record_id INT) ENGINE = Aria");
    match database.prepare(&tables()).await {
        Err(DatabaseError::Shape { table, detail }) => {
            assert!(table == "house_sale" && detail.contains("Aria"), "{detail}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_without_rights_to_write_reads_and_a_writer_is_told_the_grant() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    filled(&home).await.close().await;
    let user = format!("r{}", home.name());
    home.run(&format!(
        "CREATE USER '{user}'@'%' IDENTIFIED BY 'p@ss'; GRANT SELECT, SHOW VIEW ON {}.* TO '{user}'@'%'",
        home.name()
    ));
    let url = home.url().replacen("root@", &format!("{user}:p%40ss@"), 1);
    let reader = open_read_only(url.clone()).await.unwrap();
    assert_eq!(reader.head().await.unwrap().as_deref(), Some("one"));
    assert!(matches!(
        reader.commit(&batch(Some("one"), "two", Vec::new())).await,
        Err(CommitError::Unavailable { .. })
    ));
    let refused = refusal(open(url.clone()).await);
    assert!(
        refused.contains("GRANT SELECT, INSERT") && !refused.contains("p@ss") && !refused.contains("p%40ss"),
        "{refused}"
    );
    let wrong = refusal(open_read_only(url.replace("p%40ss", "other")).await);
    assert!(wrong.contains("Access denied") && !wrong.contains("other"), "{wrong}");
    home.run(&format!("DROP USER '{user}'@'%'"));
}

#[tokio::test]
async fn rights_that_are_taken_away_are_unavailable_and_come_back_by_themselves() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    filled(&home).await.close().await;
    let user = format!("w{}", home.name());
    let grant = format!("GRANT ALL ON {}.* TO '{user}'@'%'", home.name());
    home.run(&format!("CREATE USER '{user}'@'%'; {grant}"));
    let database = open(home.url().replacen("root@", &format!("{user}@"), 1)).await.unwrap();
    home.run(&format!("REVOKE INSERT, UPDATE ON {}.* FROM '{user}'@'%'", home.name()));
    // A session keeps the rights on its database that it began with, in MariaDB.
    home.run(&format!("KILL USER '{user}'"));
    let rows = || batch(Some("one"), "two", version("acme:r", 6, 6, "1.00"));
    let refused = database.commit(&rows()).await;
    assert!(matches!(refused, Err(CommitError::Unavailable { .. })), "{refused:?}");
    home.run(&grant);
    database.commit(&rows()).await.unwrap();
    home.run(&format!("DROP USER '{user}'@'%'"));
}

#[tokio::test]
async fn a_query_reaches_no_file_no_lock_and_no_setting() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    home.run("CREATE TABLE my_log (a INT) ENGINE = InnoDB;\nDELIMITER //\nCREATE FUNCTION my_write() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO my_log VALUES (1); RETURN 1; END//");
    for sql in [
        "SELECT 1 INTO OUTFILE '/tmp/lockstep_out'",
        "SELECT * FROM lockstep_meta FOR UPDATE",
        "SELECT my_write()",
        "SELECT 1 /*! INTO OUTFILE '/tmp/lockstep_out' */",
        "SET GLOBAL max_connections = 1",
        "EXPLAIN DELETE FROM lockstep_event; DELETE FROM lockstep_event",
        "ANALYZE DELETE FROM lockstep_event",
    ] {
        let refused = database.query(sql, 1).await;
        assert!(matches!(refused, Err(DatabaseError::Query { .. })), "{sql}: {refused:?}");
    }
    assert_eq!(home.run("SELECT count(*) FROM my_log"), "0");
    let answer = database.query("SELECT 1.50 AS d, DATE '2026-11-21' AS t, x'00ff' AS b, NULL AS n, -7 AS i, 'ä' AS s, TIMESTAMP '2026-11-21 10:00:00' AS m, 18446744073709551615 AS u", 1).await.unwrap();
    let shown: Vec<_> = answer.rows.first().unwrap().iter().map(Cell::show).collect();
    let expected = [
        Some("1.50"),
        Some("2026-11-21"),
        Some("00ff"),
        None,
        Some("-7"),
        Some("ä"),
        Some("2026-11-21T10:00:00.000000Z"),
        Some("18446744073709551615"),
    ];
    assert_eq!(shown, expected.map(|text| text.map(str::to_owned)));
}

#[tokio::test]
async fn documents_of_any_depth_that_is_allowed_are_taken_and_what_is_none_is_not() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let change = |head: &str, seq: i64, value: &str| {
        let mut rows = version("acme:r", seq, seq, "1.00");
        let at = table("lockstep_change").position("value").unwrap();
        for (name, row) in &mut rows {
            if *name == "lockstep_change" {
                row.splice(at..=at, [text(value)]);
            }
        }
        batch(Some(head), &format!("{head}'"), rows)
    };
    let mut head = "one".to_owned();
    for (seq, depth) in [(6, 31), (7, 32), (8, 64)] {
        database.commit(&change(&head, seq, &nested(depth))).await.unwrap();
        head.push('\'');
    }
    let none = database.commit(&change(&head, 9, "[1")).await;
    assert!(matches!(none, Err(CommitError::Refused { .. })), "{none:?}");
}

#[tokio::test]
async fn what_a_contract_may_say_at_any_length_fits() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    let long = text(&"€".repeat(5_000));
    let rows = vec![
        ("lockstep_intent", row(&table("lockstep_intent"), &[("reason", long.clone()), ("message", long.clone())])),
        ("lockstep_outbox", row(&table("lockstep_outbox"), &[("type", long.clone()), ("last_error", long.clone())])),
    ];
    database.commit(&batch(Some("one"), "two", rows)).await.unwrap();
    assert_eq!(column(&database, "lockstep_intent", "reason").await.first(), Some(&long));
    assert_eq!(column(&database, "lockstep_outbox", "type").await.first(), Some(&long));
}

#[tokio::test]
async fn a_row_that_no_packet_holds_is_refused_with_what_mends_it_and_the_connection_lives() {
    let Some(server) = MariaDb::shared() else { return };
    let home = server.database();
    let database = filled(&home).await;
    let mut rows = version("acme:r", 6, 6, "1.00");
    let at = table("lockstep_event").position("openings").unwrap();
    for (name, row) in &mut rows {
        if *name == "lockstep_event" {
            row.splice(at..=at, [Cell::Bytes(vec![7; 20 << 20])]);
        }
    }
    match database.commit(&batch(Some("one"), "two", rows)).await {
        Err(CommitError::Refused { detail }) => assert!(detail.contains("SET GLOBAL max_allowed_packet"), "{detail}"),
        other => panic!("{other:?}"),
    }
    database.commit(&batch(Some("one"), "two", Vec::new())).await.unwrap();
}
