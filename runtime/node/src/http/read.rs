//! `GET /v1/intents/{id}`, `/v1/records/{spec}/{id}` and `/v1/records/{spec}`, as the token's actor may see them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::names::{RecordId, SpecName};
use lockstep_core::tables::Table;

use super::Http;
use super::problem::{Problem, json_response};
use super::query::{Query, usage};
use crate::look::{Listing, LookError, Looking, Moment, record_table, told};

/// Pieces of an answer that are ready and not yet sent.
const PIECES: usize = 1;

type Named<T> = Result<Path<T>, PathRejection>;

fn named<T>(path: Named<T>) -> Result<T, Problem> {
    path.map(|Path(name)| name).map_err(|error| usage(error.body_text()))
}

impl From<LookError> for Problem {
    fn from(error: LookError) -> Self {
        match error {
            LookError::NotFound(what) => Problem::new(Code::NotFound, what),
            LookError::Database(error) => error.into(),
        }
    }
}

/// How an intent ended.
pub(super) async fn intent(
    State(http): State<Arc<Http>>,
    id: Named<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let allowed = http.reader(&headers)?;
    Query::of(&uri, &[])?;
    let id = named(id)?;
    let digest = Digest::parse(&id).map_err(|_| usage(format!("{id} is no intent's id; that is 64 hex digits")))?;
    let directory = http.node.directory();
    let looking = Looking { database: http.node.database(), directory: &directory, reader: Some(&allowed.reader) };
    let unknown = || {
        let what = format!("there is no intent {id} that {} may see", allowed.reader.actor);
        Problem::new(Code::NotFound, what)
    };
    Ok(json_response(&told(looking, &digest).await?.ok_or_else(unknown)?))
}

fn table(http: &Http, spec: &str) -> Result<Table, Problem> {
    let name = SpecName::parse(spec).map_err(|error| usage(error.to_string()))?;
    let table = record_table(&http.node.directory(), &name);
    table.ok_or_else(|| Problem::new(Code::NotFound, format!("no spec is called {spec}")))
}

/// A record, now or at an earlier moment.
pub(super) async fn record(
    State(http): State<Arc<Http>>,
    path: Named<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let allowed = http.reader(&headers)?;
    let query = Query::of(&uri, &["at"])?;
    let (spec, id) = named(path)?;
    let moment = query.parsed("at", Moment::parse, "a seq, or a time such as 2026-11-21T10:12:00Z")?;
    let table = table(&http, &spec)?;
    let record = RecordId::parse(&id).map_err(|error| usage(error.to_string()))?;
    let directory = http.node.directory();
    let looking = Looking { database: http.node.database(), directory: &directory, reader: Some(&allowed.reader) };
    let _turn = match moment {
        Some(_) => http.replays.acquire().await.ok(),
        None => None,
    };
    Ok(json_response(&looking.record(&table, &record, moment).await?))
}

/// All records of a spec, of one moment, a line each.
pub(super) async fn records(
    State(http): State<Arc<Http>>,
    spec: Named<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let allowed = http.reader(&headers)?;
    Query::of(&uri, &[])?;
    let table = table(&http, &named(spec)?)?;
    // Each holds a connection of the database, and a moment of it, for as long as its reader takes.
    let place = http.listings.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(Code::Overloaded, "too many read whole specs already"))?;
    let listing = Listing::begin(http.node.database(), http.node.directory(), table, allowed.reader).await?;
    let (pieces, body) = Channel::<Bytes, std::io::Error>::new(PIECES);
    tokio::spawn(async move {
        list(listing, pieces).await;
        drop(place);
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response())
}

/// Sends all of it, or breaks off so that nobody takes a part for the whole.
async fn list(mut listing: Listing, mut pieces: Sender<Bytes, std::io::Error>) {
    loop {
        match listing.next().await {
            Ok(None) => return,
            Ok(Some(piece)) if piece.is_empty() => {}
            Ok(Some(piece)) => {
                if pieces.send_data(Bytes::from(piece)).await.is_err() {
                    return;
                }
            }
            Err(error) => return pieces.abort(std::io::Error::other(error)),
        }
    }
}
