//! The half of a connection that sends.

use std::future::poll_fn;
use std::sync::Arc;

use lockstep_core::database::Pending;
use lockstep_core::transport::{Bounds, FrameSender, TransportError};
use tokio::io::AsyncWrite as _;
use tokio::time::timeout;

use crate::link::{Half, Link};
use crate::partial::HEADER_BYTES;

/// What goes out with the length, so that a small frame is one TLS record and one packet.
const FIRST_BYTES: usize = 16 * 1024 - HEADER_BYTES;

pub(crate) struct TlsSender {
    link: Arc<Link>,
    bounds: Bounds,
    closed: bool,
}

impl TlsSender {
    pub(crate) fn new(link: Arc<Link>, bounds: Bounds) -> Self {
        TlsSender { link, bounds, closed: false }
    }

    /// Does it within the bound, or cuts the connection; also where the caller stops waiting, since half a frame
    /// may be out.
    async fn bounded(&self, work: impl Future<Output = Result<(), TransportError>>) -> Result<(), TransportError> {
        let mut whole = Whole { link: &self.link, done: false };
        let result = timeout(self.bounds.write, work).await.unwrap_or(Err(TransportError::TimedOut { what: "read" }));
        whole.done = result.is_ok();
        result
    }

    async fn frame(&self, header: [u8; HEADER_BYTES], frame: &[u8]) -> Result<(), TransportError> {
        let (first, rest) = frame.split_at_checked(FIRST_BYTES).unwrap_or((frame, &[]));
        self.bytes(&[header.as_slice(), first].concat()).await?;
        self.bytes(rest).await?;
        poll_fn(|context| self.link.poll(Half::Sender, context, |stream, context| stream.poll_flush(context))).await
    }

    async fn bytes(&self, mut bytes: &[u8]) -> Result<(), TransportError> {
        while !bytes.is_empty() {
            let count = poll_fn(|context| {
                self.link.poll(Half::Sender, context, |stream, context| stream.poll_write(context, bytes))
            })
            .await?;
            bytes = bytes.get(count..).filter(|_| count > 0).ok_or(TransportError::Closed)?;
        }
        Ok(())
    }

    async fn end(&self) -> Result<(), TransportError> {
        poll_fn(|context| self.link.poll(Half::Sender, context, |stream, context| stream.poll_shutdown(context))).await
    }

    async fn send_now(&self, frame: &[u8]) -> Result<(), TransportError> {
        let header = header(frame, self.bounds.frame_bytes)?;
        if self.closed {
            return Err(TransportError::Closed);
        }
        self.bounded(self.frame(header, frame)).await
    }

    async fn close_now(&mut self) -> Result<(), TransportError> {
        if self.closed {
            return Ok(());
        }
        self.closed = true;
        self.bounded(self.end()).await
    }
}

fn header(frame: &[u8], bound: usize) -> Result<[u8; HEADER_BYTES], TransportError> {
    let too_large = TransportError::FrameTooLarge { bytes: frame.len() as u64, bound: bound as u64 };
    match u32::try_from(frame.len()) {
        Ok(length) if frame.len() <= bound => Ok(length.to_be_bytes()),
        _ => Err(too_large),
    }
}

/// Cuts the connection unless the work was done whole.
struct Whole<'a> {
    link: &'a Link,
    done: bool,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.link.cut();
        }
    }
}

impl FrameSender for TlsSender {
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> Pending<'a, Result<(), TransportError>> {
        Box::pin(self.send_now(frame))
    }

    fn close(&mut self) -> Pending<'_, Result<(), TransportError>> {
        Box::pin(self.close_now())
    }
}
