//! One intent with its outcome: its evidence is checked, its rows are derived.
//!
//! What is damaged is named, and the columns that only it proves are left out of the comparison; everything
//! else of the intent is derived all the same.

use crate::codes::Code;
use crate::crypto::{Digest, Salt};
use crate::execute::Judged;
use crate::intent::{Call, Inspected, Payload, Target, VerifiedIntent, inspect};
use crate::names::{ActorId, RecordId, SpecName};
use crate::outcome::{Ending, LeafFacts, Outcome, Reasons};
use crate::project::Projection;
use crate::tables::{Cell, name};
use crate::time::Timestamp;

use super::derive::{Walk, code_for};
use super::found::Tables;
use super::words::{finding, place};

/// What is known of an intent while its events are checked.
pub(super) struct Deciding<'a> {
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
        self.decide(projection, tables, position, row, hash, (outcome, facts, problem));
        self.outcomes = outcomes;
    }

    fn decide(
        &mut self,
        projection: &mut Projection,
        tables: &Tables,
        position: u64,
        row: Option<usize>,
        hash: Digest,
        (outcome, facts, problem): (Option<&Outcome>, Option<&LeafFacts>, Option<String>),
    ) {
        let rows = tables.get(name::INTENT);
        let proven = facts.map(|facts| facts.intent);
        let seq = outcome.map_or(self.agreed.directory.seq(), |outcome| outcome.reasons.directory.0);
        let inspected = match row {
            Some(row) => inspect(rows.bytes(row, "envelope"), rows.bytes(row, "openings"), proven, |payload| {
                self.agreed.keys_for(&payload.actor, seq, facts.map(|facts| facts.submitted))
            }),
            None => Inspected::default(),
        };
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
        self.judge_evidence(tables, row, id, &inspected, outcome, problem);
        let cell = |column: &str| row.and_then(|row| rows.text(row, column));
        let time_of = |column: &str| row.and_then(|row| rows.time(row, column));
        let events = facts.map_or_else(|| self.orphans(&id, position), |facts| facts.events.clone());
        let header_time = events.first().and_then(|event| self.lookup.headers.get(event)).map(|header| header.time);
        let time = facts.map(|facts| facts.time).or(header_time).or(time_of("decided_at")).unwrap_or(self.time);
        let (call, targets) = inspected.opened.clone().unwrap_or_else(|| {
            let judged =
                outcome.into_iter().flat_map(|outcome| &outcome.reasons.judged.reads).map(|read| read.record.clone());
            let first = cell("record_id").and_then(|text| RecordId::parse(text).ok());
            let headers =
                events.iter().filter_map(|event| self.lookup.headers.get(event)).map(|header| header.record.clone());
            let mut all: Vec<RecordId> = judged.collect();
            if all.is_empty() {
                all = headers.chain(first).collect();
            }
            (
                Call::Changes { spec: SpecName::unknown(), changes: Vec::new() },
                all.into_iter().map(|record| Target { record, expect: None }).collect(),
            )
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
                reasons,
            }
        });
        projection.outcome_at(hash, &intent, &whole, &sealed, &self.agreed.directory);
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

    /// Names what is damaged of an intent's three pieces of evidence, and what is therefore not compared.
    fn judge_evidence(
        &mut self,
        tables: &Tables,
        row: Option<usize>,
        id: Digest,
        inspected: &Inspected,
        outcome: Option<&Outcome>,
        problem: Option<String>,
    ) {
        let key = vec![Cell::Text(id.to_string())];
        let doubted = inspected.payload.as_ref().is_some_and(|(_, payload)| self.agreed.doubts(&payload.actor));
        let foreign = inspected.payload.as_ref().and_then(|(_, payload)| {
            (payload.network != self.network || payload.sequencer != self.node)
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
