//! `POST /v1/directory`: a signed event for the directory, with the package that it may name.
//!
//! For commands on the node's own machine; from elsewhere there is nothing here.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use lockstep_core::codes::Code;
use lockstep_core::directory::DirectoryEvent;
use lockstep_core::json::{Fields, Json, Limits, ShapeError, json};
use lockstep_core::package::MAX_PACKAGE_BYTES;

use super::body::Reader;
use super::problem::{Problem, json_response};
use super::{Http, Peer, no_such_path};

/// Room for the event beside the package, which is a third larger in base64.
const LARGEST: usize = MAX_PACKAGE_BYTES / 3 * 4 + (24 << 20);

/// How long an event may wait for its commit.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn change(
    State(http): State<Arc<Http>>,
    Extension(Peer(peer)): Extension<Peer>,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    if !peer.ip().is_loopback() {
        return Err(no_such_path(uri).await);
    }
    http.takes_intents()?;
    let held = Reader::new(body, LARGEST, &http.room, http.config.body_patience).whole().await?;
    let (event, package) = read(&held.bytes)?;
    let answer = json!({"seq": event.seq, "head": event.head().to_string()});
    http.node.change_directory(event, package, PATIENCE).await.map_err(|error| Problem::from(&error))?;
    Ok(json_response(&answer))
}

fn read(bytes: &[u8]) -> Result<(DirectoryEvent, Option<Vec<u8>>), Problem> {
    let limits = Limits { bytes: LARGEST, ..Limits::default() };
    let document = Json::parse(bytes, &limits).map_err(|error| Problem::new(Code::Malformed, error.to_string()))?;
    let shape = |error: ShapeError| Problem::new(Code::Malformed, error.to_string());
    let mut fields = Fields::of(&document, "change of the directory").map_err(shape)?;
    let event = fields.need("event").map_err(shape)?;
    let package = fields.optional_text("package").map_err(shape)?;
    fields.finish().map_err(shape)?;
    let event = DirectoryEvent::read(event.canonical().as_bytes())
        .map_err(|error| Problem::new(Code::Malformed, error.to_string()))?;
    let package = package
        .map(|text| data_encoding::BASE64.decode(text.as_bytes()))
        .transpose()
        .map_err(|error| Problem::new(Code::Malformed, format!("package: {error}")))?;
    Ok((event, package))
}
