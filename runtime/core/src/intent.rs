//! A signed wish of an actor: how it is made, read, and verified at the door.
//!
//! What is signed hides what not everybody may see: the payload carries commitments, their openings travel
//! beside it. Only [`verify`] makes a [`VerifiedIntent`], and only a verified intent executes.

mod draft;
mod read;
mod stored;
mod verify;

use crate::crypto::{Digest, Salt};
use crate::json::{Json, Operation, json};
use crate::names::{ActorId, ContractName, MethodName, NodeName, RecordId, SpecName};
use crate::time::Timestamp;

pub use draft::{Draft, Submission};
pub use stored::StoredIntent;
pub use verify::{Door, Refusal, StoredError, Told, Whole, read_stored, sequencer, told, verify};
pub(crate) use verify::{Inspected, inspect};

/// DSSE payload type of an intent.
pub const INTENT_TYPE: &str = "application/vnd.lockstep.intent.v1+json";
/// Domain of the commitment to contract, method and arguments, or to raw changes.
pub const CALL_DOMAIN: &str = "lockstep.call.v1";
/// Domain of the commitment to one record and what is expected of it.
pub const RECORD_DOMAIN: &str = "lockstep.record.v1";

/// What the actor signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The network it is for.
    pub network: Digest,
    /// The node that orders its records.
    pub sequencer: NodeName,
    /// Who signs.
    pub actor: ActorId,
    /// With the actor, the intent's identity.
    pub nonce: Digest,
    /// When it is worth nothing any more.
    pub expires: Timestamp,
    /// Before when it must not be applied.
    pub not_before: Option<Timestamp>,
    /// Commitment to the call.
    pub call: Digest,
    /// Commitments to the records, in order.
    pub records: Vec<Digest>,
}

/// One change of an intent without a contract method.
#[derive(Clone, Debug, PartialEq)]
pub struct RawChange {
    /// Position among the intent's records.
    pub record: usize,
    /// The section changed.
    pub section: String,
    /// What is done to it.
    pub operation: Operation,
}

/// What is wished.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// A contract's method.
    Method {
        /// The contract.
        contract: ContractName,
        /// The method.
        method: MethodName,
        /// Its arguments.
        arguments: Json,
    },
    /// Changes, where the spec allows them.
    Changes {
        /// The spec of all the records.
        spec: SpecName,
        /// The changes, in order.
        changes: Vec<RawChange>,
    },
    /// Something that this node may not see; such an intent is never executed here.
    Hidden,
}

impl Call {
    /// What the commitment to the call commits to.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Call::Method { contract, method, arguments } => {
                json!({"contract": contract.as_str(), "method": method.as_str(), "arguments": arguments.clone()})
            }
            Call::Changes { spec, changes } => {
                let changes: Vec<Json> = changes.iter().map(raw_change_to_json).collect();
                json!({"spec": spec.as_str(), "changes": changes})
            }
            Call::Hidden => Json::Null,
        }
    }
}

fn raw_change_to_json(change: &RawChange) -> Json {
    let mut json = change.operation.to_json();
    if let Json::Object(object) = &mut json {
        object.insert("record".to_owned(), Json::from(change.record));
        object.insert("section".to_owned(), Json::from(change.section.as_str()));
    }
    json
}

/// A record that the intent is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The record.
    pub record: RecordId,
    /// The seq that it must be at, where the actor said so; 0 for a record that must not be there.
    pub expect: Option<u64>,
}

impl Target {
    /// What the commitment to the record commits to.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({"record": self.record.as_str(), "expect": self.expect})
    }
}

/// An intent that a known actor signed, its openings checked against what was signed.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedIntent {
    id: Digest,
    payload: Payload,
    call: Call,
    targets: Vec<Target>,
    envelope: Vec<u8>,
    openings: Vec<u8>,
}

impl VerifiedIntent {
    /// SHA-256 of the payload.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.id
    }

    /// What was signed.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What is wished.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Its records, in order; never empty. Where the call is hidden, only those that this node may know of.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The envelope to store, in canonical form.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// The openings to store, in canonical form.
    #[must_use]
    pub fn openings(&self) -> &[u8] {
        &self.openings
    }
}

/// The openings of one intent, with their salts; `None` where something is not for this node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Openings {
    pub(crate) call: Option<(Salt, Call)>,
    pub(crate) targets: Vec<Option<(Salt, Target)>>,
}

impl Openings {
    /// Whether nothing is left out.
    pub(crate) fn complete(&self) -> bool {
        self.call.is_some() && self.targets.iter().all(Option::is_some)
    }

    fn into_opened(self) -> (Call, Vec<Target>) {
        let targets = self.targets.into_iter().flatten().map(|(_, target)| target).collect();
        (self.call.map_or(Call::Hidden, |(_, call)| call), targets)
    }
}
