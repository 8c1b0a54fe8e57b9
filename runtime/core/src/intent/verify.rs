//! The door: the first step in the life of an intent.
//!
//! What does not get through here leaves no row: it was not signed by a valid key that the directory knows,
//! or is malformed, oversized, for another network, or already expired.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::codes::Code;
use crate::crypto::{Context, Digest, Envelope, PublicKey, commit};
use crate::directory::Directory;
use crate::json::{Json, JsonErrorKind, Limits};
use crate::names::NodeName;
use crate::package::MAX_RECORDS;
use crate::time::Timestamp;

use super::{CALL_DOMAIN, Call, INTENT_TYPE, Openings, Payload, RECORD_DOMAIN, Target, VerifiedIntent};

/// What the door of a node lets through.
#[derive(Clone, Copy, Debug)]
pub struct Door<'a> {
    /// Who is known.
    pub directory: &'a Directory,
    /// The node whose door it is.
    pub node: &'a NodeName,
    /// Now.
    pub now: Timestamp,
    /// How far ahead an intent may expire.
    pub longest_expiry: Duration,
    /// Bytes and depth of one submission.
    pub limits: Limits,
}

/// A no at the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which no.
    pub code: Code,
    /// What happened, for people.
    pub message: String,
    /// The intent, where all that is wrong with it is that it has expired: it may have been decided before.
    pub expired: Option<Digest>,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal { code, message: message.into(), expired: None }
    }
}

/// Lets a submission in, or says why not.
///
/// # Errors
/// [`Refusal`], with a code of class refused.
pub fn verify(bytes: &[u8], door: &Door<'_>) -> Result<VerifiedIntent, Refusal> {
    let mut json = parse(bytes, &door.limits, "submission")?;
    let openings = match &mut json {
        Json::Object(object) => object.remove("openings"),
        _ => None,
    };
    let openings = openings
        .ok_or_else(|| Refusal::new(Code::Malformed, "a submission is a DSSE envelope with a member `openings`"))?;
    let (signed, intent) = open(&json, &openings, &door.limits)?;
    check_network(&intent, door)?;
    let actor = door.directory.actors().get(&intent.payload.actor);
    let actor = actor.ok_or_else(|| {
        Refusal::new(Code::UnknownActor, format!("{} is no actor of this network", intent.payload.actor))
    })?;
    if let Some(revoked) = actor.revoked {
        return Err(Refusal::new(
            Code::RevokedActor,
            format!("the key of {} was revoked at {revoked}", intent.payload.actor),
        ));
    }
    let participant = intent.payload.actor.participant();
    if !door.directory.takes_part(participant.as_str()) {
        return Err(Refusal::new(
            Code::UnknownActor,
            format!("participant {participant} of {} is proposed, and not yet approved", intent.payload.actor),
        ));
    }
    check_signature(&signed, &actor.key, &intent)?;
    check_time(&intent, door)?;
    Ok(intent)
}

/// What a submission says, whoever signed it: enough to count it where the door turns it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The intent.
    pub id: Digest,
    /// What was signed, or is said to be.
    pub payload: Payload,
    /// Its records, in order.
    pub records: Vec<crate::names::RecordId>,
}

/// Reads a submission without asking who signed it and whether it may come now.
///
/// # Errors
/// [`Refusal`] where it is malformed, or an opening does not fit.
pub fn told(bytes: &[u8], limits: &Limits) -> Result<Told, Refusal> {
    let mut json = parse(bytes, limits, "submission")?;
    let openings = match &mut json {
        Json::Object(object) => object.remove("openings"),
        _ => None,
    };
    let openings = openings.ok_or_else(|| Refusal::new(Code::Malformed, "a submission has a member `openings`"))?;
    let (_, VerifiedIntent { id, payload, targets, .. }) = open(&json, &openings, limits)?;
    Ok(Told { id, payload, records: targets.into_iter().map(|target| target.record).collect() })
}

/// The node that a submission is for, as far as it can be read.
#[must_use]
pub fn sequencer(bytes: &[u8]) -> Option<NodeName> {
    let limits = Limits { bytes: bytes.len().max(1), ..Limits::default() };
    let payload = Json::parse(bytes, &limits).ok()?.get("payload")?.as_str().map(str::to_owned)?;
    let payload = data_encoding::BASE64.decode(payload.as_bytes()).ok()?;
    NodeName::parse(Json::parse(&payload, &limits).ok()?.get("sequencer")?.as_str()?).ok()
}

/// Whether an intent must open all that its payload commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// All: as it was submitted, at the node that sequences it.
    All,
    /// What the node that holds it is entitled to.
    Some,
}

/// Reads an intent as it is stored and checks all that does not depend on the moment: shape, signature by
/// one of the keys, openings.
///
/// # Errors
/// [`StoredError`] says in which of the two columns the trouble is.
pub fn read_stored(
    envelope: &[u8],
    openings: &[u8],
    whole: Whole,
    key: impl FnOnce(&Payload) -> Option<PublicKey>,
) -> Result<VerifiedIntent, StoredError> {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let json = Json::parse_canonical(envelope, &limits).map_err(|error| StoredError::Envelope(error.to_string()))?;
    let (signed, payload) = read_envelope(&json, &limits).map_err(|refusal| StoredError::Envelope(refusal.message))?;
    let key = key(&payload).ok_or_else(|| StoredError::Envelope(format!("{} had no valid key", payload.actor)))?;
    if signed.signatures.len() != 1 || !signed.verified_by(&key) {
        return Err(StoredError::Envelope(format!("the signature is not {}'s", payload.actor)));
    }
    let opened = Json::parse_canonical(openings, &limits).map_err(|error| StoredError::Openings(error.to_string()))?;
    let opened = Openings::read(&opened).map_err(|error| StoredError::Openings(error.to_string()))?;
    check_openings(&payload, &opened, whole).map_err(|refusal| StoredError::Openings(refusal.message))?;
    Ok(assemble(&signed, payload, opened, envelope.to_vec(), openings.to_vec()))
}

/// What can be said of a stored intent whose evidence may be damaged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inspected {
    /// The digest of the payload with the payload, where it can be read.
    pub(crate) payload: Option<(Digest, Payload)>,
    /// The openings, where they are the ones that the payload commits to; where the payload cannot be read,
    /// where they can be.
    pub(crate) opened: Option<(Call, Vec<Target>)>,
    /// What is wrong with the envelope.
    pub(crate) envelope: Option<String>,
    /// What is wrong with the openings.
    pub(crate) openings: Option<String>,
}

/// Reads a stored intent as far as it goes. `proven` is the digest that the log has for the payload, where it
/// has one; `keys` are those that its actor had when it was taken.
pub(crate) fn inspect(
    envelope: &[u8],
    openings: &[u8],
    whole: Whole,
    proven: Option<Digest>,
    keys: impl FnOnce(&Payload) -> Vec<PublicKey>,
) -> Inspected {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let mut found = Inspected::default();
    let read = Json::parse_canonical(envelope, &limits).map_err(|error| error.to_string());
    match read.and_then(|json| read_envelope(&json, &limits).map_err(|refusal| refusal.message)) {
        Err(message) => found.envelope = Some(message),
        Ok((signed, payload)) => {
            let id = Digest::of(&signed.payload);
            let verified = signed.signatures.len() == 1 && keys(&payload).iter().any(|key| signed.verified_by(key));
            if proven.is_some_and(|proven| proven != id) {
                found.envelope = Some("it is not the payload that the log has for this intent".to_owned());
            } else {
                if !verified {
                    found.envelope = Some(format!("the signature is not {}'s", payload.actor));
                }
                if verified || proven.is_some() {
                    found.payload = Some((id, payload));
                }
            }
        }
    }
    let read = Json::parse_canonical(openings, &limits).map_err(|error| error.to_string());
    match read.and_then(|json| Openings::read(&json).map_err(|error| error.to_string())) {
        Err(message) => found.openings = Some(message),
        Ok(opened) => {
            let fits = found.payload.as_ref().map_or(Ok(()), |(_, payload)| check_openings(payload, &opened, whole));
            match fits {
                Err(refusal) => found.openings = Some(refusal.message),
                Ok(()) => found.opened = Some(opened.into_opened()),
            }
        }
    }
    found
}

impl VerifiedIntent {
    /// Puts an intent together from what the audit could still read, only to derive rows from it: what is made up
    /// stands in columns that the audit does not compare. Never executed unless all of it was verified.
    pub(crate) fn adopted(
        id: Digest,
        payload: Payload,
        call: Call,
        targets: Vec<Target>,
        envelope: Vec<u8>,
        openings: Vec<u8>,
    ) -> Self {
        VerifiedIntent { id, payload, call, targets, envelope, openings }
    }
}

/// What is wrong with a stored intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredError {
    /// In the column `envelope`.
    Envelope(String),
    /// In the column `openings`.
    Openings(String),
}

fn parse(bytes: &[u8], limits: &Limits, what: &str) -> Result<Json, Refusal> {
    Json::parse(bytes, limits).map_err(|error| {
        let code = match error.kind {
            JsonErrorKind::TooLong => Code::TooLarge,
            JsonErrorKind::TooDeep => Code::TooDeep,
            JsonErrorKind::DuplicateKey => Code::DuplicateKey,
            JsonErrorKind::NumberLosesDigits => Code::NumberLosesDigits,
            _ => Code::Malformed,
        };
        Refusal::new(code, format!("the {what} is not acceptable JSON: {error}"))
    })
}

fn open(envelope: &Json, openings: &Json, limits: &Limits) -> Result<(Envelope, VerifiedIntent), Refusal> {
    let (signed, payload) = read_envelope(envelope, limits)?;
    let opened = Openings::read(openings).map_err(|error| {
        let code = if error.path.ends_with(".salt") { Code::BadSalt } else { Code::Malformed };
        Refusal::new(code, error.to_string())
    })?;
    check_openings(&payload, &opened, Whole::All)?;
    let stored = (envelope.canonical().into_bytes(), openings.canonical().into_bytes());
    let intent = assemble(&signed, payload, opened, stored.0, stored.1);
    Ok((signed, intent))
}

fn assemble(
    signed: &Envelope,
    payload: Payload,
    opened: Openings,
    envelope: Vec<u8>,
    openings: Vec<u8>,
) -> VerifiedIntent {
    let (call, targets) = opened.into_opened();
    VerifiedIntent { id: Digest::of(&signed.payload), payload, call, targets, envelope, openings }
}

pub(super) fn read_envelope(json: &Json, limits: &Limits) -> Result<(Envelope, Payload), Refusal> {
    let malformed = |what: String| Refusal::new(Code::Malformed, what);
    let signed = Envelope::from_json(json).map_err(|error| malformed(error.to_string()))?;
    if signed.payload_type != INTENT_TYPE {
        return Err(malformed(format!("payload type {} is not {INTENT_TYPE}", signed.payload_type)));
    }
    let payload = parse(&signed.payload, limits, "payload")?;
    if payload.canonical().as_bytes() != signed.payload {
        return Err(Refusal::new(
            Code::NotCanonical,
            "the payload is not in canonical form (RFC 8785); sign the canonical bytes",
        ));
    }
    let payload = Payload::read(&payload).map_err(|error| match error {
        super::read::PayloadError::Shape(error) => malformed(error.to_string()),
        super::read::PayloadError::Format(..) => Refusal::new(Code::UnknownFormat, error.to_string()),
    })?;
    if payload.records.is_empty() || payload.records.len() > MAX_RECORDS {
        return Err(malformed(format!(
            "an intent has 1 to {MAX_RECORDS} records, this one has {}",
            payload.records.len()
        )));
    }
    Ok((signed, payload))
}

fn check_openings(payload: &Payload, opened: &Openings, whole: Whole) -> Result<(), Refusal> {
    let bad = |what: String| Err(Refusal::new(Code::BadOpening, what));
    let context = |domain| Context { domain, network: Some(&payload.network), record: None, section: None, seq: None };
    if whole == Whole::All && !opened.complete() {
        return bad("something that was signed is not opened".to_owned());
    }
    if let Some((salt, call)) = &opened.call
        && commit(salt, &context(CALL_DOMAIN), &call.to_json()) != payload.call
    {
        return bad("the opened call is not the one that was signed".to_owned());
    }
    if opened.targets.len() != payload.records.len() {
        return bad(format!("{} records are opened, {} were signed", opened.targets.len(), payload.records.len()));
    }
    let mut seen = BTreeSet::new();
    for (index, (target, signed)) in opened.targets.iter().zip(&payload.records).enumerate() {
        let Some((salt, target)) = target else { continue };
        if commit(salt, &context(RECORD_DOMAIN), &target.to_json()) != *signed {
            return bad(format!("opened record {index} is not the one that was signed"));
        }
        if !seen.insert(&target.record) {
            return Err(Refusal::new(Code::Malformed, format!("record {} is named twice", target.record)));
        }
    }
    match seen.is_empty() {
        true => bad("none of its records is opened".to_owned()),
        false => Ok(()),
    }
}

fn check_network(intent: &VerifiedIntent, door: &Door<'_>) -> Result<(), Refusal> {
    let payload = &intent.payload;
    if payload.network != door.directory.network() {
        return Err(Refusal::new(
            Code::WrongNetwork,
            format!("it is for network {}, this is {}", payload.network, door.directory.network()),
        ));
    }
    let elsewhere = intent.targets.iter().find(|target| target.record.node() != *door.node);
    if payload.sequencer != *door.node || elsewhere.is_some() {
        let what = elsewhere
            .map_or_else(|| format!("sequencer {}", payload.sequencer), |target| format!("record {}", target.record));
        return Err(Refusal::new(Code::WrongSequencer, format!("{what} is not sequenced by node {}", door.node)));
    }
    Ok(())
}

fn check_signature(signed: &Envelope, key: &PublicKey, intent: &VerifiedIntent) -> Result<(), Refusal> {
    if signed.signatures.len() != 1 || !signed.verified_by(key) {
        return Err(Refusal::new(Code::BadSignature, format!("the signature is not {}'s", intent.payload.actor)));
    }
    Ok(())
}

fn check_time(intent: &VerifiedIntent, door: &Door<'_>) -> Result<(), Refusal> {
    let payload = &intent.payload;
    if payload.expires <= door.now {
        let message = format!("it expired at {}, now is {}", payload.expires, door.now);
        return Err(Refusal { expired: Some(intent.id), ..Refusal::new(Code::Expired, message) });
    }
    if payload.expires > door.now.plus(door.longest_expiry) {
        let minutes = door.longest_expiry.as_secs() / 60;
        return Err(Refusal::new(
            Code::ExpiryTooFar,
            format!("it expires at {}; this network allows {minutes} minutes ahead", payload.expires),
        ));
    }
    Ok(())
}
