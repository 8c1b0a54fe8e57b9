//! What the tests share.

#![allow(unreachable_pub, reason = "shared by several test binaries")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

pub mod sample;

use lockstep_core::database::DatabaseError;
use lockstep_postgres::{PostgresConfig, PostgresDatabase};

pub fn config(url: String) -> PostgresConfig {
    PostgresConfig { url, password: None, read_only: false, create: true }
}

pub async fn open(url: String) -> Result<PostgresDatabase, DatabaseError> {
    PostgresDatabase::open(config(url)).await
}

pub async fn open_read_only(url: String) -> Result<PostgresDatabase, DatabaseError> {
    PostgresDatabase::open(PostgresConfig { read_only: true, create: false, ..config(url) }).await
}
