//! Whose signatures an event has, and whether they are enough.
//!
//! An envelope holds its proposer's signature and as many others as decide, no more: one that is not needed
//! would be missed by nobody, and then an audit could not tell whether it had been there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::crypto::{EnvelopeSignature, PublicKey};
use crate::time::Timestamp;

use super::{Body, Directory, DirectoryError, DirectoryEvent};

/// The votes that an event has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Votes {
    /// The participants that signed it, each one vote however many of its keys did.
    pub given: BTreeSet<String>,
    /// How many must have signed it: more than two thirds; none for a revocation.
    pub needed: usize,
    /// How many there are.
    pub of: usize,
}

impl Votes {
    /// Whether they are enough.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.given.len() >= self.needed
    }
}

impl Body {
    /// Whether the admin's signature is all it needs, because it must not wait for others.
    fn is_revocation(&self) -> bool {
        matches!(self, Body::ActorRevoke { .. } | Body::NodeRetire { .. })
    }

    /// Whether nodes vote on it by themselves. Where people have to agree to something of another participant,
    /// their approvals are events of their own; only who is hosted comes in without any.
    fn is_for_nodes(&self) -> bool {
        !matches!(self, Body::Genesis { .. } | Body::ParticipantAdd { .. })
    }
}

impl Directory {
    /// The participants that have a vote.
    pub fn voters(&self) -> impl Iterator<Item = &str> {
        self.participants.iter().filter(|(_, found)| found.voting).map(|(name, _)| name.as_str())
    }

    pub(super) fn has_vote(&self, participant: &str) -> bool {
        self.participants.get(participant).is_some_and(|found| found.voting)
    }

    /// Whether more than two thirds of those who have a vote are among these: 3a > 2v.
    pub(super) fn is_decided(&self, approvals: &BTreeSet<String>) -> bool {
        let given = self.voters().filter(|voter| approvals.contains(*voter)).count();
        given * 3 > self.voters().count() * 2
    }

    /// The votes that an event's valid signatures are; what is nobody's vote counts for nothing.
    #[must_use]
    pub fn votes(&self, event: &DirectoryEvent) -> Votes {
        let valid = event.envelope.signatures.iter().filter_map(|signature| self.vote(event, signature));
        self.counted(&event.body, valid.collect())
    }

    fn counted(&self, body: &Body, given: BTreeSet<String>) -> Votes {
        let of = self.voters().count();
        Votes { given, needed: if body.is_revocation() { 0 } else { of * 2 / 3 + 1 }, of }
    }

    /// The event with its proposer's signature and the votes that decide, without any other signature.
    #[must_use]
    pub fn settled(&self, event: &DirectoryEvent) -> DirectoryEvent {
        let mut settled = event.clone();
        let Ok(key) = self.proposers_key(event) else { return settled };
        let (own, others): (Vec<_>, Vec<_>) =
            settled.envelope.signatures.drain(..).partition(|signature| signature.keyid == key.to_string());
        let has = own.iter().find_map(|signature| self.vote(event, signature));
        let mut votes: BTreeMap<String, EnvelopeSignature> = BTreeMap::new();
        for signature in others {
            if let Some(voter) = self.vote(event, &signature).filter(|voter| has.as_ref() != Some(voter)) {
                votes.entry(voter).or_insert(signature);
            }
        }
        let missing = self.counted(&event.body, BTreeSet::new()).needed.saturating_sub(usize::from(has.is_some()));
        settled.envelope.signatures = own.into_iter().chain(votes.into_values().take(missing)).collect();
        settled
    }

    /// What a node checks before it countersigns by itself. Votes that are still missing are nothing to it.
    ///
    /// # Errors
    /// [`DirectoryError`] says why it must not.
    pub fn countersignable(
        &self,
        event: &DirectoryEvent,
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), DirectoryError> {
        self.check_chain(event)?;
        if event.time > now.plus(tolerance) {
            return Err(DirectoryError::Chain(format!("its time {} is ahead of {now}", event.time)));
        }
        if !event.body.is_for_nodes() {
            return Err(DirectoryError::Right(format!("{} is for people to sign", event.body.kind())));
        }
        let key = self.proposers_key(event)?;
        if !event.envelope.verified_by(&key) {
            return Err(DirectoryError::Signature(event.by.to_string()));
        }
        if let Body::ParticipantJoin(join) = &event.body {
            // Who joins says the time; an old one would make an expired invitation good again.
            let tolerance = i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX);
            self.check_invitation(&join.invitation, event.time.max(now.plus_micros(-tolerance)))?;
        }
        self.clone().take(event)
    }

    /// Whether an event has its proposer's signature, the votes that it needs, and no others.
    pub(super) fn check_signatures(&self, event: &DirectoryEvent, key: &PublicKey) -> Result<(), DirectoryError> {
        if !event.envelope.verified_by(key) {
            return Err(DirectoryError::Signature(event.by.to_string()));
        }
        if let Body::ParticipantJoin(join) = &event.body {
            self.check_inviter(&join.invitation)?;
        }
        let mut given: BTreeSet<String> = BTreeSet::new();
        let mut own = 0;
        for signature in &event.envelope.signatures {
            let vote = self.vote(event, signature);
            if signature.keyid == key.to_string() {
                own = usize::from(vote.is_some());
            } else if vote.is_none() {
                return Err(DirectoryError::Votes(format!(
                    "the signature by key {} is nobody's vote",
                    signature.keyid
                )));
            }
            if let Some(voter) = vote.filter(|voter| !given.insert(voter.clone())) {
                return Err(DirectoryError::Votes(format!("{voter} signed it twice; a participant has one vote")));
            }
        }
        let votes = self.counted(&event.body, given);
        let (found, needed, of) = (votes.given.len(), votes.needed, votes.of);
        if !votes.reached() {
            return Err(DirectoryError::Votes(format!("{found} of {of} participants signed it, it needs {needed}")));
        }
        if found > needed.max(own) {
            return Err(DirectoryError::Votes(format!(
                "it has the signatures of {found} participants; {} decide, and no more are kept",
                needed.max(own)
            )));
        }
        Ok(())
    }

    /// Whose vote a signature of an event is, where it is valid.
    fn vote(&self, event: &DirectoryEvent, signature: &EnvelopeSignature) -> Option<String> {
        let (voter, key) = self.admins_vote(event, &signature.keyid).or_else(|| {
            let nodes = || self.nodes.iter().filter(|(name, _)| self.active_node(name).is_some());
            let found = nodes().find(|(_, node)| node.key.to_string() == signature.keyid)?;
            event.body.is_for_nodes().then(|| (found.1.participant.clone(), found.1.key))
        })?;
        (self.has_vote(&voter) && signature_verifies(event, signature, &key)).then_some(voter)
    }

    fn admins_vote(&self, event: &DirectoryEvent, keyid: &str) -> Option<(String, PublicKey)> {
        let id = self.keys.get(keyid)?;
        let actor = self.admin(id).ok().filter(|actor| actor.key.to_string() == keyid)?;
        let own = id.participant().to_string();
        let host = self.participants.get(&own).and_then(|found| found.hosted_by.clone());
        match host {
            // The only one with a vote speaks for whom it hosts, so that one node alone needs nobody else.
            Some(host) if *id == event.by && self.voters().eq([host.as_str()]) => Some((host, actor.key)),
            _ => Some((own, actor.key)),
        }
    }
}

/// Whether a signature is this key's, over what the event's proposer signed.
fn signature_verifies(event: &DirectoryEvent, signature: &EnvelopeSignature, key: &PublicKey) -> bool {
    crate::crypto::Signature::from_bytes(&signature.sig).is_ok_and(|parsed| key.verify(&event.envelope.pae(), &parsed))
}
