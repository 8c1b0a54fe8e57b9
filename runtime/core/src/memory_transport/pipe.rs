//! One direction of a connection in memory, and what one side holds of the two.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::locked;
use crate::crypto::PublicKey;
use crate::database::Pending;
use crate::transport::{Connection, FrameReceiver, FrameSender, TransportError};

/// Most frames under way in one direction; few, so that a sender that does not expect to wait is found out.
const UNDER_WAY: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Vec<u8>>,
    closed: bool,
    cut: bool,
    wakers: [Option<Waker>; 2],
}

impl State {
    fn wake(&mut self) {
        self.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}

impl Pipe {
    fn poll_send(&self, frame: &[u8], context: &Context<'_>) -> Poll<Result<(), TransportError>> {
        let mut state = locked(&self.0);
        if state.cut || state.closed {
            return Poll::Ready(Err(TransportError::Closed));
        }
        if state.frames.len() == UNDER_WAY {
            let [sender, _] = &mut state.wakers;
            *sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.frames.push_back(frame.to_vec());
        state.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&self, context: &Context<'_>) -> Poll<Result<Option<Vec<u8>>, TransportError>> {
        let mut state = locked(&self.0);
        if let Some(frame) = state.frames.pop_front() {
            state.wake();
            return Poll::Ready(Ok(Some(frame)));
        }
        if state.closed {
            return Poll::Ready(Ok(None));
        }
        if state.cut {
            return Poll::Ready(Err(TransportError::Closed));
        }
        let [_, receiver] = &mut state.wakers;
        *receiver = Some(context.waker().clone());
        Poll::Pending
    }

    fn close(&self) -> Result<(), TransportError> {
        let mut state = locked(&self.0);
        if state.cut && !state.closed {
            return Err(TransportError::Closed);
        }
        state.closed = true;
        state.wake();
        Ok(())
    }

    /// Loses what is under way.
    fn cut(&self) {
        let mut state = locked(&self.0);
        state.frames.clear();
        (state.cut, state.closed) = (true, false);
        state.wake();
    }

    /// Nobody sends any more: what was closed in order stays so.
    fn leave(&self) {
        if !locked(&self.0).closed {
            self.cut();
        }
    }
}

/// What one side holds of a connection; both its halves share it, and the last one gone leaves.
pub(super) struct End {
    to: Arc<Pipe>,
    from: Arc<Pipe>,
}

impl End {
    pub(super) fn new(to: Arc<Pipe>, from: Arc<Pipe>) -> Self {
        End { to, from }
    }

    pub(super) fn connection(self: Arc<Self>, peer: PublicKey, frame_bytes: usize) -> Connection {
        let sender = Box::new(MemorySender { end: Arc::clone(&self), frame_bytes });
        let receiver = Box::new(MemoryReceiver { end: self, frame_bytes, ended: false });
        Connection { peer, sender, receiver }
    }

    pub(super) fn is_cut(&self) -> bool {
        locked(&self.to.0).cut
    }

    pub(super) fn cut(&self) {
        self.to.cut();
        self.from.cut();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.to.leave();
        self.from.cut();
    }
}

fn bounded(bytes: usize, bound: usize) -> Result<(), TransportError> {
    if bytes > bound {
        return Err(TransportError::FrameTooLarge { bytes: bytes as u64, bound: bound as u64 });
    }
    Ok(())
}

struct MemorySender {
    end: Arc<End>,
    frame_bytes: usize,
}

impl FrameSender for MemorySender {
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> Pending<'a, Result<(), TransportError>> {
        Box::pin(async move {
            bounded(frame.len(), self.frame_bytes)?;
            let mut sending = Sending { end: &self.end, done: false };
            let sent = poll_fn(|context| self.end.to.poll_send(frame, context)).await;
            sending.done = true;
            sent
        })
    }

    fn close(&mut self) -> Pending<'_, Result<(), TransportError>> {
        Box::pin(std::future::ready(self.end.to.close()))
    }
}

/// Cuts where a send is dropped before it ends, as the promise says.
struct Sending<'a> {
    end: &'a End,
    done: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.end.cut();
        }
    }
}

struct MemoryReceiver {
    end: Arc<End>,
    frame_bytes: usize,
    ended: bool,
}

impl FrameReceiver for MemoryReceiver {
    fn receive(&mut self) -> Pending<'_, Result<Option<Vec<u8>>, TransportError>> {
        Box::pin(async move {
            if self.ended {
                return Ok(None);
            }
            let frame = poll_fn(|context| self.end.from.poll_receive(context)).await?;
            self.ended = frame.is_none();
            if let Err(error) = bounded(frame.as_ref().map_or(0, Vec::len), self.frame_bytes) {
                self.end.cut();
                return Err(error);
            }
            Ok(frame)
        })
    }
}
