//! An objection as its node signs it, for all who follow the record: which outcome of whose log it is about, and what
//! is wrong with it. What proves it stands beside it: the share as it came, which stays here, or a proof of a fork,
//! which anybody may check.
//!
//! A statement holds nothing that a reader of the record's headers does not know: neither content nor method, and of
//! the evidence a digest over bytes that hold a salt.

use crate::crypto::{ALGORITHMS, Digest, Envelope, PublicKey, Salt, Signer, SignerError};
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::names::{NodeName, RecordId};
use crate::package::FORMAT;
use crate::time::Timestamp;

use super::compare::Complaint;
use super::fork::Fork;
use super::message::{read_shares, shares_to_json};
use super::share::Share;

/// DSSE payload type of objections.
pub const OBJECTION_TYPE: &str = "application/vnd.lockstep.objection.v1+json";

/// What a node says about an outcome of another node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The network.
    pub network: Digest,
    /// Who objects.
    pub node: NodeName,
    /// When.
    pub time: Timestamp,
    /// What is wrong.
    pub complaint: Complaint,
    /// The log that the outcome stands in, NODE/INCARNATION.
    pub log: String,
    /// Its position there; none where two heads contradict each other.
    pub position: Option<u64>,
    /// The intent.
    pub intent: Option<Digest>,
    /// The record concerned.
    pub record: Option<RecordId>,
    /// The event concerned: epoch, seq and id.
    pub event: Option<(u64, u64, Digest)>,
    /// Digest of the evidence as it is stored; none where this ends an objection.
    pub evidence: Option<Digest>,
    /// The objection that this ends: what was wrong was found to be right.
    pub withdraws: Option<Digest>,
}

/// A statement in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedObjection {
    /// What it says.
    pub statement: Statement,
    /// SHA-256 of the signed payload.
    pub id: Digest,
    envelope: Envelope,
}

/// What an objection rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The share as it came, with what is wrong, for people. The salt has its digest tell nothing.
    Share {
        /// The share.
        share: Box<Share>,
        /// What is wrong.
        message: String,
        /// 32 random bytes.
        salt: Salt,
    },
    /// Two pieces of one log that contradict each other.
    Fork(Box<Fork>),
}

impl Complaint {
    /// Every complaint.
    pub const ALL: [Complaint; 8] = [
        Complaint::Fork,
        Complaint::Chain,
        Complaint::Unsigned,
        Complaint::Backdated,
        Complaint::Rights,
        Complaint::Opening,
        Complaint::Execution,
        Complaint::Blocked,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Complaint::Fork => "fork",
            Complaint::Chain => "chain",
            Complaint::Unsigned => "unsigned",
            Complaint::Backdated => "backdated",
            Complaint::Rights => "rights",
            Complaint::Opening => "opening",
            Complaint::Execution => "execution",
            Complaint::Blocked => "blocked",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = Complaint::ALL.into_iter().find(|complaint| complaint.as_str() == text);
        found.ok_or_else(|| format!("{text} is no kind of objection"))
    }
}

impl Statement {
    /// Signs it with the node's key.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(self, signer: &dyn Signer) -> Result<SignedObjection, SignerError> {
        let payload = self.to_json().canonical().into_bytes();
        let id = Digest::of(&payload);
        Ok(SignedObjection { statement: self, id, envelope: Envelope::sign(OBJECTION_TYPE, payload, signer)? })
    }

    fn to_json(&self) -> Json {
        let text = |digest: Option<&Digest>| digest.map(ToString::to_string);
        let event = self.event.as_ref();
        json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(),
            "node": self.node.as_str(), "time": self.time.to_string(), "kind": self.complaint.as_str(),
            "log": self.log.as_str(), "position": self.position, "intent": text(self.intent.as_ref()),
            "record": self.record.as_ref().map(|record| record.as_str()), "epoch": event.map(|(epoch, _, _)| *epoch),
            "seq": event.map(|(_, seq, _)| *seq), "event": text(event.map(|(_, _, event)| event)),
            "evidence": text(self.evidence.as_ref()), "withdraws": text(self.withdraws.as_ref())
        })
    }

    /// The node whose log it is about.
    #[must_use]
    pub fn sequencer(&self) -> &str {
        self.log.split('/').next().unwrap_or_default()
    }
}

impl SignedObjection {
    /// The envelope as it is stored and travels.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.envelope.to_json().canonical().into_bytes()
    }

    /// Reads an envelope, whoever signed it.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let limits = Limits { bytes: stored.len().max(1), ..Limits::default() };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| words(&error))?;
        let envelope = Envelope::from_json(&json).map_err(|error| words(&error))?;
        if envelope.payload_type != OBJECTION_TYPE || envelope.signatures.len() != 1 {
            return Err(format!("it is not one signature under {OBJECTION_TYPE}"));
        }
        let payload = Json::parse_canonical(&envelope.payload, &limits).map_err(|error| words(&error))?;
        let statement = read(&payload).map_err(|error| words(&error))?;
        Ok(SignedObjection { statement, id: Digest::of(&envelope.payload), envelope })
    }

    /// Whether this key signed it.
    #[must_use]
    pub fn verified_by(&self, key: &PublicKey) -> bool {
        self.envelope.verified_by(key)
    }

    /// The leaf that a node notes when it stores the objection, its own or another's; the id is over bytes that hold
    /// a salted digest, and the leaf never leaves the node.
    #[must_use]
    pub fn leaf(&self) -> Vec<u8> {
        let network = self.statement.network.to_string();
        json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "kind": "objection", "network": network,
            "objection": self.id.to_string(), "statement": Digest::of(&self.stored()).to_string()
        })
        .canonical()
        .into_bytes()
    }
}

fn read(json: &Json) -> Result<Statement, ShapeError> {
    let mut fields = Fields::of(json, "objection")?;
    let (format, algorithms) = (fields.count("format")?, fields.text("algorithms")?);
    if format != FORMAT || algorithms != ALGORITHMS {
        return Err(ShapeError::new("objection", "a known format", format!("format {format} with {algorithms}")));
    }
    let place = (fields.nullable_count("epoch")?, fields.nullable_count("seq")?);
    let event = match (place, fields.nullable_parsed("event", Digest::parse)?) {
        ((Some(epoch), Some(seq)), Some(event)) => Some((epoch, seq, event)),
        ((None, None), None) => None,
        _ => return Err(ShapeError::new("objection/event", "epoch, seq and event, or none of them", "some")),
    };
    let statement = Statement {
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        time: fields.parsed("time", Timestamp::parse)?,
        complaint: fields.parsed("kind", Complaint::parse)?,
        log: fields.text("log")?.to_owned(),
        position: fields.nullable_count("position")?,
        intent: fields.nullable_parsed("intent", Digest::parse)?,
        record: fields.nullable_parsed("record", RecordId::parse)?,
        event,
        evidence: fields.nullable_parsed("evidence", Digest::parse)?,
        withdraws: fields.nullable_parsed("withdraws", Digest::parse)?,
    };
    fields.finish()?;
    if statement.evidence.is_some() == statement.withdraws.is_some() || (event.is_some() && statement.record.is_none())
    {
        return Err(ShapeError::new("objection", "evidence, or what it withdraws", "both, or neither"));
    }
    Ok(statement)
}

impl Evidence {
    /// What is wrong, for people; of a fork what it proves, where it proves something.
    #[must_use]
    pub fn message(&self, directory: &crate::directory::Directory) -> Option<String> {
        match self {
            Evidence::Share { message, .. } => Some(message.clone()),
            Evidence::Fork(fork) => fork.check(directory).ok().map(|forked| forked.message),
        }
    }

    /// Whether it proves to everybody that a record has two histories.
    #[must_use]
    pub fn stops(&self, directory: &crate::directory::Directory) -> bool {
        matches!(self, Evidence::Fork(fork) if fork.check(directory).is_ok_and(|forked| forked.stops))
    }

    /// The evidence as it is stored; what the statement's digest is of.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        let json = match self {
            Evidence::Share { share, message, salt } => json!({
                "format": FORMAT, "message": message.as_str(), "salt": salt.to_string(),
                "shares": shares_to_json(std::slice::from_ref(share))
            }),
            Evidence::Fork(fork) => json!({"format": FORMAT, "fork": fork.to_json()}),
        };
        json.canonical().into_bytes()
    }

    /// Reads evidence as it is stored.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let limits = Limits { bytes: stored.len().max(1), depth: Limits::default().depth + 8 };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| error.to_string())?;
        let mut fields = Fields::of(&json, "evidence").map_err(|error| error.to_string())?;
        let read = read_evidence(&mut fields)?;
        fields.finish().map_err(|error| error.to_string())?;
        Ok(read)
    }
}

fn read_evidence(fields: &mut Fields<'_>) -> Result<Evidence, String> {
    let words = |error: ShapeError| error.to_string();
    if fields.count("format").map_err(words)? != FORMAT {
        return Err("it is of another format".to_owned());
    }
    if let Some(exhibits) = fields.optional_array("fork").map_err(words)? {
        return Ok(Evidence::Fork(Box::new(Fork::read(exhibits).map_err(words)?)));
    }
    let message = fields.text("message").map_err(words)?.to_owned();
    let salt = fields.parsed("salt", Salt::parse).map_err(words)?;
    let mut shares = read_shares(fields).map_err(|error| error.to_string())?;
    match (shares.pop(), shares.is_empty()) {
        (Some(share), true) => Ok(Evidence::Share { share: Box::new(share), message, salt }),
        _ => Err("it is not one share".to_owned()),
    }
}
