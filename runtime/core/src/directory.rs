//! The one log in which participants, nodes, actors and contracts are agreed.
//!
//! [`Directory::apply`] is the only way to change it, and takes nothing but a signed event that continues its
//! chain. It owns who is known, with which key and roles, and which packages are active; it deliberately
//! knows no records. Its head after an event is the SHA-256 of that event's signed payload; the head after
//! the genesis is the network's id.

mod address;
mod body;
mod candidate;
mod contracts;
mod event;
mod history;
mod invitation;
mod join;
mod members;
mod mend;
mod rules;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crypto::{Digest, PublicKey};
use crate::names::{ActorId, ContractName, SpecName, Version};
use crate::package::Manifest;
use crate::spec::RecordSpec;
use crate::tables::{Table, record_table, version_table};
use crate::time::Timestamp;

pub use address::{Address, MAX_ADDRESSES};
pub(crate) use address::{addresses_from_json, addresses_to_json};
pub use body::{Body, Founder};
pub use event::{DIRECTORY_TYPE, DirectoryEvent};
pub use history::History;
pub use invitation::{INVITATION_TYPE, Invitation, Terms};
pub use join::{Join, NewNode};
pub(crate) use mend::Mend;
pub use rules::DirectoryError;
pub use votes::Votes;

/// The role that lets an actor speak for its participant in the directory.
pub const ADMIN: &str = "admin";

/// How far a participant takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Waits for approvals; its actors and nodes are known and count for nothing yet.
    Proposed,
    /// Takes part.
    Active,
    /// Took part once; its name is never used again.
    Left,
}

impl Membership {
    /// The word in tables and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Membership::Proposed => "proposed",
            Membership::Active => "active",
            Membership::Left => "left",
        }
    }
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// How far it takes part.
    pub status: Membership,
    /// Whether it has a vote: only who is active can.
    pub voting: bool,
    /// Whether it takes part without ever having a vote.
    pub observer: bool,
    /// Who speaks for it, where it has no node of its own.
    pub hosted_by: Option<String>,
    /// The participants that approved it.
    pub approvals: BTreeSet<String>,
    /// The directory event that last changed it.
    pub seq: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Whose node it is.
    pub participant: String,
    /// Its key.
    pub key: PublicKey,
    /// The current incarnation of its log, from 1.
    pub incarnation: u64,
    /// Where it can be reached.
    pub addresses: Vec<Address>,
    /// When it was retired.
    pub retired: Option<Timestamp>,
    /// The directory event that last changed it.
    pub seq: u64,
}

/// A known person or service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The roles that it may take on.
    pub roles: BTreeSet<String>,
    /// Its current key.
    pub key: PublicKey,
    /// When it got this key.
    pub since: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// The directory event that last changed it.
    pub seq: u64,
}

/// How far the participants have agreed to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waiting for approvals.
    Proposed,
    /// Executes intents.
    Active,
    /// Executes only the history; a later compatible version took over.
    Superseded,
}

impl Status {
    /// The word in tables and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Proposed => "proposed",
            Status::Active => "active",
            Status::Superseded => "superseded",
        }
    }
}

/// A contract version.
#[derive(Clone, Debug)]
pub struct Contract {
    /// What was agreed to.
    pub manifest: Arc<Manifest>,
    /// How far it is agreed to.
    pub status: Status,
    /// The participants that approved it.
    pub approvals: BTreeSet<String>,
    /// The directory event that last changed it.
    pub seq: u64,
}

/// A record spec in force, with the tables that hold its records.
#[derive(Debug)]
pub struct SpecEntry {
    /// Its name.
    pub name: SpecName,
    /// The spec.
    pub spec: RecordSpec,
    /// The contract that brought it.
    pub contract: ContractName,
    /// The first version of that contract with this spec.
    pub version: Version,
    /// The table of its records.
    pub table: Arc<Table>,
    /// The table of its records' versions, where columns are projected.
    pub versions: Option<Arc<Table>>,
    /// The directory event with which it became active.
    pub seq: u64,
}

/// The state of the directory after its last event.
#[derive(Clone, Debug)]
pub struct Directory {
    network: Digest,
    title: String,
    seq: u64,
    head: Digest,
    time: Timestamp,
    /// The node that orders the directory.
    sequencer: String,
    participants: BTreeMap<String, Participant>,
    nodes: BTreeMap<String, Node>,
    actors: BTreeMap<ActorId, Actor>,
    /// Every key that an actor ever had, whose it was: none is used twice.
    keys: BTreeMap<String, ActorId>,
    contracts: BTreeMap<ContractName, BTreeMap<Version, Contract>>,
    packages: BTreeMap<Digest, (ContractName, Version)>,
    specs: BTreeMap<Digest, Arc<SpecEntry>>,
    /// Digests of the invitations that were used.
    invitations: BTreeSet<Digest>,
}

impl Directory {
    /// The network's id: the digest of the genesis payload.
    #[must_use]
    pub fn network(&self) -> Digest {
        self.network
    }

    /// The network's name, for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Number of events so far.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Digest of the last event's payload.
    #[must_use]
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Time of the last event.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The node that orders the directory: for now the first founder's.
    #[must_use]
    pub fn sequencer(&self) -> &str {
        &self.sequencer
    }

    /// The participants by name.
    #[must_use]
    pub fn participants(&self) -> &BTreeMap<String, Participant> {
        &self.participants
    }

    /// The nodes by name.
    #[must_use]
    pub fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// The actors by full name.
    #[must_use]
    pub fn actors(&self) -> &BTreeMap<ActorId, Actor> {
        &self.actors
    }

    /// A node, where its key counts: it is not retired, and its participant takes part.
    #[must_use]
    pub fn active_node(&self, node: &str) -> Option<&Node> {
        self.nodes.get(node).filter(|found| found.retired.is_none() && self.takes_part(&found.participant))
    }

    /// The participants that a node stands for: its own and those hosted by it; none where its key does not count.
    #[must_use]
    pub fn stands_for(&self, node: &str) -> BTreeSet<String> {
        let Some(own) = self.active_node(node).map(|found| found.participant.as_str()) else {
            return BTreeSet::new();
        };
        let active = self.participants.iter().filter(|(_, found)| found.status == Membership::Active);
        active
            .filter(|(name, found)| name.as_str() == own || found.hosted_by.as_deref() == Some(own))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Whether a participant is known and active.
    #[must_use]
    pub fn takes_part(&self, participant: &str) -> bool {
        self.participants.get(participant).is_some_and(|found| found.status == Membership::Active)
    }

    /// The contract versions by contract and version.
    #[must_use]
    pub fn contracts(&self) -> &BTreeMap<ContractName, BTreeMap<Version, Contract>> {
        &self.contracts
    }

    /// The specs by digest; only those of packages that are or were active.
    #[must_use]
    pub fn specs(&self) -> &BTreeMap<Digest, Arc<SpecEntry>> {
        &self.specs
    }

    /// The contract version with this package digest.
    #[must_use]
    pub fn package(&self, digest: &Digest) -> Option<&Contract> {
        let (name, version) = self.packages.get(digest)?;
        self.contracts.get(name)?.get(version)
    }

    /// The version of a contract that judges the next intent on a record that is on `current`: the newest
    /// active one that is compatible with it; the newest active one at all for a record that is new.
    #[must_use]
    pub fn judging(&self, contract: &ContractName, current: Option<&Version>) -> Option<&Contract> {
        let versions = self.contracts.get(contract)?;
        let fits = |version: &Version| current.is_none_or(|current| version.takes_over(current));
        versions
            .iter()
            .rev()
            .find(|(version, found)| found.status != Status::Proposed && fits(version))
            .map(|(_, found)| found)
    }

    /// The spec of this name under a contract version: the one that the version itself brings.
    #[must_use]
    pub fn spec_of(&self, manifest: &Manifest, name: &SpecName) -> Option<&Arc<SpecEntry>> {
        self.specs.get(&manifest.specs.get(name)?.digest())
    }

    /// The contract that defines a spec, where any active package does.
    #[must_use]
    pub fn owner(&self, spec: &SpecName) -> Option<&ContractName> {
        self.specs.values().find(|entry| entry.name == *spec).map(|entry| &entry.contract)
    }

    /// The newest spec of this name.
    #[must_use]
    pub fn newest_spec(&self, spec: &SpecName) -> Option<&Arc<SpecEntry>> {
        self.specs.values().filter(|entry| entry.name == *spec).max_by_key(|entry| entry.seq)
    }

    /// Every table that records live in, each name once, with the columns of all its specs' versions.
    #[must_use]
    pub fn record_tables(&self) -> Vec<Table> {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        let mut entries: Vec<_> = self.specs.values().collect();
        entries.sort_by_key(|entry| entry.seq);
        for entry in entries {
            for table in std::iter::once(&entry.table).chain(&entry.versions) {
                match tables.get_mut(&table.name) {
                    None => drop(tables.insert(table.name.clone(), (**table).clone())),
                    Some(known) => known.widen(table),
                }
            }
        }
        tables.into_values().collect()
    }

    fn entry(name: &SpecName, spec: &RecordSpec, manifest: &Manifest, seq: u64) -> Arc<SpecEntry> {
        Arc::new(SpecEntry {
            name: name.clone(),
            contract: manifest.name.clone(),
            version: manifest.version,
            table: Arc::new(record_table(name.as_str(), spec)),
            versions: version_table(name.as_str(), spec).map(Arc::new),
            spec: spec.clone(),
            seq,
        })
    }
}
