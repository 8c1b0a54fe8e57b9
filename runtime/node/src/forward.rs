//! What was handed over, as `lockstep_forward` holds it: at the node that handed it over, and at the one that took it.
//!
//! Rows here stand beside the log. Written twice they are the same, so that a commit whose fate is unknown is repeated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError, TableWrites, Write};
use lockstep_core::json::{Json, Limits, Object, json};
use lockstep_core::log::Checkpoint;
use lockstep_core::names::{NodeName, RecordId};
use lockstep_core::outcome::Outcome;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::sync::{End, Forward, Taken, forward_row};
use lockstep_core::tables::{Cell, Row, Table, name};
use lockstep_core::time::Timestamp;

use crate::load::{cell, last_head_note};
use crate::reply::written;

/// How far clocks may be apart: so long after its expiry what has no outcome is overdue.
pub(crate) const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

const PENDING: &str = "pending";
const ENDED: &str = "ended";

/// An intent that was handed over.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) forward: Forward,
    /// The wrapper as it was signed.
    pub(crate) envelope: Vec<u8>,
    /// The intent's records, in its order.
    pub(crate) records: Vec<RecordId>,
    pub(crate) expires: Timestamp,
    /// Whether nothing more is to be done about it.
    pub(crate) ended: bool,
    /// The sequencer's acknowledgement.
    pub(crate) taken: Option<Vec<u8>>,
    /// How it ended, where the outcome is not in this database.
    pub(crate) end: Option<Vec<u8>>,
    pub(crate) submission: Option<Vec<u8>>,
}

/// The rows of one intent and of the node that handed it over.
pub(crate) type HeldBy = BTreeMap<(String, Digest), Held>;

fn shape(detail: impl Into<String>) -> DatabaseError {
    DatabaseError::Shape { table: name::FORWARD.to_owned(), detail: detail.into() }
}

fn table(table: &str) -> Result<Arc<Table>, DatabaseError> {
    own_tables_by_name().remove(table).ok_or_else(|| shape(format!("no table {table} in the catalogue")))
}

impl Held {
    pub(crate) fn key(&self) -> (String, Digest) {
        (self.forward.node.to_string(), self.forward.intent)
    }

    /// The end, where one is held.
    pub(crate) fn end(&self) -> Option<End> {
        End::read(self.end.as_deref()?).ok()
    }

    fn cells(&self, position: usize) -> [Cell; 5] {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(Cell::Bytes).into();
        let submission = if position == 0 { bytes(&self.submission) } else { Cell::Null };
        let status = if self.ended { ENDED } else { PENDING };
        let status = Cell::Text(status.to_owned());
        [Cell::Timestamp(self.expires), status, bytes(&self.taken), bytes(&self.end), submission]
    }

    /// Its rows, all of them.
    fn rows(&self) -> Vec<Row> {
        let row = |(position, record): (usize, &RecordId)| {
            let mut told = vec![Cell::Null; 8];
            if let Some(cell) = told.get_mut(3) {
                *cell = Cell::Text(record.to_string());
            }
            told.extend(self.cells(position));
            forward_row(&self.forward, position, &self.envelope, &told)
        };
        self.records.iter().enumerate().map(row).collect()
    }
}

/// The writes of these, whether they are there already or not.
pub(crate) fn writes<'a>(all: impl Iterator<Item = &'a Held>) -> Result<Vec<TableWrites>, DatabaseError> {
    let writes: Vec<Write> = all.flat_map(Held::rows).map(Write::Put).collect();
    Ok(vec![TableWrites { table: table(name::FORWARD)?, writes }])
}

/// Puts rows together; what cannot be read is left out, `verify` names it.
fn gather(table: &Table, mut rows: Vec<Row>) -> HeldBy {
    let count = |row: &Row, column: &str| cell(table, row, column).and_then(Cell::as_count).unwrap_or(0);
    rows.sort_by_key(|row| count(row, "position"));
    let mut found = HeldBy::new();
    for row in &rows {
        let bytes = |column: &str| cell(table, row, column).and_then(Cell::as_bytes);
        let text = |column: &str| cell(table, row, column).and_then(Cell::as_str).unwrap_or_default();
        let (Ok(forward), Ok(record)) =
            (Forward::read(bytes("envelope").unwrap_or_default()), RecordId::parse(text("record_id")))
        else {
            continue;
        };
        let expires = match cell(table, row, "expires_at") {
            Some(Cell::Timestamp(time)) => *time,
            _ => Timestamp::MAX,
        };
        let key = (forward.node.to_string(), forward.intent);
        let held = found.entry(key).or_insert_with(|| Held {
            forward,
            envelope: bytes("envelope").unwrap_or_default().to_vec(),
            records: Vec::new(),
            expires,
            ended: text("status") == ENDED,
            taken: bytes("taken").map(<[u8]>::to_vec),
            end: bytes("ended").map(<[u8]>::to_vec),
            submission: bytes("submission").map(<[u8]>::to_vec),
        });
        held.records.push(record);
    }
    found
}

/// What is held about these intents, whoever handed them over.
pub(crate) async fn about(database: &dyn Database, intents: &[Digest]) -> Result<HeldBy, DatabaseError> {
    let table = table(name::FORWARD)?;
    let ids: Vec<Cell> = intents.iter().map(|intent| Cell::Text(intent.to_string())).collect();
    Ok(gather(&table, database.select(&table, "intent_id", &ids).await?))
}

/// What is not noted as ended.
pub(crate) async fn pending(database: &dyn Database) -> Result<HeldBy, DatabaseError> {
    let table = table(name::FORWARD)?;
    Ok(gather(&table, database.select(&table, "status", &[Cell::Text(PENDING.to_owned())]).await?))
}

/// The last counts that a node has used for these records; 0 where it has used none.
pub(crate) async fn last_counts(
    database: &dyn Database,
    node: &str,
    records: &[RecordId],
) -> Result<BTreeMap<RecordId, u64>, DatabaseError> {
    let table = table(name::FORWARD)?.only(&["node", "record_id", "count"]);
    let ids: Vec<Cell> = records.iter().map(|record| Cell::Text(record.to_string())).collect();
    let mut last: BTreeMap<RecordId, u64> = records.iter().map(|record| (record.clone(), 0)).collect();
    for row in database.select(&table, "record_id", &ids).await? {
        let text = |column: &str| cell(&table, &row, column).and_then(Cell::as_str).unwrap_or_default();
        let count = cell(&table, &row, "count").and_then(Cell::as_count).unwrap_or(0);
        let known = RecordId::parse(text("record_id")).ok().and_then(|record| last.get_mut(&record));
        if let Some(known) = known.filter(|_| text("node") == node) {
            *known = count.max(*known);
        }
    }
    Ok(last)
}

/// Which of these intents have an outcome here.
pub(crate) async fn decided(database: &dyn Database, intents: &[Digest]) -> Result<Vec<Digest>, DatabaseError> {
    if intents.is_empty() {
        return Ok(Vec::new());
    }
    let table = table(name::INTENT)?.only(&["intent_id"]);
    let ids: Vec<Cell> = intents.iter().map(|intent| Cell::Text(intent.to_string())).collect();
    let rows = database.select(&table, "intent_id", &ids).await?;
    let ids = rows.iter().filter_map(|row| Digest::parse(cell(&table, row, "intent_id")?.as_str()?).ok());
    Ok(ids.collect())
}

fn embedded(stored: &[u8]) -> Json {
    let limits = Limits { bytes: stored.len().max(1), depth: Limits::default().depth + 8 };
    Json::parse(stored, &limits).unwrap_or(Json::Null)
}

/// The intents that this node handed over and that had no outcome when they had expired, however far clocks are apart.
///
/// # Errors
/// The database's, or what is damaged in it.
pub async fn overdue(database: &dyn Database, own: &NodeName, now: Timestamp) -> Result<Json, DatabaseError> {
    let pending = pending(database).await?;
    let late = |held: &&Held| held.forward.node == *own && is_late(held, now);
    let mut late: Vec<&Held> = pending.values().filter(late).collect();
    let intents: Vec<Digest> = late.iter().map(|held| held.forward.intent).collect();
    let decided = decided(database, &intents).await?;
    late.retain(|held| !decided.contains(&held.forward.intent));
    late.sort_by_key(|held| (held.expires, held.forward.intent));
    Ok(late.into_iter().map(overdue_json).collect())
}

fn is_late(held: &Held, now: Timestamp) -> bool {
    now > held.expires.plus(CLOCK_TOLERANCE)
}

fn overdue_json(held: &Held) -> Json {
    let records: Json = held.records.iter().map(|record| Json::from(record.as_str())).collect();
    json!({
        "intent_id": held.forward.intent.to_string(), "sequencer": held.forward.sequencer.as_str(), "records": records,
        "forwarded_at": held.forward.time.to_string(), "since": held.expires.to_string(), "acknowledged": held.taken.is_some()
    })
}

/// What this node can prove about an intent that it handed over: its wrapper, the sequencer's acknowledgement, the last
/// signed head of the sequencer's log that is here; `None` where it handed over no such intent.
///
/// # Errors
/// The database's, or what is damaged in it.
pub async fn handed_over(
    database: &dyn Database,
    own: &NodeName,
    intent: &Digest,
    now: Timestamp,
) -> Result<Option<Json>, DatabaseError> {
    let Some(held) = about(database, &[*intent]).await?.remove(&(own.to_string(), *intent)) else { return Ok(None) };
    let decided = decided(database, &[*intent]).await?.contains(intent);
    let taken = held.taken.as_deref().map(embedded);
    let signed = held.taken.as_deref().and_then(|taken| Taken::read(taken).ok()).map(|taken| taken.checkpoint);
    let origin = signed.as_deref().and_then(|note| Checkpoint::parse(note).ok()).map(|(head, _)| head.origin);
    let log = origin.as_deref().and_then(|origin| origin.splitn(3, '/').nth(2)).map(str::to_owned);
    let log = log.unwrap_or_else(|| format!("{}/1", held.forward.sequencer));
    let checkpoint = last_head_note(database, &log).await?.or(signed);
    let overdue = !decided && !held.ended && is_late(&held, now);
    let records: Json = held.records.iter().map(|record| Json::from(record.as_str())).collect();
    Ok(Some(json!({
        "intent_id": intent.to_string(), "status": if decided || held.ended { ENDED } else { PENDING }, "overdue": overdue,
        "sequencer": held.forward.sequencer.as_str(), "records": records, "expires_at": held.expires.to_string(),
        "wrapper": embedded(&held.envelope), "taken": taken, "ended": held.end.as_deref().map(embedded),
        "checkpoint": checkpoint, "envelope": held.submission.as_deref().map(|submission| parts(submission).0)
    })))
}

/// Envelope and openings of a submission.
fn parts(submission: &[u8]) -> (Json, Json) {
    let mut json = embedded(submission);
    let openings = match &mut json {
        Json::Object(object) => object.remove("openings"),
        _ => None,
    };
    (json, openings.unwrap_or(Json::Null))
}

/// What is known of an intent that was handed over and has no outcome here.
pub(crate) async fn shown(database: &dyn Database, intent: &Digest) -> Result<Option<Json>, DatabaseError> {
    let held = about(database, &[*intent]).await?;
    let Some(held) = held.into_values().find(|held| held.submission.is_some()) else { return Ok(None) };
    let (envelope, openings) = parts(held.submission.as_deref().unwrap_or_default());
    let mut shown = match held.end() {
        Some(End::Decided { outcome, place }) => {
            let outcome = Outcome::read(&outcome).map_err(shape)?;
            let path: &[Digest] = &place.path;
            let receipt = written(
                Json::from(place.log.as_str()),
                place.position,
                &outcome,
                path,
                Json::from(place.note.as_str()),
            );
            ended_json(intent, &held, &outcome, receipt, &openings, &envelope)
        }
        _ => json!({
            "intent_id": intent.to_string(), "status": "pending", "sequencer": held.forward.sequencer.as_str(),
            "forwarded_at": held.forward.time.to_string(), "expires_at": held.expires.to_string(), "acknowledged": held.taken.is_some()
        }),
    };
    if let Json::Object(object) = &mut shown {
        object.insert("envelope", envelope);
        object.insert("openings", openings);
    }
    Ok(Some(shown))
}

/// An outcome of which this node has the leaf alone: that it ended and how, and not why.
fn ended_json(
    intent: &Digest,
    held: &Held,
    outcome: &Outcome,
    receipt: Json,
    openings: &Json,
    envelope: &Json,
) -> Json {
    let call = openings.get("call");
    let called = |name: &str| call.and_then(|call| call.get(name)).cloned().unwrap_or(Json::Null);
    let payload = envelope.get("payload").and_then(Json::as_str).unwrap_or_default();
    let payload = data_encoding::BASE64.decode(payload.as_bytes()).map(|bytes| embedded(&bytes)).unwrap_or_default();
    let none = || Json::Array(Vec::new());
    let shown = [
        ("intent_id", Json::from(intent.to_string())),
        ("status", Json::from(outcome.ending.as_str())),
        ("finality", Json::from("local")),
        ("code", Json::Null),
        ("reason", Json::Null),
        ("message", Json::from("why is not for this node; the intent's own node is told")),
        ("actor", payload.get("actor").cloned().unwrap_or(Json::Null)),
        ("contract", called("contract")),
        ("contract_version", Json::Null),
        ("method", called("method")),
        ("record_id", Json::from(held.records.first().map(|record| record.to_string()))),
        ("submitted_at", Json::from(outcome.submitted.to_string())),
        ("decided_at", Json::from(outcome.time.to_string())),
        ("events", none()),
        ("notifications", none()),
        ("seen", none()),
        ("receipt", receipt),
    ];
    Json::Object(shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Object>())
}
