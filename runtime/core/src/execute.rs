//! From a verified intent and loaded states to a verdict; steps `execute` and `entitle` of an intent's life.
//!
//! [`execute`] is a pure function of what its [`Job`] holds, so that any node which holds the same reaches
//! the same verdict. It deliberately knows no salts, hashes or rows; `seal` and `project` do.

mod draft;
mod entitle;
mod host;

use std::sync::Arc;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::directory::{Contract, Directory, SpecEntry};
use crate::engine::{Engine, Limits, Stop};
use crate::event::Read;
use crate::intent::{Call, RawChange, VerifiedIntent};
use crate::json::Json;
use crate::names::{ContractName, MethodName, SpecName};
use crate::package::{Package, RecordUse};
use crate::record::{OnContract, RecordState, States};
use crate::time::Timestamp;

pub use draft::{Effect, Written};
pub use entitle::{may, reader_roles, roles_held};

use draft::DraftRecord;
use host::Execution;

/// Bytes that one section may have, in canonical form.
pub const MAX_SECTION_BYTES: usize = 8 << 20;
/// Bytes that all sections of one record may have together.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Where packages come from; they are verified against their digest before they get here.
pub trait Packages: Send + Sync {
    /// The package with this digest, where it is loaded.
    fn package(&self, digest: &Digest) -> Option<Arc<Package>>;
}

/// All that a verdict depends on.
pub struct Job<'a> {
    /// The intent.
    pub intent: &'a VerifiedIntent,
    /// The directory under which it is judged.
    pub directory: &'a Directory,
    /// The records, loaded.
    pub states: &'a States,
    /// The packages.
    pub packages: &'a dyn Packages,
    /// What executes contracts.
    pub engine: &'a dyn Engine,
    /// Bounds of the execution.
    pub limits: Limits,
    /// The time of the batch.
    pub time: Timestamp,
}

/// A no of the rules or of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which no.
    pub code: Code,
    /// The contract's own reason, where code is contract.
    pub reason: Option<String>,
    /// What to tell people.
    pub message: String,
}

impl Rejected {
    /// A no of ours.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Rejected { code, reason: None, message: message.into() }
    }
}

/// How an execution ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// What it changes, record by record.
    Applied(Vec<Effect>),
    /// Why it changes nothing.
    Rejected(Rejected),
    /// Its turn came too late.
    Expired,
}

/// On what a verdict was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The records at their heads.
    pub reads: Vec<Read>,
    /// The package, where one was found.
    pub package: Option<Digest>,
}

/// A verdict with what belongs to it.
#[derive(Clone, Debug)]
pub struct Executed {
    /// The verdict.
    pub verdict: Verdict,
    /// On what it was reached.
    pub judged: Judged,
    /// What the contract logged and called, for whoever replays the intent.
    pub trace: Vec<String>,
}

/// Why there is no verdict yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// These records must be loaded first; then it is executed again.
    Missing(Vec<crate::names::RecordId>),
    /// The package must be loaded first.
    MissingPackage(Digest),
    /// The engine failed; never an outcome.
    Broken(String),
}

/// Judges an intent.
///
/// # Errors
/// [`Interrupted`]: something has to be loaded, or the engine failed.
pub fn execute(job: &Job<'_>) -> Result<Executed, Interrupted> {
    let mut before = Vec::new();
    let mut missing = Vec::new();
    for target in job.intent.targets() {
        match job.states.get(&target.record) {
            Some(state) => before.push(state.clone()),
            None => missing.push(target.record.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(Interrupted::Missing(missing));
    }
    let reads = job.intent.targets().iter().zip(&before).map(|(target, state)| Read {
        record: target.record.clone(),
        seq: state.as_ref().map_or(0, |state| state.seq),
        head: state.as_ref().map(|state| state.head),
    });
    let mut judged = Judged { reads: reads.collect(), package: None };
    let mut trace = Vec::new();
    let verdict = match judge(job, &before, &mut judged, &mut trace) {
        Ok(effects) => Verdict::Applied(effects),
        Err(No::Rejected(rejected)) => Verdict::Rejected(rejected),
        Err(No::Expired) => Verdict::Expired,
        Err(No::Interrupted(interrupted)) => return Err(interrupted),
    };
    Ok(Executed { verdict, judged, trace })
}

/// Every way of not applying.
enum No {
    Rejected(Rejected),
    Expired,
    Interrupted(Interrupted),
}

impl From<Rejected> for No {
    fn from(rejected: Rejected) -> Self {
        No::Rejected(rejected)
    }
}

fn no(code: Code, message: impl Into<String>) -> No {
    No::Rejected(Rejected::new(code, message))
}

type Before = Option<Arc<RecordState>>;

fn judge(job: &Job<'_>, before: &[Before], judged: &mut Judged, trace: &mut Vec<String>) -> Result<Vec<Effect>, No> {
    check_time(job)?;
    check_expect(job, before)?;
    let drafts = match job.intent.call() {
        Call::Method { contract, method, arguments } => {
            call(job, before, judged, trace, (contract, method, arguments))?
        }
        Call::Changes { spec, changes } => change(job, before, judged, (spec, changes))?,
        Call::Hidden => {
            let what = "what the intent calls is not for this node".to_owned();
            return Err(No::Interrupted(Interrupted::Broken(what)));
        }
    };
    entitle::check(job, &drafts)?;
    draft::finish(drafts, &judged.reads).map_err(No::from)
}

fn check_time(job: &Job<'_>) -> Result<(), No> {
    let payload = job.intent.payload();
    if payload.expires <= job.time {
        return Err(No::Expired);
    }
    match payload.not_before {
        Some(time) if time > job.time => {
            Err(no(Code::NotYetValid, format!("it must not be applied before {time}, now is {}", job.time)))
        }
        _ => Ok(()),
    }
}

fn check_expect(job: &Job<'_>, before: &[Before]) -> Result<(), No> {
    for (target, state) in job.intent.targets().iter().zip(before) {
        let seq = state.as_ref().map_or(0, |state| state.seq);
        match target.expect {
            Some(expected) if expected != seq => {
                let message = format!("{} is at seq {seq}, the intent was made for seq {expected}", target.record);
                return Err(no(Code::StaleExpect, message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The contract version that judges: the one for the version that the records of this contract are on.
fn judging<'a>(job: &Job<'a>, before: &[Before], name: &ContractName) -> Result<&'a Contract, No> {
    let mut on: Vec<_> =
        before.iter().flatten().filter(|state| state.on.name == *name).map(|state| &state.on.version).collect();
    on.sort_unstable();
    let newest = on.last().copied();
    if let (Some(oldest), Some(newest)) = (on.first(), newest)
        && !newest.compatible_with(oldest)
    {
        return Err(no(
            Code::WrongRecords,
            format!("the records are on {name}@{oldest} and {name}@{newest}, which do not go together"),
        ));
    }
    job.directory.judging(name, newest).ok_or_else(|| match newest {
        None => no(Code::UnknownContract, format!("no version of contract {name} is active")),
        Some(version) => {
            no(Code::UnknownContract, format!("no active version of contract {name} fits records on {version}"))
        }
    })
}

type Drafts = Vec<DraftRecord>;

fn call(
    job: &Job<'_>,
    before: &[Before],
    judged: &mut Judged,
    trace: &mut Vec<String>,
    (contract, name, arguments): (&ContractName, &MethodName, &Json),
) -> Result<Drafts, No> {
    let found = judging(job, before, contract)?;
    let manifest = &found.manifest;
    judged.package = Some(manifest.digest());
    let method = manifest.methods.get(name).ok_or_else(|| {
        no(Code::UnknownMethod, format!("contract {contract}@{} has no method {name}", manifest.version))
    })?;
    if method.records.len() != before.len() {
        let message =
            format!("{contract}.{name} takes {} records, the intent has {}", method.records.len(), before.len());
        return Err(no(Code::WrongRecords, message));
    }
    let on = OnContract { name: contract.clone(), version: manifest.version };
    let mut drafts = Vec::new();
    for ((target, state), usage) in job.intent.targets().iter().zip(before).zip(&method.records) {
        let entry = match job.directory.spec_of(manifest, &usage.spec) {
            Some(entry) => entry.clone(),
            None => foreign_spec(job, contract, usage, state)?,
        };
        let own = entry.contract == *contract;
        let on = if own { on.clone() } else { foreign_on(state, &entry) };
        let draft = DraftRecord::new(target.record.clone(), state.clone(), entry, on, manifest.digest(), usage.clone());
        draft.check_record().and_then(|()| draft.check_use()).map_err(No::from)?;
        drafts.push(draft);
    }
    if let Err(violation) = method.arguments.check(arguments) {
        return Err(no(Code::Arguments, format!("arguments{}: {}", violation.path, violation.message)));
    }
    entitle::check_reads(job, &mut drafts, method)?;
    let package = job.packages.package(&manifest.digest());
    let package = package.ok_or(No::Interrupted(Interrupted::MissingPackage(manifest.digest())))?;
    let mut execution = Execution::new(job, drafts, name.as_str(), &package);
    let ended = job.engine.call(&package, name.as_str(), &arguments.canonical(), &mut execution, &job.limits);
    let (drafts, stopped) = execution.into_parts(trace);
    match ended {
        Ok(()) => Ok(drafts),
        Err(stop) => Err(stopped_by(stop, stopped, &on)),
    }
}

fn stopped_by(stop: Stop, by_host: Option<Rejected>, on: &OnContract) -> No {
    match stop {
        Stop::Rejected(rejection) => {
            let reason = Some(rejection.reason.chars().take(100).collect());
            No::Rejected(Rejected {
                code: Code::Contract,
                reason,
                message: rejection.message.chars().take(2000).collect(),
            })
        }
        Stop::Trap { message, frames } => {
            let at = frames.iter().find(|frame| frame.file.is_some() && frame.line.is_some());
            let place = at.map(|frame| {
                format!(
                    " in {} at {}:{}",
                    frame.function,
                    frame.file.as_deref().unwrap_or_default(),
                    frame.line.unwrap_or_default()
                )
            });
            no(Code::Trap, format!("{on} broke{}: {message}", place.unwrap_or_default()))
        }
        Stop::Limits { what } => no(Code::Limits, format!("{on} reached the limit of {what}")),
        Stop::Host => match by_host {
            Some(rejected) => No::Rejected(rejected),
            None => No::Interrupted(Interrupted::Broken(
                "the engine stopped for the host, which did not ask for it".to_owned(),
            )),
        },
        Stop::Broken(what) => No::Interrupted(Interrupted::Broken(what)),
    }
}

/// Another contract's spec is usable only where it names this contract. A record that is there stays under the spec
/// that it is under: only its own contract moves it to another version.
fn foreign_spec(
    job: &Job<'_>,
    contract: &ContractName,
    usage: &RecordUse,
    state: &Before,
) -> Result<Arc<SpecEntry>, No> {
    let current = state.as_ref().filter(|state| state.spec == usage.spec).map(|state| state.spec_digest);
    let entry = match current {
        Some(digest) => job.directory.specs().get(&digest),
        None => job.directory.newest_spec(&usage.spec),
    };
    let entry = entry.ok_or_else(|| no(Code::UnknownSpec, format!("no active package brings spec {}", usage.spec)))?;
    if !entry.spec.contracts.contains(contract) {
        return Err(no(
            Code::Entitlement,
            format!("spec {} does not name contract {contract} among those that may use it", usage.spec),
        ));
    }
    Ok(entry.clone())
}

fn foreign_on(state: &Before, entry: &SpecEntry) -> OnContract {
    match state {
        Some(state) => state.on.clone(),
        None => OnContract { name: entry.contract.clone(), version: entry.version },
    }
}

fn change(
    job: &Job<'_>,
    before: &[Before],
    judged: &mut Judged,
    (spec, changes): (&SpecName, &[RawChange]),
) -> Result<Drafts, No> {
    let owner = job
        .directory
        .owner(spec)
        .ok_or_else(|| no(Code::UnknownSpec, format!("no active package brings spec {spec}")))?;
    let manifest = &judging(job, before, owner)?.manifest;
    judged.package = Some(manifest.digest());
    let entry = job
        .directory
        .spec_of(manifest, spec)
        .ok_or_else(|| no(Code::UnknownSpec, format!("{owner}@{} has no spec {spec}", manifest.version)))?;
    if !entry.spec.raw_changes {
        return Err(no(
            Code::RawChanges,
            format!("spec {spec} takes no raw changes; call a method of contract {owner}"),
        ));
    }
    let on = OnContract { name: owner.clone(), version: manifest.version };
    let mut drafts = Vec::new();
    for (index, (target, state)) in job.intent.targets().iter().zip(before).enumerate() {
        let usage = draft::raw_use(spec, index, changes);
        let draft =
            DraftRecord::new(target.record.clone(), state.clone(), entry.clone(), on.clone(), manifest.digest(), usage);
        draft.check_record().map_err(No::from)?;
        for section in &draft.usage.writes {
            draft.check_section(section).map_err(No::from)?;
        }
        entitle::check_raw(job, &draft)?;
        drafts.push(draft);
    }
    for change in changes {
        let draft = drafts.get_mut(change.record);
        let draft = draft.ok_or_else(|| {
            no(Code::WrongRecords, format!("a change names record {}, the intent has {}", change.record, before.len()))
        })?;
        draft.apply(&change.section, change.operation.clone()).map_err(|message| no(Code::Patch, message))?;
    }
    Ok(drafts)
}
