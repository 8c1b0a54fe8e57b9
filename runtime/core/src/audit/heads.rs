//! The signed heads of the log: whether the leaves add up to them, and to the one kept beside the node's key.

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::log::{Appender, Checkpoint};
use crate::project::origin;
use crate::tables::{Cell, name};

use super::derive::Walk;
use super::found::Tables;
use super::words::{finding, place};

impl Walk<'_> {
    /// The note of the checkpoint at a size; where it is damaged, what stands there.
    pub(super) fn note(&mut self, size: u64, tables: &Tables) -> String {
        if let Some(signed) = self.signed.get(&size) {
            return signed.note.clone();
        }
        let found = tables.get(name::CHECKPOINT);
        let key = vec![Cell::Text(self.log.clone()), Cell::count(size)];
        self.comparison.mask(name::CHECKPOINT, key.clone(), "note");
        let Some(row) = found.with_key(&key).first().copied() else { return String::new() };
        let problem = self.key.as_ref().map_or_else(
            || "nobody knows the key of the node".to_owned(),
            |key| {
                let note = found.text(row, "note").unwrap_or_default();
                match Checkpoint::verify(note, &origin(&self.network, &self.log), key) {
                    Ok(other) => format!("it is the signed head of size {}, not of {size}", other.size),
                    Err(error) => error.to_string(),
                }
            },
        );
        let message = format!("{}: {problem}", place(&found.table, &key, Some("note")));
        let mut broken =
            finding(Code::EvidenceBroken, &found.table, &key, Some("note".to_owned()), None, None, message);
        broken.found = found.cell(row, "note").show();
        self.comparison.findings.push(broken);
        found.text(row, "note").unwrap_or_default().to_owned()
    }

    pub(super) fn report_tree(&mut self, size: u64, tables: &Tables) {
        let table = tables.get(name::CHECKPOINT).table.clone();
        let key = [Cell::Text(self.log.clone()), Cell::count(size)];
        let message = format!(
            "the leaves of log {} do not add up to the head that was signed at size {size}; leaves are missing or altered",
            self.log
        );
        self.comparison.findings.push(finding(Code::TreeBroken, &table, &key, None, None, None, message));
        self.comparison.tree_doubtful = true;
    }

    /// Holds the log against the head that is kept beside the node's key.
    pub(super) fn check_known(&mut self, tables: &Tables, hashes: &[Option<Digest>], roots: &BTreeMap<u64, Digest>) {
        let Some(note) = self.known.checkpoint else { return };
        let table = tables.get(name::CHECKPOINT).table.clone();
        let own = self.key.map(|key| Checkpoint::verify(note, &origin(&self.network, &self.log), &key));
        let size = hashes.len() as u64;
        let (code, at, message) = match own {
            Some(Ok(known)) if known.size > size => {
                let message = format!(
                    "the checkpoint beside the key covers {} leaves, this database has {size}: it is an older copy, or its tail was cut off",
                    known.size
                );
                (Code::BehindCheckpoint, known.size, message)
            }
            Some(Ok(known)) => {
                let root = roots.get(&known.size).copied().unwrap_or_else(|| root_at(hashes, known.size));
                if root == known.root || self.comparison.tree_doubtful {
                    return;
                }
                (
                    Code::ForeignCheckpoint,
                    known.size,
                    format!(
                        "the checkpoint beside the key has another root at size {}: this is not the log that the node signed",
                        known.size
                    ),
                )
            }
            Some(Err(error)) => {
                (Code::ForeignCheckpoint, size, format!("the checkpoint beside the key is not of this log: {error}"))
            }
            None => (
                Code::ForeignCheckpoint,
                size,
                "the checkpoint beside the key cannot be checked: nobody knows the key of the node".to_owned(),
            ),
        };
        let key = [Cell::Text(self.log.clone()), Cell::count(at)];
        self.comparison.findings.push(finding(code, &table, &key, None, None, None, message));
    }
}

fn root_at(hashes: &[Option<Digest>], size: u64) -> Digest {
    let mut appender = Appender::empty();
    let all = usize::try_from(size).unwrap_or(usize::MAX);
    hashes.iter().take(all).flatten().for_each(|hash| appender.append(*hash));
    appender.root()
}
