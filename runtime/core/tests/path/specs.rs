//! Which record specs are refused, and with what words.

use lockstep_core::json::{Json, json};
use lockstep_core::names::SpecName;
use lockstep_core::spec::RecordSpec;

use crate::world::{deal_spec, with};

fn parse(document: &Json) -> Result<RecordSpec, String> {
    RecordSpec::parse(&SpecName::parse("deal").unwrap(), document).map_err(|error| error.to_string())
}

/// The deals' spec with one section, `open`, described anew.
fn open(section: Json) -> Json {
    with(with(deal_spec(), "sections", json!({"open": section})), "projections", json!({}))
}

fn column(name: &str, column: Json) -> Json {
    let mut all = lockstep_core::json::Object::default();
    all.insert(name.to_owned(), column);
    with(deal_spec(), "projections", all)
}

fn refused(cases: Vec<(Json, &str)>) {
    for (document, said) in cases {
        let error = parse(&document).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn a_spec_is_known_by_its_canonical_form() {
    let spec = parse(&deal_spec()).unwrap();
    assert_eq!(*spec.document(), deal_spec());
    assert_eq!(spec.digest(), parse(&deal_spec()).unwrap().digest());
    assert_ne!(spec.digest(), parse(&with(deal_spec(), "description", "Another.")).unwrap().digest());
    assert!(spec.sections.contains_key("parties"));
}

#[test]
fn a_schema_stays_within_the_subset() {
    refused(vec![
        (open(json!({"schema": {"format": "date"}})), "format"),
        (open(json!({"schema": {"$ref": "https://example.org/x"}})), "$ref"),
        (open(json!({"schema": {"unevaluatedProperties": false}})), "unevaluatedProperties"),
        (open(json!({"schema": {"type": "decimal"}})), "decimal"),
        (open(json!({"schema": {"pattern": "(?=x)"}})), "pattern"),
        (open(json!({"schema": 7})), "section open"),
    ]);
}

#[test]
fn a_hostile_or_reserved_name_is_refused() {
    let section = |name: &str| {
        let mut all = lockstep_core::json::Object::default();
        all.insert(name.to_owned(), json!({"schema": {}}));
        with(with(deal_spec(), "sections", all), "projections", json!({}))
    };
    let long = "a".repeat(49);
    for name in [
        "",
        "Open",
        "1open",
        "open;drop",
        "a\"b",
        "é",
        "lockstep_x",
        "record_id",
        "sqlite_x",
        "pg_x",
        "parties",
        "outcome",
        long.as_str(),
    ] {
        assert!(parse(&section(name)).is_err(), "section {name:?}");
        if name != "outcome" {
            assert!(
                parse(&column(name, json!({"section": "open", "pointer": "/title", "type": "text(20)"}))).is_err(),
                "column {name:?}"
            );
        }
    }
    for name in ["lockstep_intent", "sqlite_master", "pg_class", "Deal", "", "deal-1", long.as_str()] {
        assert!(SpecName::parse(name).is_err(), "spec {name:?}");
    }
    for ending in ["deal_history", "deal_changes", "deal_version"] {
        let error = RecordSpec::parse(&SpecName::parse(ending).unwrap(), &deal_spec()).unwrap_err();
        assert!(error.to_string().contains("beside another spec's table"), "{error}");
    }
    assert!(parse(&with(deal_spec(), "roles", json!({"Owner; --": {}}))).is_err());
}

#[test]
fn a_projected_column_holds_what_its_schema_allows() {
    let title = |kind: &str| column("name", json!({"section": "open", "pointer": "/title", "type": kind}));
    assert!(parse(&title("text(20)")).is_ok());
    refused(vec![
        (title("integer"), "projected column name"),
        (title("text(0)"), "projected column name"),
        (title("text(256)"), "projected column name"),
        (title("decimal(39,2)"), "projected column name"),
        (title("decimal(5,6)"), "projected column name"),
        (title("blob"), "projected column name"),
        (column("name", json!({"section": "open", "pointer": "title", "type": "text(20)"})), "projected column name"),
        (column("name", json!({"section": "nowhere", "pointer": "", "type": "text(20)"})), "does not define"),
        (column("name", json!({"section": "parties", "pointer": "", "type": "text(20)"})), "does not define"),
        (column("seq", json!({"section": "open", "pointer": "/title", "type": "text(20)"})), "seq"),
    ]);
}

#[test]
fn a_projected_column_is_not_named_like_a_section() {
    refused(vec![(
        column("secret", json!({"section": "open", "pointer": "/title", "type": "text(20)"})),
        "has the name of a section",
    )]);
}

#[test]
fn rights_go_to_roles_that_the_spec_defines() {
    refused(vec![
        (open(json!({"schema": {}, "read": ["stranger"]})), "names role stranger, which the spec does not define"),
        (with(deal_spec(), "parties", json!({"create": ["stranger"]})), "parties: create names role stranger"),
        (open(json!({"schema": {}, "read": "anyone"})), "read"),
        (open(json!({"schema": {}, "write": ["anyone"]})), "write"),
    ]);
}

#[test]
fn a_spec_is_bounded_and_has_no_unknown_members() {
    let many = |count: usize| {
        let roles: lockstep_core::json::Object = (0..count).map(|n| (format!("r{n}"), json!({}))).collect();
        json!({"roles": roles, "sections": {"open": {"schema": {}}}})
    };
    assert!(parse(&many(64)).is_ok());
    refused(vec![
        (many(65), "65 roles; a spec may have 64"),
        (with(deal_spec(), "colour", "red"), "colour"),
        (with(deal_spec(), "sections", json!({})), "a spec needs at least one section"),
        (json!({"roles": {}}), "sections"),
        (json!([]), "expected an object"),
    ]);
}
