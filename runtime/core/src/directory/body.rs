//! What events of the directory do, and how that is written in their payloads.

use std::collections::BTreeSet;

use crate::crypto::{Digest, PublicKey};
use crate::json::{Fields, Json, json};
use crate::names::{ActorId, NodeName, ParticipantName, RoleName};
use crate::package::Manifest;

use super::address::{Address, addresses_to_json, read_addresses};
use super::join::{Join, NewNode};
use super::rules::DirectoryError;

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
    /// Asks to take part, as an invitation allows.
    ParticipantJoin(Box<Join>),
    /// Approves a participant that asks to take part, for the signer's participant.
    ParticipantApprove {
        /// The proposed participant.
        participant: ParticipantName,
    },
    /// Takes a participant out, with its actors, its nodes and those that it hosts.
    ParticipantLeave {
        /// The participant.
        participant: ParticipantName,
    },
    /// Adds a node.
    NodeAdd {
        /// Whose node it is.
        participant: ParticipantName,
        /// The new node.
        node: Box<NewNode>,
    },
    /// Says where a node can be reached from now on.
    NodeAddresses {
        /// The node.
        node: NodeName,
        /// Its addresses, instead of those before.
        addresses: Vec<Address>,
    },
    /// Takes a node's key away for good.
    NodeRetire {
        /// The node.
        node: NodeName,
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
            Body::ParticipantJoin(_) => "participant.join",
            Body::ParticipantApprove { .. } => "participant.approve",
            Body::ParticipantLeave { .. } => "participant.leave",
            Body::NodeAdd { .. } => "node.add",
            Body::NodeAddresses { .. } => "node.addresses",
            Body::NodeRetire { .. } => "node.retire",
            Body::ActorAdd { .. } => "actor.add",
            Body::ActorRotate { .. } => "actor.rotate",
            Body::ActorRevoke { .. } => "actor.revoke",
            Body::ContractPropose { .. } => "contract.propose",
            Body::ContractApprove { .. } => "contract.approve",
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Body::Genesis { title, random, founders } => {
                let founders: Vec<Json> = founders.iter().map(founder_to_json).collect();
                json!({"title": title.as_str(), "random": random.to_string(), "founders": founders})
            }
            Body::ParticipantAdd { participant, hosted_by } => {
                json!({"participant": participant.as_str(), "hosted_by": hosted_by.as_str()})
            }
            Body::ParticipantJoin(join) => join.to_json(),
            Body::ParticipantApprove { participant } | Body::ParticipantLeave { participant } => {
                json!({"participant": participant.as_str()})
            }
            Body::NodeAdd { participant, node } => json!({
                "participant": participant.as_str(), "node": node.name.as_str(), "public_key": node.key.to_string(),
                "addresses": addresses_to_json(&node.addresses)
            }),
            Body::NodeAddresses { node, addresses } => {
                json!({"node": node.as_str(), "addresses": addresses_to_json(addresses)})
            }
            Body::NodeRetire { node } => json!({"node": node.as_str()}),
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

    pub(super) fn from_json(kind: &str, body: &Json) -> Result<Self, DirectoryError> {
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
            "participant.join" => Body::ParticipantJoin(Box::new(Join::read(&mut fields)?)),
            "participant.approve" => {
                Body::ParticipantApprove { participant: fields.parsed("participant", ParticipantName::parse)? }
            }
            "participant.leave" => {
                Body::ParticipantLeave { participant: fields.parsed("participant", ParticipantName::parse)? }
            }
            "node.add" => Body::NodeAdd {
                participant: fields.parsed("participant", ParticipantName::parse)?,
                node: Box::new(NewNode::read(&mut fields)?),
            },
            "node.addresses" => Body::NodeAddresses {
                node: fields.parsed("node", NodeName::parse)?,
                addresses: read_addresses(&mut fields)?,
            },
            "node.retire" => Body::NodeRetire { node: fields.parsed("node", NodeName::parse)? },
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
