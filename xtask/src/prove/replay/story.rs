//! Made-up stories: a network, its contracts and what its actors sign, good and bad.

use std::collections::BTreeSet;

use lockstep_core::crypto::{Digest, LocalSigner, Salt, Signer};
use lockstep_core::directory::{Body, Directory, DirectoryEvent, Founder};
use lockstep_core::intent::{Call, Draft, RawChange, Target};
use lockstep_core::json::{Json, Operation, json};
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, ParticipantName, RecordId, SpecName};
use lockstep_core::package::{Manifest, Package};
use lockstep_core::time::Timestamp;

use crate::prove::Dice;
use crate::tree;

/// Everybody, with the roles that they may take on.
const ACTORS: [(&str, &[&str]); 5] = [
    ("alice@acme", &["seller", "client"]),
    ("bob@buyer", &["buyer", "purchaser", "client"]),
    ("ivan@inspector", &["inspector"]),
    ("dora@dealer", &["dealer"]),
    ("dan@dealer", &["dealer"]),
];
const SECOND: i64 = 1_000_000;

/// One thing that happens.
pub(in crate::prove) enum Step {
    /// The directory changes.
    Directory { event: Box<DirectoryEvent>, package: Option<Vec<u8>> },
    /// These are handed in, all at one moment.
    Intents(Vec<Vec<u8>>),
}

/// A network's life, signed.
pub(in crate::prove) struct Story {
    pub(in crate::prove) begins: Timestamp,
    pub(in crate::prove) node: NodeName,
    pub(in crate::prove) node_secret: [u8; 32],
    pub(in crate::prove) genesis: DirectoryEvent,
    pub(in crate::prove) steps: Vec<(Timestamp, Step)>,
}

/// The contracts that stories use: the committed examples, and a plain table without code.
pub(in crate::prove) struct Packages {
    first: Vec<Package>,
    later: Package,
}

impl Packages {
    /// Reads them.
    pub(in crate::prove) fn read() -> Result<Packages, String> {
        let example = |file: &str| {
            let path = tree::root().join("examples").join(file);
            let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Package::decode(&bytes).map_err(|error| format!("{}: {error}", path.display()))
        };
        let sale = example("house-sale/package/house_sale-1.0.0.lockstep")?;
        let quote = example("request-for-quote/package/request_for_quote-1.0.0.lockstep")?;
        let later = example("house-sale-1.1/package/house_sale-1.1.0.lockstep")?;
        Ok(Packages { first: vec![sale, quote, plain_table()?], later })
    }
}

/// A spec without a contract: whoever may sign may change it.
fn plain_table() -> Result<Package, String> {
    let all = json!({"create": ["any"], "modify": ["any"], "read": ["any"], "schema": {}});
    let manifest = json!({
        "format": 1, "abi": 1, "name": "notes", "version": "1.0.0", "sync": "compare", "methods": {}, "build": {},
        "code": Json::Null, "debug": Json::Null,
        "specs": {"note": {
            "roles": {"any": {"everyone": true}}, "raw_changes": true, "sections": {"body": all.clone(), "tags": all},
            "projections": {"title": {"section": "body", "pointer": "/title", "type": "text(40)", "index": true}}
        }}
    });
    let manifest = Manifest::parse(&manifest).map_err(|error| error.to_string())?;
    Package::new(manifest, Vec::new(), Vec::new()).map_err(|error| error.to_string())
}

/// What writing a story needs.
struct Writer<'a> {
    dice: &'a mut Dice,
    time: Timestamp,
    admin: (ActorId, LocalSigner),
    node: NodeName,
    directory: Directory,
    actors: Vec<(ActorId, LocalSigner)>,
    sent: Vec<Vec<u8>>,
    steps: Vec<(Timestamp, Step)>,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl Story {
    /// Makes one up.
    pub(in crate::prove) fn make_up(dice: &mut Dice, packages: &Packages) -> Result<Story, String> {
        let begins = Timestamp::parse("2026-11-21T10:00:00.000000Z").map_err(words)?;
        let begins = begins.plus_micros(i64::try_from(dice.below(1 << 40)).unwrap_or(0));
        let (node, node_secret) = (NodeName::parse("acme").map_err(words)?, dice.bytes());
        let admin = (ActorId::parse("admin@acme").map_err(words)?, LocalSigner::from_secret(dice.bytes()));
        let founder = Founder {
            participant: ParticipantName::parse("acme").map_err(words)?,
            admin: (admin.0.clone(), admin.1.public_key()),
            node: (node.clone(), LocalSigner::from_secret(node_secret).public_key()),
        };
        let random = Digest::from_bytes(dice.bytes());
        let body = Body::Genesis { title: "a story".to_owned(), random, founders: vec![founder] };
        let genesis = DirectoryEvent::sign(None, begins, &admin.0, body, &admin.1).map_err(words)?;
        let directory = Directory::found(&genesis).map_err(words)?;
        let (actors, sent, steps) = (Vec::new(), Vec::new(), Vec::new());
        let mut writer = Writer { dice, time: begins, admin, node: node.clone(), directory, actors, sent, steps };
        writer.tell(packages)?;
        Ok(Story { begins, node, node_secret, genesis, steps: writer.steps })
    }
}

impl Writer<'_> {
    fn tell(&mut self, packages: &Packages) -> Result<(), String> {
        let acme = ParticipantName::parse("acme").map_err(words)?;
        for name in ["buyer", "inspector", "dealer"] {
            let participant = ParticipantName::parse(name).map_err(words)?;
            self.agree(Body::ParticipantAdd { participant, hosted_by: acme.clone() }, None)?;
        }
        for (name, roles) in ACTORS {
            let (actor, signer) = (ActorId::parse(name).map_err(words)?, LocalSigner::from_secret(self.dice.bytes()));
            let roles: BTreeSet<String> = roles.iter().map(|role| (*role).to_owned()).collect();
            self.agree(Body::ActorAdd { actor: actor.clone(), roles, key: signer.public_key() }, None)?;
            self.actors.push((actor, signer));
        }
        for package in &packages.first {
            self.deploy(package)?;
        }
        self.moments(3, 12)?;
        self.deploy(&packages.later)?;
        self.rotate()?;
        self.moments(3, 12)
    }

    /// Some moments with some intents each.
    fn moments(&mut self, least: u64, more: u64) -> Result<(), String> {
        for _ in 0..least + self.dice.below(more) {
            self.tick();
            let count = 1 + self.dice.below(24);
            let intents = (0..count).map(|_| self.submission()).collect::<Result<Vec<_>, _>>()?;
            self.steps.push((self.time, Step::Intents(intents)));
        }
        Ok(())
    }

    fn tick(&mut self) {
        let step = 1 + self.dice.below(90 * SECOND.unsigned_abs());
        self.time = self.time.plus_micros(i64::try_from(step).unwrap_or(SECOND));
    }

    fn agree(&mut self, body: Body, package: Option<Vec<u8>>) -> Result<(), String> {
        self.tick();
        let after = (self.directory.network(), self.directory.seq(), self.directory.head());
        let event = DirectoryEvent::sign(Some(after), self.time, &self.admin.0, body, &self.admin.1).map_err(words)?;
        self.directory.apply(&event).map_err(words)?;
        self.steps.push((self.time, Step::Directory { event: Box::new(event), package }));
        Ok(())
    }

    fn deploy(&mut self, package: &Package) -> Result<(), String> {
        let manifest = Box::new(package.manifest.clone());
        self.agree(Body::ContractPropose { manifest }, Some(package.encode()))?;
        self.agree(Body::ContractApprove { package: package.digest() }, None)
    }

    /// Gives somebody a new key; what the old one signs from now on is refused.
    fn rotate(&mut self) -> Result<(), String> {
        let signer = LocalSigner::from_secret(self.dice.bytes());
        let Some((actor, old)) = self.actors.first_mut() else { return Ok(()) };
        let actor = actor.clone();
        *old = signer;
        let key = old.public_key();
        self.agree(Body::ActorRotate { actor, key }, None)
    }

    /// Bytes as somebody hands them in: mostly a new intent, sometimes an old one again, sometimes nonsense.
    fn submission(&mut self) -> Result<Vec<u8>, String> {
        if self.dice.percent(4)
            && let Some(old) = self.dice.pick(&self.sent)
        {
            return Ok(old.clone());
        }
        let (call, records) = self.wish()?;
        let at = usize::try_from(self.dice.below(u64::try_from(self.actors.len()).unwrap_or(0))).unwrap_or(0);
        let able = self.able(&call).filter(|_| self.dice.percent(85)).unwrap_or(at);
        let expect = self.dice.percent(10).then(|| self.dice.below(6));
        let draft = Draft {
            network: self.directory.network(),
            sequencer: self.node.clone(),
            actor: self.actors.get(able).map(|(actor, _)| actor.clone()).ok_or("nobody is there")?,
            nonce: Digest::from_bytes(self.dice.bytes()),
            expires: self.time.plus_micros(if self.dice.percent(2) { -SECOND } else { 600 * SECOND }),
            not_before: self.dice.percent(3).then(|| self.time.plus_micros(60 * SECOND)),
            call,
            targets: records.into_iter().map(|record| Target { record, expect }).collect(),
        };
        let signer = &self.actors.get(able).ok_or("nobody is there")?.1;
        let dice = &mut *self.dice;
        let mut bytes =
            draft.sign(signer, || Salt::from(dice.bytes())).map_err(words)?.to_json().canonical().into_bytes();
        if dice.percent(2) {
            bytes.truncate(bytes.len() / 2);
        }
        self.sent.push(bytes.clone());
        Ok(bytes)
    }

    /// Who is meant to call this, by position.
    fn able(&mut self, call: &Call) -> Option<usize> {
        let Call::Method { method, .. } = call else { return None };
        let who = match method.as_str() {
            "list" | "counter_offer" | "accept" | "request" | "award" => "alice@acme",
            "offer" | "close" => "bob@buyer",
            "inspect" => "ivan@inspector",
            _ if self.dice.percent(50) => "dora@dealer",
            _ => "dan@dealer",
        };
        self.actors.iter().position(|(actor, _)| actor.as_str() == who)
    }

    fn record(&mut self, kind: &str, of: u64) -> Result<RecordId, String> {
        RecordId::parse(&format!("acme:{kind}-{}", self.dice.below(of))).map_err(words)
    }

    fn price(&mut self) -> String {
        let whole = 300_000 + self.dice.below(12) * 5_000;
        format!("{whole}.{:02}", if self.dice.percent(80) { 0 } else { self.dice.below(100) })
    }

    fn wish(&mut self) -> Result<(Call, Vec<RecordId>), String> {
        match self.dice.below(10) {
            0..=4 => self.sale(),
            5..=7 => self.quote(),
            _ => self.note(),
        }
    }

    fn sale(&mut self) -> Result<(Call, Vec<RecordId>), String> {
        let price = self.price();
        let (method, arguments) = match self.dice.below(12) {
            0..=2 => (
                "list",
                json!({"buyer": "bob@buyer", "inspector": "ivan@inspector", "address": "Straße 1, Łódź", "asking_price": price, "rooms": self.dice.below(9)}),
            ),
            3..=5 => ("offer", json!({"price": price})),
            6 => ("counter_offer", json!({"price": price})),
            7 | 8 => ("accept", json!({"price": price})),
            9 => ("inspect", json!({"passed": self.dice.percent(70), "findings": ["naïve wiring", "\u{1f3da}"]})),
            10 => ("close", json!({})),
            _ => ("close", json!({"unknown": 1})),
        };
        Ok((method_call("house_sale", method, arguments)?, vec![self.record("sale", 8)?]))
    }

    fn quote(&mut self) -> Result<(Call, Vec<RecordId>), String> {
        let price = format!("{}.{:02}", self.dice.below(30), self.dice.below(100));
        let dealer = if self.dice.percent(50) { "dora@dealer" } else { "dan@dealer" };
        let (method, arguments) = match self.dice.below(10) {
            0..=1 => ("request", json!({"symbol": "IBM", "dealers": ["dora@dealer", "dan@dealer"]})),
            2..=8 => (
                "quote",
                json!({"symbol": if self.dice.percent(95) { "IBM" } else { "AAPL" }, "price": price, "date": format!("2026-{:02}-01", self.dice.below(14))}),
            ),
            _ => ("award", json!({"dealer": dealer, "price": price})),
        };
        Ok((method_call("request_for_quote", method, arguments)?, vec![self.record("rfq", 4)?]))
    }

    /// Raw changes on one to three records of the plain table.
    fn note(&mut self) -> Result<(Call, Vec<RecordId>), String> {
        let mut records = BTreeSet::new();
        for _ in 0..1 + self.dice.below(3) {
            records.insert(self.record("note", 6)?);
        }
        let mut changes = Vec::new();
        for record in 0..records.len() {
            let whole = self.dice.percent(40);
            let operation = if whole {
                json!({"op": "add", "path": "", "value": {"title": "ein Zettel", "n": self.dice.below(100), "list": [1, 2]}})
            } else {
                match self.dice.below(6) {
                    0 => json!({"op": "replace", "path": "/title", "value": format!("été {}", self.dice.below(9))}),
                    1 => json!({"op": "remove", "path": "/list/0"}),
                    2 => json!({"op": "add", "path": "/list/-", "value": null}),
                    3 => json!({"op": "copy", "from": "/n", "path": "/m"}),
                    4 => json!({"op": "move", "from": "/list", "path": "/was"}),
                    _ => json!({"op": "test", "path": "/list", "value": [1, 2]}),
                }
            };
            let section = if self.dice.percent(80) { "body" } else { "tags" };
            let operation = Operation::from_json(&operation).map_err(words)?;
            changes.push(RawChange { record, section: section.to_owned(), operation });
        }
        let call = Call::Changes { spec: SpecName::parse("note").map_err(words)?, changes };
        Ok((call, records.into_iter().collect()))
    }
}

fn method_call(contract: &str, method: &str, arguments: Json) -> Result<Call, String> {
    Ok(Call::Method {
        contract: ContractName::parse(contract).map_err(words)?,
        method: MethodName::parse(method).map_err(words)?,
        arguments,
    })
}
