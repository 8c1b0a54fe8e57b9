//! Clocks that are off: what is decided is held, not disputed, and goes on when the clock is right.

use std::time::Duration;

use crate::pair::Pair;
use crate::world::now;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_behind_holds_what_it_is_sent_and_applies_it_when_the_clock_is_right() {
    let mut pair = Pair::new().await;
    pair.acme.clock.set(now().plus(HOUR));
    let first = pair.deal("one").edit(|draft| draft.expires = now().plus(HOUR * 2));
    assert_eq!(pair.acme.submit(&first).await, "applied");
    pair.bolt.sees("behind_events", 1_u64).await;
    assert_eq!(pair.bolt.deals(), 0, "an outcome from the future is not applied");
    assert!(pair.bolt.peer("last_error").is_null(), "and nobody is accused: {}", pair.bolt.peer("last_error"));
    pair.bolt.clock.set(now().plus(HOUR));
    // Nothing more is sent: the held share is looked at again by itself.
    pair.bolt.sees("behind_events", 0_u64).await;
    assert_eq!(pair.bolt.deals(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_clock_is_an_hour_ahead_takes_what_it_is_sent() {
    let mut pair = Pair::new().await;
    pair.bolt.clock.set(now().plus(HOUR));
    let first = pair.deal("one");
    assert_eq!(pair.acme.submit(&first).await, "applied");
    pair.bolt.has(1).await;
    assert!(pair.bolt.peer("last_error").is_null());
}
