//! Lockstep's pure core: from a signed intent to the rows that every entitled node writes.
//!
//! It owns every rule of the network (canonical form, commitments, entitlements, events, the log, the
//! audit) and the seams to the world. It deliberately does no I/O, knows no clock and no randomness: time,
//! salts and rows arrive as values. It builds for `wasm32-unknown-unknown`, and that build is the proof.

pub mod codes;

pub mod json;
pub mod schema;

pub mod names;
pub mod time;

pub mod crypto;
pub mod log;

pub mod compatibility;
pub mod package;
pub mod parties;
pub mod projection;
pub mod spec;

pub mod directory;
pub mod intent;
pub mod token;

pub mod engine;
pub mod execute;

pub mod disputes;
pub mod event;
pub mod outcome;
pub mod project;
pub mod received;
pub mod record;
pub mod seal;

pub mod audit;

pub mod sync;

pub mod broker;
pub mod clock;
pub mod database;
pub mod memory;
pub mod memory_transport;
pub mod tables;
pub mod transport;
