//! JSON as the network understands it: strict at the door, one canonical form, no surprises in between.
//!
//! Everything that is hashed, signed or stored goes through here, so this module owns its reader and its
//! writer. What comes in is refused unless every reader on earth would understand the same value: no
//! duplicate keys, no lone surrogates, no NUL, no number that a double would change. What goes out is
//! RFC 8785, byte for byte. It deliberately knows no serde and no streaming: a document is a value.
//!
//! Read in this order: [`value`](self) (what a document is), `number`, `parse` (the door), `canonical` (the
//! way out), `pointer` and `patch` (how a document changes), `fields` (how a document becomes a struct).

mod canonical;
mod error;
mod fields;
mod macros;
mod number;
mod object;
mod parse;
mod patch;
mod pointer;
mod scan;
mod value;

pub use crate::json;
pub use error::{JsonError, JsonErrorKind};
pub use fields::{Fields, ShapeError};
pub use number::Number;
pub use object::Object;
pub use parse::Limits;
pub(crate) use parse::shortened;
pub use patch::{Operation, PatchError, PatchErrorKind};
pub use pointer::{Pointer, PointerError};
pub(crate) use pointer::{unescape, write_token};
pub use value::Json;
