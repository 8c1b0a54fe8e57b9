//! The body of `participant.join`: whom an invitation brings, with which first actor and first node.

use crate::crypto::{Digest, PublicKey};
use crate::json::{Fields, Json, json};
use crate::names::{ActorId, NodeName, ParticipantName};

use super::address::{Address, addresses_to_json, read_addresses};
use super::invitation::Invitation;
use super::rules::DirectoryError;

/// A node to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// Its name, never used before.
    pub name: NodeName,
    /// Its key.
    pub key: PublicKey,
    /// Where it can be reached; none for a node that only dials.
    pub addresses: Vec<Address>,
}

impl NewNode {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, DirectoryError> {
        Ok(NewNode {
            name: fields.parsed("node", NodeName::parse)?,
            key: fields.parsed("public_key", PublicKey::parse)?,
            addresses: read_addresses(fields)?,
        })
    }
}

/// A participant that asks to take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The invitation that it was given.
    pub invitation: Invitation,
    /// The invitation's secret, opened.
    pub secret: [u8; 32],
    /// The participant, as the invitation names it.
    pub participant: ParticipantName,
    /// Its first actor, who signs the event, and the key.
    pub admin: (ActorId, PublicKey),
    /// Its first node.
    pub node: NewNode,
}

impl Join {
    pub(super) fn to_json(&self) -> Json {
        json!({
            "invitation": self.invitation.envelope.to_json(),
            "secret": Digest::from_bytes(self.secret).to_string(),
            "participant": self.participant.as_str(),
            "admin": {"actor": self.admin.0.as_str(), "public_key": self.admin.1.to_string()},
            "node": {
                "node": self.node.name.as_str(), "public_key": self.node.key.to_string(),
                "addresses": addresses_to_json(&self.node.addresses)
            }
        })
    }

    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, DirectoryError> {
        let invitation = Invitation::read(fields.need("invitation")?)?;
        let secret = *fields.parsed("secret", Digest::parse)?.as_bytes();
        let participant = fields.parsed("participant", ParticipantName::parse)?;
        let mut admin = fields.nested("admin")?;
        let admin_is = (admin.parsed("actor", ActorId::parse)?, admin.parsed("public_key", PublicKey::parse)?);
        admin.finish()?;
        let mut node = fields.nested("node")?;
        let node_is = NewNode::read(&mut node)?;
        node.finish()?;
        Ok(Join { invitation, secret, participant, admin: admin_is, node: node_is })
    }
}
