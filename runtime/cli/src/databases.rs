//! Which databases there are: the one place that names their adapters, and what a URL may show.

use std::path::Path;
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::database::{Database, DatabaseError};

use crate::error::CliError;
use crate::keys;

/// Where the password of a node's database is kept.
const PASSWORD_FILE: &str = "database.password";

/// The kinds of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// The kind that a URL names.
pub(crate) fn kind(url: &str) -> Option<Kind> {
    match url.split_once(':')?.0 {
        "sqlite" => Some(Kind::Sqlite),
        "postgres" | "postgresql" => Some(Kind::Postgres),
        _ => None,
    }
}

/// What this binary has an adapter for.
const LINKED: &[(&str, bool)] = &[("sqlite", cfg!(feature = "sqlite")), ("postgres", cfg!(feature = "postgres"))];

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Create,
    Write,
    Read,
}

/// Opens the database that a URL names, for all who share it.
pub(crate) async fn open_database(url: &str, access: Access) -> Result<Arc<dyn Database>, CliError> {
    open_boxed(url, access).await.map(Arc::from)
}

/// Opens the database that a URL names; which kinds there are is a matter of cargo features.
pub(crate) async fn open_boxed(url: &str, access: Access) -> Result<Box<dyn Database>, CliError> {
    match (kind(url), url.split_once(':')) {
        #[cfg(feature = "sqlite")]
        (Some(Kind::Sqlite), Some((_, file))) => {
            use lockstep_sqlite::{SqliteConfig, SqliteDatabase};
            let (read_only, create) = (access == Access::Read, access == Access::Create);
            Ok(Box::new(SqliteDatabase::open(SqliteConfig { path: file.into(), read_only, create }).await?))
        }
        #[cfg(feature = "postgres")]
        (Some(Kind::Postgres), Some(_)) => {
            use lockstep_postgres::PostgresDatabase;
            Ok(Box::new(PostgresDatabase::open(postgres(url, access)).await?))
        }
        (_, Some((kind, _))) => {
            let linked: Vec<&str> = LINKED.iter().filter(|(_, linked)| *linked).map(|(name, _)| *name).collect();
            let detail = format!("this binary has no adapter for {kind}; it has: {}", linked.join(", "));
            Err(DatabaseError::Open { url: format!("{kind}:…"), detail }.into())
        }
        (_, None) => Err(CliError::new(Code::Usage, "a database is written sqlite:FILE, postgres://… or mysql://…")),
    }
}

#[cfg(feature = "postgres")]
pub(crate) fn postgres(url: &str, access: Access) -> lockstep_postgres::PostgresConfig {
    lockstep_postgres::PostgresConfig {
        url: url.to_owned(),
        password: None,
        read_only: access == Access::Read,
        create: access == Access::Create,
    }
}

/// A place of its own beside the one that a URL names: another file, another schema.
pub(crate) fn beside(url: &str, name: &str) -> String {
    match kind(url) {
        #[cfg(feature = "postgres")]
        Some(Kind::Postgres) => lockstep_postgres::client::in_schema(url, name),
        _ => format!("{url}-{name}"),
    }
}

/// Removes such a place with everything in it.
pub(crate) async fn remove(url: &str) -> Result<(), CliError> {
    match (kind(url), url.split_once(':')) {
        #[cfg(feature = "postgres")]
        (Some(Kind::Postgres), _) => {
            let Some((_, schema)) = url.rsplit_once("schema=") else { return Ok(()) };
            let drop_schema = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
            Ok(lockstep_postgres::client::execute(&postgres(url, Access::Write), &[&drop_schema]).await?)
        }
        (Some(Kind::Sqlite), Some((_, file))) => {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                drop(std::fs::remove_file(format!("{file}{suffix}")));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What a table takes, with its indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Bytes of its pages.
    pub(crate) pages: u64,
    /// Bytes of what was written into them.
    pub(crate) payload: u64,
}

/// What each table of the database that a URL names takes.
pub(crate) async fn stored(url: &str) -> Result<Vec<(String, Stored)>, CliError> {
    match (kind(url), url.split_once(':')) {
        #[cfg(feature = "sqlite")]
        (Some(Kind::Sqlite), Some((_, file))) => {
            use lockstep_sqlite::bare;
            let found = bare::stored(Path::new(file)).await?.into_iter();
            Ok(found.map(|(name, bare::Stored { pages, payload })| (name, Stored { pages, payload })).collect())
        }
        #[cfg(feature = "postgres")]
        (Some(Kind::Postgres), _) => {
            use lockstep_postgres::bare;
            let found = bare::stored(&postgres(url, Access::Read)).await?.into_iter();
            Ok(found.map(|(name, bare::Stored { pages, payload })| (name, Stored { pages, payload })).collect())
        }
        _ => Err(CliError::new(Code::Usage, "this kind of database does not say what its tables take")),
    }
}

/// A server's URL in parts: up to the user, the password, and from `@` on.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let start = url.find("://")? + 3;
    let rest = url.get(start..)?;
    // A password may hold what nobody escaped; the last @ before the query ends it.
    let at = rest.split('?').next()?.rfind('@')?;
    let (user, host) = rest.split_at_checked(at)?;
    let (user_end, password) = match user.find(':') {
        Some(colon) => (start + colon, user.get(colon + 1..)?),
        None => (start + at, ""),
    };
    Some((url.get(..user_end)?, password, host))
}

/// A URL for people and files: without a password.
pub(crate) fn shown(url: &str) -> String {
    let bare = match parts(url) {
        Some((before, _, host)) => format!("{before}{host}"),
        None => url.to_owned(),
    };
    let Some((base, query)) = bare.split_once('?').filter(|_| url.contains("://")) else { return bare };
    let kept: Vec<&str> = query.split('&').filter(|part| !part.to_ascii_lowercase().starts_with("password")).collect();
    if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
}

/// The URL with a password, where it names a user and has none.
pub(crate) fn with_password(url: &str, password: &str) -> String {
    match parts(url) {
        Some((before, "", host)) => format!("{before}:{}{host}", percent_encoded(password)),
        _ => url.to_owned(),
    }
}

fn percent_encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a new node's configuration says of its database: a password goes into a file of its own.
pub(crate) struct Secret {
    /// The URL as the configuration has it.
    pub(crate) configured: String,
    password: Option<String>,
}

impl Secret {
    pub(crate) fn of(url: Option<&str>) -> Self {
        let url = url.unwrap_or("sqlite:lockstep.db");
        let password = parts(url).map(|(_, password, _)| percent_decoded(password)).filter(|text| !text.is_empty());
        Secret { configured: shown(url), password }
    }

    /// The file's name, where there is a password.
    pub(crate) fn file(&self) -> Option<String> {
        self.password.as_ref().map(|_| PASSWORD_FILE.to_owned())
    }

    /// Writes the file.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CliError> {
        match &self.password {
            Some(password) => keys::write_password(&dir.join(PASSWORD_FILE), password),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let check = |url: &str, expected: &str| assert_eq!(shown(url), expected, "{url}");
        check("sqlite:a?b.db", "sqlite:a?b.db");
        check("postgres://u:p@h:1/d?sslmode=require", "postgres://u@h:1/d?sslmode=require");
        check("postgres://u:p@x/y@h/d", "postgres://u@h/d");
        check("postgres://h/d?password=p", "postgres://h/d");
        check("mysql://u@h/d?password=p&a=b", "mysql://u@h/d?a=b");
    }

    #[test]
    fn a_password_leaves_the_url_and_comes_back() {
        let given = "postgres://u:p%40%2F%C3%A4@h/d?schema=s";
        let secret = Secret::of(Some(given));
        assert_eq!(
            (secret.configured.as_str(), secret.password.as_deref()),
            ("postgres://u@h/d?schema=s", Some("p@/ä"))
        );
        assert_eq!(with_password(&secret.configured, "p@/ä"), given);
        assert!(Secret::of(Some("postgres://u@h/d")).file().is_none());
    }
}
