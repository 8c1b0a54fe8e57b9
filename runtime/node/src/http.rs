//! The HTTP door of a running node: what other processes reach it by.
//!
//! It owns connections, their bounds and time limits, and how an answer looks on the wire; what an intent is and how
//! it ends is the business of `submit`. Every no is a problem document (RFC 9457) with a code of ours, the framework's own too.
//!
//! Whatever it takes is signed. What it reads out follows from the token that a request shows, a signed word of an actor:
//! `reader` says who that is, `look` what it may see. What it shows without a token everybody may see who reaches it: the
//! signed head of the log, health, numbers. So whoever embeds it decides who that is.

mod body;
mod directory;
mod filter;
mod follow;
mod happened;
mod intents;
mod metrics;
mod openapi;
mod patient;
mod problem;
mod query;
mod read;
mod reader;
mod serve;
mod stream;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};
use tokio::sync::{Semaphore, watch};

use crate::forward::overdue;
use crate::network::nobody_reached;
use crate::open::Node;
use happened::Kind;
use problem::{Problem, json_response};
pub use serve::{Handshake, HttpServer, Wire};
use stream::Stream;

/// How long `/health/ready` waits for the database.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);

/// Records whose events are replayed at a time.
const REPLAYS: usize = 2;

/// Bounds of the HTTP door; all explicit, defaults for tests and for who has no reason to change them.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Most connections at a time; more wait to be accepted.
    pub connections: usize,
    /// How long a connection may take for the head of a request, or stay idle.
    pub head_patience: Duration,
    /// How long a body, or a line of one, may take to arrive.
    pub body_patience: Duration,
    /// Bytes of all bodies that are in memory at a time.
    pub bodies_bytes: usize,
    /// Most lines of one request whose answer has not been sent.
    pub lines: usize,
    /// The longest that `wait` may ask for.
    pub longest_wait: Duration,
    /// How long a connection may take nothing of what is sent to it.
    pub write_patience: Duration,
    /// Most readers that follow events or notifications.
    pub readers: usize,
    /// How long nothing may be said to one of them.
    pub heartbeat: Duration,
    /// Most that read whole specs at a time.
    pub listings: usize,
    /// How long connections may take to end when the door closes.
    pub drain_patience: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            connections: 12_288,
            head_patience: Duration::from_secs(10),
            body_patience: Duration::from_secs(30),
            bodies_bytes: 256 << 20,
            lines: 1024,
            longest_wait: Duration::from_secs(600),
            write_patience: Duration::from_secs(30),
            readers: 10_240,
            heartbeat: Duration::from_secs(15),
            listings: 8,
            drain_patience: Duration::from_secs(10),
        }
    }
}

/// What every request works on.
struct Http {
    node: Node,
    config: HttpConfig,
    /// Room for bodies, a permit a byte.
    room: Arc<Semaphore>,
    /// Room for readers that follow.
    readers: Arc<Semaphore>,
    /// Room for those that read whole specs.
    listings: Arc<Semaphore>,
    /// Turns for those who read a record as it was, which takes all its events.
    replays: Semaphore,
    events: Arc<Stream>,
    notifications: Arc<Stream>,
    /// Wakes who follows.
    pulse: watch::Sender<u64>,
    following: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
    /// Answers by status.
    answers: Mutex<BTreeMap<u16, u64>>,
    /// True when no more is taken.
    stop: watch::Receiver<bool>,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

/// Every path, with what is there; `openapi.json` says the same.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Http>>)> {
    vec![
        ("/v1/intents", post(intents::submit)),
        ("/v1/intents/{id}", get(read::intent)),
        ("/v1/records/{spec}", get(read::records)),
        ("/v1/records/{spec}/{id}", get(read::record)),
        ("/v1/events", get(follow::events)),
        ("/v1/notifications", get(follow::notifications)),
        ("/v1/checkpoint", get(checkpoint)),
        ("/v1/network", get(network)),
        ("/v1/directory", post(directory::change)),
        ("/health/live", get(live)),
        ("/health/ready", get(ready)),
        ("/metrics", get(metrics::metrics)),
        ("/openapi.json", get(openapi::openapi)),
    ]
}

fn router(http: Arc<Http>) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    router.fallback(no_such_path).method_not_allowed_fallback(no_such_method).with_state(http)
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::wrong_method(format!("{} takes no {method}", uri.path()))
}

/// The latest checkpoint, as every receipt up to now builds on it.
async fn checkpoint(State(http): State<Arc<Http>>) -> Result<Response, Problem> {
    let path = http.node.checkpoint().to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let note = read.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let note = note.map_err(|error| Problem::new(Code::Io, format!("the checkpoint cannot be read: {error}")))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// What is known of the other nodes, and what was handed over to them in vain; from elsewhere, only for who has a token.
async fn network(
    State(http): State<Arc<Http>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !peer.ip().is_loopback() {
        http.reader(&headers)?;
    }
    let node = &http.node;
    let overdue = overdue(node.database(), node.name(), node.now()).await?;
    let mut status = match node.network() {
        Some(network) => network.status(node),
        None => {
            let mut status = nobody_reached(&node.directory(), node.name());
            if let Json::Object(members) = &mut status {
                members.insert("objections", node.shared().objections.to_json());
            }
            status
        }
    };
    if let Json::Object(members) = &mut status {
        members.insert("overdue", overdue);
    }
    Ok(json_response(&status))
}

async fn live() -> Response {
    json_response(&json!({"status": "live"}))
}

/// Whether an intent that comes now can be decided.
async fn ready(State(http): State<Arc<Http>>) -> Result<Response, Problem> {
    http.takes_intents()?;
    match tokio::time::timeout(HEALTH_PATIENCE, http.node.database().head()).await {
        Ok(Ok(_)) => Ok(json_response(&json!({"status": "ready"}))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::new(Code::DatabaseUnavailable, "the database takes long to answer")),
    }
}

impl Http {
    fn new(node: Node, config: HttpConfig, stop: watch::Receiver<bool>) -> Self {
        let room = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let stream = |kind| Arc::new(Stream::new(node.clone(), kind));
        Http {
            room: room(config.bodies_bytes),
            readers: room(config.readers),
            listings: room(config.listings),
            replays: Semaphore::new(REPLAYS),
            events: stream(Kind::Events),
            notifications: stream(Kind::Notifications),
            pulse: watch::Sender::new(0),
            following: Arc::default(),
            connected: Arc::default(),
            answers: Mutex::default(),
            stop,
            config,
            node,
        }
    }

    /// Counts an answer.
    fn answered(&self, status: u16) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    /// Turns away while nothing can be committed: what is queued then could stay without an outcome for long.
    fn takes_intents(&self) -> Result<(), Problem> {
        if *self.stop.borrow() || self.node.has_ended() {
            return Err(Problem::new(Code::DatabaseUnavailable, "the node is stopping"));
        }
        if !self.node.commits_well() {
            return Err(Problem::new(Code::DatabaseUnavailable, "the database does not take what was decided before"));
        }
        Ok(())
    }
}
