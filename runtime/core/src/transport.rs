//! Seam: frames between two nodes that know each other's keys.
//!
//! Promise of a [`Transport`]:
//! - Whoever holds a [`Connection`] knows that [`Connection::peer`] is the key at its other end: the peer has proved
//!   that it holds it, in this connection. There is no name, address or authority in between.
//! - [`Transport::dial`] reaches exactly the expected key or fails. It succeeds only after the other side has
//!   admitted this one. It tries once: the caller retries.
//! - A listener asks [`Admitted`] at every handshake, so a key that was revoked does not come in again. A connection
//!   that is open stays open: whoever revokes a key drops its connections.
//! - [`Listener::accept`] never waits for a slow or failing handshake of somebody else. A handshake that fails is no
//!   error of `accept`: nothing is heard of it.
//! - Frames arrive whole, in the order in which they were sent, each once, and nothing else arrives. `Ok` from
//!   [`FrameSender::send`] means that the frame is on its way, not that it arrived: whoever must know asks for an answer.
//! - [`FrameReceiver::receive`] returns `None` only after the other side closed in order and every frame before that
//!   was returned. A connection whose halves are dropped without [`FrameSender::close`] is cut: the other side gets
//!   [`TransportError::Closed`], frames under way may be lost.
//! - What the peer can make this side hold is bounded by [`Bounds`], whatever it sends or does not read. A sender
//!   waits while the receiver does not read.
//! - A `receive` that is dropped loses nothing. A `send` that is dropped before it ends cuts the connection. After an
//!   error the connection is cut, except that a frame that is too large to send leaves it as it was.
//!
//! On the wire each side sends the byte [`VERSION`] before its first frame; a frame is its length, four bytes, big-endian,
//! and its bytes. An implementation that moves no bytes between processes need not spell this out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::PublicKey;
use crate::database::Pending;

/// The first byte of each direction: how everything after it is to be read.
pub const VERSION: u8 = 1;

/// Whether a key may connect now; asked at every handshake, so it must be quick.
pub type Admitted = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// How much a peer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes of a frame.
    pub frame_bytes: usize,
    /// Most time from the first packet to an admitted connection.
    pub handshake: Duration,
    /// Most handshakes at once at a listener; the oldest gives way to the newest.
    pub handshakes: usize,
    /// Most time that a receiver waits for a byte. A quiet connection is kept by empty frames.
    pub idle: Duration,
    /// Most time that a frame may take to leave; whoever reads slower is cut.
    pub write: Duration,
    /// Most connections with one peer at once, dialled and accepted together.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            frame_bytes: 32 << 20,
            handshake: Duration::from_secs(10),
            handshakes: 64,
            idle: Duration::from_secs(90),
            write: Duration::from_secs(60),
            connections: 4,
        }
    }
}

/// Why there is no connection, or no longer one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nobody answers there; the same may work later.
    #[error("cannot reach {address}: {detail}")]
    Unreachable {
        /// What was dialled.
        address: String,
        /// The network's own words.
        detail: String,
    },
    /// This address cannot be listened on.
    #[error("cannot listen on {address}: {detail}")]
    Listen {
        /// The address.
        address: String,
        /// The system's own words.
        detail: String,
    },
    /// Another key answers there: the address belongs to somebody else, or the node has a new key.
    #[error("the node that answers has the key {found}, and {expected} was expected")]
    WrongPeer {
        /// The key that was dialled.
        expected: Box<PublicKey>,
        /// The key that was shown. It was not proved: somebody in between may have shown it.
        found: Box<PublicKey>,
    },
    /// The other side, which has proved its key, does not admit this node's; it will not until its directory changes.
    #[error("the other node does not admit the key of this one")]
    NotAdmitted,
    /// One of the two has as many connections with the other as it allows; the same may work later.
    #[error("there are as many connections between the two nodes as one of them allows")]
    Busy,
    /// The other side speaks another version of the protocol.
    #[error("the other node speaks version {found} of the transport, and this one version {VERSION}")]
    Version {
        /// Its first byte.
        found: u8,
    },
    /// A frame is larger than allowed, to send or to receive.
    #[error("a frame of {bytes} bytes is above the bound of {bound}")]
    FrameTooLarge {
        /// Its length, as announced.
        bytes: u64,
        /// The bound.
        bound: u64,
    },
    /// The connection was cut in the middle, by either side or in between.
    #[error("the connection was cut")]
    Closed,
    /// The other side was too slow.
    #[error("the other node took too long to {what}")]
    TimedOut {
        /// What it should have done: `connect`, `read` or `write`.
        what: &'static str,
    },
    /// What arrives is not what a node sends.
    #[error("the other side does not keep to the protocol: {detail}")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
    /// The system refuses; its own words.
    #[error("the connection failed: {detail}")]
    Io {
        /// The system's own words.
        detail: String,
    },
}

/// Reaches other nodes and is reached by them.
pub trait Transport: Send + Sync {
    /// Connects to the node with the expected key at this address.
    fn dial<'a>(&'a self, address: &'a str, expected: &'a PublicKey)
    -> Pending<'a, Result<Connection, TransportError>>;
    /// Begins to take connections at this address; dropping the listener ends it, not what it accepted.
    fn listen<'a>(&'a self, address: &'a str) -> Pending<'a, Result<Box<dyn Listener>, TransportError>>;
}

/// Takes connections.
pub trait Listener: Send {
    /// Where it is reached, with the port that it got.
    fn address(&self) -> String;
    /// The next peer that was admitted. Dropping the future loses no connection.
    fn accept(&mut self) -> Pending<'_, Result<Connection, TransportError>>;
}

/// Two directions of frames with one peer.
pub struct Connection {
    /// The key at the other end.
    pub peer: PublicKey,
    /// The way there.
    pub sender: Box<dyn FrameSender>,
    /// The way back.
    pub receiver: Box<dyn FrameReceiver>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.peer)
    }
}

/// The way to a peer.
pub trait FrameSender: Send {
    /// Sends one frame; waits while the peer does not read.
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> Pending<'a, Result<(), TransportError>>;
    /// Says that no more frames come. The way back stays open until the peer closes it.
    fn close(&mut self) -> Pending<'_, Result<(), TransportError>>;
}

/// The way from a peer.
pub trait FrameReceiver: Send {
    /// The next frame; `None`, then and ever after, where the peer closed in order.
    fn receive(&mut self) -> Pending<'_, Result<Option<Vec<u8>>, TransportError>>;
}
