//! What was handed over: the wrapper's signature, the cells that it proves, the answers to it, and counts without a gap.
//!
//! Rows of this table have no leaf: that the last count of a record was deleted is not seen here, but at the other node.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::sync::{End, Forward, Taken, forward_row};
use crate::tables::{Cell, Row, name};

use super::derive::Walk;
use super::found::{Found, Key, Tables};
use super::words::{finding, place};

/// A wrapper with the rows that hold it.
struct Wrapped {
    forward: Forward,
    rows: Vec<usize>,
}

impl Walk<'_> {
    /// Checks what was handed over, and derives its rows.
    pub(super) fn forwards(&mut self, tables: &Tables) {
        let found = tables.get(name::FORWARD);
        let mut wrapped: BTreeMap<Key, Wrapped> = BTreeMap::new();
        let mut broken: Vec<(usize, String)> = Vec::new();
        for row in found.indexes() {
            match self.wrapper(found.bytes(row, "envelope")) {
                Err(problem) => broken.push((row, problem)),
                Ok(forward) => {
                    let key = vec![Cell::Text(forward.node.to_string()), Cell::Text(forward.intent.to_string())];
                    let known = wrapped.entry(key).or_insert_with(|| Wrapped { forward, rows: Vec::new() });
                    known.rows.push(row);
                }
            }
        }
        for (row, problem) in broken {
            let key = found.key_of(row);
            // Another row of the same wrapper tells what this one must hold.
            if !key.get(..2).is_some_and(|wrapper| wrapped.contains_key(wrapper)) {
                self.broken_evidence(tables, name::FORWARD, row, key, "envelope", &problem);
                self.comparison.expect(name::FORWARD, found.rows.get(row).cloned().unwrap_or_default(), tables);
            }
        }
        for one in wrapped.values() {
            self.derive_forward(tables, one);
            one.rows.iter().for_each(|row| self.check_answers(tables, *row, &one.forward));
        }
        self.check_counts(tables, wrapped.values());
    }

    fn wrapper(&self, stored: &[u8]) -> Result<Forward, String> {
        let told = Forward::read(stored)?;
        let node = self.agreed.directory.nodes().get(told.node.as_str());
        let key = node.map(|node| node.key).ok_or_else(|| format!("nobody knows node {}", told.node))?;
        let forward = Forward::verify(stored, &key)?;
        match forward.network == self.network {
            true => Ok(forward),
            false => Err(format!("it is of network {}", forward.network)),
        }
    }

    /// Expects the rows that a wrapper proves; what nothing proves is taken as found.
    fn derive_forward(&mut self, tables: &Tables, wrapped: &Wrapped) {
        let found = tables.get(name::FORWARD);
        let Some(first) = wrapped.rows.first() else { return };
        let envelope = found.bytes(*first, "envelope");
        for position in 0..wrapped.forward.records.len() {
            let key = key_of(&wrapped.forward, position);
            let held = found.with_key(&key).first().unwrap_or(first);
            let told: Row = found.rows.get(*held).cloned().unwrap_or_default();
            self.comparison.expect(name::FORWARD, forward_row(&wrapped.forward, position, envelope, &told), tables);
        }
    }

    /// The sequencer's answers, where they are there.
    fn check_answers(&mut self, tables: &Tables, row: usize, forward: &Forward) {
        let found = tables.get(name::FORWARD);
        let problems = [("taken", self.bad_taken(found, row, forward)), ("ended", self.bad_end(found, row, forward))];
        for (column, problem) in problems {
            if let Some(problem) = problem {
                self.broken_evidence(tables, name::FORWARD, row, found.key_of(row), column, &problem);
            }
        }
    }

    fn bad_taken(&self, found: &Found, row: usize, forward: &Forward) -> Option<String> {
        let stored = found.cell(row, "taken").as_bytes()?;
        let key = self.agreed.directory.nodes().get(forward.sequencer.as_str()).map(|node| node.key);
        match key {
            None => Some(format!("nobody knows node {}", forward.sequencer)),
            Some(key) => Taken::verify(stored, &key, forward).err(),
        }
    }

    fn bad_end(&self, found: &Found, row: usize, forward: &Forward) -> Option<String> {
        let stored = found.cell(row, "ended").as_bytes()?;
        End::read(stored).and_then(|end| end.check(forward, &self.agreed.directory)).err()
    }

    /// Every record's counts begin at 1 and have no gap.
    fn check_counts<'b>(&mut self, tables: &Tables, wrapped: impl Iterator<Item = &'b Wrapped>) {
        let found = tables.get(name::FORWARD);
        let mut counts: BTreeMap<(String, String), BTreeMap<u64, usize>> = BTreeMap::new();
        for one in wrapped {
            for row in &one.rows {
                let record = found.text(*row, "record_id").unwrap_or_default().to_owned();
                let at = found.count(*row, "position").and_then(|at| usize::try_from(at).ok());
                let count = at.and_then(|at| one.forward.records.get(at)).map(|(_, count)| *count);
                let of_record = counts.entry((one.forward.node.to_string(), record)).or_default();
                of_record.extend(count.map(|count| (count, *row)));
            }
        }
        for ((node, record), counts) in counts {
            let mut next = 1;
            for (count, row) in counts {
                if count != next {
                    let key = found.key_of(row);
                    let at = place(&found.table, &key, None);
                    let message = format!(
                        "{at}: count {next} of node {node} for record {record} is missing before it; its row was deleted, or its key was edited"
                    );
                    let one = finding(Code::RowMissing, &found.table, &key, None, Some(record.clone()), None, message);
                    self.comparison.findings.push(one);
                }
                next = count.saturating_add(1);
            }
        }
    }
}

fn key_of(forward: &Forward, position: usize) -> Key {
    let (node, intent) = (forward.node.to_string(), forward.intent.to_string());
    vec![Cell::Text(node), Cell::Text(intent), Cell::count(position as u64)]
}
