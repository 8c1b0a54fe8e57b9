//! What each operation does, and that a failed one does nothing.

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
    assert_eq!(operation(patch.clone()).apply(&mut changed), Ok(before), "{patch} on {document}");
    assert_eq!(changed, expected, "{patch} on {document}");
}

fn refuse(document: Json, patch: Json, kind: PatchErrorKind) -> String {
    let mut changed = document.clone();
    let error = operation(patch.clone()).apply(&mut changed).unwrap_err();
    assert_eq!(error.kind, kind, "{patch} on {document}: {error}");
    assert_eq!(changed, document, "a failed operation leaves the document untouched");
    error.to_string()
}

#[test]
fn add_sets_members_and_inserts_items() {
    check(json!({}), json!({"op": "add", "path": "/a", "value": 1}), json!({"a": 1}), json!(null));
    check(json!({"a": 1}), json!({"op": "add", "path": "/a", "value": 2}), json!({"a": 2}), json!(1));
    check(json!([1, 2]), json!({"op": "add", "path": "/1", "value": 9}), json!([1, 9, 2]), json!(null));
    check(json!([1]), json!({"op": "add", "path": "/1", "value": 9}), json!([1, 9]), json!(null));
    check(json!([1]), json!({"op": "add", "path": "/-", "value": 9}), json!([1, 9]), json!(null));
    check(json!({"": 1}), json!({"op": "add", "path": "/", "value": 9}), json!({"": 9}), json!(1));
}

#[test]
fn an_absent_section_is_null_and_is_set_and_removed_whole() {
    check(json!(null), json!({"op": "add", "path": "", "value": {"a": 1}}), json!({"a": 1}), json!(null));
    check(json!({"a": 1}), json!({"op": "remove", "path": ""}), json!(null), json!({"a": 1}));
    check(json!({"a": 1}), json!({"op": "replace", "path": "", "value": []}), json!([]), json!({"a": 1}));
}

#[test]
fn remove_and_replace_need_something_to_be_there() {
    check(json!({"a": [1, 2]}), json!({"op": "remove", "path": "/a/0"}), json!({"a": [2]}), json!(1));
    check(json!({"a": 1}), json!({"op": "replace", "path": "/a", "value": 2}), json!({"a": 2}), json!(1));
    refuse(json!({"a": 1}), json!({"op": "remove", "path": "/b"}), PatchErrorKind::NotFound);
    refuse(json!({"a": 1}), json!({"op": "replace", "path": "/b", "value": 1}), PatchErrorKind::NotFound);
    refuse(json!([1]), json!({"op": "replace", "path": "/1", "value": 1}), PatchErrorKind::NotFound);
    refuse(json!("x"), json!({"op": "remove", "path": "/0"}), PatchErrorKind::NotFound);
}

#[test]
fn an_index_has_one_spelling_and_the_dash_is_for_add() {
    for path in ["/01", "/1e0", "/+1", "/-1", "/a", "/", "/3", "/99999999999999999999"] {
        refuse(json!([1, 2]), json!({"op": "add", "path": path, "value": 1}), PatchErrorKind::BadIndex);
    }
    for name in ["remove", "replace", "test"] {
        let mut patch = json!({"op": name, "path": "/-", "value": 1});
        if let (Json::Object(members), "remove") = (&mut patch, name) {
            members.remove("value");
        }
        let kind = if name == "test" { PatchErrorKind::NotFound } else { PatchErrorKind::BadIndex };
        refuse(json!([1]), patch, kind);
    }
    refuse(json!([[1]]), json!({"op": "add", "path": "/-/0", "value": 1}), PatchErrorKind::BadIndex);
}

#[test]
fn move_takes_out_and_puts_in() {
    let patch = |from: &str, path: &str| json!({"op": "move", "from": from, "path": path});
    check(json!({"a": 1, "b": 2}), patch("/a", "/b"), json!({"b": 1}), json!(2));
    check(json!({"a": 1}), patch("/a", "/c"), json!({"c": 1}), json!(null));
    check(json!([1, 2, 3]), patch("/0", "/2"), json!([2, 3, 1]), json!(null));
    check(json!([1, 2, 3]), patch("/2", "/0"), json!([3, 1, 2]), json!(null));
    check(json!([1, 2]), patch("/0", "/0"), json!([1, 2]), json!(1));
    check(json!({"a": {"b": {"c": 1}}}), patch("/a/b", "/a"), json!({"a": {"c": 1}}), json!({"b": {"c": 1}}));
    check(json!({"a": {"b": 1}}), patch("/a/b", ""), json!(1), json!({"a": {"b": 1}}));
    check(json!([{"x": 1}]), patch("/0/x", "/0"), json!([1, {}]), json!(null));
    refuse(json!({"a": {"b": 1}}), patch("/a", "/a/b"), PatchErrorKind::IntoItself);
    refuse(json!({"a": 1}), patch("", "/a"), PatchErrorKind::IntoItself);
    refuse(json!({"a": 1}), patch("/b", "/a"), PatchErrorKind::NotFound);
}

#[test]
fn a_move_that_fails_half_way_is_taken_back() {
    let patch = |from: &str, path: &str| json!({"op": "move", "from": from, "path": path});
    refuse(json!([1, 2, 3]), patch("/1", "/3"), PatchErrorKind::BadIndex);
    refuse(json!({"a": 1, "b": []}), patch("/a", "/b/1"), PatchErrorKind::BadIndex);
    refuse(json!({"a": 1}), patch("/a", "/x/y"), PatchErrorKind::NotFound);
    refuse(json!({"a": [1, [2]]}), patch("/a/0", "/a/1/0"), PatchErrorKind::NotFound);
}

#[test]
fn copy_leaves_the_source() {
    let patch = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
    check(json!({"a": {"b": 1}}), patch("/a", "/a/c"), json!({"a": {"b": 1, "c": {"b": 1}}}), json!(null));
    check(json!([1, 2]), patch("/0", "/-"), json!([1, 2, 1]), json!(null));
    check(json!([1]), patch("", "/0"), json!([[1], 1]), json!(null));
    refuse(json!([1]), patch("/-", "/0"), PatchErrorKind::NotFound);
}

#[test]
fn test_compares_by_value() {
    let read = |text: &str| Json::parse(text.as_bytes(), &Limits::default()).unwrap();
    let document = json!({"a": {"x": 1, "y": [1, "ä"]}});
    let same = read(r#"{"op":"test","path":"/a","value":{"y":[1.0,"\u00e4"],"x":1e0}}"#);
    check(document.clone(), same, document.clone(), json!({"x": 1, "y": [1, "ä"]}));
    let message = refuse(document, json!({"op": "test", "path": "/a/x", "value": "1"}), PatchErrorKind::TestFailed);
    assert_eq!(message, "test \"/a/x\": expected \"1\", found 1");
    refuse(json!({}), json!({"op": "test", "path": "/a", "value": null}), PatchErrorKind::NotFound);
}

#[test]
fn copies_cannot_grow_a_document_beyond_the_limit() {
    let mut document = json!({"a": "x".repeat(100)});
    let limits = Limits { bytes: 1000, depth: 64 };
    let copy = |index: i32| operation(json!({"op": "copy", "from": "", "path": format!("/{index}")}));
    let applied = (0..100).take_while(|index| copy(*index).apply_within(&mut document, &limits).is_ok()).count();
    assert_eq!(applied, 3);
    assert!(document.canonical_len() <= limits.bytes);
}

#[test]
fn no_operation_nests_a_document_too_deep() {
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| Json::Array(vec![inner]));
    check(json!([]), json!({"op": "add", "path": "/0", "value": deep(63)}), deep(64), json!(null));
    refuse(json!([]), json!({"op": "add", "path": "/0", "value": deep(64)}), PatchErrorKind::TooDeep);
    refuse(json!([1]), json!({"op": "replace", "path": "/0", "value": deep(64)}), PatchErrorKind::TooDeep);
    refuse(json!([deep(63), []]), json!({"op": "move", "from": "/0", "path": "/1/0"}), PatchErrorKind::TooDeep);
    refuse(json!([deep(63), []]), json!({"op": "copy", "from": "/0", "path": "/1/0"}), PatchErrorKind::TooDeep);
}

#[test]
fn an_operation_is_read_strictly() {
    for (patch, problem) in [
        (json!({"op": "add", "path": "/a"}), "operation.value: expected a value, found no such member"),
        (json!({"op": "move", "path": "/a"}), "operation.from: expected a value, found no such member"),
        (json!({"op": "remove"}), "operation.path: expected a value, found no such member"),
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
        assert_eq!(Operation::from_json(&patch).unwrap_err().to_string(), problem);
    }
    assert!(Operation::from_json(&json!({"op": "remove", "path": "a"})).is_err());
}
