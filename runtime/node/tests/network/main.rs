//! Nodes with each other, in one process: clocks that the test sets, and connections that it cuts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "a test says what it expects by failing"
)]

#[allow(dead_code)]
#[path = "../pipeline/bed.rs"]
mod bed;
mod clocks;
mod directory;
mod disputes;
mod edited;
mod forwards;
mod liar;
mod pair;
#[path = "../../../core/tests/path/world.rs"]
mod world;
