//! Every field of every message altered in turn: nothing of it is applied as anything else than was sent.

use std::collections::BTreeMap;

use lockstep_core::crypto::Digest;
use lockstep_core::json::{Json, Limits, Object};
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Comparison, Feed, Growth, Hello, Message, Share, Wanted, objected};

use crate::objections::forked;
use crate::receiver::Receiver;
use crate::replicas::make;
use crate::sequencer::Sequencer;
use crate::world::{notify, op, record, set};

/// A message of each type with every optional part there; a new type fails to compile here.
fn next(message: Option<&Message>, sequencer: &Sequencer, shares: &[Share]) -> Option<Message> {
    let event = || sequencer.world.events[1].0.stored();
    let refused = || Some(("malformed".to_owned(), "it is not acceptable".to_owned()));
    let next = match message {
        None => Message::Hello(Hello {
            network: sequencer.world.directory.network(),
            node: NodeName::parse("acme").unwrap(),
            directory: 7,
            wants: BTreeMap::from([("bolt/1".to_owned(), Wanted { next: 3, size: 5 })]),
        }),
        Some(Message::Hello(_)) => Message::Invited { invitation: event(), secret: Digest::of(b"secret") },
        Some(Message::Invited { .. }) => {
            Message::Directory { events: vec![event()], packages: vec![b"package".to_vec()] }
        }
        Some(Message::Directory { .. }) => Message::WantDirectory { after: 7 },
        Some(Message::WantDirectory { .. }) => {
            Message::Feed(Feed { log: "acme/1".to_owned(), next: 9, more: false, shares: shares.to_vec() })
        }
        Some(Message::Feed(_)) => Message::Ack { log: "acme/1".to_owned(), next: 9 },
        Some(Message::Ack { .. }) => Message::Heads { envelope: event() },
        Some(Message::Heads { .. }) => {
            let (_, signed, evidence) = forked("bolt");
            Message::Objection { envelope: signed.stored(), evidence: Some(evidence.stored()) }
        }
        Some(Message::Objection { .. }) => Message::Fetch { record: record("one"), from: 1, to: 2 },
        Some(Message::Fetch { .. }) => Message::Fetched { record: record("one"), shares: shares.to_vec() },
        Some(Message::Fetched { .. }) => Message::Forward { number: 1, submission: event(), wrapper: event() },
        Some(Message::Forward { .. }) => Message::Forwarded { number: 1, refused: refused(), taken: Some(event()) },
        Some(Message::Forwarded { .. }) => Message::Ended { intent: Digest::of(b"intent"), end: event() },
        Some(Message::Ended { .. }) => {
            Message::Propose { number: 1, event: event(), package: Some(b"package".to_vec()) }
        }
        Some(Message::Propose { .. }) => Message::Proposed { number: 1, refused: refused() },
        Some(Message::Proposed { .. }) => Message::Vote { event: event() },
        Some(Message::Vote { .. }) => Message::Voted { event: Some(event()), head: Digest::of(b"head") },
        Some(Message::Voted { .. }) => Message::Bye { code: "bye".to_owned(), message: "enough".to_owned() },
        Some(Message::Bye { .. }) => return None,
    };
    Some(next)
}

fn all(sequencer: &Sequencer, shares: &[Share]) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    while let Some(message) = next(all.last(), sequencer, shares) {
        all.push(message);
    }
    all
}

/// Every place in a document, the document itself left out.
fn places(json: &Json, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if !at.is_empty() {
        found.push(at.clone());
    }
    let inner: Vec<(String, &Json)> = match json {
        Json::Object(object) => object.iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        Json::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        at.push(name);
        places(value, at, found);
        at.pop();
    }
}

/// The document with what stands at a place replaced, or removed.
fn edited(json: &Json, place: &[String], value: Option<&Json>) -> Json {
    let Some((first, rest)) = place.split_first() else { return value.cloned().unwrap_or(Json::Null) };
    let gone = rest.is_empty() && value.is_none();
    match json {
        Json::Object(object) => {
            let kept = object.iter().filter(|(name, _)| !(gone && name == first));
            let kept = kept.map(|(name, held)| {
                (name.to_owned(), if name == first { edited(held, rest, value) } else { held.clone() })
            });
            Json::Object(kept.collect::<Object>())
        }
        Json::Array(list) => {
            let kept = list.iter().enumerate().filter(|(index, _)| !(gone && index.to_string() == *first));
            kept.map(|(index, held)| if index.to_string() == *first { edited(held, rest, value) } else { held.clone() })
                .collect()
        }
        other => other.clone(),
    }
}

fn at<'a>(json: &'a Json, place: &[String]) -> &'a Json {
    place.iter().fold(json, |json, name| match json {
        Json::Array(list) => &list[name.parse::<usize>().unwrap()],
        other => other.get(name).unwrap(),
    })
}

/// The ways in which one value is altered; `None` removes it.
fn alterations(value: &Json) -> Vec<Option<Json>> {
    let mut all = vec![None, Some(Json::Null), Some(Json::from("")), Some(Json::from(7)), Some(Json::from(true))];
    match value {
        Json::String(text) => {
            let middle = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            let flipped: String = text
                .char_indices()
                .map(|(at, one)| if at == middle { if one == '1' { '2' } else { '1' } } else { one })
                .collect();
            all.extend([Some(Json::from(flipped)), Some(Json::from(format!("{text} ")))]);
        }
        Json::Number(_) => all.push(Some(Json::from(value.as_u64().unwrap_or_default() + 1))),
        Json::Bool(truth) => all.push(Some(Json::from(!truth))),
        Json::Object(object) => {
            let mut longer = object.clone();
            longer.insert("extra", 1);
            all.extend([Some(Json::Object(longer)), Some(Json::Object(Object::default()))]);
        }
        Json::Array(list) => {
            let twice: Json = list.iter().chain(list.last()).cloned().collect();
            let reversed: Json = list.iter().rev().cloned().collect();
            all.extend([Some(twice), Some(reversed), Some(Json::Array(Vec::new()))]);
        }
        Json::Null => {}
    }
    all.retain(|altered| altered.as_ref() != Some(value));
    all
}

/// What a receiver applies of shares, in their order; as far as it does.
fn applied(receiver: &Receiver, sequencer: &Sequencer, shares: &[Share]) -> Vec<String> {
    let one = |share: &Share| match receiver.compare(&sequencer.world, share) {
        Comparison::Apply(arrived) => Some(format!(
            "{:?} {:?} {:?} {:?}",
            arrived.outcome,
            arrived.intent,
            arrived.place.position,
            arrived.events.iter().map(|event| (&event.header, &event.openings, &event.after)).collect::<Vec<_>>()
        )),
        Comparison::Object(objection) => {
            assert!(!objection.complaint.proven(), "a relay makes its sequencer look guilty: {objection:?}");
            None
        }
        Comparison::Wait(_) | Comparison::Refuse(_) => None,
    };
    shares.iter().filter_map(one).collect()
}

#[test]
fn every_field_of_every_message_altered_changes_nothing_that_is_applied() {
    let mut sequencer = Sequencer::new();
    let wish = make(&mut sequencer, "one");
    sequencer.apply(&wish);
    let mut receiver = Receiver::new(&sequencer.world, "crane").without_database();
    receiver.follow(&sequencer);
    let told = vec![op("listing", "add", "/title", "better"), notify("listing", "deal.told")];
    let wish = sequencer.world.call("ann@acme", "edit", "one", told);
    let told = sequencer.apply(&wish);
    let wish = sequencer.world.call("ivy@crane", "inspect", "one", vec![set("report", Json::Array(vec![]))]);
    sequencer.run(&wish);
    let growth = Some(Growth { from: 1, path: vec![Digest::of(b"path")] });
    let shares = vec![Share { growth, ..sequencer.share(told, &receiver.viewer).unwrap() }];
    let whole = applied(&receiver, &sequencer, &shares);
    assert_eq!(whole.len(), 1);
    let (proven, _, _) = forked("bolt");
    let (mut messages, mut fields, mut altered, mut decoded, mut void) = (0, 0, 0, 0, 0);
    for message in all(&sequencer, &shares) {
        messages += 1;
        let json = Json::parse(&message.encode(), &Limits { depth: 100, ..Limits::default() }).unwrap();
        let mut found = Vec::new();
        places(&json, &mut Vec::new(), &mut found);
        fields += found.len();
        for place in found {
            for value in alterations(at(&json, &place)) {
                altered += 1;
                let bytes = edited(&json, &place, value.as_ref()).canonical().into_bytes();
                let Ok(other) = Message::decode(&bytes) else { continue };
                decoded += 1;
                assert!(
                    other != message || place.iter().any(|name| name == "notes"),
                    "{place:?} is not read: {value:?}"
                );
                if let Message::Objection { envelope, evidence } = &other {
                    let taken = objected(envelope, evidence.as_deref(), &proven.world.directory, proven.world.time);
                    assert!(taken.is_err(), "{place:?} altered to {value:?} is taken: {taken:?}");
                }
                let (Message::Feed(Feed { shares, .. }) | Message::Fetched { shares, .. }) = other else { continue };
                for result in applied(&receiver, &sequencer, &shares) {
                    void += 1;
                    assert_eq!(result, whole[0], "{place:?} altered to {value:?} is applied");
                }
            }
        }
    }
    println!(
        "{messages} messages × their fields = {fields} fields, altered in {altered} ways: {decoded} can still be read, \
         {void} shares in them are applied, all as they were sent"
    );
    assert!(messages == 18 && fields > 300, "{messages} messages, {fields} fields");
}

#[test]
fn every_message_is_read_as_it_was_written() {
    let (sequencer, receivers) = crate::replicas::grown();
    for receiver in receivers {
        let shares = sequencer.shares(&receiver.viewer);
        for message in all(&sequencer, &shares) {
            assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        }
    }
}
