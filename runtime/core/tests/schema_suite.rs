//! The official JSON Schema test suite (draft 2020-12), for the keywords of our subset.
//!
//! Every case is run or accounted for: a case is left out only when its schema does not compile, and how many
//! are left out for which reason, file by file, is pinned below. A keyword that quietly stopped being
//! understood would change these numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;

use lockstep_core::json::{Fields, Json, Limits};
use lockstep_core::schema::{Schema, SchemaErrorKind};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/third-party/json-schema");
const CASES: usize = 740;
const RUN: usize = 649;
/// Cases left out: file, the reason why the schema does not compile, how many.
const LEFT_OUT: &[(&str, SchemaErrorKind, usize)] = &[
    // dependentSchemas
    ("additionalProperties.json", SchemaErrorKind::UnknownKeyword, 3),
    // multipleOf
    ("allOf.json", SchemaErrorKind::UnknownKeyword, 8),
    // multipleOf
    ("contains.json", SchemaErrorKind::UnknownKeyword, 4),
    // The meta-schema, which is remote.
    ("defs.json", SchemaErrorKind::BadReference, 2),
    // multipleOf; then and else without an if
    ("if-then-else.json", SchemaErrorKind::UnknownKeyword, 13),
    // unevaluatedProperties
    ("not.json", SchemaErrorKind::UnknownKeyword, 2),
    // $id; unevaluatedProperties; then and else without an if
    ("ref.json", SchemaErrorKind::UnknownKeyword, 39),
    // Pointers to other places than definitions, percent escapes, the meta-schema.
    ("ref.json", SchemaErrorKind::BadReference, 20),
];

#[test]
fn every_case_of_the_suite_is_judged_as_the_suite_says() {
    let (mut cases, mut run, mut wrong) = (0, 0, Vec::new());
    let mut left_out: BTreeMap<(String, SchemaErrorKind), usize> = BTreeMap::new();
    for (file, groups) in suite() {
        for group in groups.as_array().unwrap() {
            let mut fields = Fields::of(group, &file).unwrap();
            let (about, schema) = (fields.text("description").unwrap(), fields.need("schema").unwrap());
            let tests = fields.array("tests").unwrap();
            cases += tests.len();
            let schema = match Schema::compile(schema) {
                Ok(schema) => schema,
                Err(error) => {
                    println!("{file}: {about}: left out: {error}");
                    *left_out.entry((file.clone(), error.kind)).or_default() += tests.len();
                    continue;
                }
            };
            run += tests.len();
            for test in tests {
                let verdict = schema.check(test.get("data").unwrap());
                if verdict.is_ok() != test.get("valid").unwrap().as_bool().unwrap() {
                    wrong.push(format!("{file}: {about}: {}: {verdict:?}", test.get("description").unwrap()));
                }
            }
        }
    }
    let left_out: Vec<(&str, SchemaErrorKind, usize)> =
        left_out.iter().map(|((file, kind), count)| (file.as_str(), *kind, *count)).collect();
    println!("{cases} cases, {run} run, left out: {left_out:#?}");
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(left_out, LEFT_OUT);
    assert_eq!((cases, run), (CASES, RUN));
}

fn suite() -> Vec<(String, Json)> {
    let mut names: Vec<String> = std::fs::read_dir(Path::new(FOLDER))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = std::fs::read_to_string(Path::new(FOLDER).join(&name)).unwrap();
            // Our text holds no NUL: the cases about it run with another control character.
            let text = text.replace("\\u0000", "\\u0001");
            let limits = Limits { bytes: usize::MAX, depth: 100 };
            let groups = Json::parse(text.as_bytes(), &limits).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, groups)
        })
        .collect()
}
