//! Who gets in, and who is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lockstep_core::transport::{Admitted, Bounds, TransportError};

use super::Factory;
use super::sample::{ANNA, BEN, CARL, everybody, frame, key, listen, meet, node, node_with, only, pair, soon, words};
use crate::ensure;

pub(super) async fn both_keys(factory: &dyn Factory) -> Result<(), String> {
    let pair = pair(factory).await?;
    ensure!(pair.anna.peer == key(BEN), "who dials learns {}", pair.anna.peer);
    ensure!(pair.ben.peer == key(ANNA), "who listens learns {}", pair.ben.peer);
    Ok(())
}

pub(super) async fn either_side(factory: &dyn Factory) -> Result<(), String> {
    let (anna, ben) = (node(factory, ANNA), node(factory, BEN));
    let mut at_anna = listen(factory, &*anna).await?;
    let mut at_ben = listen(factory, &*ben).await?;
    let (there, back) = tokio::join!(meet(&*anna, &mut *at_ben, BEN), meet(&*ben, &mut *at_anna, ANNA));
    ensure!(there?.1.peer == key(ANNA) && back?.1.peer == key(BEN), "the keys are mixed up");
    Ok(())
}

pub(super) async fn wrong_key(factory: &dyn Factory) -> Result<(), String> {
    let listener = listen(factory, &*node(factory, BEN)).await?;
    let anna = node(factory, ANNA);
    let found = soon("dial", anna.dial(&listener.address(), &key(CARL))).await?.err();
    let (expected, other) = (Box::new(key(CARL)), Box::new(key(BEN)));
    let wanted = TransportError::WrongPeer { expected, found: other };
    ensure!(found.as_ref() == Some(&wanted), "the answer is {found:?}");
    Ok(())
}

pub(super) async fn not_admitted(factory: &dyn Factory) -> Result<(), String> {
    let ben = node_with(factory, BEN, Bounds::default(), only(CARL));
    let listener = listen(factory, &*ben).await?;
    let found = soon("dial", node(factory, ANNA).dial(&listener.address(), &key(BEN))).await?.err();
    ensure!(found == Some(TransportError::NotAdmitted), "the answer is {found:?}");
    Ok(())
}

pub(super) async fn revoked(factory: &dyn Factory) -> Result<(), String> {
    let valid = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&valid);
    let admitted: Admitted = Arc::new(move |_| asked.load(Ordering::SeqCst));
    let (anna, ben) = (node(factory, ANNA), node_with(factory, BEN, Bounds::default(), admitted));
    let mut listener = listen(factory, &*ben).await?;
    let (mut dialled, mut accepted) = meet(&*anna, &mut *listener, BEN).await?;
    valid.store(false, Ordering::SeqCst);
    let found = soon("dial", anna.dial(&listener.address(), &key(BEN))).await?.err();
    ensure!(found == Some(TransportError::NotAdmitted), "after it was revoked the answer is {found:?}");
    dialled.sender.send(b"still here").await.map_err(words)?;
    ensure!(frame(&mut accepted).await? == b"still here", "the open connection is disturbed");
    valid.store(true, Ordering::SeqCst);
    meet(&*anna, &mut *listener, BEN).await.map(drop)
}

pub(super) async fn refused_is_unheard(factory: &dyn Factory) -> Result<(), String> {
    let ben = node_with(factory, BEN, Bounds::default(), only(ANNA));
    let mut listener = listen(factory, &*ben).await?;
    let address = listener.address();
    for expected in [BEN, ANNA, BEN] {
        let refused = soon("dial", node(factory, CARL).dial(&address, &key(expected))).await?;
        ensure!(refused.is_err(), "a dial that should fail succeeds");
    }
    let (_, accepted) = soon("meet", meet(&*node(factory, ANNA), &mut *listener, BEN)).await??;
    ensure!(accepted.peer == key(ANNA), "accepted was {}", accepted.peer);
    Ok(())
}

pub(super) async fn nobody(factory: &dyn Factory) -> Result<(), String> {
    let ben = node_with(factory, BEN, Bounds::default(), everybody());
    let listener = listen(factory, &*ben).await?;
    let address = listener.address();
    drop(listener);
    let anna = node(factory, ANNA);
    // A listener's last breath may take a moment.
    for _ in 0..100 {
        match soon("dial", anna.dial(&address, &key(BEN))).await? {
            Err(TransportError::Unreachable { .. }) => return Ok(()),
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    Err("a listener that was dropped is still reached".to_owned())
}
