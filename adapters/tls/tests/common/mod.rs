//! Nodes on the loopback interface, and a client that speaks TLS without our code.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

pub(crate) mod raw;

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::{LocalSigner, PublicKey, Signer as _};
use lockstep_core::transport::{Admitted, Bounds, Connection, Listener, Transport as _, TransportError};
use lockstep_tls::TlsTransport;
use tokio::time::timeout;

pub(crate) const ANNA: u8 = 1;
pub(crate) const BEN: u8 = 2;
pub(crate) const CARL: u8 = 3;

pub(crate) fn key(of: u8) -> PublicKey {
    LocalSigner::from_secret([of; 32]).public_key()
}

pub(crate) fn node(of: u8, bounds: Bounds, admitted: Admitted) -> TlsTransport {
    TlsTransport::new(Arc::new(LocalSigner::from_secret([of; 32])), bounds, admitted)
}

/// A node that admits everybody.
pub(crate) fn open_node(of: u8, bounds: Bounds) -> TlsTransport {
    node(of, bounds, Arc::new(|_| true))
}

/// Ben listens, and admits Anna only.
pub(crate) async fn ben(bounds: Bounds) -> Box<dyn Listener> {
    let anna = key(ANNA);
    node(BEN, bounds, Arc::new(move |found| *found == anna)).listen("127.0.0.1:0").await.unwrap()
}

/// What comes within half a minute, which everything does.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.expect("something hangs")
}

/// Anna dials Ben.
pub(crate) async fn anna_dials(listener: &dyn Listener) -> Result<Connection, TransportError> {
    soon(open_node(ANNA, Bounds::default()).dial(&listener.address(), &key(BEN))).await
}

/// Checks that Anna gets in now, and that nobody came before her.
pub(crate) async fn anna_gets_in(listener: &mut dyn Listener) {
    let mut dialled = anna_dials(listener).await.unwrap();
    let mut accepted = soon(listener.accept()).await.unwrap();
    dialled.sender.send(b"anna").await.unwrap();
    let frame = soon(accepted.receiver.receive()).await;
    assert_eq!(frame, Ok(Some(b"anna".to_vec())), "somebody else was accepted");
}
