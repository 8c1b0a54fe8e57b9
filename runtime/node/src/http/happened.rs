//! What happened, a page at a time, with all that it takes to say who may know it.
//!
//! A page is read and prepared once and shown to any number of readers. Who of them sees what of it follows from the
//! memberships of its records, which are kept here as long as no event changes them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::database::DatabaseError;
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::event::Header;
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::{MethodName, RecordId};
use lockstep_core::package::Manifest;
use lockstep_core::spec::PARTIES;
use lockstep_core::sync::{Reader, Rights, Seen, reads_call};
use lockstep_core::tables::{Cell, Role, Row, Table, name};

use super::filter::Filter;
use crate::feed::{PER_LEAF, event, event_rows, notification};
use crate::load::cell;
use crate::look::{header, own, targets, text};
use crate::open::Node;

/// Most events or notifications that are read at once.
const ROWS: usize = 256;

/// Bytes of rows that are read at once where they are large.
const BYTES: usize = 1 << 20;

/// Most records whose memberships are kept.
const RECORDS: usize = 10_000;

/// Which of the two is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Events,
    Notifications,
}

/// A record at an event, as it is judged who may see it.
struct Place {
    entry: Arc<SpecEntry>,
    parties: Arc<Json>,
    seq: u64,
}

impl Place {
    fn seen(&self) -> Seen<'_> {
        Seen { spec: &self.entry.spec, parties: &self.parties }
    }
}

/// An intent that was applied: who may know what it called.
struct Called {
    actor: String,
    method: Option<MethodName>,
    manifest: Option<Arc<Manifest>>,
    /// None where a record did not change: then nobody but the actor is told here.
    places: Vec<Option<Arc<Place>>>,
}

impl Called {
    fn is_open_to(&self, reader: &Reader) -> bool {
        let seen: Vec<_> =
            self.places.iter().map(|place| place.as_ref().map(|place| (place.seen(), place.seq))).collect();
        self.actor == reader.actor.as_str() || reads_call(reader, self.method.as_ref(), self.manifest.as_deref(), &seen)
    }
}

/// Something that happened.
pub(super) struct Item {
    pub(super) position: u64,
    pub(super) spec: String,
    pub(super) record: String,
    pub(super) contract: String,
    /// Of a notification.
    pub(super) kind: Option<String>,
    /// The section that a notification is about; an event has several.
    section: Option<String>,
    place: Option<Arc<Place>>,
    called: Option<Arc<Called>>,
    /// As its data, whole.
    text: String,
    /// As its data, without what it called.
    closed: String,
}

impl Item {
    /// What a reader is told of it.
    pub(super) fn told(&self, reader: &Reader, filter: &Filter) -> Option<&str> {
        let place = self.place.as_ref().filter(|_| filter.takes(self))?;
        let visible = match &self.section {
            Some(section) => reader.reads(place.seen(), section, place.seq),
            None => reader.follows(place.seen(), place.seq),
        };
        let open = || self.called.as_ref().is_none_or(|called| called.is_open_to(reader));
        visible.then(|| if open() { self.text.as_str() } else { self.closed.as_str() })
    }

    fn bytes(&self) -> usize {
        self.text.len() + self.closed.len() + 256
    }
}

/// What happened from a position up to another.
pub(super) struct Happened {
    /// The first position that it is about.
    pub(super) from: u64,
    /// The position after the last one.
    pub(super) next: u64,
    pub(super) items: Vec<Item>,
    /// About how much memory it takes.
    pub(super) bytes: usize,
}

/// Reads pages of a node.
pub(super) struct Source {
    node: Node,
    kind: Kind,
    /// The memberships of records, each as of a seq.
    parties: Mutex<HashMap<String, (u64, Arc<Json>)>>,
    /// How many rows fit into a page, going by the last ones.
    fitting: AtomicUsize,
}

impl Source {
    pub(super) fn new(node: Node, kind: Kind) -> Self {
        Source { node, kind, parties: Mutex::new(HashMap::new()), fitting: AtomicUsize::new(1) }
    }

    /// The position after all that is committed and signed for.
    pub(super) fn end(&self) -> u64 {
        self.node.leaves().saturating_mul(PER_LEAF)
    }

    /// What happened from a position on, as far as a page goes.
    pub(super) async fn read(&self, from: u64) -> Result<Happened, DatabaseError> {
        let (end, directory) = (self.end(), self.node.directory());
        let after = from.checked_sub(1);
        let (mut items, all) = match self.kind {
            Kind::Events => self.events(&directory, after).await?,
            Kind::Notifications => self.notifications(&directory, after).await?,
        };
        // What was committed meanwhile is for the next page, when its checkpoint is written, too.
        let whole = items.len();
        items.retain(|item| item.position < end);
        let all = all || items.len() < whole;
        let next = if all { end } else { items.last().map_or(end, |item| item.position + 1) };
        let bytes = items.iter().map(Item::bytes).sum();
        Ok(Happened { from, next: next.max(from), items, bytes })
    }

    async fn events(&self, directory: &Directory, after: Option<u64>) -> Result<(Vec<Item>, bool), DatabaseError> {
        let table = own(name::EVENT)?;
        let (rows, all) = event_rows(self.node.database(), &table, after, self.fitting()).await?;
        self.fit(rows.iter().map(|(_, row)| row));
        let headers = rows.iter().map(|(_, row)| header(&table, row)).collect::<Result<Vec<_>, _>>()?;
        let specs = rows.iter().map(|(_, row)| text(&table, row, "spec"));
        self.learn(directory, headers.iter().zip(specs)).await?;
        let places: Vec<Option<Arc<Place>>> = headers.iter().map(|header| self.place(directory, header)).collect();
        let mut intents: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, (_, row)) in rows.iter().enumerate() {
            intents.entry(text(&table, row, "intent_id")).or_default().push(index);
        }
        let mut called: BTreeMap<&str, Arc<Called>> = BTreeMap::new();
        for (intent, indexes) in &intents {
            let part: Vec<_> = indexes
                .iter()
                .filter_map(|at| Some((&rows.get(*at)?.1, headers.get(*at)?, places.get(*at)?.clone())))
                .collect();
            called.insert(intent, Arc::new(self.called(directory, &table, intent, &part).await?));
        }
        let items = rows.iter().zip(&places).map(|((position, row), place)| {
            let json = event(&table, row, *position);
            let mut closed = json.clone();
            if let Json::Object(closed) = &mut closed {
                closed.insert("method", Json::Null);
            }
            let part = |column| text(&table, row, column).to_owned();
            Item {
                position: *position,
                spec: part("spec"),
                record: part("record_id"),
                contract: part("contract"),
                kind: None,
                section: None,
                place: place.clone(),
                called: called.get(text(&table, row, "intent_id")).cloned(),
                text: json.canonical(),
                closed: closed.canonical(),
            }
        });
        Ok((items.collect(), all))
    }

    /// What an intent called, with all the records that it names, in their order.
    async fn called(
        &self,
        directory: &Directory,
        table: &Table,
        intent: &str,
        part: &[(&Row, &Header, Option<Arc<Place>>)],
    ) -> Result<Called, DatabaseError> {
        let (row, header) = part.first().map_or((None, None), |(row, header, _)| (Some(*row), Some(*header)));
        let column = |column| row.map(|row| text(table, row, column)).unwrap_or_default();
        let method = MethodName::parse(column("method")).ok();
        let manifest = header.and_then(|header| directory.package(&header.package)).map(|known| known.manifest.clone());
        let declared = method.as_ref().and_then(|method| manifest.as_ref()?.methods.get(method));
        let records = if declared.is_some_and(|declared| declared.records.len() == 1) && part.len() == 1 {
            part.iter().map(|(_, header, _)| Some(header.record.clone())).collect()
        } else {
            self.named(intent).await?
        };
        let place = |record: &Option<RecordId>| {
            let event = part.iter().find(|(_, header, _)| Some(&header.record) == record.as_ref());
            event.and_then(|(_, _, place)| place.clone())
        };
        let places = records.iter().map(place).collect();
        Ok(Called { actor: column("actor").to_owned(), method, manifest, places })
    }

    /// The records that an intent names, in its order; none where one is not for this node.
    async fn named(&self, intent: &str) -> Result<Vec<Option<RecordId>>, DatabaseError> {
        let intents = own(name::INTENT)?;
        let rows = self.node.database().select(&intents, "intent_id", &[Cell::Text(intent.to_owned())]).await?;
        let stored = rows.first().and_then(|row| cell(&intents, row, "openings")).and_then(Cell::as_bytes);
        Ok(targets(stored.unwrap_or_default()))
    }

    async fn notifications(
        &self,
        directory: &Directory,
        after: Option<u64>,
    ) -> Result<(Vec<Item>, bool), DatabaseError> {
        let (outbox, events) = (own(name::OUTBOX)?, own(name::EVENT)?);
        let after = after.map(|after| i64::try_from(after).unwrap_or(i64::MAX));
        let limit = self.fitting();
        let rows = self.node.database().follow(&outbox, "position", after, limit).await?;
        self.fit(rows.iter());
        let ids: BTreeSet<Cell> = rows.iter().filter_map(|row| cell(&outbox, row, "event_id").cloned()).collect();
        let ids: Vec<Cell> = ids.into_iter().collect();
        let found = self.node.database().select(&events, "event_id", &ids).await?;
        let headers = found.iter().map(|row| header(&events, row)).collect::<Result<Vec<_>, _>>()?;
        let specs = found.iter().map(|row| text(&events, row, "spec"));
        self.learn(directory, headers.iter().zip(specs)).await?;
        let known: BTreeMap<&str, (&Row, Option<Arc<Place>>)> = found
            .iter()
            .zip(&headers)
            .map(|(row, header)| (text(&events, row, "event_id"), (row, self.place(directory, header))))
            .collect();
        let items = rows.iter().map(|row| {
            let told = notification(&outbox, row)?;
            let (event, place) = known.get(text(&outbox, row, "event_id")).cloned().unzip();
            let text_of = |column| text(&outbox, row, column).to_owned();
            Ok(Item {
                position: told.position,
                spec: text_of("aggregatetype"),
                record: text_of("aggregateid"),
                contract: event.map(|event| text(&events, event, "contract").to_owned()).unwrap_or_default(),
                kind: Some(text_of("type")),
                section: Some(text_of("section")),
                place: place.flatten(),
                called: None,
                text: told.json.canonical(),
                closed: String::new(),
            })
        });
        Ok((items.collect::<Result<_, DatabaseError>>()?, rows.len() < limit))
    }

    fn fitting(&self) -> usize {
        self.fitting.load(Ordering::Relaxed)
    }

    /// Goes by the size of what was read for what to read next; never twice as many as the last time.
    fn fit<'a>(&self, rows: impl Iterator<Item = &'a Row>) {
        let (mut count, mut bytes): (usize, usize) = (0, 0);
        for cell in rows.inspect(|_| count += 1).flatten() {
            bytes += cell.as_str().map_or(0, str::len) + cell.as_bytes().map_or(0, <[u8]>::len);
        }
        if let Some(each) = bytes.checked_div(count) {
            let fitting = (BYTES / each.max(1)).min(self.fitting() * 2).clamp(1, ROWS);
            self.fitting.store(fitting, Ordering::Relaxed);
        }
    }

    fn place(&self, directory: &Directory, header: &Header) -> Option<Arc<Place>> {
        let entry = directory.specs().get(&header.spec)?.clone();
        let kept = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, parties) = kept.get(header.record.as_str())?;
        Some(Arc::new(Place { entry, parties: parties.clone(), seq: header.seq }))
    }

    /// Reads the memberships of the records that are not known, or that one of these events has changed since.
    async fn learn<'a>(
        &self,
        directory: &Directory,
        events: impl Iterator<Item = (&'a Header, &'a str)>,
    ) -> Result<(), DatabaseError> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        {
            let mut kept = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() > RECORDS {
                kept.clear();
            }
            for (header, spec) in events {
                let changed = header.sections.get(PARTIES).map_or(0, |sealed| sealed.seq);
                if kept.get(header.record.as_str()).is_none_or(|(seq, _)| *seq < changed) {
                    wanted.entry(spec).or_default().insert(header.record.as_str());
                }
            }
        }
        let tables = directory.record_tables().into_iter().filter(|table| table.role == Role::Records);
        for table in tables {
            let Some(records) = wanted.get(table.name.as_str()) else { continue };
            let values: Vec<Cell> = records.iter().map(|record| Cell::Text((*record).to_owned())).collect();
            for row in self.node.database().select(&table, "record_id", &values).await? {
                let parties = Json::parse(text(&table, &row, PARTIES).as_bytes(), &Limits::default());
                let seq = cell(&table, &row, "lockstep_seq").and_then(Cell::as_count).unwrap_or_default();
                let mut kept = self.parties.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(text(&table, &row, "record_id").to_owned(), (seq, Arc::new(parties.unwrap_or_default())));
            }
        }
        Ok(())
    }
}
