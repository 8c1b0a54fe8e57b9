//! An open connection, shared by its two halves; whichever fails cuts it for both, at once.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use lockstep_core::transport::TransportError;
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::errors::failed;
use crate::places::Place;

pub(crate) type Stream = TlsStream<TcpStream>;

/// Which half waits.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    Sender,
    Receiver,
}

pub(crate) struct Link(Mutex<State>);

struct State {
    /// None once it is cut.
    open: Option<Open>,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

struct Open {
    stream: Stream,
    _place: Place,
}

impl Link {
    pub(crate) fn new(stream: Stream, place: Place) -> Self {
        Link(Mutex::new(State { open: Some(Open { stream, _place: place }), sender: None, receiver: None }))
    }

    /// Tries a step of one half's; what is cut meanwhile wakes it.
    pub(crate) fn poll<T>(
        &self,
        half: Half,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<Result<T, TransportError>> {
        let mut state = self.state();
        let waker = Some(context.waker().clone());
        match half {
            Half::Sender => state.sender = waker,
            Half::Receiver => state.receiver = waker,
        }
        let Some(open) = &mut state.open else { return Poll::Ready(Err(TransportError::Closed)) };
        step(Pin::new(&mut open.stream), context).map_err(|error| failed(&error))
    }

    /// Drops the connection without a word; the other side finds it cut.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.open = None;
        let waiting = [state.sender.take(), state.receiver.take()];
        drop(state);
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
