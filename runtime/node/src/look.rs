//! What one actor is shown of what this node holds: records now and at any earlier seq, and how intents ended.
//!
//! Who may see what is decided by `lockstep_core::sync::Rights` alone; this only reads rows and leaves out the rest. The
//! command line reads records through it, too, with nobody's eyes where `--as` names nobody.

mod listing;
mod told;

use lockstep_core::database::{Database, DatabaseError};
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::event::{EventOpenings, Header};
use lockstep_core::json::{Json, Object, json};
use lockstep_core::names::{RecordId, SpecName};
use lockstep_core::project::own_tables_by_name;
use lockstep_core::record::RecordState;
use lockstep_core::seal::{SealedEvent, replay};
use lockstep_core::sync::{Reader, Rights, Seen};
use lockstep_core::tables::{Cell, Role, Row, Table, name};
use lockstep_core::time::Timestamp;

use crate::load::cell;
pub use listing::Listing;
pub(crate) use told::targets;
pub use told::told;

/// A moment in a record's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the event at this seq.
    Seq(u64),
    /// At this time.
    Time(Timestamp),
}

impl Moment {
    /// Reads a seq or a time; `None` where the text is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let seq = text.parse().ok().map(Moment::Seq);
        seq.or_else(|| Timestamp::parse_lenient(text).ok().map(Moment::Time))
    }

    fn reaches(&self, header: &Header) -> bool {
        match self {
            Moment::Seq(seq) => header.seq <= *seq,
            Moment::Time(time) => header.time <= *time,
        }
    }
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It is not there, or not for this reader; which of the two is not told.
    #[error("{0}")]
    NotFound(String),
    /// The database's, or what is damaged in it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Where and through whose eyes to look; nobody's see everything that the node holds.
#[derive(Clone, Copy)]
pub struct Looking<'a> {
    /// The node's database.
    pub database: &'a dyn Database,
    /// The directory.
    pub directory: &'a Directory,
    /// Who looks.
    pub reader: Option<&'a Reader>,
}

pub(crate) fn damaged(table: &str, what: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::Shape { table: table.to_owned(), detail: what.to_string() }
}

/// The table of a spec's records, with the columns of all its versions.
#[must_use]
pub fn record_table(directory: &Directory, spec: &SpecName) -> Option<Table> {
    directory.newest_spec(spec)?;
    directory.record_tables().into_iter().find(|table| table.role == Role::Records && table.name == spec.as_str())
}

impl Looking<'_> {
    /// A record as it is, or as it was.
    ///
    /// # Errors
    /// [`LookError`]
    pub async fn record(&self, table: &Table, record: &RecordId, moment: Option<Moment>) -> Result<Json, LookError> {
        let (row, header) = self.row(table, record).await?.ok_or_else(|| self.not_there(table, record))?;
        let state = RecordState::from_row(table, &row, &header).map_err(|what| damaged(&table.name, what))?;
        let parties = state.parties();
        let Some(moment) = moment else {
            let entry = self.entry(table, &header)?;
            let scope = text(table, &row, "lockstep_scope");
            return self.shown(table, record, &state, Seen { spec: &entry.spec, parties: &parties }, scope, &header);
        };
        let step = self.at(table, record, moment).await?;
        let hidden = step.after.hidden().next().is_some();
        // Where this node no longer sees the parties, it goes by those that it saw last.
        let then = step.after.parties();
        let parties = if parties.is_null() { &then } else { &parties };
        let seen = Seen { spec: &step.entry.spec, parties };
        let shown =
            self.shown(table, record, &step.after, seen, if hidden { "partial" } else { "full" }, &step.header)?;
        match moment {
            Moment::Seq(seq) if seq != step.header.seq => {
                let last = step.header.seq;
                Err(LookError::NotFound(format!("{record} has no seq {seq}; its last one is {last}")))
            }
            _ => Ok(shown),
        }
    }

    async fn row(&self, table: &Table, record: &RecordId) -> Result<Option<(Row, Header)>, LookError> {
        let rows = self.database.select(table, "record_id", &[Cell::Text(record.to_string())]).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let events = own(name::EVENT)?;
        let head = Cell::Text(text(table, &row, "lockstep_head").to_owned());
        let found = self.database.select(&events, "event_id", &[head]).await?;
        let last =
            found.first().ok_or_else(|| damaged(name::EVENT, format!("the last event of {record} is missing")))?;
        Ok(Some((row, header(&events, last)?)))
    }

    /// The last event of a record that a moment reaches, with the state after it.
    async fn at(&self, table: &Table, record: &RecordId, moment: Moment) -> Result<SealedEvent, LookError> {
        let events = own(name::EVENT)?;
        let rows = self.database.select(&events, "record_id", &[Cell::Text(record.to_string())]).await?;
        let mut found = rows
            .iter()
            .map(|row| {
                let stored = cell(&events, row, "openings").and_then(Cell::as_bytes).unwrap_or_default();
                let openings = EventOpenings::read(stored).map_err(|what| damaged(name::EVENT, what))?;
                Ok((header(&events, row)?, openings))
            })
            .collect::<Result<Vec<_>, DatabaseError>>()?;
        found.retain(|(header, _)| moment.reaches(header));
        found.sort_by_key(|(header, _)| (header.epoch, header.seq));
        let mut last: Option<SealedEvent> = None;
        for (header, openings) in found {
            let before = last.take().map(|step| step.after);
            let step = replay(header, openings, before, self.directory);
            last = Some(step.map_err(|what| damaged(name::EVENT, what))?);
        }
        last.ok_or_else(|| self.not_there(table, record))
    }

    fn entry(&self, table: &Table, header: &Header) -> Result<&SpecEntry, LookError> {
        let entry = self.directory.specs().get(&header.spec).map(AsRef::as_ref);
        Ok(entry.ok_or_else(|| damaged(&table.name, "the record's spec is not known"))?)
    }

    fn not_there(&self, table: &Table, record: &RecordId) -> LookError {
        let who = self.reader.map_or_else(String::new, |reader| format!(" that {} may see", reader.actor));
        LookError::NotFound(format!("there is no record {record} in {}{who}", table.name))
    }

    fn shown(
        &self,
        table: &Table,
        record: &RecordId,
        state: &RecordState,
        seen: Seen<'_>,
        scope: &str,
        header: &Header,
    ) -> Result<Json, LookError> {
        if self.reader.is_some_and(|reader| !reader.follows(seen, state.seq)) {
            return Err(self.not_there(table, record));
        }
        let (mut sections, mut versions, mut hidden) = (Object::new(), Object::new(), Vec::new());
        for (section, held) in &state.sections {
            if self.reader.is_none_or(|reader| reader.reads(seen, section, state.seq)) {
                sections.insert(section.clone(), Json::clone(&held.content));
                versions.insert(section.clone(), Json::from(held.seq));
                hidden.extend(held.hidden.then(|| Json::from(section)));
            }
        }
        Ok(json!({
            "spec": state.spec.as_str(), "record_id": record.as_str(), "seq": state.seq, "contract": state.on.name.as_str(),
            "contract_version": state.on.version.to_string(), "scope": scope, "head": state.head.to_string(),
            "updated_at": header.time.to_string(), "sections": sections, "versions": versions, "hidden": hidden
        }))
    }
}

/// One of Lockstep's own tables.
pub(crate) fn own(table: &str) -> Result<std::sync::Arc<Table>, DatabaseError> {
    own_tables_by_name().remove(table).ok_or_else(|| damaged(table, "it is not in the catalogue"))
}

pub(crate) fn header(events: &Table, row: &Row) -> Result<Header, DatabaseError> {
    let stored = cell(events, row, "header").and_then(Cell::as_bytes).unwrap_or_default();
    Header::read(stored).map_err(|what| damaged(name::EVENT, what))
}

pub(crate) fn text<'a>(table: &Table, row: &'a Row, column: &str) -> &'a str {
    cell(table, row, column).and_then(Cell::as_str).unwrap_or_default()
}
