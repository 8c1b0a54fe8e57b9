//! The directory as it stood after any of its events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::Digest;

use super::{Directory, DirectoryError, DirectoryEvent};

/// How many earlier states are kept at hand.
const KEPT: usize = 4;

/// All events of a directory, the state after the last one, and the earlier states on demand.
///
/// Every event was judged when it came in, so going back is to apply events again without their signatures.
#[derive(Debug)]
pub struct History {
    events: Vec<Arc<DirectoryEvent>>,
    newest: Arc<Directory>,
    /// States asked for lately, the latest last.
    earlier: Mutex<VecDeque<Arc<Directory>>>,
}

impl History {
    /// Starts with a genesis.
    ///
    /// # Errors
    /// [`Directory::found`]'s.
    pub fn found(genesis: DirectoryEvent) -> Result<Self, DirectoryError> {
        let newest = Arc::new(Directory::found(&genesis)?);
        Ok(History::started(Arc::new(genesis), newest))
    }

    /// Starts with a genesis that was judged already.
    pub(crate) fn started(genesis: Arc<DirectoryEvent>, newest: Arc<Directory>) -> Self {
        History { events: vec![genesis], newest, earlier: Mutex::default() }
    }

    /// Takes one more event.
    ///
    /// # Errors
    /// [`Directory::apply`]'s; the history is then as before.
    pub fn push(&mut self, event: DirectoryEvent) -> Result<(), DirectoryError> {
        let mut next = (*self.newest).clone();
        next.apply(&event)?;
        self.note(Arc::new(event), Arc::new(next));
        Ok(())
    }

    /// Takes one more event that was judged already; `after` is the state that it made.
    pub(crate) fn note(&mut self, event: Arc<DirectoryEvent>, after: Arc<Directory>) {
        self.events.push(event);
        self.newest = after;
    }

    /// The state after the last event.
    #[must_use]
    pub fn newest(&self) -> &Arc<Directory> {
        &self.newest
    }

    /// The events, the genesis first.
    #[must_use]
    pub fn events(&self) -> &[Arc<DirectoryEvent>] {
        &self.events
    }

    /// The head after the event with this seq.
    #[must_use]
    pub fn head(&self, seq: u64) -> Option<Digest> {
        let before = usize::try_from(seq).ok()?.checked_sub(1)?;
        self.events.get(before).map(|event| event.head())
    }

    /// The state after the event with this seq; `None` where there was none yet.
    #[must_use]
    pub fn at(&self, seq: u64) -> Option<Arc<Directory>> {
        if seq == self.newest.seq() {
            return Some(self.newest.clone());
        }
        let wanted = usize::try_from(seq).ok().filter(|wanted| (1..self.events.len()).contains(wanted))?;
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = earlier.iter().filter(|known| known.seq() <= seq).max_by_key(|known| known.seq()).cloned();
        let found = match nearest {
            Some(known) if known.seq() == seq => known,
            nearest => Arc::new(self.replayed(nearest, wanted)?),
        };
        earlier.retain(|known| known.seq() != seq);
        earlier.push_back(found.clone());
        if earlier.len() > KEPT {
            earlier.pop_front();
        }
        Some(found)
    }

    /// Applies events up to a count again, from a state on or from the start.
    fn replayed(&self, from: Option<Arc<Directory>>, count: usize) -> Option<Directory> {
        let mut directory = match from {
            Some(known) => (*known).clone(),
            None => Directory::found_as(self.events.first()?, false).ok()?,
        };
        let done = usize::try_from(directory.seq()).ok()?;
        for event in self.events.get(done..count)? {
            directory.apply_as(event, false).ok()?;
        }
        Some(directory)
    }
}
