//! Leaves of the directory, and leaves whose evidence is gone.

use crate::codes::Code;
use crate::crypto::Digest;
use crate::project::Projection;
use crate::tables::{Cell, name};

use super::derive::{Walk, code_for};
use super::found::Tables;
use super::words::{finding, place};

/// Lost leaves that are named one by one.
const MOST_LOST: u64 = 1000;

impl Walk<'_> {
    pub(super) fn directory_leaf(&mut self, projection: &mut Projection, tables: &Tables, index: usize, hash: Digest) {
        let row = self.agreed.links.get(index).and_then(|link| link.row);
        let Some(step) = self.agreed.take(index, tables) else { return };
        let (table, key) = (tables.get(name::DIRECTORY).table.clone(), vec![Cell::count(step.event.seq)]);
        if let Some(problem) = &step.broken {
            if let Some(row) = row {
                let code = code_for(tables.get(name::DIRECTORY).bytes(row, "envelope"));
                let message = format!("{}: {problem}", place(&table, &key, Some("envelope")));
                let mut broken = finding(code, &table, &key, Some("envelope".to_owned()), None, None, message);
                broken.found = tables.get(name::DIRECTORY).cell(row, "envelope").show();
                self.comparison.findings.push(broken);
            }
            self.comparison.mask(name::DIRECTORY, key.clone(), "envelope");
            if !step.readable {
                for column in ["head", "kind", "actor", "time"] {
                    self.comparison.mask(name::DIRECTORY, key.clone(), column);
                }
            }
        }
        let package = step.package.as_ref().map(|found| found.bytes.as_slice());
        if !self.founded && self.agreed.directory.nodes().contains_key(self.node.as_str()) {
            self.founded = true;
            projection.meta(&self.agreed.directory, self.node.as_str());
        }
        projection.directory_at(hash, &step.event, &self.agreed.directory, package, step.proposed);
        self.time = self.time.max(step.event.time);
        self.time_known = step.readable || row.is_some();
        if let Some(found) = step.package {
            match found.package {
                Ok(package) => drop(self.packages.insert(package.digest(), package)),
                Err(problem) if found.present => {
                    let table = tables.get(name::CONTRACT).table.clone();
                    let message = format!("{}: {problem}", place(&table, &found.key, Some("package")));
                    self.comparison.findings.push(finding(
                        Code::EvidenceBroken,
                        &table,
                        &found.key,
                        Some("package".to_owned()),
                        None,
                        None,
                        message,
                    ));
                    self.comparison.mask(name::CONTRACT, found.key, "package");
                }
                Err(_) => {}
            }
        }
    }

    /// A leaf whose evidence is gone: the row of a rejected intent, or of the last event of the directory.
    pub(super) fn lost_leaf(&mut self, projection: &mut Projection, tables: &Tables, position: u64, hash: Digest) {
        projection.append(hash, self.time);
        self.time_known = false;
        let next = self.agreed.links.len() as u64 + 1;
        let derived = [name::PARTICIPANT, name::NODE, name::ACTOR, name::CONTRACT, name::SPEC];
        let agreed = derived.iter().any(|table| {
            let rows = tables.get(table);
            rows.indexes().any(|row| rows.count(row, "directory_seq") == Some(next))
        });
        let (table, key) = if agreed && self.agreed.mended.insert(next) {
            (tables.get(name::DIRECTORY).table.clone(), ("seq".to_owned(), Cell::count(next)))
        } else {
            (tables.get(name::INTENT).table.clone(), ("log_position".to_owned(), Cell::count(position)))
        };
        if position >= self.tiled.len() as u64 + MOST_LOST {
            return;
        }
        let message = format!(
            "{}: the row whose leaf stands at position {position} of the log is missing; it was deleted",
            table.name
        );
        let mut missing = finding(Code::RowMissing, &table, &[], None, None, None, message);
        missing.key = vec![key];
        self.comparison.findings.push(missing);
    }
}
