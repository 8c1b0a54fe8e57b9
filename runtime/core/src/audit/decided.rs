//! One intent with its outcome: its evidence is checked, its rows are derived.
//!
//! What is damaged is named, and the columns that only it proves are left out of the comparison; everything
//! else of the intent is derived all the same.

use crate::codes::Code;
use crate::crypto::{Digest, Salt};
use crate::execute::Judged;
use crate::intent::{Call, Inspected, Payload, Target, VerifiedIntent, Whole, inspect};
use crate::names::{ActorId, NodeName, RecordId};
use crate::outcome::{Ending, Outcome, Reasons};
use crate::project::Projection;
use crate::received::Received;
use crate::tables::{Cell, name};
use crate::time::Timestamp;

use super::derive::{Walk, code_for};
use super::found::Tables;
use super::received::{Arrival, Known};
use super::words::{finding, place};

/// What is known of an intent while its events are checked.
pub(super) struct Deciding<'a> {
    /// The log that its events name.
    pub(super) log: String,
    /// What its receipt says, where another node sequenced it.
    pub(super) received: Option<Received>,
    /// How much of its events must be opened.
    pub(super) whole: Whole,
    pub(super) id: Digest,
    pub(super) time: Timestamp,
    /// The outcome, where all of it is sound and in the log.
    pub(super) outcome: Option<&'a Outcome>,
    pub(super) events: Vec<Digest>,
    pub(super) targets: Vec<RecordId>,
    pub(super) actor: Option<ActorId>,
    /// Whether contract and method are known.
    pub(super) opened: bool,
}

impl Walk<'_> {
    pub(super) fn intent_leaf(
        &mut self,
        projection: &mut Projection,
        tables: &Tables,
        position: u64,
        row: Option<usize>,
        hash: Digest,
    ) {
        let outcomes = std::mem::take(&mut self.outcomes);
        let found = row.and_then(|row| outcomes.get(row));
        let receipt = match found {
            Some(found) => found.receipt.clone(),
            None => self.receipts.with_leaf(&hash).cloned(),
        };
        if let Some(receipt) = receipt {
            let (known, arrival) = self.arrival(tables, &receipt, found, row, &hash);
            self.decide(projection, tables, position, row, hash, known, Some(arrival));
            self.outcomes = outcomes;
            return;
        }
        let trusted = found.filter(|found| found.hash == Some(hash));
        let outcome = trusted.and_then(|found| found.outcome.as_ref());
        let facts = trusted.and_then(|found| found.facts.as_ref());
        let problem = match (trusted, found) {
            (Some(found), _) => found.problem.clone(),
            (None, Some(found)) => {
                Some(found.problem.clone().unwrap_or_else(|| "its leaf is not the one in the log".to_owned()))
            }
            (None, None) => None,
        };
        self.decide(projection, tables, position, row, hash, (outcome, facts, problem), None);
        self.outcomes = outcomes;
    }

    #[allow(clippy::too_many_arguments)]
    fn decide(
        &mut self,
        projection: &mut Projection,
        tables: &Tables,
        position: u64,
        row: Option<usize>,
        hash: Digest,
        (outcome, facts, problem): Known<'_>,
        arrival: Option<Arrival>,
    ) {
        let rows = tables.get(name::INTENT);
        let received = arrival.as_ref().and_then(|arrival| arrival.trusted.as_ref());
        let proven = facts.map(|facts| facts.intent).or(received.map(|received| received.intent));
        let seq = self.seq_judged_under(outcome);
        let whole = if arrival.is_some() { Whole::Some } else { Whole::All };
        let mut inspected = match row {
            Some(row) => inspect(rows.bytes(row, "envelope"), rows.bytes(row, "openings"), whole, proven, |payload| {
                self.agreed.keys_for(&payload.actor, seq, facts.map(|facts| facts.submitted))
            }),
            None => Inspected::default(),
        };
        if let (Some(received), Some(row)) = (received, row)
            && received.openings != Digest::of(rows.bytes(row, "openings"))
        {
            let other = || "they are not those that were received".to_owned();
            (inspected.opened, inspected.openings) = (None, Some(inspected.openings.unwrap_or_else(other)));
        }
        let orphan = self
            .lookup
            .orphans_at
            .get(&position)
            .and_then(|ids| ids.first())
            .and_then(|id| self.lookup.headers.get(id))
            .map(|header| header.intent);
        let payload_id = inspected.payload.as_ref().map(|(id, _)| *id);
        let told = row.and_then(|row| rows.digest(row, "intent_id"));
        let id = proven.or(payload_id).or(told).or(orphan).unwrap_or(hash);
        let from = arrival.as_ref().and_then(Arrival::log);
        let elsewhere = inspected.payload.as_ref().is_some_and(|(_, payload)| payload.sequencer != self.node);
        let problem = match (&arrival, elsewhere) {
            (None, true) => {
                self.missing_receipt(tables, &id);
                None
            }
            _ => problem,
        };
        let sequencer = match (&from, &arrival) {
            (Some((_, node)), _) => Some(node.clone()),
            (None, None) if !elsewhere => Some(self.node.clone()),
            _ => None,
        };
        self.judge_evidence(tables, row, id, &inspected, sequencer.as_ref(), outcome, problem);
        let cell = |column: &str| row.and_then(|row| rows.text(row, column));
        let time_of = |column: &str| row.and_then(|row| rows.time(row, column));
        let events = match (received, facts) {
            // Of an intent over several records a replica has only the events that it may follow.
            (Some(received), _) => received.events.iter().map(|(event, _)| *event).collect(),
            (None, Some(facts)) => facts.events.clone(),
            (None, None) => self.orphans(&id, position),
        };
        let header_time = events.first().and_then(|event| self.lookup.headers.get(event)).map(|header| header.time);
        let time = facts.map(|facts| facts.time).or(header_time).or(time_of("decided_at")).unwrap_or(self.time);
        let (call, targets) = inspected.opened.clone().unwrap_or_else(|| {
            let reasons = outcome.and_then(Outcome::reasons);
            let judged = reasons.into_iter().flat_map(|reasons| &reasons.judged.reads).map(|read| read.record.clone());
            let first = cell("record_id").and_then(|text| RecordId::parse(text).ok());
            let headers =
                events.iter().filter_map(|event| self.lookup.headers.get(event)).map(|header| header.record.clone());
            let mut all: Vec<RecordId> = judged.collect();
            if all.is_empty() {
                all = headers.chain(first).collect();
            }
            (Call::Hidden, all.into_iter().map(|record| Target { record, expect: None }).collect())
        });
        let payload = inspected.payload.clone().map_or_else(
            || Payload {
                network: self.network,
                sequencer: self.node.clone(),
                actor: cell("actor").and_then(|text| ActorId::parse(text).ok()).unwrap_or_else(ActorId::nobody),
                nonce: id,
                expires: time,
                not_before: None,
                call: id,
                records: Vec::new(),
            },
            |(_, payload)| payload,
        );
        let actor = inspected.payload.as_ref().map(|(_, payload)| payload.actor.clone());
        let deciding = Deciding {
            log: from.as_ref().map_or(self.log.clone(), |(log, _)| (*log).to_owned()),
            received: received.cloned(),
            whole,
            id,
            time,
            outcome,
            events,
            targets: targets.iter().map(|target| target.record.clone()).collect(),
            actor,
            opened: inspected.opened.is_some(),
        };
        let stored = |column: &str| row.map(|row| rows.bytes(row, column).to_vec()).unwrap_or_default();
        let intent = VerifiedIntent::adopted(id, payload, call, targets, stored("envelope"), stored("openings"));
        let sound = inspected.envelope.is_none() && inspected.openings.is_none() && inspected.payload.is_some();
        let judged = outcome.filter(|_| sound);
        let rerun = judged.and_then(|outcome| self.rerun(&intent, outcome));
        let rehearsed = judged.and_then(|outcome| self.rehearse(&intent, outcome));
        let sealed: Vec<_> = deciding.events.iter().filter_map(|event| self.event(tables, event, &deciding)).collect();
        if let (Some(rerun), Some(outcome)) = (rerun, outcome) {
            self.hold_against(tables, &intent, outcome, &rerun, &sealed);
        }
        if let (Some(rehearsed), Some(outcome)) = (rehearsed, outcome) {
            self.note_rehearsed(&intent, outcome, &rehearsed, &sealed);
        }
        let whole = outcome.cloned().unwrap_or_else(|| {
            let ending = match facts {
                Some(facts) => facts.ending,
                None => {
                    if deciding.events.is_empty() {
                        Ending::Rejected
                    } else {
                        Ending::Applied
                    }
                }
            };
            let submitted = facts.map(|facts| facts.submitted).or(time_of("submitted_at")).unwrap_or(time);
            let directory = (self.agreed.directory.seq(), self.agreed.directory.head());
            let package = sealed.first().map(|event| event.header.package);
            let reasons = Reasons {
                rejected: None,
                judged: Judged { reads: Vec::new(), package },
                directory,
                salts: [Salt::from(*id.as_bytes()); 4],
            };
            Outcome {
                network: self.network,
                intent: id,
                ending,
                submitted,
                time,
                events: deciding.events.clone(),
                said: reasons.into(),
            }
        });
        match &arrival {
            Some(arrival) => self.project_received(projection, tables, arrival, hash, (&intent, &whole, &sealed)),
            None => drop(projection.outcome_at(hash, &intent, &whole, &sealed, &self.agreed.directory)),
        }
        self.time = self.time.max(time);
        self.time_known = facts.is_some() || header_time.is_some() || row.is_some();
    }

    /// The events of an intent whose leaf cannot be read: those that name it and that nobody else claims.
    fn orphans(&self, id: &Digest, position: u64) -> Vec<Digest> {
        let named = self.lookup.orphans.get(id).or_else(|| self.lookup.orphans_at.get(&position));
        let mut events = named.cloned().unwrap_or_default();
        events.sort_by_key(|event| self.lookup.headers.get(event).map(|header| header.record.clone()));
        events
    }

    /// The seq of the directory that an outcome was judged under, as far as it is told.
    fn seq_judged_under(&self, outcome: Option<&Outcome>) -> u64 {
        let told = outcome.and_then(|outcome| match outcome.reasons() {
            Some(reasons) => Some(reasons.directory.0),
            None => Some(self.lookup.headers.get(outcome.events.first()?)?.directory.0),
        });
        told.unwrap_or(self.agreed.directory.seq())
    }

    /// Names what is damaged of an intent's three pieces of evidence, and what is therefore not compared.
    #[allow(clippy::too_many_arguments)]
    fn judge_evidence(
        &mut self,
        tables: &Tables,
        row: Option<usize>,
        id: Digest,
        inspected: &Inspected,
        sequencer: Option<&NodeName>,
        outcome: Option<&Outcome>,
        problem: Option<String>,
    ) {
        let key = vec![Cell::Text(id.to_string())];
        let doubted = inspected.payload.as_ref().is_some_and(|(_, payload)| self.agreed.doubts(&payload.actor));
        let foreign = inspected.payload.as_ref().and_then(|(_, payload)| {
            (payload.network != self.network || sequencer.is_some_and(|node| payload.sequencer != *node))
                .then(|| format!("it is for node {} of network {}", payload.sequencer, payload.network))
        });
        let other = outcome
            .filter(|outcome| outcome.network != self.network)
            .map(|outcome| format!("it is for network {}", outcome.network));
        let envelope = inspected.envelope.clone().or(foreign);
        let problems = [
            ("envelope", envelope.filter(|_| !doubted)),
            ("openings", inspected.openings.clone()),
            ("outcome", problem.clone().or(other)),
        ];
        for (column, problem) in problems {
            if let Some((problem, row)) = problem.zip(row) {
                self.broken_evidence(tables, name::INTENT, row, key.clone(), column, &problem);
            }
        }
        let mut hide = |proof: &'static str, column: &str| {
            if !proof.is_empty() {
                self.comparison.mask_proof(name::INTENT, key.clone(), proof);
            }
            self.comparison.mask(name::INTENT, key.clone(), column);
        };
        if inspected.envelope.is_some() {
            hide(if inspected.payload.is_none() { "envelope" } else { "" }, "envelope");
        }
        if inspected.opened.is_none() {
            hide("openings", "openings");
        }
        if outcome.is_none() {
            hide("outcome", "outcome");
        }
    }

    /// A finding about a cell of evidence.
    pub(super) fn broken_evidence(
        &mut self,
        tables: &Tables,
        table: &str,
        row: usize,
        key: Vec<Cell>,
        column: &str,
        problem: &str,
    ) {
        let found = tables.get(table);
        let code = code_for(found.bytes(row, column));
        let cells = found.rows.get(row).map(Vec::as_slice).unwrap_or_default();
        let (record_id, seq) = self.comparison.record_of(&found.table, cells);
        let message = format!("{}: {problem}", place(&found.table, &key, Some(column)));
        let mut broken = finding(code, &found.table, &key, Some(column.to_owned()), record_id, seq, message);
        broken.found = found.cell(row, column).show();
        self.comparison.findings.push(broken);
    }

    /// A finding about an outcome that another execution does not reach.
    pub(super) fn differs(&mut self, tables: &Tables, intent: &VerifiedIntent, message: String) {
        let table = tables.get(name::INTENT).table.clone();
        let key = [Cell::Text(intent.id().to_string())];
        let record = intent.targets().first().map(|target| target.record.to_string());
        let message = format!("{}: executed again, {message}", place(&table, &key, None));
        self.comparison.findings.push(finding(
            Code::ExecutionDiffers,
            &table,
            &key,
            Some("outcome".to_owned()),
            record,
            None,
            message,
        ));
    }
}
