//! Handing an intent over to the node that sequences it, so that both can prove what they did.
//!
//! The node that hands over signs a [`Forward`], the wrapper, and keeps it; the sequencer signs that it was [`Taken`].
//! Every count then has an [`End`]: the outcome, or a signed no. A count that has none when the intent has expired is
//! overdue, and wrapper and acknowledgement prove it. Both name records by the intent's commitments only.

use crate::crypto::{ALGORITHMS, Digest, Envelope, PublicKey, Signer, SignerError};
use crate::intent::Payload;
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::names::NodeName;
use crate::package::FORMAT;
use crate::tables::{Cell, Row};
use crate::time::Timestamp;

/// DSSE payload type of the wrapper.
pub const FORWARD_TYPE: &str = "application/vnd.lockstep.forward.v1+json";
/// DSSE payload type of what a sequencer answers to it.
pub const TAKEN_TYPE: &str = "application/vnd.lockstep.taken.v1+json";

/// What a node signs before it hands an intent over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The network.
    pub network: Digest,
    /// Who hands over.
    pub node: NodeName,
    /// To whom.
    pub sequencer: NodeName,
    /// The intent.
    pub intent: Digest,
    /// The intent's commitments to its records, in its order, each with how many intents this node has handed over for
    /// that record so far, this one counted.
    pub records: Vec<(Digest, u64)>,
    /// When.
    pub time: Timestamp,
}

/// What a sequencer signs when it has taken an intent, or turned it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The network.
    pub network: Digest,
    /// The sequencer.
    pub node: NodeName,
    /// SHA-256 of the wrapper's payload.
    pub forward: Digest,
    /// When.
    pub time: Timestamp,
    /// The last signed head of the sequencer's log then, a C2SP note: the outcome stands after it.
    pub checkpoint: String,
    /// Code and message, where the intent never gets an outcome.
    pub refused: Option<(String, String)>,
}

/// Which count a node may use next for a record, or has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is the next one.
    Next,
    /// Counts before it have not come yet.
    TooEarly,
    /// Another intent has it.
    Used,
}

impl Counted {
    /// Where a count stands that a new intent comes with, after `last`.
    #[must_use]
    pub fn of(count: u64, last: u64) -> Self {
        match count.checked_sub(1) {
            Some(before) if before == last => Counted::Next,
            Some(before) if before > last => Counted::TooEarly,
            _ => Counted::Used,
        }
    }
}

impl Forward {
    /// The wrapper of an intent; `counts` in the order of its records.
    #[must_use]
    pub fn of(node: &NodeName, intent: Digest, payload: &Payload, counts: &[u64], time: Timestamp) -> Self {
        let records = payload.records.iter().copied().zip(counts.iter().copied()).collect();
        let (network, sequencer) = (payload.network, payload.sequencer.clone());
        Forward { network, node: node.clone(), sequencer, intent, records, time }
    }

    /// Signs it with the node's key; the envelope as it is stored and travels.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignerError> {
        sign(FORWARD_TYPE, &self.to_json(), signer)
    }

    /// SHA-256 of the payload: what the acknowledgement names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_json().canonical().as_bytes())
    }

    /// Reads a wrapper, whoever signed it.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let (payload, _) = opened(stored, FORWARD_TYPE)?;
        read_forward(&payload).map_err(|error| error.to_string())
    }

    /// Reads a wrapper that the node with this key signed.
    ///
    /// # Errors
    /// What is malformed or not signed by it, for people.
    pub fn verify(stored: &[u8], key: &PublicKey) -> Result<Self, String> {
        read_forward(&verified(stored, FORWARD_TYPE, key)?).map_err(|error| error.to_string())
    }

    /// Whether it is about this intent, and says what that says.
    ///
    /// # Errors
    /// What differs, for people.
    pub fn fits(&self, intent: &Digest, payload: &Payload) -> Result<(), String> {
        let commitments = self.records.iter().map(|(commitment, _)| commitment);
        if self.intent != *intent {
            return Err(format!("it is about intent {}, not {intent}", self.intent));
        }
        if self.network != payload.network || self.sequencer != payload.sequencer {
            return Err(format!("it is for node {} of network {}", self.sequencer, self.network));
        }
        match commitments.eq(&payload.records) {
            true => Ok(()),
            false => Err("its records are not those of the intent".to_owned()),
        }
    }

    fn to_json(&self) -> Json {
        let records: Json =
            self.records.iter().map(|(record, count)| json!({"record": record.to_string(), "count": *count})).collect();
        json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(), "node": self.node.as_str(),
            "sequencer": self.sequencer.as_str(), "intent": self.intent.to_string(), "records": records,
            "time": self.time.to_string()
        })
    }
}

impl Taken {
    /// Signs it with the sequencer's key; the envelope as it is stored and travels.
    ///
    /// # Errors
    /// The signer's.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignerError> {
        let refused =
            self.refused.as_ref().map(|(code, message)| json!({"code": code.as_str(), "message": message.as_str()}));
        let payload = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "network": self.network.to_string(), "node": self.node.as_str(),
            "forward": self.forward.to_string(), "time": self.time.to_string(), "checkpoint": self.checkpoint.as_str(),
            "refused": refused
        });
        sign(TAKEN_TYPE, &payload, signer)
    }

    /// Reads an answer, whoever signed it.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let (payload, _) = opened(stored, TAKEN_TYPE)?;
        read_taken(&payload).map_err(|error| error.to_string())
    }

    /// Reads the answer to a wrapper that the node with this key signed.
    ///
    /// # Errors
    /// What is malformed, not signed by it or about something else, for people.
    pub fn verify(stored: &[u8], key: &PublicKey, forward: &Forward) -> Result<Self, String> {
        let taken = read_taken(&verified(stored, TAKEN_TYPE, key)?).map_err(|error| error.to_string())?;
        match (taken.network, &taken.node, taken.forward) == (forward.network, &forward.sequencer, forward.digest()) {
            true => Ok(taken),
            false => Err(format!("it answers wrapper {}, not this one", taken.forward)),
        }
    }
}

/// The row of `lockstep_forward` that a wrapper proves for one of the intent's records. What it does not prove is taken
/// from `told`, a row of that table.
#[must_use]
pub fn forward_row(forward: &Forward, position: usize, envelope: &[u8], told: &[Cell]) -> Row {
    let text = |text: &dyn std::fmt::Display| Cell::Text(text.to_string());
    let count = forward.records.get(position).map_or(0, |(_, count)| *count);
    let own = |at: usize| told.get(at).cloned().unwrap_or(Cell::Null);
    vec![
        text(&forward.node),
        text(&forward.intent),
        Cell::count(position as u64),
        own(3),
        Cell::count(count),
        text(&forward.sequencer),
        Cell::Timestamp(forward.time),
        Cell::Bytes(envelope.to_vec()),
        own(8),
        own(9),
        own(10),
        own(11),
        own(12),
    ]
}

fn sign(kind: &str, payload: &Json, signer: &dyn Signer) -> Result<Vec<u8>, SignerError> {
    let envelope = Envelope::sign(kind, payload.canonical().into_bytes(), signer)?;
    Ok(envelope.to_json().canonical().into_bytes())
}

fn opened(stored: &[u8], kind: &str) -> Result<(Json, Envelope), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let limits = Limits { bytes: stored.len().max(1), ..Limits::default() };
    let json = Json::parse_canonical(stored, &limits).map_err(|error| words(&error))?;
    let envelope = Envelope::from_json(&json).map_err(|error| words(&error))?;
    if envelope.payload_type != kind {
        return Err(format!("payload type {} is not {kind}", envelope.payload_type));
    }
    let payload = Json::parse_canonical(&envelope.payload, &limits).map_err(|error| words(&error))?;
    Ok((payload, envelope))
}

fn verified(stored: &[u8], kind: &str, key: &PublicKey) -> Result<Json, String> {
    let (payload, envelope) = opened(stored, kind)?;
    match envelope.signatures.len() == 1 && envelope.verified_by(key) {
        true => Ok(payload),
        false => Err("the signature is not the node's".to_owned()),
    }
}

fn known_format(fields: &mut Fields<'_>) -> Result<(), ShapeError> {
    let (format, algorithms) = (fields.count("format")?, fields.text("algorithms")?);
    match format == FORMAT && algorithms == ALGORITHMS {
        true => Ok(()),
        false => Err(ShapeError::new("payload", "a known format", format!("format {format} with {algorithms}"))),
    }
}

fn read_forward(json: &Json) -> Result<Forward, ShapeError> {
    let mut fields = Fields::of(json, "forward")?;
    known_format(&mut fields)?;
    let mut records = Vec::new();
    for record in fields.array("records")? {
        let mut inner = Fields::of(record, "forward/records")?;
        records.push((inner.parsed("record", Digest::parse)?, inner.count("count")?));
        inner.finish()?;
    }
    let forward = Forward {
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        sequencer: fields.parsed("sequencer", NodeName::parse)?,
        intent: fields.parsed("intent", Digest::parse)?,
        records,
        time: fields.parsed("time", Timestamp::parse)?,
    };
    fields.finish()?;
    Ok(forward)
}

fn read_taken(json: &Json) -> Result<Taken, ShapeError> {
    let mut fields = Fields::of(json, "taken")?;
    known_format(&mut fields)?;
    let refused = match fields.need("refused")? {
        Json::Null => None,
        refused => {
            let mut inner = Fields::of(refused, "taken/refused")?;
            let told = (inner.text("code")?.to_owned(), inner.text("message")?.to_owned());
            inner.finish()?;
            Some(told)
        }
    };
    let taken = Taken {
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        forward: fields.parsed("forward", Digest::parse)?,
        time: fields.parsed("time", Timestamp::parse)?,
        checkpoint: fields.text("checkpoint")?.to_owned(),
        refused,
    };
    fields.finish()?;
    Ok(taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::LocalSigner;
    use crate::names::ActorId;

    fn key(secret: u8) -> LocalSigner {
        LocalSigner::from_secret([secret; 32])
    }

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).unwrap()
    }

    fn payload() -> Payload {
        Payload {
            network: Digest::of(b"network"),
            sequencer: node("acme"),
            actor: ActorId::parse("bob@buyer").unwrap(),
            nonce: Digest::of(b"nonce"),
            expires: Timestamp::MAX,
            not_before: None,
            call: Digest::of(b"call"),
            records: vec![Digest::of(b"one"), Digest::of(b"two")],
        }
    }

    fn wrapper() -> Forward {
        let time = Timestamp::parse("2026-11-26T10:00:00.000000Z").unwrap();
        Forward::of(&node("buyer"), Digest::of(b"intent"), &payload(), &[1, 7], time)
    }

    fn taken(refused: Option<(String, String)>) -> Taken {
        let Forward { network, sequencer, time, .. } = wrapper();
        let (forward, checkpoint) = (wrapper().digest(), "a note\n".to_owned());
        Taken { network, node: sequencer, forward, time, checkpoint, refused }
    }

    #[test]
    fn a_wrapper_is_read_only_from_the_node_that_signed_it() {
        let signed = wrapper().sign(&key(1)).unwrap();
        assert_eq!(Forward::verify(&signed, &key(1).public_key()), Ok(wrapper()));
        assert_eq!(Forward::read(&signed), Ok(wrapper()));
        assert!(Forward::verify(&signed, &key(2).public_key()).is_err());
        assert!(Taken::read(&signed).is_err(), "a wrapper is no acknowledgement");
    }

    #[test]
    fn a_wrapper_fits_its_own_intent_and_no_other() {
        let intent = Digest::of(b"intent");
        assert_eq!(wrapper().fits(&intent, &payload()), Ok(()));
        assert!(wrapper().fits(&Digest::of(b"other"), &payload()).is_err());
        let mut others = vec![Payload { network: Digest::of(b"other"), ..payload() }];
        others.push(Payload { sequencer: node("buyer"), ..payload() });
        others.push(Payload { records: vec![Digest::of(b"one")], ..payload() });
        others.push(Payload { records: vec![Digest::of(b"two"), Digest::of(b"one")], ..payload() });
        others.push(Payload { records: [payload().records, vec![Digest::of(b"three")]].concat(), ..payload() });
        others.iter().for_each(|other| assert!(wrapper().fits(&intent, other).is_err(), "{other:?}"));
    }

    #[test]
    fn an_acknowledgement_answers_one_wrapper_under_the_sequencers_key() {
        for refused in [None, Some(("nonce_reused".to_owned(), "another has it".to_owned()))] {
            let signed = taken(refused.clone()).sign(&key(3)).unwrap();
            let sequencer = key(3).public_key();
            assert_eq!(Taken::verify(&signed, &sequencer, &wrapper()), Ok(taken(refused)));
            assert!(Taken::verify(&signed, &key(1).public_key(), &wrapper()).is_err());
            let other = Forward { records: vec![(Digest::of(b"one"), 2), (Digest::of(b"two"), 7)], ..wrapper() };
            assert!(Taken::verify(&signed, &sequencer, &other).is_err(), "the same intent with another count");
            assert!(Taken::verify(&signed, &sequencer, &Forward { sequencer: node("x"), ..wrapper() }).is_err());
        }
    }

    #[test]
    fn counts_begin_at_one_and_leave_no_gap() {
        assert_eq!(Counted::of(1, 0), Counted::Next);
        assert_eq!(Counted::of(8, 7), Counted::Next);
        assert_eq!(
            (Counted::of(0, 0), Counted::of(7, 7), Counted::of(1, 7)),
            (Counted::Used, Counted::Used, Counted::Used)
        );
        assert_eq!((Counted::of(2, 0), Counted::of(u64::MAX, 7)), (Counted::TooEarly, Counted::TooEarly));
    }
}
