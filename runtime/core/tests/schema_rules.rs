//! What the schema subset promises beyond the official suite: what it refuses, what it says, what it costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_core::schema::{Schema, SchemaErrorKind};

fn refuse(schema: Json, kind: SchemaErrorKind, path: &str) {
    let error = Schema::compile(&schema).expect_err(&schema.canonical());
    assert_eq!((error.kind, error.path.as_str()), (kind, path), "{error}");
}

fn say(schema: Json, value: Json) -> String {
    Schema::compile(&schema).unwrap().check(&value).expect_err("a violation").to_string()
}

#[test]
fn an_unknown_keyword_is_refused_with_its_path() {
    use SchemaErrorKind::UnknownKeyword;
    refuse(json!({"format": "date"}), UnknownKeyword, "/format");
    refuse(json!({"properties": {"a/b": {"requird": []}}}), UnknownKeyword, "/properties/a~1b/requird");
    refuse(json!({"$defs": {"x": {"multipleOf": 2}}}), UnknownKeyword, "/$defs/x/multipleOf");
    refuse(json!({"allOf": [true, {"$id": "x"}]}), UnknownKeyword, "/allOf/1/$id");
    refuse(json!({"not": {"$defs": {}}}), UnknownKeyword, "/not/$defs");
    refuse(json!({"then": {"type": "null"}}), UnknownKeyword, "/then");
    refuse(json!({"unevaluatedProperties": false}), UnknownKeyword, "/unevaluatedProperties");
}

#[test]
fn a_keyword_with_a_value_of_the_wrong_shape_is_refused() {
    use SchemaErrorKind::BadValue;
    refuse(json!(1), BadValue, "");
    refuse(json!({"type": "int"}), BadValue, "/type");
    refuse(json!({"type": []}), BadValue, "/type");
    refuse(json!({"type": ["null", "null"]}), BadValue, "/type");
    refuse(json!({"minLength": -1}), BadValue, "/minLength");
    refuse(json!({"required": ["a", "a"]}), BadValue, "/required");
    refuse(json!({"required": "a"}), BadValue, "/required");
    refuse(json!({"allOf": []}), BadValue, "/allOf");
    refuse(json!({"properties": {"a": null}}), BadValue, "/properties/a");
    refuse(json!({"items": [true]}), BadValue, "/items");
    refuse(json!({"$schema": "http://json-schema.org/draft-07/schema#"}), BadValue, "/$schema");
    refuse(json!({"title": 1}), BadValue, "/title");
}

#[test]
fn references_are_local_and_end() {
    use SchemaErrorKind::{BadReference, EndlessReference};
    refuse(json!({"$ref": "https://example.com/schema"}), BadReference, "/$ref");
    refuse(json!({"$ref": "#/properties/a"}), BadReference, "/$ref");
    refuse(json!({"$ref": "#/$defs/a"}), BadReference, "/$ref");
    refuse(json!({"$ref": "#/$defs/a/not", "$defs": {"a": {"not": true}}}), BadReference, "/$ref");
    refuse(json!({"$ref": "#"}), EndlessReference, "");
    refuse(
        json!({"$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
        EndlessReference,
        "/$defs/a",
    );
    let tree = json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["children"]});
    let tree = Schema::compile(&tree).unwrap();
    assert_eq!(tree.check(&json!({"children": [{"children": []}]})), Ok(()));
    let violation = tree.check(&json!({"children": [{"children": [{}]}]})).unwrap_err();
    assert_eq!((violation.path.as_str(), violation.keyword), ("/children/0/children/0", "required"));
}

#[test]
fn a_chain_of_references_is_as_long_as_it_may_be_and_no_longer() {
    let chain = |length: usize| {
        let definition = |index: usize| match index + 1 {
            next if next < length => (format!("d{index}"), json!({"$ref": format!("#/$defs/d{next}")})),
            _ => (format!("d{index}"), json!({"type": "null"})),
        };
        let definitions: json::Object = (0..length).map(definition).collect();
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    };
    assert!(Schema::compile(&chain(63)).is_ok());
    refuse(chain(64), SchemaErrorKind::EndlessReference, "");
    assert!(Schema::compile(&chain(10_000)).is_err());
}

#[test]
fn violations_say_where_and_what_to_people() {
    let offer = json!({
        "type": "object",
        "properties": {"price": {"type": "string", "pattern": "^[0-9]+$"}, "state": {"enum": ["open", "sold"]}},
        "required": ["price"],
        "additionalProperties": false,
    });
    for (value, expected) in [
        (json!([]), "the whole value: expected object, found an array (type)"),
        (json!({}), "the whole value: the member \"price\" is missing (required)"),
        (json!({"price": 3}), "/price: expected string, found 3 (type)"),
        (json!({"price": "3.5"}), "/price: \"3.5\" does not match the pattern ^[0-9]+$ (pattern)"),
        (
            json!({"price": "3", "a/b": 1}),
            "the whole value: the member \"a/b\" is not allowed here (additionalProperties)",
        ),
        (json!({"price": "3", "state": "x"}), "/state: expected \"open\", \"sold\", found \"x\" (enum)"),
    ] {
        assert_eq!(say(offer.clone(), value), expected);
    }
    assert_eq!(
        say(json!({"maxItems": 1}), json!([1, 2])),
        "the whole value: there should be at most 1 items, not 2 (maxItems)"
    );
    assert_eq!(say(json!({"items": {"minimum": 2}}), json!([2, 1])), "/1: 1 should be at least 2 (minimum)");
    assert_eq!(
        say(json!({"oneOf": [{"type": "null"}, {"properties": {"a": {"type": "string"}}}]}), json!({"a": 1})),
        "the whole value: none of the 2 alternatives fits; the closest says: /a: expected string, found 1 (type) (oneOf)"
    );
    assert_eq!(
        say(json!({"propertyNames": {"pattern": "^[a-z]+$"}}), json!({"A": 1})),
        "the whole value: the key \"A\" is not allowed: \"A\" does not match the pattern ^[a-z]+$ (propertyNames)"
    );
}

#[test]
fn a_check_that_costs_too_much_is_a_violation_that_nothing_turns_around() {
    let mut definitions = json::Object::new();
    for level in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({"allOf": [next.clone(), next]}));
    }
    definitions.insert("d30", json!({"type": "string"}));
    for wrapped in ["not", "anyOf", "if"] {
        let inner = json!({"$ref": "#/$defs/d0"});
        let inner = if wrapped == "anyOf" { json!([inner, true]) } else { inner };
        let schema = Schema::compile(&json!({(wrapped): inner, "$defs": definitions.clone()})).unwrap();
        assert_eq!(schema.check(&json!("x")).unwrap_err().keyword, "work");
    }
    let slow = Schema::compile(&json!({"pattern": "(a?){50}(a{100}){2}$"})).unwrap();
    assert_eq!(slow.check(&json!("a".repeat(1_000_000))).unwrap_err().keyword, "work");
}

#[test]
fn the_deepest_check_fits_a_small_stack() {
    let nested = |schema: Json| (0..14).fold(schema, |inner, _| json!({"anyOf": [{"not": {"not": inner}}]}));
    let schema = json!({"$ref": "#/$defs/d", "$defs": {"d": nested(json!({"items": {"$ref": "#/$defs/d"}}))}});
    let deep = (0..64).fold(json!([]), |inner, _| json!([inner]));
    let check = move || Schema::compile(&schema).unwrap().check(&deep).unwrap_err().keyword;
    let keyword = std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
    assert_eq!(keyword, "work");
}

#[test]
fn a_big_document_of_ordinary_shape_fits_the_budget() {
    let item = json!({"id": "a-1", "price": "12.50", "tags": ["x", "y"], "note": "z".repeat(40)});
    let schema = json!({
        "type": "array",
        "uniqueItems": false,
        "items": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "pattern": "^[a-z]-[0-9]+$"},
                "price": {"$ref": "#/$defs/money"},
                "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
                "note": {"type": "string", "maxLength": 100},
            },
            "required": ["id", "price"],
            "additionalProperties": false,
        },
        "$defs": {"money": {"type": "string", "pattern": r"^[0-9]{1,15}\.[0-9]{2}$"}},
    });
    let value = Json::Array(vec![item; 35_000]);
    assert!(value.canonical_len() > 3_000_000);
    assert_eq!(Schema::compile(&schema).unwrap().check(&value), Ok(()));
    let document = json!({"pdf": "A".repeat(7_000_000)});
    let schema = json!({"properties": {"pdf": {"type": "string", "minLength": 1, "maxLength": 8_000_000}}});
    assert_eq!(Schema::compile(&schema).unwrap().check(&document), Ok(()));
}
