//! Which events the directory takes.

use std::time::Duration;

use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::directory::{Body, Directory, DirectoryEvent, Status};
use lockstep_core::json;
use lockstep_core::names::{ContractName, Version};

use crate::world::{World, actor, deal_manifest, deal_spec, genesis, key, manifest, now, participant, with};

fn refusal(world: &mut World, by: &str, body: Body) -> String {
    let before = (world.directory.seq(), world.directory.head());
    let said = world.change(by, body).unwrap_err().to_string();
    assert_eq!((world.directory.seq(), world.directory.head()), before, "a refused event changes nothing");
    said
}

fn add(name: &str) -> Body {
    Body::ActorAdd { actor: actor(name), roles: Default::default(), key: key(name).public_key() }
}

#[test]
fn a_network_starts_with_a_genesis_that_every_founder_signed() {
    let event = genesis(&["acme", "bolt"], now());
    let directory = Directory::found(&event).unwrap();
    assert_eq!(directory.network(), event.head());
    assert_eq!(directory.participants().len(), 2);

    let mut unsigned = event.clone();
    unsigned.envelope.signatures.pop();
    assert!(Directory::found(&unsigned).is_err());
    let mut more = event.clone();
    more.envelope.add_signature(&key("eve@bolt")).unwrap();
    assert!(Directory::found(&more).unwrap_err().to_string().contains("signatures"));
    let mut other = event;
    other.seq = 2;
    assert!(Directory::found(&other).is_err());
}

#[test]
fn a_founder_is_named_once_and_has_a_key_of_its_own() {
    let event = genesis(&["acme", "bolt"], now());
    let refound = |change: &dyn Fn(&mut Vec<lockstep_core::directory::Founder>)| {
        let Body::Genesis { title, random, mut founders } = event.body.clone() else { panic!() };
        change(&mut founders);
        let body = Body::Genesis { title, random, founders };
        let mut event = DirectoryEvent::sign(None, now(), &actor("root@acme"), body, &key("root@acme")).unwrap();
        event.envelope.add_signature(&key("root@bolt")).unwrap();
        Directory::found(&event)
    };
    assert!(refound(&|_| ()).is_ok());
    assert!(refound(&|founders| founders[1].participant = participant("acme")).is_err());
    assert!(refound(&|founders| founders[1].node.0 = founders[0].node.0.clone()).is_err());
    assert!(refound(&|founders| founders[1].admin.0 = actor("root@other")).is_err());
    assert!(refound(&|founders| founders.clear()).is_err());
    let same_key = refound(&|founders| founders[1].admin.1 = founders[0].admin.1);
    assert!(same_key.unwrap_err().to_string().contains("never used again"));
}

#[test]
fn an_event_continues_the_chain_of_its_network() {
    let world = World::new();
    let after = (world.directory.network(), world.directory.seq(), world.directory.head());
    let judge = |after, time| {
        let event = DirectoryEvent::sign(after, time, &actor("root@acme"), add("ann@acme"), &key("root@acme")).unwrap();
        world.directory.clone().apply(&event)
    };
    assert!(judge(Some(after), now()).is_ok());
    let earlier = now().plus_micros(-1);
    for (after, time, said) in [
        (Some((Digest::of(b"other"), after.1, after.2)), now(), "another network"),
        (Some((after.0, after.1 + 1, after.2)), now(), "the next is 2"),
        (Some((after.0, after.1, Digest::of(b"other"))), now(), "the next is 2"),
        (Some(after), earlier, "before the last event's"),
        (None, now(), "another network"),
    ] {
        let error = judge(after, time).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_event_has_its_proposers_signature_and_no_other() {
    let mut world = World::new();
    let mut event = world.event("root@acme", add("ann@acme"));
    event.envelope.add_signature(&key("eve@bolt")).unwrap();
    assert!(world.take(event, None).unwrap_err().to_string().contains("nobody's vote"));
    let after = Some((world.directory.network(), 1, world.directory.head()));
    let forged = DirectoryEvent::sign(after, now(), &actor("root@acme"), add("ann@acme"), &key("eve")).unwrap();
    assert!(world.take(forged, None).unwrap_err().to_string().contains("not signed by root@acme"));
}

#[test]
fn only_an_active_admin_speaks_and_only_for_its_own() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    assert!(refusal(&mut world, "nobody@acme", add("ann@acme")).contains("no active actor"));
    world.change("root@acme", add("ann@acme")).unwrap();
    assert!(refusal(&mut world, "ann@acme", add("joe@acme")).contains("has not the role admin"));
    assert!(refusal(&mut world, "root@acme", add("bob@bolt")).contains("does not speak for bolt"));
    assert!(refusal(&mut world, "root@acme", add("zoe@zoo")).contains("participant zoo is not known"));
    assert!(
        refusal(&mut world, "root@acme", Body::ActorRevoke { actor: actor("root@bolt") }).contains("does not speak")
    );
    let admin =
        Body::ActorAdd { actor: actor("two@acme"), roles: ["admin".to_owned()].into(), key: key("two").public_key() };
    world.change("root@acme", admin).unwrap();
    let after = (world.directory.network(), world.directory.seq(), world.directory.head());
    let by_two = DirectoryEvent::sign(Some(after), now(), &actor("two@acme"), add("joe@acme"), &key("two")).unwrap();
    world.take(world.collect(by_two), None).unwrap();
    world.change("root@acme", Body::ActorRevoke { actor: actor("two@acme") }).unwrap();
    let after = (world.directory.network(), world.directory.seq(), world.directory.head());
    let again = DirectoryEvent::sign(Some(after), now(), &actor("two@acme"), add("kim@acme"), &key("two")).unwrap();
    assert!(world.take(world.collect(again), None).unwrap_err().to_string().contains("no active actor"));
}

#[test]
fn a_hosted_participant_is_spoken_for_and_has_no_vote() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let hosted = |by: &str| Body::ParticipantAdd { participant: participant("shop"), hosted_by: participant(by) };
    assert!(refusal(&mut world, "root@acme", hosted("bolt")).contains("does not speak for bolt"));
    world.change("root@acme", hosted("acme")).unwrap();
    assert!(refusal(&mut world, "root@acme", hosted("acme")).contains("is there already"));
    world.change("root@acme", add("sam@shop")).unwrap();
    assert!(refusal(&mut world, "root@bolt", add("tim@shop")).contains("does not speak for shop"));
    let shop = &world.directory.participants()["shop"];
    assert_eq!((shop.voting, shop.hosted_by.as_deref()), (false, Some("acme")));
    let boss = Body::ActorAdd {
        actor: actor("boss@shop"),
        roles: ["admin".to_owned()].into(),
        key: key("boss@shop").public_key(),
    };
    world.change("root@acme", boss).unwrap();
    let package = world.propose(&deal_manifest("1.0.0")).unwrap();
    assert!(refusal(&mut world, "boss@shop", Body::ContractApprove { package }).contains("has no vote"));
}

#[test]
fn a_key_is_one_actors_and_never_comes_back() {
    let mut world = World::new();
    world.change("root@acme", add("ann@acme")).unwrap();
    let taken =
        Body::ActorAdd { actor: actor("joe@acme"), roles: Default::default(), key: key("ann@acme").public_key() };
    assert!(refusal(&mut world, "root@acme", taken).contains("is or was ann@acme's"));
    let rotate = |to: &str| Body::ActorRotate { actor: actor("ann@acme"), key: key(to).public_key() };
    assert!(refusal(&mut world, "root@acme", rotate("ann@acme")).contains("never used again"));
    world.time = now().plus(Duration::from_secs(1));
    world.change("root@acme", rotate("ann two")).unwrap();
    let ann = &world.directory.actors()[&actor("ann@acme")];
    assert_eq!((ann.key, ann.since), (key("ann two").public_key(), world.time));
    assert!(refusal(&mut world, "root@acme", rotate("ann@acme")).contains("never used again"));
    assert!(refusal(&mut world, "root@acme", add("ann@acme")).contains("never used again"));
}

#[test]
fn who_was_revoked_stays_revoked() {
    let mut world = World::new();
    world.change("root@acme", add("ann@acme")).unwrap();
    world.change("root@acme", Body::ActorRevoke { actor: actor("ann@acme") }).unwrap();
    assert_eq!(world.directory.actors()[&actor("ann@acme")].revoked, Some(now()));
    for body in [
        Body::ActorRevoke { actor: actor("ann@acme") },
        Body::ActorRotate { actor: actor("ann@acme"), key: key("new").public_key() },
    ] {
        assert!(refusal(&mut world, "root@acme", body).contains("was revoked"));
    }
    let again = Body::ActorAdd { actor: actor("ann@acme"), roles: Default::default(), key: key("new").public_key() };
    assert!(refusal(&mut world, "root@acme", again).contains("is there already"));
    assert!(refusal(&mut world, "root@acme", Body::ActorRevoke { actor: actor("joe@acme") }).contains("not known"));
}

#[test]
fn a_package_is_active_when_more_than_two_thirds_approved() {
    let mut world = World::founded_by(&["acme", "bolt", "core"]);
    let package = world.propose(&deal_manifest("1.0.0")).unwrap();
    let approve = || Body::ContractApprove { package };
    let status = |world: &World| world.directory.package(&package).unwrap().status;
    world.change("root@acme", approve()).unwrap();
    world.change("root@bolt", approve()).unwrap();
    assert_eq!(status(&world), Status::Proposed, "two of three are not more than two thirds");
    assert!(world.directory.specs().is_empty());
    assert!(refusal(&mut world, "root@bolt", approve()).contains("has approved deal@1.0.0 already"));
    world.change("root@core", approve()).unwrap();
    assert_eq!(status(&world), Status::Active);
    assert_eq!(world.directory.specs().len(), 1);
    let unknown = Body::ContractApprove { package: Digest::of(b"unknown") };
    assert!(refusal(&mut world, "root@acme", unknown).contains("was not proposed"));
}

#[test]
fn a_later_compatible_version_takes_over_and_an_incompatible_one_stands_beside() {
    let mut world = World::new();
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        world.deploy(&deal_manifest(version)).unwrap();
    }
    let name = ContractName::parse("deal").unwrap();
    let statuses: Vec<_> = world.directory.contracts()[&name].values().map(|found| found.status).collect();
    assert_eq!(statuses, [Status::Superseded, Status::Active, Status::Active]);
    let judging = |current: Option<&str>| {
        let current = current.map(|version| Version::parse(version).unwrap());
        world.directory.judging(&name, current.as_ref()).map(|found| found.manifest.version.to_string())
    };
    assert_eq!(judging(None).as_deref(), Some("2.0.0"));
    assert_eq!(judging(Some("1.0.0")).as_deref(), Some("1.1.0"));
    assert_eq!(judging(Some("3.0.0")), None);
}

#[test]
fn a_version_is_never_used_twice_nor_overtaken_from_behind() {
    let mut world = World::new();
    let early = world.propose(&deal_manifest("1.0.0")).unwrap();
    assert!(world.propose(&deal_manifest("1.0.0")).unwrap_err().to_string().contains("was proposed already"));
    world.deploy(&deal_manifest("1.1.0")).unwrap();
    assert!(world.propose(&deal_manifest("1.0.5")).unwrap_err().to_string().contains("is newer than"));
    let late = refusal(&mut world, "root@acme", Body::ContractApprove { package: early });
    assert!(late.contains("deal@1.1.0 took over before 1.0.0"), "{late}");
}

#[test]
fn a_spec_belongs_to_one_contract_also_when_both_were_proposed_before() {
    let mut world = World::new();
    let table = |name: &str| manifest(name, "1.0.0", json!({"deal": deal_spec()}), json!({}));
    let (one, other) = (world.propose(&table("one")).unwrap(), world.propose(&table("other")).unwrap());
    world.change("root@acme", Body::ContractApprove { package: one }).unwrap();
    let said = refusal(&mut world, "root@acme", Body::ContractApprove { package: other });
    assert!(said.contains("spec deal is contract one's"), "{said}");
    assert!(world.propose(&table("third")).unwrap_err().to_string().contains("spec deal is contract one's"));
}

#[test]
fn a_column_is_never_retyped() {
    let changed = |change: fn(lockstep_core::json::Json) -> lockstep_core::json::Json| {
        let mut world = World::new();
        world.deploy(&deal_manifest("1.0.0")).unwrap();
        world.deploy(&manifest("deal", "1.1.0", json!({"deal": change(deal_spec())}), json!({})))
    };
    assert!(changed(|spec| spec).is_ok());
    let retyped = changed(|spec| {
        with(spec, "projections", json!({"title": {"section": "open", "pointer": "/title", "type": "text(30)"}}))
    });
    assert!(retyped.unwrap_err().to_string().contains("a column is never retyped"));
    let section = changed(|spec| with(spec, "projections", json!({}))).is_ok();
    assert!(section, "a column that is no longer projected stays as it is");
    let named = changed(|spec| {
        let sections = with(spec.get("sections").unwrap().clone(), "title", json!({"schema": {}}));
        with(with(spec, "sections", sections), "projections", json!({}))
    });
    assert!(named.unwrap_err().to_string().contains("section title of deal has the name of"));
    let other = changed(|spec| {
        let open = json!({"open2": {"schema": {"type": "string", "maxLength": 9}}});
        with(
            with(spec, "sections", open),
            "projections",
            json!({"open": {"section": "open2", "pointer": "", "type": "text(20)"}}),
        )
    });
    assert!(other.unwrap_err().to_string().contains("has the name of an earlier version's section"));
}

#[test]
fn a_stored_event_reads_back_and_a_changed_one_does_not() {
    let world = World::dealing();
    for (event, _) in &world.events {
        let stored = event.stored();
        let again = DirectoryEvent::read(&stored).unwrap();
        assert_eq!((again.head(), again.stored()), (event.head(), stored.clone()));
    }
    let stored = world.events[1].0.stored();
    for at in (0..stored.len()).step_by(3) {
        let mut flipped = stored.clone();
        flipped[at] ^= 1;
        let mut directory = Directory::found(&world.events[0].0).unwrap();
        let taken = DirectoryEvent::read(&flipped).and_then(|event| directory.apply(&event));
        assert!(taken.is_err(), "byte {at}");
    }
}
