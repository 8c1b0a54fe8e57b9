//! Small networks purely in core: a scripted engine, seeded salts, keys and clock, an in-memory database.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lockstep_core::audit::{Known, Report, audit};
use lockstep_core::crypto::{Digest, LocalSigner, Salt, Signer};
use lockstep_core::database::{Database, DatabaseError, Page, Pending, Snapshot};
use lockstep_core::directory::{Body, Directory, DirectoryEvent, Founder};
use lockstep_core::engine::{CodeError, Engine, Host, HostError, Limits, Rejection, Stop};
use lockstep_core::execute::{Job, Packages, Rejected, Verdict, execute};
use lockstep_core::intent::{Call, Door, Draft, RawChange, Target, verify};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits as JsonLimits, Number, Operation};
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, ParticipantName, RecordId, SpecName};
use lockstep_core::outcome::{Ending, Outcome, Reasons};
use lockstep_core::package::{Manifest, Package};
use lockstep_core::project::{Ledger, Projection, own_tables_by_name};
use lockstep_core::record::States;
use lockstep_core::seal::{Sealing, seal};
use lockstep_core::tables::{Row, Table, own_tables};
use lockstep_core::time::Timestamp;

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
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()));
        bytes
    }
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub const WORDS: &[&str] = &[
    "",
    "a",
    "straße",
    "été",
    "שלום",
    "日本語",
    "👩‍👩‍👧",
    "e\u{301}",
    "null",
    "1.0",
    "1",
    " ",
    "\"quoted\"",
    "line\nbreak",
    "tab\t",
    "~/0",
    "'; --",
    "\u{7f}\u{1}",
    "Ωmega",
    "ﬀ",
    "\u{200b}zero",
    "%s",
    "\\u0041",
    "ẛ̣",
    "नमस्ते",
    "🇩🇪",
    "-0",
    "1e3",
    "true",
    "ǅ",
    "\u{feff}bom",
];

/// Does what its arguments say: `{"ops":[{"record","section","op"}],"notify":[{"record","section","type","data"}],"reject":[reason,message]}`.
pub struct Script;

impl Engine for Script {
    fn call(&self, _: &Package, _: &str, arguments: &str, host: &mut dyn Host, _: &Limits) -> Result<(), Stop> {
        let arguments = Json::parse(arguments.as_bytes(), &JsonLimits::default()).unwrap();
        drop(host.context());
        for op in arguments.get("ops").and_then(Json::as_array).unwrap_or_default() {
            let operation = Operation::from_json(op.get("op").unwrap()).unwrap();
            match host.change(
                op.get("record").unwrap().as_u64().unwrap() as u32,
                op.get("section").unwrap().as_str().unwrap(),
                operation,
            ) {
                Ok(()) => {}
                Err(HostError::Stop) => return Err(Stop::Host),
                Err(HostError::Failure { message, .. }) => {
                    return Err(Stop::Rejected(Rejection { reason: "patch_failed".into(), message }));
                }
            }
        }
        for one in arguments.get("notify").and_then(Json::as_array).unwrap_or_default() {
            let text = |name: &str| one.get(name).unwrap().as_str().unwrap();
            if host
                .notify(
                    one.get("record").unwrap().as_u64().unwrap() as u32,
                    text("section"),
                    text("type"),
                    one.get("data").unwrap().clone(),
                )
                .is_err()
            {
                return Err(Stop::Host);
            }
        }
        match arguments.get("reject").and_then(Json::as_array) {
            None => Ok(()),
            Some(no) => Err(Stop::Rejected(Rejection {
                reason: no[0].as_str().unwrap().into(),
                message: no[1].as_str().unwrap().into(),
            })),
        }
    }
    fn check(&self, _: &Package) -> Result<(), CodeError> {
        Ok(())
    }
}

#[derive(Default)]
pub struct Shelf(BTreeMap<Digest, Arc<Package>>);

impl Packages for Shelf {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        self.0.get(digest).cloned()
    }
}

/// A network of one node.
pub struct Net {
    pub database: MemoryDatabase,
    pub directory: Directory,
    pub node: NodeName,
    pub node_signer: LocalSigner,
    pub keys: BTreeMap<String, LocalSigner>,
    pub dice: Dice,
    pub time: Timestamp,
    pub ledger: Ledger,
    pub states: States,
    pub shelf: Shelf,
    pub notes: Vec<String>,
    pub endings: BTreeMap<String, u64>,
}

fn projections() -> Json {
    json!({
        "asking_price": {"section": "main", "pointer": "/price", "type": "decimal(12,2)", "index": true},
        "exact": {"section": "main", "pointer": "/exact", "type": "decimal(38,10)"},
        "title": {"section": "main", "pointer": "/title", "type": "text(20)", "index": true},
        "amount": {"section": "main", "pointer": "/amount", "type": "integer"},
        "open": {"section": "notes", "pointer": "/open", "type": "boolean"},
        "day": {"section": "notes", "pointer": "/day", "type": "date"},
        "at": {"section": "notes", "pointer": "/at", "type": "timestamp"}
    })
}

/// The manifest of the contract `shop`; the second version has one section and one projected column more.
pub fn shop(version: &str, wider: bool, code: &[u8]) -> Package {
    let all = json!({"create": ["any"], "modify": ["any"], "read": ["any"]});
    let section = |schema: Json| {
        let mut section = all.clone();
        if let Json::Object(object) = &mut section {
            object.insert("schema", schema);
        }
        section
    };
    let mut sections = json!({"main": section(json!({"type": ["object", "null"]})), "notes": section(json!({"type": ["object", "null", "array"]}))});
    let mut projected = projections();
    if let (true, Json::Object(sections), Json::Object(projected)) = (wider, &mut sections, &mut projected) {
        sections.insert("extra", section(json!({})));
        projected.insert("colour", json!({"section": "extra", "pointer": "/colour", "type": "text(40)"}));
    }
    let roles = json!({"any": {"everyone": true}, "seller": {}});
    let mut writes = vec![Json::from("main"), Json::from("notes"), Json::from("parties")];
    if wider {
        writes.push(Json::from("extra"));
    }
    let usage = json!({"spec": "listing", "creates": true, "reads": ["main"], "writes": writes, "notifies": ["offer.made", "note.e"]});
    let narrow =
        json!({"spec": "listing", "creates": true, "reads": ["notes"], "writes": ["main"], "notifies": ["offer.made"]});
    let manifest = json!({
        "format": 1, "abi": 1, "name": "shop", "version": version, "sync": "compare",
        "specs": {"listing": {"roles": roles.clone(), "sections": sections, "parties": all.clone(), "projections": projected, "description": "Things for sale: été"},
                  "memo": {"roles": roles, "sections": {"body": section(json!({}))}, "raw_changes": true}},
        "methods": {"write": {"records": [usage.clone()], "arguments": {"type": "object"}},
                    "narrow": {"records": [narrow.clone()], "arguments": {"type": "object"}},
                    "both": {"records": [usage, narrow], "arguments": {"type": "object"}}},
        "code": Digest::of(code).to_string(), "debug": Json::Null, "build": {}
    });
    Package::new(Manifest::parse(&manifest).unwrap(), code.to_vec(), Vec::new()).unwrap()
}

impl Net {
    pub fn new(seed: u64) -> Net {
        let mut dice = Dice(seed);
        let (admin, node_signer) = (LocalSigner::from_secret(dice.bytes()), LocalSigner::from_secret(dice.bytes()));
        let (node, root) = (NodeName::parse("acme").unwrap(), ActorId::parse("root@acme").unwrap());
        let time = Timestamp::parse("2026-11-21T10:12:00.000000Z").unwrap();
        let founder = Founder {
            participant: ParticipantName::parse("acme").unwrap(),
            admin: (root.clone(), admin.public_key()),
            node: (node.clone(), node_signer.public_key()),
        };
        let body = Body::Genesis {
            title: "tést net".into(),
            random: Digest::from_bytes(dice.bytes()),
            founders: vec![founder],
        };
        let genesis = DirectoryEvent::sign(None, time, &root, body, &admin).unwrap();
        let directory = Directory::found(&genesis).unwrap();
        let database = MemoryDatabase::new();
        block_on(database.prepare(&own_tables())).unwrap();
        let ledger = Ledger::new(directory.network(), "acme/1".into(), time);
        let mut net = Net {
            database,
            node,
            node_signer,
            keys: BTreeMap::from([(root.to_string(), admin)]),
            dice,
            time,
            ledger,
            states: States::new(),
            shelf: Shelf::default(),
            notes: Vec::new(),
            endings: BTreeMap::new(),
            directory,
        };
        let mut projection = Projection::new(&net.ledger, &own_tables_by_name());
        projection.genesis(&genesis, &net.directory, "acme");
        net.commit(projection);
        net
    }

    fn commit(&mut self, projection: Projection) {
        let projected = projection.finish(&self.node_signer).unwrap();
        block_on(self.database.commit(&projected.batch)).unwrap();
        self.ledger = projected.ledger;
        self.notes.push(projected.note);
    }

    pub fn agree(&mut self, body: Body, package: Option<&Package>) {
        let root = ActorId::parse("root@acme").unwrap();
        let after = (self.directory.network(), self.directory.seq(), self.directory.head());
        self.tick();
        let event = DirectoryEvent::sign(Some(after), self.time, &root, body, &self.keys["root@acme"]).unwrap();
        self.directory.apply(&event).unwrap();
        let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
        projection.directory(&event, &self.directory, package.map(Package::encode).as_deref());
        self.commit(projection);
        block_on(self.database.prepare(&self.directory.record_tables())).unwrap();
    }

    pub fn tick(&mut self) {
        let step = 1 + self.dice.below(5_000_000) as i64;
        self.time = self.time.plus_micros(step);
    }

    pub fn participant(&mut self, name: &str) {
        let participant = ParticipantName::parse(name).unwrap();
        self.agree(Body::ParticipantAdd { participant, hosted_by: ParticipantName::parse("acme").unwrap() }, None);
    }

    pub fn actor(&mut self, name: &str) {
        let signer = LocalSigner::from_secret(self.dice.bytes());
        let roles = ["seller".to_owned()].into_iter().collect();
        self.agree(Body::ActorAdd { actor: ActorId::parse(name).unwrap(), roles, key: signer.public_key() }, None);
        self.keys.insert(name.to_owned(), signer);
    }

    pub fn rotate(&mut self, name: &str) {
        let signer = LocalSigner::from_secret(self.dice.bytes());
        self.agree(Body::ActorRotate { actor: ActorId::parse(name).unwrap(), key: signer.public_key() }, None);
        self.keys.insert(name.to_owned(), signer);
    }

    pub fn revoke(&mut self, name: &str) {
        self.agree(Body::ActorRevoke { actor: ActorId::parse(name).unwrap() }, None);
        self.keys.remove(name);
    }

    pub fn deploy(&mut self, package: Package) {
        self.agree(Body::ContractPropose { manifest: Box::new(package.manifest.clone()) }, Some(&package));
        self.agree(Body::ContractApprove { package: package.digest() }, None);
        self.shelf.0.insert(package.digest(), Arc::new(package));
    }

    /// Submits a batch of calls: (actor, call, records with what is expected).
    pub fn submit(&mut self, wishes: Vec<(String, Call, Vec<Target>)>) {
        self.tick();
        let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
        let submitted = self.time;
        self.tick();
        for (actor, call, targets) in wishes {
            let draft = Draft {
                network: self.directory.network(),
                sequencer: self.node.clone(),
                actor: ActorId::parse(&actor).unwrap(),
                nonce: Digest::from_bytes(self.dice.bytes()),
                expires: submitted.plus_micros(if self.dice.below(20) == 0 { 1 } else { 600_000_000 }),
                not_before: (self.dice.below(25) == 0).then(|| submitted.plus_micros(500_000_000)),
                call,
                targets,
            };
            let mut dice = self.dice.clone();
            let submission = draft.sign(&self.keys[&actor], || Salt::from(dice.bytes())).unwrap();
            self.dice = dice;
            let door = Door {
                directory: &self.directory,
                node: &self.node,
                now: submitted,
                longest_expiry: std::time::Duration::from_secs(3600),
                limits: JsonLimits::default(),
            };
            let intent = verify(submission.to_json().canonical().as_bytes(), &door).unwrap();
            for target in intent.targets() {
                self.states.entry(target.record.clone()).or_insert(None);
            }
            let job = Job {
                intent: &intent,
                directory: &self.directory,
                states: &self.states,
                packages: &self.shelf,
                engine: &Script,
                limits: Limits::default(),
                time: self.time,
            };
            let executed = execute(&job).unwrap();
            let mut dice = self.dice.clone();
            let mut salt = || Salt::from(dice.bytes());
            let (ending, rejected, events) = match executed.verdict {
                Verdict::Applied(effects) => {
                    let sealing = Sealing {
                        directory: &self.directory,
                        log: "acme/1",
                        sequencer: &self.node,
                        intent: intent.id(),
                        time: self.time,
                    };
                    (Ending::Applied, None, seal(effects, &sealing, &mut salt))
                }
                Verdict::Rejected(rejected) => (Ending::Rejected, Some(rejected), Vec::new()),
                Verdict::Expired => {
                    (Ending::Expired, Some(Rejected::new(lockstep_core::codes::Code::Expired, "too late")), Vec::new())
                }
            };
            let salts = [salt(), salt(), salt(), salt()];
            self.dice = dice;
            let said =
                rejected.as_ref().map_or_else(|| ending.as_str().to_owned(), |rejected| rejected.code.to_string());
            *self.endings.entry(said).or_default() += 1;
            let directory = (self.directory.seq(), self.directory.head());
            let reasons = Reasons { rejected, judged: executed.judged, directory, salts };
            let outcome = Outcome {
                network: self.directory.network(),
                intent: intent.id(),
                ending,
                submitted,
                time: self.time,
                events: events.iter().map(|event| event.id).collect(),
                said: reasons.into(),
            };
            projection.outcome(&intent, &outcome, &events, &self.directory);
            for event in events {
                self.states.insert(event.header.record.clone(), Some(event.after));
            }
        }
        self.commit(projection);
    }

    pub fn word(&mut self) -> String {
        let (a, b) = (*self.dice.pick(WORDS), *self.dice.pick(WORDS));
        if self.dice.below(30) == 0 { b.repeat(self.dice.below(300)) } else { format!("{a}{b}") }
    }

    fn value(&mut self, depth: usize) -> Json {
        match self.dice.below(if depth == 0 { 5 } else { 7 }) {
            0 => Json::Null,
            1 => Json::from(self.dice.below(2) == 0),
            2 => Json::from(self.dice.below(100_000)),
            3 => Json::from(self.word()),
            4 => Json::Number(Number::from_f64(self.dice.below(1000) as f64 / 8.0).unwrap()),
            5 => Json::from((0..self.dice.below(4)).map(|_| self.value(depth - 1)).collect::<Vec<_>>()),
            _ => Json::Object((0..self.dice.below(4)).map(|_| (self.word(), self.value(depth - 1))).collect()),
        }
    }

    fn main(&mut self) -> Json {
        let price = *self.dice.pick(&["350000.00", "1", "-0.00", "1.005", "", "99999999999.99", "12.5"]);
        let exact = *self.dice.pick(&["0.0000000001", "1234567890123456789012345678.1", "7", "x"]);
        let amount = if self.dice.below(4) == 0 { json!("7") } else { json!(self.dice.below(1_000_000)) };
        json!({"price": price, "exact": exact, "title": self.word(), "amount": amount, "list": [], "more": self.value(2)})
    }

    fn notes(&mut self) -> Json {
        let day = *self.dice.pick(&["2024-02-29", "1000-01-01", "2023-02-29", "9999-12-31"]);
        let at = *self.dice.pick(&["2026-11-21T10:12:00Z", "1999-12-31T23:59:59.999999Z", "never"]);
        json!({"open": self.dice.below(2) == 0, "day": day, "at": at, "text": self.word()})
    }

    fn operations(&mut self, record: usize, section: &str) -> Vec<Json> {
        let op = |op: Json| json!({"record": record, "section": section, "op": op});
        let content = if section == "main" {
            self.main()
        } else if section == "notes" {
            self.notes()
        } else {
            json!({"colour": self.word(), "more": self.value(2)})
        };
        let mut ops = vec![op(json!({"op": "add", "path": "", "value": content}))];
        match self.dice.below(7) {
            0 => ops.push(op(json!({"op": "add", "path": "/more", "value": self.value(2)}))),
            1 if section == "main" => {
                ops.push(op(json!({"op": "add", "path": "/list/-", "value": self.value(1)})));
                ops.push(op(json!({"op": "copy", "from": "/title", "path": "/list/0"})));
                ops.push(op(json!({"op": "move", "from": "/more", "path": "/moved"})));
            }
            2 if section == "main" => ops.push(op(json!({"op": "remove", "path": "/title"}))),
            3 => ops.push(op(json!({"op": "test", "path": "", "value": self.value(0)}))),
            4 if section != "main" => ops.push(op(json!({"op": "remove", "path": ""}))),
            5 => ops.push(op(json!({"op": "replace", "path": "/nothing", "value": 1}))),
            _ => {}
        }
        ops
    }

    fn record(&mut self, prefix: &str) -> Target {
        let record = RecordId::parse(&format!("acme:{prefix}{}", self.dice.below(6))).unwrap();
        let seq = self.states.get(&record).and_then(Option::as_ref).map_or(0, |state| state.seq);
        let expect = match self.dice.below(5) {
            0 => Some(seq),
            1 if self.dice.below(3) == 0 => Some(seq + 3),
            _ => None,
        };
        Target { record, expect }
    }

    /// A wish that may or may not be granted.
    pub fn wish(&mut self, wider: bool) -> (String, Call, Vec<Target>) {
        let actors: Vec<String> = self.keys.keys().cloned().collect();
        let actor = self.dice.pick(&actors).clone();
        if self.dice.below(4) == 0 {
            let targets = vec![self.record("m")];
            let operation = match self.dice.below(4) {
                0 => json!({"op": "add", "path": "/x", "value": self.value(2)}),
                1 => json!({"op": "replace", "path": "", "value": self.value(2)}),
                _ => json!({"op": "add", "path": "", "value": {"x": self.value(3), "w": self.word()}}),
            };
            let operation = Operation::from_json(&operation).unwrap();
            let changes = vec![RawChange { record: 0, section: "body".into(), operation }];
            return (actor, Call::Changes { spec: SpecName::parse("memo").unwrap(), changes }, targets);
        }
        let (method, count) =
            *self.dice.pick(&[("write", 1), ("write", 1), ("narrow", 1), ("both", 2), ("nothing", 1)]);
        let mut targets = vec![self.record("h")];
        while targets.len() < count {
            let next = self.record("h");
            if targets.iter().all(|target| target.record != next.record) {
                targets.push(next);
            }
        }
        let mut ops = Vec::new();
        if self.dice.below(8) != 0 {
            ops.extend(self.operations(0, "main"));
        }
        if count == 2 {
            ops.extend(self.operations(1, "main"));
        }
        if method != "narrow" && self.dice.below(2) == 0 {
            ops.extend(self.operations(0, "notes"));
        }
        if wider && method != "narrow" && self.dice.below(2) == 0 {
            ops.extend(self.operations(0, "extra"));
        }
        if method == "write" && self.states.get(&targets[0].record).and_then(Option::as_ref).is_none() {
            ops.push(json!({"record": 0, "section": "parties", "op": {"op": "add", "path": "", "value": {"members": [{"role": "seller", "participant": "acme", "from": 1}]}}}));
        }
        let notify: Vec<Json> = (0..self.dice.below(3))
            .map(|_| json!({"record": 0, "section": "main", "type": "offer.made", "data": self.value(2)}))
            .collect();
        let mut arguments = json!({"ops": ops, "notify": notify, "note": self.word()});
        if let (0, Json::Object(object)) = (self.dice.below(6), &mut arguments) {
            object.insert("reject", json!(["too_low", self.word()]));
        }
        let call = Call::Method {
            contract: ContractName::parse("shop").unwrap(),
            method: MethodName::parse(method).unwrap(),
            arguments,
        };
        (actor, call, targets)
    }

    /// A network with a life behind it.
    pub fn grown(seed: u64, batches: usize) -> Net {
        let mut net = Net::new(seed);
        net.participant("beta");
        for actor in ["alice@acme", "bob@beta", "carol@acme", "dave@beta"] {
            net.actor(actor);
        }
        net.deploy(shop("1.0.0", false, b"first code"));
        for number in 0..batches {
            let wider = number > batches / 2;
            if number == batches / 4 {
                net.rotate("carol@acme");
            }
            if number == batches / 2 {
                net.deploy(shop("1.1.0", true, b"second code"));
                net.revoke("dave@beta");
            }
            let count = 1 + net.dice.below(4);
            let mut wishes = Vec::new();
            let mut taken = std::collections::BTreeSet::new();
            for _ in 0..count {
                let wish = net.wish(wider);
                if wish.2.iter().all(|target| taken.insert(target.record.clone())) {
                    wishes.push(wish);
                }
            }
            if !wishes.is_empty() {
                net.submit(wishes);
            }
        }
        net
    }

    pub fn tables(&self) -> Vec<Table> {
        own_tables().into_iter().chain(self.directory.record_tables()).collect()
    }

    /// All rows, to be tampered with.
    pub fn copy(&self) -> Copy {
        let mut snapshot = block_on(self.database.snapshot()).unwrap();
        let page = Page { after: None, limit: usize::MAX };
        let rows = self
            .tables()
            .into_iter()
            .map(|table| (table.name.clone(), block_on(snapshot.page(&table, &page)).unwrap()));
        Copy {
            rows: rows.collect(),
            tables: self.tables().into_iter().map(|table| (table.name.clone(), table)).collect(),
        }
    }
}

/// A database that anybody edits.
#[derive(Clone)]
pub struct Copy {
    pub tables: BTreeMap<String, Table>,
    pub rows: BTreeMap<String, Vec<Row>>,
}

impl Snapshot for Copy {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        let found = self
            .rows
            .get(&table.name)
            .cloned()
            .ok_or_else(|| DatabaseError::Shape { table: table.name.clone(), detail: "there is no such table".into() });
        let places: Vec<usize> =
            table.columns.iter().filter_map(|column| self.tables.get(&table.name)?.position(&column.name)).collect();
        let found =
            found.map(|rows| rows.into_iter().map(|row| places.iter().map(|at| row[*at].clone()).collect()).collect());
        Box::pin(ready(found.map(|rows: Vec<Row>| if page.after.is_some() { Vec::new() } else { rows })))
    }
}

pub fn audited(copy: &Copy, known: Known<'_>) -> Report {
    block_on(audit(&mut copy.clone(), known, &mut |_| {})).unwrap()
}
