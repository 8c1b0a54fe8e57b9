//! Where the databases of a run are: files of a folder, or schemas beside the one that a URL names.

use std::path::Path;
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, TableWrites};
use lockstep_core::tables::Table;
use lockstep_node::random_bytes;
use lockstep_sqlite::bare as sqlite;

use crate::context::{Access, open_database};
use crate::databases::{Kind, Stored, beside, kind, remove, stored};
use crate::error::CliError;

#[cfg(feature = "postgres")]
use {crate::databases::postgres as server, lockstep_postgres::bare as postgres};

/// One database of a run.
#[derive(Clone, Debug)]
pub(super) struct Store {
    url: String,
}

fn other() -> CliError {
    CliError::new(Code::Usage, "bench measures sqlite and postgres, as far as this binary has an adapter for them")
}

/// The databases of one run: `named` files of its folder, or schemas of the server's that nobody else uses.
pub(super) struct Stores {
    folder: std::path::PathBuf,
    server: Option<(String, String)>,
}

impl Stores {
    pub(super) fn of(folder: &Path, url: Option<&str>) -> Result<Self, CliError> {
        let server = match url {
            None => None,
            Some(url) if kind(url) == Some(Kind::Sqlite) || kind(url).is_none() => {
                let message = "bench makes databases of its own: it takes a server's URL, or none for files of its own";
                return Err(CliError::new(Code::Usage, message));
            }
            Some(url) => {
                let random = random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
                let random = Digest::from_bytes(random).to_string();
                Some((url.to_owned(), format!("lockstep_bench_{}", random.get(..8).unwrap_or_default())))
            }
        };
        Ok(Stores { folder: folder.to_owned(), server })
    }

    /// The database with this name; a node's file lies in its directory.
    pub(super) fn named(&self, name: &str) -> Store {
        match &self.server {
            Some((url, prefix)) => Store { url: beside(url, &format!("{prefix}_{}", name.replace('/', "_"))) },
            None => Store::file(&self.folder.join(format!("{name}.db"))),
        }
    }

    /// The kind of all of them.
    pub(super) fn kind(&self) -> &'static str {
        match self.server.as_ref().and_then(|(url, _)| kind(url)) {
            Some(Kind::Postgres) => "postgres",
            _ => "sqlite",
        }
    }
}

impl Store {
    pub(super) fn file(path: &Path) -> Self {
        Store { url: format!("sqlite:{}", path.display()) }
    }

    /// Its URL, where it is a server's; a node makes its file by itself.
    pub(super) fn of_server(&self) -> Option<&str> {
        Some(self.url.as_str()).filter(|url| kind(url) != Some(Kind::Sqlite))
    }

    fn path(&self) -> &Path {
        Path::new(self.url.strip_prefix("sqlite:").unwrap_or(&self.url))
    }

    /// Opens it to read.
    pub(super) async fn open(&self) -> Result<Arc<dyn Database>, CliError> {
        open_database(&self.url, Access::Read).await
    }

    /// Removes it with everything in it.
    pub(super) async fn remove(&self) -> Result<(), CliError> {
        remove(&self.url).await
    }

    /// Makes another one that holds the same; what was there goes.
    pub(super) async fn copy(&self, to: &Store, tables: &[Table]) -> Result<(), CliError> {
        to.remove().await?;
        match kind(&self.url) {
            Some(Kind::Sqlite) => Ok(lockstep_sqlite::client::copy(self.path(), to.path()).await?),
            #[cfg(feature = "postgres")]
            Some(Kind::Postgres) => {
                open_database(&to.url, Access::Create).await?.prepare(tables).await?;
                let (from, to) = (server(&self.url, Access::Read), server(&to.url, Access::Write));
                Ok(postgres::copy(&from, &to, tables).await?)
            }
            _ => {
                let _ = tables;
                Err(other())
            }
        }
    }

    /// What each table takes.
    pub(super) async fn stored(&self) -> Result<Vec<(String, Stored)>, CliError> {
        stored(&self.url).await
    }

    /// A writer with nothing around it.
    pub(super) async fn writer(&self) -> Result<Writer, CliError> {
        match kind(&self.url) {
            Some(Kind::Sqlite) => Ok(Writer::Sqlite(sqlite::BareWriter::open(self.path()).await?)),
            #[cfg(feature = "postgres")]
            Some(Kind::Postgres) => {
                Ok(Writer::Postgres(postgres::BareWriter::open(&server(&self.url, Access::Write)).await?))
            }
            _ => Err(other()),
        }
    }
}

/// The bare writer of each kind.
pub(super) enum Writer {
    Sqlite(sqlite::BareWriter),
    #[cfg(feature = "postgres")]
    Postgres(postgres::BareWriter),
}

/// A transaction made for it.
pub(super) enum Transaction {
    Sqlite(sqlite::Transaction),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Transaction),
}

impl Writer {
    /// Makes the statements that write these rows.
    pub(super) fn transaction(&self, tables: &[TableWrites]) -> Result<Transaction, CliError> {
        Ok(match self {
            Writer::Sqlite(_) => Transaction::Sqlite(sqlite::Transaction::of(tables)?),
            #[cfg(feature = "postgres")]
            Writer::Postgres(_) => Transaction::Postgres(postgres::Transaction::of(tables)?),
        })
    }

    /// Writes a transaction; durable when this returns.
    pub(super) async fn write(&mut self, transaction: Transaction) -> Result<(), CliError> {
        match (self, transaction) {
            (Writer::Sqlite(writer), Transaction::Sqlite(transaction)) => Ok(writer.write(transaction).await?),
            #[cfg(feature = "postgres")]
            (Writer::Postgres(writer), Transaction::Postgres(transaction)) => Ok(writer.write(transaction).await?),
            #[cfg(feature = "postgres")]
            _ => Err(other()),
        }
    }

    pub(super) async fn close(self) -> Result<(), CliError> {
        match self {
            Writer::Sqlite(writer) => writer.close().await?,
            #[cfg(feature = "postgres")]
            Writer::Postgres(writer) => writer.close().await,
        }
        Ok(())
    }
}
