//! What a verb asks of the node that runs on its directory, over HTTP on this machine.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use lockstep_core::codes::Code;
use lockstep_core::directory::DirectoryEvent;
use lockstep_core::json::{Json, Limits, json};
use tokio::net::TcpStream;

use crate::error::CliError;
use crate::running::Running;

/// How much longer than the node to wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that answers.
pub(crate) struct Client {
    running: Running,
}

impl Client {
    pub(crate) fn new(running: Running) -> Self {
        Client { running }
    }

    /// Submits an intent: its outcome, or that it is pending.
    pub(crate) async fn submit(&self, bytes: Vec<u8>, wait: Duration) -> Result<Json, CliError> {
        let response = self.post(&intents(wait), "application/json", bytes, wait + PATIENCE).await?;
        answer(response, PATIENCE).await
    }

    /// Submits many; each answer as it comes, in order.
    pub(crate) async fn submit_all(
        &self,
        lines: &[Vec<u8>],
        wait: Duration,
        mut take: impl FnMut(Result<Json, CliError>),
    ) -> Result<(), CliError> {
        let body = lines.join(&b'\n');
        let response = self.post(&intents(wait), "application/x-ndjson", body, wait + PATIENCE).await?;
        if response.status() != StatusCode::OK {
            return answer(response, PATIENCE).await.map(|_| ());
        }
        let mut missing = lines.len();
        let mut body = response.into_body();
        let mut buffer = Vec::new();
        while let Some(data) = frame(&mut body, wait + PATIENCE).await? {
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                take(judged(&parse(&line)?));
                missing = missing.saturating_sub(1);
            }
        }
        if missing > 0 {
            return Err(unknown(format!("the node answered for all but {missing} of {} intents", lines.len())));
        }
        Ok(())
    }

    /// Hands the directory an event.
    pub(crate) async fn change(&self, event: &DirectoryEvent, package: Option<&[u8]>) -> Result<(), CliError> {
        let package = package.map(|bytes| data_encoding::BASE64.encode(bytes));
        let mut document = json!({"event": event.envelope.to_json()});
        if let (Json::Object(document), Some(package)) = (&mut document, package) {
            document.insert("package", package);
        }
        let body = document.canonical().into_bytes();
        let response = self.post("/v1/directory", "application/json", body, PATIENCE * 2).await?;
        answer(response, PATIENCE).await.map(|_| ())
    }

    /// Reads a document.
    pub(crate) async fn get(&self, path: &str) -> Result<Json, CliError> {
        let request = Request::get(path).body(Full::new(Bytes::new()));
        let response = self.send(request, PATIENCE).await?;
        answer(response, PATIENCE).await
    }

    /// Begins to follow a stream of events; back when the node has answered.
    pub(crate) async fn follow(&self, path: &str, token: &str) -> Result<Followed, CliError> {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = self.send(request.body(Full::new(Bytes::new())), PATIENCE).await?;
        if response.status() != StatusCode::OK {
            return Err(answer(response, PATIENCE).await.err().unwrap_or_else(|| unknown("no stream".to_owned())));
        }
        Ok(Followed { body: response.into_body(), buffer: Vec::new() })
    }

    /// Reads all that is at a path, piece by piece.
    pub(crate) async fn download(
        &self,
        path: &str,
        token: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let mut followed = self.follow(path, token).await?;
        while let Some(data) = frame(&mut followed.body, PATIENCE).await? {
            take(&data)?;
        }
        Ok(())
    }

    async fn post(
        &self,
        path: &str,
        kind: &'static str,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Response<Incoming>, CliError> {
        let request = Request::post(path).header(header::CONTENT_TYPE, kind).body(Full::new(Bytes::from(body)));
        self.send(request, patience).await
    }

    async fn send(
        &self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
        patience: Duration,
    ) -> Result<Response<Incoming>, CliError> {
        let broken = |error: String| CliError::new(Code::Internal, error);
        let mut request = request.map_err(|error| broken(error.to_string()))?;
        let host = self.running.url.trim_start_matches("http://");
        let name = header::HeaderValue::from_str(host).map_err(|error| broken(error.to_string()))?;
        request.headers_mut().insert(header::HOST, name);
        let stream = TcpStream::connect(host).await.map_err(|error| self.gone(&error))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.gone(&error))?;
        // It ends with the answer's body; what breaks it shows there.
        tokio::spawn(connection);
        let answered = tokio::time::timeout(patience, sender.send_request(request)).await;
        let answered = answered.map_err(|_| unknown("the node does not answer".to_owned()))?;
        answered.map_err(|error| unknown(format!("the node broke off: {error}")))
    }

    fn gone(&self, error: &dyn std::fmt::Display) -> CliError {
        let Running { url, pid, .. } = &self.running;
        let message = format!("process {pid} runs a node on this directory, and does not answer at {url}: {error}");
        CliError::new(Code::DirectoryInUse, message)
    }
}

/// A stream of events.
pub(crate) struct Followed {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Followed {
    /// The data of the next message; nothing where the stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Json>, CliError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    return parse(data).map(Some);
                }
            }
            let Some(data) = frame(&mut self.body, PATIENCE).await? else { return Ok(None) };
            self.buffer.extend_from_slice(&data);
        }
    }
}

fn intents(wait: Duration) -> String {
    format!("/v1/intents?wait={}s", wait.as_secs())
}

fn unknown(message: String) -> CliError {
    CliError::new(Code::OutcomeUnknown, message)
}

async fn frame(body: &mut Incoming, patience: Duration) -> Result<Option<Bytes>, CliError> {
    loop {
        let frame = tokio::time::timeout(patience, body.frame()).await;
        let Some(frame) = frame.map_err(|_| unknown("the node's answer does not go on".to_owned()))? else {
            return Ok(None);
        };
        let frame = frame.map_err(|error| unknown(format!("the node's answer broke off: {error}")))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// The document of an answer, or the problem that it tells of.
async fn answer(response: Response<Incoming>, patience: Duration) -> Result<Json, CliError> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = frame(&mut body, patience).await? {
        bytes.extend_from_slice(&data);
    }
    judged(&parse(&bytes)?)
}

fn parse(bytes: &[u8]) -> Result<Json, CliError> {
    let limits = Limits { bytes: 256 << 20, ..Limits::default() };
    Json::parse(bytes, &limits).map_err(|error| unknown(format!("the node's answer is not JSON: {error}")))
}

/// A problem document has a number as its status; an outcome has a word.
fn judged(json: &Json) -> Result<Json, CliError> {
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    if json.get("status").and_then(Json::as_u64).is_none() {
        return Ok(json.clone());
    }
    let code = text("code").and_then(Code::parse).unwrap_or(Code::OutcomeUnknown);
    let error = CliError::new(code, text("detail").unwrap_or("the node says no"));
    Err(CliError { hint: text("hint").map(str::to_owned), ..error })
}
