//! One record of the intent: reads, changes, notifications, roles.

use crate::context::{GivenRecord, text, typed};
use crate::door::{self, Operation};
use crate::outcome::{Failure, Outcome, Rejection, reject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The section that says who has which role.
const PARTIES: &str = "parties";

/// A record that the intent names. The methods are those of [`Context`](crate::Context), for this record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(crate) position: u32,
    pub(crate) given: &'a GivenRecord,
    pub(crate) actor: &'a str,
}

/// An entry of `parties`, as far as revoking needs it.
#[derive(Deserialize)]
struct Member {
    role: String,
    participant: String,
    #[serde(default)]
    actor: Option<String>,
    #[serde(default)]
    to: Option<u64>,
}

impl Record<'_> {
    /// The record's id: `acme:sale-1`.
    pub fn id(&self) -> &str {
        &self.given.record
    }

    /// The name of its spec.
    pub fn spec(&self) -> &str {
        &self.given.spec
    }

    /// The sequence number that this intent's event gets if it is applied.
    pub fn seq(&self) -> u64 {
        self.given.seq
    }

    /// Whether it existed before this intent.
    pub fn exists(&self) -> bool {
        self.given.exists
    }

    /// The roles that the actor has in it.
    pub fn roles(&self) -> &[String] {
        &self.given.roles
    }

    /// Rejects the intent unless the actor has `role` in this record.
    ///
    /// # Errors
    /// A rejection with reason `role`.
    pub fn require_role(&self, role: &str) -> Outcome {
        if self.given.roles.iter().any(|own| own == role) {
            return Ok(());
        }
        reject("role", format!("{} is not {role} of {}", self.actor, self.given.record))
    }

    /// See [`Context::read`](crate::Context::read).
    ///
    /// # Errors
    /// A rejection with reason `missing` where nothing is, `type` where something else is.
    pub fn read<T: DeserializeOwned>(&self, section: &str, pointer: &str) -> Result<T, Rejection> {
        match self.read_optional(section, pointer)? {
            Some(value) => Ok(value),
            None => reject("missing", format!("{} has no {section}{pointer}", self.given.record)),
        }
    }

    /// See [`Context::read_optional`](crate::Context::read_optional).
    ///
    /// # Errors
    /// A rejection with reason `type` where something else is.
    pub fn read_optional<T: DeserializeOwned>(&self, section: &str, pointer: &str) -> Result<Option<T>, Rejection> {
        match door::read(self.position, section, pointer)? {
            Some(json) => typed(&json, section, pointer).map(Some),
            None => Ok(None),
        }
    }

    /// See [`Context::keys`](crate::Context::keys).
    ///
    /// # Errors
    /// The host's failure.
    pub fn keys(&self, section: &str, pointer: &str) -> Result<Vec<String>, Failure> {
        door::keys(self.position, section, pointer)
    }

    /// Sets the whole section.
    ///
    /// # Errors
    /// The host's failure.
    pub fn set<T: Serialize + ?Sized>(&self, section: &str, value: &T) -> Outcome {
        self.add(section, "", value)
    }

    /// Appends to the array at `pointer`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn append<T: Serialize + ?Sized>(&self, section: &str, pointer: &str, value: &T) -> Outcome {
        self.add(section, &format!("{pointer}/-"), value)
    }

    /// RFC 6902 `add`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn add<T: Serialize + ?Sized>(&self, section: &str, path: &str, value: &T) -> Outcome {
        self.change(section, Operation::Add { path, value: &text(value)? })
    }

    /// RFC 6902 `remove`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn remove(&self, section: &str, path: &str) -> Outcome {
        self.change(section, Operation::Remove { path })
    }

    /// RFC 6902 `replace`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn replace<T: Serialize + ?Sized>(&self, section: &str, path: &str, value: &T) -> Outcome {
        self.change(section, Operation::Replace { path, value: &text(value)? })
    }

    /// RFC 6902 `test`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn test<T: Serialize + ?Sized>(&self, section: &str, path: &str, value: &T) -> Outcome {
        self.change(section, Operation::Test { path, value: &text(value)? })
    }

    /// RFC 6902 `move`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn move_value(&self, section: &str, from: &str, path: &str) -> Outcome {
        self.change(section, Operation::Move { from, path })
    }

    /// RFC 6902 `copy`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn copy_value(&self, section: &str, from: &str, path: &str) -> Outcome {
        self.change(section, Operation::Copy { from, path })
    }

    fn change(&self, section: &str, operation: Operation<'_>) -> Outcome {
        Ok(door::change(self.position, section, operation)?)
    }

    /// Emits a business event to those who may read `section`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn notify<T: Serialize + ?Sized>(&self, section: &str, kind: &str, data: &T) -> Outcome {
        Ok(door::notify(self.position, section, kind, &text(data)?)?)
    }

    /// Gives a role in this record to an actor, `bob@buyer`, or to all of a participant's, `buyer`: one entry
    /// more in `parties`.
    ///
    /// # Errors
    /// The host's failure.
    pub fn grant(&self, role: &str, to: &str) -> Outcome {
        let mut member = json!({"role": role, "participant": participant_of(to), "from": self.seq(), "to": null});
        if to.contains('@') {
            member["actor"] = to.into();
        }
        match self.append(PARTIES, "/members", &member) {
            // A record that this call creates has no members yet.
            Err(no) if no.reason == "patch" && !self.exists() => self.set(PARTIES, &json!({"members": [member]})),
            other => other,
        }
    }

    /// Ends what [`Record::grant`] gave: the entry in `parties` gets an end.
    ///
    /// # Errors
    /// The host's failure, or reason `role` where nobody was given the role so.
    pub fn revoke(&self, role: &str, from: &str) -> Outcome {
        let members: Vec<Member> = self.read(PARTIES, "/members")?;
        let named = from.contains('@').then_some(from);
        let current = |member: &Member| {
            let same = member.participant == participant_of(from) && member.actor.as_deref() == named;
            member.role == role && same && member.to.is_none()
        };
        match members.iter().position(current) {
            Some(index) => self.add(PARTIES, &format!("/members/{index}/to"), &self.seq()),
            None => reject("role", format!("{from} is not {role} of {}", self.given.record)),
        }
    }
}

fn participant_of(actor: &str) -> &str {
    actor.split_once('@').map_or(actor, |(_, participant)| participant)
}
