//! Asking a database again that cannot answer now: how long to pause, and what is worth another try.

use std::time::Duration;

use lockstep_core::database::DatabaseError;

use crate::open::{NodeError, Shared};

/// Between two tries of what may work later: from here, doubling, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pauses between the tries of one thing.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) fn new() -> Self {
        Pauses(FIRST_PAUSE)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// Reads, as often as it takes to get an answer. A read that is tried again begins anew: it must not have changed
/// anything before it failed.
pub(crate) async fn read_again<T, E: Into<NodeError>, F: Future<Output = Result<T, E>>>(
    shared: &Shared,
    mut read: impl FnMut() -> F,
) -> Result<T, NodeError> {
    let (mut pauses, mut told) = (Pauses::new(), false);
    loop {
        match read().await.map_err(Into::into) {
            Err(NodeError::Database(DatabaseError::Unavailable { detail })) => {
                if !std::mem::replace(&mut told, true) {
                    (shared.parts.notice)(&format!("the database cannot be read now, which is tried again: {detail}"));
                }
                pauses.pause().await;
            }
            answer => return answer,
        }
    }
}
