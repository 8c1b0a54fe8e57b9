//! For the audit only: going on with the directory where the evidence of one of its events is damaged.
//!
//! What the event did is taken from the tables derived from it, so that later evidence can still be checked
//! and nobody else is accused. Nothing here is reachable from the commit path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crypto::Digest;
use crate::names::{ActorId, ContractName, Version};
use crate::package::Manifest;
use crate::time::Timestamp;

use super::{Actor, Contract, Directory, Node, Participant, Status};

/// What an event did, as far as the tables still tell.
#[derive(Debug, Default)]
pub(crate) struct Mend {
    pub(crate) participants: Vec<(String, Participant)>,
    pub(crate) nodes: Vec<(String, Node)>,
    pub(crate) actors: Vec<(ActorId, Actor)>,
    /// Participants approved, and by which.
    pub(crate) approved_participants: Vec<(String, String)>,
    pub(crate) proposed: Vec<Manifest>,
    /// Packages approved, and by which participant, where that is known.
    pub(crate) approved: Vec<(Option<String>, ContractName, Version)>,
}

impl Directory {
    /// A directory of which only the network's id and name are known.
    pub(crate) fn blank(network: Digest, title: String, time: Timestamp) -> Self {
        Directory {
            network,
            title,
            seq: 0,
            head: network,
            time,
            sequencer: String::new(),
            participants: BTreeMap::new(),
            nodes: BTreeMap::new(),
            actors: BTreeMap::new(),
            contracts: BTreeMap::new(),
            packages: BTreeMap::new(),
            specs: BTreeMap::new(),
            keys: BTreeMap::new(),
            invitations: BTreeSet::new(),
        }
    }

    /// Takes over what a damaged event did, and counts it.
    pub(crate) fn mend(&mut self, seq: u64, head: Digest, time: Timestamp, mend: Mend) {
        self.participants.extend(mend.participants);
        for participant in mend.approved_participants {
            // As below.
            self.note_approval(&participant.0, &participant.1, seq).unwrap_or_default();
        }
        if self.sequencer.is_empty() {
            // Which founder was the first is not in the tables; the names are in their order.
            self.sequencer = mend.nodes.iter().map(|(node, _)| node.clone()).min().unwrap_or_default();
        }
        self.nodes.extend(mend.nodes);
        self.keys.extend(mend.actors.iter().map(|(id, actor)| (actor.key.to_string(), id.clone())));
        self.actors.extend(mend.actors);
        for manifest in mend.proposed {
            let (name, version) = (manifest.name.clone(), manifest.version);
            self.packages.insert(manifest.digest(), (name.clone(), version));
            let proposed =
                Contract { manifest: Arc::new(manifest), status: Status::Proposed, approvals: BTreeSet::new(), seq };
            self.contracts.entry(name).or_default().entry(version).or_insert(proposed);
        }
        for (participant, name, version) in mend.approved {
            let voters = self.participants.iter().filter(|(_, found)| found.voting).map(|(name, _)| name.clone());
            let approving: Vec<String> = participant.map_or_else(|| voters.collect(), |one| vec![one]);
            for participant in approving {
                let status =
                    self.contracts.get(&name).and_then(|versions| versions.get(&version)).map(|found| found.status);
                if status == Some(Status::Proposed) {
                    // What cannot be approved is not there either; the rows that depend on it are then not compared.
                    self.approve(&participant, seq, &name, &version).unwrap_or_default();
                }
            }
        }
        self.seq = seq;
        self.head = head;
        self.time = self.time.max(time);
    }
}
