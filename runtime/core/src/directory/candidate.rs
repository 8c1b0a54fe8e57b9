//! For rehearsals only: the directory as it would be with a package that nobody has approved.
//!
//! Nothing here is reachable from the commit path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::package::Manifest;

use super::{Contract, Directory, Status};

impl Directory {
    /// This directory with a package in the place of every version of its contract; seq and head stay.
    pub(crate) fn with_candidate(&self, manifest: &Manifest) -> Self {
        let mut directory = self.clone();
        for (name, spec) in &manifest.specs {
            let entry = || Self::entry(name, spec, manifest, self.seq);
            directory.specs.entry(spec.digest()).or_insert_with(entry);
        }
        let manifest = Arc::new(manifest.clone());
        let (name, version) = (manifest.name.clone(), manifest.version);
        directory.packages.insert(manifest.digest(), (name.clone(), version));
        let active = Contract { manifest, status: Status::Active, approvals: BTreeSet::new(), seq: self.seq };
        directory.contracts.insert(name, BTreeMap::from([(version, active)]));
        directory
    }
}
