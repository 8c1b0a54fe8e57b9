//! The section that every record has: which participant and actor holds which role, from seq to seq.
//!
//! Rights come from here and nowhere else. Its history is part of its content, so that a change of it only
//! opens a membership from now on or closes one as of now; [`check_step`] holds every change to that.

use crate::json::{Json, json};
use crate::names::{ActorId, RoleName};

/// One membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The role held.
    pub role: String,
    /// The participant that holds it.
    pub participant: String,
    /// The actor, where only one of the participant's actors holds it.
    pub actor: Option<String>,
    /// First seq at which it is held.
    pub from: u64,
    /// First seq at which it is no longer held.
    pub to: Option<u64>,
}

impl Member {
    /// Whether it is held at `seq`.
    #[must_use]
    pub fn held_at(&self, seq: u64) -> bool {
        self.from <= seq && self.to.is_none_or(|to| seq < to)
    }

    /// Whether this actor holds it.
    #[must_use]
    pub fn is_for(&self, actor: &ActorId) -> bool {
        self.participant == actor.participant().as_str()
            && self.actor.as_deref().is_none_or(|named| named == actor.as_str())
    }
}

/// The schema that parties of a spec with these roles satisfy.
pub fn schema<'a>(roles: impl Iterator<Item = &'a RoleName>) -> Json {
    let roles: Vec<Json> = roles.map(|role| Json::from(role.as_str())).collect();
    let role = if roles.is_empty() { json!(false) } else { json!({"enum": roles}) };
    json!({
        "type": "object",
        "properties": {"members": {"type": "array", "maxItems": 10000, "items": {
            "type": "object",
            "properties": {
                "role": role,
                "participant": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,47}$"},
                "actor": {"type": ["string", "null"], "pattern": "^[a-z][a-z0-9-]{0,47}@[a-z][a-z0-9-]{0,47}$"},
                "from": {"type": "integer", "minimum": 1},
                "to": {"type": ["integer", "null"], "minimum": 1}
            },
            "required": ["role", "participant", "from"],
            "additionalProperties": false
        }}},
        "required": ["members"],
        "additionalProperties": false
    })
}

/// The memberships in a parties section; what has not the schema's shape is no membership.
#[must_use]
pub fn members(parties: &Json) -> Vec<Member> {
    let Some(list) = parties.get("members").and_then(Json::as_array) else { return Vec::new() };
    list.iter().filter_map(member).collect()
}

fn member(entry: &Json) -> Option<Member> {
    Some(Member {
        role: entry.get("role")?.as_str()?.to_owned(),
        participant: entry.get("participant")?.as_str()?.to_owned(),
        actor: entry.get("actor").and_then(Json::as_str).map(str::to_owned),
        from: entry.get("from")?.as_u64()?,
        to: entry.get("to").and_then(Json::as_u64),
    })
}

/// Whether the step from `before` to `after` at `seq` only opens memberships from `seq` or closes open ones at `seq`.
///
/// # Errors
/// What it does instead, for people.
pub fn check_step(before: &Json, after: &Json, seq: u64) -> Result<(), String> {
    let (old, new) = (members(before), members(after));
    for (index, was) in old.iter().enumerate() {
        let Some(is) = new.get(index) else {
            return Err(format!("membership {index} was removed; close it with \"to\": {seq} instead"));
        };
        let closed = Member { to: Some(seq), ..was.clone() };
        if is != was && !(was.to.is_none() && *is == closed) {
            return Err(format!("membership {index} was altered; a membership can only be closed, with \"to\": {seq}"));
        }
    }
    for (index, is) in new.iter().enumerate().skip(old.len()) {
        if is.from != seq || is.to.is_some() {
            return Err(format!("membership {index} is new and must be open from {seq}"));
        }
        if is.actor.as_deref().is_some_and(|actor| !actor.ends_with(&format!("@{}", is.participant))) {
            return Err(format!("membership {index} names an actor who is not of its participant"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties(list: &[(&str, u64, Option<u64>)]) -> Json {
        let members: Vec<Json> = list
            .iter()
            .map(|(role, from, to)| json!({"role": *role, "participant": "acme", "from": *from, "to": *to}))
            .collect();
        json!({"members": members})
    }

    #[test]
    fn memberships_open_and_close_as_of_now_and_never_otherwise() {
        let before = parties(&[("seller", 1, None)]);
        let ok = |after: &Json| check_step(&before, after, 5).is_ok();
        assert!(ok(&before));
        assert!(ok(&parties(&[("seller", 1, Some(5))])));
        assert!(ok(&parties(&[("seller", 1, None), ("buyer", 5, None)])));
        assert!(!ok(&parties(&[])));
        assert!(!ok(&parties(&[("seller", 1, Some(4))])));
        assert!(!ok(&parties(&[("buyer", 1, None)])));
        assert!(!ok(&parties(&[("seller", 1, None), ("buyer", 4, None)])));
        assert!(!ok(&parties(&[("seller", 1, None), ("buyer", 5, Some(6))])));
    }

    #[test]
    fn a_membership_is_held_from_its_first_seq_up_to_its_last() {
        let member = Member { role: "r".into(), participant: "p".into(), actor: None, from: 4, to: Some(8) };
        assert_eq!([3, 4, 7, 8].map(|seq| member.held_at(seq)), [false, true, true, false]);
    }
}
