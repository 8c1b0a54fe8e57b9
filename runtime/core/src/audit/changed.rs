//! One event of a record: its evidence is checked, the record's state goes on.
//!
//! What is damaged is named here; `restored` says what such an event did, so that the record's later events can
//! still be checked.

use std::sync::Arc;

use crate::crypto::Digest;
use crate::event::{EventOpenings, Header, seal_section};
use crate::intent::Whole;
use crate::json::Json;
use crate::names::RecordId;
use crate::record::{RecordState, SectionState};
use crate::seal::{SealedEvent, replay};
use crate::tables::{Cell, name};

use super::compare::Note;
use super::decided::Deciding;
use super::derive::{Track, Walk};
use super::found::Tables;

/// What is left of an event.
pub(super) struct Remains {
    pub(super) row: Option<usize>,
    pub(super) header: Option<Header>,
    pub(super) openings: Option<EventOpenings>,
}

/// Whether the openings are those that this database must have of the event.
fn check(openings: &EventOpenings, header: &Header, deciding: &Deciding<'_>) -> Result<(), String> {
    match (&deciding.received, deciding.whole) {
        (Some(received), _) if !received.has(&header.id(), openings) => {
            Err("they are not those that were received".to_owned())
        }
        (_, Whole::Some) => openings.check_some(header),
        (_, Whole::All) => openings.check(header),
    }
}

impl Walk<'_> {
    /// Checks an event and goes on with its record; `None` where too little is left to say what it did.
    pub(super) fn event(&mut self, tables: &Tables, id: &Digest, deciding: &Deciding<'_>) -> Option<SealedEvent> {
        self.events += 1;
        let mut remains = self.remains(tables, id, deciding);
        let record = remains
            .header
            .as_ref()
            .map(|header| header.record.clone())
            .or_else(|| self.guess_record(tables, id, remains.row, deciding));
        let Some(record) = record else {
            self.give_up(tables, id, remains.row, None);
            return None;
        };
        self.mask_unknown(id, deciding);
        let before = self.before(&record, remains.header.as_ref());
        let sealed = match (&remains.header, &remains.openings) {
            (Some(header), Some(openings)) => {
                match replay(header.clone(), openings.clone(), before.clone(), &self.agreed.directory) {
                    Ok(sealed) => Some(sealed),
                    Err(problem) => {
                        match self.false_salt(header, openings, before.as_deref()) {
                            Some(problem) => {
                                self.broken_openings(tables, id, remains.row, &problem);
                                remains.openings = None;
                            }
                            None => self.note_unfit(tables, id, &record, remains.row, &problem.to_string()),
                        }
                        None
                    }
                }
            }
            _ => None,
        };
        let sealed = sealed.or_else(|| self.make_up(tables, id, &record, &remains, before, deciding));
        let Some(sealed) = sealed else {
            self.give_up(tables, id, remains.row, Some(&record));
            return None;
        };
        let resync = remains.header.is_none();
        self.states.insert(record.clone(), Track { state: sealed.after.clone(), resync });
        self.note_sections(&sealed.after, &record);
        let actor = deciding.actor.as_ref().map(ToString::to_string);
        let note = Note {
            record: record.to_string(),
            seq: sealed.header.seq,
            actor,
            time: deciding.time,
            intent: deciding.id.to_string(),
        };
        self.comparison.note(id.to_string(), note);
        Some(sealed)
    }

    /// Finds the event's row, reads both pieces of evidence and names what is damaged.
    fn remains(&mut self, tables: &Tables, id: &Digest, deciding: &Deciding<'_>) -> Remains {
        let rows = tables.get(name::EVENT);
        let key = vec![Cell::Text(id.to_string())];
        let by_header = self.lookup.by_header.get(id).and_then(|found| {
            let own = found.iter().find(|row| rows.digest(**row, "event_id") == Some(*id));
            own.or(found.first()).copied()
        });
        let Some(row) = by_header.or_else(|| self.lookup.by_id.get(id).copied()) else {
            return Remains { row: None, header: None, openings: None };
        };
        let openings = EventOpenings::read(rows.bytes(row, "openings"));
        let mut header = by_header.and_then(|_| self.lookup.headers.get(id).cloned());
        if header.is_none() {
            header = openings.as_ref().ok().and_then(|openings| self.reconstruct(tables, id, row, openings, deciding));
            let problem = Header::read(rows.bytes(row, "header"))
                .err()
                .unwrap_or_else(|| "it is not the header whose hash the outcome names".to_owned());
            self.broken_evidence(tables, name::EVENT, row, key.clone(), "header", &problem);
            if let (Some(header), Some(last)) = (&header, self.comparison.findings.last_mut()) {
                last.expected = String::from_utf8(header.stored()).ok();
                (last.record_id, last.seq) = (Some(header.record.to_string()), Some(header.seq));
            }
            self.comparison.mask(name::EVENT, key.clone(), "header");
            if header.is_none() {
                self.comparison.mask_proof(name::EVENT, key.clone(), "header");
            }
        } else if let Some(problem) = header.as_ref().and_then(|header| self.misplaced(header, deciding)) {
            self.broken_evidence(tables, name::EVENT, row, key.clone(), "header", &problem);
        }
        let checked = openings.and_then(|openings| match &header {
            Some(header) => check(&openings, header, deciding).map(|()| openings),
            None => Ok(openings),
        });
        if let Err(problem) = &checked {
            self.broken_openings(tables, id, Some(row), problem);
        }
        Remains { row: Some(row), header, openings: checked.ok() }
    }

    fn broken_openings(&mut self, tables: &Tables, id: &Digest, row: Option<usize>, problem: &str) {
        let key = vec![Cell::Text(id.to_string())];
        if let Some(row) = row {
            self.broken_evidence(tables, name::EVENT, row, key.clone(), "openings", problem);
        }
        self.comparison.mask(name::EVENT, key, "openings");
    }

    /// What a header says that is not so, though the log has its hash.
    fn misplaced(&self, header: &Header, deciding: &Deciding<'_>) -> Option<String> {
        let known = self.agreed.links.iter().find(|link| link.seq == header.directory.0);
        let facts = [
            (header.network == self.network, "it is for another network"),
            (header.log == deciding.log, "it names another log"),
            (header.intent == deciding.id, "it is of another intent"),
            (header.time == deciding.time, "its time is not that of its outcome"),
            (
                deciding.outcome.is_none() || deciding.targets.contains(&header.record),
                "its record is none of the intent's",
            ),
            (known.is_none_or(|link| link.head == header.directory.1), "it was judged under another directory"),
        ];
        facts.into_iter().find(|(holds, _)| !holds).map(|(_, problem)| problem.to_owned())
    }

    /// The state before, brought in line with the next header after an event was lost.
    fn before(&self, record: &RecordId, header: Option<&Header>) -> Option<Arc<RecordState>> {
        let track = self.states.get(record)?;
        let Some(header) = header.filter(|_| track.resync) else { return Some(track.state.clone()) };
        let mut state = RecordState::clone(&track.state);
        for (name, sealed) in header.sections.iter().filter(|(_, sealed)| sealed.written.is_none()) {
            let section = state.sections.entry(name.clone()).or_insert_with(|| SectionState {
                seq: sealed.seq,
                content: Arc::new(Json::Null),
                hidden: false,
                commitment: sealed.content,
                bytes: 4,
            });
            (section.seq, section.commitment) = (sealed.seq, sealed.content);
        }
        state.sections.retain(|name, _| header.sections.contains_key(name));
        Some(Arc::new(state))
    }

    /// Where state before and changes are sure, a content that does not open its commitment has a false salt.
    fn false_salt(&self, header: &Header, openings: &EventOpenings, before: Option<&RecordState>) -> Option<String> {
        let continues =
            (header.seq, header.prev) == before.map_or((1, None), |state| (state.seq + 1, Some(state.head)));
        if !continues || self.comparison.doubtful.contains(header.record.as_str()) {
            return None;
        }
        openings.sections.iter().find_map(|(name, body)| {
            let mut content = before.map_or(Json::Null, |state| Json::clone(&state.content(name)));
            for operation in &body.changes {
                operation.apply(&mut content).ok()?;
            }
            let sealed =
                seal_section(&self.network, &header.record, name, header.seq, content.canonical().as_bytes(), body);
            let fits = header.sections.get(name).is_some_and(|section| section.content == sealed.content);
            (!fits).then(|| format!("the content of section {name} does not open with the salt in it"))
        })
    }

    /// Sound evidence that does not continue its record: named, unless something before it is damaged already.
    fn note_unfit(&mut self, tables: &Tables, id: &Digest, record: &RecordId, row: Option<usize>, problem: &str) {
        let first = self.comparison.doubtful.insert(record.to_string());
        let damaged = self.states.get(record).is_some_and(|track| track.resync) || !self.agreed.mended.is_empty();
        if let Some(row) = row.filter(|_| first && !damaged) {
            self.broken_evidence(tables, name::EVENT, row, vec![Cell::Text(id.to_string())], "header", problem);
        }
    }

    fn mask_unknown(&mut self, id: &Digest, deciding: &Deciding<'_>) {
        let key = vec![Cell::Text(id.to_string())];
        if deciding.actor.is_none() {
            self.comparison.mask(name::EVENT, key.clone(), "actor");
        }
        if !deciding.opened {
            self.comparison.mask(name::EVENT, key.clone(), "contract");
            self.comparison.mask(name::EVENT, key, "method");
        }
    }
}
