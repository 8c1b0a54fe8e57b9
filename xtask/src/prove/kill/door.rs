//! HTTP as clients speak it: one connection, kept, that knows when a request was wholly sent and what came back.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lockstep_core::json::{Json, Limits};

/// How long an answer may take before it counts as none.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to a node.
pub(in crate::prove) struct Door {
    address: String,
    writer: TcpStream,
    reader: BufReader<TcpStream>,
    /// Bytes of the chunk that is read, where the answer comes in chunks.
    chunk: Vec<u8>,
    /// Whether the answer that came last was read to its end.
    over: bool,
}

/// The head of an answer.
pub(in crate::prove) struct Head {
    pub(in crate::prove) status: u16,
    length: Option<usize>,
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn parse(bytes: &[u8]) -> Result<Json, Error> {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    Json::parse(bytes, &limits).map_err(|error| broken(&error.to_string()))
}

impl Door {
    pub(in crate::prove) fn open(address: &str) -> Result<Door, Error> {
        let writer = TcpStream::connect(address)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(ANSWER))?;
        writer.set_write_timeout(Some(ANSWER))?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Door { address: address.to_owned(), writer, reader, chunk: Vec::new(), over: true })
    }

    /// Sends a whole request; back when the last byte was handed to the system.
    pub(in crate::prove) fn send(&mut self, request: &str, kind: &str, body: &[u8]) -> Result<(), Error> {
        let head = format!(
            "{request} HTTP/1.1\r\nhost: {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.writer.write_all(&[head.as_bytes(), body].concat())
    }

    /// Reads the head of the next answer.
    pub(in crate::prove) fn head(&mut self) -> Result<Head, Error> {
        self.over = false;
        let (mut status, mut length) = (None, None);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match (status, line.split_once(": ")) {
                (None, _) => {
                    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
                    status = Some(code.ok_or_else(|| broken("no status"))?);
                }
                (Some(_), Some(("content-length", value))) => length = value.parse().ok(),
                (Some(status), None) => return Ok(Head { status, length }),
                _ => {}
            }
        }
    }

    fn line(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Reads a body that says how long it is.
    pub(in crate::prove) fn body(&mut self, head: &Head) -> Result<Json, Error> {
        let mut body = vec![0; head.length.ok_or_else(|| broken("no length"))?];
        self.reader.read_exact(&mut body)?;
        self.over = true;
        parse(&body)
    }

    /// Reads a line of a body that comes in chunks; `None` at its end.
    pub(in crate::prove) fn answer(&mut self, head: &Head) -> Result<Option<Json>, Error> {
        if head.length.is_some() {
            return Err(broken("one answer for many intents"));
        }
        while !self.over {
            if let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.chunk.drain(..=end).collect();
                return parse(&line).map(Some);
            }
            let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| broken("no chunk"))?;
            let mut piece = vec![0; size];
            self.reader.read_exact(&mut piece)?;
            self.line()?;
            self.over = size == 0;
            self.chunk.extend(piece);
        }
        Ok(None)
    }

    /// Reads what is left of an answer that turns a whole request away.
    fn turned_away(&mut self, head: &Head) -> Result<(), Error> {
        if !self.over { self.body(head).map(drop) } else { Ok(()) }
    }

    /// What became of the next of many intents: a status, and the outcome or the problem.
    pub(in crate::prove) fn next(&mut self, head: &mut Option<Head>) -> Result<(u16, Json), Error> {
        let head = match head {
            Some(head) => head,
            None => head.insert(self.head()?),
        };
        if head.status != 200 {
            self.turned_away(head)?;
            return Ok((head.status, Json::Null));
        }
        // A node that takes no more ends its answer early.
        let Some(said) = self.answer(head)? else { return Ok((503, Json::Null)) };
        let status = match said.get("status") {
            Some(Json::String(status)) if status == "pending" => 202,
            Some(Json::String(_)) => 200,
            other => other.and_then(Json::as_u64).and_then(|status| u16::try_from(status).ok()).unwrap_or(500),
        };
        Ok((status, said))
    }
}
