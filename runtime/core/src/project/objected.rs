//! Objections become rows: the statement's own, the end of the one that it withdraws, and the scope of its record.

use crate::crypto::Digest;
use crate::database::Write;
use crate::directory::Directory;
use crate::log::leaf_hash;
use crate::record::States;
use crate::sync::{Evidence, SignedObjection, Statement};
use crate::tables::{Cell, Row, name};

use super::{Projection, Scoped, rows};

/// The key in `lockstep_meta` that counts the rows of `lockstep_objection`: a lost one is known for what it was.
pub(crate) const OBJECTIONS: &str = "objections";

impl Projection {
    /// Adds an objection, of this node or another, with the record concerned as it stands here. The log's time does not
    /// move: the statement's is another's clock.
    pub fn objection(
        &mut self,
        signed: &SignedObjection,
        evidence: Option<&Evidence>,
        directory: &Directory,
        states: &States,
    ) {
        let proven = evidence.is_some_and(|evidence| evidence.stops(directory));
        let holds = self.holds(&signed.statement, proven);
        let message = evidence.and_then(|evidence| evidence.message(directory));
        let position = self.append_same_time(leaf_hash(&signed.leaf()));
        let stored = evidence.map(Evidence::stored);
        let row = rows::objection_row(signed, holds, message, position, stored);
        self.objection_rows((signed.id, &signed.statement), holds, row, directory, states);
    }

    /// Whether a record stops for a statement: this node's own, or one that proves itself.
    pub(crate) fn holds(&self, statement: &Statement, proven: bool) -> bool {
        let own = self.ledger.log.split('/').next() == Some(statement.node.as_str());
        statement.withdraws.is_none() && statement.record.is_some() && (own || proven)
    }

    /// The rows of an objection whose leaf is appended.
    pub(crate) fn objection_rows(
        &mut self,
        (id, statement): (Digest, &Statement),
        holds: bool,
        row: Row,
        directory: &Directory,
        states: &States,
    ) {
        self.write(name::OBJECTION, Write::Insert(row));
        if let Some(withdrawn) = &statement.withdraws {
            let key = vec![Cell::Text(withdrawn.to_string())];
            let at = self.own.get(name::OBJECTION).and_then(|table| table.position("withdrawn_at"));
            let set = at.into_iter().map(|at| (at, Cell::Timestamp(statement.time))).collect();
            self.write(name::OBJECTION, Write::Update { key, set });
        }
        self.ledger.disputes_mut().add(id, statement, holds);
        self.count_objections();
        let Some(record) = &statement.record else { return };
        let state = states.get(record).cloned().flatten();
        let entry = state.as_ref().and_then(|state| directory.specs().get(&state.spec_digest)).cloned();
        if let Some((entry, state)) = entry.zip(state) {
            self.scoped.insert(record.clone(), Scoped { entry, state });
        }
    }

    /// Counts an objection of which only the leaf is left.
    pub(crate) fn lost_objection(&mut self) {
        self.ledger.disputes_mut().add_lost();
        self.count_objections();
    }

    fn count_objections(&mut self) {
        let count = self.ledger.disputes.count().to_string();
        self.write(name::META, Write::Put(vec![Cell::Text(OBJECTIONS.to_owned()), Cell::Text(count)]));
    }

    /// The scopes of records that became disputed, or are no longer, and that nothing else writes.
    pub(super) fn write_scopes(&mut self) {
        for (record, Scoped { entry, state }) in std::mem::take(&mut self.scoped) {
            let (before, after) = (self.before.disputes.stop(&record), self.ledger.disputes.stop(&record));
            if before == after || self.records.contains_key(&record) {
                continue;
            }
            let Some(at) = entry.table.position("lockstep_scope") else { continue };
            let set = vec![(at, Cell::Text(rows::scope(&state, after).to_owned()))];
            let write = Write::Update { key: vec![Cell::Text(record.to_string())], set };
            self.write_record(&entry, &entry.table, write);
        }
    }
}
