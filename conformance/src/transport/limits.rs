//! How much a peer may take.

use lockstep_core::transport::{Bounds, TransportError};
use tokio::time::timeout;

use super::Factory;
use super::sample::{
    A_WHILE, ANNA, BEN, CARL, everybody, frame, key, listen, meet, node, node_with, over, pair, pair_with, soon, words,
};
use crate::ensure;

fn frames_up_to(frame_bytes: usize) -> Bounds {
    Bounds { frame_bytes, ..Bounds::default() }
}

pub(super) async fn too_large_to_send(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair_with(factory, frames_up_to(100), frames_up_to(100)).await?;
    let found = pair.anna.sender.send(&[1; 101]).await;
    let wanted = TransportError::FrameTooLarge { bytes: 101, bound: 100 };
    ensure!(found.as_ref() == Err(&wanted), "the answer is {found:?}");
    pair.anna.sender.send(&[2; 100]).await.map_err(words)?;
    ensure!(frame(&mut pair.ben).await? == [2; 100], "the frame of exactly the bound is another");
    Ok(())
}

pub(super) async fn too_large_to_receive(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair_with(factory, frames_up_to(200), frames_up_to(100)).await?;
    pair.anna.sender.send(&[1; 100]).await.map_err(words)?;
    pair.anna.sender.send(&[2; 101]).await.map_err(words)?;
    ensure!(frame(&mut pair.ben).await? == [1; 100], "the frame of exactly the bound is another");
    let found = over(&mut pair.ben).await?;
    let wanted = TransportError::FrameTooLarge { bytes: 101, bound: 100 };
    ensure!(found.as_ref() == Err(&wanted), "the answer is {found:?}");
    let found = over(&mut pair.anna).await?;
    ensure!(found == Err(TransportError::Closed), "the sender's connection ends with {found:?}");
    Ok(())
}

pub(super) async fn back_pressure(factory: &dyn Factory) -> Result<(), String> {
    let mut pair = pair(factory).await?;
    let megabyte = vec![7; 1 << 20];
    let sender = &mut pair.anna.sender;
    let all = async {
        for _ in 0..64 {
            sender.send(&megabyte).await.map_err(words)?;
        }
        Ok::<(), String>(())
    };
    tokio::pin!(all);
    ensure!(timeout(A_WHILE, &mut all).await.is_err(), "64 MiB are sent though nobody reads");
    let read = async {
        for number in 0..64 {
            let found = frame(&mut pair.ben).await?;
            ensure!(found == megabyte, "frame {number} is another");
        }
        Ok(())
    };
    let (sent, received) = soon("read", async { tokio::join!(all, read) }).await?;
    sent.and(received)
}

pub(super) async fn connections(factory: &dyn Factory) -> Result<(), String> {
    let bounds = Bounds { connections: 2, ..Bounds::default() };
    let (anna, ben) = (node(factory, ANNA), node_with(factory, BEN, bounds, everybody()));
    let mut listener = listen(factory, &*ben).await?;
    let first = meet(&*anna, &mut *listener, BEN).await?;
    let _second = meet(&*anna, &mut *listener, BEN).await?;
    let address = listener.address();
    let found = soon("dial", anna.dial(&address, &key(BEN))).await?.err();
    ensure!(found == Some(TransportError::Busy), "the third connection is {found:?}");
    meet(&*node(factory, CARL), &mut *listener, BEN).await.map_err(|error| format!("another peer: {error}"))?;
    drop(first);
    soon("meet again", meet(&*anna, &mut *listener, BEN)).await?.map(drop)
}
