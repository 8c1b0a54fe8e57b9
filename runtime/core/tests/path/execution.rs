//! From an intent and states to a verdict.

use lockstep_core::codes::Code;
use lockstep_core::directory::Body;
use lockstep_core::execute::{Interrupted, Verdict};
use lockstep_core::intent::Call;
use lockstep_core::json::{Json, json};
use lockstep_core::record::States;

use crate::world::{
    World, actor, deal_manifest, deal_spec, manifest, members, method, notify, now, one, op, read, record, set, step,
    uses, with,
};

/// A world with the deal `one`.
fn dealt() -> World {
    let mut world = World::dealing();
    let make = world.make("one");
    world.apply(&make);
    world
}

fn refused(world: &mut World, by: &str, method: &str, steps: Vec<Json>) -> (Code, String) {
    let wish = world.call(by, method, "one", steps);
    world.rejected(&wish)
}

fn content(world: &World, section: &str) -> Json {
    Json::clone(&world.states[&record("one")].as_ref().unwrap().content(section))
}

#[test]
fn an_applied_intent_changes_its_sections_and_nothing_else() {
    let mut world = dealt();
    let wish = world.call(
        "bob@bolt",
        "whisper",
        "one",
        vec![op("secret", "replace", "/price", 8), notify("secret", "deal.told")],
    );
    let events = world.apply(&wish);
    assert_eq!(content(&world, "secret"), json!({"price": 8}));
    assert_eq!(content(&world, "open"), json!({"title": "t"}));
    let header = &events[0].header;
    assert_eq!((header.seq, header.sections["secret"].seq, header.sections["open"].seq), (2, 2, 1));
    assert_eq!(header.prev, world.states[&record("one")].as_ref().map(|_| events[0].before.as_ref().unwrap().head));
    assert_eq!(events[0].openings.sections["secret"].notifications[0].kind, "deal.told");
}

#[test]
fn who_makes_a_record_must_hold_the_role_that_it_gives_itself() {
    let mut world = World::dealing();
    let parties = |who: &str| set("parties", members(&[("owner", who, 1)]));
    let steps = |who: &str| vec![parties(who), set("open", json!({"title": "t"}))];
    let by_gus = world.call("gus@bolt", "make", "one", steps("gus@bolt"));
    assert_eq!(world.rejected(&by_gus).0, Code::Entitlement, "the directory does not open owner to gus");
    let for_ann = world.call("gus@bolt", "make", "one", steps("ann@acme"));
    assert_eq!(world.rejected(&for_ann).0, Code::Entitlement);
    let without = world.call("ann@acme", "make", "one", vec![set("open", json!({"title": "t"}))]);
    assert_eq!(world.rejected(&without).0, Code::Entitlement, "no parties, no roles");
    let by_ann = world.call("ann@acme", "make", "one", steps("ann@acme"));
    assert_eq!(world.apply(&by_ann).len(), 1);
}

#[test]
fn who_may_not_modify_a_section_does_not() {
    let mut world = dealt();
    let (code, message) = refused(&mut world, "bob@bolt", "edit", vec![op("open", "replace", "/title", "u")]);
    assert_eq!(code, Code::Entitlement);
    assert!(
        message.contains("bob@bolt may not modify section open of acme:one; it holds the roles anyone, partner there"),
        "{message}"
    );
    let (code, message) = refused(&mut world, "ann@acme", "note", vec![set("notes", json!([]))]);
    assert_eq!(code, Code::Entitlement);
    assert!(message.contains("may not create section notes"), "{message}");
    let wish = world.call("bob@bolt", "note", "one", vec![set("notes", json!([]))]);
    world.apply(&wish);
}

#[test]
fn a_role_that_everyone_has_needs_no_membership() {
    let mut world = World::dealing();
    let spec =
        with(deal_spec(), "sections", json!({"wall": {"schema": {}, "create": ["anyone"], "modify": ["anyone"]}}));
    let spec = with(spec, "projections", json!({}));
    let table = json!({"wall": with(with(spec, "raw_changes", true), "parties", json!({}))});
    world.deploy(&manifest("wall", "1.0.0", table, json!({}))).unwrap();
    let mut wish = world.raw("eve@bolt", "wall-1", vec![("wall", json!({"op": "add", "path": "", "value": "hello"}))]);
    if let Call::Changes { spec, .. } = &mut wish.draft.call {
        *spec = lockstep_core::names::SpecName::parse("wall").unwrap();
    }
    assert_eq!(world.apply(&wish)[0].after.content("wall").as_str(), Some("hello"));
}

#[test]
fn a_membership_that_was_closed_gives_no_rights() {
    let mut world = dealt();
    let close = op("parties", "add", "/members/1/to", 2);
    let wish = world.call("ann@acme", "join", "one", vec![close]);
    world.apply(&wish);
    let (code, message) = refused(&mut world, "bob@bolt", "whisper", vec![op("secret", "replace", "/price", 8)]);
    assert_eq!(code, Code::Entitlement);
    assert!(message.contains("role anyone there"), "{message}");
}

#[test]
fn parties_are_opened_and_closed_as_of_now() {
    let mut world = dealt();
    for wrong in [
        op("parties", "remove", "/members/1", Json::Null),
        op("parties", "add", "/members/1/to", 1),
        op("parties", "add", "/members/1/to", 3),
        op("parties", "replace", "/members/1/role", "owner"),
        op(
            "parties",
            "add",
            "/members/-",
            members(&[("guest", "gus@bolt", 3)])
                .at(&lockstep_core::json::Pointer::parse("/members/0").unwrap())
                .unwrap()
                .clone(),
        ),
        op(
            "parties",
            "add",
            "/members/-",
            json!({"role": "guest", "participant": "bolt", "actor": "ann@acme", "from": 2}),
        ),
    ] {
        let wrong = match wrong.get("op").and_then(|op| op.get("op")).and_then(Json::as_str) {
            Some("remove") => {
                json!({"do": "change", "section": "parties", "op": {"op": "remove", "path": "/members/1"}})
            }
            _ => wrong,
        };
        assert_eq!(refused(&mut world, "ann@acme", "join", vec![wrong.clone()]).0, Code::Parties, "{wrong}");
    }
    let stranger = op("parties", "add", "/members/-", json!({"role": "king", "participant": "bolt", "from": 2}));
    assert_eq!(refused(&mut world, "ann@acme", "join", vec![stranger]).0, Code::Schema);
    let whole = op("parties", "add", "/members/-", json!({"role": "guest", "participant": "bolt", "from": 2}));
    let wish = world.call("ann@acme", "join", "one", vec![whole]);
    world.apply(&wish);
}

#[test]
fn an_intent_made_for_another_version_is_stale() {
    let mut world = dealt();
    for (expect, stale) in [(0, true), (1, false), (2, true)] {
        let wish = world.call("ann@acme", "look", "one", vec![]).expect(expect);
        let verdict = world.execute(&world.enter(&wish)).unwrap().verdict;
        assert_eq!(matches!(verdict, Verdict::Rejected(rejected) if rejected.code == Code::StaleExpect), stale);
    }
    let fresh = world.make("two").expect(1);
    assert_eq!(world.rejected(&fresh).0, Code::StaleExpect);
    let absent = world.make("two").expect(0);
    world.apply(&absent);
}

#[test]
fn an_intent_has_its_time() {
    let mut world = dealt();
    let early = world.make("two").edit(|draft| draft.not_before = Some(now().plus_micros(1)));
    assert_eq!(world.rejected(&early).0, Code::NotYetValid);
    let on_time = world.make("two").edit(|draft| draft.not_before = Some(now()));
    assert!(matches!(world.execute(&world.enter(&on_time)).unwrap().verdict, Verdict::Applied(_)));
    let intent = world.enter(&on_time);
    world.time = intent.payload().expires;
    assert!(matches!(world.execute(&intent).unwrap().verdict, Verdict::Expired));
}

#[test]
fn what_is_not_there_has_codes_of_its_own() {
    let mut world = dealt();
    let mut code = |what: &str, on: &str| {
        let wish = world.call("ann@acme", what, on, vec![]);
        world.rejected(&wish).0
    };
    assert_eq!(code("other.make", "one"), Code::UnknownContract);
    assert_eq!(code("deal.none", "one"), Code::UnknownMethod);
    assert_eq!(code("deal.edit", "two"), Code::UnknownRecord);
    let unknown = world.call("ann@acme", "edit", "one", vec![]).edit(|draft| {
        draft.call = Call::Changes { spec: lockstep_core::names::SpecName::parse("other").unwrap(), changes: vec![] };
    });
    assert_eq!(world.rejected(&unknown).0, Code::UnknownSpec);
}

#[test]
fn a_proposed_package_judges_nothing() {
    let mut world = World::new();
    world.people();
    world.propose(&deal_manifest("1.0.0")).unwrap();
    let wish = world.make("one");
    assert_eq!(world.rejected(&wish).0, Code::UnknownContract);
}

#[test]
fn a_method_gets_the_records_that_it_takes() {
    let mut world = dealt();
    let two = world.call("ann@acme", "edit", "one", vec![]).also("two");
    assert_eq!(world.rejected(&two).0, Code::WrongRecords);
    let one = world.call("ann@acme", "both", "one", vec![]);
    assert_eq!(world.rejected(&one).0, Code::WrongRecords);
    let other = json!({"other": with(deal_spec(), "projections", json!({}))});
    world
        .deploy(&manifest(
            "other",
            "1.0.0",
            other,
            json!({"look": method(super::world::one(with(uses(&["open"], &[]), "spec", "other")))}),
        ))
        .unwrap();
    let of_another_spec = world.call("ann@acme", "other.look", "one", vec![]);
    assert_eq!(world.rejected(&of_another_spec).0, Code::WrongRecords);
}

#[test]
fn arguments_satisfy_the_methods_schema() {
    let mut world = dealt();
    let wish = world.call("ann@acme", "edit", "one", vec![]).edit(|draft| {
        if let Call::Method { arguments, .. } = &mut draft.call {
            *arguments = json!({});
        }
    });
    assert_eq!(world.rejected(&wish).0, Code::Arguments);
}

#[test]
fn a_contract_stays_within_its_manifest() {
    let mut world = dealt();
    for (method, step) in [
        ("edit", read("secret")),
        ("edit", set("secret", json!({}))),
        ("edit", notify("secret", "deal.told")),
        ("edit", notify("open", "deal.unheard")),
        ("look", op("open", "replace", "/title", "u")),
        ("look", notify("open", "deal.told")),
        ("edit", set("parties", json!({}))),
        ("edit", json!({"do": "read", "record": 1, "section": "open", "pointer": ""})),
        ("edit", set("nowhere", json!({}))),
        ("edit", json!({"do": "keys", "section": "secret", "pointer": ""})),
    ] {
        assert_eq!(refused(&mut world, "ann@acme", method, vec![step.clone()]).0, Code::Undeclared, "{method} {step}");
    }
    let parties = world.call("ann@acme", "look", "one", vec![read("parties"), step("reject")]);
    assert_eq!(world.rejected(&parties).0, Code::Contract, "the parties are always readable");
}

#[test]
fn a_failed_host_call_is_the_contracts_to_handle() {
    let mut world = dealt();
    for (step, reason) in [
        (op("open", "replace", "/nowhere", 1), "patch"),
        (op("open", "test", "/title", "other"), "patch"),
        (json!({"do": "read", "section": "open", "pointer": "no slash"}), "pointer"),
        (json!({"do": "keys", "section": "open", "pointer": "/title"}), "not_an_object"),
    ] {
        let wish = world.call("ann@acme", "edit", "one", vec![step]);
        match world.execute(&world.enter(&wish)).unwrap().verdict {
            Verdict::Rejected(rejected) => {
                assert_eq!((rejected.code, rejected.reason.as_deref()), (Code::Contract, Some(reason)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_state_that_breaks_its_schema_is_refused() {
    let mut world = dealt();
    for wrong in
        [op("open", "replace", "/title", 7), set("open", json!({})), op("open", "replace", "/title", "x".repeat(21))]
    {
        assert_eq!(refused(&mut world, "ann@acme", "edit", vec![wrong]).0, Code::Schema);
    }
    let away = json!({"do": "change", "section": "open", "op": {"op": "remove", "path": ""}});
    assert_eq!(refused(&mut world, "ann@acme", "edit", vec![away]).0, Code::Schema, "an absent section is no object");
}

#[test]
fn sections_and_records_are_bounded() {
    const MIB: usize = 1 << 20;
    let mut world = dealt();
    let code = |world: &mut World, bytes: usize| {
        let big = json!({"title": "t", "data": "x".repeat(bytes)});
        let wish = world.call("ann@acme", "edit", "one", vec![set("open", big)]);
        match world.execute(&world.enter(&wish)).unwrap().verdict {
            Verdict::Rejected(rejected) => Some(rejected.code),
            _ => None,
        }
    };
    assert_eq!(code(&mut world, 8 * MIB), Some(Code::Size));
    assert_eq!(code(&mut world, 8 * MIB - 100), None);
    // With another section of almost 8 MiB and some parties, the same is too much for the record.
    let mut state = (**world.states[&record("one")].as_ref().unwrap()).clone();
    for (section, bytes) in [("secret", 8 * MIB - 100), ("parties", 1000)] {
        state.sections.get_mut(section).unwrap().bytes = bytes;
    }
    world.states.insert(record("one"), Some(std::sync::Arc::new(state)));
    assert_eq!(code(&mut world, 8 * MIB - 100), Some(Code::Size));
}

#[test]
fn the_ways_of_a_contract_to_end_are_told_apart() {
    let mut world = dealt();
    let no = json!({"do": "reject", "reason": "too_low", "message": "more, please"});
    let (code, message) = refused(&mut world, "ann@acme", "edit", vec![no]);
    assert_eq!((code, message.as_str()), (Code::Contract, "more, please"));
    let (code, message) = refused(&mut world, "ann@acme", "edit", vec![step("trap")]);
    assert_eq!((code, message.as_str()), (Code::Trap, "deal@1.0.0 broke in deal::make at src/lib.rs:7: boom"));
    assert_eq!(refused(&mut world, "ann@acme", "edit", vec![step("limits")]).0, Code::Limits);
    let many = (0..1001).map(|_| notify("open", "deal.told")).collect();
    assert_eq!(refused(&mut world, "ann@acme", "edit", many).0, Code::Limits, "notifications are bounded");
    for broken in ["broken", "stop"] {
        let wish = world.call("ann@acme", "edit", "one", vec![step(broken)]);
        assert!(matches!(world.execute(&world.enter(&wish)), Err(Interrupted::Broken(_))), "{broken} is no outcome");
    }
}

#[test]
fn what_is_missing_is_asked_for() {
    let mut world = dealt();
    let wish = world.call("ann@acme", "edit", "one", vec![]);
    let intent = world.enter(&wish);
    assert_eq!(world.execute_on(&intent, &States::new()).unwrap_err(), Interrupted::Missing(vec![record("one")]));
    let package = world.shelf.0.keys().next().copied().unwrap();
    world.shelf.0.clear();
    assert_eq!(world.execute(&intent).unwrap_err(), Interrupted::MissingPackage(package));
}

/// A world whose deals take raw changes.
fn raw() -> World {
    let mut world = World::new();
    world.people();
    let document = with(deal_manifest("1.0.0"), "specs", json!({"deal": with(deal_spec(), "raw_changes", true)}));
    world.deploy(&document).unwrap();
    let make = world.make("one");
    world.apply(&make);
    world
}

fn change(op: &str, path: &str, value: impl Into<Json>) -> Json {
    let value: Json = value.into();
    json!({"op": op, "path": path, "value": value})
}

#[test]
fn raw_changes_need_the_specs_leave() {
    let mut closed = dealt();
    let wish = closed.raw("ann@acme", "one", vec![("open", change("replace", "/title", "u"))]);
    assert_eq!(closed.rejected(&wish).0, Code::RawChanges);
    let mut open = raw();
    let wish = open.raw("ann@acme", "one", vec![("open", change("replace", "/title", "u"))]);
    open.apply(&wish);
    assert_eq!(content(&open, "open"), json!({"title": "u"}));
}

#[test]
fn raw_changes_are_held_to_rights_schemas_and_what_is_there() {
    let mut world = raw();
    for (by, section, change, expected) in [
        ("bob@bolt", "open", change("replace", "/title", "u"), Code::Entitlement),
        ("ann@acme", "open", change("replace", "/title", 7), Code::Schema),
        ("ann@acme", "open", change("replace", "/nowhere", 7), Code::Patch),
        ("ann@acme", "open", change("test", "/title", "u"), Code::Patch),
        ("ann@acme", "nowhere", change("add", "", 7), Code::Patch),
        ("ann@acme", "parties", change("add", "/members/0/to", 1), Code::Parties),
    ] {
        let wish = world.raw(by, "one", vec![(section, change)]);
        assert_eq!(world.rejected(&wish).0, expected);
    }
    let mut wish = world.raw("ann@acme", "one", vec![("open", change("replace", "/title", "u"))]);
    if let Call::Changes { changes, .. } = &mut wish.draft.call {
        changes[0].record = 1;
    }
    assert_eq!(world.rejected(&wish).0, Code::WrongRecords);
}

#[test]
fn raw_changes_tell_nothing_about_what_their_actor_may_not_change() {
    let mut world = raw();
    for probe in [change("test", "/price", 7), change("test", "/price", 8), change("replace", "/nowhere", 1)] {
        let wish = world.raw("eve@bolt", "one", vec![("secret", probe)]);
        assert_eq!(world.rejected(&wish).0, Code::Entitlement);
    }
}

/// A contract `clerk` that works on deals; the deals' spec names it, or not.
fn with_clerk(named: bool, reads: &[&str], writes: &[&str], flows: &[&str]) -> World {
    let mut world = World::new();
    world.people();
    let mut spec = deal_spec();
    if named {
        spec = with(spec, "contracts", one(Json::from("clerk")));
    }
    world.deploy(&with(deal_manifest("1.0.0"), "specs", json!({"deal": spec}))).unwrap();
    let flows: Vec<Json> = flows.iter().map(|flow| Json::from(*flow)).collect();
    let methods = json!({"file": with(method(one(uses(reads, writes))), "declassifies", flows)});
    world.deploy(&manifest("clerk", "1.0.0", json!({}), methods)).unwrap();
    let make = world.make("one");
    world.apply(&make);
    world
}

#[test]
fn another_contracts_records_are_open_only_to_contracts_that_their_spec_names() {
    let edit = vec![op("open", "replace", "/title", "filed")];
    let mut world = with_clerk(false, &[], &["open"], &[]);
    assert_eq!(refused(&mut world, "ann@acme", "clerk.file", edit.clone()).0, Code::Entitlement);
    let mut world = with_clerk(true, &[], &["open"], &[]);
    let wish = world.call("ann@acme", "clerk.file", "one", edit);
    let events = world.apply(&wish);
    assert_eq!(events[0].after.on.to_string(), "deal@1.0.0", "the record stays on its own contract");
    let (code, _) = refused(&mut world, "bob@bolt", "clerk.file", vec![op("open", "replace", "/title", "x")]);
    assert_eq!(code, Code::Entitlement, "no confused deputy: bob may not");
}

#[test]
fn another_contracts_method_reads_for_its_actor() {
    let mut world = with_clerk(true, &["secret"], &["open"], &["secret->open"]);
    assert_eq!(refused(&mut world, "gus@bolt", "clerk.file", vec![]).0, Code::Entitlement);
    let copy = json!({"do": "copy", "section": "secret", "pointer": "/price", "to": "open"});
    let wish = world.call("ann@acme", "clerk.file", "one", vec![copy]);
    world.apply(&wish);
    assert_eq!(content(&world, "open"), json!({"title": "t", "copy": 7}));
}

#[test]
fn a_section_that_another_contracts_spec_has_not_is_never_made() {
    let mut world = with_clerk(true, &[], &["phantom"], &[]);
    let (code, message) = refused(&mut world, "ann@acme", "clerk.file", vec![]);
    assert_eq!(code, Code::WrongRecords);
    assert!(message.contains("section phantom, which spec deal of acme:one does not have"), "{message}");
}

#[test]
fn a_foreign_method_leaves_a_record_under_its_own_spec() {
    let mut world = with_clerk(true, &[], &["open"], &[]);
    let next = with(with(deal_spec(), "contracts", one(Json::from("clerk"))), "description", "Newer.");
    world.deploy(&with(deal_manifest("1.1.0"), "specs", json!({"deal": next}))).unwrap();
    let before = world.states[&record("one")].as_ref().unwrap().spec_digest;
    let wish = world.call("ann@acme", "clerk.file", "one", vec![op("open", "replace", "/title", "x")]);
    assert_eq!(world.apply(&wish)[0].after.spec_digest, before);
    let wish = world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", "y")]);
    let after = world.apply(&wish)[0].after.clone();
    assert_ne!(after.spec_digest, before, "its own contract takes it along");
    assert_eq!(after.on.to_string(), "deal@1.1.0");
}

#[test]
fn records_of_one_intent_change_together_or_not_at_all() {
    let mut world = dealt();
    let make = world.make("two");
    world.apply(&make);
    let on = |record: u64, title: &str| with(op("open", "replace", "/title", title), "record", record);
    let wish = world.call("ann@acme", "both", "one", vec![on(0, "a"), on(1, "b")]).also("two");
    let events = world.apply(&wish);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].openings.reads.as_ref().unwrap().1[0].record, record("two"), "each pins the other");
    let wish = world.call("ann@acme", "both", "one", vec![on(0, "c"), on(1, &"x".repeat(21))]).also("two");
    assert_eq!(world.rejected(&wish).0, Code::Schema);
}

#[test]
fn rights_are_those_of_the_directory_that_judges() {
    let mut world = dealt();
    let wish = world.call("bob@bolt", "whisper", "one", vec![op("secret", "replace", "/price", 8)]);
    let intent = world.enter(&wish);
    world.change("root@acme", Body::ActorRevoke { actor: actor("gus@bolt") }).unwrap();
    assert!(matches!(world.execute(&intent).unwrap().verdict, Verdict::Applied(_)));
}
