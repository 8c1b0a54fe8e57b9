//! How an intent ended, as one actor is told: what is not for it is null.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::event::Header;
use lockstep_core::json::{Json, Limits, Object};
use lockstep_core::names::{MethodName, RecordId};
use lockstep_core::outcome::Outcome;
use lockstep_core::record::States;
use lockstep_core::sync::{Reader, Rights, Seen, cut_openings, reads_call};
use lockstep_core::tables::{Cell, Role, Table, name};

use super::{LookError, Looking, damaged, header, own, text};
use crate::load::{cell, records_named};
use crate::open::NodeError;
use crate::reply::outcome;

/// A record that an intent names, as it is judged who may see it.
struct Target {
    record: RecordId,
    seen: Option<(Arc<SpecEntry>, Arc<Json>, u64)>,
}

impl Target {
    fn seen(&self) -> Option<(Seen<'_>, u64)> {
        let (entry, parties, seq) = self.seen.as_ref()?;
        Some((Seen { spec: &entry.spec, parties }, *seq))
    }

    fn follows(&self, reader: &Reader) -> bool {
        self.seen().is_some_and(|(seen, seq)| reader.follows(seen, seq))
    }
}

/// How an intent ended, as it is told to who looks; `None` where the intent is not known, or not for it.
///
/// # Errors
/// The database's, or what is damaged in it.
pub async fn told(looking: Looking<'_>, intent: &Digest) -> Result<Option<Json>, LookError> {
    let Some(whole) = outcome(looking.database, intent).await? else { return Ok(None) };
    let Some(reader) = looking.reader else { return Ok(Some(whole)) };
    let known = Known::read(looking, intent).await?;
    Ok(known.cut(reader, whole, looking.directory))
}

/// What is held of an intent, apart from how it ended.
struct Known {
    actor: String,
    method: Option<MethodName>,
    package: Option<Digest>,
    openings: Vec<u8>,
    /// None in the places of records that this node may not know.
    targets: Vec<Option<Target>>,
    headers: Vec<Header>,
}

impl Known {
    async fn read(looking: Looking<'_>, intent: &Digest) -> Result<Self, LookError> {
        let (intents, events) = (own(name::INTENT)?, own(name::EVENT)?);
        let id = [Cell::Text(intent.to_string())];
        let rows = looking.database.select(&intents, "intent_id", &id).await?;
        let row = rows.first().ok_or_else(|| damaged(name::INTENT, "a row is gone"))?;
        let bytes = |column: &str| cell(&intents, row, column).and_then(Cell::as_bytes).unwrap_or_default();
        let ended = Outcome::read(bytes("outcome")).map_err(|what| damaged(name::INTENT, what))?;
        let rows = looking.database.select(&events, "intent_id", &id).await?;
        let headers = rows.iter().map(|row| header(&events, row)).collect::<Result<Vec<_>, _>>()?;
        let package = ended.reasons().and_then(|reasons| reasons.judged.package);
        let named = targets(bytes("openings"));
        let states = states(looking, &named).await?;
        let targets = named
            .into_iter()
            .map(|record| record.map(|record| target(looking.directory, record, &headers, &ended, &states)));
        Ok(Known {
            actor: text(&intents, row, "actor").to_owned(),
            method: MethodName::parse(text(&intents, row, "method")).ok(),
            package: package.or(headers.first().map(|header| header.package)),
            openings: bytes("openings").to_vec(),
            targets: targets.collect(),
            headers,
        })
    }

    /// Only what is for the reader; `None` where that is nothing.
    fn cut(&self, reader: &Reader, whole: Json, directory: &Directory) -> Option<Json> {
        let own = self.actor == reader.actor.as_str();
        let follows: Vec<bool> =
            self.targets.iter().map(|target| target.as_ref().is_some_and(|target| target.follows(reader))).collect();
        if !own && !follows.contains(&true) {
            return None;
        }
        let manifest = self.package.and_then(|digest| directory.package(&digest)).map(|known| known.manifest.as_ref());
        let seen: Vec<_> = self.targets.iter().map(|target| target.as_ref().and_then(Target::seen)).collect();
        let all = own || reads_call(reader, self.method.as_ref(), manifest, &seen);
        let Json::Object(mut told) = whole else { return None };
        if !all {
            for hidden in ["code", "reason", "message", "method", "seen"] {
                told.insert(hidden, Json::Null);
            }
        }
        let opened: Vec<bool> = follows.iter().map(|follows| own || *follows).collect();
        if opened.first() != Some(&true) {
            told.insert("record_id", Json::Null);
        }
        let visible: Vec<&Header> = self.headers.iter().filter(|header| self.sees(reader, header)).collect();
        if !all && visible.is_empty() {
            // Of what was not applied, only the call says whose it was.
            told.insert("contract", Json::Null);
            told.insert("contract_version", Json::Null);
        }
        let openings = cut_openings(&self.openings, all, &opened);
        told.insert(
            "openings",
            Json::parse(&openings, &Limits { bytes: 64 << 20, ..Limits::default() }).unwrap_or_default(),
        );
        keep(&mut told, "events", |event| {
            let id = event.get("event_id").and_then(Json::as_str);
            visible.iter().any(|header| Some(header.id().to_string().as_str()) == id)
        });
        keep(&mut told, "notifications", |one| self.notified(reader, &visible, one));
        Some(Json::Object(told))
    }

    fn target_of(&self, header: &Header) -> Option<&Target> {
        self.targets.iter().flatten().find(|target| target.record == header.record)
    }

    fn sees(&self, reader: &Reader, header: &Header) -> bool {
        self.target_of(header).is_some_and(|target| target.follows(reader))
    }

    /// Whether the reader may have a notification: its section, at its event's seq.
    fn notified(&self, reader: &Reader, visible: &[&Header], one: &Json) -> bool {
        let part = |name: &str| one.get(name).and_then(Json::as_str).unwrap_or_default();
        visible.iter().any(|header| {
            let begin = format!("{}#{}.{}.", header.record, header.epoch, header.seq);
            part("id").starts_with(&begin)
                && self
                    .target_of(header)
                    .and_then(Target::seen)
                    .is_some_and(|(seen, seq)| reader.reads(seen, part("section"), seq))
        })
    }
}

fn keep(told: &mut Object, list: &str, fits: impl Fn(&Json) -> bool) {
    if let Some(Json::Array(items)) = told.remove(list) {
        told.insert(list, items.into_iter().filter(|item| fits(item)).collect::<Json>());
    }
}

/// The records that stored openings name, in their order; none where one is not for this node.
pub(crate) fn targets(openings: &[u8]) -> Vec<Option<RecordId>> {
    let openings = Json::parse(openings, &Limits { bytes: 64 << 20, ..Limits::default() }).unwrap_or_default();
    let opened = openings.get("records").and_then(Json::as_array).unwrap_or_default();
    let record = |one: &Json| RecordId::parse(one.get("record")?.as_str()?).ok();
    opened.iter().map(record).collect()
}

async fn states(looking: Looking<'_>, named: &[Option<RecordId>]) -> Result<States, LookError> {
    let tables = looking.directory.record_tables().into_iter().filter(|table| table.role == Role::Records);
    let tables: BTreeMap<String, Table> = tables.map(|table| (table.name.clone(), table)).collect();
    let names: BTreeSet<RecordId> = named.iter().flatten().cloned().collect();
    let named = names.into_iter().map(|record| (record, None)).collect();
    let events = own(name::EVENT)?;
    records_named(looking.database, &tables, &events, named, &States::new()).await.map_err(|error| match error {
        NodeError::Database(error) => LookError::Database(error),
        other => LookError::Database(damaged(name::EVENT, other)),
    })
}

/// A record that exists, with the spec and seq that it was judged for.
fn target(directory: &Directory, record: RecordId, headers: &[Header], ended: &Outcome, states: &States) -> Target {
    let header = headers.iter().find(|header| header.record == record);
    let state = states.get(&record).and_then(Option::as_ref);
    let judged = ended.reasons().map(|reasons| reasons.judged.reads.as_slice()).unwrap_or_default();
    let read = judged.iter().find(|read| read.record == record).map(|read| read.seq + 1);
    let seq = header.map(|header| header.seq).or(read).or(state.map(|state| state.seq));
    let spec = header.map(|header| header.spec).or(state.map(|state| state.spec_digest));
    let entry = spec.and_then(|digest| directory.specs().get(&digest)).cloned();
    let seen = entry.zip(state).zip(seq).map(|((entry, state), seq)| (entry, state.parties(), seq));
    Target { record, seen }
}
