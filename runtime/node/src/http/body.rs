//! Bodies, read frame by frame within bounds: of bytes, of time, and of what all requests hold together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use lockstep_core::codes::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::problem::Problem;

/// Bytes of a body with the room that they take; it is free again when this is dropped.
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// A body on its way in.
pub(super) struct Reader {
    body: Body,
    room: Arc<Semaphore>,
    patience: Duration,
    /// Most bytes of the whole, or of a line.
    limit: usize,
    buffer: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
    /// When what has begun must be complete.
    deadline: Instant,
}

impl Reader {
    pub(super) fn new(body: Body, limit: usize, room: &Arc<Semaphore>, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Reader { body, room: room.clone(), patience, limit, buffer: Vec::new(), held: None, deadline }
    }

    /// All of it.
    pub(super) async fn whole(mut self) -> Result<Held, Problem> {
        if self.body.size_hint().lower() > self.limit as u64 {
            return Err(self.too_large());
        }
        while let Some(frame) = self.frame().await? {
            self.keep(&frame).await?;
        }
        Ok(Held { bytes: self.buffer, room: self.held })
    }

    /// The lines that are complete, at least one; none at the end. Empty ones do not count.
    pub(super) async fn lines(&mut self) -> Result<Vec<Held>, Problem> {
        loop {
            let Some(frame) = self.frame().await? else {
                let last = self.cut();
                return Ok(last.into_iter().collect());
            };
            let mut lines = Vec::new();
            let mut pieces = frame.split(|byte| *byte == b'\n');
            let rest = pieces.next_back().unwrap_or_default();
            for piece in pieces {
                self.keep(piece).await?;
                lines.extend(self.cut());
            }
            self.keep(rest).await?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            match tokio::time::timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => return Err(Problem::slow_body()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    return Err(Problem::new(Code::Malformed, format!("the body broke off: {error}")));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn keep(&mut self, piece: &[u8]) -> Result<(), Problem> {
        if self.buffer.len() + piece.len() > self.limit {
            return Err(self.too_large());
        }
        if piece.is_empty() {
            return Ok(());
        }
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let room = tokio::time::timeout(self.patience, self.room.clone().acquire_many_owned(bytes)).await;
        let Ok(Ok(room)) = room else {
            return Err(Problem::new(Code::Overloaded, "too many bodies are in memory already"));
        };
        match &mut self.held {
            Some(held) => held.merge(room),
            held => *held = Some(room),
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// What is in the buffer, as a line of its own.
    fn cut(&mut self) -> Option<Held> {
        self.deadline = Instant::now() + self.patience;
        let line = Held { bytes: std::mem::take(&mut self.buffer), room: self.held.take() };
        (!line.bytes.trim_ascii().is_empty()).then_some(line)
    }

    fn too_large(&self) -> Problem {
        Problem::new(Code::TooLarge, format!("more than the {} bytes that one may have", self.limit))
    }
}
