//! How contract versions are proposed and approved.

use std::collections::BTreeSet;

use crate::names::{ContractName, Version};
use crate::package::Manifest;

use super::{Contract, Directory, DirectoryError, DirectoryEvent, Status};

impl Directory {
    pub(super) fn propose(&mut self, event: &DirectoryEvent, manifest: &Manifest) -> Result<(), DirectoryError> {
        self.check_manifest(manifest)?;
        let (name, version) = (manifest.name.clone(), manifest.version);
        let proposed = Contract {
            manifest: std::sync::Arc::new(manifest.clone()),
            status: Status::Proposed,
            approvals: BTreeSet::new(),
            seq: event.seq,
        };
        self.contracts.entry(name.clone()).or_default().insert(version, proposed);
        self.packages.insert(manifest.digest(), (name, version));
        Ok(())
    }

    /// Whether a manifest could be proposed now; also what `contract plan` asks.
    ///
    /// # Errors
    /// [`DirectoryError::Invalid`] says with what it collides.
    pub fn check_manifest(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        if let Some(versions) = self.contracts.get(&manifest.name) {
            if versions.contains_key(&manifest.version) {
                return invalid(format!(
                    "{}@{} was proposed already; a version is never used twice",
                    manifest.name, manifest.version
                ));
            }
            if let Some((newest, _)) = versions.last_key_value().filter(|(newest, _)| **newest > manifest.version) {
                return invalid(format!("{}@{newest} is newer than {}", manifest.name, manifest.version));
            }
        }
        self.check_specs(manifest)
    }

    /// Whether the specs of a manifest go together with those in force.
    fn check_specs(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let invalid = |what: String| Err(DirectoryError::Invalid(what));
        for (name, spec) in &manifest.specs {
            match self.owner(name) {
                Some(owner) if *owner != manifest.name => return invalid(format!("spec {name} is contract {owner}'s")),
                _ => {}
            }
            for entry in self.specs.values().filter(|entry| entry.name == *name) {
                for (column, projection) in &spec.projections {
                    if let Some(known) =
                        entry.spec.projections.get(column).filter(|known| known.kind != projection.kind)
                    {
                        return invalid(format!(
                            "projected column {column} of {name} is {}; a column is never retyped, give the new one another name",
                            known.kind
                        ));
                    }
                    if entry.spec.sections.contains_key(column) {
                        return invalid(format!(
                            "projected column {column} of {name} has the name of an earlier version's section"
                        ));
                    }
                }
                if let Some(section) =
                    spec.sections.keys().find(|section| entry.spec.projections.contains_key(*section))
                {
                    return invalid(format!(
                        "section {section} of {name} has the name of an earlier version's projected column"
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn approve(
        &mut self,
        participant: &str,
        seq: u64,
        name: &ContractName,
        version: &Version,
    ) -> Result<(), DirectoryError> {
        if !self.has_vote(participant) {
            return Err(DirectoryError::Right(format!("participant {participant} has no vote")));
        }
        let Some(found) = self.contracts.get_mut(name).and_then(|versions| versions.get_mut(version)) else {
            return Err(DirectoryError::Invalid(format!("{name}@{version} was not proposed")));
        };
        if !found.approvals.insert(participant.to_owned()) {
            return Err(DirectoryError::Invalid(format!("{participant} has approved {name}@{version} already")));
        }
        found.seq = seq;
        let (approvals, status) = (found.approvals.clone(), found.status);
        if status != Status::Proposed || !self.is_decided(&approvals) {
            return Ok(());
        }
        self.activate(seq, name, version)
    }

    /// Puts a proposed version into force.
    fn activate(&mut self, seq: u64, name: &ContractName, version: &Version) -> Result<(), DirectoryError> {
        let Some(found) = self.contracts.get_mut(name).and_then(|versions| versions.get_mut(version)) else {
            return Ok(());
        };
        found.status = Status::Active;
        found.seq = seq;
        let manifest = found.manifest.clone();
        self.check_activation(&manifest)?;
        for (spec, body) in &manifest.specs {
            self.specs.entry(body.digest()).or_insert_with(|| Directory::entry(spec, body, &manifest, seq));
        }
        for (other, earlier) in self.contracts.get_mut(name).into_iter().flatten() {
            if other < version && version.compatible_with(other) && earlier.status == Status::Active {
                earlier.status = Status::Superseded;
                earlier.seq = seq;
            }
        }
        Ok(())
    }

    /// Puts into force what is decided now that there are fewer votes. What collides with what became active
    /// first stays proposed.
    pub(super) fn activate_decided(&mut self, seq: u64) {
        let decided: Vec<(ContractName, Version)> = self
            .contracts
            .iter()
            .flat_map(|(name, versions)| versions.iter().map(move |(version, found)| (name, version, found)))
            .filter(|(_, _, found)| found.status == Status::Proposed && self.is_decided(&found.approvals))
            .map(|(name, version, _)| (name.clone(), *version))
            .collect();
        for (name, version) in decided {
            let mut next = self.clone();
            if next.activate(seq, &name, &version).is_ok() {
                *self = next;
            }
        }
    }

    /// What was fine when it was proposed need not be any more: others may have become active first.
    fn check_activation(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        let (name, version) = (&manifest.name, &manifest.version);
        let newer = self.contracts.get(name).into_iter().flatten().find(|(other, found)| {
            *other > version && other.compatible_with(version) && found.status != Status::Proposed
        });
        if let Some((newer, _)) = newer {
            return Err(DirectoryError::Invalid(format!("{name}@{newer} took over before {version}")));
        }
        self.check_specs(manifest)
    }
}
