//! Hashes, salts, commitments, keys and envelopes: everything that makes a row provable.
//!
//! It owns the choice of algorithms (SHA-256, HMAC-SHA256, Ed25519) and the seam to whoever holds a key.
//! It makes no randomness: salts and secrets arrive as bytes.

pub mod commitment;
pub mod digest;
pub mod dsse;
pub mod signer;
pub mod tally;

pub use commitment::{Context, commit, commit_canonical};
pub use digest::{Digest, HexError, Salt};
pub use dsse::{Envelope, EnvelopeError, EnvelopeSignature, pae};
pub use signer::{ALGORITHMS, KeyError, LocalSigner, PublicKey, Signature, Signer, SignerError};
pub use tally::{Count, Tally, tally};
