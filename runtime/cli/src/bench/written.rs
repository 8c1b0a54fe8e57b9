//! What the run wrote, read off its database in the order of the log: the inserts, and the updates that lie behind
//! the rows as they are in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::database::{Database, Page, Snapshot, Write};
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::tables::{Cell, LOG_HEAD, Row, Table, name};

use crate::error::CliError;

/// The spec whose records the run revises.
const SPEC: &str = "bulletin";
/// Hashes of a tile, and bytes of a hash.
const TILE: u64 = 64;
const HASH: usize = 32;

/// The writes of one intent, with those that its batch ended with where it was the last one.
pub(super) type Step = Vec<(Arc<Table>, Write)>;

/// Reads steps.
pub(super) struct Written<'a> {
    database: &'a dyn Database,
    tables: BTreeMap<String, Arc<Table>>,
    /// Records as they are in the end.
    records: BTreeMap<String, Row>,
    versions: BTreeMap<(String, u64), Row>,
    tiles: BTreeMap<(u64, u64), Vec<u8>>,
    /// Checkpoints by size.
    checkpoints: BTreeMap<u64, Row>,
}

fn unexpected(what: &str) -> CliError {
    CliError::new(Code::Internal, format!("the run left something unexpected: {what}"))
}

/// The cell of a column.
fn cell<'r>(table: &Table, row: &'r Row, column: &str) -> Result<&'r Cell, CliError> {
    table.position(column).and_then(|at| row.get(at)).ok_or_else(|| unexpected(column))
}

fn text<'r>(table: &Table, row: &'r Row, column: &str) -> Result<&'r str, CliError> {
    cell(table, row, column)?.as_str().ok_or_else(|| unexpected(column))
}

fn count(table: &Table, row: &Row, column: &str) -> Result<u64, CliError> {
    cell(table, row, column)?.as_count().ok_or_else(|| unexpected(column))
}

async fn all(snapshot: &mut dyn Snapshot, table: &Table) -> Result<Vec<Row>, CliError> {
    let (mut rows, mut page) = (Vec::new(), Page { after: None, limit: 4096 });
    loop {
        let found = snapshot.page(table, &page).await?;
        let Some(last) = found.last() else { return Ok(rows) };
        page.after = Some(table.key_positions().into_iter().filter_map(|at| last.get(at).cloned()).collect());
        rows.extend(found);
    }
}

impl<'a> Written<'a> {
    pub(super) async fn read(database: &'a dyn Database, tables: &[Table]) -> Result<Self, CliError> {
        let tables: BTreeMap<_, _> = tables.iter().map(|table| (table.name.clone(), Arc::new(table.clone()))).collect();
        let mut written = Written {
            database,
            tables,
            records: BTreeMap::new(),
            versions: BTreeMap::new(),
            tiles: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        };
        let mut snapshot = database.snapshot().await?;
        let table = written.table(SPEC)?;
        for row in all(snapshot.as_mut(), &table).await? {
            written.records.insert(text(&table, &row, "record_id")?.to_owned(), row);
        }
        let table = written.table("bulletin_version")?;
        for row in all(snapshot.as_mut(), &table).await? {
            let key = (text(&table, &row, "record_id")?.to_owned(), count(&table, &row, "seq")?);
            written.versions.insert(key, row);
        }
        let table = written.table(name::LOG)?;
        for row in all(snapshot.as_mut(), &table).await? {
            let hashes = cell(&table, &row, "hashes")?.as_bytes().unwrap_or_default().to_vec();
            written.tiles.insert((count(&table, &row, "level")?, count(&table, &row, "position")?), hashes);
        }
        let table = written.table(name::CHECKPOINT)?;
        for row in all(snapshot.as_mut(), &table).await? {
            written.checkpoints.insert(count(&table, &row, "size")?, row);
        }
        Ok(written)
    }

    /// All tables.
    pub(super) fn tables(&self) -> Vec<Table> {
        self.tables.values().map(|table| table.as_ref().clone()).collect()
    }

    fn table(&self, name: &str) -> Result<Arc<Table>, CliError> {
        self.tables.get(name).cloned().ok_or_else(|| unexpected(name))
    }

    /// The steps of the leaves from `from` to `to`, exclusive.
    pub(super) async fn steps(&self, from: u64, to: u64) -> Result<Vec<Step>, CliError> {
        let mut steps: Vec<Step> = (from..to).map(|_| Step::new()).collect();
        if steps.is_empty() {
            return Ok(steps);
        }
        let [intents, events] = [self.table(name::INTENT)?, self.table(name::EVENT)?];
        let mut places = BTreeMap::new();
        for row in self.follow(&intents, "log_position", from, to, 1).await? {
            let at = count(&intents, &row, "log_position")?;
            if text(&intents, &row, "status")? != "applied" {
                return Err(unexpected("an intent that was not applied"));
            }
            places.insert(text(&intents, &row, "intent_id")?.to_owned(), at - from);
            put(&mut steps, at - from, &intents, Write::Insert(row));
        }
        self.receipts(&places, &mut steps).await?;
        let found = self.follow(&events, "log_position", from, to, 1).await?;
        let changed = self.changes(&found, from, &mut steps).await?;
        self.versions_and_updates(&found, &changed, from, &mut steps)?;
        for row in found {
            put(&mut steps, count(&events, &row, "log_position")? - from, &events, Write::Insert(row));
        }
        let outbox = self.table(name::OUTBOX)?;
        for row in self.follow(&outbox, "position", from, to, 1_000_000).await? {
            put(&mut steps, count(&outbox, &row, "position")? / 1_000_000 - from, &outbox, Write::Insert(row));
        }
        self.ends_of_batches(from, to, &mut steps)?;
        Ok(steps)
    }

    /// Rows by an integer column that counts `factor` for each leaf.
    async fn follow(&self, table: &Table, column: &str, from: u64, to: u64, factor: u64) -> Result<Vec<Row>, CliError> {
        let after = |leaf: u64| i64::try_from(leaf * factor).unwrap_or(i64::MAX) - 1;
        let limit = usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut rows = self.database.follow(table, column, Some(after(from)), limit).await?;
        let end = after(to);
        rows.retain(
            |row| matches!(table.position(column).and_then(|at| row.get(at)), Some(Cell::Integer(at)) if *at <= end),
        );
        Ok(rows)
    }

    /// What a reader noted of where its sequencer's log has them; there is none of what a node sequenced itself.
    async fn receipts(&self, places: &BTreeMap<String, u64>, steps: &mut [Step]) -> Result<(), CliError> {
        let feed = self.table(name::FEED)?;
        let ids: Vec<Cell> = places.keys().map(|id| Cell::Text(id.clone())).collect();
        for row in self.database.select(&feed, "intent_id", &ids).await? {
            let place = places.get(text(&feed, &row, "intent_id")?).copied();
            put(steps, place.ok_or_else(|| unexpected("a receipt without its intent"))?, &feed, Write::Insert(row));
        }
        Ok(())
    }

    /// The rows of `lockstep_change`; back come the values by event and path.
    async fn changes(
        &self,
        found: &[Row],
        from: u64,
        steps: &mut [Step],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, CliError> {
        let [events, changes] = [self.table(name::EVENT)?, self.table(name::CHANGE)?];
        let mut places = BTreeMap::new();
        for row in found {
            places.insert(text(&events, row, "event_id")?.to_owned(), count(&events, row, "log_position")? - from);
        }
        let ids: Vec<Cell> = places.keys().map(|id| Cell::Text(id.clone())).collect();
        let mut rows = self.database.select(&changes, "event_id", &ids).await?;
        rows.sort_unstable();
        let mut values: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for row in rows {
            let event = text(&changes, &row, "event_id")?.to_owned();
            let (path, value) = (text(&changes, &row, "path")?.to_owned(), text(&changes, &row, "value")?.to_owned());
            let place = places.get(&event).copied().ok_or_else(|| unexpected("a change without its event"))?;
            values.entry(event).or_default().insert(path, value);
            put(steps, place, &changes, Write::Insert(row));
        }
        Ok(values)
    }

    /// The rows of the versions, and one update of each record in each batch, with what its last event there left.
    fn versions_and_updates(
        &self,
        found: &[Row],
        changed: &BTreeMap<String, BTreeMap<String, String>>,
        from: u64,
        steps: &mut [Step],
    ) -> Result<(), CliError> {
        let [events, versions] = [self.table(name::EVENT)?, self.table("bulletin_version")?];
        let mut last_of_batch = BTreeSet::new();
        for row in found.iter().rev() {
            let (record, seq) = (text(&events, row, "record_id")?, count(&events, row, "seq")?);
            let leaf = count(&events, row, "log_position")?;
            let version = self.versions.get(&(record.to_owned(), seq)).ok_or_else(|| unexpected("no version"))?;
            put(steps, leaf - from, &versions, Write::Insert(version.clone()));
            let batch = self.checkpoints.range(leaf + 1..).next().map(|(size, _)| *size);
            if last_of_batch.insert((batch, record)) {
                let values = changed.get(text(&events, row, "event_id")?);
                let values = values.ok_or_else(|| unexpected("an event without changes"))?;
                put(steps, leaf - from, &self.table(SPEC)?, self.update(row, version, values)?);
            }
        }
        Ok(())
    }

    fn update(&self, event: &Row, version: &Row, values: &BTreeMap<String, String>) -> Result<Write, CliError> {
        let [events, records, versions] =
            [self.table(name::EVENT)?, self.table(SPEC)?, self.table("bulletin_version")?];
        let record = text(&events, event, "record_id")?;
        let end = self.records.get(record).ok_or_else(|| unexpected("no record"))?;
        let whole = Json::parse(text(&records, end, "text")?.as_bytes(), &Limits::default());
        let title = whole.unwrap_or_default().get("title").map(Json::canonical).unwrap_or_default();
        let value = |path: &str| values.get(path).cloned().ok_or_else(|| unexpected(path));
        let content = format!(r#"{{"body":{},"edition":{},"title":{title}}}"#, value("/body")?, value("/edition")?);
        let cells = [
            ("text", Cell::Text(content)),
            ("title", cell(&versions, version, "title")?.clone()),
            ("edition", cell(&versions, version, "edition")?.clone()),
            ("lockstep_seq", cell(&events, event, "seq")?.clone()),
            ("lockstep_head", cell(&events, event, "event_id")?.clone()),
            ("lockstep_contract", cell(&records, end, "lockstep_contract")?.clone()),
            ("lockstep_updated_at", cell(&events, event, "time")?.clone()),
        ];
        let mut set = Vec::new();
        for (column, cell) in cells {
            set.push((records.position(column).ok_or_else(|| unexpected(column))?, cell));
        }
        set.sort_unstable_by_key(|(at, _)| *at);
        Ok(Write::Update { key: vec![Cell::Text(record.to_owned())], set })
    }

    /// Tiles, checkpoint and log head, as each batch that ended in these leaves wrote them.
    fn ends_of_batches(&self, from: u64, to: u64, steps: &mut [Step]) -> Result<(), CliError> {
        let [log, checkpoints, meta] = [self.table(name::LOG)?, self.table(name::CHECKPOINT)?, self.table(name::META)?];
        for (size, row) in self.checkpoints.range(from + 1..=to) {
            let (size, place) = (*size, size - 1 - from);
            let (name, previous) = (text(&checkpoints, row, "log")?, count(&checkpoints, row, "previous")?);
            for (level, index, hashes) in self.tiles_of(previous, size)? {
                let tile =
                    vec![Cell::Text(name.to_owned()), Cell::count(level), Cell::count(index), Cell::Bytes(hashes)];
                put(steps, place, &log, Write::Put(tile));
            }
            let root = text(&checkpoints, row, "root")?;
            let Cell::Timestamp(time) = cell(&checkpoints, row, "time")? else { return Err(unexpected("time")) };
            let head = json!({"log": name, "size": size, "root": root, "time": time.to_string()}).canonical();
            let key = vec![Cell::Text(LOG_HEAD.to_owned())];
            put(steps, place, &meta, Write::Update { key, set: vec![(1, Cell::Text(head))] });
            put(steps, place, &checkpoints, Write::Insert(row.clone()));
        }
        Ok(())
    }

    /// The tiles that a batch wrote, each with the hashes that it had then.
    fn tiles_of(&self, previous: u64, size: u64) -> Result<Vec<(u64, u64, Vec<u8>)>, CliError> {
        let (mut tiles, mut before, mut after) = (Vec::new(), previous, size);
        for level in 0.. {
            if after == before {
                break;
            }
            for index in before / TILE..=(after - 1) / TILE {
                let hashes = self.tiles.get(&(level, index)).ok_or_else(|| unexpected("a tile is missing"))?;
                let width = usize::try_from((after - index * TILE).min(TILE)).unwrap_or_default() * HASH;
                let then = hashes.get(..width).ok_or_else(|| unexpected("a tile is short"))?;
                tiles.push((level, index, then.to_vec()));
            }
            (before, after) = (before / TILE, after / TILE);
        }
        Ok(tiles)
    }
}

fn put(steps: &mut [Step], place: u64, table: &Arc<Table>, write: Write) {
    if let Some(step) = usize::try_from(place).ok().and_then(|place| steps.get_mut(place)) {
        step.push((table.clone(), write));
    }
}
