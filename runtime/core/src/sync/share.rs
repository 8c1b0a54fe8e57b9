//! What of an outcome leaves a node: the pieces that the receiver is entitled to, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::Digest;
use crate::directory::Directory;
use crate::event::{EventOpenings, Given, Header};
use crate::intent::{Call, StoredIntent};
use crate::json::{Json, Limits};
use crate::log::{Checkpoint, leaf_hash};
use crate::names::MethodName;
use crate::outcome::Outcome;
use crate::package::{Manifest, RecordUse};
use crate::project::origin;
use crate::received::Place;

use super::growth::Growth;
use super::viewer::{Rights, Seen, Viewer};

/// An event as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedEvent {
    /// The header, in canonical form.
    pub header: Vec<u8>,
    /// The openings that the receiver is entitled to, in canonical form.
    pub openings: Vec<u8>,
}

/// An outcome as it travels: self-contained evidence, whoever delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where its leaf stands in the log of the node that sequenced it.
    pub place: Place,
    /// The intent's envelope, with the actor's signature.
    pub envelope: Vec<u8>,
    /// The intent's openings that the receiver is entitled to.
    pub openings: Vec<u8>,
    /// The outcome's leaf, with its openings where the receiver is entitled to them.
    pub outcome: Vec<u8>,
    /// The events of the records that the receiver may follow.
    pub events: Vec<SharedEvent>,
    /// The proof that the log of its place has only grown since the receiver last heard of it, where it has grown.
    pub growth: Option<Growth>,
}

/// An event as a node holds it, before it is cut down to a receiver's part.
#[derive(Clone, Debug)]
pub struct SourceEvent<'a> {
    /// The header.
    pub header: &'a Header,
    /// The header of the record's event before.
    pub before: Option<&'a Header>,
    /// The openings that the node holds.
    pub openings: &'a EventOpenings,
    /// The record, with the parties as they are now.
    pub record: Seen<'a>,
    /// Contents after this event, with the salts of their commitments, of the sections of [`needed_contents`].
    pub contents: BTreeMap<String, Given>,
}

/// An outcome as a node holds it.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The intent.
    pub intent: &'a StoredIntent,
    /// Its outcome.
    pub outcome: &'a Outcome,
    /// Where its leaf stands.
    pub place: &'a Place,
    /// The manifest of the package that judged it, where one did.
    pub manifest: Option<&'a Manifest>,
    /// Its events, in the order of its records; none where it was not applied.
    pub events: Vec<SourceEvent<'a>>,
    /// Its records in the order of its payload, with the seq that it was judged for; `None` for one that does not exist,
    /// or that is not opened here.
    pub records: Vec<Option<(Seen<'a>, u64)>>,
}

/// The sections whose content after the event the viewer must be given.
#[must_use]
pub fn needed_contents(
    viewer: &Viewer,
    record: Seen<'_>,
    header: &Header,
    before: Option<&Header>,
) -> BTreeSet<String> {
    if viewer.follows(record, header.seq) { viewer.part(record, header, before).given } else { BTreeSet::new() }
}

/// Cuts an outcome down to what the viewer may have; `None` where that is nothing.
#[must_use]
pub fn share(source: &Source<'_>, viewer: &Viewer) -> Option<Share> {
    let own = viewer.participants.contains(source.intent.actor.participant().as_str());
    let follows: Vec<bool> =
        source.records.iter().map(|record| record.is_some_and(|(record, seq)| viewer.follows(record, seq))).collect();
    if !own && !follows.contains(&true) {
        return None;
    }
    let all = own || reads_all(source, viewer);
    let opened: Vec<bool> = follows.iter().map(|follows| own || *follows).collect();
    let events = source.events.iter().filter(|event| viewer.follows(event.record, event.header.seq));
    let whole = follows.iter().all(|follows| *follows);
    Some(Share {
        place: source.place.clone(),
        envelope: source.intent.envelope.clone(),
        openings: cut_openings(&source.intent.openings, all, &opened),
        outcome: if all { source.outcome.stored() } else { source.outcome.sealed().stored() },
        events: events.map(|event| cut_event(event, viewer, whole)).collect(),
        growth: None,
    })
}

/// Whether the viewer may read all that the method declares, on every record: then it can execute it again.
fn reads_all(source: &Source<'_>, viewer: &Viewer) -> bool {
    let method = match &source.intent.call {
        Call::Method { method, .. } => Some(method),
        _ => None,
    };
    reads_call(viewer, method, source.manifest, &source.records)
}

/// Whether somebody may know what an intent called, and why it ended so: who may read all that the method declares, on
/// every record at the seq that it was judged for. Raw changes, and a method that nobody knows, may name any section.
#[must_use]
pub fn reads_call(
    rights: &dyn Rights,
    method: Option<&MethodName>,
    manifest: Option<&Manifest>,
    records: &[Option<(Seen<'_>, u64)>],
) -> bool {
    let Some(manifest) = manifest else { return false };
    let reads = |record: Seen<'_>, seq: u64, section: &str| rights.reads(record, section, seq);
    records.iter().enumerate().all(|(index, record)| {
        let Some((record, seq)) = *record else { return false };
        match declared(method, manifest, index) {
            Declared::Sections(usage) => {
                usage.reads.iter().chain(&usage.writes).all(|section| reads(record, seq, section))
            }
            Declared::Everything => record.spec.sections.keys().all(|section| reads(record, seq, section)),
        }
    })
}

enum Declared<'a> {
    Sections(&'a RecordUse),
    /// Raw changes may name any section; of an unknown method nobody knows.
    Everything,
}

fn declared<'a>(method: Option<&MethodName>, manifest: &'a Manifest, index: usize) -> Declared<'a> {
    method
        .and_then(|method| manifest.methods.get(method))
        .and_then(|method| method.records.get(index))
        .map_or(Declared::Everything, Declared::Sections)
}

/// The intent's openings without those that are not for the receiver.
#[must_use]
pub fn cut_openings(stored: &[u8], call: bool, records: &[bool]) -> Vec<u8> {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let Ok(Json::Object(mut openings)) = Json::parse(stored, &limits) else { return Vec::new() };
    if !call {
        openings.insert("call", Json::Null);
    }
    if let Some(Json::Array(opened)) = openings.remove("records") {
        let kept = opened
            .into_iter()
            .enumerate()
            .map(|(index, record)| if records.get(index) == Some(&true) { record } else { Json::Null });
        openings.insert("records", kept.collect::<Json>());
    }
    Json::Object(openings).canonical().into_bytes()
}

fn cut_event(event: &SourceEvent<'_>, viewer: &Viewer, whole: bool) -> SharedEvent {
    let part = viewer.part(event.record, event.header, event.before);
    let sections = event.openings.sections.iter().filter(|(name, _)| part.bodies.contains(*name));
    let given = event.contents.iter().filter(|(name, _)| part.given.contains(*name));
    let openings = EventOpenings {
        // The other records of the intent are named in it.
        reads: event.openings.reads.clone().filter(|_| whole),
        sections: sections.map(|(name, body)| (name.clone(), body.clone())).collect(),
        given: given.map(|(name, given)| (name.clone(), given.clone())).collect(),
    };
    SharedEvent { header: event.header.stored(), openings: openings.stored() }
}

impl Share {
    /// Bytes of what it holds, about as many as it has on the way.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let events = self.events.iter().map(|event| event.header.len() + event.openings.len());
        self.envelope.len() + self.openings.len() + self.outcome.len() + events.sum::<usize>()
    }

    /// Whether its leaf stands in the log that it names, under a head which that log's node signed.
    #[must_use]
    pub fn is_in_its_log(&self, directory: &Directory) -> bool {
        let node = self.place.log.split('/').next().and_then(|node| directory.nodes().get(node));
        let origin = origin(&directory.network(), &self.place.log);
        let head = node.and_then(|node| Checkpoint::verify(&self.place.note, &origin, &node.key).ok());
        let outcome = Outcome::read(&self.outcome).ok();
        head.zip(outcome).is_some_and(|(head, outcome)| {
            (head.size, head.root) == (self.place.size, self.place.root)
                && self.place.proves(&leaf_hash(&outcome.leaf()))
        })
    }

    /// Whether its outcome names this event.
    #[must_use]
    pub fn has_event(&self, event: &Digest) -> bool {
        Outcome::read(&self.outcome).is_ok_and(|outcome| outcome.events.contains(event))
    }

    /// The intent's id, as far as the bytes tell.
    #[must_use]
    pub fn intent(&self) -> Option<Digest> {
        Outcome::read(&self.outcome).ok().map(|outcome| outcome.intent)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const OPENED: &str =
        r#"{"call":{"contract":"deal","salt":"s"},"records":[{"record":"acme:a"},{"record":"acme:b"}]}"#;

    fn check(call: bool, records: &[bool], expected: &str) {
        assert_eq!(String::from_utf8(cut_openings(OPENED.as_bytes(), call, records)).unwrap(), expected);
    }

    #[test]
    fn openings_keep_their_places_and_lose_what_is_not_for_the_receiver() {
        check(true, &[true, true], OPENED);
        check(false, &[true, false], r#"{"call":null,"records":[{"record":"acme:a"},null]}"#);
        check(false, &[false, true], r#"{"call":null,"records":[null,{"record":"acme:b"}]}"#);
    }

    #[test]
    fn a_record_that_nothing_is_known_of_is_not_opened() {
        check(true, &[true], r#"{"call":{"contract":"deal","salt":"s"},"records":[{"record":"acme:a"},null]}"#);
        assert_eq!(cut_openings(b"no openings", true, &[true]), Vec::<u8>::new());
    }
}
