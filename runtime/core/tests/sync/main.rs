//! Shared records between nodes: what leaves the sequencer, and what receivers make of it, all in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[path = "../path/world.rs"]
mod world;

mod altered;
mod entitled;
mod honest;
mod liars;
mod network;
mod objections;
mod receiver;
mod replicas;
mod sequencer;
mod unseen;
