//! Nodes and connections that the cases use.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::{LocalSigner, PublicKey, Signer as _};
use lockstep_core::transport::{Admitted, Bounds, Connection, Listener, Transport, TransportError};
use tokio::time::timeout;

use super::Factory;

/// No case takes this long; one that does hangs.
const SOON: Duration = Duration::from_secs(30);

/// How long nothing must happen for it to count as waiting.
pub(super) const A_WHILE: Duration = Duration::from_millis(300);

/// Who the cases are played by.
pub(super) const ANNA: u8 = 1;
pub(super) const BEN: u8 = 2;
pub(super) const CARL: u8 = 3;

pub(super) fn key(of: u8) -> PublicKey {
    LocalSigner::from_secret([of; 32]).public_key()
}

pub(super) fn everybody() -> Admitted {
    Arc::new(|_| true)
}

pub(super) fn only(admitted: u8) -> Admitted {
    let admitted = key(admitted);
    Arc::new(move |found| *found == admitted)
}

/// A node that admits everybody.
pub(super) fn node(factory: &dyn Factory, of: u8) -> Box<dyn Transport> {
    node_with(factory, of, Bounds::default(), everybody())
}

pub(super) fn node_with(factory: &dyn Factory, of: u8, bounds: Bounds, admitted: Admitted) -> Box<dyn Transport> {
    factory.node(Arc::new(LocalSigner::from_secret([of; 32])), bounds, admitted)
}

pub(super) async fn listen(factory: &dyn Factory, node: &dyn Transport) -> Result<Box<dyn Listener>, String> {
    node.listen(&factory.address()).await.map_err(words)
}

/// Dials and accepts at once; the dialler's connection comes first.
pub(super) async fn meet(
    dialer: &dyn Transport,
    listener: &mut dyn Listener,
    expected: u8,
) -> Result<(Connection, Connection), String> {
    let (address, expected) = (listener.address(), key(expected));
    let (dialled, accepted) = tokio::join!(dialer.dial(&address, &expected), listener.accept());
    Ok((dialled.map_err(words)?, accepted.map_err(words)?))
}

/// Two connected nodes: Anna dials, Ben listens.
pub(super) struct Pair {
    pub(super) anna: Connection,
    pub(super) ben: Connection,
    _listener: Box<dyn Listener>,
}

pub(super) async fn pair(factory: &dyn Factory) -> Result<Pair, String> {
    pair_with(factory, Bounds::default(), Bounds::default()).await
}

pub(super) async fn pair_with(factory: &dyn Factory, annas: Bounds, bens: Bounds) -> Result<Pair, String> {
    let dialer = node_with(factory, ANNA, annas, everybody());
    let mut listener = listen(factory, &*node_with(factory, BEN, bens, everybody())).await?;
    let (anna, ben) = meet(&*dialer, &mut *listener, BEN).await?;
    Ok(Pair { anna, ben, _listener: listener })
}

/// What comes soon, or words that it does not.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    timeout(SOON, future).await.map_err(|_| format!("{what}: nothing happens"))
}

/// Receives one frame.
pub(super) async fn frame(connection: &mut Connection) -> Result<Vec<u8>, String> {
    let received = soon("receive", connection.receiver.receive()).await?.map_err(words)?;
    received.ok_or_else(|| "the connection ended where a frame was due".to_owned())
}

/// Receives until the connection is over; how it was.
pub(super) async fn over(connection: &mut Connection) -> Result<Result<(), TransportError>, String> {
    loop {
        match soon("receive", connection.receiver.receive()).await? {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn words(error: TransportError) -> String {
    error.to_string()
}
