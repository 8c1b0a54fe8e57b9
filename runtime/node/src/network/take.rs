//! Taking in what a peer feeds: compare, fetch what is missing, answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::directory::DirectoryEvent;
use lockstep_core::json::json;
use lockstep_core::names::RecordId;
use lockstep_core::package::Package;
use lockstep_core::sync::{Feed, Grown, Message, Share, Wait, grown};
use tokio::sync::{mpsc, oneshot};

use super::guard;
use super::session::{Ended, Session};
use crate::receive::Taken;
use crate::submit::SubmitError;

/// How long a batch of what was received may take.
const COMMIT: Duration = Duration::from_secs(60);
/// Bytes of shares of one peer that wait for something.
const MOST_HELD: usize = 64 << 20;
/// How long an answer to a fetch may take.
const FETCH: Duration = Duration::from_secs(10);
/// What waits is tried again after so long without a message; doubling, while nothing comes of it.
const AGAIN: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often what waits is tried again at once.
const TRIES: usize = 8;

impl Session {
    /// Takes what comes, in order.
    pub(super) async fn take(self: Arc<Self>, mut arriving: mpsc::Receiver<Message>) -> Result<(), Ended> {
        let (mut held, mut pause): (Vec<Share>, Duration) = (Vec::new(), AGAIN);
        loop {
            let message = tokio::select! {
                biased;
                message = arriving.recv() => message,
                // A clock goes on and another peer may bring what is missing, without a message on this connection.
                () = tokio::time::sleep(pause), if !held.is_empty() => {
                    let before = held.len();
                    held = self.again(held).await?;
                    pause = if held.len() == before { (pause * 2).min(LONGEST_PAUSE) } else { AGAIN };
                    continue;
                }
            };
            pause = AGAIN;
            match message {
                Some(Message::Directory { events, packages }) => {
                    self.directory(&events, &packages).await?;
                    // What was judged under it may have waited for it.
                    held = self.again(held).await?;
                }
                Some(Message::Feed(feed)) => held = self.feed_in(feed, held).await?,
                Some(Message::Objection { envelope, evidence }) => self.objection(envelope, evidence).await,
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Tries what waits once more.
    async fn again(&self, held: Vec<Share>) -> Result<Vec<Share>, Ended> {
        let held = self.apply(held).await?;
        self.note_held(&held)?;
        Ok(held)
    }

    async fn directory(&self, events: &[Vec<u8>], packages: &[Vec<u8>]) -> Result<(), Ended> {
        let packages: Vec<(Package, &Vec<u8>)> =
            packages.iter().filter_map(|bytes| Some((Package::decode(bytes).ok()?, bytes))).collect();
        let mut has = 0;
        for stored in events {
            let event = DirectoryEvent::read(stored).map_err(|error| Ended::Protocol(error.to_string()))?;
            has = event.seq.max(has);
            if event.seq <= self.node.directory().seq() {
                continue;
            }
            let proposed = match &event.body {
                lockstep_core::directory::Body::ContractPropose { manifest } => Some(manifest.digest()),
                _ => None,
            };
            let package = packages.iter().find(|(package, _)| Some(package.digest()) == proposed);
            let package = package.map(|(_, bytes)| (*bytes).clone());
            let seq = event.seq;
            match self.node.take_directory(event, package, COMMIT).await {
                Ok(()) => {}
                // Another peer was faster.
                Err(_) if self.node.directory().seq() >= seq => {}
                Err(error) => return Err(Ended::Protocol(format!("event {seq} of the directory: {error}"))),
            }
        }
        // The peer has what it sent, and perhaps not yet what this node has taken since.
        self.directory.send_modify(|known| *known = has.max(*known));
        Ok(())
    }

    /// Takes a feed; what cannot be applied yet is handed back and tried again with the next one.
    async fn feed_in(&self, feed: Feed, mut held: Vec<Share>) -> Result<Vec<Share>, Ended> {
        let (log, next, more) = (feed.log, feed.next, feed.more);
        self.check_growth(&feed.shares).await?;
        held.extend(feed.shares);
        for _ in 0..TRIES {
            let before = held.len();
            held = self.apply(held).await?;
            if held.is_empty() || held.len() == before {
                break;
            }
        }
        self.note_held(&held)?;
        self.network.peer(&self.peer, |peer| peer.complete = !more);
        // What waits is asked for again after a restart.
        let waits = held.iter().filter(|share| share.place.log == log).map(|share| share.place.position);
        let waits = waits.chain(guard(&self.stopped).first().copied()).min();
        self.node.note_next(&log, waits.unwrap_or(next));
        self.send(Message::Ack { log, next }).await?;
        Ok(held)
    }

    fn note_held(&self, held: &[Share]) -> Result<(), Ended> {
        if held.iter().map(Share::bytes).sum::<usize>() > MOST_HELD {
            return Err(Ended::Own("more of it waits than this node keeps; it is asked for again".to_owned()));
        }
        let count = u64::try_from(held.len() + guard(&self.stopped).len()).unwrap_or(u64::MAX);
        let now = self.node.now();
        self.network.peer(&self.peer, |peer| {
            peer.held = count;
            peer.held_since = if count == 0 { None } else { peer.held_since.or(Some(now)) };
        });
        Ok(())
    }

    /// Whether the log that is fed has only grown; a head that another one contradicts is noted with both.
    async fn check_growth(&self, shares: &[Share]) -> Result<(), Ended> {
        let directory = self.node.directory();
        for share in shares {
            let last = self.node.last_head(&share.place.log);
            match grown(&share.place, share.growth.as_ref(), last) {
                Grown::Known => {}
                // What is not signed says nothing about a log; the comparison refuses it.
                _ if !share.is_in_its_log(&directory) => {}
                Grown::Further(head) => self.node.note_head(&share.place.log, head),
                Grown::Forked(objection) => {
                    let note = share.place.note.as_str();
                    let fork = json!({"log": share.place.log.as_str(), "proven": true, "message": objection.message.as_str(), "note": note});
                    self.node.notice(&objection.message);
                    self.network.peer(&self.peer, |peer| peer.forks.insert(share.place.log.clone(), fork));
                    self.object_to_heads(&share.place.log, share.place.size, note.to_owned()).await;
                    return Err(Ended::Protocol(objection.message));
                }
                Grown::Unproven => {
                    let what =
                        format!("{} does not prove that it only grew since it was last heard of", share.place.log);
                    return Err(Ended::Protocol(what));
                }
            }
        }
        Ok(())
    }

    /// Applies what can be applied; what waits comes back, after what it waits for was fetched where that goes.
    async fn apply(&self, shares: Vec<Share>) -> Result<Vec<Share>, Ended> {
        if shares.is_empty() {
            return Ok(shares);
        }
        let taken = self.receive(&shares).await?;
        let (mut held, mut directory, mut settled) = (Vec::new(), false, false);
        let mut wanted: BTreeSet<(RecordId, u64, u64)> = BTreeSet::new();
        for (share, taken) in shares.into_iter().zip(taken) {
            match taken {
                Taken::Applied(_) | Taken::Repeated => {}
                Taken::Settled(_) => settled = true,
                // Only where it stands is kept: it comes again with the connection that is made once that is settled.
                Taken::Held(_) if self.sequenced(&share) => drop(guard(&self.stopped).insert(share.place.position)),
                Taken::Held(_) => {}
                Taken::Waits(wait) => {
                    match wait {
                        Wait::Events { record, from, to } => drop(wanted.insert((record, from, to))),
                        Wait::Directory(_) => directory = true,
                        _ => {}
                    }
                    held.push(share);
                }
                // Whoever handed it on may have broken it: only its sequencer answers for that to the network.
                Taken::Objected(objection) if !objection.complaint.proven() && !self.sequenced(&share) => {
                    let what = objection.message;
                    self.network
                        .peer(&self.peer, |peer| (peer.refused, peer.last_error) = (peer.refused + 1, Some(what)));
                }
                Taken::Objected(objection) => {
                    let what = format!("objection to {}: {}", share.place.log, objection.message);
                    let told = self.network.peer(&self.peer, |peer| peer.last_error.replace(what.clone()));
                    if told.as_ref() != Some(&what) {
                        self.node.notice(&what);
                    }
                    held.push(share);
                }
                Taken::Refused(what) => {
                    self.network
                        .peer(&self.peer, |peer| (peer.refused, peer.last_error) = (peer.refused + 1, Some(what)));
                }
                Taken::Blocked => held.push(share),
            }
        }
        if settled && !guard(&self.stopped).is_empty() {
            return Err(Ended::Own("an objection is withdrawn: what stopped for it is asked for again".to_owned()));
        }
        if directory {
            self.send(Message::WantDirectory { after: self.node.directory().seq() }).await?;
        }
        for (record, from, to) in wanted {
            let fetched = self.ask_for(record, from, to).await?;
            if !fetched.is_empty() {
                self.receive(&fetched).await?;
            }
        }
        Ok(held)
    }

    /// What becomes of shares. One row that the database refuses brings all down that came with it: one by one the
    /// others get through.
    pub(super) async fn receive(&self, shares: &[Share]) -> Result<Vec<Taken>, Ended> {
        let taken = self.receive_at_once(shares).await?;
        if shares.len() < 2 || !taken.iter().any(|taken| matches!(taken, Taken::Blocked)) {
            return Ok(taken);
        }
        let mut each = Vec::new();
        for share in shares.chunks(1) {
            each.extend(self.receive_at_once(share).await?);
        }
        Ok(each)
    }

    async fn receive_at_once(&self, shares: &[Share]) -> Result<Vec<Taken>, Ended> {
        match self.node.receive(&self.peer, shares.to_vec(), COMMIT).await {
            // Not even that it refuses a row is a row that the database takes.
            Err(SubmitError::Unrecorded) => Ok(vec![Taken::Blocked; shares.len()]),
            taken => taken.map_err(|error| Ended::Own(error.to_string())),
        }
    }

    /// Whether the peer is the node that sequenced a share.
    fn sequenced(&self, share: &Share) -> bool {
        share.place.log.split('/').next() == Some(self.peer.as_str())
    }

    pub(super) async fn ask_for(&self, record: RecordId, from: u64, to: u64) -> Result<Vec<Share>, Ended> {
        let (answer, waiting) = oneshot::channel();
        guard(&self.network.fetches).insert(self.fetching(&record), answer);
        self.send(Message::Fetch { record, from, to }).await?;
        Ok(tokio::time::timeout(FETCH, waiting).await.ok().and_then(Result::ok).unwrap_or_default())
    }
}
