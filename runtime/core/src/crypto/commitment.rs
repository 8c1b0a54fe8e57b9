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
    let mut mac = begin(salt);
    content.canonical_chunks(&mut |chunk| mac.update(chunk));
    finish(mac, context)
}

/// Commits to a value that is at hand in canonical form; that it is canonical is the caller's knowledge.
pub fn commit_canonical(salt: &Salt, context: &Context<'_>, canonical_content: &[u8]) -> Digest {
    let mut mac = begin(salt);
    mac.update(canonical_content);
    finish(mac, context)
}

fn begin(salt: &Salt) -> Hmac<Sha256> {
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(salt.as_bytes()) {
        *place = *byte;
    }
    // A key shorter than the hash's block is padded with zeros: this is the same key, and cannot fail.
    let mut mac = Hmac::new(&block.into());
    mac.update(b"{\"content\":");
    mac
}

/// Writes the members after `content`, in canonical order.
fn finish(mut mac: Hmac<Sha256>, context: &Context<'_>) -> Digest {
    let mut text = |name: &str, value: &str| {
        mac.update(format!(",\"{name}\":").as_bytes());
        Json::from(value).canonical_chunks(&mut |chunk| mac.update(chunk));
    };
    text("domain", context.domain);
    if let Some(network) = context.network {
        text("network", &network.to_string());
    }
    if let Some(record) = context.record {
        text("record", record);
    }
    if let Some(section) = context.section {
        text("section", section);
    }
    if let Some(seq) = context.seq {
        mac.update(format!(",\"seq\":{seq}").as_bytes());
    }
    mac.update(b"}");
    Digest::from_bytes(mac.finalize().into_bytes().into())
}
