//! The protocol `compare`: what a receiver does with an outcome that another node sequenced.
//!
//! It holds the outcome against the last event of each record, the log it comes from and, where it may read all that
//! the method read, against its own execution. Equal: it applies. Something missing: it says what. Different: it
//! objects, with the share itself as evidence, and that record waits. A share that proves nothing about its
//! sequencer (malformed, of another network, without a valid proof) is refused and counts against whoever sent it.

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::Digest;
use crate::directory::Directory;
use crate::engine::{Engine, Limits};
use crate::event::{EventOpenings, Header};
use crate::execute::Packages;
use crate::intent::{Call, VerifiedIntent, Whole, inspect};
use crate::log::{Checkpoint, leaf_hash};
use crate::names::{ActorId, RecordId};
use crate::outcome::{Ending, Outcome};
use crate::project::origin;
use crate::received::Place;
use crate::record::States;
use crate::seal::SealedEvent;
use crate::spec::PARTIES;
use crate::time::Timestamp;

use super::again::check_execution;
use super::continued::check_event;
use super::share::Share;
use super::viewer::{Seen, Viewer};

/// The directory as it was.
pub trait Directories: Send + Sync {
    /// The directory after its event `seq`; `None` where this node has not got so far.
    fn at(&self, seq: u64) -> Option<Arc<Directory>>;
}

/// All that a comparison depends on.
#[derive(Clone, Copy)]
pub struct Comparing<'a> {
    /// The directory now.
    pub directory: &'a Directory,
    /// The directory as it was.
    pub directories: &'a dyn Directories,
    /// The participants that this node stands for.
    pub viewer: &'a Viewer,
    /// The records as they stand here; what is not in it is not there.
    pub states: &'a States,
    /// The packages.
    pub packages: &'a dyn Packages,
    /// What executes contracts.
    pub engine: &'a dyn Engine,
    /// Bounds of an execution: more than any sequencer allows, so that its verdict never depends on them.
    pub limits: Limits,
    /// Now, and how far a sequencer's clock may be ahead.
    pub now: Timestamp,
    /// How far a sequencer's clock may be ahead.
    pub tolerance: Duration,
    /// The outcome of the same log that has the highest position of those that this node has.
    pub heard: Option<Heard>,
    /// Where an outcome stands that was applied under this same directory: many come under one signed head, which is not
    /// verified again for each.
    pub believed: Option<&'a Place>,
}

/// An outcome that a node has of another's log. Shares need not come in the order of the log: what is fetched to close
/// a gap is older than what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its position.
    pub position: u64,
    /// Its time.
    pub time: Timestamp,
}

/// How much of an event a receiver could check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All of it, by executing it again.
    Full,
    /// Signatures, chain, rights, schemas and visible changes.
    Partial,
}

/// An outcome that may be applied.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The intent, as far as it is opened here.
    pub intent: VerifiedIntent,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its events of records that are followed here.
    pub events: Vec<SealedEvent>,
    /// Where it stands in the log of its sequencer.
    pub place: Place,
    /// How much of it was checked.
    pub level: Level,
}

/// What must be there first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The directory up to this seq.
    Directory(u64),
    /// A package.
    Package(Digest),
    /// Until this time: the sequencer's clock is ahead, or this one's behind.
    Until(Timestamp),
    /// The events of a record before this one.
    Events {
        /// The record.
        record: RecordId,
        /// First seq that is missing.
        from: u64,
        /// Last seq that is missing.
        to: u64,
    },
    /// A section that this node is entitled to and was not sent.
    Section {
        /// The record.
        record: RecordId,
        /// The section.
        section: String,
    },
    /// What the intent calls and why it ended so: this node is entitled to it and was not sent it.
    Reasons,
    /// This node's own bounds or engine: an operator has to look.
    Engine(String),
}

/// What a sequencer did that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Two events for one (record, epoch, seq), or two outcomes for one intent.
    Fork,
    /// An event that does not continue its record, or does not belong to its outcome.
    Chain,
    /// An intent that its actor did not sign, or not with a valid key.
    Unsigned,
    /// A time that goes back along its log.
    Backdated,
    /// Changes that the actor had no right to, at a time when they were worth nothing, or that break the schema.
    Rights,
    /// Openings that are not what their commitments stand for.
    Opening,
    /// Another result than this node's own execution.
    Execution,
    /// Nothing that the sequencer did: this node's own database refuses the rows. It is nobody else's matter.
    Blocked,
}

impl Complaint {
    /// Whether the share alone proves it against its sequencer. The actor's signature and the openings are not in the
    /// log: whoever handed the share on may have broken them, so these count only against who sent it.
    #[must_use]
    pub fn proven(self) -> bool {
        !matches!(self, Complaint::Unsigned | Complaint::Opening | Complaint::Blocked)
    }
}

/// A no to an outcome; the share is the evidence, signed by its sequencer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// What is wrong.
    pub complaint: Complaint,
    /// The record that waits, where it concerns one.
    pub record: Option<RecordId>,
    /// What is wrong, for people.
    pub message: String,
}

/// What a receiver does with a share.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// It applies and countersigns.
    Apply(Box<Arrived>),
    /// It waits, and fetches what it can.
    Wait(Wait),
    /// It keeps the share with an objection and holds the record.
    Object(Objection),
    /// The share proves nothing; it counts against whoever sent it.
    Refuse(String),
}

/// Every way of not applying.
pub(super) enum No {
    Wait(Wait),
    Object(Objection),
    Refuse(String),
}

impl From<Wait> for No {
    fn from(wait: Wait) -> Self {
        No::Wait(wait)
    }
}

pub(super) fn refuse(what: impl std::fmt::Display) -> No {
    No::Refuse(what.to_string())
}

pub(super) fn object(complaint: Complaint, record: Option<&RecordId>, message: impl Into<String>) -> No {
    No::Object(Objection { complaint, record: record.cloned(), message: message.into() })
}

/// Compares a share with what this node knows.
#[must_use]
pub fn compare(share: &Share, known: &Comparing<'_>) -> Comparison {
    match arrive(share, known) {
        Ok(arrived) => Comparison::Apply(Box::new(arrived)),
        Err(No::Wait(wait)) => Comparison::Wait(wait),
        Err(No::Object(objection)) => Comparison::Object(objection),
        Err(No::Refuse(what)) => Comparison::Refuse(what),
    }
}

fn arrive(share: &Share, known: &Comparing<'_>) -> Result<Arrived, No> {
    let outcome = Outcome::read(&share.outcome).map_err(refuse)?;
    check_place(&share.place, &outcome, known.directory, known.believed)?;
    check_time(&outcome, &share.place, known)?;
    let headers = read_events(share, &outcome)?;
    let directory = judged_under(&outcome, &headers, known)?;
    let intent = check_intent(share, &outcome, directory.as_deref(), known)?;
    let directory = directory.unwrap_or_else(|| Arc::new(known.directory.clone()));
    check_judged(&outcome, &headers)?;
    let mut events = Vec::new();
    for (header, openings) in headers {
        check_header(&header, &intent, &outcome, &share.place, &directory)?;
        events.push(check_event(header, openings, &intent, &directory, known)?);
    }
    check_whole(&intent, &outcome, &events, known.viewer)?;
    let level = check_execution(&intent, &outcome, &events, &directory, known)?;
    Ok(Arrived { intent, outcome, events, place: share.place.clone(), level })
}

/// The leaf is in the log, and the log is that of the node which the directory has under its name.
pub(super) fn check_place(
    place: &Place,
    outcome: &Outcome,
    directory: &Directory,
    believed: Option<&Place>,
) -> Result<(), No> {
    let network = directory.network();
    if outcome.network != network {
        return Err(refuse(format!("it is of network {}, this is {network}", outcome.network)));
    }
    let (node, incarnation) = place.log.split_once('/').unwrap_or((&place.log, ""));
    let found = directory.nodes().get(node).ok_or_else(|| refuse(format!("there is no node {node}")))?;
    if incarnation != found.incarnation.to_string() {
        return Err(refuse(format!("{} is not the current log of node {node}", place.log)));
    }
    let head = match believed.filter(|known| (&known.log, &known.note) == (&place.log, &place.note)) {
        Some(known) => (known.size, known.root),
        None => {
            let head = Checkpoint::verify(&place.note, &origin(&network, &place.log), &found.key).map_err(refuse)?;
            (head.size, head.root)
        }
    };
    if head != (place.size, place.root) || !place.proves(&leaf_hash(&outcome.leaf())) {
        return Err(refuse("its path does not lead from its leaf to the signed head"));
    }
    Ok(())
}

fn check_time(outcome: &Outcome, place: &Place, known: &Comparing<'_>) -> Result<(), No> {
    if outcome.time > known.now.plus(known.tolerance) {
        return Err(Wait::Until(outcome.time).into());
    }
    let (position, time) = (place.position, outcome.time);
    let Some(heard) = known.heard else { return Ok(()) };
    let what = match position.cmp(&heard.position) {
        std::cmp::Ordering::Equal => "it stands where the log had another outcome".to_owned(),
        std::cmp::Ordering::Greater if time < heard.time => {
            format!("it was decided at {time}, after one of {} in the same log", heard.time)
        }
        std::cmp::Ordering::Less if time > heard.time => {
            format!("it was decided at {time}, before one of {} in the same log", heard.time)
        }
        _ => return Ok(()),
    };
    let complaint = if position == heard.position { Complaint::Fork } else { Complaint::Backdated };
    Err(object(complaint, None, what))
}

type Shared = (Header, EventOpenings);

/// The events, each one of the outcome's, in its order.
fn read_events(share: &Share, outcome: &Outcome) -> Result<Vec<Shared>, No> {
    if outcome.ending != Ending::Applied && !outcome.events.is_empty() {
        let what = format!("it is {} with {} events", outcome.ending.as_str(), outcome.events.len());
        return Err(object(Complaint::Chain, None, what));
    }
    let (mut events, mut rest) = (Vec::new(), outcome.events.iter());
    for event in &share.events {
        let header = Header::read(&event.header).map_err(refuse)?;
        let id = header.id();
        if !rest.any(|known| *known == id) {
            return Err(refuse(format!("event {id} is none of its outcome's, or not in its place")));
        }
        events.push((header, EventOpenings::read(&event.openings).map_err(refuse)?));
    }
    Ok(events)
}

/// The directory that it was judged under, as far as the share tells.
fn judged_under(outcome: &Outcome, events: &[Shared], known: &Comparing<'_>) -> Result<Option<Arc<Directory>>, No> {
    let told = outcome.reasons().map(|reasons| reasons.directory);
    let told = told.or(events.first().map(|(header, _)| header.directory));
    let Some((seq, head)) = told else { return Ok(None) };
    let directory = known.directories.at(seq).ok_or(Wait::Directory(seq))?;
    if directory.head() != head {
        return Err(object(Complaint::Chain, None, format!("it was judged under another directory at seq {seq}")));
    }
    Ok(Some(directory))
}

/// The actor's signature, the openings, and that it was for this sequencer.
fn check_intent(
    share: &Share,
    outcome: &Outcome,
    directory: Option<&Directory>,
    known: &Comparing<'_>,
) -> Result<VerifiedIntent, No> {
    let found =
        inspect(&share.envelope, &share.openings, Whole::Some, Some(outcome.intent), |payload| match directory {
            Some(directory) => valid_key(directory, &payload.actor).into_iter().collect(),
            None => keys_ever(known, &payload.actor),
        });
    let Some((id, payload)) = found.payload else { return Err(refuse(found.envelope.unwrap_or_default())) };
    if payload.network != outcome.network {
        return Err(refuse("the intent is for another network"));
    }
    if let Some(what) = found.envelope {
        return Err(object(Complaint::Unsigned, None, what));
    }
    let Some((call, targets)) = found.opened else { return Err(refuse(found.openings.unwrap_or_default())) };
    let sequencer = share.place.log.split('/').next().unwrap_or_default();
    if payload.sequencer.as_str() != sequencer {
        let message = format!("it is for sequencer {}, decided by {sequencer}", payload.sequencer);
        return Err(object(Complaint::Chain, None, message));
    }
    let (envelope, openings) = (share.envelope.clone(), share.openings.clone());
    let intent = VerifiedIntent::adopted(id, payload, call, targets, envelope, openings);
    check_moment(&intent, outcome)?;
    Ok(intent)
}

fn valid_key(directory: &Directory, actor: &ActorId) -> Option<crate::crypto::PublicKey> {
    directory.actors().get(actor).filter(|actor| actor.revoked.is_none()).map(|actor| actor.key)
}

/// Every key that an actor had: a rejection that is sealed does not say under which directory it was judged, and
/// changes nothing.
fn keys_ever(known: &Comparing<'_>, actor: &ActorId) -> Vec<crate::crypto::PublicKey> {
    let (mut keys, mut seq) = (Vec::new(), known.directory.seq());
    while let Some(directory) = known.directories.at(seq) {
        let Some(found) = directory.actors().get(actor) else { break };
        keys.push(found.key);
        seq = found.seq.saturating_sub(1);
    }
    keys
}

/// What the actor signed about time: everybody sees it.
fn check_moment(intent: &VerifiedIntent, outcome: &Outcome) -> Result<(), No> {
    let (payload, time) = (intent.payload(), outcome.time);
    let expired = payload.expires <= time;
    let early = payload.not_before.is_some_and(|from| from > time);
    let what = match outcome.ending {
        Ending::Applied if expired => format!("it expired at {} and was applied at {time}", payload.expires),
        Ending::Applied if early => format!("it was applied at {time}, before its actor wished it"),
        Ending::Expired if !expired => format!("it is called expired at {time}, and expires at {}", payload.expires),
        _ => return Ok(()),
    };
    Err(object(Complaint::Rights, None, what))
}

/// What the outcome says that it was judged on is what its events continue.
fn check_judged(outcome: &Outcome, events: &[Shared]) -> Result<(), No> {
    let Some(reasons) = outcome.reasons() else { return Ok(()) };
    for (header, _) in events {
        let read = reasons.judged.reads.iter().find(|read| read.record == header.record);
        let same = read.is_some_and(|read| (read.seq + 1, read.head) == (header.seq, header.prev));
        if !same || reasons.judged.package != Some(header.package) {
            let what = "its outcome was judged on another version or package";
            return Err(object(Complaint::Chain, Some(&header.record), what));
        }
    }
    Ok(())
}

/// Nothing of the outcome itself may be missing: no event of a record that the sender opened to this node as one that
/// it follows, and neither call nor reasons, where this node reads everything.
fn check_whole(intent: &VerifiedIntent, outcome: &Outcome, events: &[SealedEvent], viewer: &Viewer) -> Result<(), No> {
    let own = viewer.participants.contains(intent.payload().actor.participant().as_str());
    let closed = intent.payload().records.len().saturating_sub(intent.targets().len());
    let missing = outcome.events.len() - events.len();
    if !own && missing > closed {
        return Err(refuse("an event of a record that it opens is missing"));
    }
    let all = outcome.ending == Ending::Applied
        && !events.is_empty()
        && events.len() == intent.payload().records.len()
        && events.iter().all(|event| reads_everything(event, viewer));
    let open = [*intent.call() != Call::Hidden, outcome.reasons().is_some()];
    let read = events.iter().all(|event| event.openings.reads.is_some());
    let whole = events.len() == intent.payload().records.len() || (!own && closed == 0);
    // Call and reasons go together, and what else was read goes to those who follow all records.
    let short = open == [true, false] || open == [false, true] || (whole && !read);
    if short || ((own || all) && open != [true, true]) { Err(Wait::Reasons.into()) } else { Ok(()) }
}

fn reads_everything(event: &SealedEvent, viewer: &Viewer) -> bool {
    let parties = event.after.parties();
    let record = Seen { spec: &event.entry.spec, parties: &parties };
    let known = event.after.sections.get(PARTIES).is_some_and(|parties| !parties.hidden);
    known && event.entry.spec.sections.keys().all(|section| viewer.reads(record, section, event.header.seq))
}

/// The header belongs to this outcome of this sequencer.
fn check_header(
    header: &Header,
    intent: &VerifiedIntent,
    outcome: &Outcome,
    place: &Place,
    directory: &Directory,
) -> Result<(), No> {
    let named = intent.targets().iter().any(|target| target.record == header.record);
    let closed = intent.targets().len() < intent.payload().records.len();
    let facts = [
        (header.network == outcome.network, "it is for another network"),
        (header.intent == outcome.intent, "it is of another intent"),
        (header.log == place.log, "it names another log"),
        (header.sequencer == intent.payload().sequencer, "it names another sequencer"),
        (header.record.node() == header.sequencer, "its record is not of its sequencer"),
        (header.epoch == 1, "its epoch is not the record's"),
        (header.time == outcome.time, "its time is not that of its outcome"),
        (header.directory == (directory.seq(), directory.head()), "it was judged under another directory"),
        (named || closed, "its record is none of the intent's"),
    ];
    match facts.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err(object(Complaint::Chain, Some(&header.record), problem)),
        // Whoever handed it on may have closed what was signed.
        None if !named => Err(refuse(format!("the intent is not opened for {}", header.record))),
        None => Ok(()),
    }
}
