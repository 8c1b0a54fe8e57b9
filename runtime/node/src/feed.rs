//! What happened, in order, for whoever follows: events of records, and notifications.
//!
//! Both are read from the tables by position, so a reader that keeps the last position it has seen misses
//! nothing and gets nothing twice, whatever happens to it or to the node.

use std::collections::BTreeMap;

use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::json::{Json, Limits, Object, json};
use lockstep_core::project::own_tables_by_name;
use lockstep_core::tables::{Cell, Row, Table, name};

use crate::load::cell;

/// Positions that one leaf of the log has room for: an intent has few records and few notifications.
pub(crate) const PER_LEAF: u64 = 1_000_000;

/// More events than one intent can have, so that a page never ends within an intent without notice.
const MOST_OF_ONE_INTENT: usize = 64;

/// Something that happened, with the position to continue after.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// Its place in the order of all of its kind.
    pub position: u64,
    /// The event or CloudEvent.
    pub json: Json,
}

/// The events after a position, at least one where there is any, about `limit` at most. The position is
/// 1000000 times that of the leaf of the event's intent, plus the event's place within the intent, by record.
///
/// # Errors
/// The database's.
pub async fn events(
    database: &dyn Database,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Happening>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::EVENT) else { return Ok(Vec::new()) };
    let (rows, _) = event_rows(database, table, after, limit).await?;
    let new = rows.iter().filter(|(position, _)| after.is_none_or(|after| *position > after));
    Ok(new.map(|(position, row)| Happening { position: *position, json: event(table, row, *position) }).collect())
}

/// The rows of the events after a position, each with its own, in order, with those before it of the same intent; and
/// whether these are all that there are.
pub(crate) async fn event_rows(
    database: &dyn Database,
    table: &Table,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<(u64, Row)>, bool), DatabaseError> {
    // The leaf of the last event seen is read again: it may have more.
    let leaf = after.map(|position| before_leaf(position / PER_LEAF));
    let wanted = limit.saturating_add(MOST_OF_ONE_INTENT);
    let mut rows = database.follow(table, "log_position", leaf, wanted).await?;
    let all = rows.len() < wanted;
    if !all {
        let last = rows.last().and_then(|row| leaf_of(table, row));
        rows.retain(|row| leaf_of(table, row) != last);
    }
    Ok((positioned(table, rows), all))
}

/// The events of one record after a position.
///
/// # Errors
/// The database's.
pub async fn events_of_record(
    database: &dyn Database,
    record: &str,
    after: Option<u64>,
) -> Result<Vec<Happening>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::EVENT) else { return Ok(Vec::new()) };
    let rows = database.select(table, "record_id", &[Cell::Text(record.to_owned())]).await?;
    let intents: Vec<Cell> = rows.iter().filter_map(|row| cell(table, row, "intent_id").cloned()).collect();
    // An event's position counts the others of its intent as well.
    let rows = database.select(table, "intent_id", &intents).await?;
    let mut found = positioned(table, rows);
    found.retain(|(position, row)| {
        cell(table, row, "record_id").and_then(Cell::as_str) == Some(record)
            && after.is_none_or(|after| *position > after)
    });
    Ok(found.into_iter().map(|(position, row)| Happening { position, json: event(table, &row, position) }).collect())
}

/// The notifications after a position, at most `limit`, each a CloudEvent with its position as an extension.
///
/// # Errors
/// The database's.
pub async fn notifications(
    database: &dyn Database,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<Happening>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::OUTBOX) else { return Ok(Vec::new()) };
    let after = after.map(|position| i64::try_from(position).unwrap_or(i64::MAX));
    let rows = database.follow(table, "position", after, limit).await?;
    rows.iter().map(|row| notification(table, row)).collect()
}

/// A notification as whoever follows gets it.
pub(crate) fn notification(table: &Table, row: &Row) -> Result<Happening, DatabaseError> {
    let position = cell(table, row, "position").and_then(Cell::as_count).unwrap_or_default();
    let payload = cell(table, row, "payload").and_then(Cell::as_str).unwrap_or_default();
    let json = Json::parse(payload.as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() });
    let mut json = json.map_err(|error| DatabaseError::Shape {
        table: name::OUTBOX.to_owned(),
        detail: format!("the notification at position {position} is damaged: {error}"),
    })?;
    if let Json::Object(event) = &mut json {
        event.insert("position", position.to_string());
    }
    Ok(Happening { position, json })
}

fn before_leaf(leaf: u64) -> i64 {
    i64::try_from(leaf).map_or(i64::MAX, |leaf| leaf - 1)
}

fn leaf_of(table: &Table, row: &Row) -> Option<u64> {
    cell(table, row, "log_position")?.as_count()
}

/// The rows in order, each with its position; rows of one intent must all be there.
fn positioned(table: &Table, rows: Vec<Row>) -> Vec<(u64, Row)> {
    let mut by_leaf: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_leaf.entry(leaf_of(table, &row).unwrap_or_default()).or_default().push(row);
    }
    let mut found = Vec::new();
    for (leaf, mut rows) in by_leaf {
        rows.sort_by_key(|row| cell(table, row, "record_id").and_then(Cell::show));
        found.extend((leaf.saturating_mul(PER_LEAF)..).zip(rows));
    }
    found
}

/// An event as whoever follows gets it.
pub(crate) fn event(table: &Table, row: &Row, position: u64) -> Json {
    let columns = [
        "event_id",
        "spec",
        "record_id",
        "prev",
        "time",
        "actor",
        "intent_id",
        "contract",
        "contract_version",
        "method",
    ];
    let texts =
        columns.iter().map(|column| ((*column).to_owned(), Json::from(cell(table, row, column).and_then(Cell::show))));
    let mut event: Object = texts.collect();
    event.insert("seq", json!(cell(table, row, "seq").and_then(Cell::as_count)));
    event.insert("position", position);
    Json::Object(event)
}
