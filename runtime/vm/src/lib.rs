//! Executes contracts: the WebAssembly side of core's [`Engine`](lockstep_core::engine::Engine) seam.
//!
//! It owns what a contract's code may be (`inspect`), how a core module becomes a package's two halves
//! ([`component`]), how code is compiled and kept (`cache`), and how one call runs (`engine`). It does
//! not know what a section, an intent or an entitlement is: that is the
//! [`Host`](lockstep_core::engine::Host) it is handed.
//!
//! Compilation happens in this process so far; `inspect` bounds what is compiled.

mod cache;
pub mod component;
mod config;
mod engine;
mod host;
mod inspect;
mod sections;
mod trap;

pub use config::{CodeBounds, WasmConfig};
pub use engine::{EngineError, WasmEngine};
