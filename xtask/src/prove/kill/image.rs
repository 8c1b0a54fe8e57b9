//! What is on a disk between two calls, if the machine stops there: the files of a node, rebuilt from a trace.

use std::collections::BTreeMap;
use std::path::Path;

use super::trace::{Call, Event, FILES, File};
use crate::prove::Dice;

/// How the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prove) enum Stop {
    /// The process dies; what it wrote is there.
    Kill,
    /// The power goes; what was not synced is gone.
    Power,
    /// The power goes, and any of the writes that were not synced have reached the disk, one of them half.
    Torn,
}

pub(in crate::prove) const STOPS: [Stop; 3] = [Stop::Kill, Stop::Power, Stop::Torn];

/// The files, as the process sees them and as a sync left them.
#[derive(Clone, Default)]
pub(in crate::prove) struct Disk {
    seen: BTreeMap<File, Vec<u8>>,
    synced: BTreeMap<File, Vec<u8>>,
    /// What was done to each file since its last sync.
    since: BTreeMap<File, Vec<Call>>,
}

impl Disk {
    /// The files of a directory whose node does not run.
    pub(in crate::prove) fn of(dir: &Path) -> Disk {
        let found = FILES.iter().filter_map(|(file, name)| Some((*file, std::fs::read(dir.join(name)).ok()?)));
        let seen: BTreeMap<File, Vec<u8>> = found.collect();
        Disk { synced: seen.clone(), seen, since: BTreeMap::new() }
    }

    /// Whether an event changes what is there.
    pub(in crate::prove) fn is_changed_by(event: &Event) -> bool {
        !matches!(event.call, Call::Reply(_))
    }

    /// Does what a call did.
    pub(in crate::prove) fn take(&mut self, event: &Event) {
        match &event.call {
            Call::Reply(_) => {}
            Call::Sync(file) => {
                self.since.remove(file);
                if let Some(bytes) = self.seen.get(file) {
                    self.synced.insert(*file, bytes.clone());
                }
            }
            // Names are kept by the file system's own journal: that they come late is no harm here, that they come
            // early would be, so they count at once.
            Call::Rename(from, to) => {
                for side in [&mut self.seen, &mut self.synced] {
                    if let Some(bytes) = side.remove(from) {
                        side.insert(*to, bytes);
                    }
                }
            }
            Call::Remove(file) => {
                [&mut self.seen, &mut self.synced].into_iter().for_each(|side| drop(side.remove(file)));
                self.since.remove(file);
            }
            call @ (Call::Write(file, ..) | Call::Cut(file, _)) => {
                change(self.seen.entry(*file).or_default(), call);
                self.since.entry(*file).or_default().push(call.clone());
            }
        }
    }

    /// Writes what is left after a stop into a directory.
    pub(in crate::prove) fn leave(&self, dir: &Path, stop: Stop, dice: &mut Dice) -> Result<(), String> {
        for (file, name) in FILES {
            let bytes = match stop {
                Stop::Kill => self.seen.get(&file).cloned(),
                Stop::Power => self.synced.get(&file).cloned(),
                Stop::Torn => self.torn(file, dice),
            };
            let path = dir.join(name);
            let done = match bytes {
                Some(bytes) => std::fs::write(&path, bytes),
                None => std::fs::remove_file(&path).or(Ok(())),
            };
            done.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn torn(&self, file: File, dice: &mut Dice) -> Option<Vec<u8>> {
        let since = self.since.get(&file).map(Vec::as_slice).unwrap_or_default();
        let mut bytes = match self.synced.get(&file) {
            Some(bytes) => bytes.clone(),
            None => self.seen.get(&file).map(|_| Vec::new())?,
        };
        for call in since {
            match call {
                Call::Write(file, at, data) if dice.percent(20) => {
                    let half = data.get(..data.len() / 2).unwrap_or_default().to_vec();
                    change(&mut bytes, &Call::Write(*file, *at, half));
                }
                call if dice.percent(50) => change(&mut bytes, call),
                _ => {}
            }
        }
        Some(bytes)
    }
}

fn change(bytes: &mut Vec<u8>, call: &Call) {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    match call {
        Call::Write(_, at, data) => {
            let at = at.map_or(bytes.len(), place);
            bytes.resize(bytes.len().max(at + data.len()), 0);
            if let Some(there) = bytes.get_mut(at..at + data.len()) {
                there.copy_from_slice(data);
            }
        }
        Call::Cut(_, length) => bytes.resize(place(*length), 0),
        _ => {}
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says what it expects by failing"
)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn after(calls: &[Call], stop: Stop) -> BTreeMap<&'static str, Vec<u8>> {
        let mut disk = Disk::default();
        calls.iter().for_each(|call| disk.take(&Event { entered: 0, returned: 0, call: call.clone() }));
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("lockstep-image-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        disk.leave(&dir, stop, &mut Dice::of(1, 1)).unwrap();
        let found = FILES.iter().filter_map(|(_, name)| Some((*name, std::fs::read(dir.join(name)).ok()?))).collect();
        std::fs::remove_dir_all(&dir).unwrap();
        found
    }

    #[test]
    fn a_kill_leaves_what_was_written_and_a_power_cut_what_was_synced() {
        let write = |at, text: &str| Call::Write(File::Log, Some(at), text.as_bytes().to_vec());
        let calls = [write(0, "abc"), Call::Sync(File::Log), write(2, "XY")];
        assert_eq!(after(&calls, Stop::Kill)["lockstep.db-wal"], b"abXY");
        assert_eq!(after(&calls, Stop::Power)["lockstep.db-wal"], b"abc");
    }

    #[test]
    fn a_file_is_cut_renamed_and_removed() {
        let new = |text: &str| Call::Write(File::NewCheckpoint, None, text.as_bytes().to_vec());
        let renamed = Call::Rename(File::NewCheckpoint, File::Checkpoint);
        let calls = [new("old"), Call::Cut(File::NewCheckpoint, 0), new("n"), Call::Sync(File::NewCheckpoint), renamed];
        for stop in STOPS {
            let found = after(&calls, stop);
            assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["checkpoint"]);
            assert_eq!(found["checkpoint"], b"n");
        }
        assert!(after(&[&calls[..], &[Call::Remove(File::Checkpoint)]].concat(), Stop::Kill).is_empty());
    }
}
