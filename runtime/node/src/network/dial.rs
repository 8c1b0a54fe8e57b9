//! Keeping connections: listening for those who dial, dialling those whom this node has to reach.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::directory::Directory;
use lockstep_core::transport::{Listener, TransportError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Network, Peer, forwards, guard, session, taken};
use crate::open::Node;

/// Between two tries to reach a node: from here, doubling, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a node listens on for others.
pub struct Serving {
    listener: Option<Box<dyn Listener>>,
}

impl Serving {
    /// Listens on an address, or only dials.
    ///
    /// # Errors
    /// The transport's.
    pub async fn on(network: &Network, address: Option<&str>) -> Result<Self, TransportError> {
        let listener = match address {
            None => None,
            Some(address) => Some(network.transport.listen(address).await?),
        };
        Ok(Serving { listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.listener.as_ref().map(|listener| listener.address())
    }
}

/// Waits until it is told to stop.
pub(super) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // Nobody who could tell any more is the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Whether a node is no longer of the network; one that waits for approval may be let in yet.
fn has_left(directory: &Directory, node: &str) -> bool {
    directory.nodes().get(node).is_some_and(|node| node.retired.is_some())
}

/// Whether `own` is the one of two nodes that dials: the one that cannot be reached, else the first by name. Who has
/// left dials nobody.
fn dials(directory: &Directory, own: &str, other: &str) -> bool {
    let reachable = |node: &str| directory.nodes().get(node).is_some_and(|node| !node.addresses.is_empty());
    !has_left(directory, own) && reachable(other) && (!reachable(own) || own < other)
}

/// Keeps connections to all other nodes until `stop` is true.
pub async fn keep_connected(node: Node, serving: Serving, mut stop: watch::Receiver<bool>) {
    let Some(network) = node.network().cloned() else { return };
    let mut tasks = JoinSet::new();
    tasks.spawn(forwards::keep(node.clone(), network.clone(), stop.clone()));
    tasks.spawn(taken::keep(node.clone(), network.clone(), stop.clone()));
    if let Some(listener) = serving.listener {
        tasks.spawn(listen(node.clone(), network.clone(), listener, stop.clone()));
    }
    let mut dialling = std::collections::BTreeSet::new();
    loop {
        let directory = node.directory();
        for name in directory.nodes().keys().filter(|name| directory.active_node(name).is_some()) {
            if dials(&directory, node.name().as_str(), name) && dialling.insert(name.clone()) {
                tasks.spawn(keep(node.clone(), network.clone(), name.clone(), stop.clone()));
            }
        }
        tokio::select! {
            () = told_to_stop(&mut stop) => break,
            () = tokio::time::sleep(FIRST_PAUSE * 2) => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn listen(node: Node, network: Arc<Network>, mut listener: Box<dyn Listener>, stop: watch::Receiver<bool>) {
    let mut sessions = JoinSet::new();
    let mut stopping = stop.clone();
    loop {
        tokio::select! {
            () = told_to_stop(&mut stopping) => break,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(connection) => {
                    sessions.spawn(session::run(node.clone(), network.clone(), connection, stop.clone()));
                }
                Err(error) => {
                    node.notice(&format!("no node can reach this one: {error}"));
                    tokio::time::sleep(LONGEST_PAUSE).await;
                }
            },
        }
    }
    while sessions.join_next().await.is_some() {}
}

/// Keeps a connection to one node.
async fn keep(node: Node, network: Arc<Network>, name: String, mut stop: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    while !*stop.borrow() {
        let directory = node.directory();
        let Some(found) = directory.active_node(&name) else { return };
        if has_left(&directory, node.name().as_str()) {
            return;
        }
        let mut error = None;
        for address in &found.addresses {
            let dialled = tokio::select! {
                () = told_to_stop(&mut stop) => return,
                dialled = network.transport.dial(address.as_str(), &found.key) => dialled,
            };
            match dialled {
                Ok(connection) => {
                    session::run(node.clone(), network.clone(), connection, stop.clone()).await;
                    (pause, error) = (FIRST_PAUSE, None);
                    break;
                }
                Err(failed) => error = Some(failed.to_string()),
            }
        }
        if error.is_some() {
            network.peer(&name, |peer| peer.last_error = error);
        }
        tokio::select! {
            () = told_to_stop(&mut stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Network {
    /// Notes a connection; a newer one takes the place of an older one.
    pub(super) fn connected(
        &self,
        peer: &str,
        node: &Node,
        out: tokio::sync::mpsc::Sender<lockstep_core::sync::Message>,
    ) -> u64 {
        let mut peers = guard(&self.peers);
        let known = peers.entry(peer.to_owned()).or_default();
        let connection = known.connection + 1;
        *known = Peer {
            out: Some(out),
            connection,
            since: Some(node.now()),
            refused: known.refused,
            compared: known.compared,
            sections: std::mem::take(&mut known.sections),
            forks: std::mem::take(&mut known.forks),
            ..Peer::default()
        };
        connection
    }

    pub(super) fn disconnected(&self, peer: &str, connection: u64, error: Option<String>) {
        let mut peers = guard(&self.peers);
        if let Some(known) = peers.get_mut(peer).filter(|known| known.connection == connection) {
            (known.out, known.since, known.complete) = (None, None, false);
            known.last_error = error.or(known.last_error.take());
        }
    }
}
