//! Taking intents that other nodes hand over: checked, counted, stored, acknowledged, and only then decided.
//!
//! One task takes them in the order in which they come, so that counts of one node and record come in theirs. What was
//! acknowledged is decided whatever happens to this node: at a start it is put in line again.

mod judge;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::intent::{Refusal, VerifiedIntent, told};
use lockstep_core::names::RecordId;
use lockstep_core::sync::{End, Forward, Message, Taken, Viewer};
use lockstep_core::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::dial::told_to_stop;
use super::{Network, PAUSE, guard};
use crate::again::read_again;
use crate::forward::{self, Held};
use crate::open::{Node, NodeError};
use crate::shelf::Shelf;
use crate::submit::{Decided, SubmitError, Work};

/// What is handed over and not looked at yet.
const INBOX: usize = 1024;
/// Most that are looked at and stored at once.
const BATCH: usize = 256;
/// Counts of nodes and records that are kept in memory.
const KEPT_COUNTS: usize = 10_000;

/// An intent that another node hands over.
pub(super) struct Offered {
    pub(super) peer: String,
    pub(super) number: u64,
    pub(super) submission: Vec<u8>,
    pub(super) wrapper: Vec<u8>,
    /// Where the answer goes.
    pub(super) out: mpsc::Sender<Message>,
    /// The peer's place for it, free again when it is answered.
    pub(super) place: OwnedSemaphorePermit,
}

/// The way to the task that takes.
pub(super) struct Door {
    offers: mpsc::Sender<Offered>,
    inbox: Mutex<Option<mpsc::Receiver<Offered>>>,
}

impl Default for Door {
    fn default() -> Self {
        let (offers, inbox) = mpsc::channel(INBOX);
        Door { offers, inbox: Mutex::new(Some(inbox)) }
    }
}

impl Network {
    /// Has an offer looked at; `false` where there are too many.
    pub(super) fn offer(&self, offered: Offered) -> bool {
        self.door.offers.try_send(offered).is_ok()
    }
}

/// Takes what is handed over until it is told to stop.
pub(super) async fn keep(node: Node, network: Arc<Network>, mut stop: watch::Receiver<bool>) {
    let Some(mut inbox) = guard(&network.door.inbox).take() else { return };
    let (decided, decisions) = mpsc::unbounded_channel();
    let (undecided, dirty) = (BTreeMap::new(), BTreeMap::new());
    let mut taker = Taker { node, network, counts: BTreeMap::new(), undecided, dirty, decided };
    tokio::select! {
        () = told_to_stop(&mut stop) => {}
        ended = taker.work(&mut inbox, decisions) => if let Err(error) = ended {
            taker.node.notice(&format!("intents of other nodes are taken no more: {error}"));
        },
    }
}

type Key = (String, Digest);
type Decision = (Key, Result<Decided, SubmitError>);

struct Taker {
    node: Node,
    network: Arc<Network>,
    counts: BTreeMap<(String, RecordId), u64>,
    /// What is in line.
    undecided: BTreeMap<Key, Held>,
    /// Rows to be written with the next that are.
    dirty: BTreeMap<Key, Held>,
    decided: mpsc::UnboundedSender<Decision>,
}

/// What becomes of one offer.
enum Verdict {
    /// Not counted; it may come again.
    No(Refusal),
    /// New: to be stored, acknowledged and decided; without an intent it is turned away for good.
    New(Box<Held>, Option<Work>),
    /// It was here before.
    Known(Box<Held>),
}

fn refused(code: Code, message: impl Into<String>) -> Verdict {
    Verdict::No(Refusal::new(code, message))
}

impl Taker {
    async fn work(
        &mut self,
        inbox: &mut mpsc::Receiver<Offered>,
        mut decisions: mpsc::UnboundedReceiver<Decision>,
    ) -> Result<(), NodeError> {
        self.take_up().await?;
        let mut ticks = tokio::time::interval(PAUSE * 10);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(first) = inbox.recv() => {
                    let mut all = vec![first];
                    while let Some(more) = (all.len() < BATCH).then(|| inbox.try_recv().ok()).flatten() {
                        all.push(more);
                    }
                    self.take(all).await?;
                }
                Some((key, decided)) = decisions.recv() => self.conclude(key, decided).await?,
                _ = ticks.tick() => self.flush().await,
            }
        }
    }

    /// What was acknowledged and not decided when the node stopped is put in line, expired or not.
    async fn take_up(&mut self) -> Result<(), NodeError> {
        let node = self.node.clone();
        let held = read_again(node.shared(), || forward::pending(node.database())).await?;
        let mut held: Vec<Held> = held.into_values().filter(|held| held.forward.sequencer == *node.name()).collect();
        held.sort_by_key(|held| held.forward.records.iter().map(|(_, count)| *count).max());
        let ids: Vec<Digest> = held.iter().map(|held| held.forward.intent).collect();
        let decided = read_again(node.shared(), || forward::decided(node.database(), &ids)).await?;
        for held in held {
            match decided.contains(&held.forward.intent) {
                true => self.note_end(held, None),
                false => self.again(held).await?,
            }
        }
        Ok(())
    }

    /// Puts an intent that was acknowledged in line again, as of when it was.
    async fn again(&mut self, held: Held) -> Result<(), NodeError> {
        let submission = held.submission.clone().unwrap_or_default();
        let taken = held.taken.as_deref().and_then(|taken| Taken::read(taken).ok());
        let then = taken.map_or(held.forward.time, |taken| taken.time);
        match self.node.verify_as_of(&submission, then) {
            Ok(intent) => {
                let work = self.work_of(Arc::new(intent), then);
                self.line_up(held, work).await
            }
            Err(refusal) => self.turn_away(held, &refusal).await,
        }
    }

    fn work_of(&self, intent: Arc<VerifiedIntent>, submitted: Timestamp) -> Work {
        Work::Intent { intent, submitted, directory: self.node.directory() }
    }

    async fn take(&mut self, offers: Vec<Offered>) -> Result<(), NodeError> {
        let node = self.node.clone();
        let bytes = offers.iter().map(|offered| offered.submission.clone()).collect();
        let verified = node.verify_all(bytes).await;
        let wrappers: Vec<Result<Forward, Refusal>> = offers.iter().map(|offered| self.wrapper(offered)).collect();
        let ids: Vec<Digest> = wrappers.iter().flatten().map(|forward| forward.intent).collect();
        let mut known = read_again(node.shared(), || forward::about(node.database(), &ids)).await?;
        known.extend(self.dirty.iter().map(|(key, held)| (key.clone(), held.clone())));
        self.load_counts(&offers).await?;
        let note = std::fs::read_to_string(node.checkpoint()).unwrap_or_default();
        let mut verdicts = Vec::new();
        for ((offered, wrapper), verified) in offers.iter().zip(wrappers).zip(verified) {
            let verdict = match wrapper {
                Err(refusal) => Verdict::No(refusal),
                Ok(forward) => self.judge(offered, forward, verified, &mut known, &note)?,
            };
            verdicts.push(verdict);
        }
        let stored = self.store(&verdicts).await?;
        for (offered, verdict) in offers.into_iter().zip(verdicts) {
            let verdict = match (&stored, verdict) {
                (Err(error), Verdict::New(..) | Verdict::Known(_)) => refused(error.code(), error.to_string()),
                (_, verdict) => verdict,
            };
            self.answer(offered, verdict).await?;
        }
        Ok(())
    }

    /// Stores what is new. Where that does not go, it was not counted.
    async fn store(&mut self, verdicts: &[Verdict]) -> Result<Result<(), SubmitError>, NodeError> {
        let new = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::New(held, _) => Some(held.as_ref()),
            Verdict::No(_) | Verdict::Known(_) => None,
        });
        let new: Vec<&Held> = new.collect();
        if new.is_empty() {
            return Ok(Ok(()));
        }
        let writes = forward::writes(new.into_iter().chain(self.dirty.values()))?;
        let stored = self.node.note(writes).await;
        match &stored {
            Ok(()) => self.dirty.clear(),
            Err(_) => self.counts.clear(),
        }
        Ok(stored)
    }

    /// Answers, and puts what is new in line.
    async fn answer(&mut self, offered: Offered, verdict: Verdict) -> Result<(), NodeError> {
        let Offered { number, out, place, .. } = offered;
        let (refused, taken) = match &verdict {
            Verdict::No(refusal) => (Some((refusal.code.as_str().to_owned(), refusal.message.clone())), None),
            Verdict::New(held, _) | Verdict::Known(held) => (None, signed_answer(held)),
        };
        // A lost answer is asked for again.
        drop(out.try_send(Message::Forwarded { number, refused, taken }));
        drop(place);
        match verdict {
            Verdict::New(held, Some(work)) => self.line_up(*held, work).await,
            Verdict::Known(held) => self.known(*held).await,
            Verdict::New(_, None) | Verdict::No(_) => Ok(()),
        }
    }

    /// What came again: told how it ended, or put in line where it has got lost there.
    async fn known(&mut self, held: Held) -> Result<(), NodeError> {
        let (key, intent, node) = (held.key(), [held.forward.intent], self.node.clone());
        if held.end.is_some() || self.undecided.contains_key(&key) {
            return Ok(());
        }
        match read_again(node.shared(), || forward::decided(node.database(), &intent)).await?.is_empty() {
            true => self.again(held).await,
            false => self.tell(&held).await,
        }
    }

    /// Puts an intent in line; what was acknowledged waits for its place.
    async fn line_up(&mut self, held: Held, work: Work) -> Result<(), NodeError> {
        let key = held.key();
        let Work::Intent { intent, submitted, directory } = work else { return Ok(()) };
        loop {
            let (intent, directory) = (intent.clone(), directory.clone());
            match self.node.queue(Work::Intent { intent, submitted, directory }).await {
                Err(SubmitError::Overloaded) => {}
                // The node stops; it goes on with it when it starts.
                Err(_) => return Ok(()),
                Ok(waiting) => {
                    self.undecided.insert(key.clone(), held);
                    let decided = self.decided.clone();
                    tokio::spawn(async move {
                        if let Ok(result) = waiting.await {
                            drop(decided.send((key, result)));
                        }
                    });
                    return Ok(());
                }
            }
        }
    }

    async fn conclude(&mut self, key: Key, decided: Result<Decided, SubmitError>) -> Result<(), NodeError> {
        let Some(held) = self.undecided.remove(&key) else { return Ok(()) };
        match decided {
            Ok(_) => {
                self.tell(&held).await?;
                self.note_end(held, None);
                Ok(())
            }
            Err(SubmitError::Refused(refusal)) => self.turn_away(held, &refusal).await,
            Err(error @ SubmitError::Unrecorded) => {
                self.turn_away(held, &Refusal::new(error.code(), error.to_string())).await
            }
            // Nobody knows; it is put in line again when it comes again, or at the next start.
            Err(_) => Ok(()),
        }
    }

    /// The signed word that an intent which was acknowledged never gets an outcome.
    async fn turn_away(&mut self, held: Held, refusal: &Refusal) -> Result<(), NodeError> {
        let note = std::fs::read_to_string(self.node.checkpoint()).unwrap_or_default();
        let no = (refusal.code.as_str().to_owned(), refusal.message.clone());
        let end = End::Refused(self.sign(&held.forward, &note, Some(no))?).stored();
        self.send_end(&held, end.clone());
        self.note_end(held, Some(end));
        Ok(())
    }

    fn note_end(&mut self, held: Held, end: Option<Vec<u8>>) {
        let held = Held { ended: true, end, submission: None, ..held };
        self.dirty.insert(held.key(), held);
    }

    /// Tells the node that handed it over that it ended, where that does not get the outcome with the feed.
    async fn tell(&mut self, held: &Held) -> Result<(), NodeError> {
        let directory = self.node.directory();
        let viewer = Viewer { participants: directory.stands_for(held.forward.node.as_str()) };
        let actor = held.submission.as_deref().and_then(|bytes| told(bytes, &self.limits()).ok());
        if actor.is_some_and(|told| viewer.participants.contains(told.payload.actor.participant().as_str())) {
            return Ok(());
        }
        let shelf = Shelf::new(self.node.database(), directory);
        if let Some(end) = shelf.end_for(&self.node.log(), &held.forward.intent, &viewer).await? {
            self.send_end(held, end.stored());
        }
        Ok(())
    }

    fn send_end(&self, held: &Held, end: Vec<u8>) {
        if let Some((_, out)) = self.network.out(held.forward.node.as_str()) {
            // Lost, it is told when the intent comes again.
            drop(out.try_send(Message::Ended { intent: held.forward.intent, end }));
        }
    }

    async fn flush(&mut self) {
        let Ok(writes) = forward::writes(self.dirty.values()) else { return };
        if !self.dirty.is_empty() && self.node.note(writes).await.is_ok() {
            self.dirty.clear();
        }
    }
}

/// What was signed about it: the no, where there is one.
fn signed_answer(held: &Held) -> Option<Vec<u8>> {
    match held.end() {
        Some(End::Refused(envelope)) => Some(envelope),
        _ => held.taken.clone(),
    }
}
