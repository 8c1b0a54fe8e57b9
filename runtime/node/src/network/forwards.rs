//! Handing intents over to the nodes that sequence them: the wrapper is stored before it is sent, and sent again on
//! every new connection until the intent has ended.
//!
//! One task owns the counts, so that none is used twice. Who submitted an intent waits for its outcome in this node's
//! own database; the commit that brings it is what wakes this task.

mod answers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_core::crypto::Digest;
use lockstep_core::intent::VerifiedIntent;
use lockstep_core::names::RecordId;
use lockstep_core::sync::Forward;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::dial::told_to_stop;
use super::{Network, PAUSE, Refused, guard};
use crate::again::read_again;
use crate::forward::{self, Held};
use crate::open::{Node, NodeError};
use crate::submit::{Decided, SubmitError, Waiter};

use answers::told;

/// Intents that wait to be handed over, before whoever submits waits.
const INBOX: usize = 1024;
/// Intents handed over or to be, without an end; more are turned away.
const MOST_PENDING: usize = 16_384;
/// Most intents that are counted and stored at once.
const BATCH: usize = 256;
/// Most intents sent to one node and not yet answered.
const WINDOW: usize = 32;
/// What was turned away for now is sent again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// What was turned away for good is asked about again after this: its count still has no end.
const LATER: Duration = Duration::from_secs(60);
/// Counts of records that are kept in memory.
const KEPT_COUNTS: usize = 10_000;

/// The way to the task that hands over.
pub(super) struct Forwards {
    asked: mpsc::Sender<Asked>,
    arrived: mpsc::UnboundedSender<Vec<Digest>>,
    inbox: Mutex<Option<Inbox>>,
}

struct Inbox {
    asked: mpsc::Receiver<Asked>,
    arrived: mpsc::UnboundedReceiver<Vec<Digest>>,
}

enum Asked {
    HandOver { intent: Arc<VerifiedIntent>, submission: Vec<u8>, waiter: Waiter },
    Answered { peer: String, number: u64, refused: Refused, taken: Option<Vec<u8>> },
    Ended { peer: String, intent: Digest, end: Vec<u8> },
}

impl Default for Forwards {
    fn default() -> Self {
        let ((asked, requests), (arrived, arrivals)) = (mpsc::channel(INBOX), mpsc::unbounded_channel());
        Forwards { asked, arrived, inbox: Mutex::new(Some(Inbox { asked: requests, arrived: arrivals })) }
    }
}

impl Network {
    /// Takes an intent for another node; its outcome is known when it has come back.
    pub(crate) async fn hand_over(
        &self,
        intent: Arc<VerifiedIntent>,
        submission: Vec<u8>,
    ) -> Result<oneshot::Receiver<Result<Decided, SubmitError>>, SubmitError> {
        let (waiter, waiting) = oneshot::channel();
        let asked = Asked::HandOver { intent, submission, waiter };
        let stopped = |_| SubmitError::Stopped("it hands nothing over any more".to_owned());
        self.forwards.asked.send(asked).await.map_err(stopped)?;
        Ok(waiting)
    }

    /// Hears that a batch with these intents of other nodes was committed.
    pub(crate) fn arrived(&self, intents: Vec<Digest>) {
        // Nobody listens where nothing is handed over any more.
        drop(self.forwards.arrived.send(intents));
    }

    /// A sequencer's answer to what it was handed.
    pub(super) async fn forward_answered(&self, peer: &str, number: u64, refused: Refused, taken: Option<Vec<u8>>) {
        let answered = Asked::Answered { peer: peer.to_owned(), number, refused, taken };
        drop(self.forwards.asked.send(answered).await);
    }

    /// A sequencer says how something ended that this node has no outcome of.
    pub(super) async fn forward_ended(&self, peer: &str, intent: Digest, end: Vec<u8>) {
        drop(self.forwards.asked.send(Asked::Ended { peer: peer.to_owned(), intent, end }).await);
    }
}

/// Hands over until it is told to stop.
pub(super) async fn keep(node: Node, network: Arc<Network>, mut stop: watch::Receiver<bool>) {
    let Some(mut inbox) = guard(&network.forwards.inbox).take() else { return };
    let mut keeper = Keeper::new(node, network);
    tokio::select! {
        () = told_to_stop(&mut stop) => {}
        ended = keeper.work(&mut inbox) => if let Err(error) = ended {
            keeper.node.notice(&format!("intents are handed over no more: {error}"));
        },
    }
    // What is stored is handed over again at the next start: nobody knows yet how it ends.
    let left = keeper.pending.into_values().flat_map(|pending| pending.waiters);
    left.for_each(|waiter| answer(waiter, Err(SubmitError::TimedOut(Duration::ZERO))));
}

/// An intent without an end.
struct Pending {
    held: Held,
    waiters: Vec<Waiter>,
    /// Number and connection under which it was sent last.
    sent: Option<(u64, u64)>,
    /// Whether that was answered.
    answered: bool,
    /// Not before then again.
    again: Option<Instant>,
}

struct Keeper {
    node: Node,
    network: Arc<Network>,
    /// In the order in which they were counted.
    pending: BTreeMap<u64, Pending>,
    orders: BTreeMap<Digest, u64>,
    next: u64,
    counts: BTreeMap<RecordId, u64>,
    /// Rows to be written with the next that are.
    dirty: BTreeMap<Digest, Held>,
    /// Who is told of an end once that is written.
    told: Vec<(Waiter, Result<Decided, SubmitError>)>,
}

fn answer(waiter: Waiter, ended: Result<Decided, SubmitError>) {
    // A waiter that has gone does not need its answer.
    drop(waiter.send(ended));
}

/// An intent that comes to be handed over, with who wait for it.
struct Coming {
    intent: Arc<VerifiedIntent>,
    submission: Vec<u8>,
    waiters: Vec<Waiter>,
}

impl Keeper {
    fn new(node: Node, network: Arc<Network>) -> Self {
        let (pending, orders, dirty) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Keeper { node, network, pending, orders, next: 0, counts: BTreeMap::new(), dirty, told: Vec::new() }
    }

    async fn work(&mut self, inbox: &mut Inbox) -> Result<(), NodeError> {
        self.take_up().await?;
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut since_flush = 0;
        loop {
            tokio::select! {
                Some(first) = inbox.asked.recv() => {
                    let mut all = vec![first];
                    while let Some(more) = (all.len() < BATCH).then(|| inbox.asked.try_recv().ok()).flatten() {
                        all.push(more);
                    }
                    self.hear(all).await?;
                }
                Some(arrived) = inbox.arrived.recv() => self.look_for(arrived).await?,
                _ = ticks.tick() => {
                    since_flush += 1;
                    if since_flush >= 5 {
                        since_flush = 0;
                        self.flush().await;
                    }
                }
            }
            if !self.told.is_empty() {
                self.flush().await;
                self.told.drain(..).for_each(|(waiter, told)| answer(waiter, told));
            }
            self.send();
        }
    }

    /// What was not ended when the node stopped is handed over again.
    async fn take_up(&mut self) -> Result<(), NodeError> {
        let shared = self.node.shared();
        let held = read_again(shared, || forward::pending(self.node.database())).await?;
        let own = self.node.name().to_string();
        let mut held: Vec<Held> =
            held.into_values().filter(|held| held.forward.node.as_str() == own && held.submission.is_some()).collect();
        // Counts of one record must come in their order.
        held.sort_by_key(|held| held.forward.records.iter().map(|(_, count)| *count).max());
        let intents: Vec<Digest> = held.iter().map(|held| held.forward.intent).collect();
        held.into_iter().for_each(|held| self.add(held, Vec::new()));
        self.look_for(intents).await
    }

    fn add(&mut self, held: Held, waiters: Vec<Waiter>) {
        self.orders.insert(held.forward.intent, self.next);
        self.pending.insert(self.next, Pending { held, waiters, sent: None, answered: false, again: None });
        self.next += 1;
    }

    async fn hear(&mut self, all: Vec<Asked>) -> Result<(), NodeError> {
        let mut coming: BTreeMap<Digest, Coming> = BTreeMap::new();
        let mut order = Vec::new();
        for asked in all {
            match asked {
                Asked::HandOver { intent, submission, waiter } => {
                    let id = intent.id();
                    let found = coming.entry(id).or_insert_with(|| {
                        order.push(id);
                        Coming { intent, submission, waiters: Vec::new() }
                    });
                    found.waiters.push(waiter);
                }
                Asked::Answered { peer, number, refused, taken } => self.answered(&peer, number, refused, taken),
                Asked::Ended { peer, intent, end } => self.ended(&peer, &intent, &end),
            }
        }
        let coming = order.iter().filter_map(|id| coming.remove(id)).collect();
        self.hand_over(coming).await
    }

    /// Counts and stores what is new; what was handed over before keeps its count.
    async fn hand_over(&mut self, coming: Vec<Coming>) -> Result<(), NodeError> {
        let mut unknown = Vec::new();
        for one in coming {
            let known = self.orders.get(&one.intent.id()).and_then(|order| self.pending.get_mut(order));
            match known {
                Some(pending) => {
                    pending.waiters.retain(|waiter| !waiter.is_closed());
                    pending.waiters.extend(one.waiters);
                }
                None => unknown.push(one),
            }
        }
        let fresh = self.without_known(unknown).await?;
        let room = MOST_PENDING.saturating_sub(self.pending.len());
        let mut stored: Vec<(Held, Vec<Waiter>)> = Vec::new();
        for (index, one) in fresh.into_iter().enumerate() {
            match (index < room).then_some(()) {
                Some(()) => {
                    let held = self.wrapped(&one).await?;
                    stored.push((held, one.waiters));
                }
                None => one.waiters.into_iter().for_each(|waiter| answer(waiter, Err(SubmitError::Overloaded))),
            }
        }
        self.store(stored).await
    }

    /// Answers what has ended; an end is told again to whoever asks again.
    async fn without_known(&mut self, unknown: Vec<Coming>) -> Result<Vec<Coming>, NodeError> {
        if unknown.is_empty() {
            return Ok(unknown);
        }
        let (node, own) = (self.node.clone(), self.node.name().to_string());
        let ids: Vec<Digest> = unknown.iter().map(|one| one.intent.id()).collect();
        let decided = read_again(node.shared(), || forward::decided(node.database(), &ids)).await?;
        let mut held = read_again(node.shared(), || forward::about(node.database(), &ids)).await?;
        let mut fresh = Vec::new();
        for one in unknown {
            let intent = one.intent.id();
            let before =
                held.remove(&(own.clone(), intent)).map(|held| self.dirty.get(&intent).cloned().unwrap_or(held));
            let ended = match &before {
                _ if decided.contains(&intent) => Some(Ok(Decided { intent, repeated: true })),
                Some(held) => held.end().map(|end| told(intent, &end)),
                None => None,
            };
            match (ended, before) {
                (Some(ended), _) => one.waiters.into_iter().for_each(|waiter| answer(waiter, ended.clone())),
                (None, Some(held)) => {
                    let submission = held.submission.clone().or(Some(one.submission));
                    self.add(Held { submission, ended: false, ..held }, one.waiters);
                }
                (None, None) => fresh.push(one),
            }
        }
        Ok(fresh)
    }

    /// The wrapper with the next counts of the intent's records.
    async fn wrapped(&mut self, coming: &Coming) -> Result<Held, NodeError> {
        let intent = &coming.intent;
        let records: Vec<RecordId> = intent.targets().iter().map(|target| target.record.clone()).collect();
        if self.counts.len() > KEPT_COUNTS {
            self.counts.clear();
        }
        let missing: Vec<RecordId> =
            records.iter().filter(|record| !self.counts.contains_key(*record)).cloned().collect();
        if !missing.is_empty() {
            let (node, own) = (self.node.clone(), self.node.name().to_string());
            let read = || forward::last_counts(node.database(), &own, &missing);
            self.counts.extend(read_again(node.shared(), read).await?);
        }
        let mut counts = Vec::new();
        for record in &records {
            let last = self.counts.entry(record.clone()).or_default();
            *last += 1;
            counts.push(*last);
        }
        let forward = Forward::of(self.node.name(), intent.id(), intent.payload(), &counts, self.node.now());
        let envelope = forward.sign(self.node.signer()).map_err(|error| NodeError::Broken(error.to_string()))?;
        let (expires, submission) = (intent.payload().expires, Some(coming.submission.clone()));
        Ok(Held { forward, envelope, records, expires, ended: false, taken: None, end: None, submission })
    }

    /// Stores, and only then has it sent.
    async fn store(&mut self, stored: Vec<(Held, Vec<Waiter>)>) -> Result<(), NodeError> {
        if stored.is_empty() {
            return Ok(());
        }
        let mut all: BTreeMap<Digest, &Held> = self.dirty.iter().map(|(id, held)| (*id, held)).collect();
        all.extend(stored.iter().map(|(held, _)| (held.forward.intent, held)));
        let writes = forward::writes(all.into_values())?;
        match self.node.note(writes).await {
            Ok(()) => {
                self.dirty.clear();
                stored.into_iter().for_each(|(held, waiters)| self.add(held, waiters));
            }
            Err(error) => {
                // What was counted and not stored was never used.
                self.counts.clear();
                let waiters = stored.into_iter().flat_map(|(_, waiters)| waiters);
                waiters.for_each(|waiter| answer(waiter, Err(error.clone())));
            }
        }
        Ok(())
    }

    async fn flush(&mut self) {
        let Ok(writes) = forward::writes(self.dirty.values()) else { return };
        if !self.dirty.is_empty() && self.node.note(writes).await.is_ok() {
            self.dirty.clear();
        }
    }
}
