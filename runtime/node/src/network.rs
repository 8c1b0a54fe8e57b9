//! The other nodes: who is connected, what was sent and received, and the way for intents and events of the
//! directory that another node has to order.
//!
//! A connection is one `session`; `dial` keeps one to every node that this one has to reach. What may be sent to whom
//! is decided by `lockstep_core::sync`; nothing here looks into a share.

mod answer;
mod dial;
mod forwards;
mod heads;
mod invited;
mod noted;
mod objections;
mod session;
mod take;
mod taken;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Body, Directory, DirectoryEvent};
use lockstep_core::intent::Refusal;
use lockstep_core::json::{Json, Object, json};
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Level, Message, Share};
use lockstep_core::time::Timestamp;
use lockstep_core::transport::Transport;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::open::Node;
use crate::receive::Taken;
use crate::submit::SubmitError;

use answer::CLOCK_TOLERANCE;
pub use dial::{Serving, keep_connected};
pub use invited::{Guest, GuestError, ask_to_join};
pub use noted::keep_noted;

/// Messages that wait for a slow peer; then whoever sends waits.
const OUTBOX: usize = 64;
/// Most connections at once of those whom the directory does not know.
const GUESTS: usize = 16;
/// How long to wait for a voter that is not connected.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long a vote may take; longer than the voter waits for the events before.
const VOTE: Duration = Duration::from_secs(20);
/// Between two looks for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of a request to another node: nothing, or code and message.
type Refused = Option<(String, String)>;

/// Those who wait for an answer.
type Waiting<K, T> = Mutex<BTreeMap<K, oneshot::Sender<T>>>;

/// What this node knows of another one.
#[derive(Default)]
struct Peer {
    /// Where messages to it go, while it is connected.
    out: Option<mpsc::Sender<Message>>,
    /// Number of the connection that this is.
    connection: u64,
    since: Option<Timestamp>,
    /// Whether it said that all of its log that is for this node was sent.
    complete: bool,
    /// Shares of it that wait for something, and since when some do.
    held: u64,
    held_since: Option<Timestamp>,
    /// The position in this node's log up to which it has committed.
    acked: u64,
    /// The position up to which it was sent.
    sent: u64,
    /// Commits of this node up to which it has all that is for it.
    served: u64,
    /// Bytes of content, changes and notifications that it was sent, by section: counted on what went out.
    sections: BTreeMap<String, u64>,
    /// Outcomes that came from it and were applied: executed again, and where not all was there to execute.
    compared: (u64, u64),
    /// Where it has another event than this node: what was told differently.
    forks: BTreeMap<String, Json>,
    /// When it last confirmed heads.
    confirmed: Option<Timestamp>,
    /// Messages that proved nothing, or were none.
    refused: u64,
    last_error: Option<String>,
}

/// The other nodes.
pub struct Network {
    transport: Arc<dyn Transport>,
    peers: Mutex<BTreeMap<String, Peer>>,
    numbers: AtomicU64,
    answers: Waiting<u64, Refused>,
    votes: Waiting<(String, Digest), Option<Vec<u8>>>,
    fetches: Waiting<String, Vec<Share>>,
    /// Places for those whom the directory does not know.
    guests: Semaphore,
    /// Those whom the directory does not know and who had no good invitation.
    strangers: AtomicU64,
    /// Intents for others to sequence.
    forwards: forwards::Forwards,
    /// Intents of others for this node to sequence.
    door: taken::Door,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Network {
            transport,
            peers: Mutex::default(),
            numbers: AtomicU64::new(1),
            answers: Mutex::default(),
            votes: Mutex::default(),
            fetches: Mutex::default(),
            guests: Semaphore::new(GUESTS),
            strangers: AtomicU64::new(0),
            forwards: forwards::Forwards::default(),
            door: taken::Door::default(),
        }
    }

    fn peer<T>(&self, node: &str, change: impl FnOnce(&mut Peer) -> T) -> T {
        change(guard(&self.peers).entry(node.to_owned()).or_default())
    }

    /// Where messages to a node go, while it is connected, and over which connection that is.
    fn out(&self, node: &str) -> Option<(u64, mpsc::Sender<Message>)> {
        let peers = guard(&self.peers);
        let peer = peers.get(node)?;
        Some((peer.connection, peer.out.clone().filter(|out| !out.is_closed())?))
    }

    /// Sends to a node as soon as it is connected, and says over which connection; `None` where nobody waits any more.
    async fn send<T>(&self, node: &str, mut message: Message, waiting: &oneshot::Sender<T>) -> Option<u64> {
        loop {
            if waiting.is_closed() {
                return None;
            }
            if let Some((connection, out)) = self.out(node) {
                match out.send(message).await {
                    Ok(()) => return Some(connection),
                    Err(back) => message = back.0,
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn ask(&self) -> (u64, oneshot::Receiver<Refused>) {
        let number = self.number();
        let (answer, waiting) = oneshot::channel();
        let mut answers = guard(&self.answers);
        // Whose connection broke is not answered any more.
        answers.retain(|_, answer| !answer.is_closed());
        answers.insert(number, answer);
        (number, waiting)
    }

    fn answered(&self, number: u64, refused: Refused) {
        if let Some(answer) = guard(&self.answers).remove(&number) {
            // Who asked may have gone.
            drop(answer.send(refused));
        }
    }

    /// Counts how far what was committed could be compared, of what a node handed over.
    pub(crate) fn committed(&self, from: &str, taken: &[Taken]) {
        let count = |level: Level| {
            let applied =
                |one: &&Taken| matches!(one, Taken::Applied(found) | Taken::Settled(found) if *found == level);
            taken.iter().filter(applied).count() as u64
        };
        let (full, partial) = (count(Level::Full), count(Level::Partial));
        self.peer(from, |peer| peer.compared = (peer.compared.0 + full, peer.compared.1 + partial));
    }

    /// What is known of the other nodes: who is connected, and whether both sides have all of each other.
    #[must_use]
    pub fn status(&self, node: &Node) -> Json {
        let commits = *node.commits().borrow();
        let strangers = self.strangers.load(Ordering::Relaxed);
        let seen = Seen { directory: &node.directory(), own: node.name(), now: node.now(), commits, strangers };
        let mut status = status(&guard(&self.peers), &seen);
        if let Json::Object(members) = &mut status {
            members.insert("objections", node.shared().objections.to_json());
        }
        status
    }
}

/// The same for a node that does not run.
#[must_use]
pub fn nobody_reached(directory: &Directory, own: &NodeName) -> Json {
    status(&BTreeMap::new(), &Seen { directory, own, now: Timestamp::MIN, commits: 0, strangers: 0 })
}

/// From where a node looks at its peers.
struct Seen<'a> {
    directory: &'a Directory,
    own: &'a NodeName,
    now: Timestamp,
    commits: u64,
    strangers: u64,
}

fn status(peers: &BTreeMap<String, Peer>, seen: &Seen<'_>) -> Json {
    let Seen { directory, own, now, commits, strangers } = *seen;
    let mut caught_up = true;
    let mut list = Vec::new();
    for (name, node) in directory.nodes().iter().filter(|(name, _)| name.as_str() != own.as_str()) {
        if directory.active_node(name).is_none() {
            continue;
        }
        let nothing = Peer::default();
        let peer = peers.get(name).unwrap_or(&nothing);
        let reachable = peer.out.as_ref().is_some_and(|out| !out.is_closed());
        let sent: Object = peer.sections.iter().map(|(name, bytes)| (name.clone(), Json::from(*bytes))).collect();
        let forks: Json = peer.forks.values().cloned().collect();
        let compared = json!({"full": peer.compared.0, "partial": peer.compared.1});
        let behind_s = peer.held_since.map_or(0, |since| now.since(since).as_secs());
        let behind = peer.sent.saturating_sub(peer.acked);
        caught_up &= reachable && peer.complete && peer.held == 0 && behind == 0 && peer.served == commits;
        list.push(json!({
            "node": name.as_str(), "participant": node.participant.as_str(), "reachable": reachable,
            "since": peer.since.map(|since| since.to_string()), "behind_events": peer.held, "behind_s": behind_s,
            "unconfirmed": behind, "confirmed": peer.confirmed.map(|time| time.to_string()), "forks": forks, "sent_bytes": sent, "compared": compared, "refused": peer.refused, "last_error": peer.last_error.as_deref()
        }));
    }
    json!({"node": own.as_str(), "caught_up": caught_up, "refused": strangers, "peers": list})
}

impl Node {
    /// Has the node talk to others from now on.
    pub fn attach(&self, network: Arc<Network>) {
        // The first one stays: a node has one set of connections.
        drop(self.shared().network.set(network));
    }

    /// The other nodes, where this one talks to them.
    #[must_use]
    pub fn network(&self) -> Option<&Arc<Network>> {
        self.shared().network.get()
    }

    /// Has the node that orders the directory take an event, and waits until it is here.
    pub(crate) async fn propose(
        &self,
        network: &Network,
        event: &DirectoryEvent,
        package: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<(), SubmitError> {
        let sequencer = self.directory().sequencer().to_owned();
        let (number, answer) = network.ask();
        let (waiter, _waiting) = oneshot::channel::<()>();
        let proposal = async {
            let message = Message::Propose { number, event: event.stored(), package };
            network.send(&sequencer, message, &waiter).await;
            tokio::select! {
                Ok(Some((code, message))) = answer => Err(SubmitError::Refused(refusal(&code, message))),
                // The answer may be lost with the connection, as where the event was that this node leaves.
                () = self.has(event) => Ok(()),
            }
        };
        let ended = tokio::time::timeout(timeout, proposal).await;
        network.answered(number, None);
        ended.unwrap_or(Err(SubmitError::TimedOut(timeout)))
    }

    /// Waits until an event of the directory is here.
    async fn has(&self, event: &DirectoryEvent) {
        let here = || self.past().after(event.seq.saturating_sub(1)).first().map(|first| first.head());
        while here() != Some(event.head()) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether this node would countersign an event that nodes countersign: what it would not, nobody is asked for.
    pub(crate) fn would_sign(&self, event: &DirectoryEvent) -> Result<(), Refusal> {
        let directory = self.directory();
        // Whatever the event continues may be on its way into the database.
        if matches!(event.body, Body::ParticipantAdd { .. }) || event.seq > directory.seq() + 1 {
            return Ok(());
        }
        let signable = directory.countersignable(event, self.now(), CLOCK_TOLERANCE);
        signable.map_err(|error| Refusal::new(Code::DirectoryRefused, error.to_string()))
    }

    /// Collects the votes that an event of the directory needs.
    pub(crate) async fn with_votes(&self, network: Option<&Arc<Network>>, mut event: DirectoryEvent) -> DirectoryEvent {
        let directory = self.directory();
        if let Ok(own) = event.countersign(self.signer()) {
            event.add_signature(own);
        }
        let Some(network) = network.filter(|_| !directory.votes(&event).reached()) else {
            return directory.settled(&event);
        };
        let mut asked = tokio::task::JoinSet::new();
        for name in directory.nodes().keys().filter(|name| name.as_str() != self.name().as_str()) {
            let voter = directory.active_node(name).map(|node| node.participant.as_str());
            if !directory.voters().any(|voting| Some(voting) == voter) {
                continue;
            }
            let (answer, waiting) = oneshot::channel();
            guard(&network.votes).insert((name.clone(), event.head()), answer);
            let message = Message::Vote { event: event.stored() };
            let (network, name) = (network.clone(), name.clone());
            asked.spawn(async move {
                // Who has just come in, or was cut off, is back in a moment.
                let (waiter, _waiting) = oneshot::channel::<()>();
                tokio::time::timeout(CONNECTION, network.send(&name, message, &waiter)).await.ok()??;
                tokio::time::timeout(VOTE, waiting).await.ok()?.ok()?
            });
        }
        while let Some(answer) = asked.join_next().await {
            let voted = answer.ok().flatten().and_then(|stored| DirectoryEvent::read(&stored).ok());
            for signature in voted
                .filter(|voted| voted.head() == event.head())
                .into_iter()
                .flat_map(|voted| voted.envelope.signatures)
            {
                event.add_signature(signature);
            }
            if directory.votes(&event).reached() {
                break;
            }
        }
        directory.settled(&event)
    }
}

fn refusal(code: &str, message: String) -> Refusal {
    Refusal::new(Code::parse(code).unwrap_or(Code::Internal), message)
}
