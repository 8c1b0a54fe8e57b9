//! Who takes part, and the contract that they deal by.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::directory::{Body, Directory, History, Status};
use lockstep_core::json::{Json, json};
use lockstep_core::sync::{Directories, Viewer};

use crate::world::{World, actor, key, manifest, method, one, uses, with};

/// Waits for a future that is always ready: core and its memory database wait for nothing.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// SplitMix64: small, seeded, good enough for generated input.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// The sequencer's participant, then a buyer, an inspector and one that holds no role but everyone's.
pub const PARTICIPANTS: [&str; 4] = ["acme", "bolt", "crane", "gaze"];
/// The nodes that receive.
pub const RECEIVERS: [&str; 3] = ["bolt", "crane", "gaze"];

/// Something for everyone, something for owner and buyer, and something that the inspector writes for both.
fn spec() -> Json {
    json!({
        "description": "A deal that somebody inspects.",
        "roles": {"owner": {}, "buyer": {}, "inspector": {}, "anyone": {"everyone": true}},
        "parties": {"create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
        "raw_changes": true,
        "sections": {
            "listing": {"schema": {"type": "object", "properties": {"title": {"type": "string", "maxLength": 20}}, "required": ["title"]},
                        "create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
            "secret": {"schema": {"type": "object"}, "create": ["owner"], "modify": ["owner", "buyer"]},
            "report": {"schema": {"type": ["object", "array"]}, "create": ["inspector"], "modify": ["inspector"],
                       "read": ["owner", "buyer"]}
        },
        "projections": {
            "title": {"section": "listing", "pointer": "/title", "type": "text(20)", "index": true},
            "price": {"section": "secret", "pointer": "/price", "type": "integer"}
        }
    })
}

fn declassifying(usage: Json, flows: &[&str]) -> Json {
    let flows: Vec<Json> = flows.iter().map(|flow| Json::from(*flow)).collect();
    with(method(one(usage)), "declassifies", flows)
}

/// The contract `deal`: each method may do what its name says, in the sections that it declares.
pub fn contract(version: &str) -> Json {
    contract_with(version, spec())
}

/// The contract with another spec.
pub fn contract_with(version: &str, spec: Json) -> Json {
    let creates = |writes: &[&str]| method(one(with(uses(&[], writes), "creates", true)));
    let write = |sections: &[&str]| method(one(uses(&[], sections)));
    let methods = json!({
        "make": creates(&["listing", "secret", "parties"]), "start": creates(&["listing", "parties"]),
        "edit": write(&["listing"]), "whisper": write(&["secret"]), "join": write(&["parties"]),
        "bargain": method(one(uses(&["secret"], &["secret"]))), "inspect": method(one(uses(&["listing"], &["report"]))),
        "probe": declassifying(uses(&[], &["report", "secret"]), &["secret->report"]),
        "mixed": declassifying(uses(&[], &["listing", "secret"]), &["secret->listing"]),
        "look": method(one(uses(&["listing"], &[]))),
        "both": with(method(Json::from(vec![uses(&[], &["listing"]), uses(&[], &["listing"])])),
                     "declassifies", one(Json::from("listing->listing"))),
        "peek": declassifying(uses(&["secret"], &["listing"]), &["secret->listing", "secret->outcome"])
    });
    manifest("deal", version, json!({"deal": spec}), methods)
}

/// The contract, of records that nobody sees who holds no role on them.
pub fn closed_contract() -> Json {
    let mut closed = spec();
    if let Json::Object(object) = &mut closed {
        let reads = json!(["owner", "buyer", "inspector"]);
        let parties = json!({"create": ["owner"], "modify": ["owner"], "read": reads.clone()});
        object.insert("parties", parties);
        if let Some(Json::Object(sections)) = object.get_mut("sections")
            && let Some(Json::Object(listing)) = sections.get_mut("listing")
        {
            listing.insert("read", reads);
        }
    }
    contract_with("1.0.0", closed)
}

/// The spec with an edit to its sections.
pub fn spec_with(section: &str, mode: &str, roles: &[&str]) -> Json {
    let mut changed = spec();
    let roles: Vec<Json> = roles.iter().map(|role| Json::from(*role)).collect();
    if let Json::Object(object) = &mut changed
        && let Some(Json::Object(sections)) = object.get_mut("sections")
        && let Some(Json::Object(found)) = sections.get_mut(section)
    {
        found.insert(mode, roles);
    }
    changed
}

/// Four participants with a node each, and everybody who deals.
pub fn found() -> World {
    found_with(&contract("1.0.0"))
}

pub fn found_with(contract: &Json) -> World {
    let mut world = World::founded_by(&PARTICIPANTS);
    add_actor(&mut world, "ann@acme", &["owner"]);
    add_actor(&mut world, "bob@bolt", &["buyer", "owner"]);
    add_actor(&mut world, "ivy@crane", &["inspector", "owner", "buyer"]);
    add_actor(&mut world, "gus@gaze", &["buyer", "inspector"]);
    deploy(&mut world, contract);
    world
}

/// Proposes a package; everybody approves it until it is active.
pub fn deploy(world: &mut World, document: &Json) {
    let package = world.propose(document).unwrap();
    for participant in PARTICIPANTS {
        if world.directory.package(&package).unwrap().status == Status::Proposed {
            world.change(&format!("root@{participant}"), Body::ContractApprove { package }).unwrap();
        }
    }
}

pub fn add_actor(world: &mut World, name: &str, roles: &[&str]) {
    let roles: BTreeSet<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let admin = format!("root@{}", actor(name).participant());
    world.change(&admin, Body::ActorAdd { actor: actor(name), roles, key: key(name).public_key() }).unwrap();
}

pub fn viewer(participant: &str) -> Viewer {
    Viewer { participants: BTreeSet::from([participant.to_owned()]) }
}

/// The directory as it was, for everybody.
pub struct Past(pub History);

/// Made once for each head: every event has signatures to check.
static MADE: Mutex<BTreeMap<Digest, Arc<Past>>> = Mutex::new(BTreeMap::new());

impl Past {
    pub fn of(world: &World) -> Arc<Self> {
        let mut made = MADE.lock().unwrap();
        made.entry(world.directory.head()).or_insert_with(|| Arc::new(Self::replayed(world))).clone()
    }

    fn replayed(world: &World) -> Self {
        let mut events = world.events.iter().map(|(event, _)| event.clone());
        let mut history = History::found(events.next().unwrap()).unwrap();
        events.for_each(|event| history.push(event).unwrap());
        Past(history)
    }
}

impl Directories for Past {
    fn at(&self, seq: u64) -> Option<Arc<Directory>> {
        self.0.at(seq)
    }
}
