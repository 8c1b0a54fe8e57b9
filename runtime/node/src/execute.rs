//! Steps `execute`, `entitle` and `seal` for a batch: records in parallel, each record's intents in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::directory::Directory;
use lockstep_core::event::Read;
use lockstep_core::execute::{Executed, Interrupted, Job as Execution, Judged, Rejected, Verdict, execute};
use lockstep_core::intent::VerifiedIntent;
use lockstep_core::names::RecordId;
use lockstep_core::outcome::{Ending, Outcome, Reasons};
use lockstep_core::record::States;
use lockstep_core::seal::{SealedEvent, Sealing, seal};
use lockstep_core::time::Timestamp;

use crate::effort::{Metered, thread_time};
use crate::open::Shared;
use crate::random::Salts;

/// An intent in a batch.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) intent: Arc<VerifiedIntent>,
    pub(crate) submitted: Timestamp,
    pub(crate) refused_by_database: bool,
}

/// What became of it: an outcome with its events, or our own failure, which is none.
pub(crate) type Sealed = Result<(Outcome, Vec<SealedEvent>), String>;

/// What all tasks of a batch share.
pub(crate) struct Setting {
    pub(crate) shared: Arc<Shared>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) log: String,
    pub(crate) time: Timestamp,
}

/// Executes a batch. The states come back as they are after it; the answers stand in the tasks' order.
pub(crate) fn execute_batch(setting: &Setting, tasks: &[Task], states: States) -> (Vec<Sealed>, States) {
    let groups = independent(tasks);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(groups.len());
    if threads <= 1 {
        let all: Vec<usize> = (0..tasks.len()).collect();
        let (mut answers, states) = run_group(setting, tasks, &all, states);
        return (
            tasks.iter().enumerate().map(|(index, _)| answers.remove(&index).unwrap_or_else(|| Err(lost()))).collect(),
            states,
        );
    }
    let mut shares: Vec<(Vec<usize>, States)> = (0..threads).map(|_| (Vec::new(), States::new())).collect();
    let mut rest = states;
    for (number, group) in groups.into_iter().enumerate() {
        let Some((indexes, own)) = shares.get_mut(number % threads) else { continue };
        for target in group.iter().filter_map(|index| tasks.get(*index)).flat_map(|task| task.intent.targets()) {
            own.extend(rest.remove_entry(&target.record));
        }
        indexes.extend(group);
    }
    let mut answers = BTreeMap::new();
    std::thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|(mut indexes, own)| {
                indexes.sort_unstable();
                scope.spawn(move || run_group(setting, tasks, &indexes, own))
            })
            .collect();
        for one in running {
            // What an intent can make panic is caught where it is executed; a share that is lost all the same must not
            // leave states behind that are older than what the committer is given.
            match one.join() {
                Ok((found, own)) => {
                    answers.extend(found);
                    rest.extend(own);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (tasks.iter().enumerate().map(|(index, _)| answers.remove(&index).unwrap_or_else(|| Err(lost()))).collect(), rest)
}

fn lost() -> String {
    "an execution broke off; this is a bug of lockstep".to_owned()
}

/// Tasks that share records, directly or through others, stand in one group.
fn independent(tasks: &[Task]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: BTreeMap<&RecordId, usize> = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        let mut joined: Vec<usize> =
            task.intent.targets().iter().filter_map(|target| group_of.get(&target.record).copied()).collect();
        joined.sort_unstable();
        joined.dedup();
        let into = joined.first().copied().unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        for other in joined.into_iter().skip(1) {
            let moved = groups.get_mut(other).map(std::mem::take).unwrap_or_default();
            for record in moved.iter().filter_map(|index| tasks.get(*index)).flat_map(|task| task.intent.targets()) {
                group_of.insert(&record.record, into);
            }
            groups.get_mut(into).into_iter().for_each(|group| group.extend(&moved));
        }
        groups.get_mut(into).into_iter().for_each(|group| group.push(index));
        group_of.extend(task.intent.targets().iter().map(|target| (&target.record, into)));
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn run_group(
    setting: &Setting,
    tasks: &[Task],
    indexes: &[usize],
    mut states: States,
) -> (BTreeMap<usize, Sealed>, States) {
    let mut answers = BTreeMap::new();
    for index in indexes {
        let Some(task) = tasks.get(*index) else { continue };
        // A panic loses its own intent, which has no outcome then, and nothing else: states change only below.
        let run = std::panic::AssertUnwindSafe(|| run_one(setting, task, &states));
        let sealed = std::panic::catch_unwind(run).unwrap_or_else(|_| Err(lost()));
        if let Ok((_, events)) = &sealed {
            for event in events {
                states.insert(event.header.record.clone(), Some(event.after.clone()));
            }
        }
        answers.insert(*index, sealed);
    }
    (answers, states)
}

fn run_one(setting: &Setting, task: &Task, states: &States) -> Sealed {
    let shared = &setting.shared;
    let executed = judge(setting, task, states)?;
    shared.effort.seal.of(|| seal_one(setting, task, executed))
}

/// Step `execute` with `entitle`.
fn judge(setting: &Setting, task: &Task, states: &States) -> Result<Executed, String> {
    if task.refused_by_database {
        return Ok(refused_by_database(task, states));
    }
    let shared = &setting.shared;
    let (before, in_code) = (thread_time(), AtomicU64::new(0));
    let engine = Metered { engine: shared.parts.engine.as_ref(), took: &in_code };
    let job = Execution {
        intent: &task.intent,
        directory: &setting.directory,
        states,
        packages: &shared.packages,
        engine: &engine,
        limits: shared.config.limits,
        time: setting.time,
    };
    let executed = execute(&job);
    let all = thread_time().saturating_sub(before);
    let in_code = Duration::from_nanos(in_code.load(Ordering::Relaxed));
    shared.effort.execute.add(in_code);
    shared.effort.entitle.add(all.saturating_sub(in_code));
    executed.map_err(|interrupted| match interrupted {
        Interrupted::Missing(records) => {
            format!("record {} was not loaded", records.first().map(ToString::to_string).unwrap_or_default())
        }
        Interrupted::MissingPackage(digest) => {
            format!("package {digest} is not in the database; `lockstep verify` says more")
        }
        Interrupted::Broken(what) => format!("the engine failed: {what}"),
    })
}

/// Steps `seal` and `outcome`.
fn seal_one(setting: &Setting, task: &Task, executed: Executed) -> Sealed {
    let shared = &setting.shared;
    let mut salts = Salts::new((shared.secrets)()?);
    let directory = (setting.directory.seq(), setting.directory.head());
    let (ending, rejected, events) = match executed.verdict {
        Verdict::Applied(effects) => {
            let sealing = Sealing {
                directory: &setting.directory,
                log: &setting.log,
                sequencer: &shared.name,
                intent: task.intent.id(),
                time: setting.time,
            };
            (Ending::Applied, None, seal(effects, &sealing, &mut || salts.take()))
        }
        Verdict::Rejected(rejected) => (Ending::Rejected, Some(rejected), Vec::new()),
        Verdict::Expired => {
            let message = format!("its turn came at {}, after it had expired", setting.time);
            (Ending::Expired, Some(Rejected::new(Code::Expired, message)), Vec::new())
        }
    };
    let reasons = Reasons {
        rejected,
        judged: executed.judged,
        directory,
        salts: [salts.take(), salts.take(), salts.take(), salts.take()],
    };
    let outcome = Outcome {
        network: setting.directory.network(),
        intent: task.intent.id(),
        ending,
        submitted: task.submitted,
        time: setting.time,
        events: events.iter().map(|event| event.id).collect(),
        said: reasons.into(),
    };
    Ok((outcome, events))
}

fn refused_by_database(task: &Task, states: &States) -> Executed {
    let reads = task.intent.targets().iter().map(|target| {
        let state = states.get(&target.record).and_then(Option::as_ref);
        Read {
            record: target.record.clone(),
            seq: state.map_or(0, |state| state.seq),
            head: state.map(|state| state.head),
        }
    });
    let rejected = Rejected::new(
        Code::DatabaseRefused,
        "the database of the record's sequencer refuses a row; its owner sees why in the log",
    );
    Executed {
        verdict: Verdict::Rejected(rejected),
        judged: Judged { reads: reads.collect(), package: None },
        trace: Vec::new(),
    }
}
