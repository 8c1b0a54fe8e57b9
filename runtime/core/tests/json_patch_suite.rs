//! The JSON Patch test suite (json-patch/json-patch-tests), every enabled case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use lockstep_core::json::{Json, JsonErrorKind, Limits, Operation};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/third-party/json-patch");
/// The cases where we are stricter than the RFC: it ignores unknown members, we refuse them.
const STRICTER: &[&str] = &["A.11.  Ignoring Unrecognized Elements", "spurious patch properties"];

#[test]
fn every_case_of_the_suite_ends_as_the_suite_says() {
    let (mut run, mut disabled, mut stricter) = (0, 0, Vec::new());
    for file in ["spec_tests.json", "tests.json"] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap();
        // One case of each file is about a key that occurs twice, so the door refuses the file. Here that key
        // gets another name, which has to be refused as well.
        let refused = Json::parse(text.as_bytes(), &Limits::default()).err().map(|error| error.kind);
        assert_eq!(refused, Some(JsonErrorKind::DuplicateKey));
        let text = text.replace(r#""qux", "op": "remove""#, r#""qux", "op2": "remove""#);
        let text = text.replace(r#"                   "op": "move""#, r#" "op2": "move""#);
        let cases = Json::parse(text.as_bytes(), &Limits::default()).unwrap();
        for case in cases.as_array().unwrap() {
            let about = case.get("comment").and_then(Json::as_str).unwrap_or_default();
            if case.get("disabled").is_some() || case.get("patch").is_none() {
                disabled += 1;
                continue;
            }
            run += 1;
            let document = case.get("doc").unwrap();
            let result = apply(document, case.get("patch").unwrap());
            match (result, case.get("expected"), case.get("error")) {
                (Ok(result), Some(expected), None) => {
                    assert_eq!(&result, expected, "{file}: {about}")
                }
                (Ok(_), None, None) | (Err(_), None, Some(_)) => {}
                (Err(error), _, None) => {
                    println!("{file}: {about}: {error}");
                    stricter.push(about.to_owned());
                }
                (Ok(result), _, Some(error)) => {
                    panic!("{file}: {about}: {result} instead of {error}")
                }
                other => panic!("{file}: {about}: {other:?}"),
            }
        }
    }
    println!("{run} run, {disabled} disabled by the suite");
    assert_eq!(stricter, STRICTER);
    assert_eq!((run, disabled), (91, 4));
}

fn apply(document: &Json, patch: &Json) -> Result<Json, String> {
    let mut changed = document.clone();
    for operation in patch.as_array().ok_or("a patch is an array")? {
        let before = changed.clone();
        let operation = Operation::from_json(operation).map_err(|error| error.to_string())?;
        if let Err(error) = operation.apply(&mut changed) {
            assert_eq!(changed, before, "a failed operation leaves the document untouched");
            return Err(error.to_string());
        }
    }
    Ok(changed)
}
