//! The directory, event by event; where an event is damaged, what it did is taken from the tables that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::crypto::{Digest, Envelope, EnvelopeSignature, PublicKey};
use crate::directory::{Actor, Body, Directory, DirectoryError, DirectoryEvent, History, Mend};
use crate::names::{ActorId, ContractName, Version};
use crate::package::{Manifest, Package};
use crate::tables::{Cell, name};
use crate::time::Timestamp;

use super::chain::Link;
use super::found::Tables;

/// A key that an actor had, from a directory event on.
pub(super) struct Held {
    pub(super) from_seq: u64,
    pub(super) since: Timestamp,
    pub(super) key: PublicKey,
}

/// One event taken.
pub(super) struct Step {
    /// The event, or one put together from its row where it is damaged.
    pub(super) event: DirectoryEvent,
    /// What is wrong with its envelope.
    pub(super) broken: Option<String>,
    /// Whether what the envelope says is known nevertheless.
    pub(super) readable: bool,
    /// Whether it proposes a package.
    pub(super) proposed: bool,
    /// The row of the package that it proposes.
    pub(super) package: Option<PackageFound>,
}

/// A proposed package as its row has it.
pub(super) struct PackageFound {
    pub(super) key: Vec<Cell>,
    pub(super) bytes: Vec<u8>,
    pub(super) package: Result<Arc<Package>, String>,
    pub(super) present: bool,
}

/// The directory on the way through its events.
pub(super) struct Agreed {
    pub(super) links: Vec<Link>,
    network: Digest,
    pub(super) directory: Directory,
    /// All states of it up to now, as long as no event is damaged.
    pub(super) history: Option<History>,
    /// Every key that every actor had.
    pub(super) keys: BTreeMap<ActorId, Vec<Held>>,
    /// Seqs of events that were put together from tables.
    pub(super) mended: BTreeSet<u64>,
    /// Actors whose keys are not sure, and whether that may be any actor.
    doubtful: BTreeSet<ActorId>,
    all_doubtful: bool,
}

impl Agreed {
    pub(super) fn new(links: Vec<Link>, network: Digest, title: String) -> Self {
        let time = Timestamp::MIN;
        Agreed {
            links,
            network,
            directory: Directory::blank(network, title, time),
            history: None,
            keys: BTreeMap::new(),
            mended: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            all_doubtful: false,
        }
    }

    /// Whether this actor's keys depend on an event that is damaged.
    pub(super) fn doubts(&self, actor: &ActorId) -> bool {
        self.all_doubtful
            || self.doubtful.contains(actor)
            || (!self.mended.is_empty() && !self.directory.actors().contains_key(actor))
    }

    /// Takes the event at this place of the chain.
    pub(super) fn take(&mut self, index: usize, tables: &Tables) -> Option<Step> {
        let (seq, head, row) = self.links.get(index).map(|link| (link.seq, link.head, link.row))?;
        let event = self.links.get(index)?.event.clone();
        let step = match event {
            Some(event) => match self.apply(&event) {
                Ok(broken) => Step {
                    proposed: matches!(event.body, Body::ContractPropose { .. }),
                    event,
                    broken,
                    readable: true,
                    package: None,
                },
                Err(error) => self.mend(seq, head, row, tables, Some(error.to_string())),
            },
            None => self.mend(seq, head, row, tables, None),
        };
        self.note_keys(seq);
        let package = if step.proposed { self.package_of(seq, tables) } else { None };
        Some(Step { package, ..step })
    }

    /// Applies an event whose head is the chain's; what is wrong with its signature, where that is all.
    fn apply(&mut self, event: &DirectoryEvent) -> Result<Option<String>, DirectoryError> {
        if event.seq == 1 {
            let signed = Directory::found(event);
            let broken = signed.as_ref().err().map(ToString::to_string);
            self.directory = signed.or_else(|_| Directory::found_as(event, false))?;
            let (genesis, founded) = (Arc::new(event.clone()), Arc::new(self.directory.clone()));
            self.history = Some(History::started(genesis, founded));
            return Ok(broken);
        }
        let broken = match self.directory.apply(event) {
            Ok(()) => None,
            Err(error @ DirectoryError::Signature(_)) => {
                self.directory.apply_as(event, false)?;
                (!self.doubts(&event.by)).then(|| error.to_string())
            }
            Err(error @ DirectoryError::Votes(_)) => {
                self.directory.apply_as(event, false)?;
                // Whose votes they are depends on every event before.
                self.mended.is_empty().then(|| error.to_string())
            }
            Err(error) => return Err(error),
        };
        if let Some(history) = &mut self.history {
            history.note(Arc::new(event.clone()), Arc::new(self.directory.clone()));
        }
        Ok(broken)
    }

    fn note_keys(&mut self, seq: u64) {
        for (id, actor) in self.directory.actors().iter().filter(|(_, actor)| actor.seq == seq) {
            self.keys.entry(id.clone()).or_default().push(Held { from_seq: seq, since: actor.since, key: actor.key });
        }
    }

    /// The keys with which an intent may be signed that was taken at `submitted` and judged under directory `seq`.
    pub(super) fn keys_for(&self, actor: &ActorId, seq: u64, submitted: Option<Timestamp>) -> Vec<PublicKey> {
        let Some(held) = self.keys.get(actor) else { return Vec::new() };
        let nexts = held.iter().skip(1).map(Some).chain(std::iter::once(None));
        let valid = held.iter().zip(nexts).filter(|(one, next)| {
            let replaced_before = next
                .is_some_and(|next| next.from_seq <= seq && submitted.is_some_and(|submitted| next.since <= submitted));
            one.from_seq <= seq && !replaced_before
        });
        valid.map(|(one, _)| one.key).collect()
    }

    /// Goes on past a damaged event with what the tables hold of it.
    fn mend(&mut self, seq: u64, head: Digest, row: Option<usize>, tables: &Tables, error: Option<String>) -> Step {
        let rows = tables.get(name::DIRECTORY);
        let cell = |column: &str| row.and_then(|row| rows.text(row, column));
        let kind = cell("kind").unwrap_or_default();
        let time = row.and_then(|row| rows.time(row, "time")).unwrap_or(self.directory.time());
        let by = cell("actor").and_then(|text| ActorId::parse(text).ok());
        let mend = self.gather(seq, kind, by.as_ref(), tables);
        let touches_actor = !mend.actors.is_empty();
        let nothing = mend.participants.is_empty()
            && mend.nodes.is_empty()
            && mend.approved_participants.is_empty()
            && mend.proposed.is_empty()
            && mend.approved.is_empty();
        self.doubtful.extend(mend.actors.iter().map(|(id, _)| id.clone()));
        self.all_doubtful |= !touches_actor && (kind.starts_with("actor.") || (kind.is_empty() && nothing));
        let proposed = !mend.proposed.is_empty();
        self.directory.mend(seq, head, time, mend);
        self.history = None;
        self.mended.insert(seq);
        let event = stand_in(self.network, seq, head, time, by, rows_bytes(tables, row));
        let broken = error.unwrap_or_else(|| "it is not the signed event that the directory has here".to_owned());
        Step { event, broken: Some(broken), readable: false, proposed, package: None }
    }

    fn gather(&self, seq: u64, kind: &str, by: Option<&ActorId>, tables: &Tables) -> Mend {
        let mut mend = Mend::default();
        self.gather_members(seq, kind, by, tables, &mut mend);
        self.gather_actors(seq, tables, &mut mend);
        self.gather_contracts(seq, kind, by, tables, &mut mend);
        mend
    }

    /// What the events after this one do, as far as they can be read.
    pub(super) fn later(&self, seq: u64) -> impl Iterator<Item = &Body> {
        self.links.iter().filter(move |link| link.seq > seq).filter_map(|link| Some(&link.event.as_ref()?.body))
    }

    /// Actors whose row bears the seq, and those that only this event can have added.
    fn gather_actors(&self, seq: u64, tables: &Tables, mend: &mut Mend) {
        let later: Vec<&Body> = self.later(seq).collect();
        let actors = tables.get(name::ACTOR);
        for row in actors.indexes() {
            let Some(id) = actors.text(row, "actor").and_then(|text| ActorId::parse(text).ok()) else { continue };
            let own = actors.count(row, "directory_seq") == Some(seq);
            let adds = |body: &&Body| match body {
                Body::ActorAdd { actor, .. } => *actor == id,
                Body::ParticipantJoin(join) => join.admin.0 == id,
                _ => false,
            };
            let added_later = later.iter().any(adds);
            if !own && (self.directory.actors().contains_key(&id) || added_later) {
                continue;
            }
            let roles = actors
                .text(row, "roles")
                .and_then(|text| crate::json::Json::parse(text.as_bytes(), &crate::json::Limits::default()).ok());
            let roles: BTreeSet<String> = roles
                .iter()
                .filter_map(|json| json.as_array())
                .flatten()
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect();
            let rotated = later.iter().any(|body| matches!(body, Body::ActorRotate { actor, .. } if *actor == id));
            let key = actors.text(row, "public_key").and_then(|text| PublicKey::parse(text).ok()).filter(|_| !rotated);
            let Some(key) = key.or_else(|| nobodys_key(id.as_str())) else { continue };
            let since = actors.time(row, "valid_from").unwrap_or(self.directory.time());
            let revoked = actors.time(row, "valid_to").filter(|_| own);
            mend.actors.push((id, Actor { roles, key, since, revoked, seq }));
        }
    }

    fn gather_contracts(&self, seq: u64, kind: &str, by: Option<&ActorId>, tables: &Tables, mend: &mut Mend) {
        let later: Vec<Digest> = self.later(seq).filter_map(proposed).collect();
        let contracts = tables.get(name::CONTRACT);
        for row in contracts.indexes() {
            let Ok(package) = Package::decode(contracts.bytes(row, "package")) else { continue };
            let manifest = package.manifest;
            let digest = manifest.digest();
            let leaves = kind == "participant.leave";
            let approves = kind == "contract.approve" || leaves || kind.is_empty();
            if self.directory.package(&digest).is_none() {
                if !later.contains(&digest) {
                    mend.proposed.push(manifest);
                }
            } else if approves && self.approved_at(seq, &manifest, tables) {
                let participant = by.filter(|_| !leaves).map(|by| by.participant().to_string());
                mend.approved.push((participant, manifest.name.clone(), manifest.version));
            }
        }
    }

    /// Whether the tables say that this package became active with the event, or was approved by it.
    fn approved_at(&self, seq: u64, manifest: &Manifest, tables: &Tables) -> bool {
        let (contracts, specs) = (tables.get(name::CONTRACT), tables.get(name::SPEC));
        let key = contract_key(&manifest.name, &manifest.version);
        let by_contract = contracts.with_key(&key).iter().any(|row| {
            contracts.count(*row, "directory_seq") == Some(seq) && contracts.text(*row, "status") != Some("superseded")
        });
        let by_spec = specs.indexes().any(|row| {
            specs.count(row, "directory_seq") == Some(seq)
                && specs.text(row, "contract") == Some(manifest.name.as_str())
                && specs.text(row, "contract_version") == Some(manifest.version.to_string().as_str())
        });
        by_contract || by_spec
    }

    /// The package that the event at `seq` proposed, as its row has it.
    fn package_of(&self, seq: u64, tables: &Tables) -> Option<PackageFound> {
        let versions = self
            .directory
            .contracts()
            .iter()
            .flat_map(|(name, versions)| versions.iter().map(move |(version, found)| (name, version, found)));
        let (name, version, found) =
            versions.filter(|(_, _, found)| found.seq == seq).max_by_key(|(_, version, _)| *(*version))?;
        let (contracts, digest) = (tables.get(name::CONTRACT), found.manifest.digest());
        let key = contract_key(name, version);
        let row = contracts
            .with_key(&key)
            .first()
            .copied()
            .or_else(|| contracts.indexes().find(|row| contracts.digest(*row, "digest") == Some(digest)));
        let bytes = row.map(|row| contracts.bytes(row, "package").to_vec()).unwrap_or_default();
        let package = match Package::decode(&bytes) {
            Ok(package) if package.digest() == digest => Ok(Arc::new(package)),
            Ok(package) => Err(format!("it is package {}, not {digest}", package.digest())),
            Err(error) => Err(error.to_string()),
        };
        Some(PackageFound { key, bytes, package, present: row.is_some() })
    }
}

fn contract_key(name: &ContractName, version: &Version) -> Vec<Cell> {
    vec![Cell::Text(name.to_string()), Cell::Text(version.to_string())]
}

fn proposed(body: &Body) -> Option<Digest> {
    match body {
        Body::ContractPropose { manifest } => Some(manifest.digest()),
        _ => None,
    }
}

fn rows_bytes(tables: &Tables, row: Option<usize>) -> Vec<u8> {
    row.map(|row| tables.get(name::DIRECTORY).bytes(row, "envelope").to_vec()).unwrap_or_default()
}

/// A point that nobody has the secret of, for an actor whose key at this moment is lost.
fn nobodys_key(text: &str) -> Option<PublicKey> {
    (0_u32..64)
        .find_map(|number| PublicKey::from_bytes(Digest::of(format!("{text}#{number}").as_bytes()).as_bytes()).ok())
}

/// An event of which only its place is known; the columns that would show more are not compared.
fn stand_in(
    network: Digest,
    seq: u64,
    head: Digest,
    time: Timestamp,
    by: Option<ActorId>,
    payload: Vec<u8>,
) -> DirectoryEvent {
    let keyid = head.to_string();
    let envelope =
        Envelope { payload_type: String::new(), payload, signatures: vec![EnvelopeSignature { keyid, sig: vec![0] }] };
    let by = by.unwrap_or_else(ActorId::nobody);
    DirectoryEvent {
        network: Some(network),
        seq,
        prev: None,
        time,
        body: Body::ActorRevoke { actor: by.clone() },
        by,
        envelope,
    }
}
