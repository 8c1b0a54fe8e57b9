//! The path of an intent through the core: directory, packages, door, execution, seal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

mod directory;
mod door;
mod execution;
mod flows;
mod laws;
mod members;
mod packages;
mod specs;
mod tokens;
mod votes;
mod world;
