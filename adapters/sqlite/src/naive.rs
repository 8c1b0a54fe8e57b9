//! The same work as an application does it that keeps no evidence: one transaction for each request, which selects the
//! row, updates it and adds a row to an audit table, with the settings of a commit. `lockstep bench --naive` holds the
//! whole against it.

use std::path::Path;

use lockstep_core::database::DatabaseError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};

use crate::bind;
use crate::connect::writing_options;

/// Its tables; people look at an audit table by record.
const TABLES: [&str; 3] = [
    "CREATE TABLE bulletin (record_id TEXT PRIMARY KEY, title TEXT NOT NULL, edition INTEGER NOT NULL, body TEXT NOT NULL, \
     updated_at TEXT NOT NULL)",
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, record_id TEXT NOT NULL REFERENCES bulletin, edition INTEGER NOT NULL, \
     actor TEXT NOT NULL, method TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL)",
    "CREATE INDEX audit_record ON audit (record_id)",
];

/// SQLite's code for a lock that others held for too long.
const BUSY: i64 = 5;

/// One client's connection.
#[derive(Debug)]
pub struct NaiveClient {
    connection: SqliteConnection,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Which record.
    pub record: String,
    /// Its new text.
    pub body: String,
    /// Who asks.
    pub actor: String,
    /// When.
    pub at: String,
}

fn failed(error: &sqlx::Error) -> DatabaseError {
    DatabaseError::Query { detail: bind::words(error) }
}

impl NaiveClient {
    /// Makes the tables with these records, each with a title and a text, in a new file.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn make(path: &Path, records: &[(String, String, String)]) -> Result<(), DatabaseError> {
        let options = writing_options(path).create_if_missing(true);
        let mut connection = options.connect().await.map_err(|error| failed(&error))?;
        for table in TABLES {
            sqlx::query(table).execute(&mut connection).await.map_err(|error| failed(&error))?;
        }
        let mut open = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| failed(&error))?;
        for (record, title, body) in records {
            let insert =
                sqlx::query("INSERT INTO bulletin VALUES (?, ?, 1, ?, '')").bind(record).bind(title).bind(body);
            insert.execute(&mut *open).await.map_err(|error| failed(&error))?;
        }
        open.commit().await.map_err(|error| failed(&error))?;
        connection.close().await.map_err(|error| failed(&error))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        let connection = writing_options(path).connect().await.map_err(|error| failed(&error))?;
        Ok(NaiveClient { connection })
    }

    /// Does what a request asks, durably, as often as it takes where others hold the lock; the record's new edition.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn revise(&mut self, asked: &Revision) -> Result<i64, DatabaseError> {
        loop {
            match self.attempt(asked).await {
                Err(error) if bind::primary_code(&error) == Some(BUSY) => {}
                ended => return ended.map_err(|error| failed(&error)),
            }
        }
    }

    /// It takes the lock at once: one that reads first and asks for it later fails where another has written meanwhile.
    async fn attempt(&mut self, asked: &Revision) -> Result<i64, sqlx::Error> {
        let mut open = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let select = "SELECT edition FROM bulletin WHERE record_id = ?";
        let edition: i64 = sqlx::query_scalar(select).bind(&asked.record).fetch_one(&mut *open).await?;
        let update = "UPDATE bulletin SET body = ?, edition = ?, updated_at = ? WHERE record_id = ?";
        let update = sqlx::query(update).bind(&asked.body).bind(edition + 1).bind(&asked.at).bind(&asked.record);
        update.execute(&mut *open).await?;
        let audit = "INSERT INTO audit (record_id, edition, actor, method, body, at) VALUES (?, ?, ?, 'revise', ?, ?)";
        let audit = sqlx::query(audit).bind(&asked.record).bind(edition + 1).bind(&asked.actor).bind(&asked.body);
        audit.bind(&asked.at).execute(&mut *open).await?;
        open.commit().await?;
        Ok(edition + 1)
    }

    /// Ends.
    ///
    /// # Errors
    /// The database's own words.
    pub async fn close(self) -> Result<(), DatabaseError> {
        self.connection.close().await.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_of_several_clients_all_count_and_leave_a_row_of_audit_each() {
        let path = std::env::temp_dir().join(format!("lockstep-naive-{}.db", std::process::id()));
        for beside in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{beside}", path.display())));
        }
        NaiveClient::make(&path, &[("a".to_owned(), "A".to_owned(), "x".to_owned())]).await.unwrap();
        let client = |path: std::path::PathBuf| async move {
            let mut client = NaiveClient::open(&path).await.unwrap();
            let asked = Revision { record: "a".into(), body: "y".into(), actor: "ed".into(), at: "now".into() };
            for _ in 0..10 {
                client.revise(&asked).await.unwrap();
            }
            client.close().await.unwrap();
        };
        let clients: Vec<_> = (0..3).map(|_| tokio::spawn(client(path.clone()))).collect();
        for one in clients {
            one.await.unwrap();
        }
        let mut client = NaiveClient::open(&path).await.unwrap();
        let sql = "SELECT edition * 1000 + (SELECT count(*) FROM audit) FROM bulletin";
        let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut client.connection).await.unwrap();
        assert_eq!(found, 31_030);
        client.close().await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
