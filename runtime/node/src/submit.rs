//! Step one: a submission comes in; its submitter waits for the outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::TableWrites;
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::intent::{Door, Refusal, VerifiedIntent, sequencer, verify};
use lockstep_core::json::Limits;
use lockstep_core::sync::Share;
use lockstep_core::time::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::compute::compute;
use crate::load;
use crate::object::Found;
use crate::open::Node;
use crate::receive::Taken;

/// How an intent ended, in short; [`crate::outcome`] reads the whole of it from the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The intent.
    pub intent: Digest,
    /// Whether it was decided before, by an earlier submission of the same intent.
    pub repeated: bool,
}

/// Why there is no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Turned away at the door; no row.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The queue is full; the same may be sent again later.
    #[error("the node has too many intents waiting")]
    Overloaded,
    /// Nobody knows yet: it may still be applied. The same may be sent again.
    #[error("no outcome within {0:?}")]
    TimedOut(Duration),
    /// The database takes no row that says how this intent ended; it has no outcome.
    #[error("the database refuses every row about this intent; its operator sees why")]
    Unrecorded,
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(String),
}

impl SubmitError {
    /// The code that people and programs see.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            SubmitError::Refused(refusal) => refusal.code,
            SubmitError::Overloaded => Code::Overloaded,
            SubmitError::TimedOut(_) => Code::OutcomeUnknown,
            SubmitError::Unrecorded | SubmitError::Stopped(_) => Code::DatabaseUnavailable,
        }
    }
}

/// An intent that was handed in; [`Node::decided`] waits for how it ends.
#[must_use]
pub struct Entered {
    intent: Option<Digest>,
    waiting: Result<Waiting, SubmitError>,
    timeout: Duration,
    deadline: Instant,
}

impl Entered {
    /// The intent's id, where it got as far as having one.
    #[must_use]
    pub fn intent(&self) -> Option<Digest> {
        self.intent
    }
}

/// What became of one of many.
enum Waiting {
    Queued(oneshot::Receiver<Result<Decided, SubmitError>>),
    /// For what another node decides.
    HandedOver(oneshot::Receiver<Result<Decided, SubmitError>>),
    Known(Decided),
}

pub(crate) type Waiter = oneshot::Sender<Result<Decided, SubmitError>>;

/// What waits for its turn.
pub(crate) struct Job {
    pub(crate) work: Work,
    /// Its place among all that this node was given; what comes back keeps it.
    pub(crate) order: u64,
    /// Who waits for the outcome; several, where the same intent came again meanwhile.
    pub(crate) waiters: Vec<Waiter>,
    /// Set where the database refused it for good.
    pub(crate) refused_by_database: bool,
    /// Counts it while it lasts.
    pub(crate) _undecided: Undecided,
}

/// One of the jobs that were taken and not answered; all share their number.
pub(crate) struct Undecided(Arc<AtomicUsize>);

impl Undecided {
    pub(crate) fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Undecided(count.clone())
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) enum Work {
    Intent {
        intent: Arc<VerifiedIntent>,
        submitted: Timestamp,
        /// The directory under which its signature was checked.
        directory: Arc<Directory>,
    },
    Directory {
        event: Box<DirectoryEvent>,
        package: Option<Vec<u8>>,
    },
    /// An intent that another node has to sequence; it never waits in this node's line.
    Elsewhere {
        intent: Arc<VerifiedIntent>,
        submission: Vec<u8>,
    },
    /// Rows beside the log: whatever nobody else has to be able to prove. Written twice they are the same.
    Note {
        writes: Vec<TableWrites>,
    },
    /// What another node sequenced; the verdicts stand in the order of the shares once the job is answered.
    Received {
        /// Who handed them over.
        from: String,
        shares: Arc<Vec<Share>>,
        verdicts: Verdicts,
    },
    /// What somebody found or said against a sequencer.
    Objection {
        found: Found,
    },
}

/// What became of each of many shares.
pub(crate) type Verdicts = Arc<std::sync::Mutex<Vec<Taken>>>;

impl Work {
    fn intent(&self) -> Option<Digest> {
        match self {
            Work::Intent { intent, .. } | Work::Elsewhere { intent, .. } => Some(intent.id()),
            Work::Directory { .. } | Work::Note { .. } | Work::Received { .. } | Work::Objection { .. } => None,
        }
    }
}

impl Node {
    /// Submits an intent and waits for its outcome.
    ///
    /// # Errors
    /// [`SubmitError`]. After `TimedOut` the intent may still be applied; sending the same again is safe.
    pub async fn submit(&self, bytes: Vec<u8>, timeout: Duration) -> Result<Decided, SubmitError> {
        let broken = || SubmitError::Refused(Refusal::new(Code::Internal, "verifying broke off"));
        let entered = self.enter(vec![bytes], timeout).await.pop().ok_or_else(broken)?;
        self.decided(entered).await
    }

    /// What comes again too late still gets its first outcome: whoever repeats it does so because it does not know.
    async fn known(&self, refusal: Refusal) -> Result<Decided, SubmitError> {
        let Some(intent) = refusal.expired else { return Err(refusal.into()) };
        match load::is_decided(self.database(), &intent).await {
            Ok(true) => Ok(Decided { intent, repeated: true }),
            Ok(false) => Err(refusal.into()),
            Err(_) => Err(SubmitError::TimedOut(Duration::ZERO)),
        }
    }

    /// Submits many intents, in order; their signatures are verified in parallel. The answers come in the same order.
    pub async fn submit_all(&self, all: Vec<Vec<u8>>, timeout: Duration) -> Vec<Result<Decided, SubmitError>> {
        let entered = self.enter(all, timeout).await;
        let mut answers = Vec::with_capacity(entered.len());
        for one in entered {
            answers.push(self.decided(one).await);
        }
        answers
    }

    /// Verifies many intents in parallel and puts them in line, in order, without waiting for their outcomes.
    /// The time that those may take runs from the end of this.
    pub async fn enter(&self, all: Vec<Vec<u8>>, timeout: Duration) -> Vec<Entered> {
        let verified = self.verify_all(all).await;
        let mut entered = Vec::with_capacity(verified.len());
        for one in verified {
            entered.push(match one {
                Ok(Work::Elsewhere { intent, submission }) => {
                    (Some(intent.id()), self.elsewhere(intent, submission).await)
                }
                Ok(work) => (work.intent(), self.queue(work).await.map(Waiting::Queued)),
                Err(refusal) => (refusal.expired, self.known(refusal).await.map(Waiting::Known)),
            });
        }
        let deadline = Instant::now() + timeout;
        let entered = entered.into_iter();
        entered.map(|(intent, waiting)| Entered { intent, waiting, timeout, deadline }).collect()
    }

    /// Waits for the outcome of an intent that was handed in.
    ///
    /// # Errors
    /// As for [`Node::submit`].
    pub async fn decided(&self, entered: Entered) -> Result<Decided, SubmitError> {
        match entered.waiting? {
            Waiting::Known(decided) => Ok(decided),
            Waiting::Queued(waiting) => match tokio::time::timeout_at(entered.deadline, waiting).await {
                Err(_) => Err(SubmitError::TimedOut(entered.timeout)),
                Ok(Err(_)) => Err(self.left().await),
                Ok(Ok(result)) => result,
            },
            // This node stops, and may have handed it over.
            Waiting::HandedOver(waiting) => match tokio::time::timeout_at(entered.deadline, waiting).await {
                Err(_) | Ok(Err(_)) => Err(SubmitError::TimedOut(entered.timeout)),
                Ok(Ok(result)) => result,
            },
        }
    }

    /// Has another node sequence an intent, unless its outcome is here already.
    async fn elsewhere(&self, intent: Arc<VerifiedIntent>, submission: Vec<u8>) -> Result<Waiting, SubmitError> {
        let id = intent.id();
        if let Ok(true) = load::is_decided(self.database(), &id).await {
            return Ok(Waiting::Known(Decided { intent: id, repeated: true }));
        }
        let network = self.network().ok_or_else(|| SubmitError::Stopped("it has no network".to_owned()))?;
        network.hand_over(intent, submission).await.map(Waiting::HandedOver)
    }

    pub(crate) async fn verify_all(&self, all: Vec<Vec<u8>>) -> Vec<Result<Work, Refusal>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = all.len().div_ceil(threads).max(1);
        let (mut elsewhere, mut rest) = (Vec::new(), all);
        while rest.len() > share {
            let tail = rest.split_off(share);
            let (node, part) = (self.clone(), std::mem::replace(&mut rest, tail));
            elsewhere.push(tokio::task::spawn_blocking(move || node.verify_part(&part)));
        }
        let node = self.clone();
        let last = compute(move || node.verify_part(&rest)).await;
        let mut verified = Vec::new();
        for part in elsewhere {
            verified.push(part.await.map_err(|error| error.to_string()));
        }
        let broke_off = |what| vec![Err(Refusal::new(Code::Internal, what))];
        verified.into_iter().chain([last]).flat_map(|part| part.unwrap_or_else(broke_off)).collect()
    }

    fn verify_part(&self, part: &[Vec<u8>]) -> Vec<Result<Work, Refusal>> {
        self.shared().effort.verify.of(|| part.iter().map(|bytes| self.verify(bytes)).collect())
    }

    /// The step `verify`: checks a submission at the door.
    fn verify(&self, bytes: &[u8]) -> Result<Work, Refusal> {
        let directory = self.directory();
        let now = self.now();
        let limits = Limits { bytes: self.config().largest_intent, ..Limits::default() };
        let door = Door {
            directory: &directory,
            node: self.name(),
            now,
            longest_expiry: self.config().longest_expiry,
            limits,
        };
        match verify(bytes, &door) {
            Ok(intent) => Ok(Work::Intent { intent: Arc::new(intent), submitted: now, directory }),
            Err(refusal) if refusal.code == Code::WrongSequencer && self.network().is_some() => {
                let sequencer = sequencer(bytes).filter(|node| directory.active_node(node.as_str()).is_some());
                let sequencer = sequencer.filter(|node| node != self.name()).ok_or(refusal)?;
                // Checked here as there: nobody else has to turn away what is no intent.
                let intent = Arc::new(verify(bytes, &Door { node: &sequencer, ..door })?);
                Ok(Work::Elsewhere { intent, submission: bytes.to_vec() })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Checks a submission for this node as its door would have done at another time.
    pub(crate) fn verify_as_of(&self, bytes: &[u8], now: Timestamp) -> Result<VerifiedIntent, Refusal> {
        let directory = self.directory();
        let limits = Limits { bytes: self.config().largest_intent, ..Limits::default() };
        let (node, longest_expiry) = (self.name(), self.config().longest_expiry);
        verify(bytes, &Door { directory: &directory, node, now, longest_expiry, limits })
    }

    /// What is told about a job that was taken and not answered: known when the pipeline has ended.
    async fn left(&self) -> SubmitError {
        let stopped = self.stopped().await;
        self.given_up().map_or(stopped, SubmitError::TimedOut)
    }

    /// Why there will be no answer: known when the pipeline has ended.
    async fn stopped(&self) -> SubmitError {
        self.queue_sender().closed().await;
        SubmitError::Stopped(self.stop_reason())
    }

    pub(crate) async fn queue(
        &self,
        work: Work,
    ) -> Result<oneshot::Receiver<Result<Decided, SubmitError>>, SubmitError> {
        let (waiter, waiting) = oneshot::channel();
        match tokio::time::timeout(self.config().queue_patience, self.queue_sender().reserve()).await {
            Ok(Ok(room)) => {
                room.send(self.job(work, waiter));
                Ok(waiting)
            }
            Ok(Err(_)) => Err(self.stopped().await),
            Err(_) => Err(SubmitError::Overloaded),
        }
    }

    /// Writes rows beside the log, and waits until they are committed.
    pub(crate) async fn note(&self, writes: Vec<TableWrites>) -> Result<(), SubmitError> {
        match self.queue(Work::Note { writes }).await?.await {
            Err(_) => Err(self.left().await),
            Ok(result) => result.map(|_| ()),
        }
    }

    /// Hands the directory an event and waits until it is committed.
    ///
    /// # Errors
    /// [`SubmitError`]; an event that the directory does not take is `Refused`.
    pub async fn change_directory(
        &self,
        event: DirectoryEvent,
        package: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<(), SubmitError> {
        if self.directory().sequencer() == self.name().as_str() {
            self.would_sign(&event)?;
            let event = self.with_votes(self.network(), event).await;
            return self.take_directory(event, package, timeout).await;
        }
        match self.network() {
            Some(network) => self.propose(network, &event, package, timeout).await,
            None => {
                let message = format!(
                    "node {} orders the directory; start this one with `lockstep run`",
                    self.directory().sequencer()
                );
                Err(Refusal::new(Code::DirectoryRefused, message).into())
            }
        }
    }

    /// Takes an event of the directory that has all its votes.
    pub(crate) async fn take_directory(
        &self,
        event: DirectoryEvent,
        package: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<(), SubmitError> {
        let waiting = self.queue(Work::Directory { event: Box::new(event), package }).await?;
        match tokio::time::timeout(timeout, waiting).await {
            Err(_) => Err(SubmitError::TimedOut(timeout)),
            Ok(Err(_)) => Err(self.left().await),
            Ok(Ok(result)) => result.map(|_| ()),
        }
    }
}
