//! What a session does with each message that comes in.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::directory::DirectoryEvent;
use lockstep_core::names::RecordId;
use lockstep_core::sync::{Message, Viewer};
use lockstep_core::transport::FrameReceiver;
use tokio::sync::mpsc;

use super::session::{Ended, Session, count_sections, next};
use super::taken::Offered;
use super::{PAUSE, Refused, guard};
use crate::shelf::Shelf;
use crate::submit::SubmitError;

/// Most shares that answer one fetch; who wants more asks again.
const MOST_FETCHED: usize = 256;
/// How long an event of the directory of another node may wait at this one's door.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the events before one to be signed may take to come: a package among them is compiled first.
const BEFORE: Duration = Duration::from_secs(15);
/// How far ahead an event of the directory may be of this node's clock for its signature.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

impl Session {
    /// Reads what comes; what takes longer goes on beside it.
    pub(super) async fn read(
        self: Arc<Self>,
        mut receiver: Box<dyn FrameReceiver>,
        taker: mpsc::Sender<Message>,
    ) -> Result<(), Ended> {
        while let Some(message) = next(&mut receiver).await? {
            match message {
                Message::Feed(_) | Message::Directory { .. } | Message::Objection { .. } => {
                    taker.send(message).await.map_err(|_| Ended::Own("nobody takes it".to_owned()))?;
                }
                Message::Ack { log, next } if log == self.node.log() => {
                    self.acked.send_modify(|acked| *acked = next.max(*acked));
                    self.network.peer(&self.peer, |peer| peer.acked = next.max(peer.acked));
                }
                Message::Heads { envelope } => self.clone().heads(&envelope)?,
                Message::WantDirectory { after } => {
                    let message = self.node.directory_message(&self.node.past().after(after));
                    self.send(message).await?;
                }
                Message::Fetch { record, from, to } => self.fetch(record, from, to).await?,
                Message::Fetched { record, shares } => {
                    let waiting = guard(&self.network.fetches).remove(&self.fetching(&record));
                    if let Some(waiting) = waiting {
                        drop(waiting.send(shares));
                    }
                }
                Message::Forward { number, submission, wrapper } => {
                    if !self.offer(number, submission, wrapper) {
                        self.send(Message::Forwarded { number, refused: overloaded(), taken: None }).await?;
                    }
                }
                Message::Forwarded { number, refused, taken } => {
                    self.network.forward_answered(&self.peer, number, refused, taken).await;
                }
                Message::Ended { intent, end } => self.network.forward_ended(&self.peer, intent, end).await,
                Message::Propose { number, event, package } => {
                    if !self.errand(self.clone().proposed(number, event, package)) {
                        self.send(Message::Proposed { number, refused: overloaded() }).await?;
                    }
                }
                Message::Proposed { number, refused } => self.network.answered(number, refused),
                Message::Vote { event } => {
                    let event = DirectoryEvent::read(&event).map_err(|error| Ended::Protocol(error.to_string()))?;
                    let head = event.head();
                    if !self.errand(self.clone().voted(event)) {
                        self.send(Message::Voted { event: None, head }).await?;
                    }
                }
                Message::Voted { event, head } => {
                    let waiting = guard(&self.network.votes).remove(&(self.peer.clone(), head));
                    if let Some(waiting) = waiting {
                        drop(waiting.send(event));
                    }
                }
                Message::Bye { code, message } => return Err(Ended::Bye(code, message)),
                other @ (Message::Hello(_) | Message::Invited { .. } | Message::Ack { .. }) => {
                    return Err(Ended::Protocol(format!("{} out of place", other.kind())));
                }
            }
        }
        Ok(())
    }

    /// The key under which an answer to a fetch is awaited.
    pub(super) fn fetching(&self, record: &RecordId) -> String {
        format!("{}/{record}", self.peer)
    }

    async fn fetch(&self, record: RecordId, from: u64, to: u64) -> Result<(), Ended> {
        let directory = self.node.directory();
        let viewer = Viewer { participants: directory.stands_for(&self.peer) };
        let shelf = Shelf::new(self.node.database(), directory);
        let shares = shelf.of_record(&self.node.log(), &record, from..=to, MOST_FETCHED, &viewer).await;
        let shares = shares.map_err(|error| Ended::Own(error.to_string()))?;
        self.network.peer(&self.peer, |peer| count_sections(&mut peer.sections, &shares));
        self.send(Message::Fetched { record, shares }).await
    }

    /// Has something go on beside the reading; `false` where the peer has as much of that as it may.
    pub(super) fn errand(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(place) = self.errands.clone().try_acquire_owned() else { return false };
        tokio::spawn(async move {
            work.await;
            drop(place);
        });
        true
    }

    /// Has an intent looked at that another node was given; `false` where there is no place for it.
    fn offer(&self, number: u64, submission: Vec<u8>, wrapper: Vec<u8>) -> bool {
        let Ok(place) = self.errands.clone().try_acquire_owned() else { return false };
        let (peer, out) = (self.peer.clone(), self.out.clone());
        self.network.offer(Offered { peer, number, submission, wrapper, out, place })
    }

    /// Orders an event of the directory for another node.
    async fn proposed(self: Arc<Self>, number: u64, event: Vec<u8>, package: Option<Vec<u8>>) {
        let refused = match DirectoryEvent::read(&event) {
            Err(error) => Some((Code::Malformed.as_str().to_owned(), error.to_string())),
            Ok(event) => refused(self.node.change_directory(event, package, PATIENCE).await),
        };
        drop(self.send(Message::Proposed { number, refused }).await);
    }

    /// Signs an event of the directory that nodes sign by themselves.
    async fn voted(self: Arc<Self>, event: DirectoryEvent) {
        // The event before may still be on its way.
        let until = tokio::time::Instant::now() + BEFORE;
        while self.node.directory().seq() + 1 < event.seq && tokio::time::Instant::now() < until {
            tokio::time::sleep(PAUSE).await;
        }
        let (head, directory) = (event.head(), self.node.directory());
        let good = directory.countersignable(&event, self.node.now(), CLOCK_TOLERANCE);
        let signed = match good {
            Err(error) => {
                self.node.notice(&format!("{}: a vote was refused: {error}", self.peer));
                None
            }
            Ok(()) => event.countersign(self.node.signer()).ok().map(|signature| {
                let mut signed = event.clone();
                signed.add_signature(signature);
                signed.stored()
            }),
        };
        drop(self.send(Message::Voted { event: signed, head }).await);
    }
}

/// The refusal of what there is no place for; it can be sent again.
fn overloaded() -> Refused {
    Some((Code::Overloaded.as_str().to_owned(), "the node has too much to do for this peer".to_owned()))
}

/// Code and message of a refusal; what is not known yet is none.
pub(super) fn refused(result: Result<(), SubmitError>) -> Refused {
    match result {
        Ok(()) | Err(SubmitError::TimedOut(_)) => None,
        Err(error) => Some((error.code().as_str().to_owned(), error.to_string())),
    }
}
