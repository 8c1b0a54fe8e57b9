//! Which events the directory takes (rules version 1).

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::{EnvelopeError, PublicKey};
use crate::json::{JsonError, ShapeError};
use crate::names::{ActorId, NameError};
use crate::package::{Manifest, PackageError};

use super::{ADMIN, Actor, Body, Contract, Directory, DirectoryEvent, Founder, Node, Participant, Status};

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
        check_signers(event, founders.len())?;
        let head = event.head();
        let mut directory = Directory {
            network: head,
            title: title.clone(),
            seq: 1,
            head,
            time: event.time,
            participants: BTreeMap::new(),
            nodes: BTreeMap::new(),
            actors: BTreeMap::new(),
            keys: BTreeMap::new(),
            contracts: BTreeMap::new(),
            packages: BTreeMap::new(),
            specs: BTreeMap::new(),
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
        let added = Participant { voting: true, hosted_by: None, seq: 1 };
        let node = Node { participant: participant.clone(), key: founder.node.1, incarnation: 1, seq: 1 };
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
        check_signers(event, 1)?;
        let proposer = self.admin(&event.by)?;
        if signed && !event.envelope.verified_by(&proposer.key) {
            return Err(DirectoryError::Signature(event.by.to_string()));
        }
        let mut next = self.clone();
        next.take(event)?;
        next.seq = event.seq;
        next.head = event.head();
        next.time = event.time;
        *self = next;
        Ok(())
    }

    fn check_chain(&self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
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

    /// The actor, where it may speak for its participant now.
    fn admin(&self, actor: &ActorId) -> Result<&Actor, DirectoryError> {
        let found = self.actors.get(actor).filter(|found| found.revoked.is_none());
        let found =
            found.ok_or_else(|| DirectoryError::Right(format!("{actor} is no active actor of this network")))?;
        if !found.roles.contains(ADMIN) {
            return Err(DirectoryError::Right(format!(
                "{actor} has not the role {ADMIN}, which speaks for a participant"
            )));
        }
        Ok(found)
    }

    /// Whether `by` may decide about what belongs to `participant`.
    fn speaks_for(&self, by: &ActorId, participant: &str) -> Result<(), DirectoryError> {
        let found = self
            .participants
            .get(participant)
            .ok_or_else(|| DirectoryError::Invalid(format!("participant {participant} is not known")))?;
        let own = by.participant();
        if own.as_str() == participant || found.hosted_by.as_deref() == Some(own.as_str()) {
            return Ok(());
        }
        Err(DirectoryError::Right(format!("{by} does not speak for {participant}")))
    }

    fn take(&mut self, event: &DirectoryEvent) -> Result<(), DirectoryError> {
        match &event.body {
            Body::Genesis { .. } => Err(DirectoryError::Chain("a network has one genesis".to_owned())),
            Body::ParticipantAdd { participant, hosted_by } => {
                self.speaks_for(&event.by, hosted_by.as_str())?;
                let added = Participant { voting: false, hosted_by: Some(hosted_by.to_string()), seq: event.seq };
                match self.participants.insert(participant.to_string(), added) {
                    None => Ok(()),
                    Some(_) => Err(DirectoryError::Invalid(format!("participant {participant} is there already"))),
                }
            }
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
    fn take_key(&mut self, key: &PublicKey, actor: &ActorId) -> Result<(), DirectoryError> {
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

    fn propose(&mut self, event: &DirectoryEvent, manifest: &Manifest) -> Result<(), DirectoryError> {
        self.check_manifest(manifest)?;
        let (name, version) = (manifest.name.clone(), manifest.version);
        let proposed = Contract {
            manifest: std::sync::Arc::new(manifest.clone()),
            status: Status::Proposed,
            approvals: BTreeSet::new(),
            seq: event.seq,
        };
        self.contracts.entry(name.clone()).or_default().insert(version, proposed);
        self.packages.insert(manifest.digest(), (name, version));
        Ok(())
    }

    /// Whether a manifest could be proposed now; also what `contract plan` asks.
    ///
    /// # Errors
    /// [`DirectoryError::Invalid`] says with what it collides.
    pub fn check_manifest(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        if let Some(versions) = self.contracts.get(&manifest.name) {
            if versions.contains_key(&manifest.version) {
                return invalid(format!(
                    "{}@{} was proposed already; a version is never used twice",
                    manifest.name, manifest.version
                ));
            }
            if let Some((newest, _)) = versions.last_key_value().filter(|(newest, _)| **newest > manifest.version) {
                return invalid(format!("{}@{newest} is newer than {}", manifest.name, manifest.version));
            }
        }
        self.check_specs(manifest)
    }

    /// Whether the specs of a manifest go together with those in force.
    fn check_specs(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        for (name, spec) in &manifest.specs {
            match self.owner(name) {
                Some(owner) if *owner != manifest.name => return invalid(format!("spec {name} is contract {owner}'s")),
                _ => {}
            }
            for entry in self.specs.values().filter(|entry| entry.name == *name) {
                for (column, projection) in &spec.projections {
                    if let Some(known) =
                        entry.spec.projections.get(column).filter(|known| known.kind != projection.kind)
                    {
                        return invalid(format!(
                            "projected column {column} of {name} is {}; a column is never retyped, give the new one another name",
                            known.kind
                        ));
                    }
                    if entry.spec.sections.contains_key(column) {
                        return invalid(format!(
                            "projected column {column} of {name} has the name of an earlier version's section"
                        ));
                    }
                }
                if let Some(section) =
                    spec.sections.keys().find(|section| entry.spec.projections.contains_key(*section))
                {
                    return invalid(format!(
                        "section {section} of {name} has the name of an earlier version's projected column"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn approve(
        &mut self,
        participant: &str,
        seq: u64,
        name: &crate::names::ContractName,
        version: &crate::names::Version,
    ) -> Result<(), DirectoryError> {
        let participant = participant.to_owned();
        let voters: BTreeSet<&String> =
            self.participants.iter().filter(|(_, found)| found.voting).map(|(name, _)| name).collect();
        if !voters.contains(&participant) {
            return Err(DirectoryError::Right(format!("participant {participant} has no vote")));
        }
        let votes = voters.len();
        let Some(found) = self.contracts.get_mut(name).and_then(|versions| versions.get_mut(version)) else {
            return Err(DirectoryError::Invalid(format!("{name}@{version} was not proposed")));
        };
        if !found.approvals.insert(participant.clone()) {
            return Err(DirectoryError::Invalid(format!("{participant} has approved {name}@{version} already")));
        }
        found.seq = seq;
        // More than two thirds of the participants, one vote each.
        if found.approvals.len() * 3 <= votes * 2 || found.status != Status::Proposed {
            return Ok(());
        }
        found.status = Status::Active;
        let manifest = found.manifest.clone();
        self.check_activation(&manifest)?;
        for (spec, body) in &manifest.specs {
            self.specs.entry(body.digest()).or_insert_with(|| Directory::entry(spec, body, &manifest, seq));
        }
        for (other, earlier) in self.contracts.get_mut(name).into_iter().flatten() {
            if other < version && version.compatible_with(other) && earlier.status == Status::Active {
                earlier.status = Status::Superseded;
                earlier.seq = seq;
            }
        }
        Ok(())
    }

    /// What was fine when it was proposed need not be any more: others may have become active first.
    fn check_activation(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let (name, version) = (&manifest.name, &manifest.version);
        let newer = self.contracts.get(name).into_iter().flatten().find(|(other, found)| {
            *other > version && other.compatible_with(version) && found.status != Status::Proposed
        });
        if let Some((newer, _)) = newer {
            return Err(DirectoryError::Invalid(format!("{name}@{newer} took over before {version}")));
        }
        self.check_specs(manifest)
    }
}

/// As many signatures as there are signers: one more would be stored, and belong to nothing.
fn check_signers(event: &DirectoryEvent, signers: usize) -> Result<(), DirectoryError> {
    match event.envelope.signatures.len() {
        found if found == signers => Ok(()),
        found => Err(DirectoryError::Signature(format!("{signers} alone; it has {found} signatures"))),
    }
}
