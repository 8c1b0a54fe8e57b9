//! Write Lockstep contracts in Rust.
//!
//! A contract is an ordinary Rust file: functions that take a [`Context`] and their arguments and return an
//! [`Outcome`], and one line that exports them.
//!
//! ```
//! use lockstep_contract::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Offer {
//!     price: Decimal,
//! }
//!
//! fn offer(cx: &mut Context, args: Offer) -> Outcome {
//!     cx.require_role("buyer")?;
//!     let asking: Decimal = cx.read("listing", "/asking_price")?;
//!     if args.price < asking / 2 {
//!         return reject("offer_too_low", "an offer must be at least half the asking price");
//!     }
//!     cx.append("negotiation", "/offers", &json!({"by": cx.actor(), "price": args.price, "at": cx.time()}))?;
//!     cx.notify("negotiation", "offer.made", &json!({"price": args.price}))
//! }
//!
//! lockstep_contract::contract!(offer);
//! # fn main() {}
//! ```
//!
//! What leaves this crate is the world of `contracts-sdk/wit/contract.wit`; `abi` is the only module that
//! knows how it is spelled in WebAssembly. Outside of WebAssembly the calls go to a small host in memory
//! (`testing`), so that contracts can be unit-tested with `cargo test`.

#![warn(missing_docs)]

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod abi;
mod context;
mod decimal;
mod door;
#[doc(hidden)]
pub mod export;
mod outcome;
mod record;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use context::Context;
pub use decimal::{Decimal, DecimalError};
pub use outcome::{Failure, Outcome, Rejection, reject};
pub use record::Record;
pub use serde;
pub use serde_json;
pub use serde_json::{Value, json};

/// What nearly every contract uses.
pub mod prelude {
    pub use crate::{Context, Decimal, Outcome, Record, Rejection, Value, json, reject};
    pub use serde::{Deserialize, Serialize};
}
