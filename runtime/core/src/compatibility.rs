//! What a new contract version changes for those who use the old one: patch, minor or major.
//!
//! Structural and on the safe side: what is not recognised as harmless is major. A version number that promises
//! less than the changes need is what `contract plan` finds.

use std::collections::BTreeSet;

use crate::json::{Json, Object};
use crate::names::Version;
use crate::package::Manifest;

/// How much a change asks of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing that was agreed looks different.
    Patch,
    /// What worked goes on working; there is more.
    Minor,
    /// What worked may no longer.
    Major,
}

impl Class {
    /// The word in plans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Patch => "patch",
            Class::Minor => "minor",
            Class::Major => "major",
        }
    }

    /// What the step from one version to another promises.
    #[must_use]
    pub fn promised(from: &Version, to: &Version) -> Self {
        if !to.compatible_with(from) {
            Class::Major
        } else if to.minor == from.minor {
            Class::Patch
        } else {
            Class::Minor
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Where in the manifest.
    pub path: String,
    /// What changed there.
    pub change: String,
    /// How much it asks.
    pub class: Class,
}

/// Everything that differs between two manifests, in the order of the manifest.
#[must_use]
pub fn compare(old: &Manifest, new: &Manifest) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let part = |manifest: &Manifest, name: &str| manifest.document().get(name).cloned().unwrap_or_default();
    members(&mut reasons, "/methods", &part(old, "methods"), &part(new, "methods"), &mut |reasons, path, old, new| {
        differ(reasons, path, old, new, &mut |reasons, path, name, old, new| match name {
            "arguments" => schema(reasons, path, old, new),
            "description" => push(reasons, path, "changed", Class::Patch),
            _ => push(reasons, path, "changed", Class::Minor),
        });
    });
    members(&mut reasons, "/specs", &part(old, "specs"), &part(new, "specs"), &mut spec);
    if old.code != new.code {
        push(&mut reasons, "/code", "changed", Class::Patch);
    }
    reasons
}

type VisitMember<'a> = dyn FnMut(&mut Vec<Reason>, &str, &str, &Json, &Json) + 'a;
type Visit<'a> = dyn FnMut(&mut Vec<Reason>, &str, &Json, &Json) + 'a;

fn push(reasons: &mut Vec<Reason>, path: &str, change: &str, class: Class) {
    reasons.push(Reason { path: path.to_owned(), change: change.to_owned(), class });
}

/// Compares named things: one that is gone is major, one that is new is minor.
fn members(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json, both: &mut Visit<'_>) {
    let empty = Object::default();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    for (name, before) in old.iter() {
        let path = format!("{path}/{name}");
        match new.get(name) {
            None => push(reasons, &path, "removed", Class::Major),
            Some(after) if after != before => both(reasons, &path, before, after),
            Some(_) => {}
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(name)) {
        push(reasons, &format!("{path}/{name}"), "added", Class::Minor);
    }
}

/// Calls `each` for every member that differs, absent ones as null.
fn differ(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json, each: &mut VisitMember<'_>) {
    let names: BTreeSet<&str> = [old, new].into_iter().filter_map(Json::as_object).flat_map(Object::keys).collect();
    for name in names {
        let (before, after) = (old.get(name).unwrap_or(&Json::Null), new.get(name).unwrap_or(&Json::Null));
        if before != after {
            each(reasons, &format!("{path}/{name}"), name, before, after);
        }
    }
}

fn spec(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json) {
    differ(reasons, path, old, new, &mut |reasons, path, name, old, new| match name {
        "sections" => members(reasons, path, old, new, &mut section),
        "parties" => section(reasons, path, old, new),
        "roles" => {
            members(reasons, path, old, new, &mut |reasons, path, _, _| push(reasons, path, "changed", Class::Major));
        }
        // Columns are added, never dropped: a projection that is gone leaves its column.
        "projections" => members(reasons, path, old, new, &mut |reasons, path, _, _| {
            push(reasons, path, "changed", Class::Minor);
        }),
        "description" => push(reasons, path, "changed", Class::Patch),
        "contracts" => set(reasons, path, old, new),
        "raw_changes" if new.as_bool() == Some(true) => push(reasons, path, "allowed", Class::Minor),
        _ => push(reasons, path, "changed", Class::Major),
    });
}

fn section(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json) {
    differ(reasons, path, old, new, &mut |reasons, path, name, old, new| match name {
        "schema" => schema(reasons, path, old, new),
        "description" => push(reasons, path, "changed", Class::Patch),
        _ => set(reasons, path, old, new),
    });
}

/// Lists whose order says nothing: less is major, more is minor.
fn set(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json) {
    let items =
        |json: &Json| -> BTreeSet<String> { json.as_array().unwrap_or_default().iter().map(Json::canonical).collect() };
    let (old, new) = (items(old), items(new));
    for gone in old.difference(&new) {
        push(reasons, path, &format!("{gone} removed"), Class::Major);
    }
    for more in new.difference(&old) {
        push(reasons, path, &format!("{more} added"), Class::Minor);
    }
}

/// A schema may get properties that are not required, and more values in an enum; all else is major.
fn schema(reasons: &mut Vec<Reason>, path: &str, old: &Json, new: &Json) {
    differ(reasons, path, old, new, &mut |reasons, path, name, old, new| match name {
        "title" | "description" | "$comment" | "default" | "examples" => push(reasons, path, "changed", Class::Patch),
        "properties" | "$defs" => members(reasons, path, old, new, &mut schema),
        "enum" => set(reasons, path, old, new),
        _ => push(reasons, path, "changed", Class::Major),
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json;

    fn manifest(properties: Json, required: Json, readers: Json) -> Manifest {
        let document = json!({
            "format": 1, "abi": 1, "name": "note", "version": "1.0.0", "sync": "compare", "methods": {}, "code": null, "debug": null, "build": {},
            "specs": {"note": {"roles": {"anyone": {"everyone": true}, "owner": {}}, "raw_changes": true,
                "sections": {"body": {"create": ["anyone"], "read": readers,
                    "schema": {"type": "object", "properties": properties, "required": required}}}}}
        });
        Manifest::parse(&document).unwrap()
    }

    fn check(new: &Manifest, expected: Option<Class>) {
        let old = manifest(json!({"text": {"type": "string"}}), json!(["text"]), json!(["anyone"]));
        let worst = compare(&old, new).iter().map(|reason| reason.class).max();
        assert_eq!(worst, expected, "{:?}", compare(&old, new));
    }

    #[test]
    fn one_optional_field_more_is_minor_and_one_required_is_major() {
        let more = json!({"text": {"type": "string"}, "tag": {"type": "string"}});
        check(&manifest(json!({"text": {"type": "string"}}), json!(["text"]), json!(["anyone"])), None);
        check(&manifest(more.clone(), json!(["text"]), json!(["anyone"])), Some(Class::Minor));
        check(&manifest(more, json!(["text", "tag"]), json!(["anyone"])), Some(Class::Major));
    }

    #[test]
    fn what_is_taken_away_is_major() {
        check(&manifest(json!({}), json!(["text"]), json!(["anyone"])), Some(Class::Major));
        check(&manifest(json!({"text": {"type": "string"}}), json!(["text"]), json!(["owner"])), Some(Class::Major));
    }

    #[test]
    fn a_version_promises_what_semver_says() {
        let promised =
            |from: &str, to: &str| Class::promised(&Version::parse(from).unwrap(), &Version::parse(to).unwrap());
        assert_eq!(promised("1.0.0", "1.0.1"), Class::Patch);
        assert_eq!(promised("1.0.0", "1.1.0"), Class::Minor);
        assert_eq!(promised("1.0.0", "2.0.0"), Class::Major);
    }
}
