//! Private throw-away servers for tests: on free ports of this machine, in a folder of their own, gone with the test.
//!
//! A server that is not installed is no failure: [`missing`] says so and the test passes, except where nobody is
//! watching (`CI=true`). A URL in the environment, such as `LOCKSTEP_TEST_POSTGRES_URL`, takes the private server's
//! place; each test has a database of its own there, which is dropped at its end.
//!
//! Whatever else goes wrong is the test's failure, and panics.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that has no server stops here")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub mod postgres;
mod process;
mod proxy;

pub(crate) use process::{Process, as_somebody};
pub use proxy::{Cut, Proxy};

/// Says that a test did nothing since a server is missing; where nobody is watching, that is a failure.
///
/// # Panics
/// With `CI=true`.
pub fn missing(reason: &str) {
    let watched = !std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(watched, "{reason}");
    eprintln!("skipped because {reason}");
}

/// A port of this machine that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("this machine has a loopback interface");
    listener.local_addr().expect("a listener has an address").port()
}

/// A name that nobody else has: of a database, a folder.
pub(crate) fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A program on the path or in one of these folders, the last ones first: they hold versions.
pub(crate) fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.iter().rev().chain(&on_path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A folder that the server may write to, removed with everything in it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Its path is short: a socket in it must have a name of at most 107 bytes.
    pub(crate) fn new() -> Self {
        let name = unique("ls-");
        let temporary = std::env::temp_dir();
        let temporary = if temporary.as_os_str().len() > 60 { PathBuf::from("/tmp") } else { temporary };
        let path = temporary.join(name);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        process::give_to_somebody(&path);
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
