//! What the tests share.

#![allow(unreachable_pub, reason = "shared by several test binaries")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

pub mod sample;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use lockstep_core::database::DatabaseError;
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};

/// A directory that is removed at the end of a test that passes.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let unique =
            format!("lockstep-sqlite-{name}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("the temporary directory can be written");
        Directory(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

pub async fn open(path: PathBuf) -> Result<SqliteDatabase, DatabaseError> {
    SqliteDatabase::open(SqliteConfig { path, read_only: false, create: true }).await
}

pub async fn open_read_only(path: PathBuf) -> Result<SqliteDatabase, DatabaseError> {
    SqliteDatabase::open(SqliteConfig { path, read_only: true, create: false }).await
}
