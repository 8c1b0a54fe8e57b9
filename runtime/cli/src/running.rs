//! `DIR/run.json`: where the node answers that runs on a directory.
//!
//! Whoever holds the directory's lock owns the file: a file without a holder is one that a killed node left behind.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lockstep_core::crypto::Digest;
use lockstep_core::json::{Fields, Json, Limits, json};

use crate::context::Home;
use crate::error::{CliError, file_error};

/// The file's name in a node's directory.
const FILE: &str = "run.json";

/// What a running node says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    /// Where it answers.
    pub(crate) url: String,
    /// Its process.
    pub(crate) pid: u64,
    /// The digest of its database's URL, which may hold a password.
    database: String,
}

/// Takes the file away when the node ends.
#[must_use]
pub(crate) struct Announced(PathBuf);

impl Drop for Announced {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl Running {
    /// Writes the file; for the holder of the directory's lock.
    pub(crate) fn announce(home: &Home, url: &str) -> Result<Announced, CliError> {
        let path = home.dir.join(FILE);
        let document = json!({"url": url, "pid": u64::from(std::process::id()), "database": database(home)});
        let beside = path.with_extension("json.new");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
        file.and_then(|mut file| file.write_all(document.canonical().as_bytes()))
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|error| file_error(&path, &error))?;
        Ok(Announced(path))
    }

    /// What the file says, where there is one that says anything.
    pub(crate) fn find(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(FILE)).ok()?;
        let json = Json::parse(&bytes, &Limits::default()).ok()?;
        let mut fields = Fields::of(&json, FILE).ok()?;
        let url = fields.text("url").ok()?.to_owned();
        Some(Running { url, pid: fields.count("pid").ok()?, database: fields.text("database").ok()?.to_owned() })
    }

    /// Removes what a killed node left behind; for the holder of the directory's lock.
    pub(crate) fn forget(dir: &Path) {
        drop(std::fs::remove_file(dir.join(FILE)));
    }

    /// Whether it writes to the database that a command means.
    pub(crate) fn writes_to(&self, home: &Home) -> bool {
        self.database == database(home)
    }
}

/// Two commands that name one file differently count as two databases: better asked than mixed up.
fn database(home: &Home) -> String {
    Digest::of(home.named.as_bytes()).to_string()
}
