//! Countersigned heads: how far a node has followed records, under its own signature.
//!
//! Nodes that follow the same record tell each other what they were told. So an event that was kept from one of them
//! is missed, and two events for one (record, epoch, seq) meet.

use crate::crypto::{ALGORITHMS, Digest, Envelope, PublicKey, Signer, SignerError};
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::names::{NodeName, RecordId};
use crate::package::FORMAT;
use crate::time::Timestamp;

/// DSSE payload type of countersigned heads.
pub const HEADS_TYPE: &str = "application/vnd.lockstep.heads.v1+json";

/// The event that a node has at one place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadAt {
    /// The record.
    pub record: RecordId,
    /// The epoch of its sequencer.
    pub epoch: u64,
    /// The position in its chain.
    pub seq: u64,
    /// The event.
    pub event: Digest,
}

/// What a node has of records that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The network.
    pub network: Digest,
    /// Who says so.
    pub node: NodeName,
    /// When.
    pub time: Timestamp,
    /// The last event of each record.
    pub heads: Vec<HeadAt>,
    /// Signed heads of the logs that they come from, C2SP notes: two readers of a log hold against each other what each
    /// was shown.
    pub notes: Vec<String>,
}

impl Heads {
    /// Signs the heads with the node's key; the envelope as it travels.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignerError> {
        let heads: Json = self
            .heads
            .iter()
            .map(|head| {
                json!({"record": head.record.as_str(), "epoch": head.epoch, "seq": head.seq, "event": head.event.to_string()})
            })
            .collect();
        let payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(), "node": self.node.as_str(),
            "time": self.time.to_string(), "heads": heads, "notes": self.notes.iter().map(|note| Json::from(note.as_str())).collect::<Json>()
        });
        let envelope = Envelope::sign(HEADS_TYPE, payload.canonical().into_bytes(), signer)?;
        Ok(envelope.to_json().canonical().into_bytes())
    }

    /// Reads heads that the node with this key signed.
    ///
    /// # Errors
    /// What is malformed or not signed by it, for people.
    pub fn verify(stored: &[u8], key: &PublicKey) -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let limits = Limits { bytes: stored.len().max(1), ..Limits::default() };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| words(&error))?;
        let envelope = Envelope::from_json(&json).map_err(|error| words(&error))?;
        if envelope.payload_type != HEADS_TYPE {
            return Err(format!("payload type {} is not {HEADS_TYPE}", envelope.payload_type));
        }
        if envelope.signatures.len() != 1 || !envelope.verified_by(key) {
            return Err("the signature is not the node's".to_owned());
        }
        let payload = Json::parse_canonical(&envelope.payload, &limits).map_err(|error| words(&error))?;
        read(&payload).map_err(|error| words(&error))
    }
}

fn read(json: &Json) -> Result<Heads, ShapeError> {
    let mut fields = Fields::of(json, "heads")?;
    let (format, algorithms) = (fields.count("format")?, fields.text("algorithms")?);
    if format != FORMAT || algorithms != ALGORITHMS {
        return Err(ShapeError::new("heads", "a known format", format!("format {format} with {algorithms}")));
    }
    let mut heads = Vec::new();
    for head in fields.array("heads")? {
        let mut inner = Fields::of(head, "heads/heads")?;
        heads.push(HeadAt {
            record: inner.parsed("record", RecordId::parse)?,
            epoch: inner.count("epoch")?,
            seq: inner.count("seq")?,
            event: inner.parsed("event", Digest::parse)?,
        });
        inner.finish()?;
    }
    let notes = fields.array("notes")?.iter().map(|note| note.as_str().map(str::to_owned)).collect::<Option<_>>();
    let read = Heads {
        notes: notes.ok_or_else(|| ShapeError::new("heads/notes", "signed notes", "something else"))?,
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        time: fields.parsed("time", Timestamp::parse)?,
        heads,
    };
    fields.finish()?;
    Ok(read)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::LocalSigner;

    #[test]
    fn heads_are_read_only_from_the_node_that_signed_them() {
        let (own, other) = (LocalSigner::from_secret([1; 32]), LocalSigner::from_secret([2; 32]));
        let heads = Heads {
            network: Digest::of(b"network"),
            node: NodeName::parse("acme").unwrap(),
            time: Timestamp::parse("2026-11-26T10:00:00.000000Z").unwrap(),
            heads: vec![HeadAt {
                record: RecordId::parse("acme:sale-1").unwrap(),
                epoch: 1,
                seq: 4,
                event: Digest::of(b"event"),
            }],
            notes: vec!["a note".to_owned()],
        };
        let signed = heads.sign(&own).unwrap();
        assert_eq!(Heads::verify(&signed, &own.public_key()), Ok(heads));
        assert!(Heads::verify(&signed, &other.public_key()).is_err());
    }
}
