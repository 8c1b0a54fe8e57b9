//! The log against RFC 9162: known answers, then every proof of every size, then every way to spoil one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lockstep_core::crypto::Digest;
use lockstep_core::log::{
    Appender, LogError, Tile, consistency_path, empty_root, inclusion_path, leaf_hash, root, verify_consistency,
    verify_inclusion,
};

const LARGEST: u64 = 200;

/// A log whose tiles stand on three levels.
static LARGE: LazyLock<Log> = LazyLock::new(|| Log::of(4_200));

/// The tiles of a log, as a store would keep them, and what its roots must be.
struct Log {
    leaves: Vec<Digest>,
    roots: Vec<Digest>,
    tiles: BTreeMap<(u32, u64), Tile>,
}

impl Log {
    /// Grows a log, storing tiles after each batch; batch sizes vary, so tiles are written at any width.
    fn of(size: u64) -> Log {
        let leaves: Vec<Digest> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let mut log = Log { roots: vec![empty_root()], tiles: BTreeMap::new(), leaves };
        let mut appender = Appender::empty();
        for (n, leaf) in log.leaves.clone().into_iter().enumerate() {
            appender.append(leaf);
            log.roots.push(appender.root());
            if n % 7 == 3 || n % 5 == 0 {
                log.store(&mut appender);
            }
        }
        log.store(&mut appender);
        log
    }

    fn store(&mut self, appender: &mut Appender) {
        for tile in appender.take_changed() {
            let before = self.tiles.insert((tile.level, tile.index), tile.clone());
            let kept = before.is_none_or(|before| tile.hashes.starts_with(&before.hashes));
            assert!(kept, "a stored hash changed");
        }
    }

    fn read(&self) -> impl FnMut(u32, u64) -> Option<Tile> {
        |level, index| self.tiles.get(&(level, index)).cloned()
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Digest> {
        inclusion_path(index, size, &mut self.read()).unwrap()
    }

    fn consistency(&self, old: u64, new: u64) -> Vec<Digest> {
        consistency_path(old, new, &mut self.read()).unwrap()
    }

    fn root(&self, size: u64) -> &Digest {
        &self.roots[usize::try_from(size).unwrap()]
    }

    fn leaf(&self, index: u64) -> &Digest {
        &self.leaves[usize::try_from(index).unwrap()]
    }
}

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn digests(texts: &[&str]) -> Vec<Digest> {
    texts.iter().map(|text| Digest::parse(text).unwrap()).collect()
}

fn flipped(digest: &Digest, bit: usize) -> Digest {
    let mut bytes = *digest.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Digest::from_bytes(bytes)
}

/// Ways to spoil a path that leave it a path: a bit flipped in each hash, one hash more, less, or out of place.
fn spoiled(path: &[Digest], seed: u64) -> Vec<Vec<Digest>> {
    let seed = usize::try_from(seed).unwrap();
    let mut all = vec![[path, &[empty_root()]].concat(), [&[empty_root()], path].concat()];
    for at in 0..path.len() {
        let mut changed = path.to_vec();
        changed[at] = flipped(&changed[at], (seed * 31 + at * 97) % 256);
        all.push(changed);
    }
    if let Some(last) = path.last() {
        all.push([path, &[*last]].concat());
        let at = seed % path.len();
        let mut shorter = path.to_vec();
        shorter.remove(at);
        all.push(shorter);
        let mut swapped = path.to_vec();
        swapped.rotate_left(at);
        all.extend((at > 0).then_some(swapped));
    }
    all
}

/// The eight leaves of Certificate Transparency's own tests, and the root after each.
#[test]
fn the_roots_are_those_that_certificate_transparency_publishes() {
    let known = [
        ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];
    let mut appender = Appender::empty();
    let mut leaves = Vec::new();
    assert_eq!(appender.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (data, expected) in known {
        let leaf = leaf_hash(&hex(data));
        leaves.push(leaf);
        appender.append(leaf);
        assert_eq!(appender.root().to_string(), expected);
        assert_eq!(root(&leaves).to_string(), expected);
    }
    let tiles = appender.take_changed();
    let mut read = |level, index| tiles.iter().find(|tile| (tile.level, tile.index) == (level, index)).cloned();
    assert_eq!(
        inclusion_path(0, 8, &mut read).unwrap(),
        digests(&[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ])
    );
    assert_eq!(
        inclusion_path(5, 8, &mut read).unwrap(),
        digests(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
    assert_eq!(
        consistency_path(6, 8, &mut read).unwrap(),
        digests(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ])
    );
}

#[test]
fn the_appender_agrees_with_the_root_from_scratch() {
    let log = &*LARGE;
    for size in (0..=300).chain([4_095, 4_096, 4_097, 4_200]) {
        assert_eq!(log.roots[size], root(&log.leaves[..size]), "size {size}");
    }
}

#[test]
fn an_appender_opened_at_any_size_continues_to_the_same_root() {
    let log = &*LARGE;
    for size in (0..=130).chain([199, 4_095, 4_096, 4_097, 4_160]) {
        let mut appender = Appender::open(size, log.read()).unwrap();
        assert_eq!((appender.size(), &appender.root()), (size, log.root(size)));
        assert!(appender.take_changed().is_empty(), "opening changes nothing");
        for index in size..(size + 66).min(4_200) {
            appender.append(*log.leaf(index));
            assert_eq!(&appender.root(), log.root(index + 1), "opened at {size}, grown to {}", index + 1);
        }
        for tile in appender.take_changed() {
            let stored = &log.tiles[&(tile.level, tile.index)];
            assert!(stored.hashes.starts_with(&tile.hashes), "opened at {size}");
        }
    }
}

#[test]
fn a_dropped_clone_of_an_appender_leaves_the_original_as_it_was() {
    let mut appender = Appender::open(100, Log::of(100).read()).unwrap();
    let before = appender.root();
    let mut batch = appender.clone();
    batch.append(leaf_hash(b"not committed"));
    drop(batch);
    assert_eq!(appender.root(), before);
    assert!(appender.take_changed().is_empty());
}

#[test]
fn every_inclusion_proof_verifies_and_no_spoiled_one_does() {
    let log = Log::of(LARGEST);
    let (mut proofs, mut refused) = (0, 0);
    for size in 1..=LARGEST {
        for index in 0..size {
            let (leaf, root, path) = (log.leaf(index), log.root(size), log.inclusion(index, size));
            assert!(verify_inclusion(leaf, index, size, &path, root), "{index} of {size}");
            proofs += 1;
            for changed in spoiled(&path, index + size) {
                assert!(!verify_inclusion(leaf, index, size, &changed, root), "{index} of {size}");
                refused += 1;
            }
            assert!(!verify_inclusion(&flipped(leaf, 3), index, size, &path, root));
            assert!(!verify_inclusion(leaf, index, size, &path, &flipped(root, 200)));
            assert!(!verify_inclusion(leaf, size, size, &path, root));
        }
    }
    assert_eq!(proofs, LARGEST * (LARGEST + 1) / 2);
    assert!(refused > 8 * proofs);
}

#[test]
fn every_bit_of_a_path_counts() {
    let log = Log::of(70);
    for (index, size) in [(0, 2), (69, 70), (64, 70), (33, 67), (5, 8)] {
        let path = log.inclusion(index, size);
        for at in 0..path.len() * 256 {
            let mut changed = path.clone();
            changed[at / 256] = flipped(&changed[at / 256], at % 256);
            assert!(!verify_inclusion(log.leaf(index), index, size, &changed, log.root(size)));
        }
    }
}

#[test]
fn a_path_is_of_one_index_and_one_checkpoint() {
    let log = Log::of(66);
    for size in 1..=66 {
        for index in 0..size {
            let (leaf, path) = (log.leaf(index), log.inclusion(index, size));
            for other in (0..=66).filter(|other| *other != index) {
                assert!(!verify_inclusion(leaf, other, size, &path, log.root(size)), "{index} as {other} of {size}");
            }
            for other in (0..=66).filter(|other| *other != size) {
                assert!(!verify_inclusion(leaf, index, other, &path, log.root(other)), "{index} of {size} as {other}");
            }
        }
    }
}

#[test]
fn every_consistency_proof_verifies_and_no_spoiled_one_does() {
    let log = Log::of(LARGEST);
    let (mut proofs, mut refused) = (0, 0);
    for new in 0..=LARGEST {
        for old in 0..=new {
            let (old_root, new_root, path) = (log.root(old), log.root(new), log.consistency(old, new));
            assert!(verify_consistency(old, new, &path, old_root, new_root), "{old} to {new}");
            proofs += 1;
            for changed in spoiled(&path, old + new) {
                assert!(!verify_consistency(old, new, &changed, old_root, new_root), "{old} to {new}");
                refused += 1;
            }
            assert!(!verify_consistency(old, new, &path, &flipped(old_root, 77), new_root));
            let trivial = old == 0 && new > 0;
            assert_eq!(verify_consistency(old, new, &path, old_root, &flipped(new_root, 78)), trivial);
        }
    }
    assert_eq!(proofs, (LARGEST + 1) * (LARGEST + 2) / 2);
    assert!(refused > 8 * proofs);
}

#[test]
fn a_consistency_proof_is_of_two_checkpoints() {
    let log = Log::of(40);
    for new in 1..=40 {
        for old in 1..new {
            let path = log.consistency(old, new);
            for other in (0..=41).filter(|other| *other != old) {
                let root = log.root(other.min(40));
                let holds = verify_consistency(other, new, &path, root, log.root(new));
                assert!(!holds, "{old} as {other} to {new}");
            }
            for other in (0..=40).filter(|other| *other != new) {
                let holds = verify_consistency(old, other, &path, log.root(old), log.root(other));
                assert!(!holds, "{old} to {new} as {other}");
            }
        }
    }
}

#[test]
fn proofs_reach_over_three_levels_of_tiles() {
    let log = &*LARGE;
    for size in [4_095, 4_096, 4_097, 4_160, 4_199, 4_200] {
        for index in (0..size).step_by(61).chain([size - 1]) {
            let path = log.inclusion(index, size);
            assert!(verify_inclusion(log.leaf(index), index, size, &path, log.root(size)), "{index} of {size}");
        }
        for old in (1..size).step_by(67).chain([64, 4_032, size - 1]) {
            let path = log.consistency(old, size);
            assert!(verify_consistency(old, size, &path, log.root(old), log.root(size)), "{old} to {size}");
        }
    }
}

#[test]
fn a_proof_reads_few_tiles_and_none_twice() {
    let log = &*LARGE;
    let mut seen = Vec::new();
    let mut read = |level, index| {
        seen.push((level, index));
        log.tiles.get(&(level, index)).cloned()
    };
    inclusion_path(2_345, 4_200, &mut read).unwrap();
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
    assert!(count <= 6, "{seen:?}");
}

#[test]
fn absurd_sizes_and_paths_are_answered_with_no() {
    let hash = empty_root();
    for length in [0, 1, 63, 64, 65, 1_000] {
        let path = vec![hash; length];
        for (a, b) in [(0, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX - 1, u64::MAX), (1 << 63, u64::MAX)] {
            assert!(!verify_inclusion(&hash, a, b, &path, &hash), "{a} {b} {length}");
            let trivial = length == 0 && (a == 0 || a == b);
            assert_eq!(verify_consistency(a, b, &path, &hash, &hash), trivial, "{a} {b} {length}");
            assert!(!verify_consistency(b, a, &path, &hash, &leaf_hash(b"")));
        }
    }
}

#[test]
fn beyond_the_end_there_is_no_proof() {
    let log = Log::of(5);
    assert_eq!(inclusion_path(5, 5, &mut log.read()), Err(LogError::OutOfRange { asked: 5, size: 5 }));
    assert_eq!(inclusion_path(0, 0, &mut log.read()), Err(LogError::OutOfRange { asked: 0, size: 0 }));
    assert_eq!(consistency_path(6, 5, &mut log.read()), Err(LogError::OutOfRange { asked: 6, size: 5 }));
    assert!(inclusion_path(0, u64::MAX, &mut log.read()).is_err());
    assert!(consistency_path(1 << 63, u64::MAX, &mut log.read()).is_err());
    assert!(Appender::open(u64::MAX, log.read()).is_err());
}

#[test]
fn a_missing_or_damaged_tile_is_named() {
    let log = Log::of(200);
    let missing = |_: u32, _: u64| None;
    assert_eq!(Appender::open(70, missing).unwrap_err(), LogError::MissingTile { level: 0, index: 1 });
    let damage = |change: fn(&mut Tile)| {
        move |level, index| {
            let mut tile = Log::of(200).tiles.get(&(level, index)).cloned()?;
            change(&mut tile);
            Some(tile)
        }
    };
    let mut cut = damage(|tile| tile.hashes.truncate(2));
    let expected = LogError::DamagedTile { level: 0, index: 3, needed: 8, found: 2 };
    assert_eq!(Appender::open(200, &mut cut).unwrap_err(), expected);
    assert!(matches!(inclusion_path(199, 200, &mut cut), Err(LogError::DamagedTile { .. })));
    let mut long = damage(|tile| tile.hashes.resize(65, empty_root()));
    assert!(matches!(Appender::open(200, &mut long), Err(LogError::DamagedTile { found: 65, .. })));
    let mut other = damage(|tile| tile.index += 1);
    assert!(matches!(Appender::open(200, &mut other), Err(LogError::OtherTile { .. })));
    let path = inclusion_path(9, 200, &mut damage(|tile| tile.hashes.reverse())).unwrap();
    assert!(!verify_inclusion(log.leaf(9), 9, 200, &path, log.root(200)));
}
