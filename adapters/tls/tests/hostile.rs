//! What a stranger, or a peer that has turned bad, can take from a node.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::time::{Duration, Instant};

use common::raw::{admitted, certified, raw_key};
use common::{ANNA, BEN, anna_dials, anna_gets_in, ben, key, open_node, soon};
use lockstep_core::transport::{Bounds, Connection, Transport as _, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// Anna connected with a client of her own making.
async fn bad_anna(bounds: Bounds) -> (TlsStream<TcpStream>, Connection) {
    let mut listener = ben(bounds).await;
    let own = raw_key(certified(&key(ANNA), ANNA));
    let mut stream = soon(admitted(&listener.address(), own, true)).await.unwrap();
    stream.write_all(&[1]).await.unwrap();
    (stream, soon(listener.accept()).await.unwrap())
}

#[tokio::test]
async fn silent_strangers_keep_nobody_out_however_many_they_are() {
    let bounds = Bounds { handshakes: 8, handshake: Duration::from_secs(60), ..Bounds::default() };
    let mut listener = ben(bounds).await;
    let mut strangers = Vec::new();
    for _ in 0..100 {
        strangers.push(TcpStream::connect(listener.address()).await.unwrap());
    }
    let begun = Instant::now();
    anna_gets_in(&mut *listener).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_silent_stranger_is_shown_out() {
    let listener = ben(Bounds { handshake: HALF_A_SECOND, ..Bounds::default() }).await;
    let mut stranger = TcpStream::connect(listener.address()).await.unwrap();
    assert_eq!(soon(stranger.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_listener_that_is_silent_is_given_up() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = open_node(ANNA, Bounds { handshake: HALF_A_SECOND, ..Bounds::default() });
    let found = soon(transport.dial(&tcp.local_addr().unwrap().to_string(), &key(BEN))).await.err();
    assert_eq!(found, Some(TransportError::TimedOut { what: "connect" }));
}

#[tokio::test]
async fn garbage_disturbs_nobody() {
    let mut listener = ben(Bounds::default()).await;
    let http = b"GET / HTTP/1.1\r\nhost: ben\r\n\r\n".to_vec();
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(), vec![0xff; 600]].concat();
    for garbage in [vec![0], vec![0xff; 100_000], http, hello] {
        let mut stranger = TcpStream::connect(listener.address()).await.unwrap();
        let _ = stranger.write_all(&garbage).await;
        let mut answer = Vec::new();
        drop(stranger.shutdown().await);
        let _ = soon(stranger.read_to_end(&mut answer)).await;
        assert!(answer.len() < 100, "{answer:?}");
    }
    anna_gets_in(&mut *listener).await;
}

#[tokio::test]
async fn a_length_that_lies_is_refused() {
    let (mut stream, mut accepted) = bad_anna(Bounds::default()).await;
    stream.write_all(&[255; 4]).await.unwrap();
    let wanted = TransportError::FrameTooLarge { bytes: u64::from(u32::MAX), bound: 32 << 20 };
    assert_eq!(soon(accepted.receiver.receive()).await, Err(wanted));
    assert!(matches!(soon(stream.read(&mut [0])).await, Err(_) | Ok(0)));
    assert_eq!(accepted.sender.send(b"late").await, Err(TransportError::Closed));
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_is_a_cut() {
    let (mut stream, mut accepted) = bad_anna(Bounds::default()).await;
    stream.write_all(b"\x00\x00\x00\x03ye").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(soon(accepted.receiver.receive()).await, Err(TransportError::Closed));
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_cut_for_both_halves() {
    let (_stream, accepted) = bad_anna(Bounds { idle: HALF_A_SECOND, ..Bounds::default() }).await;
    let Connection { mut sender, mut receiver, .. } = accepted;
    assert_eq!(soon(receiver.receive()).await, Err(TransportError::TimedOut { what: "write" }));
    assert_eq!(sender.send(b"late").await, Err(TransportError::Closed));
}

#[tokio::test]
async fn giving_up_again_and_again_does_not_prolong_the_silence() {
    let (_stream, mut accepted) = bad_anna(Bounds { idle: HALF_A_SECOND, ..Bounds::default() }).await;
    let begun = Instant::now();
    let found = loop {
        let patience = Duration::from_millis(50);
        if let Ok(found) = tokio::time::timeout(patience, accepted.receiver.receive()).await {
            break found;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it goes on");
    };
    assert_eq!(found, Err(TransportError::TimedOut { what: "write" }));
}

#[tokio::test]
async fn a_frame_that_trickles_is_cut() {
    let bounds = Bounds { idle: HALF_A_SECOND, write: HALF_A_SECOND, ..Bounds::default() };
    let (mut stream, mut accepted) = bad_anna(bounds).await;
    let trickle = tokio::spawn(async move {
        stream.write_all(&1000_u32.to_be_bytes()).await?;
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.write_all(&[7]).await?;
        }
        Ok::<(), std::io::Error>(())
    });
    assert_eq!(soon(accepted.receiver.receive()).await, Err(TransportError::TimedOut { what: "write" }));
    assert!(soon(trickle).await.unwrap().is_err(), "it may go on");
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_for_both_halves() {
    let (_stream, accepted) = bad_anna(Bounds { write: HALF_A_SECOND, ..Bounds::default() }).await;
    let Connection { mut sender, mut receiver, .. } = accepted;
    let receiving = tokio::spawn(async move { receiver.receive().await });
    assert_eq!(fill(&mut *sender).await, TransportError::TimedOut { what: "read" });
    assert_eq!(soon(receiving).await.unwrap(), Err(TransportError::Closed));
}

#[tokio::test]
async fn a_peer_that_reads_a_byte_now_and_then_is_cut() {
    let (mut stream, accepted) = bad_anna(Bounds { write: HALF_A_SECOND, ..Bounds::default() }).await;
    let reading = tokio::spawn(async move {
        while stream.read_u8().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut sender = accepted.sender;
    assert_eq!(fill(&mut *sender).await, TransportError::TimedOut { what: "read" });
    reading.abort();
}

/// Sends until it fails.
async fn fill(sender: &mut dyn lockstep_core::transport::FrameSender) -> TransportError {
    let large = vec![7; 32 << 20];
    soon(async {
        loop {
            if let Err(error) = sender.send(&large).await {
                return error;
            }
        }
    })
    .await
}

#[tokio::test]
async fn who_is_slow_to_accept_is_not_drowned() {
    let bounds = Bounds { handshakes: 4, connections: 1000, ..Bounds::default() };
    let mut listener = ben(bounds).await;
    let mut kept = Vec::new();
    for _ in 0..12 {
        kept.push(anna_dials(&*listener).await.unwrap());
    }
    tokio::time::sleep(2 * HALF_A_SECOND).await;
    let mut accepted = 0;
    while tokio::time::timeout(HALF_A_SECOND, listener.accept()).await.is_ok() {
        accepted += 1;
    }
    assert!((1..=4).contains(&accepted), "{accepted} connections waited");
}
