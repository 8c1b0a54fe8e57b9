//! Step `agree`: an event of the directory becomes a batch of its own.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::directory::{Body, Directory, DirectoryEvent};
use lockstep_core::intent::Refusal;
use lockstep_core::package::{Manifest, Package};

use super::{Pipeline, answer_all};
use crate::submit::{Decided, Job};

/// How far ahead of this node's clock an event of the directory may be: a log's time never goes back, so that one from
/// the far future would have every later intent expire.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

impl Pipeline {
    pub(super) fn add_directory(&mut self, job: Job, event: &DirectoryEvent, package: Option<&[u8]>) {
        if self.open.is_some() {
            self.seal();
            return self.put_back(vec![job], true);
        }
        let directory = match self.agreed(&job, event, package) {
            Ok(directory) => Arc::new(directory),
            Err(refusal) => return answer_all(job, &Err(refusal.into())),
        };
        let open = self.open();
        open.projection.directory(event, &directory, package);
        open.jobs.push((job, Decided { intent: event.head(), repeated: false }));
        open.directory = Some(directory.clone());
        open.sealed = true;
        self.built.set_directory(directory);
    }

    /// The directory after the event.
    fn agreed(&self, job: &Job, event: &DirectoryEvent, package: Option<&[u8]>) -> Result<Directory, Refusal> {
        if job.refused_by_database {
            return Err(Refusal::new(Code::DatabaseRefused, "the database refuses a row of the directory"));
        }
        let now = self.shared.parts.clock.now();
        if event.time > now.plus(CLOCK_TOLERANCE) {
            let what = format!("its time {} is ahead of this node's clock, which shows {now}", event.time);
            return Err(Refusal::new(Code::DirectoryRefused, what));
        }
        let mut directory = Directory::clone(&self.built.directory);
        directory.apply(event).map_err(|error| Refusal::new(Code::DirectoryRefused, error.to_string()))?;
        if let Body::ContractPropose { manifest } = &event.body {
            self.keep_package(manifest, package)?;
        }
        Ok(directory)
    }

    /// Checks the package that a proposal comes with, and keeps it at hand.
    fn keep_package(&self, manifest: &Manifest, package: Option<&[u8]>) -> Result<(), Refusal> {
        let refused = |what: String| Refusal::new(Code::PackageRefused, what);
        let package = package.map(Package::decode).transpose().map_err(|error| refused(error.to_string()))?;
        let named = package.filter(|package| package.digest() == manifest.digest());
        let package = named.ok_or_else(|| refused("a proposal comes with the package that it names".to_owned()))?;
        // A package that only brings specs has no code to check.
        let checked = package.manifest.code.map_or(Ok(()), |_| self.shared.parts.engine.check(&package));
        checked.map_err(|error| refused(error.to_string()))?;
        self.shared.packages.insert(package);
        Ok(())
    }
}
