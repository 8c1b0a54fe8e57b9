//! Handing intents over to the nodes that sequence them: the wrapper is stored before it is sent, and sent again on
//! every new connection until the intent has ended.
//!
//! One task owns the counts, so that none is used twice. Who submitted an intent waits for its outcome in this node's
//! own database; the commit that brings it is what wakes this task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::intent::{Refusal, VerifiedIntent};
use lockstep_core::names::RecordId;
use lockstep_core::sync::{End, Forward, Message, Taken};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::dial::told_to_stop;
use super::{Network, PAUSE, Refused, guard, refusal};
use crate::again::read_again;
use crate::forward::{self, Held};
use crate::open::{Node, NodeError};
use crate::submit::{Decided, SubmitError, Waiter};

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
    let left = keeper.pending.into_values().flat_map(|pending| pending.waiters);
    left.for_each(|waiter| answer(waiter, Err(SubmitError::Stopped("it was asked to".to_owned()))));
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
                Some(pending) => pending.waiters.extend(one.waiters),
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

    /// Sends what its sequencer has not been sent on this connection, as far as it keeps up with answering.
    fn send(&mut self) {
        let now = Instant::now();
        let mut open: BTreeMap<String, Option<(u64, mpsc::Sender<Message>, usize)>> = BTreeMap::new();
        for pending in self.pending.values_mut() {
            let sequencer = pending.held.forward.sequencer.as_str();
            if !open.contains_key(sequencer) {
                let way = self.network.out(sequencer).map(|(connection, out)| (connection, out, 0));
                open.insert(sequencer.to_owned(), way);
            }
            let Some(Some((connection, out, under_way))) = open.get_mut(sequencer) else { continue };
            if pending.sent.is_some_and(|(_, on)| on == *connection) && pending.again.is_none() {
                *under_way += usize::from(!pending.answered);
                continue;
            }
            if *under_way >= WINDOW || pending.again.is_some_and(|again| again > now) {
                continue;
            }
            let number = self.network.number();
            let submission = pending.held.submission.clone().unwrap_or_default();
            let message = Message::Forward { number, submission, wrapper: pending.held.envelope.clone() };
            match out.try_send(message) {
                Ok(()) => {
                    (pending.sent, pending.answered, pending.again) = (Some((number, *connection)), false, None);
                    *under_way += 1;
                }
                Err(_) => *under_way = WINDOW,
            }
        }
    }

    fn answered(&mut self, peer: &str, number: u64, refused: Refused, taken: Option<Vec<u8>>) {
        let sent = |pending: &&mut Pending| pending.sent.is_some_and(|(sent, _)| sent == number);
        let Some(pending) = self.pending.values_mut().find(sent) else { return };
        if pending.held.forward.sequencer.as_str() != peer {
            return;
        }
        pending.answered = true;
        let intent = pending.held.forward.intent;
        match (taken, refused) {
            (Some(taken), _) => self.acknowledged(peer, &intent, taken),
            (None, Some((code, message))) => {
                let refusal = refusal(&code, message);
                let later = is_for_now(refusal.code);
                pending.again = Some(Instant::now() + if later { AGAIN } else { LATER });
                if !later {
                    let waiters = std::mem::take(&mut pending.waiters).into_iter();
                    waiters.for_each(|waiter| answer(waiter, Err(refusal.clone().into())));
                }
            }
            (None, None) => self.wrong(peer, "it acknowledges without a signature"),
        }
    }

    fn acknowledged(&mut self, peer: &str, intent: &Digest, envelope: Vec<u8>) {
        let Some(pending) = self.orders.get(intent).and_then(|order| self.pending.get_mut(order)) else { return };
        let directory = self.node.directory();
        let key = directory.nodes().get(peer).map(|node| node.key);
        let taken = key.ok_or_else(|| "nobody knows its key".to_owned());
        match taken.and_then(|key| Taken::verify(&envelope, &key, &pending.held.forward)) {
            Err(what) => self.wrong(peer, &what),
            Ok(Taken { refused: Some(_), .. }) => self.ended(peer, intent, &End::Refused(envelope).stored()),
            Ok(_) if pending.held.taken.is_some() => {}
            Ok(_) => {
                pending.held.taken = Some(envelope);
                self.dirty.insert(*intent, pending.held.clone());
            }
        }
    }

    /// Takes the sequencer's word that there is an outcome, or never will be, where its signatures prove it.
    fn ended(&mut self, peer: &str, intent: &Digest, stored: &[u8]) {
        let Some(pending) = self.orders.get(intent).and_then(|order| self.pending.get(order)) else { return };
        let forward = &pending.held.forward;
        let read = End::read(stored).and_then(|end| end.check(forward, &self.node.directory()).map(|()| end));
        match read {
            _ if forward.sequencer.as_str() != peer => {}
            Err(what) => self.wrong(peer, &what),
            // What was taken in time is decided, late or not: that it is too late now ends nothing.
            Ok(End::Refused(envelope)) if pending.held.taken.is_some() && code_in(&envelope) == Some(Code::Expired) => {
                self.wrong(peer, "it took an intent, and then turned it away as expired");
            }
            Ok(end) => {
                let told = told(*intent, &end);
                self.end(intent, Some(stored.to_vec()), &told);
            }
        }
    }

    fn wrong(&self, peer: &str, what: &str) {
        let what = format!("about an intent handed over: {what}");
        self.network.peer(peer, |peer| (peer.refused, peer.last_error) = (peer.refused + 1, Some(what)));
    }

    /// Looks which of the intents that came are awaited and have their outcome here.
    async fn look_for(&mut self, arrived: Vec<Digest>) -> Result<(), NodeError> {
        let awaited: Vec<Digest> = arrived.into_iter().filter(|intent| self.orders.contains_key(intent)).collect();
        let node = self.node.clone();
        for intent in read_again(node.shared(), || forward::decided(node.database(), &awaited)).await? {
            self.end(&intent, None, &Ok(Decided { intent, repeated: false }));
        }
        Ok(())
    }

    fn end(&mut self, intent: &Digest, end: Option<Vec<u8>>, told: &Result<Decided, SubmitError>) {
        let Some(pending) = self.orders.remove(intent).and_then(|order| self.pending.remove(&order)) else { return };
        let Pending { mut held, waiters, .. } = pending;
        let told = waiters.into_iter().map(|waiter| (waiter, told.clone()));
        match end {
            // The outcome is in the database.
            None => told.for_each(|(waiter, told)| answer(waiter, told)),
            Some(_) => self.told.extend(told),
        }
        // The intent is in this database with its outcome, or it is kept here.
        held.submission = held.submission.filter(|_| end.is_some());
        (held.ended, held.end) = (true, end);
        self.dirty.insert(*intent, held);
    }
}

/// Whether the same may be taken later.
fn is_for_now(code: Code) -> bool {
    matches!(code, Code::Overloaded | Code::OutcomeUnknown | Code::DatabaseUnavailable)
}

fn code_in(envelope: &[u8]) -> Option<Code> {
    Code::parse(&Taken::read(envelope).ok()?.refused?.0)
}

/// What a submitter hears of an end.
fn told(intent: Digest, end: &End) -> Result<Decided, SubmitError> {
    match end {
        End::Decided { .. } => Ok(Decided { intent, repeated: false }),
        End::Refused(envelope) => {
            let refused = Taken::read(envelope).ok().and_then(|taken| taken.refused);
            let refused = refused.map(|(code, message)| refusal(&code, message));
            Err(refused.unwrap_or_else(|| Refusal::new(Code::Internal, "a refusal without a reason")).into())
        }
    }
}
