//! How many connections there are with whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_core::crypto::PublicKey;

/// The places that are taken, by peer.
#[derive(Clone)]
pub(crate) struct Places {
    most: usize,
    taken: Arc<Mutex<HashMap<PublicKey, usize>>>,
}

/// One connection's place; dropped, it is free again.
pub(crate) struct Place {
    peer: PublicKey,
    places: Places,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Places { most, taken: Arc::default() }
    }

    /// A place for one more connection with this peer, where there is one.
    pub(crate) fn take(&self, peer: &PublicKey) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.get(peer).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        taken.insert(*peer, count + 1);
        Some(Place { peer: *peer, places: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<PublicKey, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}
