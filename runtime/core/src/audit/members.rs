//! Participants and nodes, where the directory event that made or changed them is damaged.

use std::collections::BTreeSet;

use crate::crypto::PublicKey;
use crate::directory::{Body, Membership, Mend, Node, Participant, addresses_from_json};
use crate::json::{Json, Limits};
use crate::names::ActorId;
use crate::tables::{Cell, name};

use super::agreed::Agreed;
use super::found::{Found, Tables};

impl Agreed {
    /// Participants and nodes whose row bears the seq, and those that only this event can have added.
    pub(super) fn gather_members(&self, seq: u64, kind: &str, by: Option<&ActorId>, tables: &Tables, mend: &mut Mend) {
        let participants = tables.get(name::PARTICIPANT);
        for row in participants.indexes() {
            let Some(participant) = participants.text(row, "participant") else { continue };
            let own = participants.count(row, "directory_seq") == Some(seq);
            let known = self.directory.participants().contains_key(participant);
            if own || !(known || self.later(seq).any(|body| adds_participant(body, participant))) {
                let found = self.participant(seq, own, participants, row, participant);
                mend.participants.push((participant.to_owned(), found));
            }
        }
        let nodes = tables.get(name::NODE);
        for row in nodes.indexes() {
            let Some(node) = nodes.text(row, "node") else { continue };
            let own = nodes.count(row, "directory_seq") == Some(seq);
            let known = self.directory.nodes().contains_key(node);
            if own || !(known || self.later(seq).any(|body| adds_node(body, node))) {
                mend.nodes.extend(self.node(seq, own, nodes, row).map(|found| (node.to_owned(), found)));
            }
        }
        if matches!(kind, "participant.approve" | "") {
            let waiting =
                self.directory.participants().iter().filter(|(_, found)| found.status == Membership::Proposed);
            for (name, found) in waiting {
                let decided = participants.with_key(&[Cell::Text(name.clone())]).first().is_some_and(|row| {
                    participants.count(*row, "directory_seq") != Some(seq)
                        && matches!(participants.text(*row, "status"), Some("active" | "left"))
                });
                let missing =
                    decided.then(|| self.missing_approval(seq, by, &found.approvals, |body| approves(body, name)));
                mend.approved_participants.extend(missing.flatten().map(|one| (name.clone(), one)));
            }
        }
    }

    /// Who approved with this event, where those who approved before and those who do later are too few: whoever
    /// its row names, or else any other, which is the same to those who come later.
    pub(super) fn missing_approval(
        &self,
        seq: u64,
        by: Option<&ActorId>,
        known: &BTreeSet<String>,
        approves: impl Fn(&Body) -> bool,
    ) -> Option<String> {
        let later = self.approvers_after(seq, approves);
        let (have, voters) = (|voter: &str| known.contains(voter) || later.contains(voter), self.directory.voters());
        let (approving, others): (Vec<&str>, Vec<&str>) = voters.partition(|voter| have(voter));
        let of = approving.len() + others.len();
        let own = by.map(ActorId::participant);
        let told = others.iter().find(|voter| own.as_ref().is_some_and(|own| own.as_str() == **voter));
        let one = told.or(others.first()).filter(|_| approving.len() * 3 <= of * 2)?;
        Some((*one).to_owned())
    }

    /// The participants that approve with events after this one.
    fn approvers_after(&self, seq: u64, approves: impl Fn(&Body) -> bool) -> BTreeSet<String> {
        let events = self.links.iter().filter(|link| link.seq > seq).filter_map(|link| link.event.as_ref());
        events.filter(|event| approves(&event.body)).map(|event| event.by.participant().to_string()).collect()
    }

    fn participant(&self, seq: u64, own: bool, rows: &Found, row: usize, participant: &str) -> Participant {
        let flag = |column: &str| rows.cell(row, column) == &Cell::Boolean(true);
        let hosted_by = rows.text(row, "hosted_by").map(str::to_owned);
        let observer = flag("observer");
        let status = match rows.text(row, "status") {
            Some("proposed") => Membership::Proposed,
            Some("left") if own => Membership::Left,
            _ if !own && self.later(seq).any(|body| approves(body, participant)) => Membership::Proposed,
            _ => Membership::Active,
        };
        let voting = match own {
            true => flag("voting"),
            false => status == Membership::Active && !observer && hosted_by.is_none(),
        };
        let approvals = match status {
            Membership::Proposed => self.earlier_approvals(seq, participant),
            _ => Default::default(),
        };
        Participant { status, voting, observer, hosted_by, approvals, seq }
    }

    fn node(&self, seq: u64, own: bool, rows: &Found, row: usize) -> Option<Node> {
        let participant = rows.text(row, "participant")?.to_owned();
        let key = PublicKey::parse(rows.text(row, "public_key")?).ok()?;
        let incarnation = rows.count(row, "incarnation").unwrap_or(1);
        let listed = rows.text(row, "addresses").and_then(|text| Json::parse(text.as_bytes(), &Limits::default()).ok());
        let listed = listed.as_ref().and_then(Json::as_array).unwrap_or_default();
        let addresses = addresses_from_json(listed).unwrap_or_default();
        let retired = (own && rows.text(row, "status") == Some("retired")).then(|| self.directory.time());
        Some(Node { participant, key, incarnation, addresses, retired, seq })
    }

    /// Approvals that a participant must have had before, for those that come later to decide.
    fn earlier_approvals(&self, seq: u64, participant: &str) -> BTreeSet<String> {
        let later = self.approvers_after(seq, |body| approves(body, participant));
        let needed = self.directory.voters().count() * 2 / 3 + 1;
        let others = self.directory.voters().filter(|voter| !later.contains(*voter));
        others.take(needed.saturating_sub(later.len()).max(1)).map(str::to_owned).collect()
    }
}

fn approves(body: &Body, name: &str) -> bool {
    matches!(body, Body::ParticipantApprove { participant } if participant.as_str() == name)
}

fn adds_participant(body: &Body, name: &str) -> bool {
    match body {
        Body::ParticipantAdd { participant, .. } => participant.as_str() == name,
        Body::ParticipantJoin(join) => join.participant.as_str() == name,
        _ => false,
    }
}

fn adds_node(body: &Body, name: &str) -> bool {
    match body {
        Body::ParticipantJoin(join) => join.node.name.as_str() == name,
        Body::NodeAdd { node, .. } => node.name.as_str() == name,
        _ => false,
    }
}
