//! The directory's events in their order, also where one is damaged or gone.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::crypto::Digest;
use crate::directory::DirectoryEvent;
use crate::log::leaf_hash;
use crate::outcome::directory_leaf;
use crate::tables::name;

use super::found::Tables;

/// One place in the directory.
pub(super) struct Link {
    pub(super) seq: u64,
    /// The head after it.
    pub(super) head: Digest,
    /// Hash of its leaf.
    pub(super) leaf: Digest,
    /// Its event, where the row holds the one that the head is of.
    pub(super) event: Option<DirectoryEvent>,
    /// Its row.
    pub(super) row: Option<usize>,
}

/// Reads every row's envelope.
pub(super) fn read_events(tables: &Tables) -> Vec<Option<DirectoryEvent>> {
    let rows = tables.get(name::DIRECTORY);
    rows.indexes().map(|row| DirectoryEvent::read(rows.bytes(row, "envelope")).ok()).collect()
}

/// Puts the directory in order. `logged` are the hashes that the log's tiles hold, `told` are heads that outcomes name.
pub(super) fn order(
    tables: &Tables,
    events: Vec<Option<DirectoryEvent>>,
    network: &Digest,
    logged: &HashSet<Digest>,
    told: &BTreeMap<u64, Digest>,
) -> Vec<Link> {
    let rows = tables.get(name::DIRECTORY);
    let most = rows.rows.len() as u64 + told.len() as u64 + 1;
    let (mut by_event, mut by_cell): (HashMap<u64, Vec<usize>>, HashMap<u64, usize>) = (HashMap::new(), HashMap::new());
    for row in rows.indexes() {
        if let Some(Some(event)) = events.get(row) {
            by_event.entry(event.seq).or_default().push(row);
        }
        if let Some(seq) = rows.count(row, "seq") {
            by_cell.insert(seq, row);
        }
    }
    // A row whose envelope cannot be read counts by its cell; a lost last event only by what outcomes say of it.
    let unread = by_cell.iter().filter(|(_, row)| events.get(**row).is_none_or(Option::is_none)).map(|(seq, _)| *seq);
    let length = by_event.keys().copied().chain(unread).filter(|seq| *seq <= most).max().unwrap_or(0);
    let leaf_of = |seq: u64, head: &Digest| leaf_hash(&directory_leaf(network, seq, head));
    let beyond = told
        .iter()
        .filter(|(seq, head)| **seq > length && logged.contains(&leaf_of(**seq, head)))
        .map(|(seq, _)| *seq)
        .max();
    let length = beyond.filter(|seq| *seq <= most).unwrap_or(length);
    let mut events: Vec<Option<DirectoryEvent>> = events;
    let mut links: Vec<Link> = Vec::new();
    let event_at = |events: &[Option<DirectoryEvent>], seq: u64| -> Option<usize> {
        let candidates = by_event.get(&seq)?;
        let own = candidates.iter().find(|row| by_cell.get(&seq) == Some(row));
        own.or(candidates.first()).copied().filter(|row| events.get(*row).is_some_and(Option::is_some))
    };
    let mut prevs: BTreeMap<u64, Digest> = BTreeMap::new();
    for seq in 2..=length {
        if let Some(prev) = event_at(&events, seq).and_then(|row| events.get(row)?.as_ref()?.prev) {
            prevs.insert(seq - 1, prev);
        }
    }
    let serving: HashSet<usize> = (1..=length).filter_map(|seq| event_at(&events, seq)).collect();
    for seq in 1..=length {
        let found = event_at(&events, seq);
        let row = found.or_else(|| by_cell.get(&seq).copied().filter(|row| !serving.contains(row)));
        let of_event = found.and_then(|row| events.get(row)?.as_ref()).map(DirectoryEvent::head);
        let genesis = (seq == 1).then_some(*network);
        let cell = row.and_then(|row| rows.digest(row, "head"));
        let candidates = [genesis, prevs.get(&seq).copied(), told.get(&seq).copied(), of_event, cell];
        let sure = candidates.iter().flatten().find(|head| logged.contains(&leaf_of(seq, head)));
        let head = sure.or(candidates.iter().flatten().next()).copied().unwrap_or(*network);
        let event = match found {
            Some(row) if of_event == Some(head) => events.get_mut(row).and_then(Option::take),
            _ => None,
        };
        links.push(Link { seq, head, leaf: leaf_of(seq, &head), event, row });
    }
    links
}
