//! The listener and its connections, from the first accepted to the last drained.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Http, HttpConfig, Peer, router};
use crate::open::Node;

/// After an accept that failed, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener in front of a node.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    config: HttpConfig,
    stop: watch::Receiver<bool>,
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
        let room = Arc::new(Semaphore::new(config.bodies_bytes.min(Semaphore::MAX_PERMITS)));
        let router = router(Arc::new(Http { node, config: config.clone(), room, stop: stop.clone() }));
        Ok(HttpServer { listener, address, router, config, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is true, then lets the requests end that are under way, for as long as the configuration says.
    pub async fn serve(mut self) {
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(self.config.connections));
        loop {
            let accepted = tokio::select! {
                _ = self.stop.wait_for(|stop| *stop) => break,
                accepted = accept(&self.listener, &room) => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let served =
                        connection(self.router.clone(), stream, peer, self.stop.clone(), self.config.head_patience);
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.config.drain_patience, ended).await.is_err() {
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

async fn connection(
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
    patience: Duration,
) {
    // Answers are small and wanted at once.
    drop(stream.set_nodelay(true));
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        routes.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // How a connection breaks is the caller's business; it cannot be told.
        ended = served.as_mut() => return drop(ended),
        _ = stop.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    drop(served.await);
}
