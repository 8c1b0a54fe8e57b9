//! Participants and nodes, where the directory event that made or changed them is damaged.

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
            mend.approved_participants.extend(by.and_then(|by| self.approved(seq, by.participant().as_str(), mend)));
        }
    }

    fn participant(&self, seq: u64, own: bool, rows: &Found, row: usize, participant: &str) -> Participant {
        let flag = |column: &str| rows.cell(row, column) == &Cell::Boolean(true);
        let hosted_by = rows.text(row, "hosted_by").map(str::to_owned);
        let observer = flag("observer");
        let status = match rows.text(row, "status") {
            Some("proposed") => Membership::Proposed,
            Some("left") if own => Membership::Left,
            _ if !own && self.approvals_after(seq, participant) > 0 => Membership::Proposed,
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

    fn approvers_after<'a>(&'a self, seq: u64, participant: &'a str) -> impl Iterator<Item = String> + 'a {
        let events = self.links.iter().filter(move |link| link.seq > seq).filter_map(|link| link.event.as_ref());
        let approving = events.filter(move |event| {
            matches!(&event.body, Body::ParticipantApprove { participant: approved } if approved.as_str() == participant)
        });
        approving.map(|event| event.by.participant().to_string())
    }

    fn approvals_after(&self, seq: u64, participant: &str) -> usize {
        self.approvers_after(seq, participant).count()
    }

    /// Approvals that a participant must have had before, for those that come later to decide.
    fn earlier_approvals(&self, seq: u64, participant: &str) -> std::collections::BTreeSet<String> {
        let later: Vec<String> = self.approvers_after(seq, participant).collect();
        let needed = self.directory.voters().count() * 2 / 3 + 1;
        let others = self.directory.voters().filter(|voter| !later.iter().any(|known| known == voter));
        others.take(needed.saturating_sub(later.len()).max(1)).map(str::to_owned).collect()
    }

    /// Which participant one of them can have approved with this event, where no row tells.
    fn approved(&self, seq: u64, approving: &str, mend: &Mend) -> Option<(String, String)> {
        let told = |name: &str| mend.participants.iter().any(|(told, _)| told == name);
        let waiting = self.directory.participants().iter().find(|(name, found)| {
            found.status == Membership::Proposed
                && !found.approvals.contains(approving)
                && !told(name)
                && self.approvers_after(seq, name).all(|later| later != approving)
        });
        waiting.map(|(name, _)| (name.clone(), approving.to_owned()))
    }
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
