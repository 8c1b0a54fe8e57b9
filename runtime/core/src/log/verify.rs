//! Checking proofs: RFC 9162, sections 2.1.3.2 (inclusion) and 2.1.4.2 (consistency).
//!
//! Both take any input whatsoever and say yes or no. A path has exactly one right length for its index and
//! size. What a path cannot show is the size itself: some sizes share the shape of a path, so index, size
//! and root must come from one signed checkpoint, as `Checkpoint` holds them.

use super::tree::{empty_root, node_hash};
use crate::crypto::Digest;

/// Whether `path` leads from the leaf at `index` to the `root` of a log of `size` leaves.
#[must_use]
pub fn verify_inclusion(leaf_hash: &Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let mut place = Place { node: index, last: size - 1 };
    let mut hash = *leaf_hash;
    for sibling in path {
        match place.climb() {
            Some(Side::Left) => hash = node_hash(sibling, &hash),
            Some(Side::Right) => hash = node_hash(&hash, sibling),
            None => return false,
        }
    }
    place.is_root() && hash == *root
}

/// Whether `path` shows that the log of `old` leaves with `old_root` is the beginning of the log of `new`
/// leaves with `new_root`. The empty log is the beginning of every log.
#[must_use]
pub fn verify_consistency(old: u64, new: u64, path: &[Digest], old_root: &Digest, new_root: &Digest) -> bool {
    if old == new {
        let empty_is_empty = old > 0 || *old_root == empty_root();
        return path.is_empty() && old_root == new_root && empty_is_empty;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    if old > new {
        return false;
    }
    // The lowest subtree that ends where the old log does; it is the old log itself when complete.
    let complete_levels = old.trailing_zeros();
    let mut place = Place { node: (old - 1) >> complete_levels, last: (new - 1) >> complete_levels };
    let (seed, rest) = match path.split_first() {
        _ if old.is_power_of_two() => (old_root, path),
        Some((first, rest)) => (first, rest),
        None => return false,
    };
    let (mut old_hash, mut new_hash) = (*seed, *seed);
    for sibling in rest {
        match place.climb() {
            Some(Side::Left) => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Some(Side::Right) => new_hash = node_hash(&new_hash, sibling),
            None => return false,
        }
    }
    place.is_root() && old_hash == *old_root && new_hash == *new_root
}

/// On which side of the path's node the next sibling stands.
enum Side {
    Left,
    Right,
}

/// Where a path is: the node's position in its level and that of the level's last node (fn and sn in the RFC).
struct Place {
    node: u64,
    last: u64,
}

impl Place {
    /// Goes up past one sibling; `None` where there is none left, so that the path is too long.
    fn climb(&mut self) -> Option<Side> {
        if self.is_root() {
            return None;
        }
        let is_left = self.node.is_multiple_of(2) && self.node != self.last;
        if is_left {
            self.up(1);
            return Some(Side::Right);
        }
        // The last node of a level without a sibling is lifted to where it gets one.
        self.up(self.node.trailing_zeros().min(u64::BITS - 1));
        self.up(1);
        Some(Side::Left)
    }

    fn up(&mut self, levels: u32) {
        self.node >>= levels;
        self.last >>= levels;
    }

    fn is_root(&self) -> bool {
        self.last == 0
    }
}
