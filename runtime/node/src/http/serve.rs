//! The listener and its connections, from the first accepted to the last drained.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lockstep_core::database::Pending;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::patient::Patient;
use super::stream::pulse;
use super::{Http, HttpConfig, Peer, router};
use crate::open::Node;

/// After an accept that failed, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes that one connection may keep of what it reads, a request's head above all.
const BUFFER_BYTES: usize = 32 << 10;

/// A connection, whatever it goes over.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// What makes a connection safe from those who can see it: TLS.
///
/// It must not answer before the other side may be talked to, and need not bound how long that takes: whoever calls
/// does. It keeps nothing of a connection that failed.
pub trait Handshake: Send + Sync {
    /// Takes a connection that was accepted.
    fn accept(&self, stream: TcpStream) -> Pending<'_, io::Result<Box<dyn Wire>>>;
}

/// A listener in front of a node.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    http: Arc<Http>,
    handshake: Option<Arc<dyn Handshake>>,
}

impl HttpServer {
    /// Binds an address; port 0 takes a free one. Nothing is accepted before [`HttpServer::serve`].
    ///
    /// # Errors
    /// The operating system's, where the address cannot be had.
    pub async fn bind(
        node: Node,
        address: SocketAddr,
        config: HttpConfig,
        stop: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(HttpServer { listener, address, http: Arc::new(Http::new(node, config, stop)), handshake: None })
    }

    /// The same, with every connection made safe first.
    #[must_use]
    pub fn secured(self, handshake: Arc<dyn Handshake>) -> Self {
        HttpServer { handshake: Some(handshake), ..self }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is true, then lets the requests end that are under way, for as long as the configuration says.
    pub async fn serve(self) {
        let (mut stop, http) = (self.http.stop.clone(), self.http);
        let router = router(http.clone());
        let mut connections = JoinSet::new();
        let (commits, wake, readers) = (http.node.commits(), http.pulse.clone(), http.following.clone());
        let pulse = tokio::spawn(pulse(commits, wake, readers, http.stop.clone()));
        let room = Arc::new(Semaphore::new(http.config.connections));
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let served = connection(http.clone(), router.clone(), stream, peer, self.handshake.clone());
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
        drop((self.listener, pulse));
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(http.config.drain_patience, ended).await.is_err() {
            connections.shutdown().await;
        }
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, Place)> {
    let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// One that is open, for whoever counts them.
struct Connected(Arc<AtomicUsize>);

impl Connected {
    fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Connected(count.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(
    http: Arc<Http>,
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    handshake: Option<Arc<dyn Handshake>>,
) {
    let _open = Connected::one_more(&http.connected);
    // Answers are small and wanted at once.
    drop(stream.set_nodelay(true));
    let Some(handshake) = handshake else { return speak(http, router, stream, peer).await };
    let (patience, mut stop) = (http.config.head_patience, http.stop.clone());
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(patience, handshake.accept(stream)) => shaken,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    // How a connection breaks is the caller's business; it cannot be told.
    if let Ok(Ok(wire)) = shaken {
        speak(http, router, wire, peer).await;
    }
}

/// HTTP on a connection, until it ends.
async fn speak(http: Arc<Http>, router: Router, wire: impl Wire, peer: SocketAddr) {
    let mut stop = http.stop.clone();
    let (head_patience, wire) = (http.config.head_patience, Patient::new(wire, http.config.write_patience));
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (answer, http) = (routes.call(request), http.clone());
        async move {
            let answer = answer.await;
            if let Ok(answer) = &answer {
                http.answered(answer.status().as_u16());
            }
            answer
        }
    });
    let heard = wire.heard();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_patience).max_buf_size(BUFFER_BYTES);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(wire), service));
    tokio::select! {
        ended = served.as_mut() => return drop(ended),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    // Who has not begun to ask is not waited for; hyper would, for as long as a head may take.
    if !heard.load(Ordering::Relaxed) {
        return;
    }
    served.as_mut().graceful_shutdown();
    drop(served.await);
}
