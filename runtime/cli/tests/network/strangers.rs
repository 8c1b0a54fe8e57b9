//! What comes in at the peer port and is no good: refused, counted, and the others unharmed.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_core::crypto::{Digest, LocalSigner, PublicKey, Signer};
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::NodeName;
use lockstep_core::sync::{Hello, Message};
use lockstep_core::transport::{Bounds, Connection, Transport};
use lockstep_tls::TlsTransport;

use crate::organisation::{Organisation, agreed, listing, price, text, two};

pub(crate) fn node_key(organisation: &Organisation) -> LocalSigner {
    let key = std::fs::read(organisation.place.dir().join("node.key")).unwrap();
    let json = Json::parse(&key, &Limits::default()).unwrap();
    let secret = Digest::parse(json.get("secret_key").and_then(Json::as_str).unwrap()).unwrap();
    LocalSigner::from_secret(*secret.as_bytes())
}

/// Connects with a key; `None` where it is not let in.
async fn dial(target: &Organisation, key: LocalSigner) -> Option<Connection> {
    let transport = TlsTransport::new(Arc::new(key), Bounds::default(), Arc::new(|_: &PublicKey| true));
    transport.dial(&target.address, &node_key(target).public_key()).await.ok()
}

/// A key that nobody knows.
fn unknown(number: u8) -> LocalSigner {
    LocalSigner::from_secret([number; 32])
}

/// Sends frames, and says how it ended: with the words of a `Bye`, or none.
async fn says(mut connection: Connection, frames: &[Vec<u8>]) -> Option<String> {
    for frame in frames {
        // It may have closed before.
        let _ = connection.sender.send(frame).await;
    }
    let end = tokio::time::timeout(Duration::from_secs(30), async {
        while let Ok(Some(frame)) = connection.receiver.receive().await {
            if let Ok(Message::Bye { message, .. }) = Message::decode(&frame) {
                return Some(message);
            }
        }
        None
    });
    end.await.unwrap()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn refused(status: &Json) -> u64 {
    status.get("refused").and_then(Json::as_u64).unwrap()
}

fn of_peer(status: &Json) -> u64 {
    refused(&status.get("peers").and_then(Json::as_array).unwrap()[0])
}

#[test]
fn who_has_no_invitation_is_sent_away_and_counted() {
    let (seller, buyer) = two("strangers");
    assert_eq!(refused(&seller.waits()), 0);
    let runtime = runtime();
    let hello = Hello {
        network: Digest::of(b"another"),
        node: NodeName::parse("buyer").unwrap(),
        directory: 1,
        wants: Default::default(),
    };
    let invited = Message::Invited { invitation: b"{}".to_vec(), secret: Digest::of(b"") };
    let frames: [Vec<u8>; 6] = [
        b"garbage".to_vec(),
        vec![0; 1 << 20],
        br#"{"type":"hello"}"#.to_vec(),
        Message::Hello(hello).encode(),
        invited.encode(),
        Message::WantDirectory { after: 0 }.encode(),
    ];
    for (number, frame) in (1..).zip(frames) {
        let said = runtime.block_on(async { says(dial(&seller, unknown(number)).await.unwrap(), &[frame]).await });
        assert!(said.is_some(), "frame {number}: a word of why");
        assert_eq!(refused(&seller.waits()), u64::from(number), "frame {number}: {said:?}");
    }
    let silent = runtime.block_on(async { says(dial(&seller, unknown(99)).await.unwrap(), &[]).await });
    assert!(silent.unwrap().contains("no invitation"), "who says nothing does not stay");
    assert_eq!((refused(&seller.waits()), refused(&buyer.waits())), (7, 0));
    seller.is_clean();
}

#[test]
fn a_peer_that_says_what_it_must_not_is_counted_and_cut_off() {
    let (seller, mut buyer) = agreed("rude");
    buyer.stop();
    let runtime = runtime();
    let other = Hello {
        network: Digest::of(b"another"),
        node: NodeName::parse("buyer").unwrap(),
        directory: 1,
        wants: Default::default(),
    };
    let frames = [b"garbage".to_vec(), Message::Hello(other).encode(), Message::WantDirectory { after: 0 }.encode()];
    for (number, frame) in (1..).zip(frames) {
        let key = node_key(&buyer);
        runtime.block_on(async { says(dial(&seller, key).await.unwrap(), &[frame]).await });
        let status = seller.run(&["network", "status"]).json();
        assert_eq!(of_peer(&status), number, "{status}");
    }
    buyer.start();
    seller.waits();
    assert_eq!(text(&seller.submits("alice", "list", &listing()), "status"), "applied");
    assert_eq!(text(&buyer.submits("bob", "offer", &price("320000.00")), "status"), "applied");
    seller.is_clean();
    buyer.is_clean();
}

#[test]
fn a_flood_of_strangers_harms_nobody() {
    let (seller, buyer) = agreed("flood");
    let runtime = runtime();
    assert_eq!(text(&seller.submits("alice", "list", &listing()), "status"), "applied");
    let flood = async {
        let mut held = Vec::new();
        for number in 0..60 {
            held.extend(dial(&seller, unknown(number)).await);
            let mut plain = TcpStream::connect(&seller.address).unwrap();
            let _ = plain.write_all(&[number; 4096]);
        }
        held
    };
    let held = runtime.block_on(flood);
    let started = Instant::now();
    assert_eq!(text(&buyer.submits("bob", "offer", &price("320000.00")), "status"), "applied");
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    drop(held);
    let until = Instant::now() + Duration::from_secs(60);
    while refused(&seller.waits()) < 44 {
        assert!(Instant::now() < until, "guests beyond the places are refused and counted: {}", seller.waits());
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut inspector = Organisation::new("flood", "inspector");
    inspector.joins(&seller.invites("inspector", &[]));
    buyer.waits();
    seller.is_clean();
    buyer.is_clean();
}
