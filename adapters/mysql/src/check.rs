//! Which servers are refused, why, and the statement that mends it.
//!
//! What a session can set for itself is set (`connect::enter`) and looked at here again; what only the server's owner
//! can set is named.

use std::collections::BTreeMap;

use lockstep_core::tables::{Cell, name};
use sqlx::mysql::MySqlConnection;

use crate::bind::{self, quoted};
use crate::connect::{ask, ask_text};
use crate::errors::{number, words};

/// The oldest servers that this adapter knows.
const OLDEST_MARIADB: (u64, u64, u64) = (10, 11, 0);
const OLDEST_MYSQL: (u64, u64, u64) = (8, 0, 17);

/// Bytes of a statement that every server must take.
const LEAST_PACKET: u64 = 16 << 20;

/// What the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// MariaDB, or else MySQL.
    pub(crate) is_mariadb: bool,
    /// Most bytes of a statement with its arguments.
    pub(crate) max_packet: u64,
}

impl Server {
    /// Asks a server that was not set up yet.
    ///
    /// # Errors
    /// In words, where it is too old or not asked.
    pub(crate) async fn of(connection: &mut MySqlConnection) -> Result<Self, String> {
        let version = ask_text(connection, "SELECT VERSION()", &[]).await.map_err(|error| words(&error))?;
        let version = version.unwrap_or_default();
        let is_mariadb = version.contains("MariaDB");
        let oldest = if is_mariadb { OLDEST_MARIADB } else { OLDEST_MYSQL };
        if numbers(&version) < oldest {
            return Err(format!("the server is {version}; Lockstep needs MariaDB 10.11 or MySQL 8.0.17 or newer"));
        }
        let packet = ask_text(connection, "SELECT @@max_allowed_packet", &[]).await.map_err(|error| words(&error))?;
        Ok(Server { is_mariadb, max_packet: packet.and_then(|bytes| bytes.parse().ok()).unwrap_or(LEAST_PACKET) })
    }

    /// The collation that compares text by its bytes and pads nothing.
    pub(crate) fn collation(&self) -> &'static str {
        if self.is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" }
    }
}

/// The three numbers that a version begins with.
fn numbers(version: &str) -> (u64, u64, u64) {
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// Looks at everything that a commit relies on.
///
/// # Errors
/// What is wrong and what mends it.
pub(crate) async fn check(connection: &mut MySqlConnection, server: &Server) -> Result<(), String> {
    let settings = settings(connection).await.map_err(|error| words(&error))?;
    refuse_settings(server, &settings)?;
    refuse_triggers(connection).await?;
    refuse_missing_rights(connection).await
}

type Settings = BTreeMap<String, String>;

async fn settings(connection: &mut MySqlConnection) -> Result<Settings, sqlx::Error> {
    let sql = "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation', 'sql_mode', \
               'time_zone', 'collation_connection', 'innodb_flush_log_at_trx_commit', 'innodb_doublewrite', \
               'innodb_page_size', 'log_bin', 'sync_binlog', 'binlog_format', 'max_allowed_packet')";
    let rows = ask(connection, sql, &[]).await?;
    let text = |row, at| bind::raw(row, at).map(|raw| bind::answer(raw).show().unwrap_or_default());
    rows.iter().map(|row| Ok((text(row, 0)?.to_ascii_lowercase(), text(row, 1)?))).collect()
}

fn refuse_settings(server: &Server, settings: &Settings) -> Result<(), String> {
    let of = |name: &str| settings.get(name).map_or("", String::as_str);
    let refuse =
        |name: &str, why: &str, mend: &str| Err(format!("{name} is {:?}: {why}; mend it with: {mend}", of(name)));
    let isolation =
        if server.is_mariadb && !of("tx_isolation").is_empty() { "tx_isolation" } else { "transaction_isolation" };
    if of(isolation) != "READ-COMMITTED" {
        return refuse(
            isolation,
            "a session cannot choose READ COMMITTED",
            "SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED",
        );
    }
    if !["STRICT_ALL_TABLES", "NO_ZERO_DATE"].iter().all(|mode| of("sql_mode").contains(mode))
        || of("sql_mode").contains("NO_BACKSLASH_ESCAPES")
    {
        return refuse(
            "sql_mode",
            "a session cannot be strict",
            "SET GLOBAL sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE'",
        );
    }
    if of("collation_connection") != server.collation() {
        return refuse(
            "collation_connection",
            "a session cannot compare by bytes",
            "SET GLOBAL character_set_server = utf8mb4",
        );
    }
    let syncs = of("innodb_flush_log_at_trx_commit") == "1"
        || (server.is_mariadb && of("innodb_flush_log_at_trx_commit") == "3");
    if !syncs {
        return refuse(
            "innodb_flush_log_at_trx_commit",
            "a commit would be lost with the machine",
            "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
        );
    }
    let writes_twice = !matches!(of("innodb_doublewrite").to_ascii_uppercase().as_str(), "OFF" | "0" | "DETECT_ONLY");
    if !writes_twice {
        return refuse(
            "innodb_doublewrite",
            "a torn page would lose rows",
            "innodb_doublewrite = ON in the server's configuration, and a restart",
        );
    }
    let logs = matches!(of("log_bin"), "ON" | "1");
    if logs && of("sync_binlog") != "1" {
        return refuse(
            "sync_binlog",
            "with a binary log, a commit is durable once that is synced",
            "SET GLOBAL sync_binlog = 1",
        );
    }
    if logs && of("binlog_format") == "STATEMENT" {
        return refuse(
            "binlog_format",
            "READ COMMITTED cannot be logged as statements",
            "SET GLOBAL binlog_format = ROW",
        );
    }
    if of("max_allowed_packet").parse::<u64>().is_ok_and(|bytes| bytes < LEAST_PACKET) {
        return refuse(
            "max_allowed_packet",
            "a record of 8 MiB would not get through",
            "SET GLOBAL max_allowed_packet = 67108864",
        );
    }
    if of("innodb_page_size").parse::<u64>().is_ok_and(|bytes| bytes < 16_384) {
        return refuse(
            "innodb_page_size",
            "keys would be too long for an index",
            "a new server with innodb_page_size = 16384",
        );
    }
    Ok(())
}

/// A BEFORE trigger may change what is written; AFTER triggers may do what they like with other tables.
async fn refuse_triggers(connection: &mut MySqlConnection) -> Result<(), String> {
    let sql = "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
               WHERE TRIGGER_SCHEMA = DATABASE() AND ACTION_TIMING = 'BEFORE' AND EVENT_MANIPULATION <> 'DELETE' \
               AND (EVENT_OBJECT_TABLE LIKE 'lockstep\\_%' OR EVENT_OBJECT_TABLE IN \
               (SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME = 'lockstep_seq'))";
    let rows = ask(connection, sql, &[]).await.map_err(|error| words(&error))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let text = |at| bind::raw(row, at).map(|raw| bind::answer(raw).show().unwrap_or_default()).unwrap_or_default();
    let (trigger, table) = (text(0), text(1));
    Err(format!(
        "trigger {trigger} on {table} runs BEFORE a row is written and could change it; make it an AFTER trigger, or: DROP TRIGGER {}",
        quoted(&trigger)
    ))
}

/// Tries what a commit does, with no row.
async fn refuse_missing_rights(connection: &mut MySqlConnection) -> Result<(), String> {
    if !has_table(connection, name::META).await.map_err(|error| words(&error))? {
        return Ok(());
    }
    let meta = name::META;
    let tries = [
        format!("INSERT INTO {meta} (`key`, value) SELECT `key`, value FROM {meta} WHERE 1 = 0"),
        format!("UPDATE {meta} SET value = '' WHERE 1 = 0"),
    ];
    for sql in tries {
        if let Err(error) = ask(connection, &sql, &[]).await {
            let user = ask_text(connection, "SELECT CURRENT_USER()", &[]).await.ok().flatten().unwrap_or_default();
            let database = ask_text(connection, "SELECT DATABASE()", &[]).await.ok().flatten().unwrap_or_default();
            // Read-only servers and the like pass; they are told when something is written.
            if matches!(number(&error), Some(1044 | 1142 | 1143)) {
                return Err(format!("{}; mend it with: {}", words(&error), grant(&user, &quoted(&database))));
            }
        }
    }
    Ok(())
}

/// What a writer needs; the user as the server names it.
pub(crate) fn grant(user: &str, database: &str) -> String {
    let (name, host) = user.rsplit_once('@').unwrap_or((user, "%"));
    format!(
        "GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX, DROP, REFERENCES, CREATE VIEW, SHOW VIEW, TRIGGER ON {database}.* TO '{name}'@'{host}'"
    )
}

pub(crate) async fn has_table(connection: &mut MySqlConnection, table: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?";
    Ok(ask_text(connection, sql, &[Cell::Text(table.to_owned())]).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        let settings = [
            ("tx_isolation", "READ-COMMITTED"),
            ("sql_mode", "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE"),
            ("collation_connection", "utf8mb4_nopad_bin"),
            ("innodb_flush_log_at_trx_commit", "1"),
            ("innodb_doublewrite", "ON"),
            ("innodb_page_size", "16384"),
            ("log_bin", "ON"),
            ("sync_binlog", "1"),
            ("binlog_format", "MIXED"),
            ("max_allowed_packet", "16777216"),
        ];
        settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    const MARIADB: Server = Server { is_mariadb: true, max_packet: LEAST_PACKET };

    #[test]
    fn a_server_that_could_lose_a_commit_is_refused_with_what_mends_it() {
        assert_eq!(refuse_settings(&MARIADB, &good()), Ok(()));
        let wrong = [
            ("tx_isolation", "REPEATABLE-READ"),
            ("sql_mode", ""),
            ("collation_connection", "utf8mb4_general_ci"),
            ("innodb_flush_log_at_trx_commit", "2"),
            ("innodb_doublewrite", "OFF"),
            ("innodb_page_size", "4096"),
            ("sync_binlog", "0"),
            ("binlog_format", "STATEMENT"),
            ("max_allowed_packet", "1048576"),
        ];
        for (name, value) in wrong {
            let mut settings = good();
            settings.insert(name.to_owned(), value.to_owned());
            let refusal = refuse_settings(&MARIADB, &settings).err().unwrap_or_default();
            assert!(refusal.starts_with(name) && refusal.contains("; mend it with: "), "{refusal}");
        }
        let mut settings = good();
        settings.extend([("log_bin".to_owned(), "OFF".to_owned()), ("sync_binlog".to_owned(), "0".to_owned())]);
        assert_eq!(refuse_settings(&MARIADB, &settings), Ok(()));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(numbers("10.11.19-MariaDB-0+deb12u1-log"), (10, 11, 19));
        assert!(numbers("8.0.36") >= OLDEST_MYSQL && numbers("5.7.44") < OLDEST_MYSQL);
        assert!(numbers("11.4.2-MariaDB") >= OLDEST_MARIADB && numbers("10.6.1-MariaDB") < OLDEST_MARIADB);
    }
}
