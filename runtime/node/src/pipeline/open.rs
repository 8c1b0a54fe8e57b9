//! The batch that is being made.

use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Batch, TableWrites};
use lockstep_core::directory::Directory;
use lockstep_core::project::{Projected, Projection};

use super::Pipeline;
use crate::commit::Prepared;
use crate::objections::Kept;
use crate::open::{NodeConfig, NodeError};
use crate::submit::{Decided, Job};

/// What was decided since the committer was given the last batch.
pub(crate) struct Open {
    pub(crate) projection: Projection,
    /// Rows that leave the log as it is.
    pub(crate) beside: Vec<TableWrites>,
    pub(crate) jobs: Vec<(Job, Decided)>,
    pub(crate) nonces: Vec<(String, Digest)>,
    /// Bytes of the submissions.
    pub(crate) bytes: usize,
    /// The directory after it, where an event changes it.
    pub(crate) directory: Option<Arc<Directory>>,
    pub(crate) objections: Vec<Kept>,
    /// Whether nothing may be added: what would be decided next depends on what is known once this is committed.
    pub(crate) sealed: bool,
}

impl Open {
    /// How many more intents it takes.
    pub(crate) fn room(&self, config: &NodeConfig) -> usize {
        if self.sealed || self.bytes >= config.batch_bytes {
            return 0;
        }
        config.batch.saturating_sub(self.jobs.len())
    }

    /// The jobs alone, where nothing came of what they were built on.
    pub(crate) fn into_jobs(self) -> Vec<Job> {
        self.jobs.into_iter().map(|(job, _)| job).collect()
    }
}

impl Pipeline {
    /// The batch being made, begun where there is none.
    pub(crate) fn open(&mut self) -> &mut Open {
        let (ledger, own) = (&self.built.ledger, &self.shared.own);
        self.open.get_or_insert_with(|| Open {
            projection: Projection::new(ledger, own),
            beside: Vec::new(),
            jobs: Vec::new(),
            nonces: Vec::new(),
            bytes: 0,
            directory: None,
            objections: Vec::new(),
            sealed: false,
        })
    }

    /// Adds nothing more to the batch being made.
    pub(crate) fn seal(&mut self) {
        if let Some(open) = &mut self.open {
            open.sealed = true;
        }
    }

    /// Ends the batch: the log after it is what the next one builds on.
    pub(super) fn close(&mut self, open: Open) -> Result<Prepared, NodeError> {
        let Open { projection, beside, jobs, nonces, directory, objections, .. } = open;
        let (batch, note, size) = if projection.is_empty() {
            let (expected_head, size) = (self.built.ledger.head.clone(), self.built.ledger.appender.size());
            let head = expected_head.clone().unwrap_or_default();
            (Batch { expected_head, head, tables: beside }, None, size)
        } else {
            let effort = &self.shared.effort.project;
            let projected = effort.of(|| projection.finish(self.shared.parts.signer.as_ref()));
            let Projected { mut batch, ledger, note, size } =
                projected.map_err(|error| NodeError::Broken(error.to_string()))?;
            batch.tables.extend(beside);
            self.built.ledger = ledger;
            (batch, Some(note), size)
        };
        Ok(Prepared { jobs, nonces, batch, note, size, directory, objections })
    }
}
