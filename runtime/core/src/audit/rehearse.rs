//! A new package on a real history: every intent of its contract once more, on the state that it met.
//!
//! The audit's own walk makes the states, from recorded events only: what the new package does to one intent is
//! compared and dropped, so that each intent is judged on what really was.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Digest;
use crate::database::{DatabaseError, Snapshot};
use crate::directory::Directory;
use crate::engine::{Engine, Limits};
use crate::event::{Notification, SectionBody};
use crate::execute::{Effect, Executed, Interrupted, Job, Packages, Rejected, Verdict, Written, execute};
use crate::intent::{Call, VerifiedIntent};
use crate::json::{Json, Operation, json};
use crate::names::{ContractName, RecordId, Version};
use crate::outcome::{Ending, Outcome};
use crate::package::Package;
use crate::record::States;
use crate::seal::SealedEvent;

use super::derive::Walk;
use super::found::Tables;
use super::{Known, Progress, Report};

/// Differences that are kept of each method; the others are counted.
const MOST_SHOWN: usize = 10;

/// Why no intent was tried.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// The history is damaged; what is wrong stands in the report.
    #[error("the history has {} findings; a new version is only tried on a clean one", .0.findings.len())]
    Damaged(Box<Report>),
    /// The history cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What a new package does to a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// How it went, by what was called: `CONTRACT.METHOD`, or `changes of SPEC`.
    pub calls: BTreeMap<String, Rehearsed>,
    /// Intents of the contract that were not tried, by the reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// How it went with all intents that called the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// Intents tried.
    pub intents: u64,
    /// Those that end otherwise.
    pub differing: u64,
    /// The first of these, in the order of the log.
    pub differences: Vec<Difference>,
}

/// An intent that ends otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The intent.
    pub intent: Digest,
    /// The first of its records that becomes another.
    pub record: RecordId,
    /// The seq at which the intent met the record; 0 for one that was not there.
    pub seq: u64,
    /// What was, and what would be now.
    pub what: String,
}

/// The new package on its way along the log.
pub(super) struct Rehearsing<'a> {
    package: Arc<Package>,
    engine: &'a dyn Engine,
    limits: Limits,
    /// The directory with the new package in it, and the seq of the one that it was made from.
    directory: Option<(u64, Directory)>,
    found: &'a mut Rehearsal,
}

impl Packages for Rehearsing<'_> {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        (self.package.digest() == *digest).then(|| self.package.clone())
    }
}

/// Tries a package on a database's history: every applied or rejected intent of its contract, where the package's
/// version would take over from the one that the records were on.
///
/// # Errors
/// [`RehearseError`]; a damaged history is no history.
pub async fn rehearse(
    snapshot: &mut dyn Snapshot,
    package: Package,
    engine: &dyn Engine,
    limits: Limits,
) -> Result<Rehearsal, RehearseError> {
    let silent: &mut (dyn FnMut(Progress) + Send) = &mut |_| {};
    let mut found = Rehearsal::default();
    let mut tables = Tables::read_own(snapshot, silent).await?;
    let mut walk = Walk::start(&tables, Known::default());
    walk.find_directory(&tables);
    tables.read_records(snapshot, &walk.record_tables(), silent).await?;
    let package = Arc::new(package);
    walk.rehearsing = Some(Rehearsing { package, engine, limits, directory: None, found: &mut found });
    let report = walk.run(tables, silent, &mut |_| {});
    if report.is_clean() { Ok(found) } else { Err(RehearseError::Damaged(Box::new(report))) }
}

impl Walk<'_> {
    /// Has the new package judge an intent of its contract; `None` where it is another's, or cannot be tried.
    pub(super) fn rehearse(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
    ) -> Option<Result<Executed, Interrupted>> {
        let rehearsing = self.rehearsing.as_ref()?;
        let version = rehearsing.package.manifest.version;
        if outcome.ending == Ending::Expired || !self.calls(intent, &rehearsing.package.manifest.name) {
            return None;
        }
        let judge = outcome.reasons().and_then(|reasons| reasons.judged.package);
        let judge = judge.and_then(|digest| self.agreed.directory.package(&digest));
        let judge = judge.map(|contract| contract.manifest.version);
        let tried = match self.met(intent, outcome) {
            None => Err("limits or the database rejected them, or not all that they met is here"),
            Some(met) => applicable(&met.1, &rehearsing.package.manifest.name, version, judge).map(|()| met),
        };
        let rehearsing = self.rehearsing.as_mut()?;
        match tried {
            Ok((directory, states)) => Some(rehearsing.judge(intent, outcome, &directory, &states)),
            Err(reason) => {
                *rehearsing.found.skipped.entry(reason).or_default() += 1;
                None
            }
        }
    }

    fn calls(&self, intent: &VerifiedIntent, name: &ContractName) -> bool {
        match intent.call() {
            Call::Method { contract, .. } => contract == name,
            Call::Changes { spec, .. } => self.agreed.directory.owner(spec) == Some(name),
            Call::Hidden => false,
        }
    }

    /// Holds what the new package does against what was done.
    pub(super) fn note_rehearsed(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        executed: &Result<Executed, Interrupted>,
        events: &[SealedEvent],
    ) {
        let Some(rehearsing) = &mut self.rehearsing else { return };
        let rehearsed = rehearsing.found.calls.entry(called(intent.call())).or_default();
        rehearsed.intents += 1;
        let Some((at, what)) = difference(executed, outcome, events) else { return };
        rehearsed.differing += 1;
        let target = at.or_else(|| intent.targets().first().map(|target| target.record.clone()));
        if let Some(record) = target.filter(|_| rehearsed.differences.len() < MOST_SHOWN) {
            let mut reads = outcome.reasons().into_iter().flat_map(|reasons| &reasons.judged.reads);
            let seq = reads.find(|read| read.record == record).map_or(0, |read| read.seq);
            rehearsed.differences.push(Difference { intent: intent.id(), record, seq, what });
        }
    }
}

impl Rehearsing<'_> {
    fn judge(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        directory: &Directory,
        states: &States,
    ) -> Result<Executed, Interrupted> {
        let known = self.directory.take().filter(|(seq, _)| *seq == directory.seq());
        let (seq, candidate) =
            known.unwrap_or_else(|| (directory.seq(), directory.with_candidate(&self.package.manifest)));
        let executed = execute(&Job {
            intent,
            directory: &candidate,
            states,
            packages: self,
            engine: self.engine,
            limits: self.limits,
            time: outcome.time,
        });
        self.directory = Some((seq, candidate));
        executed
    }
}

/// Whether the new version would have judged an intent: it takes over from the versions that its records are on, or
/// is no older than the one that judged it where none of them is there.
fn applicable(
    states: &States,
    name: &ContractName,
    version: Version,
    judge: Option<Version>,
) -> Result<(), &'static str> {
    let mut on = states.values().flatten().filter(|state| state.on.name == *name).map(|state| state.on.version);
    let judge = judge.ok_or("they were rejected before any version judged them")?;
    let fits = if on.clone().next().is_none() { version >= judge } else { on.all(|on| version.takes_over(&on)) };
    if fits { Ok(()) } else { Err("their records are on versions from which this one does not take over") }
}

fn called(call: &Call) -> String {
    match call {
        Call::Method { contract, method, .. } => format!("{contract}.{method}"),
        Call::Changes { spec, .. } => format!("changes of {spec}"),
        Call::Hidden => "a hidden call".to_owned(),
    }
}

/// What is not as it was, and with which record; `None` where all is.
fn difference(
    executed: &Result<Executed, Interrupted>,
    outcome: &Outcome,
    events: &[SealedEvent],
) -> Option<(Option<RecordId>, String)> {
    let then = outcome.reasons().and_then(|reasons| reasons.rejected.as_ref());
    let now = match executed {
        Ok(Executed { verdict: Verdict::Applied(effects), .. }) if then.is_none() => {
            return effects_differ(effects, events);
        }
        Ok(Executed { verdict: Verdict::Rejected(now), .. }) => {
            if then.is_some_and(|then| (then.code, &then.reason) == (now.code, &now.reason)) {
                return None;
            }
            ended(Some(now))
        }
        Ok(Executed { verdict: Verdict::Applied(_), .. }) => ended(None),
        Ok(Executed { verdict: Verdict::Expired, .. }) => "expired".to_owned(),
        Err(interrupted) => format!("without a verdict: {}", broken(interrupted)),
    };
    Some((None, format!("was {}, now {now}", ended(then))))
}

fn broken(interrupted: &Interrupted) -> String {
    match interrupted {
        Interrupted::Missing(records) => format!("{} records are not known", records.len()),
        Interrupted::MissingPackage(digest) => format!("package {digest} is not known"),
        Interrupted::Broken(what) => format!("the engine fails: {what}"),
    }
}

fn ended(rejected: Option<&Rejected>) -> String {
    match rejected {
        None => "applied".to_owned(),
        Some(Rejected { code, reason: Some(reason), message }) => format!("rejected with {code} ({reason}): {message}"),
        Some(Rejected { code, message, .. }) => format!("rejected with {code}: {message}"),
    }
}

/// The first section of a record that would hold or tell something else.
fn effects_differ(effects: &[Effect], events: &[SealedEvent]) -> Option<(Option<RecordId>, String)> {
    let (now, then) = (
        effects.iter().map(|effect| (&effect.record, &effect.sections)).collect::<BTreeMap<_, _>>(),
        events.iter().map(|event| (&event.header.record, &event.openings.sections)).collect::<BTreeMap<_, _>>(),
    );
    let mut records: Vec<&RecordId> = now.keys().chain(then.keys()).copied().collect();
    records.sort_unstable();
    records.dedup();
    records.into_iter().find_map(|record| {
        let (now, then) = (now.get(record), then.get(record));
        let mut names: Vec<&String> =
            now.iter().flat_map(|now| now.keys()).chain(then.iter().flat_map(|then| then.keys())).collect();
        names.sort_unstable();
        let one = |name: &String| {
            section_differs(name, now.and_then(|now| now.get(name)), then.and_then(|then| then.get(name)))
        };
        names.into_iter().find_map(one).map(|what| (Some(record.clone()), what))
    })
}

/// A section that is declared and not written is as good as one that is not declared.
fn section_differs(name: &str, now: Option<&Written>, then: Option<&SectionBody>) -> Option<String> {
    let now_changes = now.map_or(&[][..], |now| &now.changes);
    let now_notifications = now.map_or(&[][..], |now| &now.notifications);
    let changed = unlike(then.map_or(&[][..], |then| &then.changes), now_changes, Operation::to_json);
    let told = || unlike(then.map_or(&[][..], |then| &then.notifications), now_notifications, notification);
    let said = |what: &str, (then, now): (String, String)| format!("section {name} {what} {then}, now {now}");
    changed.map(|pair| said("was changed by", pair)).or_else(|| told().map(|pair| said("told", pair)))
}

fn notification(one: &Notification) -> Json {
    json!({"type": one.kind.as_str(), "data": one.data.clone()})
}

/// The first place at which two lists are not the same, as people read it.
fn unlike<T: PartialEq>(then: &[T], now: &[T], describe: impl Fn(&T) -> Json) -> Option<(String, String)> {
    let show = |one: Option<&T>| one.map_or_else(|| "nothing".to_owned(), |one| shown(&describe(one)));
    let mut places = 0..then.len().max(now.len());
    places.find(|at| then.get(*at) != now.get(*at)).map(|at| (show(then.get(at)), show(now.get(at))))
}

/// As much of a change as people look at.
fn shown(json: &Json) -> String {
    const LONGEST: usize = 200;
    let text = json.canonical();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
