//! What is handed over: stored before it is sent, counted once, acknowledged, and never without an end.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::database::{Batch, CommitError, Database, TableWrites, Write};
use lockstep_core::json::Json;
use lockstep_core::log::Checkpoint;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Counted, Forward, Taken, forward_row};
use lockstep_core::tables::{Cell, name, own_tables};
use lockstep_core::time::Timestamp;
use lockstep_node::{handed_over, overdue};

use crate::liar::{self, Liar};
use crate::pair::{Pair, Side};
use crate::world::{Wish, key, now, record};

const HOUR: Duration = Duration::from_secs(3600);

/// What a node can prove about an intent that it handed over.
async fn proof(side: &Side, intent: &Digest, now: Timestamp) -> Json {
    handed_over(side.node.database(), side.node.name(), intent, now).await.unwrap().unwrap()
}

async fn late(side: &Side, now: Timestamp) -> Vec<Json> {
    overdue(side.node.database(), side.node.name(), now).await.unwrap().as_array().unwrap().to_vec()
}

fn cell(row: &std::collections::BTreeMap<String, Cell>, column: &str) -> Cell {
    row.get(column).cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_counted_once_at_both_nodes_and_ends_with_its_outcome() {
    let mut pair = Pair::new().await;
    let (first, second) = (pair.deal("one"), pair.edit("one"));
    assert_eq!(pair.bolt.submit(&first).await, "applied");
    assert_eq!(pair.bolt.submit(&first).await, "applied", "the same again");
    assert_eq!(pair.bolt.submit(&second).await, "applied");
    for side in [&pair.bolt, &pair.acme] {
        side.ends(2).await;
        let rows = side.forwards();
        let counts: Vec<Cell> = rows.iter().map(|row| cell(row, "count")).collect();
        assert_eq!(counts, vec![Cell::Integer(1), Cell::Integer(2)]);
        assert!(rows.iter().all(|row| cell(row, "record_id") == Cell::Text(record("one").to_string())));
        assert!(rows.iter().all(|row| matches!(cell(row, "taken"), Cell::Bytes(_))), "each was acknowledged");
        assert!(rows.iter().all(|row| cell(row, "submission") == Cell::Null), "it stands in lockstep_intent");
        side.is_clean().await;
    }
    assert!(late(&pair.bolt, now().plus(HOUR)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_over_is_stored_before_it_is_sent_and_sent_again_after_a_restart() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one");
    let mut liar = Liar::in_place_of(&mut pair).await;
    let waiting = pair.bolt.begin(&wish);
    let (_, envelope) = liar.forward().await;
    let rows = pair.bolt.forwards();
    assert_eq!(rows.len(), 1, "the wrapper is stored when it is sent");
    assert_eq!(cell(&rows[0], "envelope"), Cell::Bytes(envelope.clone()));
    waiting.abort();
    pair.bolt.halt().await;
    pair.bolt.start().await;
    liar.meets(&pair).await;
    let (number, again) = liar.forward().await;
    assert_eq!(again, envelope, "the same wrapper with the same count");
    let waiting = pair.bolt.begin(&wish);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pair.bolt.forwards().len(), 1, "the same submission has no second count");
    liar.takes(&pair, number, &again).await;
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_fate_stores_a_wrapper_once() {
    for applied in [true, false] {
        let mut pair = Pair::new().await;
        let wish = pair.deal("one");
        let unknown = || CommitError::Unknown { detail: "the connection broke".to_owned() };
        pair.bolt.database.memory.fail_next(unknown(), applied);
        pair.acme.database.memory.fail_next(unknown(), applied);
        assert_eq!(pair.bolt.submit(&wish).await, "applied");
        for side in [&pair.acme, &pair.bolt] {
            side.ends(1).await;
            assert_eq!(side.forwards().len(), 1);
            side.is_clean().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_while_the_node_stops_is_told_that_nobody_knows() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one");
    pair.acme.halt().await;
    let waiting = pair.bolt.begin(&wish);
    pair.bolt.until("it is stored", |side| side.forwards().len() == 1).await;
    pair.bolt.halt().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().code().as_str(), "outcome_unknown");
    pair.acme.start().await;
    pair.bolt.start().await;
    pair.bolt.ends(1).await;
    assert_eq!(pair.bolt.status(&wish).await, "applied", "it was handed over after the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_lost_with_its_sequencer_is_no_end() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one");
    let mut liar = Liar::in_place_of(&mut pair).await;
    let waiting = pair.bolt.begin(&wish);
    let (number, envelope) = liar.forward().await;
    liar.takes(&pair, number, &envelope).await;
    pair.bolt.acknowledged(1).await;
    drop(liar);
    let liar = &mut Liar::at(&pair).await;
    assert_eq!(liar.forward().await.1, envelope, "it is handed over again on the next connection");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_that_sits_on_an_intent_is_shown_overdue_with_the_proof_and_not_before() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one").edit(|draft| draft.expires = now().plus(Duration::from_secs(600)));
    let mut liar = Liar::in_place_of(&mut pair).await;
    let waiting = pair.bolt.begin(&wish);
    let (number, envelope) = liar.forward().await;
    liar.takes(&pair, number, &envelope).await;
    pair.bolt.acknowledged(1).await;
    assert!(late(&pair.bolt, now().plus(Duration::from_secs(600 + 300))).await.is_empty(), "clocks may be apart");
    let then = now().plus(Duration::from_secs(600 + 301));
    let shown = late(&pair.bolt, then).await;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].get("intent_id"), Some(&Json::from(wish.id().to_string())));
    assert_eq!(shown[0].get("sequencer"), Some(&Json::from("acme")));
    assert_eq!(shown[0].get("acknowledged"), Some(&Json::from(true)));
    let proof = proof(&pair.bolt, &wish.id(), then).await;
    assert_eq!(proof.get("overdue"), Some(&Json::from(true)));
    let bytes = |name: &str| proof.get(name).unwrap().canonical().into_bytes();
    let forward = Forward::verify(&bytes("wrapper"), &key("bolt").public_key()).unwrap();
    let taken = Taken::verify(&bytes("taken"), &key("acme").public_key(), &forward).unwrap();
    assert_eq!((forward.intent, taken.refused), (wish.id(), None));
    let checkpoint = proof.get("checkpoint").and_then(Json::as_str).unwrap();
    let origin = format!("lockstep/{}/acme/1", pair.world.directory.network());
    Checkpoint::verify(checkpoint, &origin, &key("acme").public_key()).unwrap();
    pair.bolt.is_clean().await;
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn that_it_has_expired_is_no_end_of_what_was_taken_in_time() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one");
    let mut liar = Liar::in_place_of(&mut pair).await;
    let waiting = pair.bolt.begin(&wish);
    let (number, envelope) = liar.forward().await;
    liar.takes(&pair, number, &envelope).await;
    pair.bolt.acknowledged(1).await;
    liar.turns_away(&pair, &envelope, "expired").await;
    pair.bolt.sees("refused", 1_u64).await;
    assert_eq!(late(&pair.bolt, now().plus(HOUR * 30)).await.len(), 1);
    liar.turns_away(&pair, &envelope, "nonce_reused").await;
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(refused.code().as_str(), "nonce_reused", "a signed reason ends it");
    pair.bolt.ends(1).await;
    assert!(late(&pair.bolt, now().plus(HOUR * 30)).await.is_empty());
    pair.bolt.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_that_was_away_is_shown_and_nothing_proves_anything_against_it() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one").edit(|draft| draft.expires = now().plus(HOUR));
    pair.acme.halt().await;
    let waiting = pair.bolt.begin(&wish);
    pair.bolt.until("it is stored", |side| side.forwards().len() == 1).await;
    let shown = late(&pair.bolt, now().plus(HOUR * 2)).await;
    assert_eq!(shown[0].get("acknowledged"), Some(&Json::from(false)));
    assert_eq!(proof(&pair.bolt, &wish.id(), now().plus(HOUR * 2)).await.get("taken"), Some(&Json::Null));
    pair.acme.clock.set(now().plus(HOUR * 2));
    pair.bolt.clock.set(now().plus(HOUR * 2));
    pair.acme.start().await;
    let refused = waiting.await.unwrap().unwrap_err();
    assert_eq!(refused.code().as_str(), "expired", "it never had it in time, and says so");
    pair.bolt.ends(1).await;
    assert!(late(&pair.bolt, now().plus(HOUR * 3)).await.is_empty());
    let next = pair.deal("one").edit(|draft| draft.expires = now().plus(HOUR * 3));
    assert_eq!(pair.bolt.submit(&next).await, "applied", "the counts go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_crash_is_decided_after_it_though_it_has_expired() {
    let mut pair = Pair::new().await;
    let wish = pair.deal("one").edit(|draft| draft.expires = now().plus(HOUR));
    pair.acme.halt().await;
    took(&pair, &wish).await;
    for side in [&pair.acme, &pair.bolt] {
        side.clock.set(now().plus(HOUR * 2));
    }
    pair.acme.start().await;
    pair.acme.ends(1).await;
    assert_eq!(pair.acme.status(&wish).await, "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_see_why_still_hears_that_it_was_rejected() {
    let mut pair = Pair::new().await;
    // Ann's intent on a deal that is not there, handed in at bob's node: no outcome of it is for bolt.
    let wish = pair.world.call("ann@acme", "edit", "nothing", vec![]);
    assert_eq!(pair.bolt.submit(&wish).await, "rejected");
    pair.bolt.ends(1).await;
    assert_eq!(pair.bolt.intents(), 0, "the outcome itself is not here");
    let shown = lockstep_node::outcome(pair.bolt.node.database(), &wish.id()).await.unwrap().unwrap();
    assert_eq!(shown.get("code"), Some(&Json::Null));
    assert_eq!(shown.get("receipt").and_then(|receipt| receipt.get("log")), Some(&Json::from("acme/1")));
    assert_eq!(pair.bolt.submit(&wish).await, "rejected", "the same again");
    pair.bolt.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_another_intent_has_is_refused() {
    let mut pair = Pair::new().await;
    let (one, two) = (pair.deal("one"), pair.edit("one"));
    assert_eq!(pair.bolt.submit(&one).await, "applied");
    pair.bolt.halt().await;
    let mut liar = Liar::dials(&pair, "bolt").await;
    let wrapper = |count: u64, wish: &Wish| liar_wrapper(&pair, count, wish);
    let cases = [
        (wrapper(1, &two), Some("forward_refused")),
        (wrapper(3, &two), Some("overloaded")),
        (wrapper(2, &one), Some("forward_refused")),
    ];
    for (wrapper, code) in cases {
        assert_eq!(liar.hands_over(&two, wrapper).await.as_deref(), code);
    }
    assert_eq!(liar.hands_over(&two, wrapper(2, &two)).await, None);
    assert_eq!(liar.hands_over(&two, wrapper(2, &two)).await, None, "the same again is the same");
    assert_eq!((Counted::of(2, 1), Counted::of(1, 1)), (Counted::Next, Counted::Used));
    pair.acme.ends(2).await;
    pair.acme.is_clean().await;
}

/// The row that acme committed before it crashed: acknowledged, and not decided.
async fn took(pair: &Pair, wish: &Wish) {
    let envelope = liar_wrapper(pair, 1, wish);
    let forward = Forward::read(&envelope).unwrap();
    let taken = liar::taken(pair, &forward, None).sign(&key("acme")).unwrap();
    let mut told = vec![Cell::Null; 13];
    told[3] = Cell::Text(record("one").to_string());
    told[8] = Cell::Timestamp(wish.draft.expires);
    told[9] = Cell::Text("pending".to_owned());
    (told[10], told[12]) = (Cell::Bytes(taken), Cell::Bytes(wish.bytes()));
    let row = forward_row(&forward, 0, &envelope, &told);
    let table = Arc::new(own_tables().into_iter().find(|table| table.name == name::FORWARD).unwrap());
    let head = pair.acme.database.head().await.unwrap().unwrap();
    let tables = vec![TableWrites { table, writes: vec![Write::Put(row)] }];
    pair.acme.database.commit(&Batch { expected_head: Some(head.clone()), head, tables }).await.unwrap();
}

fn liar_wrapper(pair: &Pair, count: u64, wish: &Wish) -> Vec<u8> {
    let told = lockstep_core::intent::told(&wish.bytes(), &lockstep_core::json::Limits::default()).unwrap();
    let bolt = NodeName::parse("bolt").unwrap();
    let forward = Forward::of(&bolt, told.id, &told.payload, &[count], now());
    assert_eq!(forward.network, pair.world.directory.network());
    forward.sign(&key("bolt")).unwrap()
}
