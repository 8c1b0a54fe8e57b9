//! Proof that a sequencer told two stories: two pieces of its signed log that cannot both be true.
//!
//! Whoever has the sequencer's public key can check it, whoever hands it over: [`Fork::check`] says what is proved.
//! An exhibit holds leaves without their openings and headers, so a proof tells nothing that readers of the record's
//! headers do not know.

use crate::crypto::Digest;
use crate::directory::Directory;
use crate::event::Header;
use crate::json::{Fields, Json, ShapeError, json};
use crate::log::{Checkpoint, leaf_hash};
use crate::outcome::Outcome;
use crate::project::origin;
use crate::received::Place;

use super::heads::HeadAt;
use super::message::{bytes, embedded, read_path};
use super::share::Share;

/// A signed head of a log, and what was shown under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// The signed head, a C2SP note.
    pub note: String,
    /// An outcome in the log; none where the heads alone contradict each other.
    pub leaf: Option<ExhibitLeaf>,
}

/// An outcome as it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExhibitLeaf {
    /// Position of the leaf, from 0.
    pub position: u64,
    /// The inclusion path to the root of the note.
    pub path: Vec<Digest>,
    /// The outcome's leaf, without openings, in the form in which outcomes are stored.
    pub outcome: Vec<u8>,
    /// The header of one of its events.
    pub header: Option<Vec<u8>>,
}

/// Two exhibits of one log that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// What whoever made the proof had.
    pub first: Exhibit,
    /// What contradicts it.
    pub second: Exhibit,
}

/// What a fork proves, told of its second exhibit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forked {
    /// The log that has two histories.
    pub log: String,
    /// Position of the second exhibit's leaf.
    pub position: Option<u64>,
    /// Its intent.
    pub intent: Option<Digest>,
    /// The event of a record that it shows.
    pub event: Option<HeadAt>,
    /// Whether it is that record, or an intent on it, that has two histories, and not the log around it alone.
    pub stops: bool,
    /// What is proved, for people.
    pub message: String,
}

/// An exhibit whose signature and path are good.
struct Shown {
    log: String,
    head: Checkpoint,
    leaf: Option<ShownLeaf>,
}

struct ShownLeaf {
    position: u64,
    hash: Digest,
    intent: Digest,
    event: Option<(HeadAt, Option<Digest>)>,
}

impl Exhibit {
    /// What a share shows of its log, with the header of one of its events.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn of_share(share: &Share, event: Option<&Digest>) -> Result<Self, String> {
        let mut headers = share.events.iter().map(|event| &event.header);
        let header = headers.find(|stored| Some(&Digest::of(stored)) == event).cloned();
        Exhibit::of_place(&share.place, &share.outcome, header)
    }

    /// What is shown by an outcome at its place.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn of_place(place: &Place, outcome: &[u8], header: Option<Vec<u8>>) -> Result<Self, String> {
        let outcome = Outcome::read(outcome)?.sealed().stored();
        let leaf = ExhibitLeaf { position: place.position, path: place.path.clone(), outcome, header };
        Ok(Exhibit { note: place.note.clone(), leaf: Some(leaf) })
    }

    fn shown(&self, directory: &Directory) -> Result<Shown, String> {
        let (parsed, _) = Checkpoint::parse(&self.note).map_err(|error| error.to_string())?;
        let network = directory.network();
        let log = parsed.origin.strip_prefix(&origin(&network, "")).ok_or("the note is of another network")?.to_owned();
        let node = log.split('/').next().unwrap_or_default().to_owned();
        let key =
            directory.nodes().get(&node).map(|found| found.key).ok_or_else(|| format!("there is no node {node}"))?;
        let head = Checkpoint::verify(&self.note, &parsed.origin, &key).map_err(|error| error.to_string())?;
        let leaf = self.leaf.as_ref().map(|leaf| leaf.shown(&network, &log, &node, &head)).transpose()?;
        Ok(Shown { log, head, leaf })
    }

    fn to_json(&self) -> Json {
        let leaf = self.leaf.as_ref().map(|leaf| {
            let path: Json = leaf.path.iter().map(|hash| Json::from(hash.to_string())).collect();
            let header = leaf.header.as_ref().map(|header| embedded(header));
            json!({"position": leaf.position, "path": path, "outcome": embedded(&leaf.outcome), "header": header})
        });
        json!({"note": self.note.as_str(), "leaf": leaf})
    }

    fn read(json: &Json) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(json, "fork")?;
        let note = fields.text("note")?.to_owned();
        let leaf = match fields.need("leaf")? {
            Json::Null => None,
            leaf => Some(ExhibitLeaf::read(leaf)?),
        };
        fields.finish()?;
        Ok(Exhibit { note, leaf })
    }
}

impl ExhibitLeaf {
    fn shown(&self, network: &Digest, log: &str, node: &str, head: &Checkpoint) -> Result<ShownLeaf, String> {
        let outcome = Outcome::read(&self.outcome)?;
        let hash = leaf_hash(&outcome.leaf());
        let (position, path) = (self.position, self.path.clone());
        let (log, note) = (log.to_owned(), String::new());
        let place = Place { log, position, path, note, size: head.size, root: head.root };
        if outcome.network != *network || outcome.reasons().is_some() || !place.proves(&hash) {
            return Err("its path does not lead from its leaf to the signed head".to_owned());
        }
        let event = self.header.as_ref().map(|stored| event_of(stored, &outcome, node)).transpose()?;
        Ok(ShownLeaf { position, hash, intent: outcome.intent, event })
    }

    fn read(json: &Json) -> Result<Self, ShapeError> {
        let mut fields = Fields::of(json, "fork/leaf")?;
        let header = match fields.need("header")? {
            Json::Null => None,
            header => Some(header.canonical().into_bytes()),
        };
        let leaf = ExhibitLeaf {
            position: fields.count("position")?,
            path: read_path(fields.array("path")?)?,
            outcome: bytes(&mut fields, "outcome")?,
            header,
        };
        fields.finish()?;
        Ok(leaf)
    }
}

/// The place of an event and the one that it continues; it must be the outcome's, on a record of the log's own node.
fn event_of(stored: &[u8], outcome: &Outcome, node: &str) -> Result<(HeadAt, Option<Digest>), String> {
    let header = Header::read(stored)?;
    let event = header.id();
    if !outcome.events.contains(&event) || header.network != outcome.network || header.record.node().as_str() != node {
        return Err(format!("event {event} is none of its outcome's, or of another node's record"));
    }
    Ok((HeadAt { record: header.record, epoch: header.epoch, seq: header.seq, event }, header.prev))
}

impl Fork {
    /// What the two exhibits prove against the node whose log they are of.
    ///
    /// # Errors
    /// Why they prove nothing, for people.
    pub fn check(&self, directory: &Directory) -> Result<Forked, String> {
        let (first, second) = (self.first.shown(directory)?, self.second.shown(directory)?);
        if first.log != second.log {
            return Err(format!("{} and {} are two logs", first.log, second.log));
        }
        let (stops, message) = contradiction(&first, &second).ok_or("the two can both be true")?;
        let leaf = second.leaf.as_ref();
        Ok(Forked {
            position: leaf.map(|leaf| leaf.position),
            intent: leaf.map(|leaf| leaf.intent),
            event: leaf.and_then(|leaf| leaf.event.clone()).map(|(event, _)| event),
            log: second.log,
            stops,
            message,
        })
    }

    pub(super) fn to_json(&self) -> Json {
        [&self.first, &self.second].into_iter().map(Exhibit::to_json).collect()
    }

    pub(super) fn read(exhibits: &[Json]) -> Result<Self, ShapeError> {
        let [first, second] = exhibits else {
            return Err(ShapeError::new("fork", "two exhibits", exhibits.len().to_string()));
        };
        Ok(Fork { first: Exhibit::read(first)?, second: Exhibit::read(second)? })
    }
}

/// Why two pieces of one log cannot both be true, and whether it is a record that has two histories.
fn contradiction(first: &Shown, second: &Shown) -> Option<(bool, String)> {
    let leaves = first.leaf.as_ref().zip(second.leaf.as_ref());
    let record = leaves.and_then(|(one, other)| two_events(one, other).or_else(|| two_ends(one, other)));
    let leaf = || leaves.and_then(|(one, other)| two_leaves(one, other));
    let heads = || {
        let differ = first.head.size == second.head.size && first.head.root != second.head.root;
        let (size, roots) = (first.head.size, (first.head.root, second.head.root));
        differ.then(|| format!("two heads of size {size}, with the roots {} and {}", roots.0, roots.1))
    };
    let stops = record.is_some();
    let what = record.or_else(leaf).or_else(heads)?;
    Some((stops, format!("{} has two histories: {what}; both are signed", second.log)))
}

fn two_events(one: &ShownLeaf, other: &ShownLeaf) -> Option<String> {
    let ((one, _), (other, prev)) = (one.event.as_ref()?, other.event.as_ref()?);
    let (record, seq) = (&other.record, other.seq);
    if (&one.record, one.epoch) != (record, other.epoch) {
        return None;
    }
    if one.seq == seq && one.event != other.event {
        return Some(format!("{record} has events {} and {} at seq {seq}", one.event, other.event));
    }
    let broken = one.seq.checked_add(1) == Some(seq) && *prev != Some(one.event);
    broken.then(|| {
        format!("{record} has event {} at seq {}, which event {} does not continue", one.event, one.seq, other.event)
    })
}

fn two_ends(one: &ShownLeaf, other: &ShownLeaf) -> Option<String> {
    let same = (one.hash, one.position) == (other.hash, other.position);
    let twice = one.intent == other.intent && !same;
    twice.then(|| format!("intent {} ended at {} and at {}", one.intent, one.position, other.position))
}

fn two_leaves(one: &ShownLeaf, other: &ShownLeaf) -> Option<String> {
    let twice = one.position == other.position && one.hash != other.hash;
    twice.then(|| format!("intents {} and {} stand at position {}", one.intent, other.intent, one.position))
}
