//! What a method knows about the call, and its way to the intent's records.

use crate::outcome::{Outcome, Rejection, reject};
use crate::record::Record;
use crate::{Failure, door};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The call: who asks for what, when, on which records.
///
/// Methods without a record act on record 0, the intent's first; [`Context::record`] gives the others.
#[derive(Debug)]
pub struct Context {
    given: Given,
}

/// The context as the host hands it over.
#[derive(Debug, Deserialize)]
struct Given {
    intent: String,
    network: String,
    actor: String,
    participant: String,
    method: String,
    time: String,
    contract: Contract,
    records: Vec<GivenRecord>,
}

#[derive(Debug, Deserialize)]
struct Contract {
    name: String,
    version: String,
}

/// One record of the intent as the host hands it over.
#[derive(Debug, Deserialize)]
pub(crate) struct GivenRecord {
    pub(crate) record: String,
    pub(crate) spec: String,
    pub(crate) seq: u64,
    pub(crate) exists: bool,
    pub(crate) roles: Vec<String>,
}

impl Context {
    /// Asks the host for the call's context.
    ///
    /// # Panics
    /// When the host speaks another version of the world, which the runtime rules out before a call.
    #[doc(hidden)]
    pub fn new() -> Self {
        match serde_json::from_str(&door::context()) {
            Ok(given) => Context { given },
            Err(error) => panic!("the host's context is not one this SDK knows: {error}"),
        }
    }

    /// The actor who signed the intent, in full: `bob@buyer`.
    pub fn actor(&self) -> &str {
        &self.given.actor
    }

    /// The actor's participant: `buyer`.
    pub fn participant(&self) -> &str {
        &self.given.participant
    }

    /// The sequencer's time of this intent: `2026-11-21T10:02:11.000412Z`. The only clock there is.
    pub fn time(&self) -> &str {
        &self.given.time
    }

    /// The day of [`Context::time`]: `2026-11-21`.
    pub fn date(&self) -> &str {
        self.given.time.split('T').next().unwrap_or_default()
    }

    /// The intent's id, 64 hexadecimal digits: unique in the network.
    pub fn intent(&self) -> &str {
        &self.given.intent
    }

    /// The network's id.
    pub fn network(&self) -> &str {
        &self.given.network
    }

    /// The method that was called.
    pub fn method(&self) -> &str {
        &self.given.method
    }

    /// This contract's name.
    pub fn contract_name(&self) -> &str {
        &self.given.contract.name
    }

    /// This contract's version.
    pub fn contract_version(&self) -> &str {
        &self.given.contract.version
    }

    /// How many records the intent names, 1 to 16.
    pub fn record_count(&self) -> usize {
        self.given.records.len()
    }

    /// The intent's record at `position`, from 0.
    ///
    /// # Panics
    /// When the intent names fewer records; [`Context::record_count`] says how many there are.
    #[track_caller]
    pub fn record(&self, position: u32) -> Record<'_> {
        match self.given.records.get(position as usize) {
            Some(given) => Record { position, given, actor: &self.given.actor },
            None => panic!("the intent has {} records, there is no record {position}", self.given.records.len()),
        }
    }

    fn first(&self) -> Record<'_> {
        self.record(0)
    }

    /// The record's sequence number that this intent's event gets if it is applied.
    pub fn seq(&self) -> u64 {
        self.first().seq()
    }

    /// Whether the record existed before this intent.
    pub fn exists(&self) -> bool {
        self.first().exists()
    }

    /// The roles that the actor has in the record.
    pub fn roles(&self) -> &[String] {
        &self.first().given.roles
    }

    /// Rejects the intent unless the actor has `role` in the record.
    ///
    /// # Errors
    /// A rejection with reason `role`.
    pub fn require_role(&self, role: &str) -> Outcome {
        self.first().require_role(role)
    }

    /// Rejects the intent with `reason` and `message` unless `holds`.
    ///
    /// # Errors
    /// The rejection.
    pub fn require(&self, holds: bool, reason: &str, message: &str) -> Outcome {
        if holds { Ok(()) } else { reject(reason, message) }
    }

    /// The value at `pointer` of `section`.
    ///
    /// # Errors
    /// A rejection with reason `missing` where nothing is, `type` where something else is.
    pub fn read<T: DeserializeOwned>(&self, section: &str, pointer: &str) -> Result<T, Rejection> {
        self.first().read(section, pointer)
    }

    /// The value at `pointer` of `section`, `None` where nothing is.
    ///
    /// # Errors
    /// A rejection with reason `type` where something else is.
    pub fn read_optional<T: DeserializeOwned>(&self, section: &str, pointer: &str) -> Result<Option<T>, Rejection> {
        self.first().read_optional(section, pointer)
    }

    /// The member names of the object at `pointer` of `section`.
    ///
    /// # Errors
    /// The host's failure, where there is no object or the method does not declare the section.
    pub fn keys(&self, section: &str, pointer: &str) -> Result<Vec<String>, Failure> {
        self.first().keys(section, pointer)
    }

    /// Sets the whole section.
    ///
    /// # Errors
    /// The host's failure.
    pub fn set<T: Serialize + ?Sized>(&self, section: &str, value: &T) -> Outcome {
        self.first().set(section, value)
    }

    /// Appends to the array at `pointer`: RFC 6902 `add` at `pointer/-`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn append<T: Serialize + ?Sized>(&self, section: &str, pointer: &str, value: &T) -> Outcome {
        self.first().append(section, pointer, value)
    }

    /// RFC 6902 `add`: a new member, or one array element more.
    ///
    /// # Errors
    /// The host's failure.
    pub fn add<T: Serialize + ?Sized>(&self, section: &str, pointer: &str, value: &T) -> Outcome {
        self.first().add(section, pointer, value)
    }

    /// RFC 6902 `remove`.
    ///
    /// # Errors
    /// The host's failure, where nothing is at `pointer`.
    pub fn remove(&self, section: &str, pointer: &str) -> Outcome {
        self.first().remove(section, pointer)
    }

    /// RFC 6902 `replace`: there must be a value already.
    ///
    /// # Errors
    /// The host's failure, where nothing is at `pointer`.
    pub fn replace<T: Serialize + ?Sized>(&self, section: &str, pointer: &str, value: &T) -> Outcome {
        self.first().replace(section, pointer, value)
    }

    /// RFC 6902 `test`: recorded, so that whoever applies the event later checks it, too.
    ///
    /// # Errors
    /// The host's failure, where another value is.
    pub fn test<T: Serialize + ?Sized>(&self, section: &str, pointer: &str, value: &T) -> Outcome {
        self.first().test(section, pointer, value)
    }

    /// RFC 6902 `move` within a section.
    ///
    /// # Errors
    /// The host's failure.
    pub fn move_value(&self, section: &str, from: &str, pointer: &str) -> Outcome {
        self.first().move_value(section, from, pointer)
    }

    /// RFC 6902 `copy` within a section.
    ///
    /// # Errors
    /// The host's failure.
    pub fn copy_value(&self, section: &str, from: &str, pointer: &str) -> Outcome {
        self.first().copy_value(section, from, pointer)
    }

    /// Emits a business event to those who may read `section`.
    ///
    /// # Errors
    /// The host's failure, where the manifest's method does not name `kind`.
    pub fn notify<T: Serialize + ?Sized>(&self, section: &str, kind: &str, data: &T) -> Outcome {
        self.first().notify(section, kind, data)
    }

    /// Gives a role in the record to an actor, `bob@buyer`, or to all of a participant's, `buyer`, from this
    /// intent's event on. The method must declare that it writes `parties`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn grant(&self, role: &str, to: &str) -> Outcome {
        self.first().grant(role, to)
    }

    /// Ends with this intent's event what [`Context::grant`] gave. The method must declare that it writes
    /// `parties`.
    ///
    /// # Errors
    /// The host's failure, or reason `role` where nobody was given the role so.
    pub fn revoke(&self, role: &str, from: &str) -> Outcome {
        self.first().revoke(role, from)
    }

    /// A line for whoever replays the intent; no part of any outcome.
    pub fn log(&self, message: &str) {
        door::log(message);
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// A JSON value's text; contract values that cannot be JSON are a bug of the contract.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::new("json", error.to_string()))
}

/// A value of the wanted type, or the failure that names where it was.
pub(crate) fn typed<T: DeserializeOwned>(text: &str, section: &str, pointer: &str) -> Result<T, Rejection> {
    serde_json::from_str(text)
        .or_else(|error| reject("type", format!("{section}{pointer} is not what the contract expects: {error}")))
}
