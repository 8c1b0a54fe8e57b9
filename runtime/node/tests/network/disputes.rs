//! A sequencer whose engine has its own idea of a contract: its reader objects, holds that record, and goes on with
//! others; once both agree, the objection is withdrawn and all is as if nothing had been.

use std::collections::BTreeMap;

use lockstep_core::crypto::Digest;
use lockstep_core::json::Json;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Complaint, Message, Statement};
use lockstep_core::tables::{Cell, Table, name, own_tables};

use crate::pair::{Pair, Side};
use crate::world::{key, now, op};

fn objections(side: &Side) -> Vec<BTreeMap<String, Cell>> {
    let table = own_tables().into_iter().find(|table| table.name == name::OBJECTION).unwrap();
    side.rows(&table)
}

fn deals(pair: &Pair) -> Table {
    pair.world.directory.record_tables().into_iter().find(|table| table.name == "deal").unwrap()
}

/// Seq and scope of a deal.
fn deal(table: &Table, side: &Side, on: &str) -> (u64, String) {
    let rows = side.rows(table);
    let row = rows.iter().find(|row| row["record_id"] == Cell::Text(format!("acme:{on}")));
    row.map_or((0, String::new()), |row| {
        (row["lockstep_seq"].as_count().unwrap(), row["lockstep_scope"].as_str().unwrap().to_owned())
    })
}

fn at(seq: u64, scope: &str) -> (u64, String) {
    (seq, scope.to_owned())
}

impl Pair {
    async fn titled(&mut self, on: &str, title: &str) {
        let wish = self.world.call("ann@acme", "edit", on, vec![op("open", "add", "/title", title)]);
        assert_eq!(self.acme.submit(&wish).await, "applied");
    }

    /// Two deals that both have, and then a bent title of the first one, which bolt does not take.
    async fn disputing() -> (Self, Table) {
        let mut pair = Pair::new().await;
        for on in ["one", "two"] {
            let wish = pair.deal(on);
            assert_eq!(pair.acme.submit(&wish).await, "applied");
        }
        pair.bolt.has(2).await;
        pair.acme.engine.bends(true);
        pair.titled("one", "bent").await;
        pair.bolt.until("bolt objects", |bolt| !objections(bolt).is_empty()).await;
        let deals = deals(&pair);
        (pair, deals)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_is_stored_once_and_holds_its_record_and_no_other() {
    let (mut pair, deals) = Pair::disputing().await;
    let row = objections(&pair.bolt).remove(0);
    assert_eq!((row["kind"].as_str(), row["record_id"].as_str()), (Some("execution"), Some("acme:one")));
    assert_eq!((row["seq"].as_count(), &row["holds"]), (Some(2), &Cell::Boolean(true)));
    assert!(row["message"].as_str().is_some_and(|message| message.contains("executed here")), "{row:?}");
    assert!(row["evidence"].as_bytes().is_some(), "the share is kept");
    assert_eq!(deal(&deals, &pair.bolt, "one"), at(1, "disputed"));
    pair.titled("one", "plain").await;
    pair.titled("two", "plain").await;
    pair.bolt.until("bolt has the other deal", |bolt| deal(&deals, bolt, "two").0 == 2).await;
    assert_eq!(deal(&deals, &pair.bolt, "two"), at(2, "full"));
    assert_eq!(deal(&deals, &pair.bolt, "one"), at(1, "disputed"), "what builds on it is not applied");
    assert_eq!(objections(&pair.bolt).len(), 1, "what comes behind is held, and no objection of its own");
    pair.bolt.is_clean().await;
    pair.acme.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_hears_what_is_said_against_it_and_its_own_record_goes_on() {
    let (mut pair, deals) = Pair::disputing().await;
    pair.acme.until("acme is told", |acme| !objections(acme).is_empty()).await;
    let row = objections(&pair.acme).remove(0);
    assert_eq!((row["node"].as_str(), &row["holds"]), (Some("bolt"), &Cell::Boolean(false)));
    assert_eq!((&row["evidence"], &row["message"]), (&Cell::Null, &Cell::Null), "what bolt holds stays with bolt");
    let by = |side: &Side| {
        let status = side.node.network().unwrap().status(&side.node);
        let first = status.get("objections").and_then(Json::as_array).and_then(|all| all.first().cloned());
        first.and_then(|one| one.get("node").and_then(Json::as_str).map(str::to_owned))
    };
    pair.acme.until("its status says so", |acme| by(acme).as_deref() == Some("bolt")).await;
    pair.titled("one", "plain").await;
    assert_eq!(deal(&deals, &pair.acme, "one"), at(3, "full"));
    pair.acme.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_outlives_a_restart_and_is_neither_made_nor_told_twice() {
    let (mut pair, deals) = Pair::disputing().await;
    pair.acme.until("acme is told", |acme| !objections(acme).is_empty()).await;
    let before = objections(&pair.bolt);
    for _ in 0..2 {
        pair.bolt.restart().await;
        pair.bolt.sees("reachable", true).await;
        pair.bolt.sees("behind_events", 1_u64).await;
    }
    pair.titled("two", "plain").await;
    pair.bolt.until("bolt has the other deal", |bolt| deal(&deals, bolt, "two").0 == 2).await;
    assert_eq!(objections(&pair.bolt), before);
    assert_eq!(objections(&pair.acme).len(), 1);
    assert_eq!(deal(&deals, &pair.bolt, "one"), at(1, "disputed"));
    pair.bolt.is_clean().await;
    pair.acme.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objection_ends_where_the_same_outcome_is_found_right_after_an_upgrade() {
    let (mut pair, deals) = Pair::disputing().await;
    pair.titled("one", "plain").await;
    pair.bolt.sees("behind_events", 2_u64).await;
    pair.bolt.engine.bends(true);
    pair.bolt.restart().await;
    pair.bolt.until("bolt goes on", |bolt| deal(&deals, bolt, "one") == at(3, "full")).await;
    pair.acme.until("acme is told", |acme| objections(acme).len() == 2).await;
    for side in [&pair.acme, &pair.bolt] {
        let rows = objections(side);
        let ended = rows.iter().find(|row| row["withdraws"] == Cell::Null).unwrap();
        let end = rows.iter().find(|row| row["withdraws"] == ended["objection_id"]).unwrap();
        assert_eq!(ended["withdrawn_at"], end["time"]);
        side.is_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_while_it_runs_and_found_right_brings_back_what_was_held_behind_it() {
    let (mut pair, deals) = Pair::disputing().await;
    pair.titled("one", "plain").await;
    pair.bolt.sees("behind_events", 2_u64).await;
    pair.bolt.engine.bends(true);
    pair.bolt.until("bolt goes on", |bolt| deal(&deals, bolt, "one") == at(3, "full")).await;
    pair.bolt.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequencer_that_goes_on_from_an_older_copy_is_proved_to_have_two_histories() {
    let mut pair = Pair::new().await;
    for on in ["one", "two"] {
        let wish = pair.deal(on);
        assert_eq!(pair.acme.submit(&wish).await, "applied");
    }
    pair.bolt.has(2).await;
    let copy = pair.acme.copy().await;
    let deals = deals(&pair);
    pair.titled("one", "left").await;
    pair.bolt.until("bolt has the first story", |bolt| deal(&deals, bolt, "one").0 == 2).await;
    pair.acme.restart_from(copy).await;
    pair.titled("two", "right").await;
    pair.bolt.restart_from_the_beginning().await;
    pair.bolt.until("bolt proves it", |bolt| !objections(bolt).is_empty()).await;
    let row = objections(&pair.bolt).remove(0);
    assert_eq!((row["kind"].as_str(), row["log"].as_str()), (Some("fork"), Some("acme/1")));
    assert!(row["message"].as_str().is_some_and(|message| message.contains("both are signed")), "{row:?}");
    let before = objections(&pair.bolt);
    pair.bolt.restart().await;
    pair.bolt.until("bolt is told again", |bolt| bolt.peer("last_error").as_str().is_some()).await;
    assert_eq!(objections(&pair.bolt), before);
    assert_eq!(deal(&deals, &pair.bolt, "two"), at(1, "full"), "the second story is not taken");
    pair.bolt.is_clean().await;
}

/// What bolt says against an outcome at a position of acme's log.
fn word(pair: &Pair, position: u64) -> Statement {
    Statement {
        network: pair.world.directory.network(),
        node: NodeName::parse("bolt").unwrap(),
        time: now(),
        complaint: Complaint::Rights,
        log: "acme/1".to_owned(),
        position: Some(position),
        intent: None,
        record: None,
        event: None,
        evidence: Some(Digest::of(b"a share")),
        withdraws: None,
    }
}

fn message(statement: Statement, signer: &str) -> Message {
    Message::Objection { envelope: statement.sign(&key(signer)).unwrap().stored(), evidence: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_for_nothing_is_not_stored_and_counts_against_whoever_hands_it_over() {
    let mut pair = Pair::new().await;
    pair.acme.sees("reachable", true).await;
    let before = pair.acme.peer("refused").as_u64().unwrap();
    let mut fork = word(&pair, 1);
    fork.complaint = Complaint::Fork;
    let mut own = word(&pair, 2);
    own.log = "bolt/1".to_owned();
    let mut acme = word(&pair, 3);
    (acme.node, acme.log) = (NodeName::parse("acme").unwrap(), "bolt/1".to_owned());
    let wrong = vec![
        message(word(&pair, 4), "crane"),
        message(fork, "bolt"),
        message(own, "bolt"),
        message(acme, "acme"),
        Message::Objection { envelope: b"{}".to_vec(), evidence: None },
    ];
    let count = wrong.len() as u64;
    pair.says_as_bolt(wrong).await;
    assert!(objections(&pair.acme).is_empty(), "{:?}", objections(&pair.acme));
    assert_eq!(pair.acme.peer("refused").as_u64(), Some(before + count));
    pair.acme.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_has_its_say_so_often_and_no_more() {
    const MOST: u64 = 1000;
    let mut pair = Pair::new().await;
    pair.acme.sees("reachable", true).await;
    let before = pair.acme.peer("refused").as_u64().unwrap();
    let all = (0..MOST + 3).map(|position| message(word(&pair, position), "bolt")).collect();
    pair.says_as_bolt(all).await;
    assert_eq!(objections(&pair.acme).len() as u64, MOST);
    assert_eq!(pair.acme.peer("refused").as_u64(), Some(before + 3));
    pair.says_as_bolt(vec![message(word(&pair, 1), "bolt")]).await;
    assert_eq!(objections(&pair.acme).len() as u64, MOST, "what is known is passed over");
    assert_eq!(pair.acme.peer("refused").as_u64(), Some(before + 3));
    pair.acme.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_its_database_refuses_blocks_its_record_and_no_other_until_it_is_taken() {
    let mut pair = Pair::new().await;
    let deals = deals(&pair);
    for on in ["one", "two"] {
        let wish = pair.deal(on);
        assert_eq!(pair.acme.submit(&wish).await, "applied");
    }
    pair.bolt.has(2).await;
    pair.bolt.database.refuse("rude");
    pair.bolt.halt().await;
    for (on, title) in [("one", "rude"), ("two", "kind"), ("one", "kind"), ("two", "kinder")] {
        pair.titled(on, title).await;
    }
    pair.bolt.start().await;
    pair.bolt.until("the other goes on", |bolt| deal(&deals, bolt, "two") == at(3, "full")).await;
    pair.bolt.until("the one is blocked", |bolt| deal(&deals, bolt, "one") == at(1, "blocked")).await;
    let row = objections(&pair.bolt).remove(0);
    assert_eq!((row["kind"].as_str(), row["seq"].as_count()), (Some("blocked"), Some(2)));
    pair.bolt.is_clean().await;
    assert!(objections(&pair.acme).is_empty(), "it is nobody else's matter");
    pair.bolt.database.refuse("");
    pair.bolt.until("it goes on", |bolt| deal(&deals, bolt, "one") == at(3, "full")).await;
    assert_eq!(objections(&pair.bolt).len(), 2);
    pair.bolt.is_clean().await;
    assert!(objections(&pair.acme).is_empty());
}
