//! What is a name and what is not, the refused next to the accepted.

#![allow(clippy::unwrap_used)]

use super::*;

#[track_caller]
fn check<T: fmt::Display>(parse: fn(&str) -> Result<T, NameError>, text: &str, accepted: bool) {
    match parse(text) {
        Ok(name) => {
            assert!(accepted, "{text:?} was accepted");
            assert_eq!(name.to_string(), text);
        }
        Err(error) => assert!(!accepted, "{error}"),
    }
}

#[test]
fn dashed_names_are_lower_case_and_short() {
    let longest = "a".repeat(48);
    let longer = "a".repeat(49);
    for (text, accepted) in [
        ("acme", true),
        ("a", true),
        ("a-1", true),
        ("acme-", true),
        (&longest, true),
        (&longer, false),
        ("", false),
        ("1acme", false),
        ("-acme", false),
        ("Acme", false),
        ("ac_me", false),
        ("ac me", false),
        ("acmé", false),
        ("acme\n", false),
        ("acme\0", false),
    ] {
        check(NodeName::parse, text, accepted);
        check(ParticipantName::parse, text, accepted);
        check(ActorName::parse, text, accepted);
    }
}

#[test]
fn underscored_names_fit_sql() {
    for (text, accepted) in [("house_sale", true), ("a1", true), ("house-sale", false), ("_a", false), ("A", false)] {
        check(SpecName::parse, text, accepted);
        check(SectionName::parse, text, accepted);
        check(ContractName::parse, text, accepted);
        check(RoleName::parse, text, accepted);
        check(MethodName::parse, text, accepted);
    }
}

#[test]
fn reserved_names_are_refused_where_they_would_become_tables_or_columns() {
    for text in ["lockstep_x", "lockstep_", "sqlite_x", "pg_x"] {
        check(SpecName::parse, text, false);
        check(SectionName::parse, text, false);
        check(MethodName::parse, text, true);
    }
    for text in ["record_id", "xmin", "ctid", "rowid", "tableoid"] {
        check(SectionName::parse, text, false);
    }
    check(SectionName::parse, "lockstep", true);
}

#[test]
fn parties_is_a_section_that_no_spec_declares() {
    assert!(SectionName::parse("parties").unwrap().is_parties());
    assert_eq!(SectionName::parties(), SectionName::parse("parties").unwrap());
    check(SectionName::parse_declared, "parties", false);
    check(SectionName::parse_declared, "listing", true);
}

#[test]
fn an_actor_id_has_a_name_and_a_participant() {
    let id = ActorId::parse("alice@acme").unwrap();
    assert_eq!((id.name().as_str(), id.participant().as_str()), ("alice", "acme"));
    assert_eq!(ActorId::of(&id.name(), &id.participant()), id);
    for text in ["alice", "@acme", "alice@", "alice@acme@x", "Alice@acme", "alice@ acme", ""] {
        check(ActorId::parse, text, false);
    }
}

#[test]
fn a_record_id_has_a_node_and_a_name() {
    let id = RecordId::parse("acme:Order-17.b_2").unwrap();
    assert_eq!((id.node().as_str(), id.name()), ("acme", "Order-17.b_2"));
    check(RecordId::parse, &format!("acme:{}", "x".repeat(96)), true);
    check(RecordId::parse, &format!("acme:{}", "x".repeat(97)), false);
    for text in ["acme", "acme:", ":x", "acme:-x", "acme:x:y", "acme:x/y", "acme:..", "Acme:x", "acme:é"] {
        check(RecordId::parse, text, false);
    }
}

#[test]
fn versions_order_by_number_and_not_by_text() {
    let version = |text| Version::parse(text).unwrap();
    assert!(version("1.10.0") > version("1.9.9"));
    for text in ["1.2", "1.2.3.4", "01.2.3", "1.2.-3", "+1.2.3", "1..3", "", "1.2.4294967296", "1.2.3-rc1", "1.2.3 "] {
        check(Version::parse, text, false);
    }
    check(Version::parse, "0.0.4294967295", true);
}

#[test]
fn a_major_step_is_not_compatible_and_before_one_a_minor_step_is_neither() {
    let compatible = |a, b| Version::parse(a).unwrap().compatible_with(&Version::parse(b).unwrap());
    assert!(compatible("1.2.3", "1.9.0"));
    assert!(!compatible("1.2.3", "2.0.0"));
    assert!(compatible("0.2.3", "0.2.9"));
    assert!(!compatible("0.2.3", "0.3.0"));
}

#[test]
fn an_error_names_the_rule_and_cuts_what_it_quotes() {
    assert_eq!(
        NodeName::parse("Acme").unwrap_err().to_string(),
        "\"Acme\" is not a node name: it must be a lower-case letter followed by at most 47 lower-case letters, digits or '-'"
    );
    assert!(NodeName::parse(&"é".repeat(100_000)).unwrap_err().to_string().len() < 400);
}
