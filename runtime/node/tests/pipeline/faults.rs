//! Commits and reads that fail, each way in which they can.

use lockstep_core::database::CommitError;
use lockstep_core::json;
use lockstep_node::SubmitError;

use crate::bed::Bed;
use crate::world::{members, op, set};

fn unknown() -> CommitError {
    CommitError::Unknown { detail: "the line broke".to_owned() }
}

/// A deal with this title.
fn titled(bed: &mut Bed, name: &str, title: &str) -> crate::world::Wish {
    let parties = members(&[("owner", "ann@acme", 1)]);
    bed.world.call("ann@acme", "make", name, vec![set("parties", parties), set("open", json!({"title": title}))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_busy_is_asked_again() {
    let mut bed = Bed::dealing().await;
    for _ in 0..2 {
        bed.database.memory.fail_next(CommitError::Unavailable { detail: "locked".to_owned() }, false);
    }
    let wish = bed.world.make("one");
    let decided = bed.submit(&wish).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
}

/// Whichever read it is that fails: of used nonces, of the record's row, of its last event.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_read_for_a_moment_is_asked_again() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    for answered in 0..3 {
        bed.restart().await;
        bed.database.fail_reads(answered, 3);
        let title = format!("t{answered}");
        let edit = vec![op("open", "replace", "/title", title.as_str())];
        let edit = bed.world.call("ann@acme", "edit", "one", edit).expect(answered as u64 + 1);
        let decided = bed.submit(&edit).await.unwrap();
        assert!(bed.database.reads_again(), "{answered}");
        assert_eq!(bed.ending(&decided).await, "applied", "{answered}");
        assert_eq!(bed.open_section("one").unwrap(), format!(r#"{{"title":"{title}"}}"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_keep_their_order_while_the_database_cannot_be_read() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    bed.restart().await;
    let jam = bed.jam().await;
    bed.database.fail_reads(1, 4);
    let mut begun = Vec::new();
    for seq in 1..=6 {
        let edit = vec![op("open", "replace", "/title", format!("t{seq}").as_str())];
        let edit = bed.world.call("ann@acme", "edit", "one", edit).expect(seq);
        begun.push(bed.begin(&edit));
        bed.waiting(seq as usize).await;
    }
    bed.database.release();
    let mut answers = Vec::new();
    for one in jam.into_iter().chain(begun) {
        answers.push(one.await.unwrap().unwrap());
    }
    assert!(bed.database.reads_again());
    for decided in answers {
        assert_eq!((bed.ending(&decided).await.as_str(), decided.repeated), ("applied", false));
    }
    assert_eq!(bed.open_section("one").unwrap(), r#"{"title":"t6"}"#);
}

/// What is really committed is read again after a refusal; that read may fail, too.
#[tokio::test(flavor = "multi_thread")]
async fn starting_anew_after_a_refusal_outlasts_reads_that_fail() {
    let mut bed = Bed::dealing().await;
    bed.database.refuse("poison");
    bed.database.hold();
    let poison = titled(&mut bed, "one", "poison");
    let poison = bed.begin(&poison);
    bed.database.held().await;
    bed.database.fail_reads(0, 3);
    bed.database.release();
    let decided = poison.await.unwrap().unwrap();
    assert!(bed.database.reads_again());
    assert_eq!(bed.ending(&decided).await, "database_refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_outcome_is_looked_up() {
    for applied in [true, false] {
        let mut bed = Bed::dealing().await;
        bed.database.memory.fail_next(unknown(), applied);
        let wish = bed.world.make("one");
        let decided = bed.submit(&wish).await.unwrap();
        assert_eq!(bed.ending(&decided).await, "applied");
        let next = bed.world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", "u")]).expect(1);
        let decided = bed.submit(&next).await.unwrap();
        assert_eq!(bed.ending(&decided).await, "applied");
        assert_eq!((bed.count("lockstep_intent"), bed.count("lockstep_event")), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_intent_that_a_database_refuses_is_found_and_rejected() {
    let mut bed = Bed::dealing().await;
    bed.database.refuse("poison");
    let jam = bed.jam().await;
    let mut begun = Vec::new();
    for number in 0..20 {
        let title = if number == 13 { "poison" } else { "fine" };
        let wish = titled(&mut bed, &format!("r{number}"), title);
        begun.push(bed.begin(&wish));
        bed.waiting(number + 1).await;
    }
    let behind = bed.world.call("ann@acme", "edit", "r13", vec![]);
    let behind = bed.begin(&behind);
    bed.waiting(21).await;
    bed.database.release();
    for one in jam {
        one.await.unwrap().unwrap();
    }
    for (number, one) in begun.into_iter().enumerate() {
        let decided = one.await.unwrap().unwrap();
        let expected = if number == 13 { "database_refused" } else { "applied" };
        assert_eq!(bed.ending(&decided).await, expected, "{number}");
    }
    let behind = behind.await.unwrap().unwrap();
    assert_eq!(bed.ending(&behind).await, "unknown_record", "what was built on it is executed again, after it");
    assert_eq!((bed.count("deal"), bed.count("lockstep_intent")), (21, 23));
    let outcome = bed.outcome(&behind).await;
    assert!(!outcome.canonical().contains("no poison here"), "the database's words stay local");
}

#[tokio::test(flavor = "multi_thread")]
async fn intents_of_a_failed_batch_come_back_in_their_order() {
    let mut bed = Bed::dealing().await;
    let make = bed.world.make("one");
    bed.submit(&make).await.unwrap();
    bed.database.refuse("poison");
    let jam = bed.jam().await;
    let mut begun = Vec::new();
    for (number, title) in ["a", "poison", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let seq = if number == 0 { 1 } else { number as u64 };
        let wish = bed.world.call("ann@acme", "edit", "one", vec![op("open", "replace", "/title", title)]);
        let wish = if title == "poison" { wish } else { wish.expect(seq) };
        begun.push((title, bed.begin(&wish)));
        bed.waiting(number + 1).await;
    }
    bed.database.release();
    for one in jam {
        one.await.unwrap().unwrap();
    }
    for (title, one) in begun {
        let decided = one.await.unwrap().unwrap();
        let expected = if title == "poison" { "database_refused" } else { "applied" };
        assert_eq!(bed.ending(&decided).await, expected, "{title}");
    }
    assert_eq!(bed.open_section("one").unwrap(), r#"{"title":"f"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_row_about_an_intent_does_not_stop_the_node() {
    let mut bed = Bed::dealing().await;
    let wish = bed.world.make("one");
    bed.database.refuse(&wish.draft.nonce.to_string());
    assert_eq!(bed.submit(&wish).await, Err(SubmitError::Unrecorded));
    assert_eq!(bed.count("lockstep_intent"), 0);
    let next = bed.world.make("two");
    let decided = bed.submit(&next).await.unwrap();
    assert_eq!(bed.ending(&decided).await, "applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_stops_and_acknowledges_nothing() {
    let mut bed = Bed::dealing().await;
    let second = bed.open().await.unwrap();
    let (one, two, three) = (bed.world.make("one"), bed.world.make("two"), bed.world.make("three"));
    bed.submit(&one).await.unwrap();
    let answer = second.submit(two.bytes(), crate::bed::LONG).await;
    assert!(matches!(&answer, Err(SubmitError::Stopped(why)) if why.contains("another process writes")), "{answer:?}");
    assert!(matches!(second.submit(three.bytes(), crate::bed::LONG).await, Err(SubmitError::Stopped(_))));
    assert_eq!(bed.count("lockstep_intent"), 1);
    let decided = bed.submit(&two).await.unwrap();
    assert_eq!((bed.ending(&decided).await.as_str(), decided.repeated), ("applied", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_in_turn_leaves_each_intent_decided_once() {
    let mut bed = Bed::dealing().await;
    let mut seed = 7_u64;
    for round in 0..40 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match seed >> 62 {
            0 => bed.database.memory.fail_next(unknown(), true),
            1 => bed.database.memory.fail_next(unknown(), false),
            2 => bed.database.memory.fail_next(CommitError::Refused { detail: "once".to_owned() }, false),
            _ => {}
        }
        let wishes: Vec<_> = (0..4).map(|number| bed.world.make(&format!("r{round}-{number}"))).collect();
        let begun: Vec<_> = wishes.iter().map(|wish| bed.begin(wish)).collect();
        for one in begun {
            one.await.unwrap().unwrap();
        }
    }
    assert_eq!(bed.count("lockstep_intent"), 160);
    bed.restart().await;
    let checkpoint = std::fs::read_to_string(bed.folder.join("checkpoint")).unwrap();
    let leaves = 160 + bed.world.events.len();
    assert!(checkpoint.contains(&format!("\n{leaves}\n")), "{checkpoint}");
}
