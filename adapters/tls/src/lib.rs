//! Frames between nodes over TLS 1.3 with mutual raw public keys (RFC 7250), no certificate authority.
//!
//! The modules in the order in which a connection meets them: `dial` and `listen` bring it about, `keys` is what
//! a node shows of itself and `verify` what it makes of the other, `places` counts, `greet` exchanges versions,
//! `link` is the open connection, `send` and `receive` its two halves, `partial` a frame that is not whole yet.
//!
//! Apart from these, `https` puts TLS with an ordinary certificate before the HTTP door.
//!
//! It owns who is at the other end and how much a peer may take, nothing of what frames mean. See the crate's
//! README for the life of a frame.

mod dial;
mod errors;
mod greet;
mod https;
mod keys;
mod link;
mod listen;
mod partial;
mod places;
mod receive;
mod send;
mod verify;

use std::fmt;
use std::sync::Arc;

use lockstep_core::crypto::{PublicKey, Signer};
use lockstep_core::database::Pending;
use lockstep_core::transport::{Admitted, Bounds, Connection, Listener, Transport, TransportError};
use rustls::crypto::CryptoProvider;

pub use https::HttpsAcceptor;
use keys::NodeKey;
use link::Link;
use places::{Place, Places};

/// A node's way to other nodes. It needs the tokio runtime.
///
/// The signer is called inside of handshakes, once in each: one that blocks for long, as a remote key may, takes a
/// thread of the runtime for that time.
#[derive(Clone)]
pub struct TlsTransport {
    node: Arc<Node>,
}

/// What every connection of a node shares.
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) bounds: Bounds,
    pub(crate) admitted: Admitted,
    pub(crate) places: Places,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl TlsTransport {
    /// The transport of the node that holds this key. `admitted` says who may come in; whom it dials, the node says itself.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>, bounds: Bounds, admitted: Admitted) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let places = Places::new(bounds.connections);
        TlsTransport { node: Arc::new(Node { key: NodeKey::new(signer), bounds, admitted, places, provider }) }
    }
}

impl Node {
    /// The two halves of an open connection.
    pub(crate) fn connection(&self, peer: PublicKey, stream: link::Stream, place: Place) -> Connection {
        let link = Arc::new(Link::new(stream, place));
        Connection {
            peer,
            sender: Box::new(send::TlsSender::new(Arc::clone(&link), self.bounds)),
            receiver: Box::new(receive::TlsReceiver::new(link, self.bounds)),
        }
    }
}

impl Transport for TlsTransport {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        expected: &'a PublicKey,
    ) -> Pending<'a, Result<Connection, TransportError>> {
        Box::pin(dial::dial(&self.node, address, expected))
    }

    fn listen<'a>(&'a self, address: &'a str) -> Pending<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(listen::listen(&self.node, address))
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsTransport({})", self.node.key.public)
    }
}
