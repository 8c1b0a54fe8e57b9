//! Step `commit`: the one task that owns the database transaction and runs it to its end.
//!
//! No receipt, checkpoint or reply leaves before the commit; the checkpoint beside the key is written while the
//! database commits, and renamed into place after the commit and before any reply.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Batch, CommitError};
use lockstep_core::directory::Directory;
use lockstep_core::sync::Share;
use tokio::sync::mpsc;

use crate::again::Pauses;
use crate::effort::Counted;
use crate::objections::Kept;
use crate::open::{Shared, all_tables, lay_checkpoint, place_checkpoint};
use crate::submit::{Decided, Job, SubmitError, Work};

/// A batch, ready to be committed.
pub(crate) struct Prepared {
    pub(crate) jobs: Vec<(Job, Decided)>,
    pub(crate) nonces: Vec<(String, Digest)>,
    pub(crate) batch: Batch,
    /// The signed head of the log after it; `None` where the batch leaves the log as it is.
    pub(crate) note: Option<String>,
    /// Leaves of the log after it.
    pub(crate) size: u64,
    /// Set where the batch holds an event of the directory.
    pub(crate) directory: Option<Arc<Directory>>,
    /// The objections that it holds.
    pub(crate) objections: Vec<Kept>,
}

/// What the committer tells the pipeline: one answer for each batch, in order.
pub(crate) enum Feedback {
    Committed {
        nonces: Vec<(String, Digest)>,
    },
    /// The database refuses a row of these.
    Returned {
        jobs: Vec<Job>,
    },
}

enum Fate {
    Committed,
    Refused,
    /// The node cannot go on.
    Stop(String),
}

pub(crate) async fn run(
    shared: Arc<Shared>,
    mut batches: mpsc::Receiver<Prepared>,
    feedback: mpsc::UnboundedSender<Feedback>,
) {
    while let Some(prepared) = batches.recv().await {
        // The checkpoint is written while the database commits; it counts from its renaming on, after that.
        let (fate, laid) = tokio::join!(commit(&shared, &prepared.batch), lay(&shared, prepared.note.as_deref()));
        let answer = match fate {
            Fate::Committed => match conclude(&shared, &prepared, laid).await {
                Ok(()) => reply(prepared),
                Err(reason) => return shared.stop(reason),
            },
            Fate::Refused => Feedback::Returned { jobs: jobs_of(prepared) },
            Fate::Stop(reason) => return shared.stop(reason),
        };
        if feedback.send(answer).is_err() {
            return;
        }
    }
}

fn jobs_of(prepared: Prepared) -> Vec<Job> {
    prepared.jobs.into_iter().map(|(job, _)| job).collect()
}

/// Commits a batch, as often as it takes to know.
async fn commit(shared: &Shared, batch: &Batch) -> Fate {
    let began = std::time::Instant::now();
    let fate = commit_until_known(shared, batch).await;
    if matches!(fate, Fate::Committed) {
        shared.meters.committed(batch, began.elapsed());
    }
    shared.held_up.store(false, Ordering::Relaxed);
    fate
}

async fn commit_until_known(shared: &Shared, batch: &Batch) -> Fate {
    let database = shared.parts.database.as_ref();
    let mut pauses = Pauses::new();
    loop {
        let commit = Counted { work: database.commit(batch), sum: &shared.effort.commit };
        match commit.await {
            Ok(()) => return Fate::Committed,
            Err(CommitError::Refused { detail }) => {
                (shared.parts.notice)(&format!("the database refuses a row: {detail}"));
                return Fate::Refused;
            }
            Err(CommitError::Unavailable { .. }) => {}
            Err(CommitError::Unknown { .. } | CommitError::Conflict) => {
                // The head says what happened; reading it waits out a transaction that may still run.
                match database.head().await {
                    // A batch that leaves the log as it is says the same when it is written twice.
                    Ok(head) if head == batch.expected_head => {}
                    Ok(head) if head.as_ref() == Some(&batch.head) => return Fate::Committed,
                    Ok(_) => return Fate::Stop(CommitError::Conflict.to_string()),
                    Err(_) => {}
                }
            }
        }
        shared.held_up.store(true, Ordering::Relaxed);
        pauses.pause().await;
    }
}

/// Writes the checkpoint beside its place, where the batch brings one.
async fn lay(shared: &Shared, note: Option<&str>) -> Result<(), String> {
    let Some(note) = note else { return Ok(()) };
    let (path, note) = (shared.parts.checkpoint.clone(), note.to_owned());
    let laid = tokio::task::spawn_blocking(move || lay_checkpoint(&path, &note)).await;
    laid.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Puts the checkpoint into its place, as often as it takes: a disk that is full gets room again, and what was committed
/// is told only then.
async fn place(shared: &Shared, note: &str, mut laid: Result<(), String>) {
    let (mut pauses, mut told) = (Pauses::new(), false);
    loop {
        let place = |()| place_checkpoint(&shared.parts.checkpoint).map_err(|error| error.to_string());
        let Err(problem) = laid.and_then(place) else { break };
        if !std::mem::replace(&mut told, true) {
            (shared.parts.notice)(&format!("the checkpoint cannot be written now, which is tried again: {problem}"));
        }
        shared.held_up.store(true, Ordering::Relaxed);
        pauses.pause().await;
        laid = lay(shared, Some(note)).await;
    }
    shared.held_up.store(false, Ordering::Relaxed);
}

/// What follows a commit before anybody hears of it.
async fn conclude(shared: &Shared, prepared: &Prepared, laid: Result<(), String>) -> Result<(), String> {
    let Some(note) = &prepared.note else { return Ok(()) };
    place(shared, note, laid).await;
    if let Some(directory) = &prepared.directory {
        shared.parts.database.prepare(&all_tables(directory)).await.map_err(|error| error.to_string())?;
        for (job, _) in &prepared.jobs {
            if let Work::Directory { event, .. } = &job.work {
                shared.past.push(event).map_err(|error| error.to_string())?;
            }
        }
        shared.set_directory(directory.clone());
    }
    shared.objections.note(&prepared.objections);
    shared.leaves.store(prepared.size, Ordering::Relaxed);
    shared.commits.send_modify(|commits| *commits += 1);
    tell_arrivals(shared, prepared);
    Ok(())
}

/// Whoever handed an intent over and waits for its outcome hears of it from the commit itself, and what was compared
/// counts from there on, whatever becomes of the connection that it came on.
fn tell_arrivals(shared: &Shared, prepared: &Prepared) {
    let Some(network) = shared.network.get() else { return };
    for (job, _) in &prepared.jobs {
        if let Work::Received { from, shares, verdicts } = &job.work {
            network.committed(from, &verdicts.lock().unwrap_or_else(PoisonError::into_inner));
            network.arrived(shares.iter().filter_map(Share::intent).collect());
        }
    }
}

fn reply(prepared: Prepared) -> Feedback {
    for (job, decided) in prepared.jobs {
        for waiter in job.waiters {
            // A waiter that has gone does not need its answer.
            drop(waiter.send(Ok::<_, SubmitError>(decided.clone())));
        }
    }
    Feedback::Committed { nonces: prepared.nonces }
}
