//! Which network and log this database is of, and where its batches end: told several times over in different
//! tables, so that one edited cell never decides it.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::crypto::{Digest, PublicKey};
use crate::directory::{Body, DirectoryEvent};
use crate::json::{Json, Limits};
use crate::log::Checkpoint;
use crate::project::origin;
use crate::tables::{Cell, LOG_HEAD, name};

use super::Known;
use super::found::Tables;

/// Votes that a signed head has against cells.
const SIGNED: u32 = 1000;

/// What most say; of equals the least, so that the answer does not depend on the order of a hash map.
fn most<T: Ord + Hash + Clone>(votes: impl IntoIterator<Item = T>) -> Option<T> {
    let mut counts: HashMap<T, u32> = HashMap::new();
    for vote in votes {
        *counts.entry(vote).or_default() += 1;
    }
    counts.into_iter().max_by(|(a, many), (b, more)| many.cmp(more).then_with(|| b.cmp(a))).map(|(vote, _)| vote)
}

/// A fact of `lockstep_meta`.
pub(super) fn meta<'a>(tables: &'a Tables, key: &str) -> Option<&'a str> {
    let meta = tables.get(name::META);
    let row = meta.with_key(&[Cell::Text(key.to_owned())]).first()?;
    meta.text(*row, "value")
}

/// Origins of all notes that can be read, as network and log.
fn origins(tables: &Tables) -> Vec<(Digest, String)> {
    let notes = tables.get(name::CHECKPOINT);
    let parsed = notes.indexes().filter_map(|row| Checkpoint::parse(notes.text(row, "note")?).ok());
    parsed.filter_map(|(checkpoint, _)| read_origin(&checkpoint.origin)).collect()
}

fn read_origin(origin: &str) -> Option<(Digest, String)> {
    let (network, log) = origin.strip_prefix("lockstep/")?.split_once('/')?;
    Some((Digest::parse(network).ok()?, log.to_owned()))
}

/// The network's id.
pub(super) fn network(tables: &Tables, known: &Known<'_>, events: &[Option<DirectoryEvent>]) -> Option<Digest> {
    if known.network.is_some() {
        return known.network;
    }
    let agreed = events.iter().flatten().filter_map(|event| match event.body {
        Body::Genesis { .. } => Some(event.head()),
        _ => event.network,
    });
    let noted = origins(tables).into_iter().map(|(network, _)| network);
    let told = meta(tables, "network_id").and_then(|text| Digest::parse(text).ok());
    most(agreed.chain(noted).chain(told))
}

/// The log that the node of this database writes.
pub(super) fn log(tables: &Tables) -> Option<String> {
    let noted = origins(tables).into_iter().map(|(_, log)| log);
    let told = meta(tables, "log").map(str::to_owned);
    let intents = tables.get(name::INTENT);
    let leaves = intents.indexes().take(1000).filter_map(|row| intents.text(row, "log").map(str::to_owned));
    most(noted.chain(told).chain(leaves))
}

/// A head of the log that the node signed.
pub(super) struct Signed {
    /// Its row; `None` for the one kept beside the key.
    pub(super) row: Option<usize>,
    pub(super) root: Digest,
    pub(super) note: String,
}

/// Every signed head, by size. Of two rows with one note, the one whose size it is has it.
pub(super) fn signed_heads(
    tables: &Tables,
    network: &Digest,
    log: &str,
    key: Option<&PublicKey>,
) -> BTreeMap<u64, Signed> {
    let (notes, origin) = (tables.get(name::CHECKPOINT), origin(network, log));
    let mut heads: BTreeMap<u64, Signed> = BTreeMap::new();
    let Some(key) = key else { return heads };
    for row in notes.indexes() {
        let Some(note) = notes.text(row, "note") else { continue };
        let Ok(checkpoint) = Checkpoint::verify(note, &origin, key) else { continue };
        let own = notes.count(row, "size") == Some(checkpoint.size);
        if own || !heads.contains_key(&checkpoint.size) {
            heads.insert(checkpoint.size, Signed { row: Some(row), root: checkpoint.root, note: note.to_owned() });
        }
    }
    heads
}

/// The sizes at which batches end, ascending. A signed head is one for sure; otherwise two cells must say so.
pub(super) fn batch_ends(tables: &Tables, signed: &BTreeMap<u64, Signed>, leaves: u64) -> Vec<u64> {
    let mut votes: BTreeMap<u64, u32> = signed.keys().map(|size| (*size, SIGNED)).collect();
    let mut vote = |size: Option<u64>| {
        if let Some(size) = size.filter(|size| *size > 0 && *size <= leaves) {
            *votes.entry(size).or_default() += 1;
        }
    };
    let notes = tables.get(name::CHECKPOINT);
    let with_note: Vec<usize> = signed.values().filter_map(|signed| signed.row).collect();
    let with_note: std::collections::HashSet<usize> = with_note.into_iter().collect();
    for row in notes.indexes() {
        vote(notes.count(row, "previous"));
        if !with_note.contains(&row) {
            vote(notes.count(row, "size"));
        }
    }
    for table in [name::INTENT, name::DIRECTORY] {
        let rows = tables.get(table);
        rows.indexes().for_each(|row| vote(rows.count(row, "checkpoint")));
    }
    vote(head_size(tables));
    votes.into_iter().filter(|(_, votes)| *votes >= 2).map(|(size, _)| size).collect()
}

/// The size that `lockstep_meta` has for the log.
pub(super) fn head_size(tables: &Tables) -> Option<u64> {
    let head = Json::parse(meta(tables, LOG_HEAD)?.as_bytes(), &Limits::default()).ok()?;
    head.get("size")?.as_u64()
}
