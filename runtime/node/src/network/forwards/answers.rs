//! What is sent to sequencers, what they answer, and how an intent ends.

use std::collections::BTreeMap;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::intent::Refusal;
use lockstep_core::sync::{End, Message, Taken};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{AGAIN, Keeper, LATER, Pending, WINDOW, answer};
use crate::again::read_again;
use crate::forward;
use crate::network::{Refused, refusal};
use crate::open::NodeError;
use crate::submit::{Decided, SubmitError};

impl Keeper {
    /// Sends what its sequencer has not been sent on this connection, as far as it keeps up with answering.
    pub(super) fn send(&mut self) {
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

    pub(super) fn answered(&mut self, peer: &str, number: u64, refused: Refused, taken: Option<Vec<u8>>) {
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
    pub(super) fn ended(&mut self, peer: &str, intent: &Digest, stored: &[u8]) {
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
    pub(super) async fn look_for(&mut self, arrived: Vec<Digest>) -> Result<(), NodeError> {
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
pub(super) fn told(intent: Digest, end: &End) -> Result<Decided, SubmitError> {
    match end {
        End::Decided { .. } => Ok(Decided { intent, repeated: false }),
        End::Refused(envelope) => {
            let refused = Taken::read(envelope).ok().and_then(|taken| taken.refused);
            let refused = refused.map(|(code, message)| refusal(&code, message));
            Err(refused.unwrap_or_else(|| Refusal::new(Code::Internal, "a refusal without a reason")).into())
        }
    }
}
