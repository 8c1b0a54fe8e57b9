//! `GET /v1/events` and `GET /v1/notifications`: what happens, as it happens, as server-sent events.
//!
//! Each reader is a task that holds a position. It sends a page and asks for the next; while it cannot send, it asks for
//! nothing, and nobody else notices. A connection that takes nothing for too long is cut; the position in the last `id`
//! that it got is where it goes on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use hyper::body::Frame;
use lockstep_core::codes::Code;
use lockstep_core::database::DatabaseError;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::Instant;

use super::Http;
use super::filter::Filter;
use super::happened::Kind;
use super::problem::Problem;
use super::query::{Query, usage};
use super::reader::Allowed;
use super::stream::Stream;
use crate::open::Node;

/// How long to wait after the database did not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// How often a token is looked at while nothing happens.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn events(State(http): State<Arc<Http>>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let stream = http.events.clone();
    follow(&http, stream, Kind::Events, &uri, &headers)
}

pub(super) async fn notifications(
    State(http): State<Arc<Http>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = http.notifications.clone();
    follow(&http, stream, Kind::Notifications, &uri, &headers)
}

fn follow(
    http: &Arc<Http>,
    stream: Arc<Stream>,
    kind: Kind,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let allowed = http.reader(headers)?;
    let query = Query::of(uri, Filter::names(kind))?;
    let filter = Filter::of(&query)?;
    let from = begin(&query, headers, &stream)?;
    let full = || Problem::new(Code::Overloaded, "as many follow already as this node has room for");
    let place = http.readers.clone().try_acquire_owned().map_err(|_| full())?;
    let (sender, body) = Channel::<Bytes>::new(1);
    let (here, gone) = oneshot::channel();
    let came = stream.end();
    let follower = Follower {
        came,
        node: http.node.clone(),
        stream,
        allowed,
        filter,
        from,
        sender,
        pulse: http.pulse.subscribe(),
        stop: http.stop.clone(),
        gone,
        heartbeat: http.config.heartbeat,
        sent: Instant::now(),
        _place: Counted::new(place, http.following.clone()),
    };
    tokio::spawn(follower.run());
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, Body::new(Wanted { body, _here: here })).into_response())
}

/// Where a reader goes on: after the last that it saw, by header or query; from the start without either.
fn begin(query: &Query, headers: &HeaderMap, stream: &Stream) -> Result<u64, Problem> {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let after = query.parsed("after", |text| Some(text.to_owned()), "a position")?;
    // A browser that lost its connection asks again by the same URL, with the header saying where it is.
    let Some(text) = last.filter(|text| !text.is_empty()).map(str::to_owned).or(after) else { return Ok(0) };
    let end = stream.end();
    if text == "latest" {
        return Ok(end);
    }
    let after: u64 = text.parse().map_err(|_| usage(format!("{text} is no position; write the last id, or latest")))?;
    match after.checked_add(1).filter(|from| *from <= end) {
        Some(from) => Ok(from),
        None => Err(Problem::new(Code::PositionGone, format!("position {after} is none of this node's"))),
    }
}

/// Counts a reader for as long as it is there.
struct Counted {
    _place: OwnedSemaphorePermit,
    readers: Arc<AtomicUsize>,
}

impl Counted {
    fn new(place: OwnedSemaphorePermit, readers: Arc<AtomicUsize>) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Counted { _place: place, readers }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that tells when nobody wants it any more.
struct Wanted {
    body: Channel<Bytes>,
    _here: oneshot::Sender<()>,
}

impl HttpBody for Wanted {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

struct Follower {
    node: Node,
    stream: Arc<Stream>,
    allowed: Allowed,
    filter: Filter,
    /// The first position that it has not seen.
    from: u64,
    /// The position after all that had happened when it came: it is judged by nothing older.
    came: u64,
    sender: Sender<Bytes>,
    pulse: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    gone: oneshot::Receiver<()>,
    heartbeat: Duration,
    /// When something was sent last.
    sent: Instant,
    _place: Counted,
}

impl Follower {
    async fn run(mut self) {
        // Something at once, so that whoever stands between passes the head on.
        let mut going = self.send(Bytes::from_static(b":\n\n")).await;
        while going && self.allowed.still(&self.node) {
            self.pulse.borrow_and_update();
            going = match self.stream.page(self.from, self.came).await {
                _ if self.sent.elapsed() >= self.heartbeat => self.beat().await,
                Ok(Some(page)) => {
                    let bytes = page.given(&self.allowed.reader, &self.filter, self.from);
                    self.from = page.happened.next;
                    bytes.is_empty() || self.send(bytes).await
                }
                Ok(None) => self.wait().await,
                Err(DatabaseError::Unavailable { .. }) => {
                    tokio::time::sleep(AGAIN).await;
                    true
                }
                // What is damaged does not mend while somebody waits.
                Err(_) => false,
            };
        }
    }

    /// Waits for something to happen, or for a while; false where there is nobody to go on for.
    async fn wait(&mut self) -> bool {
        let left = self.heartbeat.saturating_sub(self.sent.elapsed()).min(LOOK_AGAIN);
        tokio::select! {
            changed = self.pulse.changed() => changed.is_ok(),
            () = tokio::time::sleep(left) => true,
            _ = &mut self.gone => false,
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }

    /// Shows that the connection lives, and how far the reader has come though nothing was for it.
    async fn beat(&mut self) -> bool {
        let id = self.from.checked_sub(1).map_or_else(String::new, |position| format!("id: {position}\n"));
        self.send(Bytes::from(format!(": nothing new\n{id}\n"))).await
    }

    async fn send(&mut self, bytes: Bytes) -> bool {
        self.sent = Instant::now();
        tokio::select! {
            sent = self.sender.send_data(bytes) => sent.is_ok(),
            _ = &mut self.gone => false,
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }
}
