//! What carries frames between nodes must do, whatever it is.
//!
//! Every case makes nodes of its own. What needs a real network (bytes cut anywhere, silence, slow readers) is left
//! to the adapters' own tests.

mod admission;
mod frames;
mod limits;
mod sample;

use lockstep_core::crypto::Signer;
use lockstep_core::database::Pending;
use lockstep_core::transport::{Admitted, Bounds, Transport};

use crate::{Case, Report};
use std::sync::Arc;

/// Where nodes come from.
pub trait Factory: Send + Sync {
    /// A node with this key in the one network of this factory.
    fn node(&self, signer: Arc<dyn Signer>, bounds: Bounds, admitted: Admitted) -> Box<dyn Transport>;
    /// An address to listen on that nobody else uses; a listener says itself where it is reached.
    fn address(&self) -> String;
}

type Run = for<'f> fn(&'f dyn Factory) -> Pending<'f, Result<(), String>>;

/// Lists cases: the promise and the function that tries it.
macro_rules! cases {
    ($($name:literal => $run:path,)+) => {
        const CASES: &[(&str, Run)] = &[$(($name, |factory| Box::pin($run(factory)))),+];
    };
}

cases! {
    "both sides learn the other's key" => admission::both_keys,
    "either side dials" => admission::either_side,
    "another key than the expected one is refused by who dials" => admission::wrong_key,
    "a key that is not admitted is refused and told so" => admission::not_admitted,
    "a key that was revoked is refused at the next connection, the open one stays" => admission::revoked,
    "who was refused does not stand in the way of others" => admission::refused_is_unheard,
    "where nobody listens nobody is reached" => admission::nobody,
    "frames of any size arrive whole and in order, both ways at once" => frames::both_ways,
    "after an orderly end come all frames and then nothing, ever" => frames::orderly_end,
    "one direction closes while the other stays open" => frames::half_closed,
    "a connection that is dropped is cut, not ended" => frames::dropped,
    "a receive that is given up loses nothing" => frames::given_up,
    "a send that is given up cuts the connection" => frames::send_given_up,
    "an accept that is given up loses no connection" => frames::accept_given_up,
    "a frame above the bound is not sent, and the connection stays" => limits::too_large_to_send,
    "a frame above the receiver's bound cuts the connection" => limits::too_large_to_receive,
    "a sender waits for a receiver that does not read" => limits::back_pressure,
    "no more connections with one peer than the bound, and a place that is free again is taken" => limits::connections,
}

/// Runs all cases, one after the other.
pub async fn run(factory: &dyn Factory) -> Report {
    let mut report = Report::default();
    for (name, case) in CASES {
        let failure = sample::soon(name, case(factory)).await.and_then(|result| result).err();
        report.cases.push(Case { name, failure });
    }
    report
}
