//! Executing again what another node executed: the part of `compare` that needs contracts.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::directory::Directory;
use crate::execute::{Interrupted, Job, execute};
use crate::intent::{Call, VerifiedIntent};
use crate::names::RecordId;
use crate::outcome::Outcome;
use crate::record::States;
use crate::seal::SealedEvent;
use crate::spec::PARTIES;

use super::compare::{Comparing, Complaint, Level, No, Wait, object};

/// Executes the intent again, where all that it needs is here.
pub(super) fn check_execution(
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
    if !executable(intent, outcome, &states, directory) || !whole(outcome, events) {
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

/// Whether every event of the outcome is here with every section that it writes: else there is nothing to hold an
/// execution against. A section that was never written before is hidden only from this event on.
pub(crate) fn whole(outcome: &Outcome, events: &[SealedEvent]) -> bool {
    let written = |event: &SealedEvent| {
        let sections = event.header.sections.iter().filter(|(_, sealed)| sealed.written.is_some());
        sections.map(|(name, _)| name).eq(event.openings.sections.keys())
    };
    outcome.events.len() == events.len() && events.iter().all(written)
}

/// Whether an intent can be executed again: all that was signed is open, and so is every section that its method
/// declares, on records in the state that it met. The machine's own bounds and a database's no are no verdicts of
/// the rules.
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
    // Roles come from the parties, and the size of a record from all its sections.
    let parties = hidden.values().all(|hidden| !hidden.contains(&PARTIES));
    let sized = code != Some(Code::Size) || hidden.values().all(Vec::is_empty);
    let machine = matches!(code, Some(Code::DatabaseRefused | Code::Limits)) || !sized;
    let signed = intent.targets().len() == intent.payload().records.len();
    *intent.call() != Call::Hidden && signed && met && parties && open && !machine
}
