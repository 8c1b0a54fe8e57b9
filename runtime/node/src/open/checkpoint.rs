//! The latest signed head, kept in a file beside the key: what finds out that a database is older than its node knows.

use std::path::Path;

use lockstep_core::log::Checkpoint;

use super::{NodeError, Parts};
use crate::load;

/// Keeps a checkpoint beside the key: written whole, synced, renamed into place.
pub(crate) fn write_checkpoint(path: &Path, note: &str) -> Result<(), NodeError> {
    lay_checkpoint(path, note)?;
    place_checkpoint(path)
}

/// Writes a checkpoint beside its place, synced, so that only its name is left to change.
pub(crate) fn lay_checkpoint(path: &Path, note: &str) -> Result<(), NodeError> {
    let failed = |source| NodeError::Checkpoint { path: path.to_owned(), source };
    std::fs::File::create(path.with_extension("new"))
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, note.as_bytes())?;
            file.sync_all()
        })
        .map_err(failed)
}

/// Renames what [`lay_checkpoint`] wrote into place.
pub(crate) fn place_checkpoint(path: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::Checkpoint { path: path.to_owned(), source };
    std::fs::rename(path.with_extension("new"), path).map_err(failed)
}

/// Holds the database against the checkpoint beside the key.
pub(super) async fn check_checkpoint(parts: &Parts, loaded: &load::Start) -> Result<(), NodeError> {
    let note = match std::fs::read_to_string(&parts.checkpoint) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(NodeError::Checkpoint { path: parts.checkpoint.clone(), source }),
    };
    let foreign = |what: String| NodeError::Foreign(what);
    let kept = Checkpoint::verify(&note, &loaded.ledger.origin(), &parts.signer.public_key())
        .map_err(|error| foreign(error.to_string()))?;
    let found = loaded.ledger.appender.size();
    if kept.size > found {
        return Err(NodeError::Behind { found, signed: kept.size });
    }
    let root = load::root_at(parts.database.as_ref(), &loaded.ledger.log, kept.size).await?;
    if root != Some(kept.root) {
        return Err(foreign(format!("the roots over the first {} leaves differ", kept.size)));
    }
    Ok(())
}
