//! The protocol `compare`: what a receiver does with an outcome that another node sequenced.
//!
//! It holds the outcome against the last event of each record, the log it comes from and, where it may read all that
//! the method read, against its own execution. Equal: it applies. Something missing: it says what. Different: it
//! objects, with the share itself as evidence, and that record waits. A share that proves nothing about its
//! sequencer (malformed, of another network, without a valid proof) is refused and counts against whoever sent it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::directory::Directory;
use crate::engine::{Engine, Limits};
use crate::event::{EventOpenings, Header};
use crate::execute::{Interrupted, Job, Packages, execute, may, roles_held};
use crate::intent::{Call, VerifiedIntent, Whole, read_stored};
use crate::json::Json;
use crate::log::{Checkpoint, leaf_hash};
use crate::names::RecordId;
use crate::outcome::{Ending, Outcome};
use crate::parties::check_step;
use crate::project::origin;
use crate::received::Place;
use crate::record::{RecordState, States};
use crate::seal::{SealedEvent, replay};
use crate::spec::{Mode, PARTIES};
use crate::time::Timestamp;

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
    /// Time of the last outcome that this node has of the same log before this one.
    pub last_time: Option<Timestamp>,
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
    /// This node's own bounds or engine: an operator has to look.
    Engine(String),
}

/// What a sequencer did that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Two events for one (record, epoch, seq).
    Fork,
    /// An event that does not continue its record, or does not belong to its outcome.
    Chain,
    /// An intent that its actor did not sign, or not with a valid key.
    Unsigned,
    /// A time before one that its log has already.
    Backdated,
    /// Changes that the actor had no right to, or that break the schema.
    Rights,
    /// Openings that are not what their commitments stand for.
    Opening,
    /// Another result than this node's own execution.
    Execution,
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
enum No {
    Wait(Wait),
    Object(Objection),
    Refuse(String),
}

impl From<Wait> for No {
    fn from(wait: Wait) -> Self {
        No::Wait(wait)
    }
}

fn refuse(what: impl std::fmt::Display) -> No {
    No::Refuse(what.to_string())
}

fn object(complaint: Complaint, record: Option<&RecordId>, message: impl Into<String>) -> No {
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
    check_place(&share.place, &outcome, known)?;
    check_time(&outcome, known)?;
    let headers = read_events(share, &outcome)?;
    let directory = judged_under(&outcome, &headers, known)?;
    let intent = check_intent(share, &outcome, &directory)?;
    let mut events = Vec::new();
    for (header, openings) in headers {
        check_header(&header, &intent, &outcome, &share.place, &directory)?;
        events.push(check_event(header, openings, &intent, &directory, known)?);
    }
    let level = check_execution(&intent, &outcome, &events, &directory, known)?;
    Ok(Arrived { intent, outcome, events, place: share.place.clone(), level })
}

/// The leaf is in the log, and the log is that of the node which the directory has under its name.
fn check_place(place: &Place, outcome: &Outcome, known: &Comparing<'_>) -> Result<(), No> {
    let network = known.directory.network();
    if outcome.network != network {
        return Err(refuse(format!("it is of network {}, this is {network}", outcome.network)));
    }
    let (node, incarnation) = place.log.split_once('/').unwrap_or((&place.log, ""));
    let found = known.directory.nodes().get(node).ok_or_else(|| refuse(format!("there is no node {node}")))?;
    if incarnation != found.incarnation.to_string() {
        return Err(refuse(format!("{} is not the current log of node {node}", place.log)));
    }
    let head = Checkpoint::verify(&place.note, &origin(&network, &place.log), &found.key).map_err(refuse)?;
    if (head.size, head.root) != (place.size, place.root) || !place.proves(&leaf_hash(&outcome.leaf())) {
        return Err(refuse("its path does not lead from its leaf to the signed head"));
    }
    Ok(())
}

fn check_time(outcome: &Outcome, known: &Comparing<'_>) -> Result<(), No> {
    if outcome.time > known.now.plus(known.tolerance) {
        return Err(Wait::Until(outcome.time).into());
    }
    match known.last_time {
        Some(last) if outcome.time < last => {
            let message = format!("it was decided at {}, after one of {last} in the same log", outcome.time);
            Err(object(Complaint::Backdated, None, message))
        }
        _ => Ok(()),
    }
}

type Shared = (Header, EventOpenings);

fn read_events(share: &Share, outcome: &Outcome) -> Result<Vec<Shared>, No> {
    let mut events = Vec::new();
    for event in &share.events {
        let header = Header::read(&event.header).map_err(refuse)?;
        if !outcome.events.contains(&header.id()) {
            return Err(refuse(format!("event {} is none of its outcome's", header.id())));
        }
        events.push((header, EventOpenings::read(&event.openings).map_err(refuse)?));
    }
    if (outcome.ending == Ending::Applied) == outcome.events.is_empty() {
        return Err(object(
            Complaint::Chain,
            None,
            format!("it is {} with {} events", outcome.ending.as_str(), outcome.events.len()),
        ));
    }
    Ok(events)
}

/// The directory that it was judged under.
fn judged_under(outcome: &Outcome, events: &[Shared], known: &Comparing<'_>) -> Result<Arc<Directory>, No> {
    let told = outcome.reasons().map(|reasons| reasons.directory);
    let told = told.or(events.first().map(|(header, _)| header.directory));
    let Some((seq, head)) = told else { return Ok(Arc::new(known.directory.clone())) };
    let directory = known.directories.at(seq).ok_or(Wait::Directory(seq))?;
    if directory.head() != head {
        return Err(object(Complaint::Chain, None, format!("it was judged under another directory at seq {seq}")));
    }
    Ok(directory)
}

/// The actor's signature, the openings, and that it was for this sequencer.
fn check_intent(share: &Share, outcome: &Outcome, directory: &Directory) -> Result<VerifiedIntent, No> {
    let key = |payload: &crate::intent::Payload| {
        let actor = directory.actors().get(&payload.actor)?;
        actor.revoked.is_none().then_some(actor.key)
    };
    let intent = read_stored(&share.envelope, &share.openings, Whole::Some, key).map_err(|error| match error {
        crate::intent::StoredError::Envelope(what) => object(Complaint::Unsigned, None, what),
        crate::intent::StoredError::Openings(what) => refuse(what),
    })?;
    let sequencer = share.place.log.split('/').next().unwrap_or_default();
    if intent.id() != outcome.intent || intent.payload().network != outcome.network {
        return Err(refuse("the envelope is not the one of its outcome"));
    }
    if intent.payload().sequencer.as_str() != sequencer {
        let message = format!("it is for sequencer {}, decided by {sequencer}", intent.payload().sequencer);
        return Err(object(Complaint::Chain, None, message));
    }
    Ok(intent)
}

/// The header belongs to this outcome of this sequencer.
fn check_header(
    header: &Header,
    intent: &VerifiedIntent,
    outcome: &Outcome,
    place: &Place,
    directory: &Directory,
) -> Result<(), No> {
    let facts = [
        (header.network == outcome.network, "it is for another network"),
        (header.intent == outcome.intent, "it is of another intent"),
        (header.log == place.log, "it names another log"),
        (header.sequencer == intent.payload().sequencer, "it names another sequencer"),
        (header.record.node() == header.sequencer, "its record is not of its sequencer"),
        (header.epoch == 1, "its epoch is not the record's"),
        (header.time == outcome.time, "its time is not that of its outcome"),
        (header.directory == (directory.seq(), directory.head()), "it was judged under another directory"),
        (
            intent.targets().iter().any(|target| target.record == header.record),
            "its record is none of the intent's, or the intent is not opened for it",
        ),
    ];
    match facts.into_iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err(object(Complaint::Chain, Some(&header.record), problem)),
        None => Ok(()),
    }
}

/// Chain, openings, completeness, rights and schemas of one event.
fn check_event(
    header: Header,
    openings: EventOpenings,
    intent: &VerifiedIntent,
    directory: &Directory,
    known: &Comparing<'_>,
) -> Result<SealedEvent, No> {
    let record = header.record.clone();
    let before = known.states.get(&record).cloned().flatten();
    check_chain(&header, before.as_deref())?;
    openings.check_some(&header).map_err(|what| object(Complaint::Opening, Some(&record), what))?;
    let sealed = replay(header, openings, before, directory);
    let sealed = sealed.map_err(|what| match what.ends_with("is not known here") {
        true => No::Wait(Wait::Section { record: record.clone(), section: what }),
        false => object(Complaint::Opening, Some(&record), what),
    })?;
    check_complete(&sealed, known.viewer)?;
    check_rights(&sealed, intent, directory)?;
    Ok(sealed)
}

fn check_chain(header: &Header, before: Option<&RecordState>) -> Result<(), No> {
    let (seq, prev) = before.map_or((0, None), |state| (state.seq, Some(state.head)));
    let record = &header.record;
    if header.seq > seq + 1 {
        return Err(Wait::Events { record: record.clone(), from: seq + 1, to: header.seq - 1 }.into());
    }
    if header.seq <= seq {
        let message = format!("{record} has another event at seq {}", header.seq);
        return Err(object(Complaint::Fork, Some(record), message));
    }
    if header.prev != prev {
        let message = format!("event {} of {record} does not continue the one before", header.seq);
        return Err(object(Complaint::Fork, Some(record), message));
    }
    Ok(())
}

/// Nothing that this node is entitled to may be missing.
fn check_complete(event: &SealedEvent, viewer: &Viewer) -> Result<(), No> {
    if event.after.sections.get(PARTIES).is_none_or(|parties| parties.hidden) {
        return Ok(());
    }
    let parties = event.after.parties();
    let record = Seen { spec: &event.entry.spec, parties: &parties };
    let hidden: Vec<&str> = event.after.hidden().collect();
    let missing = hidden.into_iter().find(|section| viewer.reads(record, section, event.header.seq));
    match missing {
        Some(section) => Err(Wait::Section { record: event.header.record.clone(), section: section.to_owned() }.into()),
        None => Ok(()),
    }
}

/// What the actor changed, as far as it is seen here, it had the right to; and the result keeps to the schema.
fn check_rights(event: &SealedEvent, intent: &VerifiedIntent, directory: &Directory) -> Result<(), No> {
    let (record, spec) = (&event.header.record, &event.entry.spec);
    let id = &intent.payload().actor;
    let no = |message: String| Err(object(Complaint::Rights, Some(record), message));
    let Some(actor) = directory.actors().get(id) else { return no(format!("{id} is no actor")) };
    let judging = event.before.as_ref().unwrap_or(&event.after);
    let known = judging.sections.get(PARTIES).is_some_and(|parties| !parties.hidden);
    let roles = roles_held(spec, &judging.parties(), event.header.seq, id, actor);
    for name in event.openings.sections.keys() {
        let was = event.before.as_ref().and_then(|before| before.sections.get(name));
        if was.is_some_and(|state| state.hidden) {
            continue;
        }
        let (before, after) =
            (was.map_or(Arc::new(Json::Null), |state| state.content.clone()), event.after.content(name));
        if before == after {
            continue;
        }
        let mode = if before.is_null() { Mode::Create } else { Mode::Modify };
        if known && !may(spec, name, &roles, mode) {
            return no(format!("{id} may not {} section {name} of {record}", mode.as_str()));
        }
        let schema = spec.sections.get(name).map(|section| section.schema.check(&after));
        if let Some(Err(violation)) = schema {
            return no(format!("section {name} of {record}{}: {}", violation.path, violation.message));
        }
        if name == PARTIES
            && let Err(what) = check_step(&before, &after, event.header.seq)
        {
            return no(format!("parties of {record}: {what}"));
        }
    }
    Ok(())
}

/// Executes the intent again, where all that it needs is here.
fn check_execution(
    intent: &VerifiedIntent,
    outcome: &Outcome,
    events: &[SealedEvent],
    directory: &Directory,
    known: &Comparing<'_>,
) -> Result<Level, No> {
    let states = intent.targets().iter().map(|target| {
        let state = known.states.get(&target.record).cloned().flatten();
        (target.record.clone(), state)
    });
    let states: States = states.collect();
    if !executable(intent, outcome, &states, directory) {
        return Ok(Level::Partial);
    }
    let (packages, engine) = (known.packages, known.engine);
    let job = Job { intent, directory, states: &states, packages, engine, limits: known.limits, time: outcome.time };
    let record = intent.targets().first().map(|target| &target.record);
    let executed = execute(&job).map_err(|interrupted| match interrupted {
        Interrupted::MissingPackage(digest) => No::Wait(Wait::Package(digest)),
        Interrupted::Missing(_) => No::Wait(Wait::Engine("a record is not loaded".to_owned())),
        Interrupted::Broken(what) => No::Wait(Wait::Engine(what)),
    })?;
    match crate::audit::differs(&executed, outcome, events) {
        Some(what) => Err(object(Complaint::Execution, record, format!("executed here, {what}"))),
        None => Ok(Level::Full),
    }
}

/// Whether an intent can be executed again: its call is open, and so is every section that its method declares, on
/// records in the state that it met. The machine's own bounds and a database's no are no verdicts of the rules.
pub(crate) fn executable(intent: &VerifiedIntent, outcome: &Outcome, states: &States, directory: &Directory) -> bool {
    let Some(reasons) = outcome.reasons() else { return false };
    let code = reasons.rejected.as_ref().map(|rejected| rejected.code);
    let met = reasons.judged.reads.iter().all(|read| {
        let state = states.get(&read.record).and_then(Option::as_ref);
        state.map(|state| state.head) == read.head
    });
    let hidden: BTreeMap<&RecordId, Vec<&str>> =
        states.iter().filter_map(|(record, state)| Some((record, state.as_ref()?.hidden().collect()))).collect();
    let package = reasons.judged.package.and_then(|digest| directory.package(&digest));
    let open = intent.targets().iter().enumerate().all(|(index, target)| {
        let hidden = hidden.get(&target.record).map(Vec::as_slice).unwrap_or_default();
        let usage = match (intent.call(), package) {
            (Call::Method { method, .. }, Some(package)) => package.manifest.methods.get(method),
            _ => None,
        };
        match usage.and_then(|method| method.records.get(index)) {
            Some(usage) => !usage.reads.iter().chain(&usage.writes).any(|name| hidden.contains(&name.as_str())),
            None => hidden.is_empty(),
        }
    });
    let machine = matches!(code, Some(Code::DatabaseRefused | Code::Limits));
    *intent.call() != Call::Hidden && met && open && !machine
}
