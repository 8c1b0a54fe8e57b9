//! `POST /v1/intents`: one signed intent, or a line each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use lockstep_core::codes::Code;
use lockstep_core::json::Json;
use lockstep_core::time::duration;
use tokio::sync::mpsc;

use super::Http;
use super::body::{Held, Reader};
use super::problem::{Problem, json_response};
use super::query::Query;
use crate::reply::{outcome, pending};
use crate::submit::{Decided, Entered, SubmitError};

/// How long to wait for the outcome where the request does not say.
const WAIT: Duration = Duration::from_secs(10);

/// Answers that are ready and not yet sent.
const ANSWERS: usize = 16;

const NDJSON: &str = "application/x-ndjson";

/// The kinds of bodies that are read; the last but one is what curl says where nobody says anything.
const KINDS: [&str; 4] = ["application/json", NDJSON, "application/x-www-form-urlencoded", "application/octet-stream"];

pub(super) async fn submit(
    State(http): State<Arc<Http>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Query::of(&uri, &["wait"])?;
    let wait = query.parsed("wait", duration, "30s, 10m or 2h")?.unwrap_or(WAIT).min(http.config.longest_wait);
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("an unreadable type"));
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    if !kind.is_empty() && !KINDS.contains(&kind.as_str()) {
        return Err(Problem::wrong_kind(&kind));
    }
    http.takes_intents()?;
    let reader = Reader::new(body, http.node.config().largest_intent, &http.room, http.config.body_patience);
    if kind == NDJSON {
        return Ok(many(http, reader, wait));
    }
    one(&http, reader.whole().await?, wait).await
}

async fn one(http: &Http, held: Held, wait: Duration) -> Result<Response, Problem> {
    let entered = http.node.enter(vec![held.bytes], wait).await.pop();
    let entered = entered.ok_or_else(|| Problem::new(Code::Internal, "verifying broke off"))?;
    let unknown = pending(entered.intent());
    match decided(http, entered).await {
        Ok(decided) => Ok(json_response(&decided_outcome(http, &decided).await?)),
        Err(SubmitError::TimedOut(_)) => Ok((StatusCode::ACCEPTED, json_response(&unknown)).into_response()),
        Err(error) => Err(Problem::from(&error)),
    }
}

/// Waits for how it ends, and counts it.
async fn decided(http: &Http, entered: Entered) -> Result<Decided, SubmitError> {
    let began = Instant::now();
    let ended = http.node.decided(entered).await;
    match &ended {
        Ok(_) => http.node.meters().answer.took(began.elapsed()),
        Err(SubmitError::Refused(_)) => drop(http.node.meters().refused.fetch_add(1, Ordering::Relaxed)),
        Err(_) => {}
    }
    ended
}

async fn decided_outcome(http: &Http, decided: &Decided) -> Result<Json, Problem> {
    let found = outcome(http.node.database(), &decided.intent).await?;
    found.ok_or_else(|| Problem::new(Code::Internal, format!("intent {} was decided and is not there", decided.intent)))
}

/// A line on its way to its answer.
enum Line {
    /// In the queue; the room that it takes is kept until it is answered.
    Entered { entered: Entered, held: Held },
    /// Nothing comes after this one.
    Broken(Problem),
}

/// Takes lines and answers lines, in order, both at once: a reader that does not read is not read from.
fn many(http: Arc<Http>, reader: Reader, wait: Duration) -> Response {
    let (to_answer, lines) = mpsc::channel(http.config.lines);
    let (answers, body) = Channel::<Bytes>::new(ANSWERS);
    tokio::spawn(take(http.clone(), reader, wait, to_answer));
    tokio::spawn(answer(http, lines, answers));
    ([(header::CONTENT_TYPE, NDJSON)], Body::new(body)).into_response()
}

/// Takes lines until there are no more, or nobody wants the answers.
async fn take(http: Arc<Http>, mut reader: Reader, wait: Duration, to_answer: mpsc::Sender<Line>) {
    let mut stop = http.stop.clone();
    loop {
        let lines = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => Err(Problem::new(Code::DatabaseUnavailable, "the node is stopping")),
            lines = reader.lines() => lines,
            () = to_answer.closed() => return,
        };
        let lines = match lines.and_then(|lines| http.takes_intents().map(|()| lines)) {
            Ok(lines) if lines.is_empty() => return,
            Ok(lines) => lines,
            // Whether anybody is left to hear it does not matter.
            Err(problem) => return drop(to_answer.send(Line::Broken(problem)).await),
        };
        for line in enter(&http, lines, wait).await {
            if to_answer.send(line).await.is_err() {
                return;
            }
        }
    }
}

async fn enter(http: &Http, lines: Vec<Held>, wait: Duration) -> Vec<Line> {
    let part = |line: Held| (line.bytes, Held { bytes: Vec::new(), room: line.room });
    let (all, held): (Vec<Vec<u8>>, Vec<Held>) = lines.into_iter().map(part).unzip();
    let entered = http.node.enter(all, wait).await;
    entered.into_iter().zip(held).map(|(entered, held)| Line::Entered { entered, held }).collect()
}

async fn answer(http: Arc<Http>, mut lines: mpsc::Receiver<Line>, mut answers: Sender<Bytes>) {
    while let Some(line) = lines.recv().await {
        let mut text = match line {
            Line::Broken(problem) => problem.to_json(),
            Line::Entered { entered, held } => {
                let answer = answer_one(&http, entered).await;
                drop(held);
                answer
            }
        }
        .canonical();
        text.push('\n');
        if answers.send_data(Bytes::from(text)).await.is_err() {
            return;
        }
    }
}

async fn answer_one(http: &Http, entered: Entered) -> Json {
    let unknown = pending(entered.intent());
    match decided(http, entered).await {
        Ok(decided) => decided_outcome(http, &decided).await.unwrap_or_else(|problem| problem.to_json()),
        Err(SubmitError::TimedOut(_)) => unknown,
        Err(error) => Problem::from(&error).to_json(),
    }
}
