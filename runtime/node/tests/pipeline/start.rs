//! What a node starts from, and the checkpoint beside its key.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_node::{Node, NodeConfig, NodeError, Parts, SubmitError};

use crate::bed::{Bed, LONG};
use crate::world::key;

async fn refusal(parts: Parts) -> NodeError {
    match Node::open(parts, NodeConfig::default()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn size(bed: &Bed) -> u64 {
    let note = std::fs::read_to_string(bed.folder.join("checkpoint")).unwrap();
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checkpoint_is_there_before_the_reply() {
    let mut bed = Bed::dealing().await;
    for number in 0..5 {
        let before = size(&bed);
        let wish = bed.world.make(&format!("r{number}"));
        let decided = bed.submit(&wish).await.unwrap();
        assert_eq!(size(&bed), before + 1);
        let outcome = bed.outcome(&decided).await;
        let note = outcome.get("receipt").and_then(|receipt| receipt.get("checkpoint")).unwrap().clone();
        assert_eq!(note.as_str(), Some(std::fs::read_to_string(bed.folder.join("checkpoint")).unwrap().as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_checkpoint_there_is_no_reply_until_it_can_be_written() {
    let mut bed = Bed::dealing().await;
    std::fs::remove_dir_all(&bed.folder).unwrap();
    let wish = bed.world.make("one");
    let begun = bed.begin(&wish);
    while bed.node.commits_well() {
        tokio::task::yield_now().await;
    }
    assert!(!begun.is_finished());
    std::fs::create_dir_all(&bed.folder).unwrap();
    let decided = begun.await.unwrap().unwrap();
    assert!(!decided.repeated, "the same node goes on");
    assert_eq!(size(&bed), bed.world.events.len() as u64 + 1);
    let next = bed.world.make("two");
    bed.submit(&next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_behind_the_checkpoint_is_not_started_from() {
    let mut ahead = Bed::dealing().await;
    let wish = ahead.world.make("one");
    ahead.submit(&wish).await.unwrap();
    let behind = Bed::dealing().await;
    let error = refusal(Parts { checkpoint: ahead.folder.join("checkpoint"), ..behind.parts() }).await;
    assert!(matches!(error, NodeError::Behind { .. }), "{error}");
    assert_eq!(error.code(), Code::BehindCheckpoint);
    let error = refusal(Parts { checkpoint: behind.folder.clone(), ..behind.parts() }).await;
    assert_eq!(error.code(), Code::Io, "a checkpoint that cannot be read is not one that is absent");
    let open =
        Node::open(Parts { checkpoint: behind.folder.join("checkpoint"), ..ahead.parts() }, NodeConfig::default());
    open.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_than_the_checkpoints_is_foreign() {
    let (mut one, mut other) = (Bed::dealing().await, Bed::dealing().await);
    let wish = one.world.make("one");
    one.submit(&wish).await.unwrap();
    let wish = other.world.make("other");
    other.submit(&wish).await.unwrap();
    let error = refusal(Parts { checkpoint: one.folder.join("checkpoint"), ..other.parts() }).await;
    assert_eq!(error.code(), Code::ForeignCheckpoint, "{error}");
    std::fs::write(one.folder.join("checkpoint"), "no checkpoint").unwrap();
    assert_eq!(refusal(one.parts()).await.code(), Code::ForeignCheckpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nodes_key_does_not_start_it() {
    let bed = Bed::dealing().await;
    std::fs::remove_file(bed.folder.join("checkpoint")).unwrap();
    let error = refusal(Parts { signer: Arc::new(key("another")), ..bed.parts() }).await;
    assert!(error.to_string().contains("its key is not the one"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_no_nodes() {
    let bed = Bed::dealing().await;
    let empty = Arc::new(lockstep_core::memory::MemoryDatabase::new());
    assert_eq!(refusal(Parts { database: empty, ..bed.parts() }).await.code(), Code::DatabaseShape);
}

#[tokio::test(flavor = "multi_thread")]
async fn salts_that_cannot_be_made_are_our_failure_and_no_outcome() {
    let mut bed = Bed::dealing().await;
    bed.node.clone().stop().await;
    let no_secret = Arc::new(|| Err("no randomness".to_owned()));
    bed.node = Node::open_with(bed.parts(), NodeConfig::default(), no_secret).await.unwrap();
    let wish = bed.world.make("one");
    assert_eq!(bed.node.submit(wish.bytes(), LONG).await.unwrap_err().code(), Code::Internal);
    assert_eq!(bed.count("lockstep_intent"), 0);
}

/// A database that takes no commit keeps nobody waiting who wants to go.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_and_leaves_nothing_half_done() {
    let mut bed = Bed::dealing().await;
    let jam = bed.jam().await;
    let waiting = bed.world.make("waiting");
    let waiting = bed.begin(&waiting);
    bed.waiting(1).await;
    let limit = Duration::from_millis(50);
    let begun = std::time::Instant::now();
    bed.node.clone().stop_within(limit).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    for one in jam.into_iter().chain([waiting]) {
        assert_eq!(one.await.unwrap(), Err(SubmitError::TimedOut(limit)), "nobody knows how it ended");
    }
    let late = bed.world.make("late");
    assert!(matches!(bed.submit(&late).await, Err(SubmitError::Stopped(_))), "what was never taken has no outcome");
    bed.database.release();
    assert_eq!((bed.count("deal"), bed.count("lockstep_intent")), (0, 0));
    bed.node = bed.open().await.unwrap();
    let decided = bed.submit(&late).await.unwrap();
    assert_eq!((bed.ending(&decided).await.as_str(), decided.repeated), ("applied", false));
}

/// A read that is tried again and again ends with the node, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_where_the_database_cannot_be_read() {
    let mut bed = Bed::dealing().await;
    bed.database.fail_reads(0, usize::MAX);
    let make = bed.world.make("one");
    let make = bed.begin(&make);
    bed.database.failed_to_read().await;
    bed.node.clone().stop_within(Duration::ZERO).await;
    assert_eq!(make.await.unwrap(), Err(SubmitError::TimedOut(Duration::ZERO)));
}
