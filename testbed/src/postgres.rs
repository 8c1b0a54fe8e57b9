//! PostgreSQL: a private cluster, or the server that `LOCKSTEP_TEST_POSTGRES_URL` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::{Folder, Process, as_somebody, free_port, missing, program, unique};

/// The server that takes the private one's place.
pub const URL: &str = "LOCKSTEP_TEST_POSTGRES_URL";

const MISSING: &str = "there is no PostgreSQL here: apt-get install -y --no-install-recommends postgresql, or set LOCKSTEP_TEST_POSTGRES_URL";

/// A server.
#[derive(Debug)]
pub struct Postgres {
    /// Of a database that is there already, to make others from.
    url: String,
    private: Option<Private>,
}

/// What only a server of our own has.
#[derive(Debug)]
struct Private {
    process: Mutex<Process>,
    folder: Folder,
    port: u16,
}

/// A database that nobody else uses, dropped with this.
#[derive(Debug)]
pub struct PostgresDatabase {
    server: Arc<Postgres>,
    name: String,
}

impl Postgres {
    /// The server that the tests of this process share; none where there is none, which is said.
    ///
    /// # Panics
    /// Where it is there and does not start.
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = match std::env::var(URL) {
            Ok(url) if !url.is_empty() => Arc::new(Postgres { url, private: None }),
            _ => Self::private()?,
        };
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// A server of the test's own, which it may kill; none where none is installed, which is said.
    ///
    /// # Panics
    /// Where it is there and does not start.
    #[must_use]
    pub fn private() -> Option<Arc<Self>> {
        if binary("initdb").is_none() || binary("postgres").is_none() {
            missing(MISSING);
            return None;
        }
        let folder = Folder::new();
        make_cluster(&folder);
        let (process, port) = started(&folder, None);
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Some(Arc::new(Postgres { url, private: Some(Private { process: Mutex::new(process), folder, port }) }))
    }

    /// A database that nobody else uses.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn database(self: &Arc<Self>) -> PostgresDatabase {
        let name = unique("lockstep_t");
        run(&self.url, &format!("CREATE DATABASE {name}"));
        PostgresDatabase { server: Arc::clone(self), name }
    }

    /// Where a private server listens.
    ///
    /// # Panics
    /// Where the server is not a private one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.own().port
    }

    /// Ends the server at once with all its processes, as a power cut would.
    ///
    /// # Panics
    /// Where the server is not a private one.
    pub fn kill(&self) {
        self.own().process.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// Starts a server that was killed, on the same port.
    ///
    /// # Panics
    /// Where it does not start, or is not a private one.
    pub fn start_again(&self) {
        let own = self.own();
        *own.process.lock().unwrap_or_else(PoisonError::into_inner) = started(&own.folder, Some(own.port)).0;
    }

    fn own(&self) -> &Private {
        self.private.as_ref().expect("only a private server can be killed")
    }
}

impl PostgresDatabase {
    /// Its URL, as people write it.
    #[must_use]
    pub fn url(&self) -> String {
        with_database(&self.server.url, &self.name)
    }

    /// Its URL by another port, such as a proxy's.
    ///
    /// # Panics
    /// Where the server is not a private one.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        self.url().replace(&format!(":{}/", self.server.port()), &format!(":{port}/"))
    }

    /// Runs SQL as any other program would; what it prints, a row a line.
    ///
    /// # Panics
    /// Where the database refuses it.
    pub fn run(&self, sql: &str) -> String {
        run(&self.url(), sql)
    }

    /// The server that it is in.
    #[must_use]
    pub fn server(&self) -> &Arc<Postgres> {
        &self.server
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        // A private server goes with everything in it.
        if self.server.private.is_none() {
            psql(&self.server.url, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).output().ok();
        }
    }
}

/// A program of PostgreSQL's; Debian keeps them by version, away from the path.
fn binary(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort();
    program(name, &folders)
}

fn make_cluster(folder: &Folder) {
    let data = folder.path().join("data");
    let mut initdb = as_somebody(&binary("initdb").expect("it was there a moment ago"));
    initdb.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]);
    let made = initdb.arg("--no-instructions").output().expect("initdb starts");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

/// Starts the server; another process may take the port in between, so that there is more than one try.
fn started(folder: &Folder, port: Option<u16>) -> (Process, u16) {
    for _ in 0..4 {
        let at = port.unwrap_or_else(free_port);
        let process = start(folder.path(), at);
        if is_ready(&process, at) {
            return (process, at);
        }
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    panic!("PostgreSQL does not start: {log}");
}

fn start(folder: &Path, port: u16) -> Process {
    let log = std::fs::File::create(folder.join("log")).expect("the folder can be written");
    let mut postgres = as_somebody(&binary("postgres").expect("it was there a moment ago"));
    postgres.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string()]).arg("-k").arg(folder);
    let settings = ["listen_addresses=127.0.0.1", "shared_buffers=32MB", "max_connections=200", "log_min_messages=log"];
    postgres.args(settings.iter().flat_map(|setting| ["-c", setting]));
    Process::start({
        postgres.stdout(Stdio::null()).stderr(log);
        postgres
    })
}

fn is_ready(process: &Process, port: u16) -> bool {
    let ready = binary("pg_isready").unwrap_or_else(|| PathBuf::from("pg_isready"));
    let until = Instant::now() + Duration::from_secs(60);
    while !process.has_ended() && Instant::now() < until {
        let asked = Command::new(&ready).args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, String::new()), |(url, query)| (url, format!("?{query}")));
    let slashes = before.find("://").map_or(0, |at| at + 3);
    let server = match before.get(slashes..).and_then(|rest| rest.find('/')) {
        Some(at) => before.get(..slashes + at).unwrap_or(before),
        None => before,
    };
    format!("{server}/{name}{query}")
}

fn psql(url: &str, sql: &str) -> Command {
    let mut psql = Command::new(binary("psql").unwrap_or_else(|| PathBuf::from("psql")));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    psql
}

fn run(url: &str, sql: &str) -> String {
    let done = psql(url, sql).output().expect("psql, which comes with PostgreSQL's clients, starts");
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_survives_a_kill_and_has_databases_of_its_own_for_each_test() {
        let Some(server) = Postgres::private() else { return };
        let (one, other) = (server.database(), server.database());
        one.run("CREATE TABLE t AS SELECT 1 AS a");
        assert_eq!(other.run("SELECT to_regclass('t') IS NULL"), "t");
        server.kill();
        server.start_again();
        assert_eq!(one.run("SELECT a FROM t"), "1");
    }

    #[test]
    fn a_url_gets_another_database() {
        let check = |url: &str, expected: &str| assert_eq!(with_database(url, "x"), expected);
        check("postgres://u:p@h:1/d", "postgres://u:p@h:1/x");
        check("postgres://u@h", "postgres://u@h/x");
        check("postgres://u@h/d?sslmode=disable", "postgres://u@h/x?sslmode=disable");
    }
}
