//! Seam: the message broker that people already run.
//!
//! Promise of a [`Broker`]:
//! - [`Broker::publish`] returns `Ok` for a message only when the broker has confirmed that it keeps it.
//! - Messages with the same key are kept in the order in which they are given, also across calls.
//! - It may deliver a message again when the caller asks again after an error or a crash: at least once. The
//!   caller retries; the broker adapter does not.
//! - It never blocks the caller's database: it knows none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::database::Pending;

/// One notification on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The notification's stable id.
    pub id: String,
    /// What keeps order: the record.
    pub key: String,
    /// The business event's type.
    pub kind: String,
    /// The CloudEvent, canonical JSON.
    pub payload: String,
}

/// Why a message was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The broker cannot be reached or does not answer; the same may work later.
    #[error("the broker is not available: {0}")]
    Unavailable(String),
    /// The broker refuses this message for good.
    #[error("the broker refuses the message: {0}")]
    Refused(String),
}

/// Something that takes notifications.
pub trait Broker: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;
    /// Hands over messages in order; one answer for each.
    fn publish<'a>(&'a self, messages: &'a [Message]) -> Pending<'a, Vec<Result<(), BrokerError>>>;
}

/// The in-process broker: keeps the last messages for whoever asks in the same process.
#[derive(Clone, Debug)]
pub struct MemoryBroker {
    capacity: usize,
    kept: Arc<Mutex<VecDeque<Message>>>,
}

impl MemoryBroker {
    /// A broker that keeps the last `capacity` messages.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        MemoryBroker { capacity, kept: Arc::default() }
    }

    /// What it keeps, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Broker for MemoryBroker {
    fn name(&self) -> &str {
        "in-process"
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> Pending<'a, Vec<Result<(), BrokerError>>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            if kept.len() == self.capacity {
                kept.pop_front();
            }
            kept.push_back(message.clone());
        }
        let answers = vec![Ok(()); messages.len()];
        Box::pin(async move { answers })
    }
}
