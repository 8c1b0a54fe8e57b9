//! One connection with another node, from the hello to the end.
//!
//! Three things go on at once: frames are written as they come, frames are read and answered, and this node's log is
//! fed to the other from where it got to last.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_core::crypto::PublicKey;
use lockstep_core::directory::Directory;
use lockstep_core::event::EventOpenings;
use lockstep_core::sync::{Feed, Hello, Message, Share, Viewer, Wanted};
use lockstep_core::transport::{Connection, FrameReceiver, FrameSender, TransportError};
use tokio::sync::{Semaphore, mpsc, watch};

use super::dial::told_to_stop;
use super::{Network, OUTBOX, invited};
use crate::open::Node;
use crate::shelf::Shelf;

/// Outcomes looked at for one message of a feed.
const PAGE: usize = 1024;
/// An empty frame goes out after so long without another: both sides know then that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long taking in what came last may go on after the end.
const LAST: Duration = Duration::from_secs(10);
/// What one peer can have this node do at once beside its feed.
const ERRANDS: usize = 64;
/// How long a feed waits for its answer.
const ANSWER: Duration = Duration::from_secs(120);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("it does not keep to the protocol: {0}")]
    Protocol(String),
    #[error("it ended the connection: {0} ({1})")]
    Bye(String, String),
    #[error("{0}")]
    Own(String),
}

/// A connection whose peer is a node of the directory.
pub(super) struct Session {
    pub(super) node: Node,
    pub(super) network: Arc<Network>,
    /// The other node's name.
    pub(super) peer: String,
    pub(super) out: mpsc::Sender<Message>,
    /// The position in this node's log that the peer has committed up to.
    pub(super) acked: watch::Sender<u64>,
    /// How far the peer's directory goes, as far as it said.
    pub(super) directory: watch::Sender<u64>,
    /// Places for what goes on beside the reading.
    pub(super) errands: Arc<Semaphore>,
    /// Positions of the peer's log that are not applied because their record is disputed.
    pub(super) stopped: Mutex<BTreeSet<u64>>,
}

/// The active node with this key.
fn named(directory: &Directory, key: &PublicKey) -> Option<String> {
    let mut nodes = directory.nodes().iter().filter(|(_, node)| node.key == *key);
    nodes.find(|(name, _)| directory.active_node(name).is_some()).map(|(name, _)| name.clone())
}

/// Talks to whoever is at the other end until either side ends it.
pub(super) async fn run(node: Node, network: Arc<Network>, connection: Connection, stop: watch::Receiver<bool>) {
    let Connection { peer: key, sender, receiver } = connection;
    let (out, messages) = mpsc::channel(OUTBOX);
    let writer = tokio::spawn(write(sender, messages));
    match named(&node.directory(), &key) {
        Some(peer) => known(node, network, peer, out, receiver, stop).await,
        None => invited::host(&node, &network, &out, receiver).await,
    }
    // The writer ends with the last sender of its channel.
    drop(tokio::time::timeout(Duration::from_secs(5), writer).await);
}

async fn known(
    node: Node,
    network: Arc<Network>,
    peer: String,
    out: mpsc::Sender<Message>,
    receiver: Box<dyn FrameReceiver>,
    mut stop: watch::Receiver<bool>,
) {
    let connection = network.connected(&peer, &node, out.clone());
    let session = Arc::new(Session {
        node,
        network: network.clone(),
        peer: peer.clone(),
        out,
        acked: watch::Sender::new(0),
        directory: watch::Sender::new(0),
        errands: Arc::new(Semaphore::new(ERRANDS)),
        stopped: Mutex::default(),
    });
    let ended = tokio::select! {
        ended = session.clone().talk(receiver) => ended,
        () = told_to_stop(&mut stop) => Err(Ended::Own("this node stops".to_owned())),
    };
    let ended = ended.err();
    if matches!(ended, Some(Ended::Protocol(_) | Ended::Transport(TransportError::Protocol { .. }))) {
        network.peer(&peer, |peer| peer.refused += 1);
    }
    network.disconnected(&peer, connection, ended.map(|ended| ended.to_string()));
}

async fn write(mut sender: Box<dyn FrameSender>, mut messages: mpsc::Receiver<Message>) -> Result<(), TransportError> {
    loop {
        match tokio::time::timeout(HEARTBEAT, messages.recv()).await {
            Ok(Some(message)) => sender.send(&message.encode()).await?,
            Ok(None) => return sender.close().await,
            Err(_) => sender.send(&[]).await?,
        }
    }
}

/// The next message; `None` at the orderly end.
pub(super) async fn next(receiver: &mut Box<dyn FrameReceiver>) -> Result<Option<Message>, Ended> {
    loop {
        match receiver.receive().await? {
            None => return Ok(None),
            Some(frame) if frame.is_empty() => {}
            Some(frame) => {
                return Message::decode(&frame).map(Some).map_err(|error| Ended::Protocol(error.to_string()));
            }
        }
    }
}

/// Adds up the bytes of each section in shares that go out.
pub(super) fn count_sections(sections: &mut std::collections::BTreeMap<String, u64>, shares: &[Share]) {
    for event in shares.iter().flat_map(|share| &share.events) {
        let Ok(openings) = EventOpenings::read(&event.openings) else { continue };
        for (section, bytes) in openings.sizes() {
            *sections.entry(section.to_owned()).or_default() += bytes;
        }
    }
}

impl Session {
    async fn talk(self: Arc<Self>, mut receiver: Box<dyn FrameReceiver>) -> Result<(), Ended> {
        self.greet().await?;
        let hello = match next(&mut receiver).await? {
            Some(Message::Hello(hello)) => hello,
            Some(other) => return Err(Ended::Protocol(format!("{} before hello", other.kind()))),
            None => return Ok(()),
        };
        if hello.network != self.node.directory().network() || hello.node.as_str() != self.peer {
            return Err(Ended::Protocol(format!("it says that it is node {} of {}", hello.node, hello.network)));
        }
        self.directory.send_replace(hello.directory);
        let wanted = hello.wants.get(&self.node.log()).copied().unwrap_or_default();
        let (taker, arriving) = mpsc::channel(OUTBOX);
        let mut taking = std::pin::pin!(self.clone().take(arriving));
        let ended = tokio::select! {
            ended = self.clone().feed(wanted) => return ended,
            ended = &mut taking => return ended,
            ended = self.clone().read(receiver, taker) => ended,
        };
        // What came before the end is taken in yet: an event that this node has left is the last that it is told.
        drop(tokio::time::timeout(LAST, taking).await);
        ended
    }

    pub(super) async fn send(&self, message: Message) -> Result<(), Ended> {
        self.out.send(message).await.map_err(|_| Ended::Own("the connection is gone".to_owned()))
    }

    async fn greet(&self) -> Result<(), Ended> {
        let directory = self.node.directory();
        let log = directory.nodes().get(&self.peer).map(|node| format!("{}/{}", self.peer, node.incarnation));
        let mut wants = std::collections::BTreeMap::new();
        if let Some(log) = log {
            let wanted = self.node.wanted(&log).await.map_err(|error| Ended::Own(error.to_string()))?;
            wants.insert(log, wanted);
        }
        let (network, node) = (directory.network(), self.node.name().clone());
        self.send(Message::Hello(Hello { network, node, directory: directory.seq(), wants })).await
    }

    /// Feeds this node's log to the peer, the directory always before what was judged under it.
    async fn feed(self: Arc<Self>, wanted: Wanted) -> Result<(), Ended> {
        let (mut from, mut size) = (wanted.next, wanted.size);
        let mut commits = self.node.commits();
        let (mut told, mut objections, mut under_way) = (false, 0, None);
        loop {
            let at = *commits.borrow_and_update();
            self.feed_directory().await?;
            let directory = self.node.directory();
            if directory.active_node(&self.peer).is_none() {
                return self.part().await;
            }
            let viewer = Viewer { participants: directory.stands_for(&self.peer) };
            objections = self.tell_objections(objections, &viewer).await?;
            let shelf = Shelf::new(self.node.database(), directory);
            let log = self.node.log();
            let page = shelf
                .page(&log, from, PAGE, &viewer, &mut size)
                .await
                .map_err(|error| Ended::Own(error.to_string()))?;
            from = page.next;
            if !page.shares.is_empty() || (!told && !page.more) {
                // The page was read while the other took in the one before.
                self.answered(&mut under_way).await?;
                told = !page.more;
                let next = page.next;
                self.network.peer(&self.peer, |peer| {
                    peer.sent = next;
                    count_sections(&mut peer.sections, &page.shares);
                });
                self.send(Message::Feed(Feed { log, next, more: page.more, shares: page.shares })).await?;
                under_way = Some(next);
            }
            if page.more && page.heads.is_empty() {
                continue;
            }
            self.answered(&mut under_way).await?;
            self.tell_heads(page.heads, page.notes).await?;
            if page.more {
                continue;
            }
            self.network.peer(&self.peer, |peer| peer.served = at);
            if commits.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Waits until the other has taken in the feed that is under way.
    async fn answered(&self, under_way: &mut Option<u64>) -> Result<(), Ended> {
        let Some(next) = under_way.take() else { return Ok(()) };
        let mut acked = self.acked.subscribe();
        let answered = tokio::time::timeout(ANSWER, acked.wait_for(|acked| *acked >= next)).await;
        match answered {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Ended::Protocol("it does not answer what it is sent".to_owned())),
        }
    }

    /// Ends the connection with a node that is no longer of the network; the event that says so was sent before.
    async fn part(&self) -> Result<(), Ended> {
        let message = format!("node {} is no longer of the network", self.peer);
        self.send(Message::Bye { code: "not_admitted".to_owned(), message: message.clone() }).await?;
        Err(Ended::Own(message))
    }

    async fn feed_directory(&self) -> Result<(), Ended> {
        let known = *self.directory.borrow();
        let events = self.node.past().after(known);
        if let Some(last) = events.last() {
            self.directory.send_replace(last.seq);
            self.send(self.node.directory_message(&events)).await?;
        }
        Ok(())
    }
}
