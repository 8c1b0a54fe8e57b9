//! HTTP as bytes on a connection, so that a test can send what no client would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lockstep_core::json::{Json, Limits};

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        parse(&self.body)
    }

    /// A member of the body.
    pub(crate) fn text(&self, name: &str) -> String {
        self.json().get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// The code of a problem document that is one in every respect.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let document = self.json();
        for member in ["type", "title", "code", "detail", "hint"] {
            assert!(document.get(member).and_then(Json::as_str).is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        assert_eq!(document.get("status").and_then(Json::as_u64), Some(self.status.into()));
        (self.status, self.text("code"))
    }
}

pub(crate) fn parse(text: &str) -> Json {
    Json::parse(text.trim().as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Sends bytes as they are, says that there are no more, and reads the answer to its end.
pub(crate) fn raw(address: &str, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // The other side may have answered and gone before it has read everything.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    take_apart(&answer)
}

/// A whole request, well formed.
pub(crate) fn ask(address: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut writer = stream.try_clone().unwrap();
    let request = [head.as_bytes(), body].concat();
    // Answers to many lines come while lines are still sent.
    let sent = std::thread::spawn(move || drop(writer.write_all(&request)));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    sent.join().unwrap();
    take_apart(&answer)
}

pub(crate) fn take_apart(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.contains("transfer-encoding: chunked");
    // What follows a body is the answer to what followed the request's.
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let body = if chunked { unchunked(body)? } else { body.get(..length.unwrap_or(body.len()))?.to_owned() };
    Some(Answer { status, head: head.to_owned(), body })
}

fn unchunked(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        body = rest.get(size + 2..)?;
    }
}
