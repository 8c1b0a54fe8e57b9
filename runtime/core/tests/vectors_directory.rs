//! `conformance/vectors/directory.json`: a directory in which participants join, approve and countersign.
//!
//! One test makes the file again from fixed keys and times (`LOCKSTEP_VECTORS=write` writes it); the other reads it
//! as anyone would. What is taken and what is refused is stated by hand, not computed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::PathBuf;

use lockstep_core::crypto::{Digest, LocalSigner, Signer};
use lockstep_core::directory::{Address, Body, Directory, DirectoryEvent, Founder, Invitation, Join, NewNode, Terms};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::{ActorId, NodeName, ParticipantName};
use lockstep_core::time::Timestamp;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors/directory.json")
}

fn key(name: &str) -> LocalSigner {
    LocalSigner::from_secret(*Digest::of(format!("key of {name}").as_bytes()).as_bytes())
}

fn time(minute: u64) -> Timestamp {
    Timestamp::parse(&format!("2026-11-21T10:{minute:02}:00.000000Z")).unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::parse(name).unwrap()
}

fn participant(name: &str) -> ParticipantName {
    ParticipantName::parse(name).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

/// The directory on its way, and the vectors so far.
struct Story {
    directory: Directory,
    vectors: Vec<Json>,
}

impl Story {
    fn event(&self, by: &str, body: Body, others: &[&str]) -> DirectoryEvent {
        let seq = self.directory.seq();
        let after = Some((self.directory.network(), seq, self.directory.head()));
        let mut event = DirectoryEvent::sign(after, time(seq), &actor(by), body, &key(by)).unwrap();
        for name in others {
            event.add_signature(event.countersign(&key(name)).unwrap());
        }
        event
    }

    fn state(name: &str, event: &DirectoryEvent, directory: &Directory) -> Json {
        let participants = directory
            .participants()
            .iter()
            .map(|(name, found)| (name.clone(), json!({"status": found.status.as_str(), "voting": found.voting})));
        let nodes = directory.nodes().iter().map(|(name, found)| (name.clone(), Json::from(found.status())));
        json!({
            "name": name, "envelope": event.envelope.to_json(), "taken": true, "head": directory.head().to_string(),
            "participants": Json::Object(participants.collect()), "nodes": Json::Object(nodes.collect())
        })
    }

    fn take(&mut self, name: &str, event: &DirectoryEvent) {
        self.directory.apply(event).unwrap();
        self.vectors.push(Story::state(name, event, &self.directory));
    }

    fn refuse(&mut self, name: &str, event: &DirectoryEvent) {
        assert!(self.directory.clone().apply(event).is_err(), "{name}");
        self.vectors.push(json!({"name": name, "envelope": event.envelope.to_json(), "taken": false}));
    }

    fn join(&self, who: &str, observer: bool) -> Join {
        let secret = *Digest::of(format!("secret for {who}").as_bytes()).as_bytes();
        let terms = Terms {
            network: self.directory.network(),
            participant: participant(who),
            observer,
            secret: Digest::of(&secret),
            expires: time(30),
            by: actor("admin@acme"),
        };
        let admin = format!("admin@{who}");
        let addresses = vec![Address::parse(&format!("{who}.example:7400")).unwrap()];
        Join {
            invitation: Invitation::sign(terms, &key("admin@acme")).unwrap(),
            secret,
            participant: participant(who),
            admin: (actor(&admin), key(&admin).public_key()),
            node: NewNode { name: node(who), key: key(who).public_key(), addresses },
        }
    }

    fn tell() -> Story {
        let founder = Founder {
            participant: participant("acme"),
            admin: (actor("admin@acme"), key("admin@acme").public_key()),
            node: (node("acme"), key("acme").public_key()),
        };
        let body = Body::Genesis { title: "sales".to_owned(), random: Digest::of(b"random"), founders: vec![founder] };
        let genesis = DirectoryEvent::sign(None, time(0), &actor("admin@acme"), body, &key("admin@acme")).unwrap();
        let directory = Directory::found(&genesis).unwrap();
        let first = Story::state("a network is founded", &genesis, &directory);
        let mut story = Story { directory, vectors: vec![first] };
        story.joins();
        story.votes();
        story
    }

    fn joins(&mut self) {
        let bolt = self.join("bolt", false);
        let joins = |join: Join| Body::ParticipantJoin(Box::new(join));
        let wrong = self.event("admin@bolt", joins(Join { secret: [0; 32], ..bolt.clone() }), &["acme"]);
        self.refuse("the secret is not the invitation's", &wrong);
        let alone = self.event("admin@bolt", joins(bolt.clone()), &[]);
        self.refuse("nobody with a vote signed", &alone);
        let event = self.event("admin@bolt", joins(bolt.clone()), &["acme"]);
        self.take("the only participant with a vote invited it: it takes part at once", &event);
        let again = self.event("admin@bolt", joins(bolt), &["acme"]);
        self.refuse("the invitation was used", &again);
        let bank = self.join("bank", true);
        let event = self.event("admin@bank", joins(bank), &["acme", "bolt"]);
        self.take("an observer is proposed; one of two approved it by inviting it", &event);
        let early = self.event("admin@bank", add("ann@bank"), &["acme", "bolt"]);
        self.refuse("who is proposed proposes nothing", &early);
        let approve = || Body::ParticipantApprove { participant: participant("bank") };
        let twice = self.event("admin@acme", approve(), &["bolt"]);
        self.refuse("who invited has approved already", &twice);
        let event = self.event("admin@bolt", approve(), &["acme"]);
        self.take("both approved it: it takes part, without vote", &event);
    }

    fn votes(&mut self) {
        let event = self.event("admin@acme", add("ann@acme"), &["bolt"]);
        self.take("an event countersigned by the other participant's node", &event);
        for (name, others) in [
            ("a vote is missing: one of two", &[][..]),
            ("one participant signed twice", &["acme"]),
            ("an observer has no vote", &["bank", "bolt"]),
            ("a signature that is not needed", &["bolt", "admin@bolt"]),
            ("a signature that is nobody's", &["bolt", "eve"]),
        ] {
            let event = self.event("admin@acme", add("bea@acme"), others);
            self.refuse(name, &event);
        }
        let mut altered = self.event("admin@acme", add("bea@acme"), &["bolt"]);
        altered.envelope.signatures[1].sig[0] ^= 1;
        self.refuse("an altered countersignature", &altered);
        let two = NewNode { name: node("bolt-2"), key: key("bolt-2").public_key(), addresses: Vec::new() };
        let body = Body::NodeAdd { participant: participant("bolt"), node: Box::new(two) };
        let event = self.event("admin@bolt", body, &["acme"]);
        self.take("a second node", &event);
        let addresses = vec![Address::parse("[2001:db8::1]:7400").unwrap()];
        let body = Body::NodeAddresses { node: node("bolt-2"), addresses };
        let event = self.event("admin@bolt", body, &["acme"]);
        self.take("a node can be reached elsewhere", &event);
        let event = self.event("admin@bolt", Body::NodeRetire { node: node("bolt") }, &[]);
        self.take("a revocation has its admin's signature alone", &event);
        let event = self.event("admin@acme", add("bea@acme"), &["bolt"]);
        self.refuse("a retired node has no vote", &event);
        let leave = |who: &str| Body::ParticipantLeave { participant: participant(who) };
        let event = self.event("admin@bolt", leave("bolt"), &["acme"]);
        self.take("a participant leaves", &event);
        let event = self.event("admin@acme", leave("acme"), &[]);
        self.refuse("the last one with a vote leaves", &event);
    }
}

fn add(name: &str) -> Body {
    Body::ActorAdd { actor: actor(name), roles: ["seller".to_owned()].into(), key: key(name).public_key() }
}

#[test]
fn the_file_is_what_the_generator_makes() {
    let lines: Vec<String> = Story::tell().vectors.iter().map(Json::canonical).collect();
    let about = "Events of a directory in their order. Each is offered to the directory as those with `taken` true before it left it; \
                 `head`, `participants` and `nodes` are what it is after the event.";
    let expected = format!("{{\n\"about\":{},\n\"vectors\":[\n{}\n]\n}}\n", Json::from(about), lines.join(",\n"));
    if std::env::var("LOCKSTEP_VECTORS").is_ok_and(|wish| wish == "write") {
        std::fs::write(path(), &expected).unwrap();
    }
    let found = std::fs::read_to_string(path()).unwrap_or_default();
    let how = "LOCKSTEP_VECTORS=write cargo test -p lockstep-core --test vectors_directory writes it";
    assert!(found == expected, "directory.json differs; {how}");
}

#[test]
fn the_directory_takes_and_refuses_as_the_vectors_say() {
    let file = Json::parse(&std::fs::read(path()).unwrap(), &Limits::default()).unwrap();
    let (mut directory, mut refused) = (None::<Directory>, 0);
    for case in file.get("vectors").and_then(Json::as_array).unwrap() {
        let name = case.get("name").and_then(Json::as_str).unwrap();
        let event = DirectoryEvent::read(case.get("envelope").unwrap().canonical().as_bytes()).unwrap();
        let next = match &directory {
            None => Directory::found(&event),
            Some(known) => {
                let mut next = known.clone();
                next.apply(&event).map(|()| next)
            }
        };
        if case.get("taken").and_then(Json::as_bool) == Some(false) {
            assert!(next.is_err(), "{name}");
            refused += 1;
            continue;
        }
        let next = next.unwrap();
        assert_eq!(Story::state(name, &event, &next), *case);
        directory = Some(next);
    }
    assert_eq!((directory.unwrap().seq(), refused), (9, 13));
}
