//! One small network with fixed keys, salts and times, whose intents, events and receipts are the vectors.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::crypto::{Digest, LocalSigner, Salt, Signer};
use lockstep_core::directory::{Body, Directory, DirectoryEvent, Founder};
use lockstep_core::engine::{CodeError, Engine, Host, HostError, Limits, Rejection, Stop};
use lockstep_core::execute::{Job, Packages, Rejected, Verdict, execute};
use lockstep_core::intent::{Call, Door, Draft, RawChange, Submission, Target, verify};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits as JsonLimits, Operation, Pointer};
use lockstep_core::log::{Appender, Checkpoint, Tile, inclusion_path, leaf_hash};
use lockstep_core::names::{ActorId, ContractName, MethodName, NodeName, ParticipantName, RecordId, SpecName};
use lockstep_core::outcome::{Ending, Outcome, Reasons, Said, directory_leaf};
use lockstep_core::package::{Manifest, Package};
use lockstep_core::project::origin;
use lockstep_core::record::States;
use lockstep_core::seal::{SealedEvent, Sealing, seal};
use lockstep_core::time::Timestamp;

/// The key whose secret is this byte 32 times.
pub fn key(byte: u8) -> LocalSigner {
    LocalSigner::from_secret([byte; 32])
}

/// Salts, nonces and other random bytes of the story: SHA-256 of a word and a number.
pub fn bytes(word: &str, number: usize) -> Digest {
    Digest::of(format!("{word} {number}").as_bytes())
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-11-21T10:{text}.000000Z")).unwrap()
}

pub fn actor(name: &str) -> ActorId {
    ActorId::parse(name).unwrap()
}

/// Stands in for the contract's code: `list` fills what is there, `offer` appends a price or says no.
struct Prices;

impl Engine for Prices {
    fn call(&self, _: &Package, method: &str, arguments: &str, host: &mut dyn Host, _: &Limits) -> Result<(), Stop> {
        let arguments = Json::parse(arguments.as_bytes(), &JsonLimits::default()).unwrap();
        let mut change = |section: &str, path: &str, value: Json| {
            let operation = Operation::Add { path: Pointer::parse(path).unwrap(), value };
            host.change(0, section, operation).map_err(|error| match error {
                HostError::Stop => Stop::Host,
                HostError::Failure { message, .. } => Stop::Broken(message),
            })
        };
        if method == "list" {
            change("listing", "", arguments)?;
            change("negotiation", "", json!({"offers": []}))?;
            let member = |role: &str, actor: &str, of: &str| json!({"role": role, "participant": of, "actor": actor, "from": 1, "to": Json::Null});
            let members = vec![member("seller", "alice@acme", "acme"), member("buyer", "bob@buyer", "buyer")];
            return change("parties", "", json!({"members": members}));
        }
        if arguments.get("price").and_then(Json::as_str) == Some("100.00") {
            let message = "an offer must be at least half the asking price".to_owned();
            return Err(Stop::Rejected(Rejection { reason: "offer_too_low".to_owned(), message }));
        }
        change("negotiation", "/offers/-", arguments.clone())?;
        host.notify(0, "negotiation", "offer.made", arguments).map_err(|_| Stop::Host)
    }

    fn check(&self, _: &Package) -> Result<(), CodeError> {
        Ok(())
    }
}

struct One(Package);

impl Packages for One {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        (self.0.digest() == *digest).then(|| Arc::new(self.0.clone()))
    }
}

fn package() -> Package {
    let all = json!({"type": "object"});
    let code = b"stands in for a component".to_vec();
    let manifest = json!({
        "format": 1, "abi": 1, "name": "house_sale", "version": "1.0.0", "sync": "compare",
        "specs": {"house_sale": {
            "roles": {"seller": {}, "buyer": {}, "anyone": {"everyone": true}}, "raw_changes": true,
            "parties": {"create": ["seller"], "modify": ["seller"], "read": ["anyone"]},
            "sections": {
                "listing": {"create": ["seller"], "modify": ["seller"], "read": ["anyone"], "schema": all.clone()},
                "negotiation": {"create": ["seller"], "modify": ["seller", "buyer"], "read": ["seller", "buyer"], "schema": all.clone()}
            },
            "projections": {"asking_price": {"section": "listing", "pointer": "/asking_price", "type": "decimal(12,2)", "index": true}}
        }},
        "methods": {
            "list": {"records": [{"spec": "house_sale", "creates": true, "writes": ["listing", "negotiation", "parties"]}], "arguments": all.clone()},
            "offer": {"records": [{"spec": "house_sale", "reads": ["listing"], "writes": ["negotiation"], "notifies": ["offer.made"]}], "arguments": all}
        },
        "code": Digest::of(&code).to_string(), "debug": Json::Null, "build": {}
    });
    Package::new(Manifest::parse(&manifest).unwrap(), code, Vec::new()).unwrap()
}

/// An intent of the story with all that became of it.
pub struct Decided {
    pub name: &'static str,
    pub submission: Submission,
    pub outcome: Outcome,
    pub events: Vec<SealedEvent>,
    pub index: u64,
}

/// The whole story: one network, its directory, its log.
pub struct Story {
    pub directory: Directory,
    pub agreed: Vec<DirectoryEvent>,
    pub log: Appender,
    pub tiles: BTreeMap<(u32, u64), Tile>,
    pub decided: Vec<Decided>,
    states: States,
    package: One,
    salts: usize,
}

pub const NODE_KEY: u8 = 10;

impl Story {
    pub fn tell() -> Story {
        let (admin, package) = (key(1), package());
        let founder = Founder {
            participant: ParticipantName::parse("acme").unwrap(),
            admin: (actor("admin@acme"), admin.public_key()),
            node: (NodeName::parse("acme").unwrap(), key(NODE_KEY).public_key()),
        };
        let body = Body::Genesis { title: "sales".to_owned(), random: bytes("random", 0), founders: vec![founder] };
        let genesis = DirectoryEvent::sign(None, time("00:00"), &actor("admin@acme"), body, &admin).unwrap();
        let directory = Directory::found(&genesis).unwrap();
        let mut story = Story {
            directory,
            agreed: Vec::new(),
            log: Appender::empty(),
            tiles: BTreeMap::new(),
            decided: Vec::new(),
            states: States::new(),
            package: One(package),
            salts: 0,
        };
        story.note(genesis);
        let add = |name: &str, byte: u8, role: &str| Body::ActorAdd {
            actor: actor(name),
            roles: BTreeSet::from([role.to_owned()]),
            key: key(byte).public_key(),
        };
        let manifest = Box::new(story.package.0.manifest.clone());
        let buyer = ParticipantName::parse("buyer").unwrap();
        story.agree(Body::ParticipantAdd { participant: buyer, hosted_by: ParticipantName::parse("acme").unwrap() });
        story.agree(add("alice@acme", 2, "seller"));
        story.agree(add("bob@buyer", 3, "buyer"));
        story.agree(add("dave@acme", 4, "seller"));
        story.agree(Body::ActorRevoke { actor: actor("dave@acme") });
        let digest = manifest.digest();
        story.agree(Body::ContractPropose { manifest });
        story.agree(Body::ContractApprove { package: digest });
        story.record(RecordId::parse("acme:sale-1").unwrap());
        let price = |text: &str| json!({"price": text});
        story.submit(
            "a record is created",
            2,
            "alice@acme",
            story_call("list", json!({"asking_price": "350000.00", "rooms": 4})),
            Some(0),
        );
        story.submit(
            "a section is written, with a notification",
            3,
            "bob@buyer",
            story_call("offer", price("340000.00")),
            None,
        );
        story.submit("the contract says no", 3, "bob@buyer", story_call("offer", price("100.00")), None);
        let operation =
            Operation::Replace { path: Pointer::parse("/asking_price").unwrap(), value: Json::from("345000.00") };
        let changes = vec![RawChange { record: 0, section: "listing".to_owned(), operation }];
        let call = Call::Changes { spec: SpecName::parse("house_sale").unwrap(), changes };
        story.submit("changes instead of a method", 2, "alice@acme", call.clone(), Some(2));
        story.submit("made for another version", 2, "alice@acme", call, Some(2));
        story
    }

    fn record(&mut self, record: RecordId) {
        self.states.insert(record, None);
    }

    fn agree(&mut self, body: Body) {
        let after = Some((self.directory.network(), self.directory.seq(), self.directory.head()));
        let minute = time(&format!("{:02}:00", self.directory.seq()));
        let event = DirectoryEvent::sign(after, minute, &actor("admin@acme"), body, &key(1)).unwrap();
        self.directory.apply(&event).unwrap();
        self.note(event);
    }

    fn note(&mut self, event: DirectoryEvent) {
        self.append(&directory_leaf(&self.directory.network(), event.seq, &event.head()));
        self.agreed.push(event);
    }

    fn append(&mut self, leaf: &[u8]) -> u64 {
        self.log.append(leaf_hash(leaf));
        self.tiles.extend(self.log.take_changed().into_iter().map(|tile| ((tile.level, tile.index), tile)));
        self.log.size() - 1
    }

    pub fn origin(&self) -> String {
        origin(&self.directory.network(), "acme/1")
    }

    /// The signed head of the log.
    pub fn note_by(&self, signer: &LocalSigner) -> String {
        Checkpoint { origin: self.origin(), size: self.log.size(), root: self.log.root() }.sign(signer).unwrap()
    }

    pub fn path(&self, index: u64) -> Vec<Digest> {
        inclusion_path(index, self.log.size(), &mut |level, at| self.tiles.get(&(level, at)).cloned()).unwrap()
    }

    /// An intent that would be let in, for its maker to spoil.
    pub fn draft(&self, number: usize, actor_name: &str, call: Call, expect: Option<u64>) -> Draft {
        Draft {
            network: self.directory.network(),
            sequencer: NodeName::parse("acme").unwrap(),
            actor: actor(actor_name),
            nonce: bytes("nonce", number),
            expires: time("59:00"),
            not_before: None,
            call,
            targets: vec![Target { record: RecordId::parse("acme:sale-1").unwrap(), expect }],
        }
    }

    pub fn door<'a>(&'a self, node: &'a NodeName, now: Timestamp) -> Door<'a> {
        let longest_expiry = std::time::Duration::from_secs(24 * 3600);
        Door { directory: &self.directory, node, now, longest_expiry, limits: JsonLimits::default() }
    }

    fn salt(&mut self) -> Salt {
        self.salts += 1;
        Salt::from_bytes(bytes("salt", self.salts).as_bytes()).unwrap()
    }

    fn submit(&mut self, name: &'static str, byte: u8, actor_name: &str, call: Call, expect: Option<u64>) {
        let number = self.decided.len();
        let draft = self.draft(number, actor_name, call, expect);
        let mut salts: Vec<Salt> = (0..2).map(|_| self.salt()).collect();
        let submission = draft.sign(&key(byte), || salts.remove(0)).unwrap();
        let node = NodeName::parse("acme").unwrap();
        let (submitted, decided) = (time(&format!("{}:00", 20 + number)), time(&format!("{}:01", 20 + number)));
        let intent = verify(submission.to_json().canonical().as_bytes(), &self.door(&node, submitted)).unwrap();
        let job = Job {
            intent: &intent,
            directory: &self.directory,
            states: &self.states,
            packages: &self.package,
            engine: &Prices,
            limits: Limits::default(),
            time: decided,
        };
        let executed = execute(&job).unwrap();
        let mut salts: Vec<Salt> = (0..40).map(|_| self.salt()).collect();
        let (ending, rejected, events): (Ending, Option<Rejected>, Vec<SealedEvent>) = match executed.verdict {
            Verdict::Applied(effects) => {
                let sealing = Sealing {
                    directory: &self.directory,
                    log: "acme/1",
                    sequencer: &node,
                    intent: intent.id(),
                    time: decided,
                };
                (Ending::Applied, None, seal(effects, &sealing, &mut || salts.remove(0)))
            }
            Verdict::Rejected(rejected) => (Ending::Rejected, Some(rejected), Vec::new()),
            Verdict::Expired => unreachable!("no intent of the story expires"),
        };
        for event in &events {
            self.states.insert(event.header.record.clone(), Some(event.after.clone()));
        }
        let outcome = Outcome {
            network: self.directory.network(),
            intent: intent.id(),
            ending,
            submitted,
            time: decided,
            events: events.iter().map(|event| event.id).collect(),
            said: Said::Openly(Reasons {
                rejected,
                judged: executed.judged,
                directory: (self.directory.seq(), self.directory.head()),
                salts: [salts.remove(0), salts.remove(0), salts.remove(0), salts.remove(0)],
            }),
        };
        let index = self.append(&outcome.leaf());
        self.decided.push(Decided { name, submission, outcome, events, index });
    }
}

pub fn story_call(method: &str, arguments: Json) -> Call {
    let (contract, method) = (ContractName::parse("house_sale").unwrap(), MethodName::parse(method).unwrap());
    Call::Method { contract, method, arguments }
}
