//! The signed events of the directory: their shape, how they are made and read.

use std::collections::BTreeSet;

use crate::crypto::{ALGORITHMS, Digest, Envelope, PublicKey, Signer, SignerError};
use crate::json::{Fields, Json, Limits, json};
use crate::names::{ActorId, NodeName, ParticipantName, RoleName};
use crate::package::{FORMAT, Manifest};
use crate::time::Timestamp;

use super::rules::DirectoryError;

/// DSSE payload type of a directory event.
pub const DIRECTORY_TYPE: &str = "application/vnd.lockstep.directory.v1+json";

/// A participant that founds a network: its first actor and its first node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// The participant.
    pub participant: ParticipantName,
    /// Its admin and the key.
    pub admin: (ActorId, PublicKey),
    /// Its node and the key.
    pub node: (NodeName, PublicKey),
}

/// What an event does.
#[derive(Clone, Debug)]
pub enum Body {
    /// Starts the network.
    Genesis {
        /// The network's name, for people.
        title: String,
        /// Random bytes that make its id unique.
        random: Digest,
        /// Who founds it; each signs.
        founders: Vec<Founder>,
    },
    /// Adds a participant that another one speaks for.
    ParticipantAdd {
        /// The new participant.
        participant: ParticipantName,
        /// Who speaks for it.
        hosted_by: ParticipantName,
    },
    /// Adds an actor.
    ActorAdd {
        /// The new actor.
        actor: ActorId,
        /// The roles that it may take on.
        roles: BTreeSet<String>,
        /// Its key.
        key: PublicKey,
    },
    /// Gives an actor a new key; the old one is worth nothing from then on.
    ActorRotate {
        /// The actor.
        actor: ActorId,
        /// The new key.
        key: PublicKey,
    },
    /// Takes an actor's key away for good.
    ActorRevoke {
        /// The actor.
        actor: ActorId,
    },
    /// Proposes a contract version.
    ContractPropose {
        /// Its manifest, whole, so that everybody knows specs and methods.
        manifest: Box<Manifest>,
    },
    /// Approves a proposed package for the signer's participant.
    ContractApprove {
        /// The package.
        package: Digest,
    },
}

impl Body {
    /// The word in payloads and tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Genesis { .. } => "genesis",
            Body::ParticipantAdd { .. } => "participant.add",
            Body::ActorAdd { .. } => "actor.add",
            Body::ActorRotate { .. } => "actor.rotate",
            Body::ActorRevoke { .. } => "actor.revoke",
            Body::ContractPropose { .. } => "contract.propose",
            Body::ContractApprove { .. } => "contract.approve",
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Body::Genesis { title, random, founders } => {
                let founders: Vec<Json> = founders.iter().map(founder_to_json).collect();
                json!({"title": title.as_str(), "random": random.to_string(), "founders": founders})
            }
            Body::ParticipantAdd { participant, hosted_by } => {
                json!({"participant": participant.as_str(), "hosted_by": hosted_by.as_str()})
            }
            Body::ActorAdd { actor, roles, key } => {
                let roles: Vec<Json> = roles.iter().map(|role| Json::from(role.as_str())).collect();
                json!({"actor": actor.as_str(), "roles": roles, "public_key": key.to_string()})
            }
            Body::ActorRotate { actor, key } => json!({"actor": actor.as_str(), "public_key": key.to_string()}),
            Body::ActorRevoke { actor } => json!({"actor": actor.as_str()}),
            Body::ContractPropose { manifest } => json!({"manifest": manifest.document().clone()}),
            Body::ContractApprove { package } => json!({"package": package.to_string()}),
        }
    }

    fn from_json(kind: &str, body: &Json) -> Result<Self, DirectoryError> {
        let mut fields = Fields::of(body, kind)?;
        let found = match kind {
            "genesis" => {
                let founders = fields.array("founders")?.iter().map(founder_from_json).collect::<Result<_, _>>()?;
                let random = fields.parsed("random", Digest::parse)?;
                Body::Genesis { title: fields.text("title")?.to_owned(), random, founders }
            }
            "participant.add" => Body::ParticipantAdd {
                participant: fields.parsed("participant", ParticipantName::parse)?,
                hosted_by: fields.parsed("hosted_by", ParticipantName::parse)?,
            },
            "actor.add" => {
                let actor = fields.parsed("actor", ActorId::parse)?;
                let mut roles = BTreeSet::new();
                for role in fields.optional_texts("roles")?.unwrap_or_default() {
                    roles.insert(RoleName::parse(role)?.to_string());
                }
                Body::ActorAdd { actor, roles, key: fields.parsed("public_key", PublicKey::parse)? }
            }
            "actor.rotate" => Body::ActorRotate {
                actor: fields.parsed("actor", ActorId::parse)?,
                key: fields.parsed("public_key", PublicKey::parse)?,
            },
            "actor.revoke" => Body::ActorRevoke { actor: fields.parsed("actor", ActorId::parse)? },
            "contract.propose" => {
                Body::ContractPropose { manifest: Box::new(Manifest::parse(fields.need("manifest")?)?) }
            }
            "contract.approve" => Body::ContractApprove { package: fields.parsed("package", Digest::parse)? },
            other => return Err(DirectoryError::Invalid(format!("event kind {other} is not known to this version"))),
        };
        fields.finish()?;
        Ok(found)
    }
}

fn founder_to_json(founder: &Founder) -> Json {
    json!({
        "participant": founder.participant.as_str(),
        "admin": {"actor": founder.admin.0.as_str(), "public_key": founder.admin.1.to_string()},
        "node": {"node": founder.node.0.as_str(), "public_key": founder.node.1.to_string()}
    })
}

fn founder_from_json(founder: &Json) -> Result<Founder, DirectoryError> {
    let mut fields = Fields::of(founder, "founder")?;
    let participant = fields.parsed("participant", ParticipantName::parse)?;
    let mut admin = fields.nested("admin")?;
    let admin_is = (admin.parsed("actor", ActorId::parse)?, admin.parsed("public_key", PublicKey::parse)?);
    admin.finish()?;
    let mut node = fields.nested("node")?;
    let node_is = (node.parsed("node", NodeName::parse)?, node.parsed("public_key", PublicKey::parse)?);
    node.finish()?;
    fields.finish()?;
    Ok(Founder { participant, admin: admin_is, node: node_is })
}

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
