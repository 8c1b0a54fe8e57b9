//! How participants and nodes come and go.

use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::directory::{
    Address, Body, Directory, DirectoryEvent, Invitation, Join, Membership, NewNode, Status, Terms,
};
use lockstep_core::intent::verify;
use lockstep_core::json;
use lockstep_core::names::{NodeName, ParticipantName};

use crate::world::{World, actor, deal_manifest, deal_spec, key, manifest, now, participant};

const SECRET: [u8; 32] = [7; 32];

fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub fn terms(world: &World, who: &str) -> Terms {
    Terms {
        network: world.directory.network(),
        participant: participant(who),
        observer: false,
        secret: Digest::of(&SECRET),
        expires: now().plus(Duration::from_secs(3600)),
        by: actor("root@acme"),
    }
}

pub fn join(world: &World, who: &str) -> Join {
    let invitation = Invitation::sign(terms(world, who), &key("root@acme")).unwrap();
    let admin = format!("root@{who}");
    Join {
        invitation,
        secret: SECRET,
        participant: participant(who),
        admin: (actor(&admin), key(&admin).public_key()),
        node: NewNode {
            name: node(who),
            key: key(who).public_key(),
            addresses: vec![Address::parse("db.example:7400").unwrap()],
        },
    }
}

fn ask(world: &mut World, join: Join) -> Result<(), lockstep_core::directory::DirectoryError> {
    let by = join.admin.0.to_string();
    world.change(&by, Body::ParticipantJoin(Box::new(join)))
}

fn refused(world: &mut World, join: Join) -> String {
    let before = world.directory.head();
    let said = ask(world, join).unwrap_err().to_string();
    assert_eq!(world.directory.head(), before);
    said
}

/// Lets one in, with the approvals of everybody.
pub fn admit(world: &mut World, who: &str) {
    let join = join(world, who);
    ask(world, join).unwrap();
    let others: Vec<String> = world.directory.voters().filter(|voter| *voter != "acme").map(str::to_owned).collect();
    for voter in others {
        if world.directory.participants()[who].status == Membership::Proposed {
            approve(world, &format!("root@{voter}"), who).unwrap();
        }
    }
    assert_eq!(world.directory.participants()[who].status, Membership::Active);
}

fn approve(world: &mut World, by: &str, who: &str) -> Result<(), lockstep_core::directory::DirectoryError> {
    world.change(by, Body::ParticipantApprove { participant: participant(who) })
}

fn leave(who: &str) -> Body {
    Body::ParticipantLeave { participant: participant(who) }
}

fn add(name: &str) -> Body {
    Body::ActorAdd { actor: actor(name), roles: Default::default(), key: key(name).public_key() }
}

#[test]
fn who_is_invited_by_the_only_participant_takes_part_at_once() {
    let mut world = World::new();
    let asked = join(&world, "bolt");
    ask(&mut world, asked).unwrap();
    let bolt = &world.directory.participants()["bolt"];
    assert_eq!((bolt.status, bolt.voting, bolt.observer, bolt.seq), (Membership::Active, true, false, 2));
    assert_eq!(world.directory.active_node("bolt").unwrap().addresses[0].as_str(), "db.example:7400");
    world.change("root@bolt", add("bob@bolt")).unwrap();
}

#[test]
fn an_invitation_is_for_one_participant_once_and_not_for_ever() {
    let mut world = World::new();
    let signed = |terms: Terms, by: &str| Invitation::sign(terms, &key(by)).unwrap();
    let good = join(&world, "bolt");
    let with = |invitation: Invitation| Join { invitation, ..good.clone() };
    for (bad, said) in [
        (with(signed(Terms { network: Digest::of(b"other"), ..terms(&world, "bolt") }, "root@acme")), "is for network"),
        (with(signed(Terms { expires: now().plus_micros(-1), ..terms(&world, "bolt") }, "root@acme")), "expired at"),
        (with(signed(terms(&world, "core"), "root@acme")), "is for core, not for bolt"),
        (with(signed(terms(&world, "bolt"), "eve@acme")), "not signed by root@acme"),
        (with(signed(Terms { by: actor("eve@acme"), ..terms(&world, "bolt") }, "eve@acme")), "no active actor"),
        (Join { secret: [8; 32], ..good.clone() }, "not the secret"),
        (Join { admin: (actor("root@core"), key("root@core").public_key()), ..good.clone() }, "is not of participant"),
        (
            Join { admin: (good.admin.0.clone(), key("root@core").public_key()), ..good.clone() },
            "not signed by root@bolt",
        ),
        (Join { node: NewNode { name: node("acme"), ..good.node.clone() }, ..good.clone() }, "never used again"),
        (
            Join { node: NewNode { key: key("acme").public_key(), ..good.node.clone() }, ..good.clone() },
            "is or was acme's",
        ),
        (Join { node: NewNode { key: good.admin.1, ..good.node.clone() }, ..good.clone() }, "is or was root@bolt's"),
    ] {
        let found = refused(&mut world, bad);
        assert!(found.contains(said), "{found} instead of {said}");
    }
    let mut twice = good.clone();
    twice.invitation.envelope.add_signature(&key("eve")).unwrap();
    assert!(refused(&mut world, twice).contains("alone"));
    world.time = terms(&world, "bolt").expires;
    ask(&mut world, good.clone()).unwrap();
    assert!(refused(&mut world, good).contains("used already"));
    world.time = world.time.plus_micros(1);
    let late = join(&world, "core");
    assert!(refused(&mut world, late).contains("expired at"));
}

#[test]
fn an_invitation_used_for_a_name_that_is_there_is_refused() {
    let mut world = World::new();
    world
        .change("root@acme", Body::ParticipantAdd { participant: participant("bolt"), hosted_by: participant("acme") })
        .unwrap();
    let asked = join(&world, "bolt");
    assert!(refused(&mut world, asked).contains("never used again"));
}

#[test]
fn somebody_else_cannot_join_with_anothers_event() {
    let world = World::new();
    let body = Body::ParticipantJoin(Box::new(join(&world, "bolt")));
    let event = world.event("root@acme", body);
    let said = world.directory.clone().apply(&world.collect(event)).unwrap_err().to_string();
    assert!(said.contains("root@acme joins for bolt"), "{said}");
}

#[test]
fn exactly_two_thirds_are_not_enough_to_be_let_in() {
    let mut world = World::founded_by(&["acme", "bolt", "core"]);
    let asked = join(&world, "dale");
    ask(&mut world, asked).unwrap();
    let status = |world: &World| world.directory.participants()["dale"].status;
    assert!(refusal(&mut world, "root@acme", "dale").contains("acme has approved dale already"));
    approve(&mut world, "root@bolt", "dale").unwrap();
    assert_eq!(status(&world), Membership::Proposed, "two of three are not more than two thirds");
    assert!(!world.directory.participants()["dale"].voting);
    assert_eq!(world.directory.voters().count(), 3);
    approve(&mut world, "root@core", "dale").unwrap();
    assert_eq!(status(&world), Membership::Active);
    assert_eq!(world.directory.voters().count(), 4);
    assert!(refusal(&mut world, "root@core", "dale").contains("is active"));
    assert!(refusal(&mut world, "root@core", "zoo").contains("not known"));
}

fn refusal(world: &mut World, by: &str, who: &str) -> String {
    approve(world, by, who).unwrap_err().to_string()
}

#[test]
fn who_is_proposed_can_do_nothing_yet() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let asked = join(&world, "core");
    ask(&mut world, asked).unwrap();
    assert_eq!(world.directory.participants()["core"].status, Membership::Proposed);
    for body in [add("joe@core"), leave("core"), Body::ParticipantApprove { participant: participant("core") }] {
        let said = world.change("root@core", body).unwrap_err().to_string();
        assert!(said.contains("proposed, and not yet approved"), "{said}");
    }
    assert!(world.directory.active_node("core").is_none());
    assert!(world.directory.stands_for("core").is_empty());
    let intent = world.make("one").edit(|draft| draft.actor = actor("root@core")).signed_by("root@core");
    let refusal = verify(&intent.bytes(), &world.door()).unwrap_err();
    assert_eq!(refusal.code, Code::UnknownActor);
    assert!(refusal.message.contains("proposed, and not yet approved"), "{}", refusal.message);
    approve(&mut world, "root@bolt", "core").unwrap();
    verify(&intent.bytes(), &world.door()).unwrap();
    world.change("root@core", add("joe@core")).unwrap();
}

#[test]
fn an_observer_takes_part_and_has_no_vote() {
    let mut world = World::new();
    let observing = Terms { observer: true, ..terms(&world, "bank") };
    let invitation = Invitation::sign(observing, &key("root@acme")).unwrap();
    let asked = Join { invitation, ..join(&world, "bank") };
    ask(&mut world, asked).unwrap();
    let bank = &world.directory.participants()["bank"];
    assert_eq!((bank.status, bank.voting, bank.observer), (Membership::Active, false, true));
    world.change("root@bank", add("ben@bank")).unwrap();
    let asked = join(&world, "core");
    let by_observer = Terms { by: actor("root@bank"), ..terms(&world, "core") };
    let invitation = Invitation::sign(by_observer, &key("root@bank")).unwrap();
    assert!(refused(&mut world, Join { invitation, ..asked }).contains("invites nobody"));
    let package = world.propose(&deal_manifest("1.0.0")).unwrap();
    let said = world.change("root@bank", Body::ContractApprove { package }).unwrap_err().to_string();
    assert!(said.contains("has no vote"), "{said}");
}

#[test]
fn who_leaves_takes_keys_nodes_and_hosted_participants_along() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let hosted = Body::ParticipantAdd { participant: participant("shop"), hosted_by: participant("bolt") };
    world.change("root@bolt", hosted).unwrap();
    world.change("root@bolt", add("sam@shop")).unwrap();
    assert!(world.change("root@acme", leave("bolt")).unwrap_err().to_string().contains("does not speak for bolt"));
    world.time = now().plus(Duration::from_secs(5));
    world.change("root@bolt", leave("bolt")).unwrap();
    let seq = world.directory.seq();
    for name in ["bolt", "shop"] {
        let left = &world.directory.participants()[name];
        assert_eq!((left.status, left.voting, left.seq), (Membership::Left, false, seq));
    }
    for name in ["root@bolt", "sam@shop"] {
        let actor = &world.directory.actors()[&actor(name)];
        assert_eq!((actor.revoked, actor.seq), (Some(world.time), seq));
    }
    let gone = &world.directory.nodes()["bolt"];
    assert_eq!((gone.retired, gone.status(), gone.seq), (Some(world.time), "retired", seq));
    let again = join(&world, "bolt");
    assert!(refused(&mut world, again).contains("never used again"));
    let said = world.change("root@acme", add("joe@bolt")).unwrap_err().to_string();
    assert!(said.contains("participant bolt has left"), "{said}");
}

#[test]
fn a_network_keeps_its_last_voter_and_whoever_orders_it() {
    let mut world = World::new();
    assert!(world.change("root@acme", leave("acme")).unwrap_err().to_string().contains("is the last participant"));
    admit(&mut world, "bolt");
    let said = world.change("root@acme", leave("acme")).unwrap_err().to_string();
    assert!(said.contains("orders the directory"), "{said}");
    let retire = |name: &str| Body::NodeRetire { node: node(name) };
    assert!(world.change("root@acme", retire("acme")).unwrap_err().to_string().contains("orders the directory"));
    assert_eq!(world.directory.sequencer(), "acme");
    world.change("root@bolt", leave("bolt")).unwrap();
    assert_eq!(world.directory.voters().collect::<Vec<_>>(), ["acme"]);
}

#[test]
fn what_waited_for_one_who_left_is_decided_without_it() {
    let mut world = World::founded_by(&["acme", "bolt", "core"]);
    let package = world.propose(&deal_manifest("1.0.0")).unwrap();
    let other = world.propose(&manifest("other", "1.0.0", json!({"other": deal_spec()}), json!({}))).unwrap();
    let asked = join(&world, "dale");
    ask(&mut world, asked).unwrap();
    for by in ["root@acme", "root@bolt"] {
        world.change(by, Body::ContractApprove { package }).unwrap();
    }
    world.change("root@core", Body::ContractApprove { package: other }).unwrap();
    approve(&mut world, "root@bolt", "dale").unwrap();
    let status = |world: &World, package| world.directory.package(&package).unwrap().status;
    assert_eq!(status(&world, package), Status::Proposed);
    world.change("root@core", leave("core")).unwrap();
    assert_eq!(world.directory.participants()["dale"].status, Membership::Active);
    assert_eq!(status(&world, package), Status::Proposed, "dale has a vote now, and has not approved it");
    world.change("root@dale", Body::ContractApprove { package }).unwrap();
    assert_eq!(status(&world, package), Status::Active);
    world.change("root@acme", Body::ContractApprove { package: other }).unwrap();
    world.change("root@bolt", Body::ContractApprove { package: other }).unwrap();
    assert_eq!(status(&world, other), Status::Proposed, "the approval of one who left is no vote");
    world.change("root@dale", leave("dale")).unwrap();
    assert_eq!(status(&world, other), Status::Active);
    assert_eq!(world.directory.package(&other).unwrap().seq, world.directory.seq());
}

#[test]
fn nodes_are_added_moved_and_retired_by_their_participant() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let addresses = |texts: &[&str]| texts.iter().map(|text| Address::parse(text).unwrap()).collect::<Vec<_>>();
    let added = |name: &str, of: &str, signer: &str| Body::NodeAdd {
        participant: participant(of),
        node: Box::new(NewNode { name: node(name), key: key(signer).public_key(), addresses: addresses(&["[::1]:1"]) }),
    };
    let moved =
        |name: &str| Body::NodeAddresses { node: node(name), addresses: addresses(&["a:2", "b-1.example:65535"]) };
    let retire = |name: &str| Body::NodeRetire { node: node(name) };
    let refuse = |world: &mut World, by: &str, body: Body, said: &str| {
        let found = world.change(by, body).unwrap_err().to_string();
        assert!(found.contains(said), "{found} instead of {said}");
    };
    refuse(&mut world, "root@acme", added("two", "bolt", "two"), "does not speak for bolt");
    refuse(&mut world, "root@bolt", added("acme", "bolt", "two"), "never used again");
    refuse(&mut world, "root@bolt", added("two", "bolt", "acme"), "is or was acme's");
    refuse(&mut world, "root@bolt", added("two", "bolt", "root@acme"), "is or was root@acme's");
    world.change("root@bolt", added("two", "bolt", "two")).unwrap();
    assert_eq!(world.directory.stands_for("two"), ["bolt".to_owned()].into());
    refuse(&mut world, "root@acme", moved("two"), "does not speak for bolt");
    refuse(&mut world, "root@bolt", moved("three"), "is not known");
    world.change("root@bolt", moved("two")).unwrap();
    let two = &world.directory.nodes()["two"];
    assert_eq!((two.addresses.len(), two.seq), (2, world.directory.seq()));
    world.change("root@bolt", retire("two")).unwrap();
    assert!(world.directory.stands_for("two").is_empty());
    for body in [moved("two"), retire("two")] {
        refuse(&mut world, "root@bolt", body, "was retired");
    }
    refuse(&mut world, "root@bolt", added("two", "bolt", "new"), "never used again");
    refuse(&mut world, "root@bolt", added("new", "bolt", "two"), "is or was two's");
    let hosted = Body::ParticipantAdd { participant: participant("shop"), hosted_by: participant("bolt") };
    world.change("root@bolt", hosted).unwrap();
    refuse(&mut world, "root@bolt", added("shop", "shop", "shop"), "is hosted by bolt");
    assert_eq!(world.directory.stands_for("bolt"), ["bolt".to_owned(), "shop".to_owned()].into());
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for good in ["a:1", "node.example.com:7400", "127.0.0.1:65535", "[::1]:80", "my_host-2:9"] {
        assert_eq!(Address::parse(good).unwrap().as_str(), good);
    }
    let long = format!("{}:1", "a".repeat(254));
    for bad in ["", "a", "a:", ":1", "a:0", "a:01", "a:65536", "a:+1", "::1:80", "[x]:1", "a b:1", "http://a:1", &long]
    {
        assert!(Address::parse(bad).is_err(), "{bad}");
    }
    let world = World::new();
    let nine: Vec<Address> = (1..10).map(|port| Address::parse(&format!("a:{port}")).unwrap()).collect();
    for (addresses, said) in [(nine, "at most 8"), (vec![Address::parse("a:1").unwrap(); 2], "named twice")] {
        let event = world.event("root@acme", Body::NodeAddresses { node: node("acme"), addresses });
        let error = DirectoryEvent::read(&event.stored()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn an_invitation_reads_back_and_a_changed_one_does_not_get_anybody_in() {
    let world = World::new();
    let asked = join(&world, "bolt");
    let stored = asked.invitation.envelope.to_json();
    assert_eq!(Invitation::read(&stored).unwrap(), asked.invitation);
    let text = stored.canonical().into_bytes();
    for at in 0..text.len() {
        let mut flipped = text.clone();
        flipped[at] ^= 1;
        let read = json::Json::parse_canonical(&flipped, &json::Limits::default()).ok();
        let taken = read.and_then(|json| Invitation::read(&json).ok()).map(|invitation| {
            let join = Join { invitation, ..asked.clone() };
            let event = world.collect(world.event("root@bolt", Body::ParticipantJoin(Box::new(join))));
            Directory::found(&world.events[0].0).unwrap().apply(&event)
        });
        assert!(taken.is_none_or(|taken| taken.is_err()), "byte {at}");
    }
    assert!(ParticipantName::parse("Bolt").is_err());
}
