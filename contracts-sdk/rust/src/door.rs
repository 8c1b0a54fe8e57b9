//! The host's functions as Rust sees them, whichever host that is.
//!
//! In WebAssembly it is the runtime; natively, the host in memory of `testing`. Nothing above this module
//! knows which.

use crate::outcome::Failure;

/// One RFC 6902 operation, borrowed.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
#[allow(missing_docs)]
pub enum Operation<'a> {
    Add { path: &'a str, value: &'a str },
    Remove { path: &'a str },
    Replace { path: &'a str, value: &'a str },
    Move { from: &'a str, path: &'a str },
    Copy { from: &'a str, path: &'a str },
    Test { path: &'a str, value: &'a str },
}

#[cfg(target_arch = "wasm32")]
use crate::abi as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing as host;

pub(crate) fn context() -> String {
    host::context()
}

pub(crate) fn read(record: u32, section: &str, pointer: &str) -> Result<Option<String>, Failure> {
    host::read(record, section, pointer)
}

pub(crate) fn keys(record: u32, section: &str, pointer: &str) -> Result<Vec<String>, Failure> {
    host::keys(record, section, pointer)
}

pub(crate) fn change(record: u32, section: &str, operation: Operation<'_>) -> Result<(), Failure> {
    host::change(record, section, operation)
}

pub(crate) fn notify(record: u32, section: &str, kind: &str, data: &str) -> Result<(), Failure> {
    host::notify(record, section, kind, data)
}

pub(crate) fn log(message: &str) {
    host::log(message);
}
