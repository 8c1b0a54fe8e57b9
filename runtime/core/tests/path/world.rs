//! A network of one node in memory: people, packages, and an engine whose contracts do what their arguments say.
//!
//! The node's tests use it, too.
#![allow(dead_code, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, LocalSigner, Salt, Signer};
use lockstep_core::directory::{Body, Directory, DirectoryError, DirectoryEvent, Founder};
use lockstep_core::engine::{CodeError, Engine, Frame, Host, HostError, Limits, Rejection, Stop};
use lockstep_core::execute::{Executed, Interrupted, Job, Packages, Verdict, execute};
use lockstep_core::intent::{Call, Door, Draft, RawChange, Refusal, Target, VerifiedIntent, verify};
use lockstep_core::json;
use lockstep_core::json::{Json, Operation};
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, ParticipantName, RecordId, SpecName};
use lockstep_core::package::{Manifest, Package, PackageError};
use lockstep_core::record::States;
use lockstep_core::seal::{SealedEvent, Sealing, seal};
use lockstep_core::time::Timestamp;

/// When everything here happens.
pub fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T10:00:00.000000Z").unwrap()
}

/// Everybody's key is made from its owner's name.
pub fn key(name: &str) -> LocalSigner {
    LocalSigner::from_secret(*Digest::of(name.as_bytes()).as_bytes())
}

pub fn actor(name: &str) -> ActorId {
    ActorId::parse(name).unwrap()
}

pub fn participant(name: &str) -> ParticipantName {
    ParticipantName::parse(name).unwrap()
}

pub fn record(name: &str) -> RecordId {
    RecordId::parse(&format!("acme:{name}")).unwrap()
}

/// Does what the arguments say, one step after the other.
pub struct Script;

impl Engine for Script {
    fn call(&self, _: &Package, _: &str, arguments: &str, host: &mut dyn Host, _: &Limits) -> Result<(), Stop> {
        let limits = json::Limits { bytes: 64 << 20, ..json::Limits::default() };
        let arguments = Json::parse(arguments.as_bytes(), &limits).unwrap();
        host.context();
        for step in arguments.get("steps").and_then(Json::as_array).unwrap_or_default() {
            do_step(step, host)?;
        }
        Ok(())
    }

    fn check(&self, package: &Package) -> Result<(), CodeError> {
        match package.code.as_slice() {
            b"broken" => Err(CodeError { package: package.digest(), message: "not a component".to_owned() }),
            _ => Ok(()),
        }
    }
}

fn do_step(step: &Json, host: &mut dyn Host) -> Result<(), Stop> {
    let text = |name: &str| step.get(name).and_then(Json::as_str).unwrap_or_default();
    let record = step.get("record").and_then(Json::as_u64).unwrap_or_default() as u32;
    let done = match text("do") {
        "change" => host.change(record, text("section"), Operation::from_json(step.get("op").unwrap()).unwrap()),
        "read" => host.read(record, text("section"), text("pointer")).map(drop),
        "keys" => host.keys(record, text("section"), text("pointer")).map(drop),
        "copy" => copy(host, record, [text("section"), text("pointer"), text("to")]),
        "notify" => host.notify(record, text("section"), text("type"), step.get("data").unwrap().clone()),
        "reject" => {
            return Err(Stop::Rejected(Rejection { reason: text("reason").into(), message: text("message").into() }));
        }
        "trap" => {
            let (file, line) = (Some("src/lib.rs".into()), Some(7));
            let frame = Frame { function: "deal::make".into(), file, line, column: None };
            return Err(Stop::Trap { message: "boom".into(), frames: vec![frame] });
        }
        "limits" => return Err(Stop::Limits { what: "fuel" }),
        "stop" => return Err(Stop::Host),
        "broken" => return Err(Stop::Broken("out of disk".into())),
        other => panic!("the engine has a bug: {other}"),
    };
    match done {
        Ok(()) => Ok(()),
        Err(HostError::Stop) => Err(Stop::Host),
        Err(HostError::Failure { code, message }) => Err(Stop::Rejected(Rejection { reason: code.into(), message })),
    }
}

/// Reads a value and writes it to the member `copy` of another section.
fn copy(host: &mut dyn Host, record: u32, [from, pointer, to]: [&str; 3]) -> Result<(), HostError> {
    let found = host.read(record, from, pointer)?.unwrap_or_else(|| "null".to_owned());
    let value = Json::parse(found.as_bytes(), &json::Limits::default()).unwrap();
    host.change(record, to, Operation::from_json(&json!({"op": "add", "path": "/copy", "value": value})).unwrap())
}

pub fn op(section: &str, op: &str, path: &str, value: impl Into<Json>) -> Json {
    let value: Json = value.into();
    json!({"do": "change", "section": section, "op": {"op": op, "path": path, "value": value}})
}

pub fn set(section: &str, value: impl Into<Json>) -> Json {
    op(section, "add", "", value)
}

pub fn read(section: &str) -> Json {
    json!({"do": "read", "section": section, "pointer": ""})
}

pub fn notify(section: &str, kind: &str) -> Json {
    json!({"do": "notify", "section": section, "type": kind, "data": {"n": 1}})
}

pub fn step(what: &str) -> Json {
    json!({"do": what})
}

/// Memberships: role, participant, actor, from, to.
pub fn members(list: &[(&str, &str, u64)]) -> Json {
    let member = |(role, who, from): &(&str, &str, u64)| {
        let id = actor(who);
        json!({"role": *role, "participant": id.participant().as_str(), "actor": *who, "from": *from})
    };
    json!({"members": list.iter().map(member).collect::<Vec<_>>()})
}

/// A spec with something open, something secret, and something that only the partner writes.
pub fn deal_spec() -> Json {
    json!({
        "description": "A deal between two.",
        "roles": {"owner": {}, "partner": {}, "guest": {}, "anyone": {"everyone": true}},
        "parties": {"create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
        "sections": {
            "open": {"schema": {"type": "object", "properties": {"title": {"type": "string", "maxLength": 20}}, "required": ["title"]},
                     "create": ["owner"], "modify": ["owner"], "read": ["anyone"]},
            "secret": {"schema": {"type": "object"}, "create": ["owner"], "modify": ["owner", "partner"]},
            "notes": {"schema": {"type": ["object", "array"]}, "create": ["partner"], "modify": ["partner"], "read": ["owner"]}
        },
        "projections": {"title": {"section": "open", "pointer": "/title", "type": "text(20)", "index": true}}
    })
}

pub fn method(records: Json) -> Json {
    json!({"records": records, "arguments": {}})
}

pub fn uses(reads: &[&str], writes: &[&str]) -> Json {
    let list = |names: &[&str]| Json::from(names.iter().map(|name| Json::from(*name)).collect::<Vec<_>>());
    json!({"spec": "deal", "reads": list(reads), "writes": list(writes), "notifies": ["deal.told"]})
}

pub fn with(mut json: Json, name: &str, value: impl Into<Json>) -> Json {
    if let Json::Object(object) = &mut json {
        object.insert(name.to_owned(), value.into());
    }
    json
}

pub fn one(value: Json) -> Json {
    Json::from(vec![value])
}

/// What the deals' contract declares.
pub fn deal_manifest(version: &str) -> Json {
    let make = method(one(with(uses(&[], &["open", "secret", "parties"]), "creates", true)));
    let leak = with(method(one(uses(&["secret"], &["open"]))), "declassifies", one(Json::from("secret->open")));
    let told = with(
        method(one(uses(&["secret"], &["open"]))),
        "declassifies",
        vec![Json::from("secret->open"), Json::from("secret->outcome")],
    );
    let strict = with(method(one(uses(&[], &["open"]))), "arguments", json!({"type": "object", "required": ["steps"]}));
    manifest(
        "deal",
        version,
        json!({"deal": deal_spec()}),
        json!({
            "make": make, "edit": strict, "whisper": method(one(uses(&[], &["secret"]))), "note": method(one(uses(&["secret"], &["notes"]))),
            "leak": leak, "told": told, "join": method(one(uses(&[], &["parties"]))), "look": method(one(uses(&["open"], &[]))),
            "both": method(Json::from(vec![uses(&[], &["open"]), uses(&[], &["open"])]))
        }),
    )
}

pub fn manifest(name: &str, version: &str, specs: Json, methods: Json) -> Json {
    let none = methods.as_object().is_some_and(|methods| methods.is_empty());
    let code = if none { Json::Null } else { Json::from(Digest::of(&code(name, version)).to_string()) };
    json!({
        "format": 1, "abi": 1, "name": name, "version": version, "sync": "compare", "specs": specs, "methods": methods,
        "code": code, "debug": Json::Null, "build": {}
    })
}

fn code(name: &str, version: &str) -> Vec<u8> {
    format!("{name}@{version}").into_bytes()
}

pub fn package(document: &Json) -> Result<Package, PackageError> {
    let manifest = Manifest::parse(document)?;
    let code = manifest.code.map(|_| code(manifest.name.as_str(), &manifest.version.to_string())).unwrap_or_default();
    Package::new(manifest, code, Vec::new())
}

/// Packages by digest.
#[derive(Clone, Default)]
pub struct Shelf(pub BTreeMap<Digest, Arc<Package>>);

impl Packages for Shelf {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        self.0.get(digest).cloned()
    }
}

pub fn genesis(participants: &[&str], time: Timestamp) -> DirectoryEvent {
    let founders = participants.iter().map(|name| Founder {
        participant: participant(name),
        admin: (actor(&format!("root@{name}")), key(&format!("root@{name}")).public_key()),
        node: (NodeName::parse(name).unwrap(), key(name).public_key()),
    });
    let body = Body::Genesis { title: "test".to_owned(), random: Digest::of(b"random"), founders: founders.collect() };
    let by = actor(&format!("root@{}", participants[0]));
    let mut event = DirectoryEvent::sign(None, time, &by, body, &key(by.as_str())).unwrap();
    for name in &participants[1..] {
        event.envelope.add_signature(&key(&format!("root@{name}"))).unwrap();
    }
    event
}

/// An intent to be signed, with defaults that get through.
pub struct Wish {
    pub draft: Draft,
    pub signer: LocalSigner,
}

impl Wish {
    pub fn expect(mut self, seq: u64) -> Self {
        self.draft.targets[0].expect = Some(seq);
        self
    }

    pub fn also(mut self, name: &str) -> Self {
        self.draft.targets.push(Target { record: record(name), expect: None });
        self
    }

    pub fn nonce(mut self, nonce: &str) -> Self {
        self.draft.nonce = Digest::of(nonce.as_bytes());
        self
    }

    pub fn edit(mut self, change: impl FnOnce(&mut Draft)) -> Self {
        change(&mut self.draft);
        self
    }

    pub fn signed_by(mut self, name: &str) -> Self {
        self.signer = key(name);
        self
    }

    pub fn json(&self) -> Json {
        let mut count = 0_u64;
        let nonce = self.draft.nonce;
        let salt = || {
            count += 1;
            Salt::from(*Digest::of(format!("{nonce}{count}").as_bytes()).as_bytes())
        };
        self.draft.sign(&self.signer, salt).unwrap().to_json()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.json().canonical().into_bytes()
    }

    /// The intent's id.
    pub fn id(&self) -> Digest {
        lockstep_core::intent::told(&self.bytes(), &json::Limits::default()).unwrap().id
    }
}

/// The network as it stands.
#[derive(Clone)]
pub struct World {
    pub directory: Directory,
    pub events: Vec<(DirectoryEvent, Option<Vec<u8>>)>,
    pub shelf: Shelf,
    pub states: States,
    pub time: Timestamp,
    pub node: NodeName,
    wishes: u64,
}

impl World {
    pub fn new() -> Self {
        Self::founded_by(&["acme"])
    }

    pub fn founded_by(participants: &[&str]) -> Self {
        let event = genesis(participants, now());
        let directory = Directory::found(&event).unwrap();
        World {
            directory,
            events: vec![(event, None)],
            shelf: Shelf::default(),
            states: States::new(),
            time: now(),
            node: NodeName::parse("acme").unwrap(),
            wishes: 0,
        }
    }

    /// With the deals' contract and everybody who deals.
    pub fn dealing() -> Self {
        let mut world = Self::new();
        world.people();
        world.deploy(&deal_manifest("1.0.0")).unwrap();
        world
    }

    pub fn people(&mut self) {
        let add = Body::ParticipantAdd { participant: participant("bolt"), hosted_by: participant("acme") };
        self.change("root@acme", add).unwrap();
        for (name, roles) in [
            ("ann@acme", ["owner", "guest"].as_slice()),
            ("bob@bolt", &["partner"]),
            ("gus@bolt", &["guest"]),
            ("eve@bolt", &[]),
        ] {
            self.add_actor(name, roles).unwrap();
        }
    }

    pub fn add_actor(&mut self, name: &str, roles: &[&str]) -> Result<(), DirectoryError> {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.change("root@acme", Body::ActorAdd { actor: actor(name), roles, key: key(name).public_key() })
    }

    pub fn event(&self, by: &str, body: Body) -> DirectoryEvent {
        let after = Some((self.directory.network(), self.directory.seq(), self.directory.head()));
        DirectoryEvent::sign(after, self.time, &actor(by), body, &key(by)).unwrap()
    }

    /// The event with as many votes as it needs, by the admins of those who have one.
    pub fn collect(&self, mut event: DirectoryEvent) -> DirectoryEvent {
        let own = event.by.participant();
        for voter in self.directory.voters().filter(|voter| own.as_str() != *voter) {
            event.add_signature(event.countersign(&key(&format!("root@{voter}"))).unwrap());
        }
        self.directory.settled(&event)
    }

    pub fn change(&mut self, by: &str, body: Body) -> Result<(), DirectoryError> {
        let event = self.collect(self.event(by, body));
        self.take(event, None)
    }

    pub fn take(&mut self, event: DirectoryEvent, package: Option<Vec<u8>>) -> Result<(), DirectoryError> {
        // What is applied is what was stored and read again.
        let event = DirectoryEvent::read(&event.stored())?;
        self.directory.apply(&event)?;
        self.events.push((event, package));
        Ok(())
    }

    pub fn propose(&mut self, document: &Json) -> Result<Digest, DirectoryError> {
        let package = package(document)?;
        let body = Body::ContractPropose { manifest: Box::new(package.manifest.clone()) };
        let event = self.collect(self.event("root@acme", body));
        let digest = package.digest();
        self.take(event, Some(package.encode()))?;
        self.shelf.0.insert(digest, Arc::new(package));
        Ok(digest)
    }

    pub fn deploy(&mut self, document: &Json) -> Result<Digest, DirectoryError> {
        let package = self.propose(document)?;
        self.change("root@acme", Body::ContractApprove { package })?;
        Ok(package)
    }

    pub fn wish(&mut self, by: &str, call: Call, on: &str) -> Wish {
        self.wishes += 1;
        let draft = Draft {
            network: self.directory.network(),
            sequencer: self.node.clone(),
            actor: actor(by),
            nonce: Digest::of(format!("nonce {}", self.wishes).as_bytes()),
            expires: self.time.plus(Duration::from_secs(600)),
            not_before: None,
            call,
            targets: vec![Target { record: record(on), expect: None }],
        };
        Wish { draft, signer: key(by) }
    }

    pub fn call(&mut self, by: &str, what: &str, on: &str, steps: Vec<Json>) -> Wish {
        let (contract, method) = what.split_once('.').unwrap_or(("deal", what));
        let call = Call::Method {
            contract: ContractName::parse(contract).unwrap(),
            method: MethodName::parse(method).unwrap(),
            arguments: json!({"steps": steps}),
        };
        self.wish(by, call, on)
    }

    /// Raw changes of the spec `deal`: (section, operation).
    pub fn raw(&mut self, by: &str, on: &str, changes: Vec<(&str, Json)>) -> Wish {
        let change = |(section, op): (&str, Json)| RawChange {
            record: 0,
            section: section.to_owned(),
            operation: Operation::from_json(&op).unwrap(),
        };
        let changes = changes.into_iter().map(change).collect();
        self.wish(by, Call::Changes { spec: SpecName::parse("deal").unwrap(), changes }, on)
    }

    /// The usual first intent of a deal: ann owns it, bob is her partner.
    pub fn make(&mut self, on: &str) -> Wish {
        let parties = members(&[("owner", "ann@acme", 1), ("partner", "bob@bolt", 1)]);
        let steps =
            vec![set("parties", parties), set("open", json!({"title": "t"})), set("secret", json!({"price": 7}))];
        self.call("ann@acme", "make", on, steps)
    }

    pub fn door<'a>(&'a self) -> Door<'a> {
        let limits = json::Limits { bytes: 12 << 20, ..json::Limits::default() };
        Door {
            directory: &self.directory,
            node: &self.node,
            now: self.time,
            longest_expiry: Duration::from_secs(3600),
            limits,
        }
    }

    pub fn knock(&self, bytes: &[u8]) -> Result<VerifiedIntent, Refusal> {
        verify(bytes, &self.door())
    }

    pub fn enter(&self, wish: &Wish) -> VerifiedIntent {
        self.knock(&wish.bytes()).unwrap()
    }

    pub fn execute(&self, intent: &VerifiedIntent) -> Result<Executed, Interrupted> {
        let mut states = self.states.clone();
        for target in intent.targets() {
            states.entry(target.record.clone()).or_default();
        }
        self.execute_on(intent, &states)
    }

    pub fn execute_on(&self, intent: &VerifiedIntent, states: &States) -> Result<Executed, Interrupted> {
        execute(&Job {
            intent,
            directory: &self.directory,
            states,
            packages: &self.shelf,
            engine: &Script,
            limits: Limits::default(),
            time: self.time,
        })
    }

    /// The code of the no that a wish gets.
    pub fn rejected(&self, wish: &Wish) -> (Code, String) {
        match self.execute(&self.enter(wish)).unwrap().verdict {
            Verdict::Rejected(rejected) => (rejected.code, rejected.message),
            other => panic!("{other:?}"),
        }
    }

    pub fn seal(&self, intent: &VerifiedIntent, seed: u64) -> Vec<SealedEvent> {
        let Verdict::Applied(effects) = self.execute(intent).unwrap().verdict else {
            panic!("{:?}", self.execute(intent).unwrap().verdict)
        };
        let sealing = Sealing {
            directory: &self.directory,
            log: "acme/1",
            sequencer: &self.node,
            intent: intent.id(),
            time: self.time,
        };
        let mut count = seed;
        seal(effects, &sealing, &mut || {
            count += 1;
            Salt::from(*Digest::of(&count.to_be_bytes()).as_bytes())
        })
    }

    /// Applies a wish and keeps what it did.
    pub fn apply(&mut self, wish: &Wish) -> Vec<SealedEvent> {
        let intent = self.enter(wish);
        let events = self.seal(&intent, 0);
        for event in &events {
            self.states.insert(event.header.record.clone(), Some(event.after.clone()));
        }
        events
    }
}
