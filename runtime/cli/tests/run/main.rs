//! A node as a process: what goes in by HTTP, how commands find it, how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod door;
mod ends;
mod http;
mod logs;
mod read;
mod secure;
mod seller;
#[path = "../support/mod.rs"]
mod support;
mod through;
