//! Events whose evidence is damaged or gone: what they did, from what is left of them.
//!
//! A damaged header is put together again from what the outcome and the openings say, and its hash tells whether
//! that is right. Everything else is made up from the rows that tell of the event.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::{Context, Digest, Salt, commit, commit_canonical};
use crate::directory::SpecEntry;
use crate::event::{CONTENT_DOMAIN, EventOpenings, Header, READS_DOMAIN, SealedSection, reads_json, seal_section};
use crate::intent::Whole;
use crate::json::{Json, Limits, Object, Operation};
use crate::names::RecordId;
use crate::record::{RecordState, SectionState};
use crate::seal::{SealedEvent, on_after};
use crate::tables::{Cell, Role, name};

use super::changed::Remains;
use super::decided::Deciding;
use super::derive::Walk;
use super::found::Tables;

impl Walk<'_> {
    /// The record of an event whose header is gone.
    pub(super) fn guess_record(
        &self,
        tables: &Tables,
        id: &Digest,
        row: Option<usize>,
        deciding: &Deciding<'_>,
    ) -> Option<RecordId> {
        let told = row.and_then(|row| RecordId::parse(tables.get(name::EVENT).text(row, "record_id")?).ok());
        let next = || {
            self.lookup
                .by_prev
                .get(id)
                .and_then(|next| self.lookup.headers.get(next))
                .map(|header| header.record.clone())
        };
        let others: Vec<&RecordId> = deciding
            .events
            .iter()
            .filter_map(|event| self.lookup.headers.get(event))
            .map(|header| &header.record)
            .collect();
        let left = || {
            let mut left = deciding.targets.iter().filter(|record| !others.contains(record));
            left.next().filter(|_| left.next().is_none()).cloned()
        };
        let by_head = || {
            let wanted = Cell::Text(id.to_string());
            tables.iter().find_map(|found| {
                found
                    .indexes()
                    .find(|row| *found.cell(*row, "lockstep_head") == wanted)
                    .and_then(|row| RecordId::parse(found.text(row, "record_id")?).ok())
            })
        };
        told.filter(|record| deciding.targets.is_empty() || deciding.targets.contains(record))
            .or_else(next)
            .or_else(left)
            .or_else(by_head)
    }

    /// Puts a damaged header together again; right only where its hash is the event's id.
    pub(super) fn reconstruct(
        &self,
        tables: &Tables,
        id: &Digest,
        row: usize,
        openings: &EventOpenings,
        deciding: &Deciding<'_>,
    ) -> Option<Header> {
        let reasons = deciding.outcome?.reasons()?;
        let told = tables.get(name::EVENT).text(row, "record_id").and_then(|text| RecordId::parse(text).ok());
        let candidates = told.iter().chain(&deciding.targets);
        candidates.into_iter().find_map(|record| {
            let before = self.states.get(record).map(|track| track.state.clone());
            let package = reasons.judged.package?;
            let specs = self.agreed.directory.specs();
            specs.keys().find_map(|spec| {
                let header =
                    self.header_from(record, before.as_deref(), openings, *spec, package, deciding, reasons.directory)?;
                (header.id() == *id).then_some(header)
            })
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn header_from(
        &self,
        record: &RecordId,
        before: Option<&RecordState>,
        openings: &EventOpenings,
        spec: Digest,
        package: Digest,
        deciding: &Deciding<'_>,
        directory: (u64, Digest),
    ) -> Option<Header> {
        let (epoch, seq) = before.map_or((1, 1), |state| (state.epoch, state.seq + 1));
        let mut sections: BTreeMap<String, SealedSection> = before
            .iter()
            .flat_map(|state| &state.sections)
            .map(|(name, state)| {
                (name.clone(), SealedSection { seq: state.seq, content: state.commitment, written: None })
            })
            .collect();
        for (name, body) in &openings.sections {
            let mut content = before.map_or(Json::Null, |state| Json::clone(&state.content(name)));
            for operation in &body.changes {
                operation.apply(&mut content).ok()?;
            }
            sections.insert(
                name.clone(),
                seal_section(&self.network, record, name, seq, content.canonical().as_bytes(), body),
            );
        }
        let context = Context {
            domain: READS_DOMAIN,
            network: Some(&self.network),
            record: Some(record.as_str()),
            section: None,
            seq: Some(seq),
        };
        Some(Header {
            network: self.network,
            log: self.log.clone(),
            record: record.clone(),
            epoch,
            seq,
            prev: before.map(|state| state.head),
            spec,
            package,
            directory,
            intent: deciding.id,
            sequencer: self.node.clone(),
            time: deciding.time,
            sections,
            reads: openings.reads.as_ref().map(|(salt, reads)| commit(salt, &context, &reads_json(reads)))?,
        })
    }

    /// The rows that tell of an event stand for themselves from here on.
    fn adopt(&mut self, tables: &Tables, id: &Digest) -> Vec<usize> {
        for table in [name::CHANGE, name::OUTBOX] {
            let rows = self.lookup.of_event.get(&(table, id.to_string())).cloned().unwrap_or_default();
            for row in rows {
                if let Some(cells) = tables.get(table).rows.get(row) {
                    self.comparison.expect(table, cells.clone(), tables);
                }
            }
        }
        self.lookup.of_event.get(&(name::CHANGE, id.to_string())).cloned().unwrap_or_default()
    }

    /// An event made up from the rows of its changes.
    pub(super) fn make_up(
        &mut self,
        tables: &Tables,
        id: &Digest,
        record: &RecordId,
        remains: &Remains,
        before: Option<Arc<RecordState>>,
        deciding: &Deciding<'_>,
    ) -> Option<SealedEvent> {
        let rows = self.adopt(tables, id);
        // Which sections a replica was not shown stands in header and openings only.
        if deciding.whole == Whole::Some {
            self.comparison.doubtful.insert(record.to_string());
        }
        let package = remains
            .header
            .as_ref()
            .map(|header| header.package)
            .or_else(|| deciding.outcome?.reasons()?.judged.package);
        let entry = self.entry(tables, record, remains, before.as_deref(), package)?;
        let package = package.or_else(|| {
            self.agreed
                .directory
                .contracts()
                .get(&entry.contract)?
                .get(&entry.version)
                .map(|found| found.manifest.digest())
        })?;
        let on = on_after(&entry, &self.agreed.directory.package(&package)?.manifest, before.as_deref());
        let (epoch, seq, prev) =
            before.as_ref().map_or((1, 1, None), |state| (state.epoch, state.seq + 1, Some(state.head)));
        let mut contents: BTreeMap<String, Json> = BTreeMap::new();
        for (section, operation) in operations(tables, &rows) {
            let content = contents
                .entry(section.clone())
                .or_insert_with(|| before.as_ref().map_or(Json::Null, |state| Json::clone(&state.content(&section))));
            if operation.is_none_or(|operation| operation.apply(content).is_err()) {
                self.comparison.doubtful.insert(record.to_string());
            }
        }
        let nothing = Salt::from([0; 32]);
        let header = remains.header.clone().unwrap_or_else(|| Header {
            network: self.network,
            log: self.log.clone(),
            record: record.clone(),
            epoch,
            seq,
            prev,
            spec: entry.spec.digest(),
            package,
            directory: (self.agreed.directory.seq(), self.agreed.directory.head()),
            intent: deciding.id,
            sequencer: self.node.clone(),
            time: deciding.time,
            sections: BTreeMap::new(),
            reads: *id,
        });
        let mut sections = before.as_ref().map(|state| state.sections.clone()).unwrap_or_default();
        let mut canonical: BTreeMap<String, Arc<str>> = BTreeMap::new();
        for (name, content) in contents {
            let text: Arc<str> = content.canonical().into();
            let context = Context {
                domain: CONTENT_DOMAIN,
                network: Some(&self.network),
                record: Some(record.as_str()),
                section: Some(&name),
                seq: Some(seq),
            };
            let commitment = commit_canonical(&nothing, &context, text.as_bytes());
            sections.insert(
                name.clone(),
                SectionState { seq, content: Arc::new(content), hidden: false, commitment, bytes: text.len() },
            );
            canonical.insert(name, text);
        }
        for (name, sealed) in &header.sections {
            let section = sections.entry(name.clone()).or_insert_with(|| SectionState {
                seq,
                content: Arc::new(Json::Null),
                hidden: false,
                commitment: sealed.content,
                bytes: 4,
            });
            (section.seq, section.commitment) = (sealed.seq, sealed.content);
        }
        let after = RecordState {
            spec: entry.name.clone(),
            spec_digest: entry.spec.digest(),
            on,
            epoch: header.epoch,
            seq: header.seq,
            head: *id,
            sections,
        };
        let stored = |column: &str| {
            remains.row.map(|row| tables.get(name::EVENT).bytes(row, column).to_vec()).unwrap_or_default()
        };
        let openings = EventOpenings::default();
        let (header_stored, openings_stored) = (stored("header"), stored("openings"));
        Some(SealedEvent {
            id: *id,
            header,
            header_stored,
            openings,
            openings_stored,
            entry,
            before,
            after: Arc::new(after),
            applied: BTreeMap::new(),
            contents: canonical,
        })
    }

    /// The spec under which an event was judged, as far as anything still tells.
    fn entry(
        &self,
        tables: &Tables,
        record: &RecordId,
        remains: &Remains,
        before: Option<&RecordState>,
        package: Option<Digest>,
    ) -> Option<Arc<SpecEntry>> {
        let directory = &self.agreed.directory;
        if let Some(header) = &remains.header {
            return directory.specs().get(&header.spec).cloned();
        }
        let cell = remains.row.and_then(|row| tables.get(name::EVENT).text(row, "spec"));
        let holder = || {
            tables.iter().find(|found| {
                found.table.role == Role::Records && !found.with_key(&[Cell::Text(record.to_string())]).is_empty()
            })
        };
        let spec = before
            .map(|state| state.spec.to_string())
            .or_else(|| cell.map(str::to_owned))
            .or_else(|| holder().map(|found| found.table.name.clone()))?;
        let own = package.and_then(|digest| directory.package(&digest)).and_then(|found| {
            found.manifest.specs.iter().find(|(name, _)| name.as_str() == spec).map(|(_, body)| body.digest())
        });
        let newest = || {
            directory
                .specs()
                .values()
                .filter(|entry| entry.name.as_str() == spec)
                .max_by_key(|entry| entry.seq)
                .cloned()
        };
        own.and_then(|digest| directory.specs().get(&digest).cloned()).or_else(newest)
    }

    /// Too little is left: what tells of the event stands for itself, and its record is not followed any more.
    pub(super) fn give_up(&mut self, tables: &Tables, id: &Digest, row: Option<usize>, record: Option<&RecordId>) {
        drop(self.adopt(tables, id));
        let rows = tables.get(name::EVENT);
        match row.and_then(|row| rows.rows.get(row)) {
            Some(cells) => self.comparison.expect(name::EVENT, cells.clone(), tables),
            None => {
                let mut cells = vec![Cell::Null; rows.table.columns.len()];
                if let Some(first) = cells.first_mut() {
                    *first = Cell::Text(id.to_string());
                }
                self.comparison.expect(name::EVENT, cells, tables);
            }
        }
        let told = row.and_then(|row| rows.text(row, "record_id").map(str::to_owned));
        self.comparison.doubtful.extend(record.map(ToString::to_string).or(told));
    }
}

/// The operations that rows of changes tell of, in order; `None` where a row makes no sense.
fn operations(tables: &Tables, rows: &[usize]) -> Vec<(String, Option<Operation>)> {
    let changes = tables.get(name::CHANGE);
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| changes.count(*row, "position"));
    let one = |row: &usize| {
        let section = changes.text(*row, "section")?.to_owned();
        let mut members: Vec<(String, Json)> = Vec::new();
        for (column, member) in [("op", "op"), ("path", "path"), ("from_path", "from")] {
            members.extend(changes.text(*row, column).map(|text| (member.to_owned(), Json::from(text))));
        }
        let limits = Limits { bytes: 64 << 20, ..Limits::default() };
        let value = changes.text(*row, "value").and_then(|text| Json::parse(text.as_bytes(), &limits).ok());
        // A move or copy has no value of its own; what it brought stands there for people.
        let own = changes.text(*row, "from_path").is_none();
        members.extend(value.filter(|_| own).map(|value| ("value".to_owned(), value)));
        let operation = Operation::from_json(&Json::Object(members.into_iter().collect::<Object>())).ok();
        Some((section, operation))
    };
    rows.iter().filter_map(one).collect()
}
