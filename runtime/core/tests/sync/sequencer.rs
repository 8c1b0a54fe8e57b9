//! The node that orders the records: it executes, seals, logs, and cuts shares for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Salt};
use lockstep_core::database::Batch;
use lockstep_core::event::{Given, Header};
use lockstep_core::execute::{Rejected, Verdict};
use lockstep_core::intent::{StoredIntent, VerifiedIntent};
use lockstep_core::json::Json;
use lockstep_core::log::{Appender, Tile, inclusion_path, leaf_hash};
use lockstep_core::names::RecordId;
use lockstep_core::outcome::{Ending, Outcome, Reasons, directory_leaf};
use lockstep_core::project::{Ledger, Projection, own_tables_by_name};
use lockstep_core::received::Place;
use lockstep_core::record::RecordState;
use lockstep_core::seal::{SealedEvent, Sealing, seal};
use lockstep_core::sync::{Seen, Share, Source, SourceEvent, Viewer, needed_contents, share};

use crate::network::{Past, found};
use crate::world::{Wish, World, key};

/// An outcome with all that its sequencer holds of it.
#[derive(Clone)]
pub struct Kept {
    pub intent: VerifiedIntent,
    pub outcome: Outcome,
    pub events: Vec<SealedEvent>,
    pub place: Place,
}

/// What an intent came to, before it is logged: a liar edits it.
pub struct Decision {
    pub intent: VerifiedIntent,
    pub outcome: Outcome,
    pub events: Vec<SealedEvent>,
}

fn salt(count: &mut u64) -> Salt {
    *count += 1;
    Salt::from(*Digest::of(format!("salt {count}").as_bytes()).as_bytes())
}

/// Node acme.
#[derive(Clone)]
pub struct Sequencer {
    pub world: World,
    pub ledger: Ledger,
    pub batches: Vec<Batch>,
    pub kept: Vec<Kept>,
    tree: Appender,
    tiles: BTreeMap<(u32, u64), Tile>,
    agreed: usize,
    salts: u64,
}

impl Sequencer {
    pub fn new() -> Self {
        Self::of(found())
    }

    pub fn of(world: World) -> Self {
        let ledger = Ledger::new(world.directory.network(), "acme/1".to_owned(), world.time);
        Sequencer {
            world,
            ledger,
            batches: Vec::new(),
            kept: Vec::new(),
            tree: Appender::empty(),
            tiles: BTreeMap::new(),
            agreed: 0,
            salts: 0,
        }
    }

    pub fn tick(&mut self) {
        self.world.time = self.world.time.plus_micros(1_000);
    }

    /// Logs the directory events that are new.
    pub fn agree(&mut self) {
        if self.agreed == self.world.events.len() {
            return;
        }
        let past = Past::of(&self.world);
        for (index, (event, package)) in self.world.events.clone().into_iter().enumerate().skip(self.agreed) {
            let directory = past.0.at(index as u64 + 1).unwrap();
            let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
            if index == 0 {
                projection.meta(&directory, "acme");
            }
            projection.directory(&event, &directory, package.as_deref());
            self.append(leaf_hash(&directory_leaf(&directory.network(), event.seq, &event.head())));
            self.commit(projection);
        }
        self.agreed = self.world.events.len();
    }

    fn append(&mut self, leaf: Digest) {
        self.tree.append(leaf);
        self.tiles.extend(self.tree.take_changed().into_iter().map(|tile| ((tile.level, tile.index), tile)));
    }

    fn commit(&mut self, projection: Projection) -> (String, u64) {
        let projected = projection.finish(&key("acme")).unwrap();
        self.ledger = projected.ledger;
        self.batches.push(projected.batch);
        (projected.note, projected.size)
    }

    /// What the intent comes to.
    pub fn decide(&mut self, wish: &Wish) -> Decision {
        let intent = self.world.enter(wish);
        self.judge(intent)
    }

    /// What an intent comes to that the door may not have let in.
    pub fn judge(&mut self, intent: VerifiedIntent) -> Decision {
        let executed = self.world.execute(&intent).unwrap();
        let (ending, rejected, events) = match executed.verdict {
            Verdict::Applied(effects) => {
                let sealing = Sealing {
                    directory: &self.world.directory,
                    log: "acme/1",
                    sequencer: &self.world.node,
                    intent: intent.id(),
                    time: self.world.time,
                };
                let salts = &mut self.salts;
                (Ending::Applied, None, seal(effects, &sealing, &mut || salt(salts)))
            }
            Verdict::Rejected(rejected) => (Ending::Rejected, Some(rejected), Vec::new()),
            Verdict::Expired => (Ending::Expired, Some(Rejected::new(Code::Expired, "too late")), Vec::new()),
        };
        let salts = [0; 4].map(|_| salt(&mut self.salts));
        let directory = (self.world.directory.seq(), self.world.directory.head());
        let outcome = Outcome {
            network: self.world.directory.network(),
            intent: intent.id(),
            ending,
            submitted: self.world.time,
            time: self.world.time,
            events: events.iter().map(|event| event.id).collect(),
            said: Reasons { rejected, judged: executed.judged, directory, salts }.into(),
        };
        Decision { intent, outcome, events }
    }

    /// Logs it, whatever it is; its position among what is kept.
    pub fn publish(&mut self, decision: Decision) -> usize {
        self.agree();
        let Decision { intent, outcome, events } = decision;
        let position = self.ledger.appender.size();
        let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
        projection.outcome(&intent, &outcome, &events, &self.world.directory);
        self.append(leaf_hash(&outcome.leaf()));
        let root = {
            let (note, size) = self.commit(projection);
            (note, size, self.ledger.appender.root())
        };
        let (note, size, root) = root;
        let tiles = self.tiles.clone();
        let path = inclusion_path(position, size, &mut |level, index| tiles.get(&(level, index)).cloned()).unwrap();
        for event in &events {
            self.world.states.insert(event.header.record.clone(), Some(event.after.clone()));
        }
        let place = Place { log: "acme/1".to_owned(), position, path, note, size, root };
        self.kept.push(Kept { intent, outcome, events, place });
        self.tick();
        self.kept.len() - 1
    }

    pub fn run(&mut self, wish: &Wish) -> usize {
        let decision = self.decide(wish);
        self.publish(decision)
    }

    /// Runs what must apply.
    pub fn apply(&mut self, wish: &Wish) -> usize {
        let index = self.run(wish);
        assert_eq!(self.kept[index].outcome.ending, Ending::Applied, "{:?}", self.kept[index].outcome);
        index
    }

    fn header(&self, id: Option<Digest>) -> Option<&Header> {
        let id = id?;
        self.kept.iter().flat_map(|kept| &kept.events).find(|event| event.id == id).map(|event| &event.header)
    }

    fn contents(&self, event: &SealedEvent, sections: impl IntoIterator<Item = String>) -> BTreeMap<String, Given> {
        let given = sections.into_iter().map(|section| {
            let seq = event.header.sections[&section].seq;
            let events = self.kept.iter().flat_map(|kept| &kept.events);
            let mut events = events.filter(|one| one.header.record == event.header.record && one.header.seq == seq);
            let salt = events.next().unwrap().openings.sections[&section].content_salt;
            let content = Json::clone(&event.after.content(&section));
            (section, Given { salt, content })
        });
        given.collect()
    }

    /// What a viewer is given of one outcome, with the parties as they are now.
    pub fn share(&self, index: usize, viewer: &Viewer) -> Option<Share> {
        let kept = &self.kept[index];
        let specs = self.world.directory.specs();
        let now = |record: &RecordId| -> Option<Arc<RecordState>> { self.world.states.get(record).cloned().flatten() };
        let parties: BTreeMap<RecordId, Arc<Json>> = kept
            .intent
            .targets()
            .iter()
            .filter_map(|target| Some((target.record.clone(), now(&target.record)?.parties())))
            .collect();
        let judged = kept.outcome.reasons().map(|reasons| reasons.judged.reads.clone()).unwrap_or_default();
        let stored = StoredIntent::read(kept.intent.envelope(), kept.intent.openings()).unwrap();
        let records = stored.records.iter().map(|target| {
            let target = target.as_ref()?;
            let event = kept.events.iter().find(|event| event.header.record == target.record);
            let state = now(&target.record);
            let read = judged.iter().find(|read| read.record == target.record);
            let seq = event.map(|event| event.header.seq).or(read.map(|read| read.seq + 1));
            let spec = event.map(|event| event.header.spec).or(state.map(|state| state.spec_digest));
            let spec = spec.and_then(|digest| specs.get(&digest));
            let seen = spec.zip(parties.get(&target.record));
            seen.map(|(entry, parties)| Seen { spec: &entry.spec, parties }).zip(seq)
        });
        let events = kept.events.iter().map(|event| {
            let record = Seen { spec: &specs[&event.header.spec].spec, parties: &parties[&event.header.record] };
            let before = self.header(event.header.prev);
            let needed = needed_contents(viewer, record, &event.header, before);
            let contents = self.contents(event, needed);
            SourceEvent { header: &event.header, before, openings: &event.openings, record, contents }
        });
        let package = kept.outcome.reasons().and_then(|reasons| reasons.judged.package);
        let manifest = package.and_then(|digest| self.world.directory.package(&digest));
        let source = Source {
            intent: &stored,
            outcome: &kept.outcome,
            place: &kept.place,
            manifest: manifest.map(|contract| contract.manifest.as_ref()),
            events: events.collect(),
            records: records.collect(),
        };
        share(&source, viewer)
    }

    /// All that a viewer is given, in the order of the log.
    pub fn shares(&self, viewer: &Viewer) -> Vec<Share> {
        (0..self.kept.len()).filter_map(|index| self.share(index, viewer)).collect()
    }

    pub fn state(&self, record: &RecordId) -> Arc<RecordState> {
        self.world.states[record].clone().unwrap()
    }
}
