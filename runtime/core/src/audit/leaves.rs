//! The log's leaves in their order: what its tiles hold against what the rows say, judged by the signed heads.

use std::collections::{BTreeMap, HashMap};

use crate::crypto::Digest;
use crate::log::{Appender, TILE_WIDTH};
use crate::outcome::{LeafFacts, Outcome};
use crate::tables::name;

use super::chain::Link;
use super::found::Tables;
use super::received::{Receipt, Receipts};
use super::votes::Signed;

/// Ways of settling one batch that are tried.
const MOST_TRIES: u64 = 2048;

/// What an intent's row says about its leaf.
pub(super) struct OutcomeFound {
    /// The outcome, where all of it is sound in itself.
    pub(super) outcome: Option<Outcome>,
    /// What its leaf says, where that can be read.
    pub(super) facts: Option<LeafFacts>,
    /// Hash of the leaf in this database's log: its own, or that of its receipt.
    pub(super) hash: Option<Digest>,
    /// The receipt, where another node sequenced it.
    pub(super) receipt: Option<Receipt>,
    /// Why it is not sound.
    pub(super) problem: Option<String>,
}

/// Reads every intent's outcome.
pub(super) fn read_outcomes(tables: &Tables, receipts: &Receipts) -> Vec<OutcomeFound> {
    let rows = tables.get(name::INTENT);
    rows.indexes().map(|row| read_outcome(rows.bytes(row, "outcome"), rows.text(row, "intent_id"), receipts)).collect()
}

fn read_outcome(stored: &[u8], told: Option<&str>, receipts: &Receipts) -> OutcomeFound {
    let facts = Outcome::stored_facts(stored);
    // A row whose key was edited still says in its outcome which intent it is about.
    let own = || receipts.of(facts.as_ref().map(|facts| facts.intent.to_string()).as_deref());
    let receipt = receipts.of(told).or_else(own);
    let hash = receipt.map(|receipt| receipt.hash).or_else(|| Outcome::stored_leaf_hash(stored));
    let (outcome, problem) = match Outcome::read(stored) {
        // The node that decided knows what it said.
        Ok(outcome) if receipt.is_none() && outcome.reasons().is_none() => {
            (None, Some("what its leaf's commitments stand for is missing".to_owned()))
        }
        Ok(outcome) => (Some(outcome), None),
        Err(problem) => (None, Some(problem)),
    };
    OutcomeFound { outcome, facts, hash, problem, receipt: receipt.cloned() }
}

/// The hashes of the leaves as the tiles have them, by position.
pub(super) fn tiled(tables: &Tables, log: &str) -> BTreeMap<u64, Digest> {
    let tiles = tables.get(name::LOG);
    let mut hashes = BTreeMap::new();
    for row in tiles.indexes() {
        if tiles.count(row, "level") != Some(0) || tiles.text(row, "log") != Some(log) {
            continue;
        }
        let Some(first) = tiles.count(row, "position").and_then(|index| index.checked_mul(TILE_WIDTH)) else {
            continue;
        };
        for (offset, hash) in (0..TILE_WIDTH).zip(tiles.bytes(row, "hashes").chunks_exact(32)) {
            if let Ok(bytes) = <[u8; 32]>::try_from(hash) {
                hashes.insert(first.saturating_add(offset), Digest::from_bytes(bytes));
            }
        }
    }
    hashes
}

/// Where a leaf's evidence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the directory, at this place of its chain.
    Directory(usize),
    /// In this row of the intents.
    Intent(usize),
    /// In this row of the objections.
    Objection(usize),
    /// Nowhere any more.
    Lost,
}

/// The log in order.
pub(super) struct Leaves {
    /// Hash of each leaf; `None` where neither tile nor row tells.
    pub(super) hashes: Vec<Option<Digest>>,
    /// Where its evidence is.
    pub(super) sources: Vec<Source>,
    /// The first signed head that the leaves do not add up to.
    pub(super) broken: Option<u64>,
}

/// How many leaves the log can have, by what tiles and rows tell.
pub(super) fn reach(tables: &Tables, tiled: &BTreeMap<u64, Digest>, links: &[Link]) -> u64 {
    let rows = [name::INTENT, name::OBJECTION].map(|table| tables.get(table).rows.len() as u64);
    let rows = rows.iter().sum::<u64>() + links.len() as u64;
    let tiles = tiled.len() as u64;
    rows.max(tiles).saturating_mul(2).saturating_add(TILE_WIDTH)
}

/// Settles the order of `size` leaves.
pub(super) fn settle(
    tables: &Tables,
    size: u64,
    links: &[Link],
    outcomes: &[OutcomeFound],
    objected: &[Option<Digest>],
    tiled: &BTreeMap<u64, Digest>,
    signed: &BTreeMap<u64, Signed>,
) -> Leaves {
    let (intents, directory) = (tables.get(name::INTENT), tables.get(name::DIRECTORY));
    let mut claims: HashMap<u64, Vec<(Digest, Source)>> = HashMap::new();
    let mut of_hash: HashMap<Digest, Vec<(Option<u64>, Source)>> = HashMap::new();
    let mut claim = |hash: Option<Digest>, position: Option<u64>, source: Source| {
        let Some(hash) = hash else { return };
        of_hash.entry(hash).or_default().push((position, source));
        if let Some(position) = position {
            claims.entry(position).or_default().push((hash, source));
        }
    };
    for (index, link) in links.iter().enumerate() {
        claim(Some(link.leaf), link.row.and_then(|row| directory.count(row, "log_position")), Source::Directory(index));
    }
    for (row, outcome) in outcomes.iter().enumerate() {
        claim(outcome.hash, intents.count(row, "log_position"), Source::Intent(row));
    }
    let objections = tables.get(name::OBJECTION);
    for (row, hash) in objected.iter().enumerate() {
        claim(*hash, objections.count(row, "log_position"), Source::Objection(row));
    }
    let candidates: Vec<Vec<Digest>> = (0..size)
        .map(|position| {
            let mut all: Vec<Digest> = tiled.get(&position).copied().into_iter().collect();
            for (hash, _) in claims.get(&position).into_iter().flatten() {
                if !all.contains(hash) {
                    all.push(*hash);
                }
            }
            all
        })
        .collect();
    let (hashes, broken) = choose(&candidates, signed);
    let sources = assign(&hashes, &of_hash, tables, (links.len(), outcomes, objected.len()), links);
    Leaves { hashes, sources, broken }
}

/// Picks one candidate for each position, so that every signed head comes out.
fn choose(candidates: &[Vec<Digest>], signed: &BTreeMap<u64, Signed>) -> (Vec<Option<Digest>>, Option<u64>) {
    let mut chosen: Vec<Option<Digest>> = Vec::with_capacity(candidates.len());
    let (mut appender, mut broken) = (Appender::empty(), None);
    for (size, head) in signed {
        let (start, end) = (chosen.len(), usize::try_from(*size).unwrap_or(usize::MAX));
        let Some(segment) = candidates.get(start..end) else { break };
        let complete = segment.iter().all(|all| !all.is_empty());
        let fits = (complete && broken.is_none())
            .then(|| tries(segment).find_map(|pick| attempt(&appender, segment, &pick, &head.root)))
            .flatten();
        match fits {
            Some((next, picked)) => {
                appender = next;
                chosen.extend(picked.into_iter().map(Some));
            }
            None => {
                broken = broken.or(Some(*size));
                chosen.extend(segment.iter().map(|all| all.first().copied()));
            }
        }
    }
    let rest = candidates.get(chosen.len()..).unwrap_or_default();
    chosen.extend(rest.iter().map(|all| all.first().copied()));
    (chosen, broken)
}

/// Which candidate to take at each position of a batch: the tile's everywhere, the rows' everywhere, then every mix.
fn tries(segment: &[Vec<Digest>]) -> impl Iterator<Item = Vec<usize>> {
    let widths: Vec<usize> = segment.iter().map(Vec::len).collect();
    let disputed = widths.iter().any(|width| *width > 1);
    let rows: Vec<usize> = widths.iter().map(|width| width.saturating_sub(1)).collect();
    let mixes = widths.iter().try_fold(1_u64, |all, width| all.checked_mul(*width as u64)).unwrap_or(u64::MAX);
    let all = if disputed { mixes.min(MOST_TRIES) } else { 0 };
    let mixed = (0..all).map(move |mut number| {
        let pick = widths.iter().map(|width| {
            let at = number % (*width).max(1) as u64;
            number /= (*width).max(1) as u64;
            at as usize
        });
        pick.collect()
    });
    let first = vec![0; segment.len()];
    std::iter::once(first).chain(disputed.then_some(rows)).chain(mixed)
}

fn attempt(
    appender: &Appender,
    segment: &[Vec<Digest>],
    pick: &[usize],
    root: &Digest,
) -> Option<(Appender, Vec<Digest>)> {
    let picked: Vec<Digest> = segment.iter().zip(pick).map(|(all, at)| all.get(*at).copied()).collect::<Option<_>>()?;
    let mut next = appender.clone();
    picked.iter().for_each(|hash| next.append(*hash));
    drop(next.take_changed());
    (next.root() == *root).then_some((next, picked))
}

/// Finds the evidence of each leaf: by its hash, else by the position that its row names.
fn assign(
    hashes: &[Option<Digest>],
    of_hash: &HashMap<Digest, Vec<(Option<u64>, Source)>>,
    tables: &Tables,
    (linked, outcomes, objected): (usize, &[OutcomeFound], usize),
    links: &[Link],
) -> Vec<Source> {
    let mut sources = vec![Source::Lost; hashes.len()];
    let mut used =
        Used { links: vec![false; linked], rows: vec![false; outcomes.len()], objections: vec![false; objected] };
    for ((position, hash), source) in (0_u64..).zip(hashes).zip(&mut sources) {
        let Some(known) = hash.as_ref().and_then(|hash| of_hash.get(hash)) else { continue };
        let free = |source: &Source| used.is_free(*source);
        let intents = tables.get(name::INTENT);
        let rank = |(at, source): &&(Option<u64>, Source)| {
            let own_id = match source {
                Source::Intent(row) => {
                    outcomes.get(*row).and_then(|found| found.facts.as_ref()).map(|facts| facts.intent)
                        == intents.digest(*row, "intent_id")
                }
                _ => true,
            };
            (own_id, *at == Some(position))
        };
        let best = known.iter().filter(|(_, source)| free(source)).max_by_key(rank).map(|(_, source)| *source);
        if let Some(best) = best {
            *source = best;
            used.mark(best);
        }
    }
    let (intents, directory) = (tables.get(name::INTENT), tables.get(name::DIRECTORY));
    let left_links = links.iter().enumerate().filter(|(index, _)| used.is_free(Source::Directory(*index)));
    let by_link = left_links
        .filter_map(|(index, link)| Some((directory.count(link.row?, "log_position")?, Source::Directory(index))));
    let left_rows = intents.indexes().filter(|row| used.is_free(Source::Intent(*row)));
    let by_row = left_rows.filter_map(|row| Some((intents.count(row, "log_position")?, Source::Intent(row))));
    let objections = tables.get(name::OBJECTION);
    let left = objections.indexes().map(Source::Objection).zip(objections.indexes());
    let left = left.filter(|(source, _)| used.is_free(*source));
    let by_objection = left.filter_map(|(source, row)| Some((objections.count(row, "log_position")?, source)));
    for (position, found) in by_link.chain(by_row).chain(by_objection).collect::<Vec<_>>() {
        let place = usize::try_from(position).ok().and_then(|at| sources.get_mut(at));
        if let Some(place) = place.filter(|place| **place == Source::Lost) {
            *place = found;
        }
    }
    sources
}

/// Which evidence is taken.
struct Used {
    links: Vec<bool>,
    rows: Vec<bool>,
    objections: Vec<bool>,
}

impl Used {
    fn at(&mut self, source: Source) -> Option<&mut bool> {
        match source {
            Source::Directory(link) => self.links.get_mut(link),
            Source::Intent(row) => self.rows.get_mut(row),
            Source::Objection(row) => self.objections.get_mut(row),
            Source::Lost => None,
        }
    }

    fn is_free(&self, source: Source) -> bool {
        let used = match source {
            Source::Directory(link) => self.links.get(link),
            Source::Intent(row) => self.rows.get(row),
            Source::Objection(row) => self.objections.get(row),
            Source::Lost => None,
        };
        used == Some(&false)
    }

    fn mark(&mut self, source: Source) {
        if let Some(used) = self.at(source) {
            *used = true;
        }
    }
}
