//! Which events the directory takes (rules version 1).

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::{EnvelopeError, PublicKey};
use crate::json::{JsonError, ShapeError};
use crate::names::{ActorId, NameError};
use crate::package::PackageError;

use super::{ADMIN, Actor, Body, Directory, DirectoryEvent, Founder, Membership, Node, Participant};

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The bytes are not canonical JSON.
    #[error("directory event: {0}")]
    Json(#[from] JsonError),
    /// The envelope is malformed.
    #[error("directory event: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The payload does not have an event's shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A name is malformed or reserved.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A manifest is refused.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// It does not continue the directory.
    #[error("it does not continue the directory: {0}")]
    Chain(String),
    /// It is not signed by whom it must be.
    #[error("it is not signed by {0}")]
    Signature(String),
    /// Its signatures are not the votes that it needs, or more than these.
    #[error("{0}")]
    Votes(String),
    /// Its proposer has not the right.
    #[error("{0}")]
    Right(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Invalid(String),
}

impl Directory {
    /// Starts a directory from its genesis.
    ///
    /// # Errors
    /// [`DirectoryError`]; every founder must have signed.
    pub fn found(event: &DirectoryEvent) -> Result<Self, DirectoryError> {
        Directory::found_as(event, true)
    }

    /// As [`Directory::found`]; without signatures only for the audit, where the head is proven otherwise.
    pub(crate) fn found_as(event: &DirectoryEvent, signed: bool) -> Result<Self, DirectoryError> {
        let Body::Genesis { title, founders, .. } = &event.body else {
            return Err(DirectoryError::Chain("the first event is not a genesis".to_owned()));
        };
        if event.seq != 1 || event.prev.is_some() || event.network.is_some() {
            return Err(DirectoryError::Chain("a genesis has seq 1, no network and no predecessor".to_owned()));
        }
        if founders.is_empty() || title.is_empty() || title.len() > 100 {
            return Err(DirectoryError::Invalid("a network needs a founder and a name of 1 to 100 bytes".to_owned()));
        }
        if signed && event.envelope.signatures.len() != founders.len() {
            let (founders, found) = (founders.len(), event.envelope.signatures.len());
            return Err(DirectoryError::Signature(format!("its {founders} founders alone; it has {found} signatures")));
        }
        let head = event.head();
        let mut directory = Directory {
            network: head,
            title: title.clone(),
            seq: 1,
            head,
            time: event.time,
            sequencer: founders.first().map(|founder| founder.node.0.to_string()).unwrap_or_default(),
            participants: BTreeMap::new(),
            nodes: BTreeMap::new(),
            actors: BTreeMap::new(),
            keys: BTreeMap::new(),
            contracts: BTreeMap::new(),
            packages: BTreeMap::new(),
            specs: BTreeMap::new(),
            invitations: BTreeSet::new(),
        };
        for founder in founders {
            directory.add_founder(event, founder, signed)?;
        }
        if !directory.actors.contains_key(&event.by) {
            return Err(DirectoryError::Right(format!("{} is no founder's admin", event.by)));
        }
        Ok(directory)
    }

    fn add_founder(&mut self, event: &DirectoryEvent, founder: &Founder, signed: bool) -> Result<(), DirectoryError> {
        let (actor, key) = &founder.admin;
        if signed && !event.envelope.verified_by(key) {
            return Err(DirectoryError::Signature(actor.to_string()));
        }
        if actor.participant() != founder.participant {
            return Err(DirectoryError::Invalid(format!("{actor} is not of participant {}", founder.participant)));
        }
        let participant = founder.participant.to_string();
        let added = Participant { voting: true, ..Participant::new(Membership::Active, 1) };
        let node = Node::new(participant.clone(), founder.node.1, Vec::new(), 1);
        if self.participants.insert(participant, added).is_some()
            || self.nodes.insert(founder.node.0.to_string(), node).is_some()
        {
            return Err(DirectoryError::Invalid("a founder or a node is named twice".to_owned()));
        }
        self.take_key(key, actor)?;
        let roles = BTreeSet::from([ADMIN.to_owned()]);
        self.actors.insert(actor.clone(), Actor { roles, key: *key, since: event.time, revoked: None, seq: 1 });
        Ok(())
    }

    /// Takes one more event.
    ///
    /// # Errors
    /// [`DirectoryError`]; the directory is then as before.
    pub fn apply(&mut self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
        self.apply_as(event, true)
    }

    /// As [`Directory::apply`]; without signature only for the audit, where the head is proven otherwise.
    pub(crate) fn apply_as(&mut self, event: &DirectoryEvent, signed: bool) -> Result<(), DirectoryError> {
        self.check_chain(event)?;
        let key = self.proposers_key(event)?;
        if signed {
            self.check_signatures(event, &key)?;
        }
        let mut next = self.clone();
        next.take(event)?;
        next.seq = event.seq;
        next.head = event.head();
        next.time = event.time;
        *self = next;
        Ok(())
    }

    pub(super) fn check_chain(&self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
        let fails = |what: String| Err(DirectoryError::Chain(what));
        if event.network != Some(self.network) {
            return fails("it is for another network".to_owned());
        }
        if event.seq != self.seq + 1 || event.prev != Some(self.head) {
            return fails(format!("it has seq {}, the next is {} after {}", event.seq, self.seq + 1, self.head));
        }
        if event.time < self.time {
            return fails(format!("its time {} is before the last event's, {}", event.time, self.time));
        }
        Ok(())
    }

    /// The key that its proposer signs an event with; who joins is no actor yet and brings it along.
    pub(super) fn proposers_key(&self, event: &DirectoryEvent) -> Result<PublicKey, DirectoryError> {
        match &event.body {
            Body::ParticipantJoin(join) if join.admin.0 == event.by => Ok(join.admin.1),
            Body::ParticipantJoin(join) => {
                Err(DirectoryError::Right(format!("{} joins for {}", event.by, join.participant)))
            }
            _ => Ok(self.admin(&event.by)?.key),
        }
    }

    /// The actor, where it may speak for its participant now.
    pub(super) fn admin(&self, actor: &ActorId) -> Result<&Actor, DirectoryError> {
        let found = self.actors.get(actor).filter(|found| found.revoked.is_none());
        let found =
            found.ok_or_else(|| DirectoryError::Right(format!("{actor} is no active actor of this network")))?;
        if !found.roles.contains(ADMIN) {
            return Err(DirectoryError::Right(format!(
                "{actor} has not the role {ADMIN}, which speaks for a participant"
            )));
        }
        self.need_active(actor.participant().as_str())?;
        Ok(found)
    }

    /// Whether `by` may decide about what belongs to `participant`.
    pub(super) fn speaks_for(&self, by: &ActorId, participant: &str) -> Result<(), DirectoryError> {
        let found = self.need_active(participant)?;
        let own = by.participant();
        if own.as_str() == participant || found.hosted_by.as_deref() == Some(own.as_str()) {
            return Ok(());
        }
        Err(DirectoryError::Right(format!("{by} does not speak for {participant}")))
    }

    pub(super) fn take(&mut self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
        match &event.body {
            Body::Genesis { .. } => Err(DirectoryError::Chain("a network has one genesis".to_owned())),
            Body::ParticipantAdd { participant, hosted_by } => {
                self.speaks_for(&event.by, hosted_by.as_str())?;
                let hosted_by = Some(hosted_by.to_string());
                let added = Participant { hosted_by, ..Participant::new(Membership::Active, event.seq) };
                match self.participants.insert(participant.to_string(), added) {
                    None => Ok(()),
                    Some(_) => Err(DirectoryError::Invalid(format!("participant {participant} is there already"))),
                }
            }
            Body::ParticipantJoin(join) => self.join(event, join),
            Body::ParticipantApprove { participant } => self.approve_participant(event, participant.as_str()),
            Body::ParticipantLeave { participant } => self.leave(event, participant.as_str()),
            Body::NodeAdd { participant, node } => {
                self.speaks_for(&event.by, participant.as_str())?;
                self.add_node(event, participant.as_str(), node)
            }
            Body::NodeAddresses { node, addresses } => {
                self.own_node(event, node.as_str())?.addresses.clone_from(addresses);
                Ok(())
            }
            Body::NodeRetire { node } => self.retire_node(event, node.as_str()),
            Body::ActorAdd { actor, roles, key } => {
                self.speaks_for(&event.by, actor.participant().as_str())?;
                self.take_key(key, actor)?;
                let added = Actor { roles: roles.clone(), key: *key, since: event.time, revoked: None, seq: event.seq };
                match self.actors.insert(actor.clone(), added) {
                    None => Ok(()),
                    Some(_) => Err(DirectoryError::Invalid(format!(
                        "actor {actor} is there already; `actor rotate` gives it a new key"
                    ))),
                }
            }
            Body::ActorRotate { actor, key } => {
                self.take_key(key, actor)?;
                let found = self.own_actor(event, actor)?;
                found.key = *key;
                found.since = event.time;
                found.seq = event.seq;
                Ok(())
            }
            Body::ActorRevoke { actor } => {
                let found = self.own_actor(event, actor)?;
                found.revoked = Some(event.time);
                found.seq = event.seq;
                Ok(())
            }
            Body::ContractPropose { manifest } => self.propose(event, manifest),
            Body::ContractApprove { package } => {
                let known = self.packages.get(package).cloned();
                let (name, version) =
                    known.ok_or_else(|| DirectoryError::Invalid(format!("package {package} was not proposed")))?;
                self.approve(event.by.participant().as_str(), event.seq, &name, &version)
            }
        }
    }

    /// Notes a new key. One that was taken away stays so: whoever has it may be why.
    pub(super) fn take_key(&mut self, key: &PublicKey, actor: &ActorId) -> Result<(), DirectoryError> {
        match self.keys.insert(key.to_string(), actor.clone()) {
            None => Ok(()),
            Some(owner) => Err(DirectoryError::Invalid(format!(
                "this key is or was {owner}'s; a key is never used again, not for another actor either"
            ))),
        }
    }

    fn own_actor(&mut self, event: &DirectoryEvent, actor: &ActorId) -> Result<&mut Actor, DirectoryError> {
        self.speaks_for(&event.by, actor.participant().as_str())?;
        let found =
            self.actors.get_mut(actor).ok_or_else(|| DirectoryError::Invalid(format!("actor {actor} is not known")))?;
        if found.revoked.is_some() {
            return Err(DirectoryError::Invalid(format!(
                "actor {actor} was revoked; add the person under another name"
            )));
        }
        Ok(found)
    }
}
