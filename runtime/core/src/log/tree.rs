//! The Merkle tree hash of RFC 9162, section 2.1.1, over SHA-256.

use crate::crypto::Digest;

/// Hash of one leaf: `SHA-256(0x00 || data)`. The prefix keeps a leaf from passing for an inner node.
pub fn leaf_hash(data: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], data])
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// Root of the tree without leaves: `SHA-256("")`.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// Root of the tree of these leaf hashes, from scratch: the specification that `Appender` must agree with.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

/// Joins the roots of complete subtrees, given from the left, largest first, into the root of them all.
pub(crate) fn join(peaks: &[Digest]) -> Digest {
    let joined = peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or_else(empty_root)
}

/// The largest power of two below `n`, where RFC 9162 splits a tree of `n` leaves; `n` is at least 2.
pub(crate) fn split_point(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_cannot_pass_for_a_node() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let joined = [left.as_bytes().as_slice(), right.as_bytes().as_slice()].concat();
        assert_ne!(leaf_hash(&joined), node_hash(&left, &right));
        assert_ne!(leaf_hash(b""), empty_root());
    }

    #[test]
    fn a_tree_splits_at_the_largest_power_of_two_below_its_size() {
        for (n, k) in [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (u64::MAX, 1 << 63)] {
            assert_eq!(split_point(n), k);
        }
    }
}
