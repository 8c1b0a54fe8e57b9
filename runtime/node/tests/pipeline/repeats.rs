//! (actor, nonce) is an intent's identity: it ends exactly once.

use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_node::{Decided, SubmitError};

use crate::bed::{Bed, LONG};
use crate::world::now;

fn code(answer: Result<Decided, SubmitError>) -> Option<Code> {
    answer.err().map(|error| error.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_gets_the_first_outcome() {
    let mut bed = Bed::dealing().await;
    let wish = bed.world.make("one");
    let first = bed.submit(&wish).await.unwrap();
    assert!(!first.repeated);
    let again = bed.submit(&wish).await.unwrap();
    assert_eq!((again.intent, again.repeated), (first.intent, true));
    bed.restart().await;
    assert!(bed.submit(&wish).await.unwrap().repeated, "after a restart");
    bed.clock.set(now().plus(Duration::from_secs(3600)));
    assert!(bed.submit(&wish).await.unwrap().repeated, "after its expiry");
    let many = bed.node.submit_all(vec![wish.bytes(), wish.bytes()], LONG).await;
    assert!(many.into_iter().all(|answer| answer.unwrap().repeated));
    assert_eq!(bed.count("lockstep_intent"), 1);
    let late = bed.world.make("two");
    assert_eq!(code(bed.submit(&late).await), Some(Code::Expired), "what was never decided is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_intent_stays_rejected() {
    let mut bed = Bed::dealing().await;
    let wish = bed.world.call("ann@acme", "edit", "one", vec![]);
    let first = bed.submit(&wish).await.unwrap();
    assert_eq!(bed.ending(&first).await, "unknown_record");
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    assert_eq!(bed.submit(&wish).await.unwrap(), Decided { repeated: true, ..first.clone() });
    assert_eq!(bed.ending(&first).await, "unknown_record");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_payload_under_a_used_nonce_is_refused() {
    let mut bed = Bed::dealing().await;
    let (one, other) = (bed.world.make("one").nonce("n"), bed.world.make("two").nonce("n"));
    bed.submit(&one).await.unwrap();
    assert_eq!(code(bed.submit(&other).await), Some(Code::NonceReused));
    bed.restart().await;
    assert_eq!(code(bed.submit(&other).await), Some(Code::NonceReused));
    let anothers = bed.world.call("bob@bolt", "look", "one", vec![]).nonce("n");
    bed.submit(&anothers).await.unwrap();
    assert_eq!(bed.count("lockstep_intent"), 2, "a nonce is its actor's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_batch_an_intent_is_decided_once() {
    let mut bed = Bed::dealing().await;
    let (one, other) = (bed.world.make("one").nonce("n"), bed.world.make("two").nonce("n"));
    let jam = bed.jam().await;
    let first = bed.begin(&one);
    bed.waiting(1).await;
    let rest = [bed.begin(&one), bed.begin(&other)];
    bed.waiting(3).await;
    bed.database.release();
    for begun in jam {
        begun.await.unwrap().unwrap();
    }
    let first = first.await.unwrap().unwrap();
    let [again, other] = rest;
    assert_eq!(again.await.unwrap().unwrap().intent, first.intent);
    assert_eq!(code(other.await.unwrap()), Some(Code::NonceReused));
    assert_eq!(bed.count("lockstep_intent"), 3);
}

/// Whoever takes its nonce meanwhile does not take its answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_comes_again_behind_a_thief_of_its_nonce_has_its_outcome() {
    let mut bed = Bed::dealing().await;
    let (one, thief) = (bed.world.make("one").nonce("n"), bed.world.make("two").nonce("n"));
    bed.database.hold();
    let first = bed.begin(&one);
    bed.database.held().await;
    let thief = bed.begin(&thief);
    bed.waiting(2).await;
    let again = bed.begin(&one);
    bed.waiting(3).await;
    bed.database.release();
    let first = first.await.unwrap().unwrap();
    assert_eq!(code(thief.await.unwrap()), Some(Code::NonceReused));
    let again = again.await.unwrap().unwrap();
    assert_eq!((again.intent, again.repeated), (first.intent, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_flight_an_intent_is_decided_once() {
    let mut bed = Bed::dealing().await;
    let (one, other) = (bed.world.make("one").nonce("n"), bed.world.make("two").nonce("n"));
    bed.database.hold();
    let first = bed.begin(&one);
    bed.database.held().await;
    let (again, other) = (bed.begin(&one), bed.begin(&other));
    let third = bed.world.make("three");
    let third = bed.begin(&third);
    bed.database.release();
    let first = first.await.unwrap().unwrap();
    assert_eq!(again.await.unwrap().unwrap().intent, first.intent);
    assert_eq!(code(other.await.unwrap()), Some(Code::NonceReused));
    third.await.unwrap().unwrap();
    assert_eq!(bed.count("lockstep_intent"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_finds_the_outcome_later() {
    let mut bed = Bed::dealing().await;
    let wish = bed.world.make("one");
    bed.database.hold();
    let begun = bed.begin(&wish);
    bed.database.held().await;
    begun.abort();
    assert!(begun.await.unwrap_err().is_cancelled());
    assert!(matches!(bed.node.submit(wish.bytes(), Duration::ZERO).await, Err(SubmitError::TimedOut(_))));
    bed.database.release();
    let decided = bed.submit(&wish).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
    assert_eq!(bed.count("lockstep_event"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_submission_leaves_no_row() {
    let mut bed = Bed::dealing().await;
    let forged = bed.world.make("one").signed_by("eve@bolt");
    assert_eq!(code(bed.submit(&forged).await), Some(Code::BadSignature));
    assert_eq!(code(bed.node.submit(b"{}".to_vec(), LONG).await), Some(Code::Malformed));
    assert_eq!(bed.count("lockstep_intent"), 0);
}
