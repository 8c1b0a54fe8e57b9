//! Commitments: what stands in headers, leaves and payloads in place of what not everyone may read.
//!
//! A commitment is `HMAC-SHA256` (RFC 2104) under a fresh salt over the RFC 8785 form of one object:
//!
//! ```text
//! {"content":…,"domain":…,"network":…,"record":…,"section":…,"seq":…}
//! ```
//!
//! Members that do not apply are left out. A plain hash would let anyone who guesses a price confirm it; the
//! salt hides it, and the context keeps a commitment of one place from being shown at another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::digest::{Digest, Salt};
use super::tally;
use crate::json::Json;

/// Where a commitment stands; each part that applies is part of what is committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// What kind of content this is; no two kinds share a domain.
    pub domain: &'a str,
    /// The network's id.
    pub network: Option<&'a Digest>,
    /// The record.
    pub record: Option<&'a str>,
    /// The record's section.
    pub section: Option<&'a str>,
    /// The record's sequence number, below 2^53 as every number in canonical form.
    pub seq: Option<u64>,
}

/// Commits to a value. The value is hashed as it is written, without a copy of it.
pub fn commit(salt: &Salt, context: &Context<'_>, content: &Json) -> Digest {
    let mut commitment = Commitment::begin(salt);
    content.canonical_chunks(&mut |chunk| commitment.put(chunk));
    commitment.finish(context)
}

/// Commits to a value that is at hand in canonical form; that it is canonical is the caller's knowledge.
pub fn commit_canonical(salt: &Salt, context: &Context<'_>, canonical_content: &[u8]) -> Digest {
    let mut commitment = Commitment::begin(salt);
    commitment.put(canonical_content);
    commitment.finish(context)
}

/// A commitment on its way.
struct Commitment {
    mac: Hmac<Sha256>,
    bytes: usize,
}

impl Commitment {
    fn begin(salt: &Salt) -> Self {
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(salt.as_bytes()) {
            *place = *byte;
        }
        // A key shorter than the hash's block is padded with zeros: this is the same key, and cannot fail.
        let mut commitment = Commitment { mac: Hmac::new(&block.into()), bytes: 0 };
        commitment.put(b"{\"content\":");
        commitment
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.mac.update(bytes);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.put(format!(",\"{name}\":").as_bytes());
        Json::from(value).canonical_chunks(&mut |chunk| self.put(chunk));
    }

    /// Writes the members after `content`, in canonical order.
    fn finish(mut self, context: &Context<'_>) -> Digest {
        self.text("domain", context.domain);
        if let Some(network) = context.network {
            self.text("network", &network.to_string());
        }
        if let Some(record) = context.record {
            self.text("record", record);
        }
        if let Some(section) = context.section {
            self.text("section", section);
        }
        if let Some(seq) = context.seq {
            self.put(format!(",\"seq\":{seq}").as_bytes());
        }
        self.put(b"}");
        tally::commitment(self.bytes);
        Digest::from_bytes(self.mac.finalize().into_bytes().into())
    }
}
