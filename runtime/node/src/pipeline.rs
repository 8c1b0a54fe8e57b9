//! The pipeline: what waits is executed on the states that the batches before leave, committed or not, and joins the
//! batch that is being made while the committer works on the one before.
//!
//! Invariant: the committer has at most one batch, and gets the next one when it has answered for the last. So a lone
//! intent on an idle node goes straight through, and under load a batch is whatever was executed during a commit: no
//! stage waits for another as long as there is something to do.
//!
//! A read that the database cannot answer now is tried again, with its group held as it is, until it is answered.
//!
//! When a batch fails, all that was built on it is dropped: states, outcomes, tree, nonces; its intents and those of
//! the batch being made come back and are executed again in their order.

mod admit;
mod agree;
mod open;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::TableWrites;
use lockstep_core::directory::Directory;
use lockstep_core::intent::{Refusal, VerifiedIntent};
use lockstep_core::project::Ledger;
use lockstep_core::record::States;
use lockstep_core::sync::{Had, Heard};
use lockstep_core::tables::{Role, Table, name};
use lockstep_core::time::Timestamp;
use tokio::sync::mpsc;

use crate::again::read_again;
use crate::commit::{Feedback, Prepared, run as run_committer};
use crate::compute::compute;
use crate::execute::{Setting, Task, execute_batch};
use crate::load;
use crate::open::{NodeError, Shared};
use crate::submit::{Decided, Job, SubmitError, Work};
use admit::nonce_of;
pub(crate) use open::Open;

/// Most intents that are executed together: what comes meanwhile has to wait for them, and so has a free committer.
const GROUP: usize = 256;

/// What batches are built on; dropped as a whole when one fails.
pub(crate) struct Built {
    /// The log after the last batch that the committer was given.
    pub(crate) ledger: Ledger,
    pub(crate) directory: Arc<Directory>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) states: States,
    /// The outcome received of each log with the highest position.
    pub(crate) heard: BTreeMap<String, Heard>,
    /// The logs for which it was looked up what was heard before.
    pub(crate) heard_of: BTreeSet<String>,
    /// Outcomes of other nodes that the database may not show yet.
    pub(crate) arrived: BTreeMap<String, Had>,
    /// (actor, nonce) of intents that the committer has not answered for.
    in_flight: BTreeMap<(String, Digest), Digest>,
}

pub(crate) struct Pipeline {
    pub(crate) shared: Arc<Shared>,
    pub(crate) built: Built,
    /// The batch that is being made, where there is anything in it.
    pub(crate) open: Option<Open>,
    jobs: mpsc::Receiver<Job>,
    /// What comes before anything new.
    returned: VecDeque<Returned>,
    /// Intents that the committer has to answer for before it is known what becomes of them here.
    deferred: Vec<Job>,
    feedback: mpsc::UnboundedReceiver<Feedback>,
    committing: Option<Committing>,
}

/// Jobs that came back.
struct Returned {
    jobs: Vec<Job>,
    /// Whether they are to be tried as one batch: one of them is what the database refuses.
    alone: bool,
}

/// What the committer is at.
struct Committing {
    /// The tables that an event of the directory brings are made after its commit: nothing can be loaded from them, or
    /// built on it, before.
    changes_directory: bool,
}

enum Next {
    Jobs(Vec<Job>),
    Alone(Vec<Job>),
    Feedback(Feedback),
    End,
}

/// Runs until the queue is closed and empty, the node has to stop, or nobody waits any more. Jobs that are dropped here
/// unanswered tell their waiters so.
pub(crate) async fn run(shared: Arc<Shared>, ledger: Ledger, jobs: mpsc::Receiver<Job>) {
    let (to_committer, batches) = mpsc::channel(1);
    let (answers, feedback) = mpsc::unbounded_channel();
    let committing = shared.clone();
    let committer = tokio::spawn(async move {
        // A commit that is dropped is applied whole or not at all, so that it can be left alone at any moment.
        tokio::select! {
            biased;
            () = committing.giving_up() => {}
            () = run_committer(committing.clone(), batches, answers) => {}
        }
    });
    let built = Built::new(ledger, shared.directory());
    let (returned, deferred) = (VecDeque::new(), Vec::new());
    let mut pipeline = Pipeline { shared, built, open: None, jobs, returned, deferred, feedback, committing: None };
    let giving_up = pipeline.shared.clone();
    tokio::select! {
        biased;
        () = giving_up.giving_up() => {}
        ended = pipeline.work(&to_committer) => if let Err(error) = ended { pipeline.shared.stop(error.to_string()) },
    }
    drop(to_committer);
    if let Err(error) = committer.await {
        pipeline.shared.stop(format!("the committer broke off: {error}"));
    }
}

/// The tables that records stand in as they are, not those of their versions.
fn states_tables(directory: &Directory) -> BTreeMap<String, Table> {
    let tables = directory.record_tables().into_iter().filter(|table| table.role == Role::Records);
    tables.map(|table| (table.name.clone(), table)).collect()
}

impl Built {
    fn new(ledger: Ledger, directory: Arc<Directory>) -> Self {
        let tables = states_tables(&directory);
        let (states, heard, in_flight) = (States::new(), BTreeMap::new(), BTreeMap::new());
        let arrived = BTreeMap::new();
        Built { ledger, directory, tables, states, heard, heard_of: BTreeSet::new(), arrived, in_flight }
    }

    fn set_directory(&mut self, directory: Arc<Directory>) {
        self.tables = states_tables(&directory);
        self.directory = directory;
    }
}

impl Pipeline {
    async fn work(&mut self, to_committer: &mpsc::Sender<Prepared>) -> Result<(), NodeError> {
        loop {
            if self.committing.is_none()
                && let Some(open) = self.open.take()
            {
                let prepared = self.close(open)?;
                self.committing = Some(Committing { changes_directory: prepared.directory.is_some() });
                // A committer that has ended before its time has said why.
                let Ok(()) = to_committer.send(prepared).await else { return Ok(()) };
            }
            match self.next().await {
                Next::Jobs(jobs) => self.add(jobs, false).await?,
                Next::Alone(jobs) => {
                    self.add(jobs, true).await?;
                    self.seal();
                }
                Next::Feedback(feedback) => self.take_feedback(feedback).await?,
                Next::End => return Ok(()),
            }
        }
    }

    /// What there is to do next: an answer of the committer first, then what came back, then what is new.
    async fn next(&mut self) -> Next {
        loop {
            if let Ok(feedback) = self.feedback.try_recv() {
                return Next::Feedback(feedback);
            }
            let room = self.room();
            if room > 0
                && let Some(Returned { jobs, alone }) =
                    self.returned.pop_front_if(|first| !first.alone || self.open.is_none())
            {
                return if alone { Next::Alone(jobs) } else { Next::Jobs(jobs) };
            }
            let blocked = room == 0 || !self.returned.is_empty();
            tokio::select! {
                biased;
                feedback = self.feedback.recv(), if self.committing.is_some() => {
                    // No more feedback: the committer has ended before its time.
                    return feedback.map_or(Next::End, Next::Feedback);
                }
                () = self.shared.closing.notified() => self.jobs.close(),
                job = self.jobs.recv(), if !blocked => match job {
                    Some(job) => return Next::Jobs(self.drain(job, room.min(GROUP))),
                    None if self.committing.is_none() => return Next::End,
                    None => return self.feedback.recv().await.map_or(Next::End, Next::Feedback),
                },
            }
        }
    }

    /// How many more intents the batch being made takes now.
    fn room(&self) -> usize {
        match (&self.committing, &self.open) {
            (Some(Committing { changes_directory: true }), _) => 0,
            // Memory is bounded by what nothing in flight is built on: it is dropped, and loaded again where needed.
            (Some(_), _) if self.crowded() => 0,
            (_, open) => open.as_ref().map_or(self.shared.config.batch, |open| open.room(&self.shared.config)),
        }
    }

    fn crowded(&self) -> bool {
        let most = self.shared.config.cached_records;
        self.built.states.len() > most || self.built.arrived.len() > most
    }

    /// Whatever waits, up to a group; all but intents stand alone in theirs.
    fn drain(&mut self, first: Job, most: usize) -> Vec<Job> {
        let mut jobs = vec![first];
        while jobs.len() < most && !jobs.last().is_some_and(stands_alone) {
            match self.jobs.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        if jobs.len() > 1 && jobs.last().is_some_and(stands_alone) {
            let last = jobs.pop().into_iter().collect();
            self.put_back(last, false);
        }
        jobs
    }

    async fn take_feedback(&mut self, feedback: Feedback) -> Result<(), NodeError> {
        self.committing = None;
        match feedback {
            Feedback::Committed { nonces } => {
                for nonce in nonces {
                    self.built.in_flight.remove(&nonce);
                }
                self.evict();
            }
            Feedback::Returned { jobs } => {
                let database = self.shared.parts.database.as_ref();
                let loaded = read_again(&self.shared, || load::start(database)).await?;
                self.built = Built::new(loaded.ledger, Arc::new(loaded.directory));
                let built_on_it = self.open.take().map(Open::into_jobs).unwrap_or_default();
                self.put_back(built_on_it, false);
                for group in halves(jobs) {
                    self.put_back(group, true);
                }
            }
        }
        let deferred = std::mem::take(&mut self.deferred);
        self.put_back(deferred, false);
        Ok(())
    }

    /// A group that is to be tried again, before what came after it.
    fn put_back(&mut self, jobs: Vec<Job>, alone: bool) {
        let Some(order) = jobs.first().map(|job| job.order) else { return };
        let later = |other: &Returned| other.jobs.first().is_some_and(|job| job.order > order);
        let at = self.returned.iter().position(later).unwrap_or(self.returned.len());
        self.returned.insert(at, Returned { jobs, alone });
    }

    /// Drops what can be loaded again and nothing in flight builds on.
    fn evict(&mut self) {
        if self.open.is_none() {
            self.built.arrived.clear();
            if self.built.states.len() > self.shared.config.cached_records {
                self.built.states.clear();
            }
        }
    }

    /// Decides a group, and adds what became of it to the batch being made.
    async fn add(&mut self, mut jobs: Vec<Job>, alone: bool) -> Result<(), NodeError> {
        let intents = jobs.iter().position(stands_alone).unwrap_or(jobs.len());
        let rest = jobs.split_off(intents.max(1));
        self.put_back(rest, alone);
        if intents == 0 {
            return match jobs.pop() {
                Some(job) => self.add_one(job).await,
                None => Ok(()),
            };
        }
        let jobs = self.admit(jobs).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        self.load(&jobs).await?;
        self.execute(jobs).await
    }

    /// Adds what is no intent.
    async fn add_one(&mut self, job: Job) -> Result<(), NodeError> {
        match &job.work {
            Work::Received { from, shares, verdicts } => {
                let (from, shares, verdicts) = (from.clone(), shares.clone(), verdicts.clone());
                self.add_received(job, &from, shares, &verdicts).await
            }
            Work::Objection { found } => {
                let found = found.clone();
                self.add_objection(job, found).await
            }
            Work::Directory { event, package } => {
                let (event, package) = (event.clone(), package.clone());
                self.add_directory(job, &event, package.as_deref());
                Ok(())
            }
            Work::Note { writes } => {
                let writes = writes.clone();
                self.add_note(job, writes);
                Ok(())
            }
            Work::Intent { .. } | Work::Elsewhere { .. } => Ok(()),
        }
    }

    /// Rows that leave the log as it is.
    fn add_note(&mut self, job: Job, writes: Vec<TableWrites>) {
        if job.refused_by_database {
            return answer_all(job, &Err(SubmitError::Unrecorded));
        }
        let decided = Decided { intent: self.built.directory.network(), repeated: false };
        let open = self.open();
        open.beside.extend(writes);
        open.jobs.push((job, decided));
    }

    /// Step `load`: the records that a group names.
    async fn load(&mut self, jobs: &[(Job, Task)]) -> Result<(), NodeError> {
        let intents: Vec<&VerifiedIntent> = jobs.iter().map(|(_, task)| task.intent.as_ref()).collect();
        let events = self.own(name::EVENT)?;
        let database = self.shared.parts.database.as_ref();
        let (directory, tables, known) = (&self.built.directory, &self.built.tables, &self.built.states);
        let read = || load::records(database, directory, tables, &events, &intents, known);
        let loaded = read_again(&self.shared, read).await?;
        self.built.states.extend(loaded);
        Ok(())
    }

    /// Steps `execute` to `project`.
    async fn execute(&mut self, jobs: Vec<(Job, Task)>) -> Result<(), NodeError> {
        let setting = Setting {
            shared: self.shared.clone(),
            directory: self.built.directory.clone(),
            log: self.built.ledger.log.clone(),
            time: self.now(),
        };
        let states = std::mem::take(&mut self.built.states);
        let tasks: Vec<Task> = jobs.iter().map(|(_, task)| task.clone()).collect();
        let executed = compute(move || {
            let (answers, states) = execute_batch(&setting, &tasks, states);
            (answers, states, tasks)
        });
        let (answers, states, tasks) = executed.await.map_err(NodeError::Broken)?;
        self.built.states = states;
        let (shared, directory) = (self.shared.clone(), self.built.directory.clone());
        for (((job, _), task), answer) in jobs.into_iter().zip(&tasks).zip(answers) {
            match answer {
                Ok((outcome, events)) => {
                    let nonce = nonce_of(&task.intent);
                    self.built.in_flight.insert(nonce.clone(), task.intent.id());
                    let open = self.open();
                    shared.effort.project.of(|| open.projection.outcome(&task.intent, &outcome, &events, &directory));
                    open.nonces.push(nonce);
                    open.bytes += task.intent.envelope().len() + task.intent.openings().len();
                    open.jobs.push((job, Decided { intent: task.intent.id(), repeated: false }));
                }
                Err(what) => answer_all(job, &Err(SubmitError::Refused(Refusal::new(Code::Internal, what)))),
            }
        }
        Ok(())
    }

    /// The time at which this node decides: that of its clock, and not before the log's.
    pub(crate) fn now(&self) -> Timestamp {
        let of_log = self.open.as_ref().map_or(self.built.ledger.time, |open| open.projection.time());
        self.shared.parts.clock.now().max(of_log)
    }

    pub(crate) fn own(&self, table: &str) -> Result<Arc<Table>, NodeError> {
        self.shared
            .own
            .get(table)
            .cloned()
            .ok_or_else(|| NodeError::Broken(format!("no table {table} in the catalogue")))
    }
}

/// All but intents; an event of the directory is a batch of its own, too.
fn stands_alone(job: &Job) -> bool {
    !matches!(job.work, Work::Intent { .. })
}

pub(crate) fn answer_all(job: Job, answer: &Result<Decided, SubmitError>) {
    for waiter in job.waiters {
        // A waiter that has gone does not need its answer.
        drop(waiter.send(answer.clone()));
    }
}

/// A batch that the database refuses for good is tried in halves, down to the intent that it refuses.
fn halves(mut jobs: Vec<Job>) -> Vec<Vec<Job>> {
    match jobs.as_mut_slice() {
        // Not even the row that says so is taken: then there is nothing left to try.
        [only] if only.refused_by_database => {
            jobs.into_iter().for_each(|job| answer_all(job, &Err(SubmitError::Unrecorded)));
            Vec::new()
        }
        [only] => {
            only.refused_by_database = true;
            vec![jobs]
        }
        _ => {
            let second = jobs.split_off(jobs.len() / 2);
            vec![jobs, second]
        }
    }
}
