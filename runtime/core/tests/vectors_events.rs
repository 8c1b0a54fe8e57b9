//! `conformance/vectors/{intents,events,receipts}.json`, which other languages read, too.
//!
//! One test makes the files again from a story with fixed keys, salts and times and compares them byte for byte
//! (`LOCKSTEP_VECTORS=write` writes them); the others read the files as anyone would and hold the code to what
//! they say. What is valid, and which code is the answer, is stated by hand, not computed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod vectors_story;

use std::path::PathBuf;

use data_encoding::BASE64;
use lockstep_core::crypto::{Context, Digest, Envelope, PublicKey, Salt, Signer, commit};
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::event::{EventOpenings, Header, seal_section};
use lockstep_core::intent::{Call, Door, INTENT_TYPE, Target, told, verify};
use lockstep_core::json;
use lockstep_core::json::{Json, Limits, Object};
use lockstep_core::log::{Checkpoint, leaf_hash, verify_inclusion};
use lockstep_core::names::{NodeName, RecordId};
use lockstep_core::outcome::{Outcome, directory_leaf};
use lockstep_core::received::{Place, Received};
use lockstep_core::sync::{Forward, Taken};
use lockstep_core::time::Timestamp;
use vectors_story::{NODE_KEY, Story, bytes, key, story_call, time};

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/vectors").join(file)
}

fn read(file: &str) -> Json {
    Json::parse(&std::fs::read(path(file)).unwrap(), &Limits::default()).unwrap()
}

/// Members first, then one vector a line, each in canonical form.
fn print(about: &str, members: &[(&str, Json)], vectors: &[Json]) -> String {
    let mut text = format!("{{\n\"about\":{},\n", Json::from(about));
    for (name, value) in members {
        text.push_str(&format!("\"{name}\":{},\n", value.canonical()));
    }
    let lines: Vec<String> = vectors.iter().map(Json::canonical).collect();
    format!("{text}\"vectors\":[\n{}\n]\n}}\n", lines.join(",\n"))
}

fn text<'a>(case: &'a Json, name: &str) -> &'a str {
    case.get(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {case}"))
}

fn set(json: &Json, path: &[&str], value: Json) -> Json {
    let Some((first, rest)) = path.split_first() else { return value };
    match json {
        Json::Array(items) => {
            let at: usize = first.parse().unwrap();
            items
                .iter()
                .enumerate()
                .map(|(index, item)| if index == at { set(item, rest, value.clone()) } else { item.clone() })
                .collect()
        }
        Json::Object(members) => {
            let mut members = members.clone();
            let inner = members.get(first).cloned().unwrap_or_default();
            members.insert(*first, set(&inner, rest, value));
            Json::Object(members)
        }
        _ => set(&Json::Object(Object::new()), path, value),
    }
}

fn parse(bytes: &[u8]) -> Json {
    Json::parse(bytes, &Limits::default()).unwrap()
}

// --- intents ---

fn offer(price: &str) -> Call {
    story_call("offer", json!({"price": price}))
}

/// The canonical payload of a submission, changed, and signed again by the key with this secret byte.
fn signed_again(submission: &Json, byte: u8, change: impl Fn(Json) -> String) -> Json {
    let payload = parse(&BASE64.decode(text(submission, "payload").as_bytes()).unwrap());
    let envelope = Envelope::sign(INTENT_TYPE, change(payload).into_bytes(), &key(byte)).unwrap();
    let mut json = envelope.to_json();
    if let Json::Object(object) = &mut json {
        object.insert("openings", submission.get("openings").unwrap().clone());
    }
    json
}

fn intents(story: &Story) -> String {
    let mut vectors = Vec::new();
    for one in &story.decided {
        vectors.push(json!({"name": one.name, "submission": one.submission.to_json(), "intent_id": one.outcome.intent.to_string()}));
    }
    let salt = |number: usize| Salt::from_bytes(bytes("refused salt", number).as_bytes()).unwrap();
    let sign = |number: usize, byte: u8, draft: lockstep_core::intent::Draft| {
        let mut next = number * 100;
        draft
            .sign(&key(byte), || {
                next += 1;
                salt(next)
            })
            .unwrap()
            .to_json()
    };
    let good = |number: usize| sign(number, 3, story.draft(100 + number, "bob@buyer", offer("340000.00"), None));
    let mut refuse = |name: &str, code: &str, submission: Json| {
        vectors.push(json!({"name": name, "submission": submission, "refused": code}))
    };
    let base = good(1);
    refuse("no openings", "malformed", {
        let mut one = base.as_object().unwrap().clone();
        one.remove("openings");
        Json::Object(one)
    });
    refuse("an unknown member beside the signature", "malformed", set(&base, &["extra"], json!(1)));
    refuse(
        "another payload type",
        "malformed",
        set(&base, &["payloadType"], json!("application/vnd.lockstep.directory.v1+json")),
    );
    refuse(
        "an unknown member in the payload",
        "malformed",
        signed_again(&base, 3, |payload| set(&payload, &["extra"], json!(1)).canonical()),
    );
    refuse(
        "a payload without expiry",
        "malformed",
        signed_again(&base, 3, |payload| {
            let mut one = payload.as_object().unwrap().clone();
            one.remove("expires");
            Json::Object(one).canonical()
        }),
    );
    refuse(
        "a time with three decimals",
        "malformed",
        signed_again(&base, 3, |payload| set(&payload, &["expires"], json!("2026-11-21T10:59:00.000Z")).canonical()),
    );
    refuse(
        "a payload with white space, signed as it is",
        "not_canonical",
        signed_again(&base, 3, |payload| payload.canonical().replacen(':', ": ", 1)),
    );
    refuse(
        "a format to come",
        "unknown_format",
        signed_again(&base, 3, |payload| set(&payload, &["format"], json!(2)).canonical()),
    );
    refuse(
        "other algorithms",
        "unknown_format",
        signed_again(&base, 3, |payload| set(&payload, &["algorithms"], json!("sha512+ed448")).canonical()),
    );
    refuse("an altered payload under the old signature", "bad_signature", {
        let altered = signed_again(&base, 3, |payload| {
            set(&payload, &["nonce"], json!(bytes("nonce", 999).to_string())).canonical()
        });
        set(&base, &["payload"], altered.get("payload").unwrap().clone())
    });
    refuse("another known actor's signature", "bad_signature", signed_again(&base, 2, |payload| payload.canonical()));
    refuse("the signature twice, under a second key id", "bad_signature", {
        let one = base.get("signatures").unwrap().as_array().unwrap()[0].clone();
        let other = set(&one, &["keyid"], json!(key(2).public_key().to_string()));
        set(&base, &["signatures"], Json::from(vec![one, other]))
    });
    refuse(
        "another price opened",
        "bad_opening",
        set(&base, &["openings", "call", "arguments", "price"], json!("1.00")),
    );
    refuse(
        "another record opened",
        "bad_opening",
        set(&base, &["openings", "records", "0", "record"], json!("acme:sale-2")),
    );
    refuse("another seq expected", "bad_opening", set(&base, &["openings", "records", "0", "expect"], json!(7)));
    refuse(
        "one record too few opened",
        "bad_opening",
        set(&base, &["openings", "records"], Json::from(Vec::<Json>::new())),
    );
    refuse("a salt of 31 bytes", "bad_salt", set(&base, &["openings", "call", "salt"], json!("00".repeat(31))));
    refuse("a salt of 33 bytes", "bad_salt", set(&base, &["openings", "records", "0", "salt"], json!("00".repeat(33))));
    let mut draft = story.draft(110, "bob@buyer", offer("1.00"), None);
    draft.network = bytes("another network", 0);
    refuse("for another network", "wrong_network", sign(10, 3, draft));
    let mut draft = story.draft(111, "bob@buyer", offer("1.00"), None);
    draft.sequencer = NodeName::parse("buyer").unwrap();
    refuse("for another sequencer", "wrong_sequencer", sign(11, 3, draft));
    let mut draft = story.draft(112, "bob@buyer", offer("1.00"), None);
    draft.targets = vec![Target { record: RecordId::parse("buyer:sale-1").unwrap(), expect: None }];
    refuse("a record of another node", "wrong_sequencer", sign(12, 3, draft));
    refuse(
        "an actor whom nobody knows",
        "unknown_actor",
        sign(13, 3, story.draft(113, "mallory@buyer", offer("1.00"), None)),
    );
    refuse(
        "an actor whose key was revoked",
        "revoked_actor",
        sign(14, 4, story.draft(114, "dave@acme", offer("1.00"), None)),
    );
    let mut draft = story.draft(115, "bob@buyer", offer("1.00"), None);
    draft.expires = time("30:00");
    refuse("expired at this very moment", "expired", sign(15, 3, draft));
    let mut draft = story.draft(116, "bob@buyer", offer("1.00"), None);
    draft.expires = time("30:00").plus_micros(24 * 3_600_000_000 + 1);
    refuse("expires a microsecond too far ahead", "expiry_too_far", sign(16, 3, draft));
    let mut draft = story.draft(117, "bob@buyer", offer("1.00"), None);
    draft.targets = Vec::new();
    refuse("no record", "malformed", sign(17, 3, draft));
    let mut draft = story.draft(118, "bob@buyer", offer("1.00"), None);
    draft.targets = (0..17)
        .map(|number| Target { record: RecordId::parse(&format!("acme:sale-{number}")).unwrap(), expect: None })
        .collect();
    refuse("seventeen records", "malformed", sign(18, 3, draft));
    let mut draft = story.draft(119, "bob@buyer", offer("1.00"), None);
    draft.targets.push(draft.targets[0].clone());
    refuse("a record named twice", "malformed", sign(19, 3, draft));
    let spelled = base.canonical();
    for (name, code, spelling) in [
        ("a key twice", "duplicate_key", spelled.replacen("\"price\":", "\"price\":\"1.00\",\"price\":", 1)),
        (
            "a number that a double does not keep",
            "number_loses_digits",
            spelled.replacen("\"340000.00\"", "9007199254740993", 1),
        ),
        (
            "nested too deeply",
            "too_deep",
            spelled.replacen("\"340000.00\"", &format!("{}{}", "[".repeat(64), "]".repeat(64)), 1),
        ),
        ("cut off", "malformed", spelled[..spelled.len() - 1].to_owned()),
        ("a lone surrogate", "malformed", spelled.replacen("340000.00", "\\ud800", 1)),
        ("a NUL", "malformed", spelled.replacen("340000.00", "\\u0000", 1)),
    ] {
        vectors.push(json!({"name": name, "text": spelling, "refused": code}));
    }
    let directory: Vec<Json> = story.agreed.iter().map(|event| event.envelope.to_json()).collect();
    let members = [
        ("node", json!("acme")),
        ("now", json!(time("30:00").to_string())),
        ("longest_expiry_s", json!(86400)),
        ("directory", Json::from(directory)),
        ("forwards", forwards(story)),
    ];
    print(
        "Submissions at the door of `node` at `now`, under `directory`: those let in with the intent's id, the others with the \
         code of the refusal. `submission` is the JSON that is sent; where its spelling matters, `text` is. \
         `forwards`: the wrapper that a node signs when it hands an intent over, and what the sequencer may answer. Secret keys are one byte 32 times: 1 admin@acme, 2 alice@acme, 3 bob@buyer, 4 dave@acme, 10 node acme, 11 node buyer.",
        &members,
        &vectors,
    )
}

/// What node buyer signs when it hands the story's second intent over, and what node acme answers; docs/spec/envelopes.md.
fn forwards(story: &Story) -> Json {
    let intent = &story.decided[1];
    let told = told(intent.submission.to_json().canonical().as_bytes(), &Limits::default()).unwrap();
    let buyer = NodeName::parse("buyer").unwrap();
    let forward = Forward::of(&buyer, told.id, &told.payload, &[1], time("21:00"));
    let network = story.directory.network();
    let head = Checkpoint { origin: format!("lockstep/{network}/acme/1"), size: 7, root: Digest::of(b"a root") };
    let taken = |refused: Option<(String, String)>| {
        let (node, forward, time) = (NodeName::parse("acme").unwrap(), forward.digest(), time("21:01"));
        let checkpoint = head.sign(&key(10)).unwrap();
        parse(&Taken { network, node, forward, time, checkpoint, refused }.sign(&key(10)).unwrap())
    };
    let expired = Some(("expired".to_owned(), "it expired at 2026-11-21T10:20:00.000000Z".to_owned()));
    let one = |name: &str, envelope: Json, signer: u8| json!({"name": name, "envelope": envelope, "key": key(signer).public_key().to_string()});
    Json::from(vec![
        one("an offer, handed over", parse(&forward.sign(&key(11)).unwrap()), 11),
        one("the acknowledgement", taken(None), 10),
        one("a no", taken(expired), 10),
    ])
}

// --- events ---

fn events(story: &Story) -> String {
    let mut vectors = Vec::new();
    let all: Vec<_> =
        story.decided.iter().flat_map(|one| one.events.iter().map(move |event| (one.name, event))).collect();
    for (name, event) in &all {
        let contents: Object =
            event.contents.iter().map(|(section, content)| (section.clone(), parse(content.as_bytes()))).collect();
        let before = event.before.as_ref().map(|state| json!({"seq": state.seq, "head": state.head.to_string()}));
        vectors.push(json!({
            "name": *name, "before": before.unwrap_or_default(), "header": parse(&event.header_stored), "openings": parse(&event.openings_stored),
            "contents": contents, "event_id": event.id.to_string(), "valid": true
        }));
    }
    let base = vectors[1].clone();
    let mut spoil = |name: &str, path: &[&str], value: Json| {
        let spoiled = set(&set(&set(&base, path, value), &["name"], json!(name)), &["valid"], json!(false));
        vectors.push(spoiled);
    };
    let hash = |word: &str| json!(bytes(word, 0).to_string());
    spoil("another time in the header", &["header", "time"], json!("2026-11-21T10:21:02.000000Z"));
    spoil("another event id", &["event_id"], hash("id"));
    spoil("another predecessor", &["before", "head"], hash("head"));
    spoil("a gap in the chain", &["before", "seq"], json!(2));
    spoil("a format to come", &["header", "format"], json!(2));
    spoil("rules to come", &["header", "rules"], json!(2));
    spoil("an unknown member in the header", &["header", "extra"], json!(1));
    spoil("another content", &["contents", "negotiation", "offers", "0", "price"], json!("140000.00"));
    spoil(
        "another change",
        &["openings", "sections", "negotiation", "changes", "content", "0", "value", "price"],
        json!("140000.00"),
    );
    spoil(
        "another notification",
        &["openings", "sections", "negotiation", "notifications", "content", "0", "data", "price"],
        json!("140000.00"),
    );
    spoil(
        "another place among the notifications",
        &["openings", "sections", "negotiation", "notifications", "content", "0", "index"],
        json!(1),
    );
    spoil(
        "something read that was not",
        &["openings", "reads", "content"],
        Json::from(vec![json!({"record": "acme:sale-9", "seq": 0, "head": Json::Null})]),
    );
    spoil("another salt of the content", &["openings", "sections", "negotiation", "content", "salt"], hash("salt"));
    spoil("a salt of 31 bytes", &["openings", "sections", "negotiation", "changes", "salt"], json!("00".repeat(31)));
    spoil(
        "a section opened that was not written",
        &["openings", "sections", "listing"],
        base.get("openings").unwrap().get("sections").unwrap().get("negotiation").unwrap().clone(),
    );
    let mut spelled = base.as_object().unwrap().clone();
    let header = base.get("header").unwrap().canonical();
    spelled.remove("header");
    spelled.insert("header_text", header.replacen(':', ": ", 1));
    spelled.insert("name", "white space in the header");
    spelled.insert("event_id", Digest::of(header.replacen(':', ": ", 1).as_bytes()).to_string());
    spelled.insert("valid", false);
    vectors.push(Json::Object(spelled));
    print(
        "Events with their openings, the contents of the sections written, and the record's seq and head before (null for a new record). \
         Valid: the header is of a known format and in canonical form, its SHA-256 is the event id, it continues the record, and every \
         commitment is that of what is opened. `header_text` stands where the spelling matters.",
        &[("network", json!(story.directory.network().to_string()))],
        &vectors,
    )
}

fn event_is_valid(case: &Json) -> Result<(), String> {
    let spelled = case
        .get("header_text")
        .and_then(Json::as_str)
        .map_or_else(|| case.get("header").unwrap().canonical(), str::to_owned);
    let header = Header::read(spelled.as_bytes())?;
    let id = Digest::of(spelled.as_bytes());
    if id.to_string() != text(case, "event_id") || id != header.id() {
        return Err("another id".to_owned());
    }
    let before = case.get("before").unwrap();
    let (seq, head) = match before.is_null() {
        true => (0, None),
        false => (before.get("seq").and_then(Json::as_u64).unwrap(), Some(text(before, "head").to_owned())),
    };
    if header.seq != seq + 1 || header.prev.map(|prev| prev.to_string()) != head {
        return Err("it does not continue the record".to_owned());
    }
    let openings = EventOpenings::read(case.get("openings").unwrap().canonical().as_bytes())?;
    openings.check(&header)?;
    for (name, body) in &openings.sections {
        let content = case.get("contents").unwrap().get(name).ok_or("a content is missing")?.canonical();
        let sealed = seal_section(&header.network, &header.record, name, header.seq, content.as_bytes(), body);
        if header.sections.get(name) != Some(&sealed) {
            return Err(format!("section {name} is not the one that was sealed"));
        }
    }
    Ok(())
}

// --- receipts ---

fn receipts(story: &Story) -> String {
    let note = story.note_by(&key(NODE_KEY));
    let mut vectors: Vec<Json> = story.decided.iter().map(|one| {
        let stored = parse(&one.outcome.stored());
        let path: Json = story.path(one.index).iter().map(|hash| Json::from(hash.to_string())).collect();
        let leaf = String::from_utf8(one.outcome.leaf()).unwrap();
        json!({
            "name": one.name, "receipt": {"log": "acme/1", "index": one.index, "leaf": leaf, "path": path, "checkpoint": note.as_str()},
            "openings": stored.get("openings").unwrap().clone(), "status": one.outcome.ending.as_str(), "valid": true
        })
    }).collect();
    let base = vectors[2].clone();
    let mut spoil = |name: &str, path: &[&str], value: Json| {
        vectors.push(set(&set(&set(&base, path, value), &["name"], json!(name)), &["valid"], json!(false)))
    };
    let receipt = base.get("receipt").unwrap();
    let (leaf, path) = (text(receipt, "leaf"), receipt.get("path").unwrap().as_array().unwrap());
    spoil("a rejection shown as applied", &["receipt", "leaf"], json!(leaf.replace("rejected", "applied")));
    spoil("as its neighbour", &["receipt", "index"], json!(9));
    spoil("beyond the end", &["receipt", "index"], json!(13));
    spoil("a hash too few", &["receipt", "path"], Json::from(path[1..].to_vec()));
    spoil("a hash too many", &["receipt", "path"], Json::from([path, &path[..1]].concat()));
    spoil("a bent hash", &["receipt", "path", "0"], json!(bytes("hash", 0).to_string()));
    spoil("a checkpoint that another key signed", &["receipt", "checkpoint"], json!(story.note_by(&key(11))));
    spoil(
        "a checkpoint of another size under the old signature",
        &["receipt", "checkpoint"],
        json!(note.replacen("\n13\n", "\n14\n", 1)),
    );
    spoil("a checkpoint without its last line feed", &["receipt", "checkpoint"], json!(note.trim_end()));
    spoil("the checkpoint of another log", &["receipt", "checkpoint"], {
        let other = Checkpoint {
            origin: story.origin().replace("acme/1", "acme/2"),
            size: story.log.size(),
            root: story.log.root(),
        };
        json!(other.sign(&key(NODE_KEY)).unwrap())
    });
    spoil("another message opened", &["openings", "message", "content"], json!("no"));
    spoil("another code opened", &["openings", "code", "content"], json!("entitlement"));
    spoil(
        "another package opened",
        &["openings", "judged", "content", "package"],
        json!(bytes("package", 0).to_string()),
    );
    let network = story.directory.network();
    let directory = directory_leaf(&network, story.directory.seq(), &story.directory.head());
    let (decided, head) = (&story.decided[0], story.note_by(&key(NODE_KEY)));
    let place = Place {
        log: "acme/1".to_owned(),
        position: decided.index,
        path: story.path(decided.index),
        note: head,
        size: story.log.size(),
        root: story.log.root(),
    };
    let openings = decided.submission.openings.canonical().into_bytes();
    let received = Received::of(&decided.outcome, &openings, &decided.events, &place).stored();
    let leaf = |name: &str, bytes: &[u8]| json!({"name": name, "leaf": String::from_utf8(bytes.to_vec()).unwrap(), "hash": leaf_hash(bytes).to_string()});
    let members = [
        ("origin", json!(story.origin())),
        ("key", json!(key(NODE_KEY).public_key().to_string())),
        (
            "leaves",
            Json::from(vec![
                leaf("a new head of the directory", &directory),
                leaf("an outcome received from another node, with all its openings", &received),
            ]),
        ),
    ];
    print(
        "Receipts with the openings of their leaves. Valid: the checkpoint is of `origin` and signed by `key`, the path leads from the leaf at \
         `index` to its root, and the openings are what the leaf's commitments stand for. `leaves`: the other kinds of leaf, with their hashes.",
        &members,
        &vectors,
    )
}

fn receipt_is_valid(case: &Json, origin: &str, key: &PublicKey) -> Result<(), String> {
    let receipt = case.get("receipt").unwrap();
    let checkpoint = Checkpoint::verify(text(receipt, "checkpoint"), origin, key).map_err(|error| error.to_string())?;
    let leaf = text(receipt, "leaf");
    let path: Vec<Digest> = receipt
        .get("path")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| Digest::parse(hash.as_str().unwrap()).unwrap())
        .collect();
    let index = receipt.get("index").and_then(Json::as_u64).unwrap();
    if !verify_inclusion(&leaf_hash(leaf.as_bytes()), index, checkpoint.size, &path, &checkpoint.root) {
        return Err("the path does not lead to the root".to_owned());
    }
    let stored = json!({"leaf": parse(leaf.as_bytes()), "openings": case.get("openings").unwrap().clone()});
    let outcome = Outcome::read(stored.canonical().as_bytes())?;
    if outcome.ending.as_str() != text(case, "status") { Err("another status".to_owned()) } else { Ok(()) }
}

// --- the tests ---

#[test]
fn the_files_are_what_the_generator_makes() {
    let story = Story::tell();
    for (file, expected) in
        [("intents.json", intents(&story)), ("events.json", events(&story)), ("receipts.json", receipts(&story))]
    {
        if std::env::var("LOCKSTEP_VECTORS").is_ok_and(|wish| wish == "write") {
            std::fs::write(path(file), &expected).unwrap();
        }
        let found = std::fs::read_to_string(path(file)).unwrap_or_default();
        assert!(
            found == expected,
            "{file} differs; LOCKSTEP_VECTORS=write cargo test -p lockstep-core --test vectors_events writes it"
        );
    }
}

#[test]
fn the_door_answers_as_the_vectors_say() {
    let file = read("intents.json");
    let mut envelopes = file.get("directory").unwrap().as_array().unwrap().iter();
    let stored = |envelope: &Json| DirectoryEvent::read(envelope.canonical().as_bytes()).unwrap();
    let mut directory = Directory::found(&stored(envelopes.next().unwrap())).unwrap();
    for envelope in envelopes {
        directory.apply(&stored(envelope)).unwrap();
    }
    let node = NodeName::parse(text(&file, "node")).unwrap();
    let longest_expiry = std::time::Duration::from_secs(file.get("longest_expiry_s").and_then(Json::as_u64).unwrap());
    let door = Door {
        directory: &directory,
        node: &node,
        now: Timestamp::parse(text(&file, "now")).unwrap(),
        longest_expiry,
        limits: Limits::default(),
    };
    for case in file.get("vectors").unwrap().as_array().unwrap() {
        let sent = case
            .get("text")
            .and_then(Json::as_str)
            .map_or_else(|| case.get("submission").unwrap().canonical(), str::to_owned);
        let answer = match verify(sent.as_bytes(), &door) {
            Ok(intent) => ("intent_id", intent.id().to_string()),
            Err(refusal) => ("refused", refusal.code.to_string()),
        };
        assert_eq!(
            case.get(answer.0).and_then(Json::as_str),
            Some(answer.1.as_str()),
            "{}: {answer:?}",
            text(case, "name")
        );
    }
    let forwards = file.get("forwards").unwrap().as_array().unwrap();
    let signed = |at: usize| {
        let key = PublicKey::parse(text(&forwards[at], "key")).unwrap();
        (forwards[at].get("envelope").unwrap().canonical().into_bytes(), key)
    };
    let (wrapper, node) = signed(0);
    let forward = Forward::verify(&wrapper, &node).unwrap();
    for (at, refused) in [(1, None), (2, Some("expired"))] {
        let (answer, sequencer) = signed(at);
        let taken = Taken::verify(&answer, &sequencer, &forward).unwrap();
        assert_eq!(taken.refused.as_ref().map(|(code, _)| code.as_str()), refused);
    }
}

#[test]
fn events_are_valid_where_the_vectors_say_so() {
    for case in read("events.json").get("vectors").unwrap().as_array().unwrap() {
        let found = event_is_valid(case);
        assert_eq!(case.get("valid").and_then(Json::as_bool), Some(found.is_ok()), "{}: {found:?}", text(case, "name"));
    }
}

#[test]
fn receipts_are_valid_where_the_vectors_say_so() {
    let file = read("receipts.json");
    let key = PublicKey::parse(text(&file, "key")).unwrap();
    for case in file.get("vectors").unwrap().as_array().unwrap() {
        let found = receipt_is_valid(case, text(&file, "origin"), &key);
        assert_eq!(case.get("valid").and_then(Json::as_bool), Some(found.is_ok()), "{}: {found:?}", text(case, "name"));
    }
    for leaf in file.get("leaves").unwrap().as_array().unwrap() {
        assert_eq!(leaf_hash(text(leaf, "leaf").as_bytes()).to_string(), text(leaf, "hash"));
        assert_eq!(parse(text(leaf, "leaf").as_bytes()).canonical(), text(leaf, "leaf"));
    }
    let received = text(&file.get("leaves").unwrap().as_array().unwrap()[1], "leaf");
    assert_eq!(Received::read(received.as_bytes()).unwrap().stored(), received.as_bytes());
}

#[test]
fn a_call_is_committed_to_as_the_documents_say() {
    let file = read("intents.json");
    let submission = file.get("vectors").unwrap().as_array().unwrap()[1].get("submission").unwrap().clone();
    let payload = parse(&BASE64.decode(text(&submission, "payload").as_bytes()).unwrap());
    let mut call = submission.get("openings").unwrap().get("call").unwrap().as_object().unwrap().clone();
    let salt = Salt::parse(call.remove("salt").unwrap().as_str().unwrap()).unwrap();
    let network = Digest::parse(text(&payload, "network")).unwrap();
    let context =
        Context { domain: "lockstep.call.v1", network: Some(&network), record: None, section: None, seq: None };
    assert_eq!(commit(&salt, &context, &Json::Object(call)).to_string(), text(&payload, "call"));
}
