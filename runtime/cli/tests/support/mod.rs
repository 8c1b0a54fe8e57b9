//! A small real node for tests of the command line: three actors, a contract, a sale with what can happen to it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test says what it expects by failing; not every test uses all"
)]

pub(crate) mod daemon;
pub(crate) mod packages;
pub(crate) mod schemas;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lockstep_core::json::{Json, Limits};

/// A directory that is gone when the test is over.
pub(crate) struct Place(pub(crate) PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one document on stdout.
    pub(crate) fn json(&self) -> Json {
        parse(&self.stdout)
    }

    /// The documents on stdout, one a line.
    pub(crate) fn lines(&self) -> Vec<Json> {
        self.stdout.lines().map(parse).collect()
    }
}

fn parse(text: &str) -> Json {
    Json::parse(text.trim().as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Place {
    /// An empty place.
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockstep-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    /// The node's directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.0.join("node")
    }

    /// Runs `lockstep` on the node's directory.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// Runs `lockstep` with something on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.current_dir(&self.0).args(args).env_remove("LOCKSTEP_DATABASE");
        command.env("LOCKSTEP_DIR", self.dir()).env("NO_COLOR", "1").env("COLUMNS", "120");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that takes no input may be gone before it is written.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        let ended = child.wait_with_output().unwrap();
        Ran {
            status: ended.status.code().unwrap_or(-1),
            stdout: String::from_utf8(ended.stdout).unwrap(),
            stderr: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed.
    pub(crate) fn well(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Makes the node with its actors and the contract, and sells a house halfway.
    pub(crate) fn sale(name: &str) -> Self {
        let place = Place::new(name);
        let dir = place.dir().display().to_string();
        place.well(&["init", &dir, "--network", "sales", "--participant", "acme"]);
        for (actor, participant, role) in
            [("alice", "acme", "seller"), ("bob", "buyer", "buyer"), ("ivy", "inspector", "inspector")]
        {
            place.well(&["actor", "add", actor, "--participant", participant, "--role", role]);
        }
        place.well(&["contract", "deploy", package().to_str().unwrap()]);
        let listing = r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;
        place.well(&["submit", "house_sale.list", "acme:sale-1", "--as", "alice", "--args", listing]);
        place.well(&["submit", "house_sale.offer", "acme:sale-1", "--as", "bob", "--args", r#"{"price":"340000.00"}"#]);
        place
    }
}

/// The example's package as it is in the repository.
pub(crate) fn package() -> PathBuf {
    root().join("examples/house-sale/package/house_sale-1.0.0.lockstep")
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
