//! Whose signatures an event needs, and which it may have.

use std::time::Duration;

use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::directory::{Body, Directory, DirectoryEvent, History, Invitation, Join, NewNode, Terms};
use lockstep_core::names::NodeName;

use crate::members::{admit, join, terms};
use crate::world::{World, actor, key, now, participant};

const MINUTE: Duration = Duration::from_secs(60);

fn add(name: &str) -> Body {
    Body::ActorAdd { actor: actor(name), roles: Default::default(), key: key(name).public_key() }
}

fn hosted(name: &str, by: &str) -> Body {
    Body::ParticipantAdd { participant: participant(name), hosted_by: participant(by) }
}

/// An event with these keys' signatures after its proposer's.
fn signed(world: &World, by: &str, body: Body, others: &[&str]) -> DirectoryEvent {
    let mut event = world.event(by, body);
    for name in others {
        event.add_signature(event.countersign(&key(name)).unwrap());
    }
    event
}

/// Whether the directory takes it, and what it says if not.
fn judged(world: &World, event: &DirectoryEvent) -> Result<(), String> {
    world.directory.clone().apply(event).map_err(|error| error.to_string())
}

fn four() -> World {
    World::founded_by(&["acme", "bolt", "core", "dale"])
}

#[test]
fn an_event_is_taken_with_more_than_two_thirds_of_the_votes() {
    let world = four();
    let judge = |others: &[&str]| judged(&world, &signed(&world, "root@acme", add("ann@acme"), others));
    assert!(judge(&[]).unwrap_err().contains("1 of 4 participants signed it, it needs 3"));
    assert!(judge(&["bolt"]).unwrap_err().contains("2 of 4"));
    judge(&["bolt", "core"]).unwrap();
    judge(&["root@core", "dale"]).unwrap();
    let three = World::founded_by(&["acme", "bolt", "core"]);
    let two = signed(&three, "root@acme", add("ann@acme"), &["bolt"]);
    assert!(judged(&three, &two).unwrap_err().contains("2 of 3"), "exactly two thirds are not enough");
    judged(&three, &signed(&three, "root@acme", add("ann@acme"), &["bolt", "core"])).unwrap();
}

#[test]
fn a_participant_has_one_vote_however_many_of_its_keys_sign() {
    let world = four();
    let judge = |others: &[&str]| judged(&world, &signed(&world, "root@acme", add("ann@acme"), others));
    assert!(judge(&["acme", "bolt"]).unwrap_err().contains("acme signed it twice"));
    assert!(judge(&["bolt", "root@bolt"]).unwrap_err().contains("bolt signed it twice"));
    let event = signed(&world, "root@acme", add("ann@acme"), &["acme", "bolt", "root@bolt"]);
    let votes = world.directory.votes(&event);
    assert_eq!((votes.given.len(), votes.needed, votes.of, votes.reached()), (2, 3, 4, false));
}

#[test]
fn an_event_keeps_the_votes_that_decide_and_no_others() {
    let world = four();
    let event = signed(&world, "root@acme", add("ann@acme"), &["bolt", "core", "dale"]);
    assert!(judged(&world, &event).unwrap_err().contains("3 decide, and no more are kept"));
    let mut crowd = event.clone();
    for name in ["eve", "root@bolt", "acme"] {
        crowd.add_signature(crowd.countersign(&key(name)).unwrap());
    }
    assert!(judged(&world, &crowd).unwrap_err().contains("nobody's vote"));
    let settled = world.directory.settled(&crowd);
    judged(&world, &settled).unwrap();
    assert_eq!((settled.envelope.signatures.len(), settled.head()), (3, event.head()));
    assert_eq!(world.directory.settled(&settled).stored(), settled.stored());
}

#[test]
fn a_signature_that_is_nobodys_vote_is_refused() {
    let mut world = four();
    world.change("root@bolt", add("bob@bolt")).unwrap();
    let two = NewNode { name: NodeName::parse("two").unwrap(), key: key("two").public_key(), addresses: Vec::new() };
    world.change("root@bolt", Body::NodeAdd { participant: participant("bolt"), node: Box::new(two) }).unwrap();
    let judge = |world: &World, others: &[&str]| judged(world, &signed(world, "root@acme", add("ann@acme"), others));
    judge(&world, &["two", "core"]).unwrap();
    for nobody in ["eve", "bob@bolt"] {
        assert!(judge(&world, &[nobody, "core", "dale"]).unwrap_err().contains("nobody's vote"), "{nobody}");
    }
    world.change("root@bolt", Body::NodeRetire { node: NodeName::parse("two").unwrap() }).unwrap();
    assert!(judge(&world, &["two", "core"]).unwrap_err().contains("nobody's vote"), "it is retired");
    let rotated = Body::ActorRotate { actor: actor("root@core"), key: key("core two").public_key() };
    world.change("root@core", rotated).unwrap();
    assert!(judge(&world, &["root@core", "bolt"]).unwrap_err().contains("nobody's vote"), "the key is replaced");
    judge(&world, &["core two", "bolt"]).unwrap();
    let mut broken = signed(&world, "root@acme", add("ann@acme"), &["bolt", "dale"]);
    broken.envelope.signatures[1].sig[5] ^= 1;
    assert!(judged(&world, &broken).unwrap_err().contains("nobody's vote"));
}

#[test]
fn observers_and_hosted_participants_have_no_vote() {
    let mut world = World::founded_by(&["acme", "bolt"]);
    let observing = Terms { observer: true, ..terms(&world, "bank") };
    let invitation = Invitation::sign(observing, &key("root@acme")).unwrap();
    let asked = Join { invitation, ..join(&world, "bank") };
    world.change("root@bank", Body::ParticipantJoin(Box::new(asked))).unwrap();
    world.change("root@bolt", Body::ParticipantApprove { participant: participant("bank") }).unwrap();
    world.change("root@bolt", hosted("shop", "bolt")).unwrap();
    let boss =
        Body::ActorAdd { actor: actor("boss@shop"), roles: ["admin".to_owned()].into(), key: key("boss").public_key() };
    world.change("root@bolt", boss).unwrap();
    let judge = |by: &str, others: &[&str]| judged(&world, &signed(&world, "root@acme", add(by), others));
    for nobody in ["bank", "root@bank", "boss"] {
        assert!(judge("ann@acme", &[nobody]).unwrap_err().contains("nobody's vote"), "{nobody}");
    }
    let own = |others: &[&str]| judged(&world, &signed(&world, "root@bank", add("ben@bank"), others));
    assert!(own(&["bank"]).unwrap_err().contains("nobody's vote"));
    assert!(own(&["acme"]).unwrap_err().contains("1 of 2"));
    own(&["acme", "bolt"]).unwrap();
}

#[test]
fn the_only_participant_with_a_vote_needs_nobody_else() {
    let mut world = World::new();
    let alone = world.event("root@acme", hosted("shop", "acme"));
    world.take(alone, None).unwrap();
    let boss = Body::ActorAdd {
        actor: actor("boss@shop"),
        roles: ["admin".to_owned()].into(),
        key: key("boss@shop").public_key(),
    };
    let alone = world.event("root@acme", boss);
    world.take(alone, None).unwrap();
    let of_hosted = world.event("boss@shop", add("sam@shop"));
    world.take(of_hosted, None).unwrap();
    let joining = world.event("root@bolt", Body::ParticipantJoin(Box::new(join(&world, "bolt"))));
    assert!(judged(&world, &joining).unwrap_err().contains("0 of 1"));
    let mut joining = joining;
    joining.add_signature(joining.countersign(&key("acme")).unwrap());
    world.take(joining, None).unwrap();
    let of_hosted = world.event("boss@shop", add("tim@shop"));
    assert!(judged(&world, &of_hosted).unwrap_err().contains("0 of 2"));
}

#[test]
fn people_sign_who_is_hosted_and_nodes_the_rest() {
    let world = World::founded_by(&["acme", "bolt"]);
    let body = || hosted("shop", "acme");
    assert!(judged(&world, &signed(&world, "root@acme", body(), &["bolt"])).unwrap_err().contains("nobody's vote"));
    judged(&world, &signed(&world, "root@acme", body(), &["root@bolt"])).unwrap();
    let event = world.event("root@acme", body());
    let said = world.directory.countersignable(&event, now(), MINUTE).unwrap_err().to_string();
    assert!(said.contains("for people to sign"), "{said}");
}

#[test]
fn a_revocation_needs_the_admins_signature_alone() {
    let mut world = four();
    world.change("root@bolt", add("bob@bolt")).unwrap();
    let revoke = || Body::ActorRevoke { actor: actor("bob@bolt") };
    judged(&world, &signed(&world, "root@bolt", revoke(), &[])).unwrap();
    assert!(
        judged(&world, &signed(&world, "root@bolt", revoke(), &["acme"])).unwrap_err().contains("no more are kept")
    );
    assert!(judged(&world, &signed(&world, "root@acme", revoke(), &[])).unwrap_err().contains("does not speak"));
    let retire = Body::NodeRetire { node: NodeName::parse("bolt").unwrap() };
    judged(&world, &signed(&world, "root@bolt", retire, &[])).unwrap();
}

#[test]
fn a_node_countersigns_what_continues_the_directory_and_keeps_its_rules() {
    let world = four();
    let check = |event: &DirectoryEvent, at| {
        let before = world.directory.head();
        let said = world.directory.countersignable(event, at, MINUTE).map_err(|error| error.to_string());
        assert_eq!(world.directory.head(), before);
        said
    };
    let good = world.event("root@acme", add("ann@acme"));
    check(&good, now()).unwrap();
    check(&good, now().plus_micros(-60_000_000)).unwrap();
    assert!(check(&good, now().plus_micros(-60_000_001)).unwrap_err().contains("is ahead of"));
    assert!(check(&world.event("root@acme", add("bob@bolt")), now()).unwrap_err().contains("does not speak"));
    let mut forged = good.clone();
    forged.envelope.signatures[0].sig[0] ^= 1;
    assert!(check(&forged, now()).unwrap_err().contains("not signed by root@acme"));
    let after = Some((world.directory.network(), 1, Digest::of(b"other")));
    let other = DirectoryEvent::sign(after, now(), &actor("root@acme"), add("ann@acme"), &key("root@acme")).unwrap();
    assert!(check(&other, now()).unwrap_err().contains("does not continue"));
    let joining = world.event("root@eden", Body::ParticipantJoin(Box::new(join(&world, "eden"))));
    check(&joining, now()).unwrap();
    let late = terms(&world, "eden").expires.plus(MINUTE);
    check(&joining, late).unwrap();
    assert!(check(&joining, late.plus_micros(1)).unwrap_err().contains("expired"), "it says an early time");
}

#[test]
fn any_signature_dropped_or_altered_is_found() {
    let mut world = World::new();
    for name in ["bolt", "core", "dale"] {
        admit(&mut world, name);
    }
    world.change("root@acme", add("ann@acme")).unwrap();
    let mut spoiled = 0;
    for (at, (event, _)) in world.events.iter().enumerate().skip(1) {
        let mut directory = Directory::found(&world.events[0].0).unwrap();
        world.events[1..at].iter().for_each(|(event, _)| directory.apply(event).unwrap());
        for signature in 0..event.envelope.signatures.len() {
            let mut dropped = event.clone();
            dropped.envelope.signatures.remove(signature);
            let mut altered = event.clone();
            altered.envelope.signatures[signature].sig[9] ^= 4;
            for bad in [dropped, altered] {
                assert!(directory.clone().apply(&bad).is_err(), "event {}, signature {signature}", event.seq);
                spoiled += 1;
            }
        }
        directory.apply(event).unwrap();
    }
    assert!(spoiled > 30, "{spoiled}");
}

#[test]
fn a_history_gives_the_directory_as_it_was_after_any_event() {
    let mut world = World::new();
    for name in ["bolt", "core"] {
        admit(&mut world, name);
    }
    for name in ["ann@acme", "bob@bolt", "cat@core", "dan@acme"] {
        let by = format!("root@{}", actor(name).participant());
        world.change(&by, add(name)).unwrap();
    }
    let mut states = vec![Directory::found(&world.events[0].0).unwrap()];
    let mut history = History::found(world.events[0].0.clone()).unwrap();
    for (event, _) in &world.events[1..] {
        let mut next = states.last().unwrap().clone();
        next.apply(event).unwrap();
        states.push(next);
        assert!(history.push(world.events[0].0.clone()).is_err());
        history.push(event.clone()).unwrap();
    }
    let last = world.directory.seq();
    let orders: Vec<u64> = (1..=last).chain((1..=last).rev()).chain([3, 3, last, 1, 5]).collect();
    for seq in orders {
        let (found, expected) = (history.at(seq).unwrap(), &states[seq as usize - 1]);
        assert_eq!((found.head(), found.seq()), (expected.head(), seq));
        assert_eq!((found.participants(), found.actors()), (expected.participants(), expected.actors()));
        assert_eq!((found.nodes(), history.head(seq)), (expected.nodes(), Some(expected.head())));
    }
    assert!(history.at(0).is_none() && history.at(last + 1).is_none());
    assert!(history.head(0).is_none() && history.head(last + 1).is_none());
    assert_eq!((history.newest().head(), history.events().len() as u64), (world.directory.head(), last));
}
