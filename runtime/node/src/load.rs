//! Step `load`: what an execution needs, from the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::directory::{Directory, DirectoryEvent, History};
use lockstep_core::event::Header;
use lockstep_core::intent::{Call, VerifiedIntent};
use lockstep_core::json::{Json, Limits};
use lockstep_core::log::{Appender, Checkpoint, Tile};
use lockstep_core::names::{NodeName, RecordId};
use lockstep_core::outcome::Outcome;
use lockstep_core::package::Package;
use lockstep_core::project::{Ledger, own_tables_by_name};
use lockstep_core::record::{RecordState, States};
use lockstep_core::sync::{Heard, LogHead};
use lockstep_core::tables::{Cell, LOG_HEAD, Row, Table, name};
use lockstep_core::time::Timestamp;

use crate::objections::{self, Kept};
use crate::open::NodeError;

/// What a node starts from.
pub(crate) struct Start {
    pub(crate) node: NodeName,
    pub(crate) directory: Directory,
    pub(crate) history: History,
    pub(crate) packages: Vec<Package>,
    pub(crate) ledger: Ledger,
    pub(crate) objections: Vec<Kept>,
}

fn damaged(what: impl Into<String>) -> NodeError {
    NodeError::Damaged(what.into())
}

/// The cell of a named column.
pub(crate) fn cell<'a>(table: &Table, row: &'a Row, column: &str) -> Option<&'a Cell> {
    row.get(table.position(column)?)
}

/// Reads directory, packages and log head.
pub(crate) async fn start(database: &dyn Database) -> Result<Start, NodeError> {
    let own = own_tables_by_name();
    let table = |name: &str| own.get(name).cloned().ok_or_else(|| damaged(format!("no table {name}")));
    let head = database.head().await?.ok_or_else(|| damaged(format!("{} has no row {LOG_HEAD}", name::META)))?;
    let (history, packages) =
        (directory(database, &*table(name::DIRECTORY)?).await?, packages(database, &*table(name::CONTRACT)?).await?);
    let meta = database.select(&*table(name::META)?, "key", &[Cell::Text("node".to_owned())]).await?;
    let node = meta.first().and_then(|row| row.get(1)).and_then(Cell::as_str).unwrap_or_default();
    let node = NodeName::parse(node).map_err(|error| damaged(error.to_string()))?;
    let directory = Directory::clone(history.newest());
    let mut ledger = ledger(database, &*table(name::LOG)?, &directory, head).await?;
    let (objections, disputes) = objections::load(database).await?;
    ledger.disputes = Arc::new(disputes);
    Ok(Start { node, directory, history, packages, ledger, objections })
}

async fn directory(database: &dyn Database, table: &Table) -> Result<History, NodeError> {
    let rows = database.follow(table, "seq", None, usize::MAX).await?;
    let mut history: Option<History> = None;
    for row in &rows {
        let envelope = cell(table, row, "envelope")
            .and_then(Cell::as_bytes)
            .ok_or_else(|| damaged("a directory event has no envelope"))?;
        let event = DirectoryEvent::read(envelope)?;
        match &mut history {
            None => history = Some(History::found(event)?),
            Some(history) => history.push(event)?,
        }
    }
    history.ok_or_else(|| damaged("the directory is empty"))
}

async fn packages(database: &dyn Database, table: &Table) -> Result<Vec<Package>, NodeError> {
    let rows = database.follow(table, "directory_seq", None, usize::MAX).await?;
    let mut packages = Vec::new();
    for row in &rows {
        let bytes = cell(table, row, "package").and_then(Cell::as_bytes).unwrap_or_default();
        packages.push(Package::decode(bytes).map_err(|error| damaged(error.to_string()))?);
    }
    Ok(packages)
}

async fn ledger(
    database: &dyn Database,
    table: &Table,
    directory: &Directory,
    head: String,
) -> Result<Ledger, NodeError> {
    let json =
        Json::parse(head.as_bytes(), &Limits::default()).map_err(|error| damaged(format!("{LOG_HEAD}: {error}")))?;
    let log =
        json.get("log").and_then(Json::as_str).ok_or_else(|| damaged(format!("{LOG_HEAD} names no log")))?.to_owned();
    let size = json.get("size").and_then(Json::as_u64).ok_or_else(|| damaged(format!("{LOG_HEAD} names no size")))?;
    let time = json.get("time").and_then(Json::as_str).and_then(|time| Timestamp::parse(time).ok());
    let time = time.ok_or_else(|| damaged(format!("{LOG_HEAD} names no time")))?;
    let mut positions = BTreeSet::new();
    let mut width = size;
    while width > 0 {
        positions.extend([width / 64, (width.saturating_sub(1)) / 64]);
        width /= 64;
    }
    let tiles = tiles(database, table, &log, &positions).await?;
    let appender = Appender::open(size, |level, index| tiles.get(&(level, index)).cloned())
        .map_err(|error| damaged(error.to_string()))?;
    let found = appender.root().to_string();
    if json.get("root").and_then(Json::as_str) != Some(found.as_str()) {
        return Err(damaged(format!("the log's tiles do not add up to the root in {LOG_HEAD}")));
    }
    Ok(Ledger { network: directory.network(), log, appender, time, head: Some(head), disputes: Arc::default() })
}

/// The tiles of a log at these positions, at all levels.
pub(crate) async fn tiles(
    database: &dyn Database,
    table: &Table,
    log: &str,
    positions: &BTreeSet<u64>,
) -> Result<BTreeMap<(u32, u64), Tile>, DatabaseError> {
    let positions: Vec<Cell> = positions.iter().map(|position| Cell::count(*position)).collect();
    let rows = database.select(table, "position", &positions).await?;
    let mut tiles = BTreeMap::new();
    for row in rows {
        if let [Cell::Text(found), level, index, Cell::Bytes(hashes)] = row.as_slice()
            && found == log
            && let (Some(level), Some(index)) =
                (level.as_count().and_then(|level| u32::try_from(level).ok()), index.as_count())
        {
            let (hashes, _) = hashes.as_chunks::<32>();
            let hashes = hashes.iter().map(|bytes| Digest::from_bytes(*bytes)).collect();
            tiles.insert((level, index), Tile { level, index, hashes });
        }
    }
    Ok(tiles)
}

/// The last signed head of another node's log that is here.
pub(crate) async fn last_head(database: &dyn Database, log: &str) -> Result<Option<LogHead>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::FEED) else { return Ok(None) };
    let rows = database.select(table, "log", &[Cell::Text(log.to_owned())]).await?;
    let notes = rows.iter().filter_map(|row| cell(table, row, "note").and_then(Cell::as_str));
    let heads = notes.filter_map(|note| Checkpoint::parse(note).ok()).map(|(head, _)| (head.size, head.root));
    Ok(heads.max_by_key(|(size, _)| *size))
}

/// The last signed head here of the logs of another node, as it was signed.
pub(crate) async fn last_head_note(database: &dyn Database, log: &str) -> Result<Option<String>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::FEED) else { return Ok(None) };
    let rows = database.select(table, "log", &[Cell::Text(log.to_owned())]).await?;
    let notes = rows.iter().filter_map(|row| cell(table, row, "note").and_then(Cell::as_str));
    let last = notes.max_by_key(|note| Checkpoint::parse(note).map_or(0, |(head, _)| head.size));
    Ok(last.map(str::to_owned))
}

/// The outcome of another node's log with the highest position of those that are here.
pub(crate) async fn last_heard(database: &dyn Database, log: &str) -> Result<Option<Heard>, DatabaseError> {
    let own = own_tables_by_name();
    let Some((feed, intents)) = own.get(name::FEED).zip(own.get(name::INTENT)) else { return Ok(None) };
    let rows = database.select(feed, "log", &[Cell::Text(log.to_owned())]).await?;
    let placed = rows.iter().filter_map(|row| Some((cell(feed, row, "position")?.as_count()?, row)));
    let Some((position, row)) = placed.max_by_key(|(position, _)| *position) else { return Ok(None) };
    let intent: Vec<Cell> = cell(feed, row, "intent_id").cloned().into_iter().collect();
    let decided = database.select(intents, "intent_id", &intent).await?;
    let outcome = decided.first().and_then(|row| cell(intents, row, "outcome")?.as_bytes());
    let outcome = outcome.and_then(|stored| Outcome::read(stored).ok());
    Ok(outcome.map(|outcome| Heard { position, time: outcome.time }))
}

/// The root of the checkpoint of exactly this size.
pub(crate) async fn root_at(database: &dyn Database, log: &str, size: u64) -> Result<Option<Digest>, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::CHECKPOINT) else { return Ok(None) };
    let rows = database.select(table, "size", &[Cell::count(size)]).await?;
    let row = rows.iter().find(|row| cell(table, row, "log").and_then(Cell::as_str) == Some(log));
    Ok(row.and_then(|row| cell(table, row, "root")?.as_str().and_then(|root| Digest::parse(root).ok())))
}

/// Whether the intent has an outcome.
pub(crate) async fn is_decided(database: &dyn Database, intent: &Digest) -> Result<bool, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::INTENT) else { return Ok(false) };
    Ok(!database.select(table, "intent_id", &[Cell::Text(intent.to_string())]).await?.is_empty())
}

/// What the nonces of a batch were used for before: (actor, nonce) to intent.
pub(crate) async fn used_nonces(
    database: &dyn Database,
    table: &Table,
    intents: &[&VerifiedIntent],
) -> Result<BTreeMap<(String, String), String>, DatabaseError> {
    let nonces: Vec<Cell> = intents.iter().map(|intent| Cell::Text(intent.payload().nonce.to_string())).collect();
    let mut used = BTreeMap::new();
    for row in database.select(table, "nonce", &nonces).await? {
        let text = |column: &str| cell(table, &row, column).and_then(Cell::as_str).unwrap_or_default().to_owned();
        used.insert((text("actor"), text("nonce")), text("intent_id"));
    }
    Ok(used)
}

/// The spec that each record of an intent should be of; what an intent says about an unknown contract loads nothing.
fn specs_named(intent: &VerifiedIntent, directory: &Directory) -> Vec<(RecordId, Option<String>)> {
    let targets = intent.targets().iter().map(|target| target.record.clone());
    match intent.call() {
        Call::Hidden => targets.map(|record| (record, None)).collect(),
        Call::Changes { spec, .. } => targets.map(|record| (record, Some(spec.to_string()))).collect(),
        Call::Method { contract, method, .. } => {
            let found = directory.judging(contract, None).and_then(|contract| contract.manifest.methods.get(method));
            let specs = found
                .map(|method| method.records.as_slice())
                .unwrap_or_default()
                .iter()
                .map(|usage| Some(usage.spec.to_string()));
            targets.zip(specs.chain(std::iter::repeat(None))).collect()
        }
    }
}

/// Loads the records that the intents name and `known` has not; all of them, or none.
pub(crate) async fn records(
    database: &dyn Database,
    directory: &Directory,
    tables: &BTreeMap<String, Table>,
    events: &Table,
    intents: &[&VerifiedIntent],
    known: &States,
) -> Result<States, NodeError> {
    let named = intents.iter().flat_map(|intent| specs_named(intent, directory)).collect();
    records_named(database, tables, events, named, known).await
}

/// Loads records, each with the spec that it should be of, that `known` has not.
pub(crate) async fn records_named(
    database: &dyn Database,
    tables: &BTreeMap<String, Table>,
    events: &Table,
    named: Vec<(RecordId, Option<String>)>,
    known: &States,
) -> Result<States, NodeError> {
    let mut wanted: BTreeMap<String, BTreeSet<RecordId>> = BTreeMap::new();
    let mut anywhere: BTreeSet<RecordId> = BTreeSet::new();
    for (record, spec) in named {
        if !known.contains_key(&record) {
            match spec.filter(|spec| tables.contains_key(spec)) {
                Some(spec) => drop(wanted.entry(spec).or_default().insert(record)),
                None => drop(anywhere.insert(record)),
            }
        }
    }
    let mut found = Vec::new();
    for (spec, records) in wanted {
        let Some(table) = tables.get(&spec) else { continue };
        let rows = rows_of(database, table, &records).await?;
        anywhere.extend(
            records
                .into_iter()
                .filter(|record| !rows.iter().any(|row| row.first().and_then(Cell::as_str) == Some(record.as_str()))),
        );
        found.extend(rows.into_iter().map(|row| (table, row)));
    }
    // An id is used once whatever the spec, so what is not where it was looked for may be elsewhere.
    if !anywhere.is_empty() {
        for table in tables.values() {
            found.extend(rows_of(database, table, &anywhere).await?.into_iter().map(|row| (table, row)));
        }
    }
    let absent = anywhere.into_iter().map(|record| (record, None)).collect();
    with_heads(database, events, found, absent).await
}

async fn rows_of(
    database: &dyn Database,
    table: &Table,
    records: &BTreeSet<RecordId>,
) -> Result<Vec<Row>, DatabaseError> {
    let values: Vec<Cell> = records.iter().map(|record| Cell::Text(record.to_string())).collect();
    database.select(table, "record_id", &values).await
}

async fn with_heads(
    database: &dyn Database,
    events: &Table,
    rows: Vec<(&Table, Row)>,
    mut loaded: States,
) -> Result<States, NodeError> {
    let heads: Vec<Cell> = rows.iter().filter_map(|(table, row)| cell(table, row, "lockstep_head").cloned()).collect();
    if heads.is_empty() {
        return Ok(loaded);
    }
    let mut headers = BTreeMap::new();
    for row in database.select(events, "event_id", &heads).await? {
        let bytes = cell(events, &row, "header").and_then(Cell::as_bytes).unwrap_or_default();
        let header = Header::read(bytes).map_err(damaged)?;
        headers.insert(header.record.clone(), header);
    }
    for (table, row) in rows {
        let id = row.first().and_then(Cell::as_str).unwrap_or_default();
        let record = RecordId::parse(id).map_err(|error| damaged(error.to_string()))?;
        let header = headers.get(&record).ok_or_else(|| damaged(format!("the last event of {record} is missing")))?;
        let state = RecordState::from_row(table, &row, header).map_err(damaged)?;
        loaded.insert(record, Some(Arc::new(state)));
    }
    Ok(loaded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use lockstep_core::database::{Batch, TableWrites, Write};
    use lockstep_core::memory::MemoryDatabase;
    use lockstep_core::outcome::{Ending, Said};
    use lockstep_core::tables::{Kind, own_tables};

    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    /// A row with these cells, and with nothing that matters in the others.
    fn row(table: &Table, cells: &[(&str, Cell)]) -> Write {
        let cell = |column: &lockstep_core::tables::Column| {
            let given = cells.iter().find(|(name, _)| *name == column.name).map(|(_, cell)| cell.clone());
            given.unwrap_or_else(|| match column.kind {
                _ if column.nullable => Cell::Null,
                Kind::Bytes => Cell::Bytes(Vec::new()),
                Kind::Integer => Cell::count(cells.len() as u64),
                Kind::Timestamp => Cell::Timestamp(Timestamp::MIN),
                _ => Cell::Text("[]".to_owned()),
            })
        };
        Write::Insert(table.columns.iter().map(cell).collect())
    }

    /// An outcome of seller's log as it was received: its row, and that of its place.
    fn received(at: u64, decided: &str) -> [(&'static str, Write); 2] {
        let own = own_tables_by_name();
        let intent = Digest::of(&at.to_be_bytes());
        let outcome = Outcome {
            network: Digest::of(b"network"),
            intent,
            ending: Ending::Rejected,
            submitted: time(decided),
            time: time(decided),
            events: Vec::new(),
            said: Said::Sealed([Digest::of(b"closed"); 4]),
        };
        let id = ("intent_id", Cell::Text(intent.to_string()));
        let place = [id.clone(), ("log", Cell::Text("seller/1".to_owned())), ("position", Cell::count(at))];
        let nonce = ("nonce", Cell::Text(at.to_string()));
        let decided = [id, nonce, ("outcome", Cell::Bytes(outcome.stored())), ("log_position", Cell::count(at))];
        let row = |name: &str, cells: &[(&str, Cell)]| row(own.get(name).unwrap(), cells);
        [(name::FEED, row(name::FEED, &place)), (name::INTENT, row(name::INTENT, &decided))]
    }

    #[tokio::test]
    async fn what_was_heard_of_a_log_before_a_restart_is_the_outcome_with_the_highest_position() {
        let (database, own) = (MemoryDatabase::new(), own_tables_by_name());
        database.prepare(&own_tables()).await.unwrap();
        assert_eq!(last_heard(&database, "seller/1").await.unwrap(), None);
        let rows = [
            (7, "2026-11-26T10:00:07.000000Z"),
            (9, "2026-11-26T10:00:09.000000Z"),
            (8, "2026-11-26T10:00:08.000000Z"),
        ];
        let writes = rows.into_iter().flat_map(|(at, decided)| received(at, decided));
        let tables =
            writes.map(|(name, write)| TableWrites { table: own.get(name).unwrap().clone(), writes: vec![write] });
        let batch = Batch { expected_head: None, head: "head".to_owned(), tables: tables.collect() };
        database.commit(&batch).await.unwrap();
        let last = Heard { position: 9, time: time("2026-11-26T10:00:09.000000Z") };
        assert_eq!(last_heard(&database, "seller/1").await.unwrap(), Some(last));
        assert_eq!(last_heard(&database, "buyer/1").await.unwrap(), None);
    }
}
