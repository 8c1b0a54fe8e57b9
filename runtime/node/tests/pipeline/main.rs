//! The pipeline of a node, on a database in memory whose commits can be held, failed and refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod bed;
mod faults;
mod http;
mod order;
mod readers;
mod repeats;
mod start;
#[path = "../../../core/tests/path/world.rs"]
mod world;
