//! How an intent that was handed over ended, for the node that handed it over and may not have the outcome itself.

use data_encoding::BASE64;

use crate::directory::Directory;
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::log::{Checkpoint, leaf_hash};
use crate::outcome::Outcome;
use crate::project::origin;
use crate::received::{Place, read_path};

use super::forward::{Forward, Taken};

/// The end of a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It has an outcome: the leaf, without openings, and where it stands in the sequencer's log.
    Decided {
        /// The outcome as it is stored, sealed.
        outcome: Vec<u8>,
        /// Its place.
        place: Place,
    },
    /// The sequencer's signed word that it never gets one, a [`Taken`] with a refusal.
    Refused(Vec<u8>),
}

impl End {
    /// As it is stored and travels.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        let json = match self {
            End::Refused(envelope) => json!({"refused": BASE64.encode(envelope)}),
            End::Decided { outcome, place } => json!({"decided": {
                "outcome": BASE64.encode(outcome), "log": place.log.as_str(), "position": place.position,
                "path": BASE64.encode(&place.path_bytes()), "note": place.note.as_str()
            }}),
        };
        json.canonical().into_bytes()
    }

    /// Reads an end as it is stored.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let limits = Limits { bytes: stored.len().max(1), ..Limits::default() };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| error.to_string())?;
        read(&json).map_err(|error| error.to_string())
    }

    /// Checks that it is the end of the intent in this wrapper, as its sequencer's signatures prove.
    ///
    /// # Errors
    /// What it does not prove, for people.
    pub fn check(&self, forward: &Forward, directory: &Directory) -> Result<(), String> {
        let node = directory.nodes().get(forward.sequencer.as_str());
        let key = node.map(|node| node.key).ok_or("its sequencer is not known")?;
        let (outcome, place) = match self {
            End::Refused(envelope) => {
                let taken = Taken::verify(envelope, &key, forward)?;
                return taken.refused.map(|_| ()).ok_or_else(|| "it refuses nothing".to_owned());
            }
            End::Decided { outcome, place } => (Outcome::read(outcome)?, place),
        };
        if outcome.intent != forward.intent || place.log.split('/').next() != Some(forward.sequencer.as_str()) {
            return Err("it is the outcome of another intent, or another node's".to_owned());
        }
        let origin = origin(&directory.network(), &place.log);
        let head = Checkpoint::verify(&place.note, &origin, &key).map_err(|error| error.to_string())?;
        let proven = (head.size, head.root) == (place.size, place.root) && place.proves(&leaf_hash(&outcome.leaf()));
        if proven { Ok(()) } else { Err("its path does not lead to its signed head".to_owned()) }
    }
}

fn read(json: &Json) -> Result<End, ShapeError> {
    let mut fields = Fields::of(json, "end")?;
    if json.get("refused").is_some() {
        let envelope = decoded(&mut fields, "refused")?;
        fields.finish()?;
        return Ok(End::Refused(envelope));
    }
    let mut inner = fields.nested("decided")?;
    let note = inner.text("note")?.to_owned();
    let head =
        Checkpoint::parse(&note).map_err(|error| ShapeError::new("end/note", "a signed note", error.to_string()));
    let (head, _) = head?;
    let path = read_path(&decoded(&mut inner, "path")?);
    let place = Place {
        log: inner.text("log")?.to_owned(),
        position: inner.count("position")?,
        path: path.ok_or_else(|| ShapeError::new("end/path", "hashes", "something else"))?,
        note,
        size: head.size,
        root: head.root,
    };
    let outcome = decoded(&mut inner, "outcome")?;
    inner.finish()?;
    fields.finish()?;
    Ok(End::Decided { outcome, place })
}

fn decoded(fields: &mut Fields<'_>, name: &str) -> Result<Vec<u8>, ShapeError> {
    let text = fields.text(name)?;
    BASE64.decode(text.as_bytes()).map_err(|_| ShapeError::new(format!("end/{name}"), "base64", "something else"))
}
