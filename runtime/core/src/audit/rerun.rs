//! `verify --execute`: every intent once more, on the state that it met.

use std::sync::Arc;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::directory::Directory;
use crate::execute::{Effect, Executed, Interrupted, Job, Packages, Verdict, execute};
use crate::intent::VerifiedIntent;
use crate::outcome::{Ending, Outcome};
use crate::package::Package;
use crate::record::States;
use crate::seal::SealedEvent;
use crate::sync::{executable, whole};

use super::derive::Walk;
use super::found::Tables;

struct Shelf<'a>(&'a std::collections::HashMap<Digest, Arc<Package>>);

impl Packages for Shelf<'_> {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        self.0.get(digest).cloned()
    }
}

impl Walk<'_> {
    /// Executes an intent again; `None` where it was not asked for, or where what it met is not known any more.
    pub(super) fn rerun(
        &mut self,
        intent: &VerifiedIntent,
        outcome: &Outcome,
    ) -> Option<Result<Executed, Interrupted>> {
        let (engine, limits) = self.known.executor?;
        let (directory, states) = self.met(intent, outcome)?;
        let packages = Shelf(&self.packages);
        let job = Job {
            intent,
            directory: &directory,
            states: &states,
            packages: &packages,
            engine,
            limits,
            time: outcome.time,
        };
        self.executed += 1;
        Some(execute(&job))
    }

    /// The directory and the states that an intent met; `None` where they are not known here any more or never were,
    /// and where they did not decide, as it is with the machine's own bounds and the database's no.
    pub(super) fn met(&self, intent: &VerifiedIntent, outcome: &Outcome) -> Option<(Arc<Directory>, States)> {
        let directory = self.judged_under(outcome)?;
        let doubtful = intent.targets().iter().any(|target| self.comparison.doubtful.contains(target.record.as_str()));
        let state = |record| self.states.get(record).map(|track| track.state.clone());
        let states = intent.targets().iter().map(|target| (target.record.clone(), state(&target.record))).collect();
        (!doubtful && executable(intent, outcome, &states, &directory)).then_some((directory, states))
    }

    /// The directory that an outcome names, where the log has it by now: it need not be the newest one.
    fn judged_under(&self, outcome: &Outcome) -> Option<Arc<Directory>> {
        let (seq, head) = outcome.reasons()?.directory;
        let history = self.agreed.history.as_ref()?;
        (history.head(seq) == Some(head)).then(|| history.at(seq)).flatten()
    }

    /// Holds what an execution reached against what is stored.
    pub(super) fn hold_against(
        &mut self,
        tables: &Tables,
        intent: &VerifiedIntent,
        outcome: &Outcome,
        rerun: &Result<Executed, Interrupted>,
        events: &[SealedEvent],
    ) {
        let difference = match rerun {
            // A damaged package is named already.
            Err(Interrupted::MissingPackage(_) | Interrupted::Missing(_)) => None,
            Err(Interrupted::Broken(what)) => Some(format!("the engine fails: {what}")),
            // A replica has only its part of what was changed; what is damaged is named already.
            Ok(_) if !whole(outcome, events) => None,
            Ok(executed) => differs(executed, outcome, events),
        };
        if let Some(difference) = difference {
            self.differs(tables, intent, difference);
        }
    }
}

/// In what an execution differs from an outcome and its events.
pub(crate) fn differs(executed: &Executed, outcome: &Outcome, events: &[SealedEvent]) -> Option<String> {
    let reasons = outcome.reasons()?;
    if executed.judged.reads != reasons.judged.reads {
        return Some("the records were at other versions than the outcome says".to_owned());
    }
    if executed.judged.package != reasons.judged.package {
        return Some("another contract version judges it".to_owned());
    }
    verdict_differs(&executed.verdict, outcome, events)
}

fn verdict_differs(verdict: &Verdict, outcome: &Outcome, events: &[SealedEvent]) -> Option<String> {
    match (verdict, outcome.ending) {
        (Verdict::Applied(effects), Ending::Applied) => effects_differ(effects, events),
        (Verdict::Expired, Ending::Expired) => None,
        (Verdict::Rejected(now), Ending::Rejected) => {
            let then = outcome.reasons()?.rejected.as_ref()?;
            let same = now.code == then.code
                && now.reason == then.reason
                && (now.code == Code::Trap || now.message == then.message);
            (!same).then(|| {
                format!(
                    "it is rejected with {} ({}), stored is {} ({})",
                    now.code, now.message, then.code, then.message
                )
            })
        }
        (now, then) => Some(format!("it is {}, stored is {}", ending(now), then.as_str())),
    }
}

fn ending(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Applied(_) => "applied".to_owned(),
        Verdict::Rejected(rejected) => format!("rejected with {} ({})", rejected.code, rejected.message),
        Verdict::Expired => "expired".to_owned(),
    }
}

fn effects_differ(effects: &[Effect], events: &[SealedEvent]) -> Option<String> {
    if effects.len() != events.len() {
        return Some(format!("it makes {} events, stored are {}", effects.len(), events.len()));
    }
    for (effect, event) in effects.iter().zip(events) {
        // Damaged openings are named already.
        if event.openings.sections.is_empty() && !effect.sections.is_empty() {
            continue;
        }
        let same_reads = event.openings.reads.as_ref().is_none_or(|(_, reads)| effect.reads == *reads);
        if effect.record != event.header.record || !same_reads || effect.on != event.after.on {
            return Some(format!("it makes another event of {}", event.header.record));
        }
        let same = effect.sections.len() == event.openings.sections.len()
            && effect.sections.iter().zip(&event.openings.sections).all(|((name, now), (stored, then))| {
                name == stored && now.changes == then.changes && now.notifications == then.notifications
            });
        if !same {
            return Some(format!("it changes {} otherwise", event.header.record));
        }
    }
    None
}
