//! What the reading verbs share: stored evidence made into directories, packages and states again.
//!
//! Nothing here writes or takes the writer's lock, so it works beside a running node and on a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::Database;
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::event::{EventOpenings, Header};
use lockstep_core::execute::Packages;
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::{ActorId, RecordId, SpecName};
use lockstep_core::package::Package;
use lockstep_core::project::own_tables_by_name;
use lockstep_core::seal::{SealedEvent, replay};
use lockstep_core::sync::Reader;
use lockstep_core::tables::{Cell, Row, Table, name};

use crate::context::{Context, Home};
use crate::error::CliError;

/// A database opened to read, with the catalogue that says what its columns are.
pub(crate) struct Stored {
    database: Arc<dyn Database>,
    own: BTreeMap<String, Arc<Table>>,
}

/// One event of a record as the database holds it.
pub(crate) struct StoredEvent {
    pub(crate) row: Row,
    pub(crate) header: Header,
    pub(crate) openings: EventOpenings,
}

/// The contents of damaged rows are nobody's fault on the command line: `verify` names the cell.
pub(crate) fn damaged(what: impl std::fmt::Display) -> CliError {
    CliError::new(Code::DatabaseShape, format!("the database is damaged: {what}"))
}

/// A name or id from the command line.
pub(crate) fn usage(error: impl std::fmt::Display) -> CliError {
    CliError::new(Code::Usage, error.to_string())
}

/// What a cell holds, for JSON: text, or nothing.
pub(crate) fn value(table: &Table, row: &Row, column: &str) -> Json {
    Json::from(cell(table, row, column).and_then(Cell::show))
}

/// What a cell holds, as text; NULL is empty.
pub(crate) fn text(table: &Table, row: &Row, column: &str) -> String {
    cell(table, row, column).and_then(Cell::show).unwrap_or_default()
}

/// A cell with its own type. Bytes are hex, and a number that JSON would alter is text.
pub(crate) fn typed(cell: &Cell) -> Json {
    match cell {
        Cell::Bytes(bytes) => Json::from(data_encoding::HEXLOWER.encode(bytes)),
        Cell::Boolean(truth) => Json::from(*truth),
        Cell::Integer(number) => number_or_text(&number.to_string()),
        Cell::Decimal(text) => number_or_text(text),
        other => Json::from(other.show()),
    }
}

fn number_or_text(text: &str) -> Json {
    let number = Json::parse(text.as_bytes(), &Limits::default()).ok();
    number.filter(|json| json.as_f64().is_some()).unwrap_or_else(|| Json::from(text))
}

/// The number in a cell.
pub(crate) fn count(table: &Table, row: &Row, column: &str) -> Option<u64> {
    cell(table, row, column)?.as_count()
}

pub(crate) fn cell<'a>(table: &Table, row: &'a Row, column: &str) -> Option<&'a Cell> {
    row.get(table.position(column)?)
}

pub(crate) fn bytes<'a>(table: &Table, row: &'a Row, column: &str) -> Result<&'a [u8], CliError> {
    let found = cell(table, row, column).and_then(Cell::as_bytes);
    found.ok_or_else(|| damaged(format!("{} has a row without {column}", table.name)))
}

impl Stored {
    pub(crate) async fn open(home: &Home) -> Result<Self, CliError> {
        Ok(Stored::of(home.reader().await?))
    }

    /// A database that is open.
    pub(crate) fn of(database: Arc<dyn Database>) -> Self {
        Stored { database, own: own_tables_by_name() }
    }

    pub(crate) fn database(&self) -> &dyn Database {
        self.database.as_ref()
    }

    /// One of Lockstep's own tables.
    pub(crate) fn own(&self, table: &str) -> Result<&Table, CliError> {
        self.own
            .get(table)
            .map(Arc::as_ref)
            .ok_or_else(|| CliError::new(Code::Internal, format!("no table {table} in the catalogue")))
    }

    /// The events of the directory, in order.
    pub(crate) async fn directory_events(&self) -> Result<Vec<DirectoryEvent>, CliError> {
        let table = self.own(name::DIRECTORY)?;
        let rows = self.database.follow(table, "seq", None, usize::MAX).await?;
        rows.iter().map(|row| DirectoryEvent::read(bytes(table, row, "envelope")?).map_err(damaged)).collect()
    }

    /// The directory after its last event.
    pub(crate) async fn directory(&self) -> Result<Directory, CliError> {
        directory_of(&self.directory_events().await?, u64::MAX)
    }

    /// The packages in the database, each checked against its digest.
    pub(crate) async fn packages(&self) -> Result<PackageMap, CliError> {
        let table = self.own(name::CONTRACT)?;
        let mut packages = BTreeMap::new();
        for row in self.database.follow(table, "directory_seq", None, usize::MAX).await? {
            let package = Package::decode(bytes(table, &row, "package")?).map_err(damaged)?;
            packages.insert(package.digest(), Arc::new(package));
        }
        Ok(PackageMap(packages))
    }

    /// The events of a record, in order.
    pub(crate) async fn events(&self, record: &RecordId) -> Result<Vec<StoredEvent>, CliError> {
        let table = self.own(name::EVENT)?;
        let rows = self.database.select(table, "record_id", &[Cell::Text(record.to_string())]).await?;
        let mut events = Vec::new();
        for row in rows {
            let header = Header::read(bytes(table, &row, "header")?).map_err(damaged)?;
            let openings = EventOpenings::read(bytes(table, &row, "openings")?).map_err(damaged)?;
            events.push(StoredEvent { row, header, openings });
        }
        events.sort_by_key(|event| (event.header.epoch, event.header.seq));
        Ok(events)
    }

    /// The intent that a text names: an id, or its first eight digits or more where only one begins so.
    pub(crate) async fn intent(&self, text: &str) -> Result<Digest, CliError> {
        if let Ok(id) = Digest::parse(text) {
            return Ok(id);
        }
        let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !hex || !(8..64).contains(&text.len()) {
            return Err(usage(format!(
                "{text} is no intent's id; that is 64 hex digits, or the first 8 or more of them"
            )));
        }
        // Nothing but hex digits gets here, and g comes after them all.
        let within = |table: &str| {
            format!("SELECT intent_id FROM {table} WHERE intent_id >= '{text}' AND intent_id < '{text}g'")
        };
        let sql = format!("{} UNION {}", within(name::INTENT), within(name::FORWARD));
        let rows = self.database.query(&sql, 2).await?.rows;
        let found = |row: &Row| row.first().and_then(Cell::as_str).and_then(|id| Digest::parse(id).ok());
        match rows.as_slice() {
            [] => {
                Err(CliError::new(Code::NotFound, format!("no intent {text} is known here"))
                    .hint("lockstep intent list"))
            }
            [only] => found(only).ok_or_else(|| damaged(format!("intent {text} has an id that is none"))),
            _ => {
                Err(CliError::new(Code::Ambiguous, format!("several intents begin with {text}"))
                    .hint("write more digits"))
            }
        }
    }
}

/// The directory after event `seq`, or after its last one.
pub(crate) fn directory_of(events: &[DirectoryEvent], seq: u64) -> Result<Directory, CliError> {
    let (first, rest) = events.split_first().ok_or_else(|| damaged("the directory is empty"))?;
    let mut directory = Directory::found(first).map_err(damaged)?;
    for event in rest.iter().take_while(|event| event.seq <= seq) {
        directory.apply(event).map_err(damaged)?;
    }
    Ok(directory)
}

/// Replays a record's events as long as `wanted` says so; the steps, in order.
pub(crate) fn replayed(
    events: Vec<StoredEvent>,
    directory: &Directory,
    wanted: impl Fn(&Header) -> bool,
) -> Result<Vec<(Row, SealedEvent)>, CliError> {
    let mut steps: Vec<(Row, SealedEvent)> = Vec::new();
    for event in events.into_iter().take_while(|event| wanted(&event.header)) {
        let before = steps.last().map(|(_, step)| step.after.clone());
        let step = replay(event.header, event.openings, before, directory).map_err(damaged)?;
        steps.push((event.row, step));
    }
    Ok(steps)
}

/// The table of a spec's records, with the columns of all its versions.
pub(crate) fn record_table(directory: &Directory, spec: &str) -> Result<Table, CliError> {
    let spec = SpecName::parse(spec).map_err(usage)?;
    lockstep_node::record_table(directory, &spec).ok_or_else(|| {
        let mut names: Vec<String> = directory.specs().values().map(|entry| entry.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let hint = if names.is_empty() {
            "deploy a contract first".to_owned()
        } else {
            format!("known: {}", names.join(", "))
        };
        CliError::new(Code::NotFound, format!("no spec is called {spec}")).hint(hint)
    })
}

/// The packages of a database.
pub(crate) struct PackageMap(BTreeMap<Digest, Arc<Package>>);

impl Packages for PackageMap {
    fn package(&self, digest: &Digest) -> Option<Arc<Package>> {
        self.0.get(digest).cloned()
    }
}

/// Through whose eyes to look: the actor of `--as`, where one is given, as the directory knows it now.
pub(crate) fn reader(context: &Context, directory: &Directory) -> Result<Option<Reader>, CliError> {
    let Some(wanted) = context.actor.as_deref() else { return Ok(None) };
    let fits = |id: &ActorId| id.as_str() == wanted || id.name().as_str() == wanted;
    let mut fitting = directory.actors().iter().filter(|(id, _)| fits(id));
    let (Some((id, actor)), more) = (fitting.next(), fitting.next()) else {
        return Err(CliError::new(Code::UnknownActor, format!("no actor is called {wanted}")));
    };
    if more.is_some() {
        return Err(CliError::new(Code::Ambiguous, format!("several actors are called {wanted}")));
    }
    if let Some(time) = actor.revoked {
        return Err(CliError::new(Code::RevokedActor, format!("the key of {id} was revoked at {time}")));
    }
    Ok(Reader::of(directory, id))
}
