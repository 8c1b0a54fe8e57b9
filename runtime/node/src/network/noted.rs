//! What is seen of the other nodes, noted in the database for whoever asks with SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::database::PeerSeen;
use lockstep_core::time::Timestamp;
use tokio::sync::watch;

use super::dial::told_to_stop;
use super::{Network, guard};
use crate::open::Node;

/// Between two looks: so often a changed row is written at most, whatever happens in between.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a node that ends waits for its last word to be written.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Notes what changes, until `stop` is true; then that nobody is reached any more. What the database does not take now
/// is noted with the next look: nothing waits for it.
pub async fn keep_noted(node: Node, mut stop: watch::Receiver<bool>) {
    let Some(network) = node.network().cloned() else { return };
    let mut noted = BTreeMap::new();
    loop {
        note(&node, &mut noted, seen(&network, &node)).await;
        tokio::select! {
            () = told_to_stop(&mut stop) => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let gone = seen(&network, &node).into_iter().map(|peer| PeerSeen { since: None, ..peer });
    // Whoever does not get to write this has a database that is away: the node's next start writes it.
    drop(tokio::time::timeout(LAST_WORD, note(&node, &mut noted, gone.collect())).await);
}

/// What this node sees of each other one now.
fn seen(network: &Network, node: &Node) -> Vec<PeerSeen> {
    let (directory, at) = (node.directory(), node.now());
    let peers = guard(&network.peers);
    let others = directory.nodes().keys().filter(|name| name.as_str() != node.name().as_str());
    let active = others.filter(|name| directory.active_node(name).is_some());
    let one = |name: &String| match peers.get(name) {
        None => unseen(name, at),
        Some(peer) => PeerSeen {
            since: peer.since.filter(|_| peer.out.as_ref().is_some_and(|out| !out.is_closed())),
            behind_events: peer.held,
            behind_since: peer.held_since,
            last_error: peer.last_error.clone(),
            ..unseen(name, at)
        },
    };
    active.map(one).collect()
}

fn unseen(node: &str, at: Timestamp) -> PeerSeen {
    PeerSeen { node: node.to_owned(), since: None, behind_events: 0, behind_since: None, last_error: None, at }
}

/// Writes those of whom something else is seen than was noted last.
async fn note(node: &Node, noted: &mut BTreeMap<String, PeerSeen>, seen: Vec<PeerSeen>) {
    let same =
        |peer: &PeerSeen| noted.get(&peer.node).is_some_and(|last| PeerSeen { at: peer.at, ..last.clone() } == *peer);
    let changed: Vec<PeerSeen> = seen.into_iter().filter(|peer| !same(peer)).collect();
    if changed.is_empty() || node.database().note_peers(&changed).await.is_err() {
        return;
    }
    noted.extend(changed.into_iter().map(|peer| (peer.node.clone(), peer)));
}
