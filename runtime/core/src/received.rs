//! What a node notes when it takes in what another node sequenced: one leaf of its own log for each outcome.
//!
//! The leaf names the place in the other's log and digests of all that was received, so that neither the history
//! of a replica can be thinned out nor what it was told be altered later. The digests are over bytes that hold
//! salts, so they tell nobody anything; and the leaf itself never leaves the node.

use crate::crypto::{ALGORITHMS, Digest};
use crate::event::EventOpenings;
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::log::{leaf_hash, verify_inclusion};
use crate::outcome::Outcome;
use crate::package::FORMAT;
use crate::seal::SealedEvent;

/// Most hashes of an inclusion path: one for each level of a tree of 2^63 leaves.
const LONGEST_PATH: usize = 64;

/// One outcome as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The network.
    pub network: Digest,
    /// The intent.
    pub intent: Digest,
    /// The log of the node that sequenced it.
    pub log: String,
    /// Position of the outcome's leaf in that log, from 0.
    pub position: u64,
    /// Hash of the outcome's leaf.
    pub leaf: Digest,
    /// Leaves that the note covers that proves it.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// Digest of the intent's openings as they are stored.
    pub openings: Digest,
    /// Digest of the outcome as it is stored.
    pub outcome: Digest,
    /// The events received, each with the digest of its openings as they are stored.
    pub events: Vec<(Digest, Digest)>,
}

/// Where an outcome stands in the log of the node that sequenced it, as anybody who has that node's key can check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log, NODE/INCARNATION.
    pub log: String,
    /// Position of the leaf, from 0.
    pub position: u64,
    /// The inclusion path.
    pub path: Vec<Digest>,
    /// The signed head that the path leads to, a C2SP note.
    pub note: String,
    /// Leaves that the note covers.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Place {
    /// Whether the path leads from this leaf to the root.
    #[must_use]
    pub fn proves(&self, leaf: &Digest) -> bool {
        self.path.len() <= LONGEST_PATH && verify_inclusion(leaf, self.position, self.size, &self.path, &self.root)
    }

    /// The path as it is stored: 32 bytes a hash.
    #[must_use]
    pub fn path_bytes(&self) -> Vec<u8> {
        self.path.iter().flat_map(|hash| hash.as_bytes().iter().copied()).collect()
    }
}

/// Reads a path as it is stored.
#[must_use]
pub fn read_path(stored: &[u8]) -> Option<Vec<Digest>> {
    let (hashes, rest) = stored.as_chunks::<32>();
    (rest.is_empty() && hashes.len() <= LONGEST_PATH)
        .then(|| hashes.iter().map(|bytes| Digest::from_bytes(*bytes)).collect())
}

impl Received {
    /// What is noted of an outcome with the events that came with it.
    #[must_use]
    pub fn of(outcome: &Outcome, openings: &[u8], events: &[SealedEvent], place: &Place) -> Self {
        Received {
            network: outcome.network,
            intent: outcome.intent,
            log: place.log.clone(),
            position: place.position,
            leaf: leaf_hash(&outcome.leaf()),
            size: place.size,
            root: place.root,
            openings: Digest::of(openings),
            outcome: Digest::of(&outcome.stored()),
            events: events.iter().map(|event| (event.id, Digest::of(&event.openings_stored))).collect(),
        }
    }

    /// The leaf as it is stored and hashed.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        let events: Vec<Json> = self
            .events
            .iter()
            .map(|(event, openings)| json!({"event": event.to_string(), "openings": openings.to_string()}))
            .collect();
        json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "kind": "received", "network": self.network.to_string(),
            "intent": self.intent.to_string(), "log": self.log.as_str(), "position": self.position,
            "leaf": self.leaf.to_string(), "size": self.size, "root": self.root.to_string(),
            "openings": self.openings.to_string(), "outcome": self.outcome.to_string(), "events": events
        })
        .canonical()
        .into_bytes()
    }

    /// Reads a leaf as it is stored.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let json = Json::parse_canonical(stored, &Limits::default()).map_err(|error| error.to_string())?;
        read(&json).map_err(|error| error.to_string())
    }

    /// Whether these openings of an event are those that were received.
    #[must_use]
    pub fn has(&self, event: &Digest, openings: &EventOpenings) -> bool {
        self.events.iter().any(|(known, digest)| known == event && *digest == Digest::of(&openings.stored()))
    }
}

fn read(json: &Json) -> Result<Received, ShapeError> {
    let mut fields = Fields::of(json, "leaf")?;
    let (format, algorithms) = (fields.count("format")?, fields.text("algorithms")?);
    if format != FORMAT || algorithms != ALGORITHMS || fields.text("kind")? != "received" {
        return Err(ShapeError::new(
            "leaf",
            "a receipt of a known format",
            format!("format {format} with {algorithms}"),
        ));
    }
    let mut events = Vec::new();
    for event in fields.array("events")? {
        let mut inner = Fields::of(event, "leaf/events")?;
        events.push((inner.parsed("event", Digest::parse)?, inner.parsed("openings", Digest::parse)?));
        inner.finish()?;
    }
    let received = Received {
        network: fields.parsed("network", Digest::parse)?,
        intent: fields.parsed("intent", Digest::parse)?,
        log: fields.text("log")?.to_owned(),
        position: fields.count("position")?,
        leaf: fields.parsed("leaf", Digest::parse)?,
        size: fields.count("size")?,
        root: fields.parsed("root", Digest::parse)?,
        openings: fields.parsed("openings", Digest::parse)?,
        outcome: fields.parsed("outcome", Digest::parse)?,
        events,
    };
    fields.finish()?;
    Ok(received)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_s_leaf_is_read_as_it_was_stored() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let received = Received {
            network: digest("network"),
            intent: digest("intent"),
            log: "acme/1".to_owned(),
            position: 7,
            leaf: digest("leaf"),
            size: 9,
            root: digest("root"),
            openings: digest("openings"),
            outcome: digest("outcome"),
            events: vec![(digest("event"), digest("body"))],
        };
        assert_eq!(Received::read(&received.stored()), Ok(received.clone()));
        let longer = String::from_utf8(received.stored()).unwrap().replace("\"kind\"", "\"extra\":1,\"kind\"");
        assert!(Received::read(longer.as_bytes()).is_err());
    }

    #[test]
    fn a_stored_path_is_whole_hashes_and_no_more_than_a_tree_can_have() {
        assert_eq!(read_path(&[7; 64]).map(|path| path.len()), Some(2));
        assert_eq!(read_path(&[7; 63]), None);
        assert_eq!(read_path(&[7; 65 * 32]), None);
    }
}
