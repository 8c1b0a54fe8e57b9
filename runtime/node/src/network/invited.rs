//! Joining: a node that is in no directory yet shows its invitation, gets the directory, and asks to be taken in.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_core::crypto::{Digest, PublicKey};
use lockstep_core::directory::{Body, DirectoryError, DirectoryEvent, History, Invitation};
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::NodeName;
use lockstep_core::package::Package;
use lockstep_core::sync::{Hello, Message};
use lockstep_core::transport::{Connection, FrameReceiver, Transport, TransportError};
use tokio::sync::mpsc;

use super::Network;
use super::answer::refused;
use super::session::{Ended, next};
use crate::open::Node;

/// How long a stranger may stay.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to show the invitation.
const GREETING: Duration = Duration::from_secs(5);

/// Serves a stranger with an invitation; anybody else is sent away.
pub(super) async fn host(
    node: &Node,
    network: &Arc<Network>,
    out: &mpsc::Sender<Message>,
    receiver: Box<dyn FrameReceiver>,
) {
    let served = match network.guests.try_acquire() {
        Err(_) => Err(Ended::Own("there are too many guests; try again later".to_owned())),
        Ok(_place) => match tokio::time::timeout(PATIENCE, serve(node, out, receiver)).await {
            Ok(served) => served,
            Err(_) => Err(Ended::Protocol("it stays too long".to_owned())),
        },
    };
    if let Err(ended) = served {
        // Who closes has done nothing wrong.
        let refused = u64::from(!matches!(ended, Ended::Transport(_)));
        network.strangers.fetch_add(refused, Ordering::Relaxed);
        let (code, message) = ("not_admitted".to_owned(), ended.to_string());
        drop(out.send(Message::Bye { code, message }).await);
    }
}

/// The invitation, which comes at once from whoever has one.
async fn shown(receiver: &mut Box<dyn FrameReceiver>) -> Result<(Vec<u8>, Digest), Ended> {
    match tokio::time::timeout(GREETING, next(receiver)).await {
        Ok(Ok(Some(Message::Invited { invitation, secret }))) => Ok((invitation, secret)),
        Ok(Err(ended)) => Err(ended),
        Ok(Ok(_)) | Err(_) => Err(Ended::Protocol("it shows no invitation".to_owned())),
    }
}

async fn serve(node: &Node, out: &mpsc::Sender<Message>, mut receiver: Box<dyn FrameReceiver>) -> Result<(), Ended> {
    let (invitation, secret) = shown(&mut receiver).await?;
    let refuse = |error: String| Ended::Protocol(error);
    let json = Json::parse(&invitation, &Limits::default()).map_err(|error| refuse(error.to_string()))?;
    let invitation = Invitation::read(&json).map_err(|error| refuse(error.to_string()))?;
    node.directory().check_invitation(&invitation, node.now()).map_err(|error| refuse(error.to_string()))?;
    if !invitation.opened_by(secret.as_bytes()) {
        return Err(refuse("the invitation's secret is another one".to_owned()));
    }
    let gone = |_| Ended::Transport(TransportError::Closed);
    out.send(node.directory_message(&node.past().after(0))).await.map_err(gone)?;
    while let Some(message) = next(&mut receiver).await? {
        let Message::Propose { number, event, package: None } = message else {
            return Err(Ended::Protocol("a guest only asks to join".to_owned()));
        };
        let event = DirectoryEvent::read(&event).map_err(|error| refuse(error.to_string()))?;
        if !matches!(event.body, Body::ParticipantJoin(_)) {
            return Err(Ended::Protocol("a guest only asks to join".to_owned()));
        }
        let before = event.seq.saturating_sub(1);
        let refused = refused(node.change_directory(event, None, PATIENCE).await);
        let taken = refused.is_none();
        out.send(Message::Proposed { number, refused }).await.map_err(gone)?;
        if taken {
            out.send(node.directory_message(&node.past().after(before))).await.map_err(gone)?;
        }
    }
    Ok(())
}

/// Why a guest was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The host cannot be reached, or is another one.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The host sends what it must not.
    #[error("the host does not keep to the protocol: {0}")]
    Protocol(String),
    /// The host or the network says no.
    #[error("{message}")]
    Refused {
        /// A code.
        code: String,
        /// What happened, for people.
        message: String,
    },
    /// The directory that the host sent is none.
    #[error("the directory of the network is damaged: {0}")]
    Directory(#[from] DirectoryError),
    /// No answer in time.
    #[error("the host did not answer in time")]
    TimedOut,
}

impl From<Ended> for GuestError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Transport(error) => GuestError::Transport(error),
            Ended::Bye(code, message) => GuestError::Refused { code, message },
            other => GuestError::Protocol(other.to_string()),
        }
    }
}

/// The directory as a guest got it: its events, each with the package that it proposes.
pub struct Guest {
    /// The events, the genesis first.
    pub events: Vec<(DirectoryEvent, Option<Vec<u8>>)>,
    connection: Connection,
}

/// Reaches the host with an invitation and gets the directory.
///
/// # Errors
/// [`GuestError`].
pub async fn ask_to_join(
    transport: &dyn Transport,
    address: &str,
    host: &PublicKey,
    invitation: &Invitation,
    secret: [u8; 32],
) -> Result<Guest, GuestError> {
    let asking = async {
        let mut connection = transport.dial(address, host).await?;
        let envelope = invitation.envelope.to_json().canonical().into_bytes();
        let message = Message::Invited { invitation: envelope, secret: Digest::from_bytes(secret) };
        connection.sender.send(&message.encode()).await?;
        let (events, packages) = match next(&mut connection.receiver).await? {
            Some(Message::Directory { events, packages }) => (events, packages),
            Some(Message::Bye { code, message }) => return Err(GuestError::Refused { code, message }),
            // An earlier try has come in, and nobody here knows: the host greets a node.
            Some(Message::Hello(_)) => {
                drop(connection);
                connection = transport.dial(address, host).await?;
                greeted(&mut connection, invitation).await?
            }
            _ => return Err(GuestError::Protocol("no directory".to_owned())),
        };
        let events = paired(&events, packages)?;
        match events.first() {
            Some((genesis, _)) if genesis.head() == invitation.terms.network => Ok(Guest { events, connection }),
            _ => Err(GuestError::Protocol("it is of another network".to_owned())),
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(GuestError::TimedOut))
}

/// The whole directory, for a node that is in it already.
async fn greeted(
    connection: &mut Connection,
    invitation: &Invitation,
) -> Result<(Vec<Vec<u8>>, Vec<Vec<u8>>), GuestError> {
    let terms = &invitation.terms;
    let node = NodeName::parse(terms.participant.as_str()).map_err(|error| GuestError::Protocol(error.to_string()))?;
    let hello = Hello { network: terms.network, node, directory: 0, wants: std::collections::BTreeMap::new() };
    connection.sender.send(&Message::Hello(hello).encode()).await?;
    loop {
        match next(&mut connection.receiver).await? {
            Some(Message::Directory { events, packages }) => return Ok((events, packages)),
            Some(Message::Bye { code, message }) => return Err(GuestError::Refused { code, message }),
            None => return Err(GuestError::Protocol("no directory".to_owned())),
            Some(_) => {}
        }
    }
}

/// An event of the directory with the package that it proposes.
type Paired = (DirectoryEvent, Option<Vec<u8>>);

/// Puts events and packages together.
fn paired(events: &[Vec<u8>], packages: Vec<Vec<u8>>) -> Result<Vec<Paired>, GuestError> {
    let mut by_digest: std::collections::BTreeMap<Digest, Vec<u8>> =
        packages.into_iter().filter_map(|bytes| Some((Package::decode(&bytes).ok()?.digest(), bytes))).collect();
    let mut found = Vec::new();
    for stored in events {
        let event = DirectoryEvent::read(stored)?;
        let package = match &event.body {
            Body::ContractPropose { manifest } => by_digest.remove(&manifest.digest()),
            _ => None,
        };
        found.push((event, package));
    }
    Ok(found)
}

impl Guest {
    /// The state after the last event.
    ///
    /// # Errors
    /// [`GuestError::Directory`].
    pub fn history(&self) -> Result<History, GuestError> {
        let mut events = self.events.iter().map(|(event, _)| event.clone());
        let genesis = events.next().ok_or_else(|| GuestError::Protocol("no genesis".to_owned()))?;
        let mut history = History::found(genesis)?;
        for event in events {
            history.push(event)?;
        }
        Ok(history)
    }

    /// Asks to be taken in; the whole directory then, with the event and the votes that others gave it.
    ///
    /// # Errors
    /// [`GuestError`].
    pub async fn join(mut self, event: &DirectoryEvent) -> Result<Vec<(DirectoryEvent, Option<Vec<u8>>)>, GuestError> {
        let asking = async {
            let message = Message::Propose { number: 1, event: event.stored(), package: None };
            self.connection.sender.send(&message.encode()).await?;
            match next(&mut self.connection.receiver).await? {
                Some(Message::Proposed { refused: None, .. }) => {}
                Some(Message::Proposed { refused: Some((code, message)), .. } | Message::Bye { code, message }) => {
                    return Err(GuestError::Refused { code, message });
                }
                _ => return Err(GuestError::Protocol("no answer".to_owned())),
            }
            let Some(Message::Directory { events, packages }) = next(&mut self.connection.receiver).await? else {
                return Err(GuestError::Protocol("no directory".to_owned()));
            };
            self.events.extend(paired(&events, packages)?);
            Ok(self.events)
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(GuestError::TimedOut))
    }
}
