//! What a submitter gets: an outcome with its receipt, read back from the database.

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::event::Header;
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::outcome::Outcome;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::received::read_path;
use lockstep_core::tables::{Cell, Row, Table, name};

use crate::forward::shown;
use crate::load::cell;
use crate::proofs::Proofs;

fn shape(what: String) -> DatabaseError {
    DatabaseError::Shape { table: name::INTENT.to_owned(), detail: what }
}

fn value(table: &Table, row: &Row, column: &str) -> Json {
    Json::from(cell(table, row, column).and_then(Cell::show))
}

/// The outcome of an intent as the interface has it, with envelope and openings; what is known so far of one that was
/// handed over; `None` where the intent is not known.
///
/// # Errors
/// The database's, or what is damaged in it.
pub async fn outcome(database: &dyn Database, intent: &Digest) -> Result<Option<Json>, DatabaseError> {
    let own = own_tables_by_name();
    let table = |name: &str| own.get(name).ok_or_else(|| shape(format!("no table {name}")));
    let intents = table(name::INTENT)?;
    let found = database.select(intents, "intent_id", &[Cell::Text(intent.to_string())]).await?;
    let Some(row) = found.first() else { return shown(database, intent).await };
    let stored = cell(intents, row, "outcome").and_then(Cell::as_bytes).unwrap_or_default();
    let ended = Outcome::read(stored).map_err(|what| shape(format!("outcome of {intent}: {what}")))?;
    let (events, notifications) = events_of(database, table(name::EVENT)?, table(name::OUTBOX)?, intent).await?;
    let judged = ended.reasons().map(|reasons| reasons.judged.reads.as_slice());
    let seen: Vec<Json> = judged
        .unwrap_or_default()
        .iter()
        .map(|read| json!({"record_id": read.record.as_str(), "seq": read.seq, "head": read.head.map(|head| head.to_string())}))
        .collect();
    let receipt = match received(database, table(name::FEED)?, intent, &ended).await? {
        Some(receipt) => receipt,
        None => receipt(database, table(name::LOG)?, table(name::CHECKPOINT)?, intents, row, &ended).await?,
    };
    let bytes = |column: &str| {
        cell(intents, row, column)
            .and_then(Cell::as_bytes)
            .and_then(|bytes| Json::parse(bytes, &Limits { bytes: 64 << 20, ..Limits::default() }).ok())
    };
    Ok(Some(json!({
        "intent_id": intent.to_string(), "status": value(intents, row, "status"), "finality": value(intents, row, "finality"),
        "code": value(intents, row, "code"), "reason": value(intents, row, "reason"), "message": value(intents, row, "message"),
        "actor": value(intents, row, "actor"), "contract": value(intents, row, "contract"),
        "contract_version": value(intents, row, "contract_version"), "method": value(intents, row, "method"),
        "record_id": value(intents, row, "record_id"), "submitted_at": value(intents, row, "submitted_at"), "decided_at": value(intents, row, "decided_at"),
        "events": events, "notifications": notifications, "seen": seen, "receipt": receipt,
        "envelope": bytes("envelope"), "openings": bytes("openings")
    })))
}

/// What is known of an intent that is not decided.
#[must_use]
pub fn pending(intent: Option<Digest>) -> Json {
    json!({"intent_id": intent.map(|id| id.to_string()), "status": "pending"})
}

async fn events_of(
    database: &dyn Database,
    events: &Table,
    outbox: &Table,
    intent: &Digest,
) -> Result<(Vec<Json>, Vec<Json>), DatabaseError> {
    let rows = database.select(events, "intent_id", &[Cell::Text(intent.to_string())]).await?;
    let mut found: Vec<(u64, Json)> = Vec::new();
    let mut ids = Vec::new();
    for row in &rows {
        let header = cell(events, row, "header").and_then(Cell::as_bytes).unwrap_or_default();
        let header = Header::read(header).map_err(shape)?;
        ids.push(Cell::Text(header.id().to_string()));
        let spec = value(events, row, "spec");
        found.push((header.seq, json!({"event_id": header.id().to_string(), "spec": spec, "record_id": header.record.as_str(), "seq": header.seq})));
    }
    found.sort_by(|one, other| {
        one.1.get("record_id").and_then(Json::as_str).cmp(&other.1.get("record_id").and_then(Json::as_str))
    });
    let mut notifications = database.select(outbox, "event_id", &ids).await?;
    notifications.sort_by_key(|row| cell(outbox, row, "position").and_then(Cell::as_count));
    let notifications = notifications
        .iter()
        .map(|row| json!({"id": value(outbox, row, "id"), "type": value(outbox, row, "type"), "section": value(outbox, row, "section")}))
        .collect();
    Ok((found.into_iter().map(|(_, event)| event).collect(), notifications))
}

/// The receipt of an outcome that another node sequenced: it is of that node's log, as it came with the outcome.
async fn received(
    database: &dyn Database,
    feed: &Table,
    intent: &Digest,
    ended: &Outcome,
) -> Result<Option<Json>, DatabaseError> {
    let rows = database.select(feed, "intent_id", &[Cell::Text(intent.to_string())]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let index = cell(feed, row, "position").and_then(Cell::as_count);
    let index = index.ok_or_else(|| shape("position of a feed is no count".to_owned()))?;
    let stored = cell(feed, row, "path").and_then(Cell::as_bytes).unwrap_or_default();
    let path = read_path(stored).ok_or_else(|| shape(format!("the path of {intent} is no path")))?;
    Ok(Some(written(value(feed, row, "log"), index, ended, &path, value(feed, row, "note"))))
}

/// A receipt as the interface has it.
pub(crate) fn written(log: Json, index: u64, ended: &Outcome, path: &[Digest], checkpoint: Json) -> Json {
    let leaf = String::from_utf8(ended.leaf()).unwrap_or_default();
    let path: Json = path.iter().map(|hash| Json::from(hash.to_string())).collect();
    json!({"log": log, "index": index, "leaf": leaf, "path": path, "checkpoint": checkpoint})
}

async fn receipt(
    database: &dyn Database,
    log: &Table,
    checkpoints: &Table,
    intents: &Table,
    row: &Row,
    ended: &Outcome,
) -> Result<Json, DatabaseError> {
    let count = |column: &str| {
        cell(intents, row, column).and_then(Cell::as_count).ok_or_else(|| shape(format!("{column} is no count")))
    };
    let (index, size) = (count("log_position")?, count("checkpoint")?);
    let name = cell(intents, row, "log").and_then(Cell::as_str).unwrap_or_default();
    let path = Proofs::of(database, log, name).inclusion(index, size).await?;
    let notes = database.select(checkpoints, "size", &[Cell::count(size)]).await?;
    let note = notes.iter().find(|row| cell(checkpoints, row, "log").and_then(Cell::as_str) == Some(name));
    let note = note.map_or(Json::Null, |row| value(checkpoints, row, "note"));
    Ok(written(Json::from(name), index, ended, &path, note))
}
