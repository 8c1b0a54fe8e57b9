//! The directory on its way: what one side has is what it sent or was sent, whatever the other took meanwhile.

use std::time::Duration;

use lockstep_core::directory::Body;
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Feed, Message};
use lockstep_core::transport::Connection;

use crate::pair::Pair;

const PATIENCE: Duration = Duration::from_secs(20);

/// The next message of this kind.
async fn next(connection: &mut Connection, kind: &str) -> Message {
    let reading = async {
        loop {
            let frame = connection.receiver.receive().await.unwrap().expect("acme goes on");
            let message = (!frame.is_empty()).then(|| Message::decode(&frame).unwrap());
            if let Some(message) = message.filter(|message| message.kind() == kind) {
                return message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("acme sends no {kind}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_comes_in_while_the_peer_sends_an_older_one_is_not_taken_for_known() {
    let mut pair = Pair::new().await;
    let deal = pair.deal("one");
    assert_eq!(pair.acme.submit(&deal).await, "applied");
    let mut bolt = pair.as_bolt().await;
    // Until this is answered, acme feeds nothing more.
    let Message::Feed(feed) = next(&mut bolt, "feed").await else { unreachable!() };
    let older = pair.world.events.last().unwrap().0.clone();
    let node = NodeName::parse("acme").unwrap();
    let event = pair.world.collect(pair.world.event("root@acme", Body::NodeAddresses { node, addresses: Vec::new() }));
    pair.acme.node.change_directory(event.clone(), None, PATIENCE).await.unwrap();
    let sent = Message::Directory { events: vec![older.stored()], packages: Vec::new() };
    bolt.sender.send(&sent.encode()).await.unwrap();
    // Answered once the older event was looked at.
    let looked = Message::Feed(Feed { log: "bolt/1".to_owned(), next: 1, more: false, shares: Vec::new() });
    bolt.sender.send(&looked.encode()).await.unwrap();
    next(&mut bolt, "ack").await;
    bolt.sender.send(&Message::Ack { log: feed.log, next: feed.next }.encode()).await.unwrap();
    let Message::Directory { events, .. } = next(&mut bolt, "directory").await else { unreachable!() };
    assert_eq!(events, [event.stored()]);
}
