//! The signed events of the directory: their shape, how they are made and read.

use crate::crypto::{ALGORITHMS, Digest, Envelope, EnvelopeSignature, Signer, SignerError};
use crate::json::{Fields, Json, Limits, json};
use crate::names::ActorId;
use crate::package::FORMAT;
use crate::time::Timestamp;

use super::body::Body;
use super::rules::DirectoryError;

/// DSSE payload type of a directory event.
pub const DIRECTORY_TYPE: &str = "application/vnd.lockstep.directory.v1+json";

/// An event, read but not yet judged.
#[derive(Clone, Debug)]
pub struct DirectoryEvent {
    /// The network; `None` in the genesis only.
    pub network: Option<Digest>,
    /// Position in the directory, from 1.
    pub seq: u64,
    /// The head before; `None` in the genesis only.
    pub prev: Option<Digest>,
    /// When, by the proposer's clock.
    pub time: Timestamp,
    /// Who proposes it.
    pub by: ActorId,
    /// What it does.
    pub body: Body,
    /// The envelope that it came in.
    pub envelope: Envelope,
}

impl DirectoryEvent {
    /// Makes and signs an event.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(
        after: Option<(Digest, u64, Digest)>,
        time: Timestamp,
        by: &ActorId,
        body: Body,
        signer: &dyn Signer,
    ) -> Result<Self, SignerError> {
        let (network, seq, prev) = match after {
            None => (None, 1, None),
            Some((network, seq, head)) => (Some(network), seq + 1, Some(head)),
        };
        let payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": network.map(|id| id.to_string()), "seq": seq,
            "prev": prev.map(|head| head.to_string()), "time": time.to_string(), "by": by.as_str(),
            "kind": body.kind(), "body": body.to_json()
        });
        let envelope = Envelope::sign(DIRECTORY_TYPE, payload.canonical().into_bytes(), signer)?;
        Ok(DirectoryEvent { network, seq, prev, time, by: by.clone(), body, envelope })
    }

    /// Reads an event from its stored envelope.
    ///
    /// # Errors
    /// What is malformed, or of a format that this version does not know.
    pub fn read(stored: &[u8]) -> Result<Self, DirectoryError> {
        let limits = Limits { bytes: 16 << 20, ..Limits::default() };
        let document = Json::parse_canonical(stored, &limits)?;
        let envelope = Envelope::from_json(&document)?;
        if envelope.payload_type != DIRECTORY_TYPE {
            return Err(DirectoryError::Invalid(format!(
                "payload type {} is not a directory event's",
                envelope.payload_type
            )));
        }
        let payload = Json::parse_canonical(&envelope.payload, &limits)?;
        let mut fields = Fields::of(&payload, "directory event")?;
        let format = fields.count("format")?;
        let algorithms = fields.text("algorithms")?;
        if format != FORMAT || algorithms != ALGORITHMS {
            return Err(DirectoryError::Invalid(format!(
                "format {format} with {algorithms} is not known to this version"
            )));
        }
        let network = fields.nullable_parsed("network", Digest::parse)?;
        let seq = fields.count("seq")?;
        let prev = fields.nullable_parsed("prev", Digest::parse)?;
        let time = fields.parsed("time", Timestamp::parse)?;
        let by = fields.parsed("by", ActorId::parse)?;
        let kind = fields.text("kind")?;
        let body = Body::from_json(kind, fields.need("body")?)?;
        fields.finish()?;
        Ok(DirectoryEvent { network, seq, prev, time, by, body, envelope })
    }

    /// Signs what the proposer signed, for a participant that agrees; whose vote that is, is the directory's to say.
    ///
    /// # Errors
    /// The signer's.
    pub fn countersign(&self, signer: &dyn Signer) -> Result<EnvelopeSignature, SignerError> {
        self.envelope.signature(signer)
    }

    /// Adds a signature; an older one that claims the same key is replaced. The head stays the same.
    pub fn add_signature(&mut self, signature: EnvelopeSignature) {
        self.envelope.signatures.retain(|known| known.keyid != signature.keyid);
        self.envelope.signatures.push(signature);
    }

    /// The directory's head after this event.
    #[must_use]
    pub fn head(&self) -> Digest {
        Digest::of(&self.envelope.payload)
    }

    /// The bytes to store.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.envelope.to_json().canonical().into_bytes()
    }
}
