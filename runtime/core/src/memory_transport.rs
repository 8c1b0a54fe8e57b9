//! The in-memory [`Transport`]: the promise of the seam in its shortest form, stricter than any real one.
//!
//! A cut loses every frame under way, and few frames may be under way at all, so that whoever gets along with it
//! gets along with any network. It deliberately has no clock: nothing times out, tests cut what shall be
//! cut with [`MemoryNetwork::cut`]. `pipe` is one direction of a connection.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

mod pipe;

use pipe::{End, Pipe};

use crate::crypto::PublicKey;
use crate::database::Pending;
use crate::transport::{Admitted, Bounds, Connection, Listener, Transport, TransportError};

/// A network within one process: every node made by it can dial every other.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    doors: BTreeMap<String, Arc<Door>>,
    lines: Vec<Line>,
}

/// Where a listener is reached.
struct Door {
    node: Node,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    connections: VecDeque<Connection>,
    waker: Option<Waker>,
}

/// A connection as the network knows it: who has which end.
struct Line {
    ends: [(PublicKey, Weak<End>); 2],
}

#[derive(Clone)]
struct Node {
    key: PublicKey,
    bounds: Bounds,
    admitted: Admitted,
}

impl MemoryNetwork {
    /// A network without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A node of this network. That it holds the key is taken for granted.
    #[must_use]
    pub fn node(&self, key: PublicKey, bounds: Bounds, admitted: Admitted) -> MemoryTransport {
        MemoryTransport { network: self.clone(), node: Node { key, bounds, admitted } }
    }

    /// Cuts every connection between two nodes; they may dial again.
    pub fn cut(&self, one: &PublicKey, other: &PublicKey) {
        let ends: Vec<Arc<End>> = locked(&self.shared)
            .lines
            .iter()
            .filter(|line| line.joins(one, other))
            .flat_map(|line| line.ends.iter().filter_map(|(_, end)| end.upgrade()))
            .collect();
        ends.iter().for_each(|end| end.cut());
    }
}

impl Line {
    fn joins(&self, one: &PublicKey, other: &PublicKey) -> bool {
        let [(first, _), (second, _)] = &self.ends;
        (first, second) == (one, other) || (first, second) == (other, one)
    }

    /// Whether this node still holds its end.
    fn held_by(&self, key: &PublicKey) -> bool {
        self.ends.iter().any(|(holder, end)| holder == key && end.upgrade().is_some_and(|end| !end.is_cut()))
    }
}

impl Shared {
    /// How many connections a node has with a peer.
    fn count(&self, node: &PublicKey, peer: &PublicKey) -> usize {
        self.lines.iter().filter(|line| line.joins(node, peer) && line.held_by(node)).count()
    }

    fn connect(&mut self, dialer: &Node, address: &str, expected: &PublicKey) -> Result<Connection, TransportError> {
        let door = self.doors.get(address).cloned().ok_or_else(|| unreachable_at(address))?;
        let listener = &door.node;
        if listener.key != *expected {
            return Err(TransportError::WrongPeer { expected: Box::new(*expected), found: Box::new(listener.key) });
        }
        if !(listener.admitted)(&dialer.key) {
            return Err(TransportError::NotAdmitted);
        }
        if self.count(&dialer.key, &listener.key) >= dialer.bounds.connections
            || self.count(&listener.key, &dialer.key) >= listener.bounds.connections
        {
            return Err(TransportError::Busy);
        }
        Ok(self.join(dialer, &door))
    }

    fn join(&mut self, dialer: &Node, door: &Door) -> Connection {
        let (there, back) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
        let ours = Arc::new(End::new(Arc::clone(&there), Arc::clone(&back)));
        let theirs = Arc::new(End::new(back, there));
        let ends = [(dialer.key, Arc::downgrade(&ours)), (door.node.key, Arc::downgrade(&theirs))];
        self.lines.retain(|line| line.ends.iter().any(|(_, end)| end.strong_count() > 0));
        self.lines.push(Line { ends });
        door.put(theirs.connection(dialer.key, door.node.bounds.frame_bytes));
        ours.connection(door.node.key, dialer.bounds.frame_bytes)
    }
}

fn unreachable_at(address: &str) -> TransportError {
    TransportError::Unreachable { address: address.to_owned(), detail: "nobody listens there".to_owned() }
}

impl Door {
    fn put(&self, connection: Connection) {
        let mut waiting = locked(&self.waiting);
        waiting.connections.push_back(connection);
        waiting.waker.take().into_iter().for_each(Waker::wake);
    }

    fn poll_take(&self, context: &Context<'_>) -> Poll<Connection> {
        let mut waiting = locked(&self.waiting);
        if let Some(connection) = waiting.connections.pop_front() {
            return Poll::Ready(connection);
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// One node's way into a [`MemoryNetwork`].
#[derive(Clone)]
pub struct MemoryTransport {
    network: MemoryNetwork,
    node: Node,
}

impl MemoryTransport {
    fn listen_now(&self, address: &str) -> Result<Box<dyn Listener>, TransportError> {
        let mut shared = locked(&self.network.shared);
        if shared.doors.contains_key(address) {
            let detail = "somebody listens there already".to_owned();
            return Err(TransportError::Listen { address: address.to_owned(), detail });
        }
        let door = Arc::new(Door { node: self.node.clone(), waiting: Mutex::default() });
        shared.doors.insert(address.to_owned(), Arc::clone(&door));
        Ok(Box::new(MemoryListener { network: self.network.clone(), address: address.to_owned(), door }))
    }
}

impl Transport for MemoryTransport {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        expected: &'a PublicKey,
    ) -> Pending<'a, Result<Connection, TransportError>> {
        Box::pin(async move { locked(&self.network.shared).connect(&self.node, address, expected) })
    }

    fn listen<'a>(&'a self, address: &'a str) -> Pending<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(ready(self.listen_now(address)))
    }
}

struct MemoryListener {
    network: MemoryNetwork,
    address: String,
    door: Arc<Door>,
}

impl Listener for MemoryListener {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn accept(&mut self) -> Pending<'_, Result<Connection, TransportError>> {
        Box::pin(poll_fn(|context| self.door.poll_take(context).map(Ok)))
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        locked(&self.network.shared).doors.remove(&self.address);
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNetwork")
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryTransport({})", self.node.key)
    }
}

/// Nothing that runs under these locks leaves them half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{LocalSigner, Signer as _};

    fn poll<T>(future: &mut Pending<'_, T>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    /// What a future answers that has no reason to wait.
    fn now<T>(mut future: Pending<'_, T>) -> T {
        match poll(&mut future) {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("nothing has to be waited for"),
        }
    }

    fn key(of: u8) -> PublicKey {
        LocalSigner::from_secret([of; 32]).public_key()
    }

    fn node(network: &MemoryNetwork, of: u8) -> MemoryTransport {
        network.node(key(of), Bounds::default(), Arc::new(|_| true))
    }

    /// One dials two.
    fn pair(network: &MemoryNetwork) -> Result<(Connection, Connection), TransportError> {
        let mut listener = now(node(network, 2).listen("two"))?;
        let dialled = now(node(network, 1).dial("two", &key(2)))?;
        Ok((dialled, now(listener.accept())?))
    }

    #[test]
    fn a_cut_ends_both_sides_whatever_they_wait_for_and_loses_what_is_under_way() -> Result<(), TransportError> {
        let network = MemoryNetwork::new();
        let (mut one, mut two) = pair(&network)?;
        now(one.sender.send(b"lost"))?;
        let mut waiting = one.receiver.receive();
        assert!(poll(&mut waiting).is_pending());
        network.cut(&key(2), &key(1));
        assert_eq!(poll(&mut waiting), Poll::Ready(Err(TransportError::Closed)));
        assert_eq!(now(two.receiver.receive()), Err(TransportError::Closed));
        assert_eq!(now(two.sender.send(b"late")), Err(TransportError::Closed));
        Ok(())
    }

    #[test]
    fn a_cut_between_two_nodes_leaves_the_others_connected_and_them_free_to_dial_again() -> Result<(), TransportError> {
        let network = MemoryNetwork::new();
        let (mut one, mut two) = pair(&network)?;
        network.cut(&key(1), &key(3));
        now(one.sender.send(b"kept"))?;
        assert_eq!(now(two.receiver.receive()), Ok(Some(b"kept".to_vec())));
        network.cut(&key(1), &key(2));
        pair(&network).map(drop)
    }

    #[test]
    fn few_frames_are_under_way() -> Result<(), TransportError> {
        let network = MemoryNetwork::new();
        let (mut one, mut two) = pair(&network)?;
        for _ in 0..4 {
            now(one.sender.send(b""))?;
        }
        let mut fifth = one.sender.send(b"fifth");
        assert!(poll(&mut fifth).is_pending());
        assert_eq!(now(two.receiver.receive()), Ok(Some(Vec::new())));
        assert_eq!(poll(&mut fifth), Poll::Ready(Ok(())));
        Ok(())
    }
}
