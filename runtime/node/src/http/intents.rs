//! `POST /v1/intents`: one signed intent, or a line each.

use std::sync::Arc;
use std::time::Duration;

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
use crate::reply::{outcome, pending};
use crate::submit::{Decided, Entered, SubmitError};

/// How long to wait for the outcome where the request does not say.
const WAIT: Duration = Duration::from_secs(10);

/// Answers that are ready and not yet sent.
const ANSWERS: usize = 16;

const NDJSON: &str = "application/x-ndjson";

pub(super) async fn submit(
    State(http): State<Arc<Http>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wait = wait(&uri)?.min(http.config.longest_wait);
    http.takes_intents()?;
    let reader = Reader::new(body, http.node.config().largest_intent, &http.room, http.config.body_patience);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(NDJSON)) {
        return Ok(many(http, reader, wait));
    }
    one(&http, reader.whole().await?, wait).await
}

/// `wait=10s` of the query; anything else in it is an error, so that a slip does not pass unnoticed.
fn wait(uri: &Uri) -> Result<Duration, Problem> {
    let query = uri.query().unwrap_or_default();
    let mut found = WAIT;
    for part in query.split('&').filter(|part| !part.is_empty()) {
        found = part.strip_prefix("wait=").and_then(duration).ok_or_else(|| {
            Problem::new(Code::Usage, format!("{part} is not understood; the query may be wait=30s, 10m or 2h"))
        })?;
    }
    Ok(found)
}

async fn one(http: &Http, held: Held, wait: Duration) -> Result<Response, Problem> {
    let entered = http.node.enter(vec![held.bytes], wait).await.pop();
    let entered = entered.ok_or_else(|| Problem::new(Code::Internal, "verifying broke off"))?;
    let unknown = pending(entered.intent());
    match http.node.decided(entered).await {
        Ok(decided) => Ok(json_response(&decided_outcome(http, &decided).await?)),
        Err(SubmitError::TimedOut(_)) => Ok((StatusCode::ACCEPTED, json_response(&unknown)).into_response()),
        Err(error) => Err(Problem::from(&error)),
    }
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
    match http.node.decided(entered).await {
        Ok(decided) => decided_outcome(http, &decided).await.unwrap_or_else(|problem| problem.to_json()),
        Err(SubmitError::TimedOut(_)) => unknown,
        Err(error) => Problem::from(&error).to_json(),
    }
}
