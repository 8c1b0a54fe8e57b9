//! Organisations as processes of their own, on free ports: joining, agreeing, what each node knows, and strangers at
//! the peer port.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by failing"
)]

mod agreeing;
mod demo;
mod forks;
mod invitations;
mod joining;
mod noted;
mod observer;
mod organisation;
mod overdue;
mod replicas;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
