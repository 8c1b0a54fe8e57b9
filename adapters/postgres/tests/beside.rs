//! The user's own things beside our tables, and what a DBA's hand in them looks like.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use common::sample::{batch, row, table, tables, text, version};
use common::{open, open_read_only};
use lockstep_core::database::{CommitError, Database, DatabaseError, Page};
use lockstep_core::tables::Cell;
use lockstep_postgres::PostgresDatabase;
use lockstep_testbed::postgres::{Postgres, PostgresDatabase as Server};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

async fn filled(server: &Server) -> PostgresDatabase {
    let database = open(server.url()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    let mut rows = vec![("house_sale", row(&table("house_sale"), &[("record_id", text("acme:r"))]))];
    rows.extend((1..=5).flat_map(|seq| version("acme:r", seq, seq, "350000.10")));
    database.commit(&batch(None, "one", rows)).await.unwrap();
    database
}

async fn refused(database: &PostgresDatabase, seq: i64) -> String {
    match database.commit(&batch(Some("one"), "two", version("acme:r", seq, seq, "1.00"))).await {
        Err(CommitError::Refused { detail }) => detail,
        other => panic!("should be refused and is {other:?}"),
    }
}

#[tokio::test]
async fn a_users_trigger_or_constraint_refuses_its_own_batch_only() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run(
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF new.seq = 10 THEN RAISE EXCEPTION 'house % is not for sale', new.seq; END IF;
           IF new.seq = 11 THEN PERFORM * FROM no_such_table; END IF;
           IF new.seq = 12 THEN PERFORM 1 / (new.seq - 12); END IF;
           RETURN NULL; END $$;
         CREATE TRIGGER say AFTER INSERT ON house_sale_version FOR EACH ROW EXECUTE FUNCTION say();
         CREATE TABLE price_limit (price numeric PRIMARY KEY);
         INSERT INTO price_limit VALUES (350000.10);
         ALTER TABLE house_sale_version ADD CONSTRAINT known FOREIGN KEY (asking_price) REFERENCES price_limit DEFERRABLE INITIALLY DEFERRED NOT VALID;
         ALTER TABLE house_sale_version ADD CONSTRAINT early CHECK (seq <> 13)",
    );
    assert_eq!(refused(&database, 10).await, "house 10 is not for sale");
    assert!(refused(&database, 11).await.contains("no_such_table"));
    assert!(refused(&database, 12).await.contains("division by zero"));
    assert!(refused(&database, 13).await.contains("\"early\""));
    // The deferred one speaks up at COMMIT.
    assert!(refused(&database, 20).await.contains("price_limit"));
    assert_eq!(database.head().await.unwrap().as_deref(), Some("one"));
    database.commit(&batch(Some("one"), "two", version("acme:r", 20, 20, "350000.10"))).await.unwrap();
}

#[tokio::test]
async fn a_users_after_trigger_fills_a_table_of_its_own_in_the_same_commit() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run(
        "CREATE TABLE my_prices (record_id text REFERENCES house_sale, price numeric);
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO my_prices VALUES (new.record_id, new.asking_price); RETURN NULL; END $$;
         CREATE TRIGGER keep AFTER INSERT ON house_sale_version FOR EACH ROW EXECUTE FUNCTION keep();
         CREATE INDEX mine ON house_sale_version (address, seq DESC);
         CREATE VIEW dearest AS SELECT record_id, max(asking_price) AS price FROM house_sale_version GROUP BY record_id",
    );
    assert!(database.plan(&tables()).await.unwrap().is_empty(), "what is the user's is no business of ours");
    database.commit(&batch(Some("one"), "two", version("acme:r", 20, 20, "400000.00"))).await.unwrap();
    let both = "SELECT d.price, m.price FROM dearest AS d JOIN my_prices AS m USING (record_id)";
    let found = database.query(both, 10).await.unwrap().rows;
    let price = || Cell::Decimal("400000.00".to_owned());
    assert_eq!(found, [[price(), price()]]);
}

#[tokio::test]
async fn what_would_change_or_hide_rows_is_refused_with_what_mends_it() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run("CREATE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$");
    for (make, undo, word) in [
        (
            "CREATE TRIGGER bend BEFORE INSERT ON house_sale FOR EACH ROW EXECUTE FUNCTION bend()",
            "DROP TRIGGER bend ON house_sale",
            "DROP TRIGGER bend ON house_sale",
        ),
        (
            "CREATE RULE r AS ON INSERT TO house_sale DO INSTEAD NOTHING",
            "DROP RULE r ON house_sale",
            "DROP RULE r ON house_sale",
        ),
        (
            "ALTER TABLE house_sale ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE house_sale DISABLE ROW LEVEL SECURITY",
            "DISABLE ROW LEVEL SECURITY",
        ),
        (
            "ALTER TABLE house_sale ALTER lockstep_seq TYPE numeric",
            "ALTER TABLE house_sale ALTER lockstep_seq TYPE bigint",
            "is numeric and should be bigint",
        ),
        (
            "ALTER TABLE house_sale ALTER lockstep_head TYPE text COLLATE \"POSIX\"",
            "ALTER TABLE house_sale ALTER lockstep_head TYPE text COLLATE \"C\"",
            "collation POSIX",
        ),
    ] {
        if word.contains("numeric") || word.contains("collation") {
            server.run("DROP VIEW IF EXISTS lockstep_entitlement CASCADE");
        }
        server.run(make);
        match database.prepare(&tables()).await {
            Err(DatabaseError::Shape { table, detail }) => {
                assert!(table == "house_sale" && detail.contains(word), "{detail}")
            }
            other => panic!("{make}: {other:?}"),
        }
        server.run(undo);
    }
    database.prepare(&tables()).await.unwrap();
}

#[tokio::test]
async fn a_users_lock_is_waited_for_and_then_the_database_is_unavailable() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    let mut hand = PgConnection::connect(&server.url()).await.unwrap();
    hand.execute("BEGIN; LOCK TABLE lockstep_event IN SHARE MODE").await.unwrap();
    let blocked = database.commit(&batch(Some("one"), "two", version("acme:r", 6, 6, "1.00"))).await;
    assert!(matches!(blocked, Err(CommitError::Unavailable { .. })), "{blocked:?}");
    assert_eq!(database.head().await.unwrap().as_deref(), Some("one"));
    hand.execute("COMMIT").await.unwrap();
    database.commit(&batch(Some("one"), "two", version("acme:r", 6, 6, "1.00"))).await.unwrap();
}

#[tokio::test]
async fn a_deadlock_with_a_user_is_for_now_only() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run(
        "CREATE TABLE tally (n bigint); INSERT INTO tally VALUES (0);
         CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE tally SET n = n + 1; RETURN NULL; END $$;
         CREATE TRIGGER count_up AFTER INSERT ON house_sale_version FOR EACH ROW EXECUTE FUNCTION count_up()",
    );
    let mut hand = PgConnection::connect(&server.url()).await.unwrap();
    hand.execute("SET deadlock_timeout = '10s'; BEGIN; UPDATE tally SET n = 7").await.unwrap();
    let next = batch(Some("one"), "two", version("acme:r", 6, 6, "1.00"));
    let held = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        // The commit holds this row and waits for the tally.
        hand.execute("UPDATE lockstep_meta SET value = value WHERE key = 'log_head'").await.map(|_| ())
    };
    let (committed, held) = tokio::join!(database.commit(&next), held);
    assert!(matches!(committed, Err(CommitError::Unavailable { .. })), "{committed:?}, {held:?}");
    hand.execute("ROLLBACK").await.unwrap();
    database.commit(&next).await.unwrap();
}

/// A role of the test's own in its database, which is no superuser.
fn clerk(server: &Server) -> (String, String) {
    let role = format!("clerk_{}", server.run("SELECT current_database()"));
    server.run(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'p'"));
    server.run(&format!("CREATE SCHEMA desk AUTHORIZATION {role}"));
    let url = server.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    (format!("{scheme}://{role}:p@{host}?schema=desk"), role)
}

#[tokio::test]
async fn rights_that_are_taken_away_stop_commits_until_they_are_back() {
    let Some(server) = Postgres::private() else { return };
    let server = server.database();
    let (url, role) = clerk(&server);
    let database = open(url.clone()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    database.commit(&batch(None, "one", Vec::new())).await.unwrap();
    let next = batch(Some("one"), "two", version("acme:r", 1, 1, "1.00"));
    server.run(&format!("REVOKE INSERT ON desk.lockstep_event FROM {role}"));
    let lacking = database.commit(&next).await;
    assert!(matches!(lacking, Err(CommitError::Unavailable { .. })), "{lacking:?}");
    let again = open(url).await.err().unwrap().to_string();
    assert!(again.contains("lacks rights on lockstep_event"), "{again}");
    server.run(&format!("GRANT INSERT ON desk.lockstep_event TO {role}"));
    database.commit(&next).await.unwrap();
}

#[tokio::test]
async fn a_server_out_of_connections_is_unavailable_and_the_committer_keeps_its_own() {
    let Some(server) = Postgres::private() else { return };
    let server = server.database();
    let (url, role) = clerk(&server);
    let database = open(url.clone()).await.unwrap();
    database.prepare(&tables()).await.unwrap();
    server.run(&format!("ALTER ROLE {role} CONNECTION LIMIT 1"));
    database.commit(&batch(None, "one", Vec::new())).await.unwrap();
    let (read, opened) = (database.snapshot().await.err(), open(url).await.err());
    assert!(matches!(read, Some(DatabaseError::Unavailable { .. })), "{read:?}");
    assert!(matches!(opened, Some(DatabaseError::Unavailable { .. })), "{opened:?}");
    server.run(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    assert!(database.snapshot().await.is_ok());
    database.commit(&batch(Some("one"), "two", Vec::new())).await.unwrap();
}

#[tokio::test]
async fn a_read_only_handle_reads_and_changes_nothing() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let _database = filled(&server).await;
    let beside = open_read_only(server.url()).await.unwrap();
    assert_eq!(beside.head().await.unwrap().as_deref(), Some("one"));
    let committed = beside.commit(&batch(Some("one"), "two", Vec::new())).await;
    assert!(matches!(committed, Err(CommitError::Unavailable { .. })));
    assert!(beside.prepare(&tables()).await.is_err());
    assert!(beside.plan(&tables()).await.unwrap().is_empty());
}

#[tokio::test]
async fn cells_edited_by_hand_come_back_as_what_they_are() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    server.run(
        "UPDATE lockstep_event SET time = 'infinity' WHERE seq = 1; UPDATE lockstep_event SET time = '0044-03-15 BC' WHERE seq = 2;
         UPDATE house_sale_version SET asking_price = 'NaN' WHERE seq = 1; UPDATE house_sale_version SET asking_price = 350000.100 WHERE seq = 2;
         UPDATE lockstep_change SET value = '1.50' WHERE event_id LIKE '%1'; UPDATE lockstep_change SET value = '{\"b\":1, \"aa\" : 1.5}' WHERE event_id LIKE '%2'",
    );
    let mut snapshot = database.snapshot().await.unwrap();
    let mut column = async |table_name: &str, name: &str| {
        let table = table(table_name);
        let rows = snapshot.page(&table, &Page { after: None, limit: 2 }).await.unwrap();
        rows.iter().map(|row| row.get(table.position(name).unwrap()).unwrap().clone()).collect::<Vec<_>>()
    };
    let foreign = |text: &str| Cell::Foreign(text.to_owned());
    assert_eq!(
        column("lockstep_event", "time").await,
        [foreign("infinity"), foreign("a time outside of the years 1 to 9999")]
    );
    // The second edit is none: the column's own scale stores the same number.
    assert_eq!(
        column("house_sale_version", "asking_price").await,
        [foreign("NaN"), Cell::Decimal("350000.10".to_owned())]
    );
    assert_eq!(column("lockstep_change", "value").await, [foreign("1.50"), text("{\"aa\":1.5,\"b\":1}")]);
}

#[tokio::test]
async fn a_query_reaches_nothing_but_rows() {
    let Some(server) = Postgres::shared() else { return };
    let server = server.database();
    let database = filled(&server).await;
    for sql in [
        "SET default_transaction_read_only = off",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "COPY lockstep_event TO '/tmp/x'",
        "CREATE TEMP TABLE t (a int)",
        "EXPLAIN ANALYZE DELETE FROM lockstep_event",
        "SELECT * INTO t FROM lockstep_event",
        "SELECT 1; COMMIT; DELETE FROM lockstep_event",
        "WITH gone AS (DELETE FROM lockstep_event RETURNING 1) SELECT * FROM gone",
        "SELECT E'\\'; DELETE FROM lockstep_event; --'; DELETE FROM lockstep_event",
        "SELECT $$ $$; DELETE FROM lockstep_event",
        "SELECT pg_notify('x', 'y') FROM pg_sleep(0), lockstep_nowhere",
        "DO $$ BEGIN DELETE FROM lockstep_event; END $$",
    ] {
        let refused = database.query(sql, 1).await;
        assert!(matches!(refused, Err(DatabaseError::Query { .. })), "{sql}: {refused:?}");
    }
    let count =
        open_read_only(server.url()).await.unwrap().query("SELECT count(*) FROM lockstep_event", 1).await.unwrap();
    assert_eq!(count.rows, [[Cell::Integer(5)]]);
}
