//! Objections: the statement against its leaf and its signature, the evidence against the statement, and what both did
//! to the rows.

use std::collections::BTreeSet;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::log::leaf_hash;
use crate::names::{NodeName, RecordId};
use crate::project::{OBJECTIONS, Projection, objection_row};
use crate::record::States;
use crate::sync::{Complaint, Evidence, SignedObjection, Statement};
use crate::tables::{Cell, Role, Row, name};
use crate::time::Timestamp;

use super::derive::{Walk, code_for};
use super::found::{Found, Tables};
use super::votes::meta;
use super::words::{finding, place};

/// The hashes of the leaves of all rows of `lockstep_objection`, as far as their statements can be read.
pub(super) fn read_objections(tables: &Tables) -> Vec<Option<Digest>> {
    let rows = tables.get(name::OBJECTION);
    let read = |row| SignedObjection::read(rows.bytes(row, "statement")).ok();
    rows.indexes().map(|row| read(row).map(|signed| leaf_hash(&signed.leaf()))).collect()
}

/// How many rows of `lockstep_objection` are gone.
pub(super) fn lost_objections(tables: &Tables) -> u64 {
    let told = meta(tables, OBJECTIONS).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    told.saturating_sub(tables.get(name::OBJECTION).rows.len() as u64)
}

impl Walk<'_> {
    pub(super) fn objection_leaf(&mut self, projection: &mut Projection, tables: &Tables, row: usize, hash: Digest) {
        let found = tables.get(name::OBJECTION);
        let position = projection.append_same_time(hash);
        let stored = found.bytes(row, "statement");
        let signed = SignedObjection::read(stored).ok().filter(|signed| leaf_hash(&signed.leaf()) == hash);
        let Some(signed) = signed else {
            let code = code_for(stored);
            self.broken_objection(tables, row, code, "statement", "it is not the statement whose leaf is in the log");
            return self.adopt_objection(projection, tables, row, position);
        };
        let key = self.agreed.directory.nodes().get(signed.statement.node.as_str()).map(|node| node.key);
        if self.agreed.mended.is_empty() && !key.is_some_and(|key| signed.verified_by(&key)) {
            let problem = format!("it is not signed by node {}", signed.statement.node);
            self.broken_objection(tables, row, Code::EvidenceBroken, "statement", &problem);
        }
        let (evidence, holds) = match self.evidence(found, row, &signed) {
            // What a fork proves depends on keys, and an event of the directory is damaged.
            Ok(evidence) if !self.agreed.mended.is_empty() => (evidence, told_holds(found, row)),
            Ok(evidence) => {
                let proven = evidence.as_ref().is_some_and(|evidence| evidence.stops(&self.agreed.directory));
                (evidence, projection.holds(&signed.statement, proven))
            }
            Err(problem) => {
                self.broken_objection(tables, row, Code::EvidenceBroken, "evidence", &problem);
                let key = vec![Cell::Text(signed.id.to_string())];
                for column in ["evidence", "message", "holds"] {
                    self.comparison.mask(name::OBJECTION, key.clone(), column);
                }
                (None, told_holds(found, row))
            }
        };
        if !self.agreed.mended.is_empty() {
            self.comparison.mask(name::OBJECTION, vec![Cell::Text(signed.id.to_string())], "message");
        }
        let message = evidence.as_ref().and_then(|evidence| evidence.message(&self.agreed.directory));
        let stored = found.cell(row, "evidence").as_bytes().map(<[u8]>::to_vec);
        let expected = objection_row(&signed, holds, message, position, stored);
        self.project_objection(projection, (signed.id, &signed.statement), holds, expected);
    }

    /// The evidence beside a statement; where it need not be here, none.
    fn evidence(&self, found: &Found, row: usize, signed: &SignedObjection) -> Result<Option<Evidence>, String> {
        let statement = &signed.statement;
        let needed = statement.node == self.node || statement.complaint == Complaint::Fork;
        let evidence = match (found.cell(row, "evidence").as_bytes(), statement.evidence) {
            (None, None) => return Ok(None),
            (None, Some(_)) if needed => return Err("the evidence is missing".to_owned()),
            (None, Some(_)) => return Ok(None),
            (Some(stored), digest) if digest != Some(Digest::of(stored)) => {
                return Err("it is not the evidence whose digest was signed".to_owned());
            }
            (Some(stored), _) => Evidence::read(stored)?,
        };
        match &evidence {
            Evidence::Fork(fork) if self.agreed.mended.is_empty() => drop(fork.check(&self.agreed.directory)?),
            _ => {}
        }
        Ok(Some(evidence))
    }

    /// Goes on past a damaged statement with what the row's other columns say.
    fn adopt_objection(&mut self, projection: &mut Projection, tables: &Tables, row: usize, position: u64) {
        let found = tables.get(name::OBJECTION);
        let Some(mut expected) = found.rows.get(row).cloned() else { return };
        let key = found.key_of(row);
        self.comparison.mask(name::OBJECTION, key, "statement");
        for (column, cell) in [("log_position", Cell::count(position)), ("withdrawn_at", Cell::Null)] {
            if let Some(at) = found.table.position(column).and_then(|at| expected.get_mut(at)) {
                *at = cell;
            }
        }
        match told_statement(found, row, self.network) {
            Some(told) => self.project_objection(projection, (told.0, &told.1), told_holds(found, row), expected),
            None => projection.lost_objection(),
        }
    }

    fn project_objection(
        &mut self,
        projection: &mut Projection,
        said: (Digest, &Statement),
        holds: bool,
        expected: Row,
    ) {
        let record = said.1.record.as_ref();
        let track = record.and_then(|record| Some((record.clone(), self.states.get(record)?)));
        let states: States = track.into_iter().map(|(record, track)| (record, Some(track.state.clone()))).collect();
        projection.objection_rows(said, holds, expected, &self.agreed.directory, &states);
    }

    /// A leaf whose objection is gone. What only it explains is not held against anybody else.
    pub(super) fn lost_objection(&mut self, projection: &mut Projection, tables: &Tables, hash: Digest) {
        let position = projection.append_same_time(hash);
        projection.lost_objection();
        let table = tables.get(name::OBJECTION).table.clone();
        let message = format!(
            "{}: the row whose leaf stands at position {position} of the log is missing; it was deleted",
            table.name
        );
        let mut missing = finding(Code::RowMissing, &table, &[], None, None, None, message);
        missing.key = vec![("log_position".to_owned(), Cell::count(position))];
        self.comparison.findings.push(missing);
        self.excuse_unexplained(tables);
    }

    /// Leaves out what rows of objections explain that are not there: scopes, and ends of objections.
    fn excuse_unexplained(&mut self, tables: &Tables) {
        let found = tables.get(name::OBJECTION);
        let stops = |row: &usize| told_holds(found, *row) && found.time(*row, "withdrawn_at").is_none();
        let records: BTreeSet<&str> =
            found.indexes().filter(stops).filter_map(|row| found.text(row, "record_id")).collect();
        let withdrawn: BTreeSet<&str> = found.indexes().filter_map(|row| found.text(row, "withdraws")).collect();
        let mut scopes: Vec<String> = Vec::new();
        for row in found.indexes() {
            let id = found.text(row, "objection_id").unwrap_or_default();
            if found.time(row, "withdrawn_at").is_some() && !withdrawn.contains(id) {
                self.comparison.mask(name::OBJECTION, found.key_of(row), "withdrawn_at");
                scopes.extend(found.text(row, "record_id").map(str::to_owned));
            }
        }
        for rows in tables.iter().filter(|rows| rows.table.role == Role::Records) {
            for row in rows.indexes() {
                let id = rows.text(row, "record_id").unwrap_or_default();
                let unexplained =
                    matches!(rows.text(row, "lockstep_scope"), Some("disputed" | "blocked")) && !records.contains(id);
                if unexplained || scopes.iter().any(|record| record == id) {
                    self.comparison.mask(&rows.table.name, rows.key_of(row), "lockstep_scope");
                }
            }
        }
    }

    fn broken_objection(&mut self, tables: &Tables, row: usize, code: Code, column: &str, problem: &str) {
        let found = tables.get(name::OBJECTION);
        let (table, key) = (found.table.clone(), found.key_of(row));
        let record = found.text(row, "record_id").map(str::to_owned);
        let message = format!("{}: {problem}", place(&table, &key, Some(column)));
        let mut broken = finding(code, &table, &key, Some(column.to_owned()), record, found.count(row, "seq"), message);
        broken.found = found.cell(row, column).show();
        self.comparison.findings.push(broken);
    }
}

fn told_holds(found: &Found, row: usize) -> bool {
    *found.cell(row, "holds") == Cell::Boolean(true)
}

/// What the columns of a row say, where its statement is damaged; as much of it as other rows depend on.
fn told_statement(found: &Found, row: usize, network: Digest) -> Option<(Digest, Statement)> {
    let complaint = found.text(row, "kind").and_then(|kind| Complaint::parse(kind).ok());
    let statement = Statement {
        network,
        node: NodeName::parse(found.text(row, "node")?).ok()?,
        time: found.time(row, "time").unwrap_or(Timestamp::MIN),
        complaint: complaint?,
        log: found.text(row, "log")?.to_owned(),
        position: found.count(row, "position"),
        intent: found.digest(row, "intent_id"),
        record: found.text(row, "record_id").and_then(|record| RecordId::parse(record).ok()),
        event: None,
        evidence: None,
        withdraws: found.digest(row, "withdraws"),
    };
    Some((found.digest(row, "objection_id")?, statement))
}
