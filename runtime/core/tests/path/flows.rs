//! What a method may carry to a wider audience, and what it may look at for its actor.

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};
use lockstep_core::package::Manifest;

use crate::world::{World, deal_manifest, deal_spec, manifest, method, one, read, set, step, uses, with};

/// What `Manifest::parse` says of a method over deals.
fn parsed(records: Json, declassifies: &[&str]) -> Result<(), String> {
    let list: Vec<Json> = declassifies.iter().map(|flow| Json::from(*flow)).collect();
    let methods = json!({"go": with(method(records), "declassifies", list)});
    Manifest::parse(&manifest("deal", "1.0.0", json!({"deal": deal_spec()}), methods))
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn a_flow_to_a_wider_audience_must_stand_in_the_manifest() {
    for (reads, writes, flow) in [
        (["secret"], ["open"], Some("secret->open")),
        (["notes"], ["secret"], None),
        (["secret"], ["notes"], None),
        (["secret"], ["parties"], Some("secret->parties")),
        (["open"], ["secret"], None),
        (["parties"], ["open"], None),
    ] {
        let silent = parsed(one(uses(&reads, &writes)), &[]);
        match flow {
            None => assert_eq!(silent, Ok(())),
            Some(flow) => {
                assert!(silent.unwrap_err().contains(&format!("declassifies = [\"{flow}\"]")));
                assert_eq!(parsed(one(uses(&reads, &writes)), &[flow]), Ok(()));
            }
        }
    }
}

#[test]
fn what_is_written_can_be_read_unless_the_method_makes_the_record() {
    let both = uses(&[], &["open", "secret"]);
    assert!(parsed(one(both.clone()), &[]).unwrap_err().contains("secret->open"));
    assert_eq!(parsed(one(with(both, "creates", true)), &[]), Ok(()));
}

#[test]
fn between_two_records_all_that_not_everybody_reads_must_stand_there() {
    let records = || Json::from(vec![uses(&["secret"], &[]), uses(&[], &["secret"])]);
    assert!(parsed(records(), &[]).unwrap_err().contains("secret->secret"));
    assert_eq!(parsed(records(), &["secret->secret"]), Ok(()));
    assert_eq!(
        parsed(Json::from(vec![uses(&["open"], &[]), uses(&[], &["secret"])]), &["secret->secret"]),
        Err("method go declassifies \"secret->secret\"; the method does not read the one and write the other"
            .to_owned())
    );
}

#[test]
fn of_another_contracts_spec_every_flow_must_stand_there() {
    let foreign = |reads: &[&str], writes: &[&str]| one(with(uses(reads, writes), "spec", "theirs"));
    assert!(parsed(foreign(&["a"], &["b"]), &[]).unwrap_err().contains("a->b"));
    assert_eq!(parsed(foreign(&["a"], &["b"]), &["a->b"]), Ok(()));
    assert_eq!(parsed(foreign(&["a"], &["a"]), &[]), Ok(()));
}

#[test]
fn a_flow_is_written_one_way_and_is_one_that_the_method_can_make() {
    for wrong in [
        "secret",
        "secret>open",
        "secret -> open",
        "->open",
        "secret->",
        "Secret->open",
        "secret->open->open",
        "secret->notes",
        "notes->open",
        "secret->secret",
        "notes->outcome",
    ] {
        let said = parsed(one(uses(&["secret"], &["open"])), &["secret->open", wrong]).unwrap_err();
        assert!(said.contains(&format!("declassifies {wrong:?}")), "{said}");
    }
    assert!(
        parsed(one(uses(&["secret"], &["open"])), &["secret->open", "secret->open"]).unwrap_err().contains("twice")
    );
    assert_eq!(parsed(one(uses(&["secret"], &["open"])), &["secret->open", "secret->outcome"]), Ok(()));
}

#[test]
fn a_method_reads_for_its_actor_only_what_the_actor_may_read() {
    let mut world = World::dealing();
    let make = world.make("one");
    world.apply(&make);
    for who in ["gus@bolt", "eve@bolt"] {
        let wish = world.call(who, "leak", "one", vec![step("reject")]);
        let (code, message) = world.rejected(&wish);
        assert_eq!(code, Code::Entitlement);
        assert!(message.contains("may not read section secret of acme:one"), "{message}");
        let wish = world.call(who, "told", "one", vec![read("secret"), step("reject")]);
        assert_eq!(world.rejected(&wish).0, Code::Contract, "the manifest lets everybody know the outcome");
    }
    let wish = world.call("bob@bolt", "leak", "one", vec![read("secret"), step("reject")]);
    assert_eq!(world.rejected(&wish).0, Code::Contract);
}

#[test]
fn a_written_section_is_closed_to_who_may_not_read_it() {
    let mut world = World::dealing();
    let make = world.make("one");
    world.apply(&make);
    for look in [
        read("secret"),
        json!({"do": "keys", "section": "secret", "pointer": ""}),
        crate::world::op("secret", "test", "/price", 7),
        crate::world::notify("secret", "deal.told"),
    ] {
        let wish = world.call("gus@bolt", "whisper", "one", vec![look.clone(), step("reject")]);
        assert_eq!(world.rejected(&wish).0, Code::Entitlement, "{look}");
        let wish = world.call("bob@bolt", "whisper", "one", vec![look, step("reject")]);
        assert_eq!(world.rejected(&wish).0, Code::Contract);
    }
    let wish = world.call("gus@bolt", "whisper", "one", vec![step("reject")]);
    assert_eq!(world.rejected(&wish).0, Code::Contract, "who looks at nothing learns nothing");
}

#[test]
fn a_method_that_makes_records_neither_reads_nor_writes_one_that_is_there() {
    let mut world = World::dealing();
    let make = world.make("one");
    world.apply(&make);
    for steps in
        [vec![read("secret")], vec![set("secret", json!({}))], vec![crate::world::op("open", "test", "/title", "t")]]
    {
        let wish = world.call("ann@acme", "make", "one", steps);
        assert_eq!(world.rejected(&wish).0, Code::Undeclared);
    }
    let fresh = vec![set("open", json!({"title": "x"})), read("open"), step("reject")];
    let wish = world.call("ann@acme", "make", "two", fresh);
    assert_eq!(world.rejected(&wish).0, Code::Contract, "its own writes it sees");
}

#[test]
fn the_deals_manifest_is_one_that_parses() {
    Manifest::parse(&deal_manifest("1.0.0")).unwrap();
}
