//! What a node counts while it runs, for whoever watches it. Counting is cheap and never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockstep_core::database::{Batch, Write};
use lockstep_core::tables::{Cell, Table, name};

/// Upper bounds of durations, in microseconds.
const MICROS: [u64; 15] = [
    250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// Upper bounds of batch sizes.
const SIZES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// How often something was of which size.
pub(crate) struct Histogram<const N: usize> {
    bounds: [u64; N],
    counts: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    const fn new(bounds: [u64; N]) -> Self {
        Histogram { bounds, counts: [const { AtomicU64::new(0) }; N], count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Notes one.
    pub(crate) fn note(&self, value: u64) {
        let fitting = self.bounds.iter().zip(&self.counts).filter(|(bound, _)| value <= **bound);
        for (_, count) in fitting {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Notes how long something took.
    pub(crate) fn took(&self, duration: Duration) {
        self.note(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// The bounds, each with how many were not above it.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().copied().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How many there were, and the sum of their sizes.
    pub(crate) fn total(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.sum.load(Ordering::Relaxed))
    }
}

/// A node's counters since its start.
pub(crate) struct Meters {
    pub(crate) applied: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) expired: AtomicU64,
    /// Turned away at the door, with a code that is no row.
    pub(crate) refused: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) notifications: AtomicU64,
    /// How long a batch took from its first commit to knowing that it is committed, in microseconds.
    pub(crate) commit: Histogram<15>,
    /// Intents of a batch.
    pub(crate) batch: Histogram<11>,
    /// From an intent that came in by HTTP to its outcome, in microseconds.
    pub(crate) answer: Histogram<15>,
}

impl Default for Meters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Meters {
            applied: zero(),
            rejected: zero(),
            expired: zero(),
            refused: zero(),
            events: zero(),
            notifications: zero(),
            commit: Histogram::new(MICROS),
            batch: Histogram::new(SIZES),
            answer: Histogram::new(MICROS),
        }
    }
}

impl Meters {
    /// Counts a batch that was committed.
    pub(crate) fn committed(&self, batch: &Batch, took: Duration) {
        self.commit.took(took);
        let mut intents = 0;
        for part in &batch.tables {
            let inserted = part.writes.iter().filter(|write| matches!(write, Write::Insert(_))).count() as u64;
            match part.table.name.as_str() {
                name::EVENT => drop(self.events.fetch_add(inserted, Ordering::Relaxed)),
                name::OUTBOX => drop(self.notifications.fetch_add(inserted, Ordering::Relaxed)),
                name::INTENT => {
                    intents = inserted;
                    part.writes.iter().for_each(|write| self.ended(&part.table, write));
                }
                _ => {}
            }
        }
        if intents > 0 {
            self.batch.note(intents);
        }
    }

    fn ended(&self, table: &Table, write: &Write) {
        let Write::Insert(row) = write else { return };
        let status = table.position("status").and_then(|at| row.get(at)).and_then(Cell::as_str);
        let counter = match status {
            Some("applied") => &self.applied,
            Some("rejected") => &self.rejected,
            _ => &self.expired,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_counts_in_every_step_that_it_is_not_above() {
        let histogram = Histogram::new([1, 10, 100]);
        [1, 7, 10, 1000].into_iter().for_each(|value| histogram.note(value));
        assert_eq!(histogram.steps().collect::<Vec<_>>(), [(1, 1), (10, 3), (100, 3)]);
        assert_eq!(histogram.total(), (4, 1018));
    }
}
