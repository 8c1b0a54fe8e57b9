//! Ways to rows that keys do not give.

use std::collections::{HashMap, HashSet};

use crate::crypto::Digest;
use crate::event::Header;
use crate::tables::name;

use super::derive::Walk;
use super::found::Tables;
use super::leaves::Source;

/// The ways.
#[derive(Default)]
pub(super) struct Lookup {
    /// Event rows by the digest of their header.
    pub(super) by_header: HashMap<Digest, Vec<usize>>,
    /// Event rows by the id in their column.
    pub(super) by_id: HashMap<Digest, usize>,
    /// Rows of headers by the event before.
    pub(super) by_prev: HashMap<Digest, Digest>,
    /// Events that no readable leaf names, by the intent that their header names.
    pub(super) orphans: HashMap<Digest, Vec<Digest>>,
    /// The same by the position in their column.
    pub(super) orphans_at: HashMap<u64, Vec<Digest>>,
    /// Headers that could be read.
    pub(super) headers: HashMap<Digest, Header>,
    /// Rows of changes and notifications by event.
    pub(super) of_event: HashMap<(&'static str, String), Vec<usize>>,
}

impl Walk<'_> {
    /// Makes the ways to rows that keys do not give.
    pub(super) fn index(&mut self, tables: &Tables) {
        let events = tables.get(name::EVENT);
        for row in events.indexes() {
            let stored = events.bytes(row, "header");
            let id = Digest::of(stored);
            if let Some(cell) = events.digest(row, "event_id") {
                self.lookup.by_id.insert(cell, row);
            }
            if let Ok(header) = Header::read(stored) {
                if let Some(prev) = header.prev {
                    self.lookup.by_prev.insert(prev, id);
                }
                self.lookup.by_header.entry(id).or_default().push(row);
                self.lookup.headers.insert(id, header);
            }
        }
        for table in [name::CHANGE, name::OUTBOX] {
            let rows = tables.get(table);
            for row in rows.indexes() {
                if let Some(event) = rows.text(row, "event_id") {
                    self.lookup.of_event.entry((table, event.to_owned())).or_default().push(row);
                }
            }
        }
    }

    /// Sorts out the events that no readable leaf names: they belong to damaged or lost outcomes.
    pub(super) fn orphan_events(&mut self, tables: &Tables, sources: &[Source], hashes: &[Option<Digest>]) {
        let events = tables.get(name::EVENT);
        let mut claimed: HashSet<Digest> = HashSet::new();
        for (source, hash) in sources.iter().zip(hashes) {
            if let Source::Intent(row) = source
                && let Some(found) = self.outcomes.get(*row).filter(|found| found.hash.is_some() && found.hash == *hash)
            {
                claimed.extend(found.facts.iter().flat_map(|facts| &facts.events));
            }
        }
        for (id, rows) in &self.lookup.by_header {
            let (Some(header), Some(row)) = (self.lookup.headers.get(id), rows.first()) else { continue };
            if claimed.contains(id) {
                continue;
            }
            self.lookup.orphans.entry(header.intent).or_default().push(*id);
            if let Some(position) = events.count(*row, "log_position") {
                self.lookup.orphans_at.entry(position).or_default().push(*id);
            }
        }
    }
}
