//! What this node was shown of other logs, as it is stored: what a share that contradicts it is held against.

use std::sync::Arc;

use lockstep_core::crypto::Digest;
use lockstep_core::database::Database;
use lockstep_core::event::Header;
use lockstep_core::log::Checkpoint;
use lockstep_core::received::{Place, read_path};
use lockstep_core::sync::{Exhibit, Share};
use lockstep_core::tables::{Cell, Row, Table};

use crate::load::cell;
use crate::open::NodeError;

/// What a share shows: each of its events, and its leaf alone.
pub(crate) fn exhibits(share: &Share) -> Vec<Exhibit> {
    let events = share.events.iter().map(|event| Some(Digest::of(&event.header)));
    let all = events.chain([None]).filter_map(|event| Exhibit::of_share(share, event.as_ref()).ok());
    all.collect()
}

/// Tables that tell what was shown before.
pub(crate) struct Shown {
    pub(crate) feed: Arc<Table>,
    pub(crate) intents: Arc<Table>,
    pub(crate) events: Arc<Table>,
}

impl Shown {
    /// What stands here of the same intent, the same position, and the records of a share.
    pub(crate) async fn of(
        &self,
        database: &dyn Database,
        share: &Share,
        records: &[Cell],
    ) -> Result<Vec<Exhibit>, NodeError> {
        let (seqs, mut wanted) = (near(share), Vec::new());
        for row in database.select(&self.events, "record_id", records).await? {
            let seq = cell(&self.events, &row, "seq").and_then(Cell::as_count);
            let header = cell(&self.events, &row, "header").and_then(Cell::as_bytes).map(<[u8]>::to_vec);
            let intent = cell(&self.events, &row, "intent_id").cloned();
            if let (true, Some(intent)) = (seq.is_some_and(|seq| seqs.contains(&seq)), intent) {
                wanted.push((intent, header));
            }
        }
        let position = [Cell::count(share.place.position)];
        for row in database.select(&self.feed, "position", &position).await? {
            let same = cell(&self.feed, &row, "log").and_then(Cell::as_str) == Some(share.place.log.as_str());
            wanted.extend(cell(&self.feed, &row, "intent_id").cloned().filter(|_| same).map(|intent| (intent, None)));
        }
        wanted.extend(share.intent().map(|intent| (Cell::Text(intent.to_string()), None)));
        let ids: Vec<Cell> = wanted.iter().map(|(intent, _)| intent.clone()).collect();
        let places = database.select(&self.feed, "intent_id", &ids).await?;
        let outcomes = database.select(&self.intents, "intent_id", &ids).await?;
        let found = wanted.into_iter().filter_map(|(intent, header)| {
            let place = row_of(&self.feed, &places, &intent).and_then(|row| place(&self.feed, row))?;
            let row = row_of(&self.intents, &outcomes, &intent)?;
            Exhibit::of_place(&place, cell(&self.intents, row, "outcome")?.as_bytes()?, header).ok()
        });
        Ok(found.collect())
    }
}

fn row_of<'a>(table: &Table, rows: &'a [Row], intent: &Cell) -> Option<&'a Row> {
    rows.iter().find(|row| cell(table, row, "intent_id") == Some(intent))
}

/// The seqs of a share's events, and those that they continue.
fn near(share: &Share) -> Vec<u64> {
    let headers = share.events.iter().filter_map(|event| Header::read(&event.header).ok());
    headers.flat_map(|header| [header.seq, header.seq.saturating_sub(1)]).collect()
}

fn place(table: &Table, row: &Row) -> Option<Place> {
    let note = cell(table, row, "note")?.as_str()?.to_owned();
    let (head, _) = Checkpoint::parse(&note).ok()?;
    Some(Place {
        log: cell(table, row, "log")?.as_str()?.to_owned(),
        position: cell(table, row, "position")?.as_count()?,
        path: read_path(cell(table, row, "path")?.as_bytes()?)?,
        note,
        size: head.size,
        root: head.root,
    })
}

/// A signed head of this size that was stored of another's log.
pub(crate) async fn note_of(database: &dyn Database, table: &Table, log: &str, size: u64) -> Option<String> {
    let rows = database.select(table, "log", &[Cell::Text(log.to_owned())]).await.ok()?;
    let mut notes = rows.iter().filter_map(|row| cell(table, row, "note").and_then(Cell::as_str));
    notes.find(|note| Checkpoint::parse(note).is_ok_and(|(head, _)| head.size == size)).map(str::to_owned)
}
