//! MariaDB: a private server, or the server (MySQL, too) that `LOCKSTEP_TEST_MYSQL_URL` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::{Folder, Process, as_somebody, free_port, missing, program, unique};

/// The server that takes the private one's place.
pub const URL: &str = "LOCKSTEP_TEST_MYSQL_URL";

const MISSING: &str = "there is no MariaDB here: apt-get install -y --no-install-recommends mariadb-server-core mariadb-client-core, or set LOCKSTEP_TEST_MYSQL_URL";

/// A server.
#[derive(Debug)]
pub struct MariaDb {
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
pub struct MariaDbDatabase {
    server: Arc<MariaDb>,
    name: String,
}

impl MariaDb {
    /// The server that the tests of this process share; none where there is none, which is said.
    ///
    /// # Panics
    /// Where it is there and does not start.
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<MariaDb>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = match std::env::var(URL) {
            Ok(url) if !url.is_empty() => Arc::new(MariaDb { url, private: None }),
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
        if binary("mariadbd").is_none() || binary("mariadb-install-db").is_none() || binary("mariadb").is_none() {
            missing(MISSING);
            return None;
        }
        let folder = Folder::new();
        make_files(&folder);
        let (process, port) = started(&folder, None);
        let url = format!("mysql://root@127.0.0.1:{port}/mysql");
        Some(Arc::new(MariaDb { url, private: Some(Private { process: Mutex::new(process), folder, port }) }))
    }

    /// A database that nobody else uses.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn database(self: &Arc<Self>) -> MariaDbDatabase {
        let name = unique("lockstep_t");
        run(&self.url, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        MariaDbDatabase { server: Arc::clone(self), name }
    }

    /// Where a private server listens.
    ///
    /// # Panics
    /// Where the server is not a private one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.own().port
    }

    /// Ends the server at once, as a power cut would.
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

impl MariaDbDatabase {
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

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL as any other program would; what it prints, a row a line, the cells apart by tabs.
    ///
    /// # Panics
    /// Where the database refuses it.
    pub fn run(&self, sql: &str) -> String {
        run(&self.url(), sql)
    }

    /// The server that it is in.
    #[must_use]
    pub fn server(&self) -> &Arc<MariaDb> {
        &self.server
    }
}

impl Drop for MariaDbDatabase {
    fn drop(&mut self) {
        // A private server goes with everything in it.
        if self.server.private.is_none() {
            client(&self.server.url, &format!("DROP DATABASE IF EXISTS {}", self.name)).output().ok();
        }
    }
}

/// A program of MariaDB's; Debian keeps the server away from the path of users.
fn binary(name: &str) -> Option<PathBuf> {
    program(name, &["/usr/sbin", "/usr/bin"].map(PathBuf::from))
}

/// Settings under which a commit is durable, with a binary log as servers that replicate have it.
const SETTINGS: &str = "bind-address = 127.0.0.1
skip-name-resolve
innodb_flush_log_at_trx_commit = 1
sync_binlog = 1
log-bin = binlog
server-id = 1
binlog_format = ROW
innodb_buffer_pool_size = 64M
innodb_log_file_size = 64M
max_connections = 200
character-set-server = utf8mb4
";

fn make_files(folder: &Folder) {
    let at = folder.path().display();
    let settings =
        format!("[mariadbd]\ndatadir = {at}/data\nsocket = {at}/s\npid-file = {at}/pid\ntmpdir = {at}\n{SETTINGS}");
    std::fs::write(folder.path().join("my.cnf"), settings).expect("the folder can be written");
    let mut install = as_somebody(&binary("mariadb-install-db").expect("it was there a moment ago"));
    install.arg(defaults(folder.path())).args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    let made = install.arg("--skip-name-resolve").output().expect("mariadb-install-db starts");
    assert!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
}

/// Must be the first argument; keeps the machine's own settings out.
fn defaults(folder: &Path) -> String {
    format!("--defaults-file={}", folder.join("my.cnf").display())
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
    panic!("MariaDB does not start: {log}");
}

fn start(folder: &Path, port: u16) -> Process {
    let log = std::fs::File::create(folder.join("log")).expect("the folder can be written");
    let mut mariadbd = as_somebody(&binary("mariadbd").expect("it was there a moment ago"));
    mariadbd.arg(defaults(folder)).arg(format!("--port={port}"));
    Process::start({
        mariadbd.stdout(Stdio::null()).stderr(log);
        mariadbd
    })
}

fn is_ready(process: &Process, port: u16) -> bool {
    let until = Instant::now() + Duration::from_secs(60);
    while !process.has_ended() && Instant::now() < until {
        let asked = client(&format!("mysql://root@127.0.0.1:{port}/mysql"), "SELECT 1").output();
        if asked.is_ok_and(|answer| answer.status.success()) {
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

/// The parts of `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE`, as the client wants them.
fn parts(url: &str) -> Option<Vec<String>> {
    let (_, rest) = url.split_once("://")?;
    let (user, rest) = rest.rsplit_once('@')?;
    let (host, database) = rest.split_once('/')?;
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, "3306"));
    let database = database.split('?').next().unwrap_or(database);
    let named = [("host", host), ("port", port), ("user", user), ("password", password), ("database", database)];
    Some(named.into_iter().map(|(name, value)| format!("--{name}={value}")).collect())
}

fn client(url: &str, sql: &str) -> Command {
    let mut client = Command::new(binary("mariadb").unwrap_or_else(|| PathBuf::from("mysql")));
    client.arg("--no-defaults").args(["--batch", "--skip-column-names", "--protocol=tcp"]);
    client.args(["--default-character-set=utf8mb4", "--raw"]);
    client.args(parts(url).expect("a URL with user, host and database")).args(["--execute", sql]);
    client
}

fn run(url: &str, sql: &str) -> String {
    let done = client(url, sql).output().expect("mariadb, which comes with its clients, starts");
    assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_survives_a_kill_and_has_databases_of_its_own_for_each_test() {
        let Some(server) = MariaDb::private() else { return };
        let (one, other) = (server.database(), server.database());
        one.run("CREATE TABLE t AS SELECT 1 AS a");
        assert_eq!(other.run("SHOW TABLES"), "");
        server.kill();
        server.start_again();
        assert_eq!(one.run("SELECT a FROM t"), "1");
    }

    #[test]
    fn a_url_gets_another_database_and_is_taken_apart() {
        assert_eq!(with_database("mysql://u:p@h:1/d?ssl-mode=disabled", "x"), "mysql://u:p@h:1/x?ssl-mode=disabled");
        let parts = parts("mysql://u:p@h:1/d?x=y").expect("it has all parts");
        assert_eq!(parts, ["--host=h", "--port=1", "--user=u", "--password=p", "--database=d"]);
    }
}
