//! From where on this node wants each other log: kept in a file beside the checkpoint.
//!
//! What the database holds does not tell it: a share that was fetched may be there before an earlier one that the feed
//! still owes. The file may be behind, then something comes twice and is passed over; it is never ahead of what was
//! applied, and counts for nothing where the database is older than it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lockstep_core::json::{Json, Limits, Object, json};

/// The positions, and the file that has them.
pub(crate) struct Resume {
    path: PathBuf,
    next: Mutex<BTreeMap<String, u64>>,
}

impl Resume {
    /// Reads the file beside a checkpoint; `leaves` is the size of this node's own log.
    pub(crate) fn open(checkpoint: &Path, leaves: u64) -> Self {
        let path = checkpoint.with_extension("feeds");
        let next = std::fs::read(&path).ok().and_then(|stored| read(&stored, leaves)).unwrap_or_default();
        Resume { path, next: Mutex::new(next) }
    }

    /// The first position of a log that is not here for sure.
    pub(crate) fn next(&self, log: &str) -> u64 {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).get(log).copied().unwrap_or(0)
    }

    /// Notes that all of a log before this position is here, when this node's own log has so many leaves.
    pub(crate) fn note(&self, log: &str, position: u64, leaves: u64) -> std::io::Result<()> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.insert(log.to_owned(), position);
        let logs: Object = next.iter().map(|(log, position)| (log.clone(), Json::from(*position))).collect();
        let beside = self.path.with_extension("feeds-new");
        std::fs::write(&beside, json!({"leaves": leaves, "next": logs}).canonical())?;
        std::fs::rename(&beside, &self.path)
    }
}

fn read(stored: &[u8], leaves: u64) -> Option<BTreeMap<String, u64>> {
    let json = Json::parse(stored, &Limits::default()).ok()?;
    // An older copy of the database was put in place: it has not all that the file says.
    if json.get("leaves")?.as_u64()? > leaves {
        return None;
    }
    let logs = json.get("next")?.as_object()?;
    logs.iter().map(|(log, position)| Some((log.to_owned(), position.as_u64()?))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A checkpoint's path in a directory of its own.
    fn checkpoint(test: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("lockstep-resume-{test}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        dir.join("checkpoint")
    }

    #[test]
    fn a_feed_goes_on_after_a_restart_from_what_was_noted_and_not_from_what_was_fetched() {
        let checkpoint = checkpoint("restart");
        let resume = Resume::open(&checkpoint, 10);
        assert_eq!(resume.next("seller/1"), 0);
        resume.note("seller/1", 7, 12).unwrap();
        resume.note("seller/1", 5, 13).unwrap();
        assert_eq!(Resume::open(&checkpoint, 13).next("seller/1"), 5, "what waits holds it back");
        assert_eq!(Resume::open(&checkpoint, 20).next("seller/1"), 5, "a newer database has all that it says");
    }

    #[test]
    fn a_file_that_is_ahead_of_the_database_or_damaged_has_everything_asked_for_again() {
        let checkpoint = checkpoint("older");
        Resume::open(&checkpoint, 0).note("seller/1", 7, 12).unwrap();
        assert_eq!(Resume::open(&checkpoint, 11).next("seller/1"), 0);
        std::fs::write(checkpoint.with_extension("feeds"), "{\"leaves\":1,").unwrap();
        assert_eq!(Resume::open(&checkpoint, 20).next("seller/1"), 0);
    }
}
