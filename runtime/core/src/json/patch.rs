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
            "add" => Operation::Add {
                path,
                value: fields.need("value")?.clone(),
            },
            "remove" => Operation::Remove { path },
            "replace" => Operation::Replace {
                path,
                value: fields.need("value")?.clone(),
            },
            "move" => Operation::Move {
                from: fields.parsed("from", Pointer::parse)?,
                path,
            },
            "copy" => Operation::Copy {
                from: fields.parsed("from", Pointer::parse)?,
                path,
            },
            "test" => Operation::Test {
                path,
                value: fields.need("value")?.clone(),
            },
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
            Operation::Add { value, .. }
            | Operation::Replace { value, .. }
            | Operation::Test { value, .. } => Some(value),
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
            Operation::Remove { path } => {
                remove(document, path).map_err(|failure| self.error(path, failure))
            }
            Operation::Replace { path, value } => {
                self.check_depth(path, value, limits)?;
                let old = find_mut(document, path).map_err(|failure| self.error(path, failure))?;
                Ok(std::mem::replace(old, value.clone()))
            }
            Operation::Move { from, path } => self.relocate(document, from, path, limits),
            Operation::Copy { from, path } => {
                let value = self.find(document, from)?;
                self.check_depth(path, value, limits)?;
                if value
                    .canonical_len()
                    .saturating_add(document.canonical_len())
                    > limits.bytes
                {
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
            let message = format!(
                "a value cannot be moved into itself (from {:?})",
                from.to_string()
            );
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
            assert!(
                restored.is_ok(),
                "a value fits where it was just taken from"
            );
            self.error(path, failure)
        })
    }

    fn find<'a>(&self, document: &'a Json, pointer: &Pointer) -> Result<&'a Json, PatchError> {
        document
            .at(pointer)
            .ok_or_else(|| self.error(pointer, nothing_there()))
    }

    fn check_depth(&self, path: &Pointer, value: &Json, limits: &Limits) -> Result<(), PatchError> {
        let fits = limits
            .depth
            .checked_sub(path.tokens().len())
            .is_some_and(|left| value.nests_within(left));
        if fits {
            return Ok(());
        }
        let message = format!(
            "the document would nest deeper than {}; flatten it",
            limits.depth
        );
        Err(self.error(path, (PatchErrorKind::TooDeep, message)))
    }

    fn error(&self, place: &Pointer, (kind, message): Failure) -> PatchError {
        PatchError {
            kind,
            operation: self.name(),
            place: place.to_string(),
            message,
        }
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
    tokens
        .iter()
        .try_fold(document, |value, token| match value {
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
    matches!(
        parents.and_then(|parents| document.at_tokens(parents)),
        Some(Json::Array(_))
    )
}

/// The index of an item that is there.
fn item_index(token: &str, len: usize) -> Result<usize, Failure> {
    match array_index(token) {
        Some(index) if index < len => Ok(index),
        Some(_) => Err((
            PatchErrorKind::NotFound,
            format!("the array has only {len} items"),
        )),
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
        other => format!(
            "{} is no array index; write digits without leading zeros",
            super::parse::quoted(other)
        ),
    };
    (PatchErrorKind::BadIndex, message)
}

fn nothing_there() -> Failure {
    (
        PatchErrorKind::NotFound,
        "there is nothing at this place".to_owned(),
    )
}

fn not_a_container(value: &Json) -> Failure {
    let message = format!(
        "the place lies inside {}, which holds no other values",
        value.kind_with_article()
    );
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::json;

    fn operation(value: Json) -> Operation {
        let operation = Operation::from_json(&value).unwrap();
        assert_eq!(operation.to_json(), value);
        operation
    }

    /// Applies, and compares the document and the value before.
    fn check(document: Json, patch: Json, expected: Json, before: Json) {
        let mut changed = document.clone();
        assert_eq!(
            operation(patch.clone()).apply(&mut changed),
            Ok(before),
            "{patch} on {document}"
        );
        assert_eq!(changed, expected, "{patch} on {document}");
    }

    fn refuse(document: Json, patch: Json, kind: PatchErrorKind) -> String {
        let mut changed = document.clone();
        let error = operation(patch.clone()).apply(&mut changed).unwrap_err();
        assert_eq!(error.kind, kind, "{patch} on {document}: {error}");
        assert_eq!(
            changed, document,
            "a failed operation leaves the document untouched"
        );
        error.to_string()
    }

    #[test]
    fn add_sets_members_and_inserts_items() {
        check(
            json!({}),
            json!({"op": "add", "path": "/a", "value": 1}),
            json!({"a": 1}),
            json!(null),
        );
        check(
            json!({"a": 1}),
            json!({"op": "add", "path": "/a", "value": 2}),
            json!({"a": 2}),
            json!(1),
        );
        check(
            json!([1, 2]),
            json!({"op": "add", "path": "/1", "value": 9}),
            json!([1, 9, 2]),
            json!(null),
        );
        check(
            json!([1]),
            json!({"op": "add", "path": "/1", "value": 9}),
            json!([1, 9]),
            json!(null),
        );
        check(
            json!([1]),
            json!({"op": "add", "path": "/-", "value": 9}),
            json!([1, 9]),
            json!(null),
        );
        check(
            json!({"": 1}),
            json!({"op": "add", "path": "/", "value": 9}),
            json!({"": 9}),
            json!(1),
        );
    }

    #[test]
    fn an_absent_section_is_null_and_is_set_and_removed_whole() {
        check(
            json!(null),
            json!({"op": "add", "path": "", "value": {"a": 1}}),
            json!({"a": 1}),
            json!(null),
        );
        check(
            json!({"a": 1}),
            json!({"op": "remove", "path": ""}),
            json!(null),
            json!({"a": 1}),
        );
        check(
            json!({"a": 1}),
            json!({"op": "replace", "path": "", "value": []}),
            json!([]),
            json!({"a": 1}),
        );
    }

    #[test]
    fn remove_and_replace_need_something_to_be_there() {
        check(
            json!({"a": [1, 2]}),
            json!({"op": "remove", "path": "/a/0"}),
            json!({"a": [2]}),
            json!(1),
        );
        check(
            json!({"a": 1}),
            json!({"op": "replace", "path": "/a", "value": 2}),
            json!({"a": 2}),
            json!(1),
        );
        refuse(
            json!({"a": 1}),
            json!({"op": "remove", "path": "/b"}),
            PatchErrorKind::NotFound,
        );
        refuse(
            json!({"a": 1}),
            json!({"op": "replace", "path": "/b", "value": 1}),
            PatchErrorKind::NotFound,
        );
        refuse(
            json!([1]),
            json!({"op": "replace", "path": "/1", "value": 1}),
            PatchErrorKind::NotFound,
        );
        refuse(
            json!("x"),
            json!({"op": "remove", "path": "/0"}),
            PatchErrorKind::NotFound,
        );
    }

    #[test]
    fn an_index_has_one_spelling_and_the_dash_is_for_add() {
        for path in [
            "/01",
            "/1e0",
            "/+1",
            "/-1",
            "/a",
            "/",
            "/3",
            "/99999999999999999999",
        ] {
            refuse(
                json!([1, 2]),
                json!({"op": "add", "path": path, "value": 1}),
                PatchErrorKind::BadIndex,
            );
        }
        for name in ["remove", "replace", "test"] {
            let mut patch = json!({"op": name, "path": "/-", "value": 1});
            if let (Json::Object(members), "remove") = (&mut patch, name) {
                members.remove("value");
            }
            let kind = if name == "test" {
                PatchErrorKind::NotFound
            } else {
                PatchErrorKind::BadIndex
            };
            refuse(json!([1]), patch, kind);
        }
        refuse(
            json!([[1]]),
            json!({"op": "add", "path": "/-/0", "value": 1}),
            PatchErrorKind::BadIndex,
        );
    }

    #[test]
    fn move_takes_out_and_puts_in() {
        let patch = |from: &str, path: &str| json!({"op": "move", "from": from, "path": path});
        check(
            json!({"a": 1, "b": 2}),
            patch("/a", "/b"),
            json!({"b": 1}),
            json!(2),
        );
        check(
            json!({"a": 1}),
            patch("/a", "/c"),
            json!({"c": 1}),
            json!(null),
        );
        check(
            json!([1, 2, 3]),
            patch("/0", "/2"),
            json!([2, 3, 1]),
            json!(null),
        );
        check(
            json!([1, 2, 3]),
            patch("/2", "/0"),
            json!([3, 1, 2]),
            json!(null),
        );
        check(json!([1, 2]), patch("/0", "/0"), json!([1, 2]), json!(1));
        check(
            json!({"a": {"b": {"c": 1}}}),
            patch("/a/b", "/a"),
            json!({"a": {"c": 1}}),
            json!({"b": {"c": 1}}),
        );
        check(
            json!({"a": {"b": 1}}),
            patch("/a/b", ""),
            json!(1),
            json!({"a": {"b": 1}}),
        );
        check(
            json!([{"x": 1}]),
            patch("/0/x", "/0"),
            json!([1, {}]),
            json!(null),
        );
        refuse(
            json!({"a": {"b": 1}}),
            patch("/a", "/a/b"),
            PatchErrorKind::IntoItself,
        );
        refuse(json!({"a": 1}), patch("", "/a"), PatchErrorKind::IntoItself);
        refuse(json!({"a": 1}), patch("/b", "/a"), PatchErrorKind::NotFound);
    }

    #[test]
    fn a_move_that_fails_half_way_is_taken_back() {
        let patch = |from: &str, path: &str| json!({"op": "move", "from": from, "path": path});
        refuse(
            json!([1, 2, 3]),
            patch("/1", "/3"),
            PatchErrorKind::BadIndex,
        );
        refuse(
            json!({"a": 1, "b": []}),
            patch("/a", "/b/1"),
            PatchErrorKind::BadIndex,
        );
        refuse(
            json!({"a": 1}),
            patch("/a", "/x/y"),
            PatchErrorKind::NotFound,
        );
        refuse(
            json!({"a": [1, [2]]}),
            patch("/a/0", "/a/1/0"),
            PatchErrorKind::NotFound,
        );
    }

    #[test]
    fn copy_leaves_the_source() {
        let patch = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        check(
            json!({"a": {"b": 1}}),
            patch("/a", "/a/c"),
            json!({"a": {"b": 1, "c": {"b": 1}}}),
            json!(null),
        );
        check(
            json!([1, 2]),
            patch("/0", "/-"),
            json!([1, 2, 1]),
            json!(null),
        );
        check(json!([1]), patch("", "/0"), json!([[1], 1]), json!(null));
        refuse(json!([1]), patch("/-", "/0"), PatchErrorKind::NotFound);
    }

    #[test]
    fn test_compares_by_value() {
        let read = |text: &str| Json::parse(text.as_bytes(), &Limits::default()).unwrap();
        let document = json!({"a": {"x": 1, "y": [1, "ä"]}});
        let same = read(r#"{"op":"test","path":"/a","value":{"y":[1.0,"\u00e4"],"x":1e0}}"#);
        check(
            document.clone(),
            same,
            document.clone(),
            json!({"x": 1, "y": [1, "ä"]}),
        );
        let message = refuse(
            document,
            json!({"op": "test", "path": "/a/x", "value": "1"}),
            PatchErrorKind::TestFailed,
        );
        assert_eq!(message, "test \"/a/x\": expected \"1\", found 1");
        refuse(
            json!({}),
            json!({"op": "test", "path": "/a", "value": null}),
            PatchErrorKind::NotFound,
        );
    }

    #[test]
    fn copies_cannot_grow_a_document_beyond_the_limit() {
        let mut document = json!({"a": "x".repeat(100)});
        let limits = Limits {
            bytes: 1000,
            depth: 64,
        };
        let copy =
            |index: i32| operation(json!({"op": "copy", "from": "", "path": format!("/{index}")}));
        let applied = (0..100)
            .take_while(|index| copy(*index).apply_within(&mut document, &limits).is_ok())
            .count();
        assert_eq!(applied, 3);
        assert!(document.canonical_len() <= limits.bytes);
    }

    #[test]
    fn no_operation_nests_a_document_too_deep() {
        let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| Json::Array(vec![inner]));
        check(
            json!([]),
            json!({"op": "add", "path": "/0", "value": deep(63)}),
            deep(64),
            json!(null),
        );
        refuse(
            json!([]),
            json!({"op": "add", "path": "/0", "value": deep(64)}),
            PatchErrorKind::TooDeep,
        );
        refuse(
            json!([1]),
            json!({"op": "replace", "path": "/0", "value": deep(64)}),
            PatchErrorKind::TooDeep,
        );
        refuse(
            json!([deep(63), []]),
            json!({"op": "move", "from": "/0", "path": "/1/0"}),
            PatchErrorKind::TooDeep,
        );
        refuse(
            json!([deep(63), []]),
            json!({"op": "copy", "from": "/0", "path": "/1/0"}),
            PatchErrorKind::TooDeep,
        );
    }

    #[test]
    fn an_operation_is_read_strictly() {
        for (patch, problem) in [
            (
                json!({"op": "add", "path": "/a"}),
                "operation.value: expected a value, found no such member",
            ),
            (
                json!({"op": "move", "path": "/a"}),
                "operation.from: expected a value, found no such member",
            ),
            (
                json!({"op": "remove"}),
                "operation.path: expected a value, found no such member",
            ),
            (
                json!({"op": "remove", "path": "/a", "value": 1}),
                "operation: expected only known members, found the member \"value\"",
            ),
            (
                json!({"op": "spam", "path": "/a"}),
                "operation.op: expected add, remove, replace, move, copy or test, found \"spam\"",
            ),
            (json!([]), "operation: expected an object, found an array"),
        ] {
            assert_eq!(
                Operation::from_json(&patch).unwrap_err().to_string(),
                problem
            );
        }
        assert!(Operation::from_json(&json!({"op": "remove", "path": "a"})).is_err());
    }
}
