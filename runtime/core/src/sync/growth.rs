//! Whether another node's log has only grown since it was last heard of.
//!
//! A node that shows two different logs to two nodes, or to one node over time, cannot prove that one of its signed
//! heads continues the other. Heads of one size with different roots are the proof of a fork by themselves.

use crate::crypto::Digest;
use crate::log::verify_consistency;
use crate::received::Place;

use super::compare::{Complaint, Objection};

/// The proof that a log continues an earlier head of it (RFC 9162, 2.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Leaves that the earlier head covers.
    pub from: u64,
    /// The consistency path to the head of the share.
    pub path: Vec<Digest>,
}

/// A signed head of another node's log: leaves covered, and the root over them.
pub type LogHead = (u64, Digest);

/// What a share's signed head is beside the last one that was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grown {
    /// The same one, or an older one, which what was fetched may have.
    Known,
    /// A later one that continues it.
    Further(LogHead),
    /// Another log: both heads are signed.
    Forked(Objection),
    /// A later one of which nothing proves that it continues the last: to be asked for again.
    Unproven,
}

/// Holds the head of a share, whose note was verified, against the last one of that log.
#[must_use]
pub fn grown(place: &Place, growth: Option<&Growth>, last: Option<LogHead>) -> Grown {
    let Some((size, root)) = last else { return Grown::Further((place.size, place.root)) };
    if place.size == size && place.root != root {
        let message = format!("{} has two heads of size {size}: {root} and {}", place.log, place.root);
        return Grown::Forked(Objection { complaint: Complaint::Fork, record: None, message });
    }
    if place.size <= size {
        return Grown::Known;
    }
    let proven = growth.is_some_and(|growth| {
        growth.from == size && verify_consistency(size, place.size, &growth.path, &root, &place.root)
    });
    if proven { Grown::Further((place.size, place.root)) } else { Grown::Unproven }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::{leaf_hash, root};

    fn leaves(count: u8, from: u8) -> Vec<Digest> {
        (0..count).map(|index| leaf_hash(&[from + index])).collect()
    }

    fn place(leaves: &[Digest]) -> Place {
        let (size, root) = (leaves.len() as u64, root(leaves));
        Place { log: "acme/1".to_owned(), position: 0, path: Vec::new(), note: String::new(), size, root }
    }

    #[test]
    fn a_log_that_grew_says_so_and_another_one_cannot() {
        let (one, two) = (leaves(1, 0), leaves(2, 0));
        let last = Some((1, root(&one)));
        let path = vec![*two.last().unwrap()];
        let growth = Growth { from: 1, path };
        assert_eq!(grown(&place(&two), Some(&growth), last), Grown::Further((2, root(&two))));
        assert_eq!(grown(&place(&two), None, last), Grown::Unproven);
        assert_eq!(grown(&place(&leaves(2, 9)), Some(&growth), last), Grown::Unproven);
        assert_eq!(grown(&place(&one), None, Some((2, root(&two)))), Grown::Known);
        assert_eq!(grown(&place(&one), None, None), Grown::Further((1, root(&one))));
    }

    #[test]
    fn two_heads_of_one_size_are_a_fork() {
        let last = Some((2, root(&leaves(2, 0))));
        assert!(matches!(grown(&place(&leaves(2, 9)), None, last), Grown::Forked(_)));
    }
}
