//! How a document changes: the operations of RFC 6902, one at a time.
//!
//! An operation either happens or leaves the document as it was, and a document of megabytes is never
//! cloned to make that so. Stricter than the RFC in one point: an operation has no unknown members.

use super::fields::{Fields, ShapeError};
use super::parse::Limits;
use super::pointer::{Pointer, array_index};
use super::value::Json;

/// One operation of RFC 6902.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Puts a value where none was, replaces a member, or moves the items of an array up by one.
    Add {
        /// Where the value goes.
        path: Pointer,
        /// The value.
        value: Json,
    },
    /// Takes a value out; taking the whole document out leaves `null`.
    Remove {
        /// Where the value is.
        path: Pointer,
    },
    /// Puts another value in the place of one.
    Replace {
        /// Where the value is.
        path: Pointer,
        /// The value that takes its place.
        value: Json,
    },
    /// Takes a value out and adds it elsewhere.
    Move {
        /// Where the value is.
        from: Pointer,
        /// Where it goes, seen after it has been taken out.
        path: Pointer,
    },
    /// Adds a value that stands elsewhere already.
    Copy {
        /// Where the value is.
        from: Pointer,
        /// Where its copy goes.
        path: Pointer,
    },
    /// Fails unless the value is what is expected.
    Test {
        /// Where the value is.
        path: Pointer,
        /// What it should equal, by value.
        value: Json,
    },
}

/// Why an operation did not happen. The document is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {place:?}: {message}")]
pub struct PatchError {
    /// What is wrong, for programs.
    pub kind: PatchErrorKind,
    /// The name of the operation.
    pub operation: &'static str,
    /// The pointer that could not be followed or used.
    pub place: String,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// The reasons for which an operation does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatchErrorKind {
    /// A pointer leads nowhere.
    NotFound,
    /// A token that should name an item of an array does not.
    BadIndex,
    /// A value would be moved into itself.
    IntoItself,
    /// The value is not the expected one.
    TestFailed,
    /// The document would nest too deep.
    TooDeep,
    /// The document would become too long.
    TooLong,
}

/// What failed, before it is known which operation it failed in.
type Failure = (PatchErrorKind, String);

impl Operation {
    /// Reads an operation; members that it does not have are refused.
    pub fn from_json(value: &Json) -> Result<Operation, ShapeError> {
        let mut fields = Fields::of(value, "operation")?;
        let name = fields.text("op")?;
        let path = fields.parsed("path", Pointer::parse)?;
        let operation = match name {
            "add" => Operation::Add { path, value: fields.need("value")?.clone() },
            "remove" => Operation::Remove { path },
            "replace" => Operation::Replace { path, value: fields.need("value")?.clone() },
            "move" => Operation::Move { from: fields.parsed("from", Pointer::parse)?, path },
            "copy" => Operation::Copy { from: fields.parsed("from", Pointer::parse)?, path },
            "test" => Operation::Test { path, value: fields.need("value")?.clone() },
            other => {
                let found = super::parse::quoted(other);
                let expected = "add, remove, replace, move, copy or test";
                return Err(ShapeError::new(fields.path("op"), expected, found));
            }
        };
        fields.finish()?;
        Ok(operation)
    }

    /// The operation as RFC 6902 writes it.
    pub fn to_json(&self) -> Json {
        let mut members = super::Object::new();
        members.insert("op", self.name());
        members.insert("path", self.path().to_string());
        if let Some(from) = self.from() {
            members.insert("from", from.to_string());
        }
        if let Some(value) = self.value() {
            members.insert("value", value.clone());
        }
        Json::Object(members)
    }

    /// `add`, `remove`, `replace`, `move`, `copy` or `test`.
    pub fn name(&self) -> &'static str {
        match self {
            Operation::Add { .. } => "add",
            Operation::Remove { .. } => "remove",
            Operation::Replace { .. } => "replace",
            Operation::Move { .. } => "move",
            Operation::Copy { .. } => "copy",
            Operation::Test { .. } => "test",
        }
    }

    /// The place that the operation is about.
    pub fn path(&self) -> &Pointer {
        match self {
            Operation::Add { path, .. }
            | Operation::Remove { path }
            | Operation::Replace { path, .. }
            | Operation::Move { path, .. }
            | Operation::Copy { path, .. }
            | Operation::Test { path, .. } => path,
        }
    }

    /// The place that a `move` or `copy` takes its value from.
    pub fn from(&self) -> Option<&Pointer> {
        match self {
            Operation::Move { from, .. } | Operation::Copy { from, .. } => Some(from),
            _ => None,
        }
    }

    /// The value that an `add`, `replace` or `test` carries.
    pub fn value(&self) -> Option<&Json> {
        match self {
            Operation::Add { value, .. } | Operation::Replace { value, .. } | Operation::Test { value, .. } => {
                Some(value)
            }
            _ => None,
        }
    }

    /// Changes the document, within the network's limits for a document.
    ///
    /// Answers the value that stood at `path` before, `null` when there was none (as where an item was
    /// inserted into an array). A failed operation leaves the document untouched.
    pub fn apply(&self, document: &mut Json) -> Result<Json, PatchError> {
        self.apply_within(document, &Limits::default())
    }

    /// Changes the document, within limits: no result nests deeper than `limits.depth`, and no copy makes the
    /// canonical form longer than `limits.bytes`. What the other operations add came through the door.
    pub fn apply_within(&self, document: &mut Json, limits: &Limits) -> Result<Json, PatchError> {
        match self {
            Operation::Add { path, value } => {
                self.check_depth(path, value, limits)?;
                add(document, path, value.clone()).map_err(|(failure, _)| self.error(path, failure))
            }
            Operation::Remove { path } => remove(document, path).map_err(|failure| self.error(path, failure)),
            Operation::Replace { path, value } => {
                self.check_depth(path, value, limits)?;
                let old = find_mut(document, path).map_err(|failure| self.error(path, failure))?;
                Ok(std::mem::replace(old, value.clone()))
            }
            Operation::Move { from, path } => self.relocate(document, from, path, limits),
            Operation::Copy { from, path } => {
                let value = self.find(document, from)?;
                self.check_depth(path, value, limits)?;
                if value.canonical_len().saturating_add(document.canonical_len()) > limits.bytes {
                    let message = format!("the document would grow beyond {} bytes", limits.bytes);
                    return Err(self.error(path, (PatchErrorKind::TooLong, message)));
                }
                let value = value.clone();
                add(document, path, value).map_err(|(failure, _)| self.error(path, failure))
            }
            Operation::Test { path, value } => match self.find(document, path)? {
                found if found == value => Ok(value.clone()),
                found => Err(self.error(path, test_failure(found, value))),
            },
        }
    }

    fn relocate(
        &self,
        document: &mut Json,
        from: &Pointer,
        path: &Pointer,
        limits: &Limits,
    ) -> Result<Json, PatchError> {
        let value = self.find(document, from)?;
        self.check_depth(path, value, limits)?;
        if from == path {
            return Ok(value.clone());
        }
        if from.holds(path) {
            let message = format!("a value cannot be moved into itself (from {:?})", from.to_string());
            return Err(self.error(path, (PatchErrorKind::IntoItself, message)));
        }
        if path.holds(from) && !is_item(document, path) {
            // The value replaces what it stands in. Cloning this smaller part lets the answer be whole.
            let value = value.clone();
            return add(document, path, value).map_err(|(failure, _)| self.error(path, failure));
        }
        let value = remove(document, from).map_err(|failure| self.error(from, failure))?;
        add(document, path, value).map_err(|(failure, value)| {
            let restored = add(document, from, value);
            assert!(restored.is_ok(), "a value fits where it was just taken from");
            self.error(path, failure)
        })
    }

    fn find<'a>(&self, document: &'a Json, pointer: &Pointer) -> Result<&'a Json, PatchError> {
        document.at(pointer).ok_or_else(|| self.error(pointer, nothing_there()))
    }

    fn check_depth(&self, path: &Pointer, value: &Json, limits: &Limits) -> Result<(), PatchError> {
        let fits = limits.depth.checked_sub(path.tokens().len()).is_some_and(|left| value.nests_within(left));
        if fits {
            return Ok(());
        }
        let message = format!("the document would nest deeper than {}; flatten it", limits.depth);
        Err(self.error(path, (PatchErrorKind::TooDeep, message)))
    }

    fn error(&self, place: &Pointer, (kind, message): Failure) -> PatchError {
        PatchError { kind, operation: self.name(), place: place.to_string(), message }
    }
}

/// Adds `value` and answers what it replaced; a value that does not fit comes back.
fn add(document: &mut Json, path: &Pointer, value: Json) -> Result<Json, (Failure, Json)> {
    let Some((last, parents)) = path.tokens().split_last() else {
        return Ok(std::mem::replace(document, value));
    };
    match find_tokens(document, parents) {
        Err(failure) => Err((failure, value)),
        Ok(Json::Object(members)) => Ok(members.insert(last.as_str(), value).unwrap_or_default()),
        Ok(Json::Array(items)) => match insertion_index(last, items.len()) {
            Ok(index) => {
                items.insert(index, value);
                Ok(Json::Null)
            }
            Err(failure) => Err((failure, value)),
        },
        Ok(other) => Err((not_a_container(other), value)),
    }
}

fn remove(document: &mut Json, path: &Pointer) -> Result<Json, Failure> {
    let Some((last, parents)) = path.tokens().split_last() else {
        return Ok(std::mem::take(document));
    };
    match find_tokens(document, parents)? {
        Json::Object(members) => members.remove(last).ok_or_else(nothing_there),
        Json::Array(items) => {
            let index = item_index(last, items.len())?;
            Ok(items.remove(index))
        }
        other => Err(not_a_container(other)),
    }
}

fn find_mut<'a>(document: &'a mut Json, path: &Pointer) -> Result<&'a mut Json, Failure> {
    find_tokens(document, path.tokens())
}

fn find_tokens<'a>(document: &'a mut Json, tokens: &[String]) -> Result<&'a mut Json, Failure> {
    tokens.iter().try_fold(document, |value, token| match value {
        Json::Object(members) => members.get_mut(token).ok_or_else(nothing_there),
        Json::Array(items) => {
            let index = item_index(token, items.len())?;
            items.get_mut(index).ok_or_else(nothing_there)
        }
        other => Err(not_a_container(other)),
    })
}

/// Whether the pointer names an item of an array, where adding inserts instead of replacing.
fn is_item(document: &Json, path: &Pointer) -> bool {
    let parents = path.tokens().split_last().map(|(_, parents)| parents);
    matches!(parents.and_then(|parents| document.at_tokens(parents)), Some(Json::Array(_)))
}

/// The index of an item that is there.
fn item_index(token: &str, len: usize) -> Result<usize, Failure> {
    match array_index(token) {
        Some(index) if index < len => Ok(index),
        Some(_) => Err((PatchErrorKind::NotFound, format!("the array has only {len} items"))),
        None => Err(bad_index(token)),
    }
}

/// The index that an added item gets: before an item that is there, or after the last one.
fn insertion_index(token: &str, len: usize) -> Result<usize, Failure> {
    match array_index(token) {
        _ if token == "-" => Ok(len),
        Some(index) if index <= len => Ok(index),
        Some(_) => {
            let message = format!("the array has only {len} items; use - to add one at its end");
            Err((PatchErrorKind::BadIndex, message))
        }
        None => Err(bad_index(token)),
    }
}

fn bad_index(token: &str) -> Failure {
    let message = match token {
        "-" => "- names the place after the last item, where there is nothing yet".to_owned(),
        other => format!("{} is no array index; write digits without leading zeros", super::parse::quoted(other)),
    };
    (PatchErrorKind::BadIndex, message)
}

fn nothing_there() -> Failure {
    (PatchErrorKind::NotFound, "there is nothing at this place".to_owned())
}

fn not_a_container(value: &Json) -> Failure {
    let message = format!("the place lies inside {}, which holds no other values", value.kind_with_article());
    (PatchErrorKind::NotFound, message)
}

fn test_failure(found: &Json, expected: &Json) -> Failure {
    let show = |value: &Json| match value {
        Json::Array(_) | Json::Object(_) => value.kind_with_article().to_owned(),
        scalar => super::parse::shortened(&scalar.canonical()),
    };
    let message = match (show(found), show(expected)) {
        (found, expected) if found == expected => {
            format!("found {found}, but with another content")
        }
        (found, expected) => format!("expected {expected}, found {found}"),
    };
    (PatchErrorKind::TestFailed, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
