//! The listening side: one task takes sockets, one more for each handshake, so that nobody waits for a slow one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::PublicKey;
use lockstep_core::database::Pending;
use lockstep_core::transport::{Connection, Listener, TransportError};
use rustls::ServerConfig;
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::Node;
use crate::errors::{failed, refused};
use crate::greet::{greet, turned_away};
use crate::keys::public_key;
use crate::link::Stream;
use crate::verify::AdmittedKeys;

/// Pause after the system would not give a socket, which it does when it is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn listen(node: &Arc<Node>, address: &str) -> Result<Box<dyn Listener>, TransportError> {
    let refused =
        |error: std::io::Error| TransportError::Listen { address: address.to_owned(), detail: error.to_string() };
    let acceptor = TlsAcceptor::from(config(node)?);
    let tcp = TcpListener::bind(address).await.map_err(refused)?;
    let address = tcp.local_addr().map_err(refused)?.to_string();
    let (ready, accepted) = mpsc::channel(node.bounds.handshakes.max(1));
    let gate = Gate { node: Arc::clone(node), acceptor, ready };
    let task = tokio::spawn(gate.run(tcp));
    Ok(Box::new(TlsListener { address, accepted, task }))
}

/// Without tickets or a session store, so that every connection proves both keys anew, and without early data.
fn config(node: &Node) -> Result<Arc<ServerConfig>, TransportError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&node.provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| refused(&error))?
        .with_client_cert_verifier(Arc::new(AdmittedKeys::new(Arc::clone(&node.admitted))))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(node.key.certified())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

struct TlsListener {
    address: String,
    accepted: mpsc::Receiver<Connection>,
    task: JoinHandle<()>,
}

impl Listener for TlsListener {
    fn address(&self) -> String {
        self.address.clone()
    }

    fn accept(&mut self) -> Pending<'_, Result<Connection, TransportError>> {
        Box::pin(async { self.accepted.recv().await.ok_or(TransportError::Closed) })
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What leads from a socket to an admitted connection.
#[derive(Clone)]
struct Gate {
    node: Arc<Node>,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<Connection>,
}

impl Gate {
    async fn run(self, tcp: TcpListener) {
        let mut handshakes = Handshakes::new(self.node.bounds.handshakes.max(1));
        loop {
            tokio::select! {
                taken = tcp.accept() => match taken {
                    Ok((socket, _)) => handshakes.begin(self.clone().bounded(socket)),
                    Err(_) => sleep(PAUSE).await,
                },
                Some(_) = handshakes.tasks.join_next() => {}
            }
        }
    }

    async fn bounded(self, socket: TcpStream) {
        // Whoever fails is not heard of: anyone on the internet can fail.
        if let Ok(Ok(Some(connection))) = timeout(self.node.bounds.handshake, self.admit(socket)).await {
            // Where nobody takes what is ready, the connection is dropped, and the dialler sees it cut.
            let _ = self.ready.try_send(connection);
        }
    }

    async fn admit(&self, socket: TcpStream) -> Result<Option<Connection>, TransportError> {
        socket.set_nodelay(true).map_err(|error| failed(&error))?;
        let mut stream: Stream = self.acceptor.accept(socket).await.map_err(|error| failed(&error))?.into();
        let peer = shown(&stream)?;
        let Some(place) = self.node.places.take(&peer) else {
            turned_away(&mut stream).await?;
            return Ok(None);
        };
        greet(&mut stream).await?;
        Ok(Some(self.node.connection(peer, stream, place)))
    }
}

/// The key that the handshake has proved.
fn shown(stream: &Stream) -> Result<PublicKey, TransportError> {
    let (_, session) = stream.get_ref();
    session
        .peer_certificates()
        .and_then(<[_]>::first)
        .and_then(public_key)
        .ok_or_else(|| TransportError::Protocol { detail: "it showed no key".to_owned() })
}

/// The handshakes that run; dropped, they end.
struct Handshakes {
    bound: usize,
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn new(bound: usize) -> Self {
        Handshakes { bound, tasks: JoinSet::new(), oldest_first: VecDeque::new() }
    }

    /// Begins one more; above the bound the oldest gives way, since an honest one ends soon after it began.
    fn begin(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        self.oldest_first.retain(|handle| !handle.is_finished());
        if self.oldest_first.len() >= self.bound {
            self.oldest_first.pop_front().iter().for_each(AbortHandle::abort);
        }
        self.oldest_first.push_back(self.tasks.spawn(handshake));
    }
}
