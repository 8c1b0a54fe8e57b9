//! How much this thread has hashed and checked, so that what a piece of work costs can be held against what its
//! hashes and signatures alone cost.
//!
//! It counts and decides nothing: no result of this crate depends on it.

use std::cell::Cell;

/// Calls, with the bytes that went in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often.
    pub calls: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// What one thread did since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Signatures checked.
    pub signatures: Count,
    /// Plain hashes.
    pub hashes: Count,
    /// Commitments, which are hashes under a salt.
    pub commitments: Count,
}

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally::none()) };
}

/// What this thread did so far.
#[must_use]
pub fn tally() -> Tally {
    TALLY.get()
}

impl Count {
    const NONE: Count = Count { calls: 0, bytes: 0 };

    fn since(self, before: Count) -> Count {
        Count { calls: self.calls - before.calls, bytes: self.bytes - before.bytes }
    }

    fn and(self, bytes: usize) -> Count {
        Count { calls: self.calls + 1, bytes: self.bytes + bytes as u64 }
    }
}

impl Tally {
    const fn none() -> Tally {
        Tally { signatures: Count::NONE, hashes: Count::NONE, commitments: Count::NONE }
    }

    /// What was done since `before` was taken, on the same thread.
    #[must_use]
    pub fn since(self, before: Tally) -> Tally {
        Tally {
            signatures: self.signatures.since(before.signatures),
            hashes: self.hashes.since(before.hashes),
            commitments: self.commitments.since(before.commitments),
        }
    }
}

pub(super) fn signature(bytes: usize) {
    let tally = TALLY.get();
    TALLY.set(Tally { signatures: tally.signatures.and(bytes), ..tally });
}

pub(super) fn hash(bytes: usize) {
    let tally = TALLY.get();
    TALLY.set(Tally { hashes: tally.hashes.and(bytes), ..tally });
}

pub(super) fn commitment(bytes: usize) {
    let tally = TALLY.get();
    TALLY.set(Tally { commitments: tally.commitments.and(bytes), ..tally });
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Digest, LocalSigner, Salt, Signer, commit};
    use super::*;
    use crate::json;

    #[test]
    fn every_hash_commitment_and_signature_check_is_counted_with_its_bytes() {
        let signer = LocalSigner::from_secret([7; 32]);
        let before = tally();
        Digest::of(b"four");
        Digest::of_parts(&[b"a", b"bc"]);
        let context = Context { domain: "d", network: None, record: None, section: None, seq: None };
        commit(&Salt::from([1; 32]), &context, &json!([1, 2]));
        let signed = signer.sign(b"message").map(|signature| signer.public_key().verify(b"message", &signature));
        assert_eq!(signed, Ok(true));
        let done = tally().since(before);
        assert_eq!(done.hashes, Count { calls: 2, bytes: 7 });
        assert_eq!(done.commitments, Count { calls: 1, bytes: br#"{"content":[1,2],"domain":"d"}"#.len() as u64 });
        assert_eq!(done.signatures, Count { calls: 1, bytes: 7 });
    }
}
