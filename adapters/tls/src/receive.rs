//! The half of a connection that receives. Whatever arrived stays here, so a `receive` that is dropped loses nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lockstep_core::database::Pending;
use lockstep_core::transport::{Bounds, FrameReceiver, TransportError};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::time::{Instant, timeout_at};

use crate::link::{Half, Link};
use crate::partial::Partial;

/// The plain bytes of one TLS record.
const PIECE_BYTES: usize = 16 * 1024;

pub(crate) struct TlsReceiver {
    link: Arc<Link>,
    bounds: Bounds,
    partial: Partial,
    piece: Box<[u8]>,
    /// When the wait for the next byte ends, while there is one.
    idle_ends: Option<Instant>,
    /// When a frame that has begun must be whole: its sender has `write` for it.
    frame_ends: Option<Instant>,
    ended: bool,
}

impl TlsReceiver {
    pub(crate) fn new(link: Arc<Link>, bounds: Bounds) -> Self {
        let (partial, piece) = (Partial::new(bounds.frame_bytes), vec![0; PIECE_BYTES].into_boxed_slice());
        TlsReceiver { link, bounds, partial, piece, idle_ends: None, frame_ends: None, ended: false }
    }

    async fn receive_now(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        while !self.ended {
            let deadline = self.deadline();
            let arrived = timeout_at(deadline, poll_fn(|context| self.poll_piece(context)))
                .await
                .unwrap_or(Err(TransportError::TimedOut { what: "write" }))?;
            self.idle_ends = None;
            if let Some(frame) = arrived {
                self.frame_ends = None;
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn deadline(&mut self) -> Instant {
        let now = Instant::now();
        let idle_ends = *self.idle_ends.get_or_insert(now + self.bounds.idle);
        if self.partial.is_empty() {
            return idle_ends;
        }
        let frame_ends = *self.frame_ends.get_or_insert(now + self.bounds.idle + self.bounds.write);
        idle_ends.min(frame_ends)
    }

    /// Reads what is there, no more than what the frame still needs.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>, TransportError>> {
        let TlsReceiver { link, partial, piece, .. } = self;
        let wanted = partial.missing().min(piece.len());
        let mut piece = ReadBuf::new(piece.get_mut(..wanted).unwrap_or_default());
        ready!(link.poll(Half::Receiver, context, |stream, context| stream.poll_read(context, &mut piece)))?;
        if !piece.filled().is_empty() {
            return Poll::Ready(partial.add(piece.filled()));
        }
        if !partial.is_empty() {
            return Poll::Ready(Err(TransportError::Closed));
        }
        self.ended = true;
        Poll::Ready(Ok(None))
    }
}

impl FrameReceiver for TlsReceiver {
    fn receive(&mut self) -> Pending<'_, Result<Option<Vec<u8>>, TransportError>> {
        Box::pin(async {
            let received = self.receive_now().await;
            if received.is_err() {
                self.link.cut();
            }
            received
        })
    }
}
