//! Whether what is handed over is in order: signed by whoever hands it over, about this intent, and the next count.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::codes::Code;
use lockstep_core::intent::{Refusal, told};
use lockstep_core::json::Limits;
use lockstep_core::names::RecordId;
use lockstep_core::sync::{Counted, End, Forward, Taken};

use super::{KEPT_COUNTS, Offered, Taker, Verdict, refused};
use crate::again::read_again;
use crate::forward::{self, Held, HeldBy};
use crate::open::NodeError;
use crate::submit::Work;

impl Taker {
    /// The wrapper, where the peer signed it for this node.
    pub(super) fn wrapper(&self, offered: &Offered) -> Result<Forward, Refusal> {
        let bad = |what: String| Refusal::new(Code::ForwardRefused, what);
        let directory = self.node.directory();
        let key = directory.active_node(&offered.peer).map(|node| node.key);
        let key = key.ok_or_else(|| bad(format!("{} is no active node", offered.peer)))?;
        let forward = Forward::verify(&offered.wrapper, &key).map_err(bad)?;
        let parties = forward.node.as_str() == offered.peer && forward.sequencer == *self.node.name();
        if parties && forward.network == directory.network() {
            return Ok(forward);
        }
        Err(bad(format!("the wrapper is of node {} for {}", forward.node, forward.sequencer)))
    }

    /// The last counts for the records of these, as far as they are not in memory.
    pub(super) async fn load_counts(&mut self, offers: &[Offered]) -> Result<(), NodeError> {
        if self.counts.len() > KEPT_COUNTS {
            self.counts.clear();
        }
        let mut missing: BTreeMap<String, BTreeSet<RecordId>> = BTreeMap::new();
        for offered in offers {
            let Ok(told) = told(&offered.submission, &self.limits()) else { continue };
            let unknown = told.records.into_iter().filter(|record| {
                let key = (offered.peer.clone(), record.clone());
                !self.counts.contains_key(&key)
            });
            missing.entry(offered.peer.clone()).or_default().extend(unknown);
        }
        let node = self.node.clone();
        for (peer, records) in missing.into_iter().filter(|(_, records)| !records.is_empty()) {
            let records: Vec<RecordId> = records.into_iter().collect();
            let read = || forward::last_counts(node.database(), &peer, &records);
            for (record, last) in read_again(node.shared(), read).await? {
                self.counts.insert((peer.clone(), record), last);
            }
        }
        Ok(())
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { bytes: self.node.config().largest_intent, ..Limits::default() }
    }

    pub(super) fn judge(
        &mut self,
        offered: &Offered,
        forward: Forward,
        verified: Result<Work, Refusal>,
        known: &mut HeldBy,
        note: &str,
    ) -> Result<Verdict, NodeError> {
        let key = (offered.peer.clone(), forward.intent);
        if let Some(held) = known.get(&key) {
            return Ok(match held.envelope == offered.wrapper {
                true => Verdict::Known(Box::new(held.clone())),
                false => refused(Code::ForwardRefused, "the same intent came before with another wrapper"),
            });
        }
        let told = match told(&offered.submission, &self.limits()) {
            Ok(told) => told,
            Err(refusal) => return Ok(Verdict::No(refusal)),
        };
        if let Err(what) = forward.fits(&told.id, &told.payload) {
            return Ok(refused(Code::ForwardRefused, what));
        }
        if let Some(no) = self.count(&offered.peer, &forward, &told.records) {
            return Ok(no);
        }
        let (work, no) = match verified {
            Ok(work @ Work::Intent { .. }) => (Some(work), None),
            Ok(_) => (None, Some(Refusal::new(Code::WrongSequencer, "another node orders these records"))),
            Err(refusal) => (None, Some(refusal)),
        };
        let told_no = no.map(|refusal| (refusal.code.as_str().to_owned(), refusal.message));
        let answer = self.sign(&forward, note, told_no.clone())?;
        let (taken, end) = match told_no {
            None => (Some(answer), None),
            Some(_) => (None, Some(End::Refused(answer).stored())),
        };
        let (envelope, submission) = (offered.wrapper.clone(), work.is_some().then(|| offered.submission.clone()));
        let (ended, expires) = (end.is_some(), told.payload.expires);
        let held = Held { forward, envelope, records: told.records, expires, ended, taken, end, submission };
        known.insert(key, held.clone());
        Ok(Verdict::New(Box::new(held), work))
    }

    /// Counts it for each of its records, or says why not.
    fn count(&mut self, peer: &str, forward: &Forward, records: &[RecordId]) -> Option<Verdict> {
        let keyed = || records.iter().map(|record| (peer.to_owned(), record.clone())).zip(&forward.records);
        for (key, (_, count)) in keyed() {
            match Counted::of(*count, self.counts.get(&key).copied().unwrap_or(0)) {
                Counted::Next => {}
                Counted::TooEarly => return Some(refused(Code::Overloaded, "counts before it have not come yet")),
                Counted::Used => {
                    let what = format!("count {count} was used for another intent on {}", key.1);
                    return Some(refused(Code::ForwardRefused, what));
                }
            }
        }
        let counted: Vec<_> = keyed().map(|(key, (_, count))| (key, *count)).collect();
        self.counts.extend(counted);
        None
    }

    pub(super) fn sign(
        &self,
        forward: &Forward,
        note: &str,
        refused: Option<(String, String)>,
    ) -> Result<Vec<u8>, NodeError> {
        let (network, node) = (forward.network, self.node.name().clone());
        let (forward, time, checkpoint) = (forward.digest(), self.node.now(), note.to_owned());
        let taken = Taken { network, node, forward, time, checkpoint, refused };
        taken.sign(self.node.signer()).map_err(|error| NodeError::Broken(error.to_string()))
    }
}
