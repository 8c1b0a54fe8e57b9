//! How participants come and go, and their nodes.

use std::collections::BTreeSet;

use crate::crypto::PublicKey;

use super::{
    ADMIN, Actor, Address, Directory, DirectoryError, DirectoryEvent, Join, Membership, NewNode, Node, Participant,
};

impl Participant {
    /// Without vote, host and approvals.
    pub(super) fn new(status: Membership, seq: u64) -> Self {
        Participant { status, voting: false, observer: false, hosted_by: None, approvals: BTreeSet::new(), seq }
    }
}

impl Node {
    pub(super) fn new(participant: String, key: PublicKey, addresses: Vec<Address>, seq: u64) -> Self {
        Node { participant, key, incarnation: 1, addresses, retired: None, seq }
    }

    /// The word in tables and on the command line.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.retired.is_some() { "retired" } else { "active" }
    }
}

impl Directory {
    /// The participant, where it takes part.
    pub(super) fn need_active(&self, participant: &str) -> Result<&Participant, DirectoryError> {
        let invalid = |what: &str| Err(DirectoryError::Invalid(format!("participant {participant} {what}")));
        match self.participants.get(participant) {
            None => invalid("is not known"),
            Some(found) => match found.status {
                Membership::Active => Ok(found),
                Membership::Proposed => invalid("is proposed, and not yet approved"),
                Membership::Left => invalid("has left"),
            },
        }
    }

    /// Takes in who was invited, as proposed; whoever invited it has approved it with that.
    pub(super) fn join(&mut self, event: &DirectoryEvent, join: &Join) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        let (terms, name) = (&join.invitation.terms, &join.participant);
        self.check_terms(&join.invitation, event.time)?;
        if terms.participant != *name {
            return invalid(format!("the invitation is for {}, not for {name}", terms.participant));
        }
        if !join.invitation.opened_by(&join.secret) {
            return invalid("this is not the secret of the invitation".to_owned());
        }
        let (actor, key) = &join.admin;
        if actor.participant() != *name {
            return invalid(format!("{actor} is not of participant {name}"));
        }
        if self.participants.contains_key(name.as_str()) {
            return invalid(format!("participant {name} is there already; a name is never used again"));
        }
        let added = Participant { observer: terms.observer, ..Participant::new(Membership::Proposed, event.seq) };
        self.participants.insert(name.to_string(), added);
        self.invitations.insert(join.invitation.digest());
        self.take_key(key, actor)?;
        let roles = BTreeSet::from([ADMIN.to_owned()]);
        let admin = Actor { roles, key: *key, since: event.time, revoked: None, seq: event.seq };
        self.actors.insert(actor.clone(), admin);
        self.add_node(event, name.as_str(), &join.node)?;
        self.note_approval(name.as_str(), terms.by.participant().as_str(), event.seq)
    }

    pub(super) fn approve_participant(&mut self, event: &DirectoryEvent, name: &str) -> Result<(), DirectoryError> {
        self.note_approval(name, event.by.participant().as_str(), event.seq)
    }

    /// Counts one participant's approval of another, and lets that one in where it is decided.
    pub(super) fn note_approval(&mut self, name: &str, approving: &str, seq: u64) -> Result<(), DirectoryError> {
        if !self.has_vote(approving) {
            return Err(DirectoryError::Right(format!("participant {approving} has no vote")));
        }
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        let Some(found) = self.participants.get_mut(name) else {
            return invalid(format!("participant {name} is not known"));
        };
        if found.status != Membership::Proposed {
            return invalid(format!("participant {name} is {}, and waits for no approval", found.status.as_str()));
        }
        if !found.approvals.insert(approving.to_owned()) {
            return invalid(format!("{approving} has approved {name} already"));
        }
        found.seq = seq;
        self.admit_decided(seq);
        Ok(())
    }

    /// Lets in every proposed participant that enough have approved. Who comes in has a vote at once, and may
    /// make another's approvals too few; so it is one after the other.
    fn admit_decided(&mut self, seq: u64) {
        let decided = |directory: &Directory| {
            let proposed = directory.participants.iter().filter(|(_, found)| found.status == Membership::Proposed);
            proposed.filter(|(_, found)| directory.is_decided(&found.approvals)).map(|(name, _)| name.clone()).next()
        };
        while let Some(found) = decided(self).and_then(|name| self.participants.get_mut(&name)) {
            found.status = Membership::Active;
            found.voting = !found.observer;
            found.seq = seq;
        }
    }

    /// Takes a participant out, and those that it hosts: nobody would speak for them any more.
    pub(super) fn leave(&mut self, event: &DirectoryEvent, name: &str) -> Result<(), DirectoryError> {
        self.speaks_for(&event.by, name)?;
        if self.has_vote(name) && self.voters().count() == 1 {
            return Err(DirectoryError::Invalid(format!(
                "{name} is the last participant with a vote, and cannot leave"
            )));
        }
        if self.nodes.get(&self.sequencer).is_some_and(|node| node.participant == name) {
            return Err(DirectoryError::Invalid(format!(
                "node {} of {name} orders the directory, and nobody else could",
                self.sequencer
            )));
        }
        let hosted = self.participants.iter().filter(|(_, found)| found.hosted_by.as_deref() == Some(name));
        let hosted = hosted.filter(|(_, found)| found.status == Membership::Active).map(|(name, _)| name.clone());
        for leaving in std::iter::once(name.to_owned()).chain(hosted.collect::<Vec<_>>()) {
            self.take_out(event, &leaving);
        }
        self.admit_decided(event.seq);
        self.activate_decided(event.seq);
        Ok(())
    }

    fn take_out(&mut self, event: &DirectoryEvent, name: &str) {
        if let Some(found) = self.participants.get_mut(name) {
            found.status = Membership::Left;
            found.voting = false;
            found.seq = event.seq;
        }
        let actors =
            self.actors.iter_mut().filter(|(id, found)| id.participant().as_str() == name && found.revoked.is_none());
        for (_, actor) in actors {
            actor.revoked = Some(event.time);
            actor.seq = event.seq;
        }
        for node in self.nodes.values_mut().filter(|node| node.participant == name && node.retired.is_none()) {
            node.retired = Some(event.time);
            node.seq = event.seq;
        }
    }

    /// Adds a node under a name and with a key that nobody had before.
    pub(super) fn add_node(
        &mut self,
        event: &DirectoryEvent,
        participant: &str,
        node: &NewNode,
    ) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        if let Some(host) = self.participants.get(participant).and_then(|found| found.hosted_by.as_ref()) {
            return invalid(format!("participant {participant} is hosted by {host}, and has no node of its own"));
        }
        if self.nodes.contains_key(node.name.as_str()) {
            return invalid(format!("node {} is or was there already; a node's name is never used again", node.name));
        }
        let known = self.nodes.iter().find(|(_, known)| known.key == node.key).map(|(name, _)| name.clone());
        let owner = known.or_else(|| self.keys.get(&node.key.to_string()).map(ToString::to_string));
        if let Some(owner) = owner {
            return invalid(format!("this key is or was {owner}'s; a node has a key of its own"));
        }
        let added = Node::new(participant.to_owned(), node.key, node.addresses.clone(), event.seq);
        self.nodes.insert(node.name.to_string(), added);
        Ok(())
    }

    /// A node that the event's proposer may change, as changed by the event.
    pub(super) fn own_node(&mut self, event: &DirectoryEvent, node: &str) -> Result<&mut Node, DirectoryError> {
        let unknown = || DirectoryError::Invalid(format!("node {node} is not known"));
        let participant = self.nodes.get(node).map(|found| found.participant.clone()).ok_or_else(unknown)?;
        self.speaks_for(&event.by, &participant)?;
        let found = self.nodes.get_mut(node).ok_or_else(unknown)?;
        if found.retired.is_some() {
            return Err(DirectoryError::Invalid(format!("node {node} was retired; add another one")));
        }
        found.seq = event.seq;
        Ok(found)
    }

    pub(super) fn retire_node(&mut self, event: &DirectoryEvent, node: &str) -> Result<(), DirectoryError> {
        if self.sequencer == node {
            let what = format!("node {node} orders the directory, and nobody else could");
            return Err(DirectoryError::Invalid(what));
        }
        self.own_node(event, node)?.retired = Some(event.time);
        Ok(())
    }
}
