//! Frames: whole, in order, until an end that is told apart from a cut.

use lockstep_core::transport::{Connection, TransportError};
use tokio::time::timeout;

use super::Factory;
use super::sample::{A_WHILE, ANNA, BEN, frame, key, listen, node, over, pair, soon, words};
use crate::ensure;

const SIZES: [usize; 8] = [0, 1, 16_379, 16_380, 16_381, 65_536, 1 << 20, 0];

/// A frame that is told apart from every other.
fn sample(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31).wrapping_add(number * 7) % 251) as u8).collect()
}

async fn talk(connection: &mut Connection) -> Result<(), String> {
    let Connection { sender, receiver, .. } = connection;
    let sending = async {
        for (number, size) in SIZES.into_iter().enumerate() {
            sender.send(&sample(number, size)).await.map_err(words)?;
        }
        Ok(())
    };
    let receiving = async {
        for (number, size) in SIZES.into_iter().enumerate() {
            let found = receiver.receive().await.map_err(words)?.ok_or("the end where a frame was due")?;
            ensure!(found == sample(number, size), "frame {number} of {size} bytes is not what was sent");
        }
        Ok(())
    };
    let (sent, received): (Result<(), String>, Result<(), String>) = tokio::join!(sending, receiving);
    sent.and(received)
}

pub(super) async fn both_ways(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    for _ in 0..3 {
        let (there, back) = soon("talk", async { tokio::join!(talk(&mut pair.anna), talk(&mut pair.ben)) }).await?;
        there.and(back)?;
    }
    Ok(())
}

pub(super) async fn orderly_end(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    for number in 0..3 {
        pair.anna.sender.send(&sample(number, 100)).await.map_err(words)?;
    }
    pair.anna.sender.close().await.map_err(words)?;
    for number in 0..3 {
        ensure!(frame(&mut pair.ben).await? == sample(number, 100), "frame {number} is another");
    }
    for time in ["first", "second"] {
        let found = soon("receive", pair.ben.receiver.receive()).await?;
        ensure!(found == Ok(None), "the end, asked for the {time} time, is {found:?}");
    }
    let found = pair.anna.sender.send(b"late").await;
    ensure!(found.is_err(), "a frame is sent after the end");
    ensure!(pair.anna.sender.close().await.is_ok(), "closing again is an error");
    Ok(())
}

pub(super) async fn half_closed(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    pair.anna.sender.close().await.map_err(words)?;
    ensure!(over(&mut pair.ben).await?.is_ok(), "the end is a cut");
    pair.ben.sender.send(b"answer").await.map_err(words)?;
    pair.ben.sender.close().await.map_err(words)?;
    ensure!(frame(&mut pair.anna).await? == b"answer", "the answer is another");
    ensure!(over(&mut pair.anna).await?.is_ok(), "the end of the answer is a cut");
    Ok(())
}

pub(super) async fn dropped(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    pair.anna.sender.send(b"one").await.map_err(words)?;
    drop(pair.anna);
    let found = over(&mut pair.ben).await?;
    ensure!(found == Err(TransportError::Closed), "a cut is received as {found:?}");
    let found = soon("send", pair.ben.sender.send(b"late")).await?;
    ensure!(found == Err(TransportError::Closed), "sending after a cut is {found:?}");
    Ok(())
}

pub(super) async fn given_up(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    let sending = async {
        for (number, size) in SIZES.into_iter().enumerate() {
            tokio::task::yield_now().await;
            pair.anna.sender.send(&sample(number, size)).await.map_err(words)?;
        }
        Ok::<(), String>(())
    };
    let (receiver, receiving) = (&mut pair.ben.receiver, async |receiver: &mut Box<_>| impatient(receiver).await);
    let (sent, received) = tokio::join!(sending, receiving(receiver));
    sent?;
    received
}

/// Receives all samples, giving up again and again.
async fn impatient(receiver: &mut Box<dyn lockstep_core::transport::FrameReceiver>) -> Result<(), String> {
    let mut number = 0;
    while let Some(&size) = SIZES.get(number) {
        let patience = std::time::Duration::from_micros(20);
        let Ok(received) = timeout(patience, receiver.receive()).await else { continue };
        ensure!(received == Ok(Some(sample(number, size))), "frame {number} of {size} bytes was disturbed");
        number += 1;
    }
    Ok(())
}

pub(super) async fn send_given_up(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    let large = vec![7; 8 << 20];
    loop {
        if timeout(A_WHILE, pair.anna.sender.send(&large)).await.is_err() {
            break;
        }
    }
    let found = pair.anna.sender.send(b"after").await;
    ensure!(found == Err(TransportError::Closed), "sending after half a frame is {found:?}");
    let found = over(&mut pair.ben).await?;
    ensure!(found == Err(TransportError::Closed), "half a frame is received as {found:?}");
    Ok(())
}

pub(super) async fn accept_given_up(factory: &dyn Factory) -> Result<(), String> {
    let (anna, ben) = (node(factory, ANNA), node(factory, BEN));
    let mut listener = listen(factory, &*ben).await?;
    ensure!(timeout(A_WHILE, listener.accept()).await.is_err(), "somebody is accepted who never came");
    let (address, expected) = (listener.address(), key(BEN));
    let _dialled = soon("dial", anna.dial(&address, &expected)).await?.map_err(words)?;
    let accepted = soon("accept", listener.accept()).await?.map_err(words)?;
    ensure!(accepted.peer == key(ANNA), "accepted was {}", accepted.peer);
    Ok(())
}
