//! Lockstep's async shell around the pure core, also usable as a library inside an application.
//!
//! It owns what moves: the pipeline from a submission to a committed row, the start of a node from its
//! database, the relay from the outbox to brokers, the HTTP door. It decides nothing that core can decide, and it knows no
//! adapter, no file format of a directory and no terminal: whoever embeds it hands those in.
//!
//! A submission's way through the modules, in this order: `submit`, `verify`, `load`, `execute`, `commit`,
//! `relay`; every word means the same as in `lockstep_core`.

mod again;
mod commit;
mod compute;
mod effort;
mod execute;
mod exhibit;
mod feed;
mod forward;
mod http;
mod load;
mod look;
mod meters;
mod network;
mod object;
mod objections;
mod open;
mod pipeline;
mod proofs;
mod random;
mod receive;
mod relay;
mod reply;
mod resume;
mod shelf;
mod submit;

pub use effort::Spent;
pub use feed::{Happening, events, events_of_record, notifications};
pub use forward::{handed_over, overdue};
pub use http::{Handshake, HttpConfig, HttpServer, Wire};
pub use look::{Listing, LookError, Looking, Moment, record_table, told};
pub use network::{Guest, GuestError, Network, Serving, ask_to_join, keep_connected, keep_noted, nobody_reached};
pub use objections::objections;
pub use open::{Node, NodeConfig, NodeError, Parts, all_tables, create, join};
pub use random::{random_bytes, random_salt};
pub use receive::Taken;
pub use relay::{FileBroker, keep_relaying, relay_all, relay_once};
pub use reply::{outcome, pending};
pub use submit::{Decided, Entered, SubmitError};

use lockstep_core::clock::Clock;
use lockstep_core::time::Timestamp;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).ok().and_then(Timestamp::from_micros).unwrap_or_default()
    }
}
