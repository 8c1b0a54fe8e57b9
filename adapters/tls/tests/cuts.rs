//! A connection may be cut or damaged at any byte: nobody hangs, nobody panics, and what arrives is what was sent.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{ANNA, BEN, key, open_node, soon};
use lockstep_core::transport::{Bounds, Connection, Listener, Transport as _, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// What happens at one byte of all that passes, both ways together.
#[derive(Clone, Copy)]
enum Fault {
    CutBefore(usize),
    FlipAt(usize),
}

impl Fault {
    /// Passes on a byte, or none where the connection is cut.
    fn pass(self, at: usize, byte: u8) -> Option<u8> {
        match self {
            Fault::CutBefore(cut) => (at < cut).then_some(byte),
            Fault::FlipAt(flip) => Some(if at == flip { byte ^ 0x20 } else { byte }),
        }
    }
}

/// A proxy for one connection; what passed in the end.
async fn proxy(target: String, fault: Fault) -> (String, JoinHandle<usize>) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let (near, _) = tcp.accept().await.unwrap();
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = TcpStream::connect(target).await.unwrap().into_split();
        let passed = Arc::new(AtomicUsize::new(0));
        let (there, back) = (pass(near_in, far_out, &passed, fault), pass(far_in, near_out, &passed, fault));
        // The first direction that is cut takes the other with it; one that ends leaves the other to end.
        let _ = tokio::try_join!(there, back);
        passed.load(Ordering::SeqCst)
    });
    (address, task)
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    passed: &AtomicUsize,
    fault: Fault,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        for byte in buffer.iter().take(count) {
            let at = passed.fetch_add(1, Ordering::SeqCst);
            let byte = fault.pass(at, *byte).ok_or(std::io::ErrorKind::ConnectionAborted)?;
            to.write_all(&[byte]).await?;
        }
    }
}

/// How many conversations run at once.
const AT_ONCE: usize = 32;

fn waiting(at_most: Duration) -> Bounds {
    Bounds { handshake: at_most, idle: at_most, write: at_most, connections: 1000, ..Bounds::default() }
}

const FRAMES: [&[u8]; 3] = [b"", b"one", b"a frame of some more bytes"];

/// The dialler's part: sends, gets every frame back, ends in order.
async fn converse(mut connection: Connection) -> Result<(), TransportError> {
    for frame in FRAMES {
        connection.sender.send(frame).await?;
        let found = connection.receiver.receive().await?.ok_or(TransportError::Closed)?;
        assert_eq!(found, frame, "another frame came back than was sent");
    }
    connection.sender.close().await?;
    assert_eq!(connection.receiver.receive().await?, None);
    Ok(())
}

/// The listener's part: sends everything back; what it got must be a beginning of what was sent.
async fn echo(mut connection: Connection) -> Result<(), TransportError> {
    let mut wanted = FRAMES.into_iter();
    while let Some(frame) = connection.receiver.receive().await? {
        assert_eq!(Some(frame.as_slice()), wanted.next(), "another frame arrived than was sent");
        connection.sender.send(&frame).await?;
    }
    connection.sender.close().await
}

/// Echoes to everybody until the diallers are done; how each conversation went.
async fn serve(mut listener: Box<dyn Listener>, mut done: oneshot::Receiver<()>) -> Vec<Result<(), TransportError>> {
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => conversations.spawn(echo(accepted.unwrap())),
            _ = &mut done => return soon(conversations.join_all()).await,
        };
    }
}

/// One conversation through a proxy with a fault; how it went for the dialler, and how many bytes passed.
async fn faulty(target: String, bounds: Bounds, fault: Fault) -> (Result<(), TransportError>, usize) {
    let (address, passed) = proxy(target, fault).await;
    let transport = open_node(ANNA, bounds);
    let result = soon(async {
        let expected = key(BEN);
        converse(transport.dial(&address, &expected).await?).await
    })
    .await;
    (result, soon(passed).await.unwrap())
}

/// Runs a conversation for each byte, some at once; what `judge` says of both sides' results must hold.
async fn with_faults(bounds: Bounds, make: fn(usize) -> Fault, judge: fn(&TransportError) -> bool) {
    let listener = open_node(BEN, bounds).listen("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, stopped));
    let (whole, total) = faulty(address.clone(), bounds, Fault::CutBefore(usize::MAX)).await;
    assert_eq!(whole, Ok(()));
    assert!((700..5000).contains(&total), "{total} bytes passed");
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for at in 0..total {
        let place = Arc::clone(&room).acquire_owned().await.unwrap();
        let target = address.clone();
        running.spawn(async move {
            let (result, _) = faulty(target, bounds, make(at)).await;
            drop(place);
            (at, result)
        });
    }
    for (at, result) in running.join_all().await {
        // The last bytes say to one side only that the other is done.
        assert!(result.as_ref().err().is_none_or(judge), "at byte {at} of {total}: {result:?}");
    }
    stop.send(()).unwrap();
    let served = server.await.unwrap();
    assert!(served.len() > 1, "nobody was served");
    for result in served {
        assert!(result.as_ref().err().is_none_or(judge), "at the listener: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_any_byte_is_a_cut_for_both_sides() {
    with_faults(waiting(Duration::from_secs(20)), Fault::CutBefore, |error| {
        matches!(error, TransportError::Closed | TransportError::Unreachable { .. })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_byte_never_becomes_another_frame_or_peer() {
    // A damaged length makes its reader wait for bytes that never come.
    with_faults(waiting(Duration::from_secs(2)), Fault::FlipAt, |error| {
        !matches!(error, TransportError::Version { .. })
    })
    .await;
}
