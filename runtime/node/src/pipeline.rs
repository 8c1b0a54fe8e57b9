//! The pipeline: what waits becomes a batch, is executed on the states that the batch before left, committed or
//! not, and handed to the committer, which works on one batch while the next is made.
//!
//! Invariant: there is room for one batch between this and the committer, and none is begun before that room is
//! free. So a lone intent on an idle node goes straight through, and under load a batch is whatever waited while
//! the last one was committed.
//!
//! A read that the database cannot answer now is tried again, with its batch held as it is, until it is answered.
//!
//! When a batch fails, all that was built on it is dropped: states, outcomes, tree, nonces; its intents and those of
//! the batches built on it come back and are executed again in their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::Batch;
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::intent::{Refusal, VerifiedIntent};
use lockstep_core::package::Package;
use lockstep_core::project::{Ledger, Projection};
use lockstep_core::record::States;
use lockstep_core::sync::{Had, Heard};
use lockstep_core::tables::{Role, Table, name};
use tokio::sync::mpsc;

use crate::again::read_again;
use crate::commit::{Feedback, Prepared, run as run_committer};
use crate::execute::{Setting, Task, execute_batch};
use crate::load;
use crate::open::{NodeError, Shared};
use crate::submit::{Decided, Job, SubmitError, Work};

/// How far ahead of this node's clock an event of the directory may be: a log's time never goes back, so that one from
/// the far future would have every later intent expire.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// What batches are built on; dropped as a whole when one fails.
pub(crate) struct Built {
    pub(crate) generation: u64,
    pub(crate) ledger: Ledger,
    pub(crate) directory: Arc<Directory>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) states: States,
    /// The outcome received of each log with the highest position.
    pub(crate) heard: BTreeMap<String, Heard>,
    /// The logs for which it was looked up what was heard before.
    pub(crate) heard_of: BTreeSet<String>,
    /// Outcomes of other nodes in batches that the committer has and has not answered for.
    pub(crate) arrived: BTreeMap<String, Had>,
    /// (actor, nonce) of intents that the committer has and has not answered for.
    in_flight: BTreeMap<(String, Digest), Digest>,
}

pub(crate) struct Pipeline {
    pub(crate) shared: Arc<Shared>,
    pub(crate) built: Built,
    jobs: mpsc::Receiver<Job>,
    /// Groups that came back, each to be tried as one batch, before anything new.
    returned: VecDeque<Vec<Job>>,
    feedback: mpsc::UnboundedReceiver<Feedback>,
    unanswered: usize,
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
    let directory = shared.directory();
    let built = Built::new(0, ledger, directory);
    let mut pipeline = Pipeline { shared, built, jobs, returned: VecDeque::new(), feedback, unanswered: 0 };
    let giving_up = pipeline.shared.clone();
    tokio::select! {
        biased;
        () = giving_up.giving_up() => {}
        () = pipeline.work(&to_committer) => {}
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
    fn new(generation: u64, ledger: Ledger, directory: Arc<Directory>) -> Self {
        let tables = states_tables(&directory);
        let (states, heard, in_flight) = (States::new(), BTreeMap::new(), BTreeMap::new());
        let arrived = BTreeMap::new();
        Built { generation, ledger, directory, tables, states, heard, heard_of: BTreeSet::new(), arrived, in_flight }
    }

    fn set_directory(&mut self, directory: Arc<Directory>) {
        self.tables = states_tables(&directory);
        self.directory = directory;
    }
}

impl Pipeline {
    async fn work(&mut self, to_committer: &mpsc::Sender<Prepared>) {
        loop {
            let Ok(room) = to_committer.reserve().await else { return };
            while let Ok(feedback) = self.feedback.try_recv() {
                if self.take(feedback).await.is_none() {
                    return;
                }
            }
            let Some(jobs) = self.next_jobs().await else { return };
            match self.prepare(jobs).await {
                Ok(Some(prepared)) => {
                    let changes_directory = prepared.directory.is_some();
                    self.unanswered += 1;
                    room.send(prepared);
                    // The tables that an event of the directory brings are made after its commit: nothing can be
                    // loaded from them, or built on it, before.
                    while changes_directory && self.unanswered > 0 {
                        let Some(feedback) = self.feedback.recv().await else { return };
                        if self.take(feedback).await.is_none() {
                            return;
                        }
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    self.shared.stop(error.to_string());
                    return;
                }
            }
        }
    }

    /// The jobs of the next batch; `None` when there will be none.
    async fn next_jobs(&mut self) -> Option<Vec<Job>> {
        loop {
            if let Some(group) = self.returned.pop_front() {
                return Some(group);
            }
            tokio::select! {
                biased;
                // No more feedback: the committer has ended before its time.
                feedback = self.feedback.recv(), if self.unanswered > 0 => self.take(feedback?).await?,
                () = self.shared.closing.notified() => self.jobs.close(),
                job = self.jobs.recv() => match job {
                    Some(job) => return Some(self.drain(job)),
                    None if self.unanswered == 0 => return None,
                    None => {
                        let feedback = self.feedback.recv().await?;
                        self.take(feedback).await?;
                    }
                },
            }
        }
    }

    /// Takes feedback; `None` where the node has to stop for what it says.
    async fn take(&mut self, feedback: Feedback) -> Option<()> {
        let taken = self.take_feedback(feedback).await;
        taken.map_err(|error| self.shared.stop(error.to_string())).ok()
    }

    /// Whatever waits, up to a batch; an event of the directory stands alone, and so does what was received.
    fn drain(&mut self, first: Job) -> Vec<Job> {
        let mut jobs = vec![first];
        while jobs.len() < self.shared.config.batch && !jobs.last().is_some_and(stands_alone) {
            match self.jobs.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        if jobs.len() > 1 && jobs.last().is_some_and(stands_alone) {
            let alone = jobs.pop().into_iter().collect();
            self.put_back(alone);
        }
        jobs
    }

    async fn take_feedback(&mut self, feedback: Feedback) -> Result<(), NodeError> {
        self.unanswered -= 1;
        match feedback {
            Feedback::Committed { nonces } => {
                for nonce in nonces {
                    self.built.in_flight.remove(&nonce);
                }
                self.evict();
            }
            Feedback::Returned { jobs, generation, split } => {
                if generation > self.built.generation {
                    let database = self.shared.parts.database.as_ref();
                    let loaded = read_again(&self.shared, || load::start(database)).await?;
                    self.built = Built::new(generation, loaded.ledger, Arc::new(loaded.directory));
                }
                for group in if split { halves(jobs) } else { vec![jobs] } {
                    self.put_back(group);
                }
            }
        }
        Ok(())
    }

    /// A group that is to be tried again, before what came after it.
    fn put_back(&mut self, group: Vec<Job>) {
        let Some(order) = group.first().map(|job| job.order) else { return };
        let later = |other: &Vec<Job>| other.first().is_some_and(|job| job.order > order);
        let at = self.returned.iter().position(later).unwrap_or(self.returned.len());
        self.returned.insert(at, group);
    }

    /// Keeps memory bounded: states that no batch in flight builds on can be loaded again.
    fn evict(&mut self) {
        if self.unanswered == 0 {
            self.built.arrived.clear();
        }
        if self.unanswered == 0 && self.built.states.len() > self.shared.config.cached_records {
            self.built.states.clear();
        }
    }

    async fn prepare(&mut self, mut jobs: Vec<Job>) -> Result<Option<Prepared>, NodeError> {
        if let [Job { work: Work::Received { from, shares, verdicts }, refused_by_database, .. }] = jobs.as_slice() {
            let (from, shares, verdicts) = (from.clone(), shares.clone(), verdicts.clone());
            let (refused, job) = (*refused_by_database, jobs.remove(0));
            return self.prepare_received(job, &from, shares, &verdicts, refused).await;
        }
        if let [Job { work: Work::Objection { found }, .. }] = jobs.as_slice() {
            let found = found.clone();
            return self.prepare_objection(jobs.remove(0), found).await;
        }
        if let [Job { work: Work::Note { .. }, .. }] = jobs.as_slice() {
            return Ok(self.prepare_note(jobs.remove(0)));
        }
        if let [Job { work: Work::Directory { event, package }, .. }] = jobs.as_slice() {
            let (event, package) = (event.clone(), package.clone());
            return Ok(self.prepare_directory(jobs.remove(0), &event, package));
        }
        let jobs = self.admit(jobs).await?;
        if jobs.is_empty() {
            return Ok(None);
        }
        let intents: Vec<&VerifiedIntent> = jobs.iter().map(|(_, task)| task.intent.as_ref()).collect();
        let events = self.own(name::EVENT)?;
        let database = self.shared.parts.database.as_ref();
        let (directory, tables, known) = (&self.built.directory, &self.built.tables, &self.built.states);
        let read = || load::records(database, directory, tables, &events, &intents, known);
        let loaded = read_again(&self.shared, read).await?;
        self.built.states.extend(loaded);
        let setting = Setting {
            shared: self.shared.clone(),
            directory: self.built.directory.clone(),
            log: self.built.ledger.log.clone(),
            time: self.shared.parts.clock.now().max(self.built.ledger.time),
        };
        let states = std::mem::take(&mut self.built.states);
        let tasks: Vec<Task> = jobs.iter().map(|(_, task)| task.clone()).collect();
        let executed = tokio::task::spawn_blocking(move || {
            let (answers, states) = execute_batch(&setting, &tasks, states);
            (answers, states, tasks)
        });
        let (answers, states, tasks) = executed.await.map_err(|error| NodeError::Broken(error.to_string()))?;
        self.built.states = states;
        let mut projection = Projection::new(&self.built.ledger, &self.shared.own);
        let (mut kept, mut nonces) = (Vec::new(), Vec::new());
        for (((job, _), task), answer) in jobs.into_iter().zip(&tasks).zip(answers) {
            match answer {
                Ok((outcome, events)) => {
                    let directory = &self.built.directory;
                    let effort = &self.shared.effort.project;
                    effort.of(|| projection.outcome(&task.intent, &outcome, &events, directory));
                    let payload = task.intent.payload();
                    nonces.push((payload.actor.to_string(), payload.nonce));
                    self.built.in_flight.insert((payload.actor.to_string(), payload.nonce), task.intent.id());
                    kept.push((job, Decided { intent: task.intent.id(), repeated: false }));
                }
                Err(what) => answer_all(job, &Err(SubmitError::Refused(Refusal::new(Code::Internal, what)))),
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        self.finish(projection, kept, nonces, None).map(Some)
    }

    /// A batch that leaves the log as it is.
    fn prepare_note(&self, job: Job) -> Option<Prepared> {
        let Work::Note { writes } = &job.work else { return None };
        if job.refused_by_database {
            answer_all(job, &Err(SubmitError::Unrecorded));
            return None;
        }
        let (ledger, tables) = (&self.built.ledger, writes.clone());
        let head = ledger.head.clone().unwrap_or_default();
        let decided = Decided { intent: self.built.directory.network(), repeated: false };
        Some(Prepared {
            generation: self.built.generation,
            jobs: vec![(job, decided)],
            nonces: Vec::new(),
            batch: Batch { expected_head: ledger.head.clone(), head, tables },
            note: None,
            size: ledger.appender.size(),
            directory: None,
            objections: Vec::new(),
        })
    }

    pub(crate) fn finish(
        &mut self,
        projection: Projection,
        jobs: Vec<(Job, Decided)>,
        nonces: Vec<(String, Digest)>,
        directory: Option<Arc<Directory>>,
    ) -> Result<Prepared, NodeError> {
        let signer = self.shared.parts.signer.as_ref();
        let projected = self
            .shared
            .effort
            .project
            .of(|| projection.finish(signer))
            .map_err(|error| NodeError::Broken(error.to_string()))?;
        self.built.ledger = projected.ledger;
        Ok(Prepared {
            generation: self.built.generation,
            jobs,
            nonces,
            batch: projected.batch,
            note: Some(projected.note),
            size: projected.size,
            directory,
            objections: Vec::new(),
        })
    }

    pub(crate) fn own(&self, table: &str) -> Result<Arc<Table>, NodeError> {
        self.shared
            .own
            .get(table)
            .cloned()
            .ok_or_else(|| NodeError::Broken(format!("no table {table} in the catalogue")))
    }

    /// Answers what was decided before, and turns away what the directory has made invalid meanwhile.
    async fn admit(&mut self, jobs: Vec<Job>) -> Result<Vec<(Job, Task)>, NodeError> {
        let mut admitted: Vec<(Job, Task)> = Vec::new();
        let mut first: BTreeMap<(String, Digest), usize> = BTreeMap::new();
        let mut deferred = Vec::new();
        for mut job in jobs {
            let Work::Intent { intent, submitted, directory } = &job.work else { continue };
            let task =
                Task { intent: intent.clone(), submitted: *submitted, refused_by_database: job.refused_by_database };
            let key = (intent.payload().actor.to_string(), intent.payload().nonce);
            if let Some(error) = self.stale(intent, directory) {
                answer_all(job, &Err(error));
                continue;
            }
            let earlier = first.get(&key).copied().and_then(|index| admitted.get_mut(index));
            if let Some((known, known_task)) = earlier {
                if known_task.intent.id() == task.intent.id() {
                    known.waiters.append(&mut job.waiters);
                } else {
                    answer_all(job, &Err(nonce_reused(&task.intent)));
                }
            } else if self.built.in_flight.contains_key(&key) {
                deferred.push(job);
            } else {
                first.insert(key, admitted.len());
                admitted.push((job, task));
            }
        }
        if !deferred.is_empty() {
            self.put_back(deferred);
            if admitted.is_empty()
                && let Some(feedback) = self.feedback.recv().await
            {
                // Nothing can be done before the committer has answered for the same intents.
                self.take_feedback(feedback).await?;
            }
        }
        self.answer_repeated(admitted).await
    }

    async fn answer_repeated(&self, admitted: Vec<(Job, Task)>) -> Result<Vec<(Job, Task)>, NodeError> {
        let intents: Vec<&VerifiedIntent> = admitted.iter().map(|(_, task)| task.intent.as_ref()).collect();
        let (database, table) = (self.shared.parts.database.as_ref(), self.own(name::INTENT)?);
        let used = read_again(&self.shared, || load::used_nonces(database, &table, &intents)).await?;
        let mut fresh = Vec::new();
        for (job, task) in admitted {
            let payload = task.intent.payload();
            match used.get(&(payload.actor.to_string(), payload.nonce.to_string())) {
                None => fresh.push((job, task)),
                Some(known) if *known == task.intent.id().to_string() => {
                    answer_all(job, &Ok(Decided { intent: task.intent.id(), repeated: true }))
                }
                Some(_) => answer_all(job, &Err(nonce_reused(&task.intent))),
            }
        }
        Ok(fresh)
    }

    /// Whether the actor's key is no longer the one that the door checked against.
    fn stale(&self, intent: &VerifiedIntent, checked: &Arc<Directory>) -> Option<SubmitError> {
        if checked.seq() == self.built.directory.seq() {
            return None;
        }
        let actor = &intent.payload().actor;
        let (then, now) = (checked.actors().get(actor), self.built.directory.actors().get(actor));
        match (then, now) {
            (Some(then), Some(now)) if then.key == now.key && now.revoked.is_none() => None,
            _ => Some(SubmitError::Refused(Refusal::new(
                Code::RevokedActor,
                format!("the key of {actor} was taken away while its intent waited"),
            ))),
        }
    }

    fn prepare_directory(&mut self, job: Job, event: &DirectoryEvent, package: Option<Vec<u8>>) -> Option<Prepared> {
        let refuse = |job: Job, code, what: String| {
            answer_all(job, &Err(SubmitError::Refused(Refusal::new(code, what))));
            None
        };
        if job.refused_by_database {
            return refuse(job, Code::DatabaseRefused, "the database refuses a row of the directory".to_owned());
        }
        let now = self.shared.parts.clock.now();
        if event.time > now.plus(CLOCK_TOLERANCE) {
            let what = format!("its time {} is ahead of this node's clock, which shows {now}", event.time);
            return refuse(job, Code::DirectoryRefused, what);
        }
        let mut directory = Directory::clone(&self.built.directory);
        if let Err(error) = directory.apply(event) {
            return refuse(job, Code::DirectoryRefused, error.to_string());
        }
        if let lockstep_core::directory::Body::ContractPropose { manifest } = &event.body {
            let decoded = package.as_deref().map(Package::decode);
            match decoded {
                Some(Ok(package)) if package.digest() == manifest.digest() => {
                    // A package that only brings specs has no code to check.
                    let checked = package.manifest.code.map_or(Ok(()), |_| self.shared.parts.engine.check(&package));
                    match checked {
                        Ok(()) => self.shared.packages.insert(package),
                        Err(error) => return refuse(job, Code::PackageRefused, error.to_string()),
                    }
                }
                Some(Err(error)) => return refuse(job, Code::PackageRefused, error.to_string()),
                _ => {
                    return refuse(
                        job,
                        Code::PackageRefused,
                        "a proposal comes with the package that it names".to_owned(),
                    );
                }
            }
        }
        let directory = Arc::new(directory);
        let mut projection = Projection::new(&self.built.ledger, &self.shared.own);
        projection.directory(event, &directory, package.as_deref());
        let decided = Decided { intent: event.head(), repeated: false };
        match self.finish(projection, vec![(job, decided)], Vec::new(), Some(directory.clone())) {
            Ok(prepared) => {
                self.built.set_directory(directory);
                Some(prepared)
            }
            Err(error) => {
                self.shared.stop(error.to_string());
                None
            }
        }
    }
}

fn stands_alone(job: &Job) -> bool {
    !matches!(job.work, Work::Intent { .. })
}

fn nonce_reused(intent: &VerifiedIntent) -> SubmitError {
    let payload = intent.payload();
    SubmitError::Refused(Refusal::new(
        Code::NonceReused,
        format!("{} used nonce {} for another intent", payload.actor, payload.nonce),
    ))
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
