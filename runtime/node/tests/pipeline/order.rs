//! Batches, their order, and what is built on what.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::directory::Body;
use lockstep_core::json;
use lockstep_core::json::Json;
use lockstep_node::{NodeConfig, SubmitError};

use crate::bed::{Bed, LONG};
use crate::world::{World, actor, deal_manifest, op, package, set, step};

#[tokio::test(flavor = "multi_thread")]
async fn many_that_wait_are_committed_together() {
    let mut bed = Bed::dealing().await;
    let jam = bed.jam().await;
    let begun: Vec<_> = (0..200)
        .map(|number| {
            let wish = bed.world.make(&format!("r{number}"));
            bed.begin(&wish)
        })
        .collect();
    bed.waiting(200).await;
    let before = bed.database.commits.load(Ordering::SeqCst);
    bed.database.release();
    for one in jam.into_iter().chain(begun) {
        one.await.unwrap().unwrap();
    }
    let commits = bed.database.commits.load(Ordering::SeqCst) - before;
    assert!(commits <= 3, "{commits}: one that jams, one for what was executed meanwhile, one for all the others");
    assert_eq!(bed.count("deal"), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contended_records_intents_are_applied_in_their_order() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    let append = |bed: &mut Bed, number: u64| {
        bed.world.call("ann@acme", "edit", "one", vec![op("open", "add", "/list/-", number)]).bytes()
    };
    let list =
        bed.world.call("ann@acme", "edit", "one", vec![op("open", "add", "/list", Json::from(Vec::<Json>::new()))]);
    let mut all = vec![make.bytes(), list.bytes()];
    all.extend((0..60).map(|number| append(&mut bed, number)));
    for decided in bed.node.submit_all(all, LONG).await {
        assert_eq!(bed.ending(&decided.unwrap()).await, "applied");
    }
    let expected: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert!(bed.open_section("one").unwrap().contains(&format!("[{}]", expected.join(","))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_executed_on_states_that_are_not_committed_yet() {
    let mut bed = Bed::dealing().await;
    bed.database.hold();
    let make = bed.world.make("one");
    let make = bed.begin(&make);
    bed.database.held().await;
    let edit = bed.world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", "u")]).expect(1);
    let edit = bed.begin(&edit);
    bed.database.release();
    make.await.unwrap().unwrap();
    let edit = edit.await.unwrap().unwrap();
    assert_eq!(bed.ending(&edit).await, "applied");
    assert_eq!(bed.open_section("one").unwrap(), r#"{"title":"u"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_binds_what_passed_the_door_before_it() {
    let mut bed = Bed::dealing().await;
    let jam = bed.jam().await;
    let revoke = bed.world.event("root@acme", Body::ActorRevoke { actor: actor("bob@bolt") });
    let node = bed.node.clone();
    let revoked = tokio::spawn(async move { node.change_directory(revoke, None, LONG).await });
    bed.waiting(1).await;
    let late = bed.world.call("bob@bolt", "look", "jam-1", vec![]);
    let late = bed.begin(&late);
    bed.waiting(2).await;
    bed.database.release();
    for one in jam {
        one.await.unwrap().unwrap();
    }
    revoked.await.unwrap().unwrap();
    assert_eq!(late.await.unwrap().unwrap_err().code(), Code::RevokedActor);
    assert_eq!(bed.count("lockstep_intent"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_right_behind_a_deployment_finds_its_tables() {
    let mut world = World::new();
    world.people();
    let mut bed = Bed::of(world, NodeConfig::default()).await;
    let packed = package(&deal_manifest("1.0.0")).unwrap();
    let propose = bed.world.event("root@acme", Body::ContractPropose { manifest: Box::new(packed.manifest.clone()) });
    bed.world.take(propose.clone(), Some(packed.encode())).unwrap();
    let approve = bed.world.event("root@acme", Body::ContractApprove { package: packed.digest() });
    bed.world.take(approve.clone(), None).unwrap();
    let make = bed.world.make("one");
    bed.database.hold();
    let (one, two) = (bed.node.clone(), bed.node.clone());
    let proposed = tokio::spawn(async move { one.change_directory(propose, Some(packed.encode()), LONG).await });
    bed.database.held().await;
    let approved = tokio::spawn(async move { two.change_directory(approve, None, LONG).await });
    bed.waiting(1).await;
    let made = bed.begin(&make);
    bed.waiting(2).await;
    bed.database.release();
    proposed.await.unwrap().unwrap();
    approved.await.unwrap().unwrap();
    let made = made.await.unwrap().unwrap();
    assert_eq!(bed.ending(&made).await, "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_so() {
    let config = NodeConfig { queue: 1, batch: 1, queue_patience: Duration::ZERO, ..NodeConfig::default() };
    let mut bed = Bed::of(World::dealing(), config).await;
    let jam = bed.jam().await;
    let waits = bed.world.make("waits");
    let waits = bed.begin(&waits);
    bed.waiting(1).await;
    let turned_away = bed.world.make("away");
    assert_eq!(bed.submit(&turned_away).await, Err(SubmitError::Overloaded));
    bed.database.release();
    for one in jam.into_iter().chain([waits]) {
        one.await.unwrap().unwrap();
    }
    assert_eq!(bed.ending(&bed.submit(&turned_away).await.unwrap()).await, "applied", "the same may come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_loses_its_intent_and_nothing_else() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    let edit = |bed: &mut Bed, title: &str| {
        bed.world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", title)])
    };
    let jam = bed.jam().await;
    let before = edit(&mut bed, "before");
    let before = bed.begin(&before);
    bed.waiting(1).await;
    let panics =
        bed.world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", "lost"), step("panic")]);
    // It has no outcome that would have to be committed first.
    assert_eq!(bed.submit(&panics).await.unwrap_err().code(), Code::Internal);
    let other = bed.world.make("other");
    let (after, other) = (edit(&mut bed, "after").expect(2), bed.begin(&other));
    let after = bed.begin(&after);
    bed.waiting(3).await;
    bed.database.release();
    for one in jam.into_iter().chain([before, after, other]) {
        let decided = one.await.unwrap().unwrap();
        assert_eq!(bed.ending(&decided).await, "applied");
    }
    assert_eq!(bed.open_section("one").unwrap(), r#"{"title":"after"}"#);
    assert_eq!(bed.submit(&panics).await.unwrap_err().code(), Code::Internal, "a lone one does not stop the node");
    let next = bed.world.make("next");
    bed.submit(&next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_what_waits_and_takes_nothing_more() {
    let mut bed = Bed::dealing().await;
    let jam = bed.jam().await;
    let begun: Vec<_> = (0..20)
        .map(|number| {
            let wish = bed.world.make(&format!("r{number}"));
            bed.begin(&wish)
        })
        .collect();
    bed.waiting(20).await;
    let stopping = tokio::spawn(bed.node.clone().stop());
    bed.database.release();
    for one in jam.into_iter().chain(begun) {
        one.await.unwrap().unwrap();
    }
    stopping.await.unwrap();
    let late = bed.world.make("late");
    assert!(matches!(bed.submit(&late).await, Err(SubmitError::Stopped(_))));
    assert_eq!(bed.count("deal"), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_takes_only_what_fits_it_and_this_moment() {
    let mut bed = Bed::dealing().await;
    let refused =
        async |bed: &Bed, event, package| bed.node.change_directory(event, package, LONG).await.unwrap_err().code();
    bed.world.time = bed.world.time.plus(Duration::from_secs(301));
    let ahead = bed.world.event("root@acme", Body::ActorRevoke { actor: actor("eve@bolt") });
    assert_eq!(refused(&bed, ahead, None).await, Code::DirectoryRefused);
    bed.world.time = crate::world::now();
    let stranger = bed.world.event("bob@bolt", Body::ActorRevoke { actor: actor("eve@bolt") });
    assert_eq!(refused(&bed, stranger, None).await, Code::DirectoryRefused);
    let packed = package(&deal_manifest("1.1.0")).unwrap();
    let propose = bed.world.event("root@acme", Body::ContractPropose { manifest: Box::new(packed.manifest.clone()) });
    let other = package(&deal_manifest("1.2.0")).unwrap().encode();
    for spoiled in [None, Some(other), Some(b"no package".to_vec())] {
        assert_eq!(refused(&bed, propose.clone(), spoiled).await, Code::PackageRefused);
    }
    bed.node.change_directory(propose, Some(packed.encode()), LONG).await.unwrap();
    let wish = bed.world.call("ann@acme", "make", "one", vec![set("open", json!({}))]);
    bed.submit(&wish).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_for_nothing_that_is_known_is_rejected_and_the_node_goes_on() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    for (what, expected) in [("other.make", "unknown_contract"), ("deal.none", "unknown_method")] {
        let wish = bed.world.call("ann@acme", what, "one", vec![]);
        let decided = bed.submit(&wish).await.unwrap();
        assert_eq!(bed.ending(&decided).await, expected);
    }
    let look = bed.world.call("ann@acme", "look", "one", vec![]);
    let decided = bed.submit(&look).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
}
