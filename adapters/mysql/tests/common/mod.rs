//! What the tests share.

#![allow(unreachable_pub, reason = "shared by several test binaries")]
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

pub mod sample;

use lockstep_core::database::DatabaseError;
use lockstep_mysql::{MySqlConfig, MySqlDatabase};

pub async fn open(url: String) -> Result<MySqlDatabase, DatabaseError> {
    MySqlDatabase::open(MySqlConfig { url, password: None, read_only: false, create: false }).await
}

pub async fn open_read_only(url: String) -> Result<MySqlDatabase, DatabaseError> {
    MySqlDatabase::open(MySqlConfig { url, password: None, read_only: true, create: false }).await
}
