//! Heads that go round among those who follow a record: what one was told, the others hear of.
//!
//! A head that is not here yet is waited for; then it is fetched from whoever has it. Another event at the same place is
//! a fork: the sequencer told two stories, and its own signatures in both shares prove it.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::Digest;
use lockstep_core::json::json;
use lockstep_core::log::Checkpoint;
use lockstep_core::sync::{HeadAt, Heads, Message, Share, Viewer};

use super::session::{Ended, Session};
use crate::open::NodeError;
use crate::shelf::Shelf;

/// How long the sequencer's own feed may take before another node is asked.
const GRACE: Duration = Duration::from_secs(2);
/// Most heads of one message.
const MOST_HEADS: usize = 10_000;

impl Session {
    /// Tells the peer how far this node has followed records of others.
    pub(super) async fn tell_heads(&self, heads: Vec<HeadAt>, notes: Vec<String>) -> Result<(), Ended> {
        if heads.is_empty() {
            return Ok(());
        }
        let (network, node) = (self.node.directory().network(), self.node.name().clone());
        let signed = Heads { network, node, time: self.node.now(), heads, notes }.sign(self.node.signer());
        let envelope = signed.map_err(|error| Ended::Own(error.to_string()))?;
        self.send(Message::Heads { envelope }).await
    }

    /// Takes heads that the peer signed; looks into them after a while, so that the feed comes first.
    pub(super) fn heads(self: Arc<Self>, envelope: &[u8]) -> Result<(), Ended> {
        let directory = self.node.directory();
        let key = directory.active_node(&self.peer).map(|node| node.key);
        let key = key.ok_or_else(|| Ended::Protocol("it is no node any more".to_owned()))?;
        let heads = Heads::verify(envelope, &key).map_err(Ended::Protocol)?;
        if heads.network != directory.network() || heads.node.as_str() != self.peer || heads.heads.len() > MOST_HEADS {
            return Err(Ended::Protocol("its heads are another node's or network's, or too many".to_owned()));
        }
        let time = self.node.now();
        self.network.peer(&self.peer, |peer| peer.confirmed = Some(time));
        let session = self.clone();
        // Where it has too much of that under way, later heads say the same and more.
        let _: bool = self.errand(async move {
            for note in &heads.notes {
                session.look_at(note).await;
            }
            tokio::time::sleep(GRACE).await;
            for head in &session.unknown(heads.heads).await {
                if let Err(error) = session.look_into(head).await {
                    session.node.notice(&format!("{}: {error}", session.peer));
                    return;
                }
            }
        });
        Ok(())
    }

    /// Holds a signed head that the peer was shown of a log against the one of the same size that this node was shown.
    async fn look_at(&self, note: &str) {
        let directory = self.node.directory();
        let origin = Checkpoint::parse(note).map(|(head, _)| head.origin).unwrap_or_default();
        let Some(log) = origin.strip_prefix(&format!("lockstep/{}/", directory.network())) else { return };
        let node = log.split('/').next().and_then(|node| directory.nodes().get(node));
        let Some(Ok(head)) = node.map(|node| Checkpoint::verify(note, &origin, &node.key)) else { return };
        let Some(own) = self.node.shown(log, head.size).filter(|own| *own != head.root) else { return };
        let message = format!(
            "{log} showed two histories: at size {} its root is {own} here, and {} at {}; both are signed",
            head.size, head.root, self.peer
        );
        let fork = json!({
            "log": log, "size": head.size, "here": own.to_string(), "there": head.root.to_string(), "proven": true,
            "message": message.as_str(), "note": note
        });
        if self.network.peer(&self.peer, |peer| peer.forks.insert(log.to_owned(), fork).is_none()) {
            self.node.notice(&message);
            self.object_to_heads(log, head.size, note.to_owned()).await;
        }
    }

    /// The heads that are not here as the peer has them. Nearly all are: one question for all of them.
    async fn unknown(&self, heads: Vec<HeadAt>) -> Vec<HeadAt> {
        let shelf = Shelf::new(self.node.database(), self.node.directory());
        // Asked one by one it shows what is wrong.
        shelf.missing(&heads).await.unwrap_or(heads)
    }

    async fn look_into(&self, head: &HeadAt) -> Result<(), Ended> {
        let here = {
            let shelf = Shelf::new(self.node.database(), self.node.directory());
            shelf.at(head).await.map_err(|error: NodeError| Ended::Own(error.to_string()))?
        };
        match here {
            (Some(event), _) if event == head.event => Ok(()),
            (Some(event), _) => {
                let other = self.ask_for(head.record.clone(), head.seq, head.seq).await?;
                self.fork(head, &event, other).await;
                Ok(())
            }
            (None, last) => {
                let shares = self.ask_for(head.record.clone(), last + 1, head.seq).await?;
                if shares.is_empty() {
                    return Ok(());
                }
                self.receive(&shares).await.map(drop)
            }
        }
    }

    /// Notes that the peer was told something else. Its share counts only where it stands in the sequencer's log.
    async fn fork(&self, head: &HeadAt, own: &Digest, other: Vec<Share>) {
        let directory = self.node.directory();
        let proven = other.iter().find(|share| share.is_in_its_log(&directory) && share.has_event(&head.event));
        let message = match proven {
            Some(share) => format!(
                "{} has two events at seq {}: {own} here, {} at {}, both in logs that {} signed",
                head.record, head.seq, head.event, self.peer, share.place.log
            ),
            None => format!(
                "{} says that {} has event {} at seq {}, and does not prove it",
                self.peer, head.record, head.event, head.seq
            ),
        };
        let fork = json!({
            "record_id": head.record.as_str(), "epoch": head.epoch, "seq": head.seq, "here": own.to_string(),
            "there": head.event.to_string(), "proven": proven.is_some(), "message": message.as_str(),
            "note": proven.map(|share| share.place.note.as_str())
        });
        let place = format!("{}#{}.{}", head.record, head.epoch, head.seq);
        let known = self.network.peer(&self.peer, |peer| peer.forks.insert(place, fork));
        if known.is_none() {
            self.node.notice(&message);
        }
        if let (Some(second), Some(first)) = (proven, self.own_share(head).await) {
            self.object_to(&first, second, [own, &head.event]).await;
        }
    }

    /// What this node was given at a place of a record.
    async fn own_share(&self, head: &HeadAt) -> Option<Share> {
        let directory = self.node.directory();
        let viewer = Viewer { participants: directory.stands_for(self.node.name().as_str()) };
        let shelf = Shelf::new(self.node.database(), directory);
        let shares = shelf.of_record(&self.node.log(), &head.record, head.seq..=head.seq, 1, &viewer).await;
        shares.ok()?.pop()
    }
}
