//! What happened, a page at a time, with all that it takes to say who may know it.
//!
//! A page is read and prepared once and shown to any number of readers. Who of them sees what of it follows from the
//! memberships of its records. They are kept here, and read again where an event has changed them: in order, as pages
//! are read one after the other. Whoever wants a page knows how much must have been looked at for it: all that had
//! happened when it came. So who was let in a moment ago is judged by that, and who was there before shares pages.

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

/// Bytes of rows that are read at once where they are large: each reader that is slow may hold a page of its own.
const BYTES: usize = 256 << 10;

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
    /// Memberships are those of this position, or later ones.
    pub(super) judged: u64,
    pub(super) items: Vec<Item>,
    /// About how much memory it takes.
    pub(super) bytes: usize,
}

/// The memberships of records.
#[derive(Default)]
struct Kept {
    /// Each as of a seq.
    parties: HashMap<String, (u64, Arc<Json>)>,
    /// All events before this position were looked at for changes of them.
    looked: u64,
}

impl Kept {
    /// The position that memberships are good for where a page is looked at next; none where events between were not.
    fn good_for(&self, from: u64, next: u64) -> Option<u64> {
        (from <= self.looked).then_some(self.looked.max(next))
    }
}

/// The memberships of a page's records.
type Parties = HashMap<String, Arc<Json>>;

/// Reads pages of a node.
pub(super) struct Source {
    node: Node,
    kind: Kind,
    kept: Mutex<Kept>,
    /// How many rows fit into a page, going by the last ones.
    fitting: AtomicUsize,
}

impl Source {
    pub(super) fn new(node: Node, kind: Kind) -> Self {
        Source { node, kind, kept: Mutex::default(), fitting: AtomicUsize::new(1) }
    }

    /// The position after all that is committed and signed for.
    pub(super) fn end(&self) -> u64 {
        self.node.leaves().saturating_mul(PER_LEAF)
    }

    /// What happened from a position on, as far as a page goes, judged by memberships as of `least` or later.
    pub(super) async fn read(&self, from: u64, least: u64) -> Result<Happened, DatabaseError> {
        let turn = Turn { from, least, end: self.end(), directory: self.node.directory() };
        let mut happened = match self.kind {
            Kind::Events => self.events(&turn).await?,
            Kind::Notifications => self.notifications(&turn).await?,
        };
        happened.items.retain(|item| (from..happened.next).contains(&item.position));
        happened.bytes = happened.items.iter().map(Item::bytes).sum();
        Ok(happened)
    }

    async fn events(&self, turn: &Turn) -> Result<Happened, DatabaseError> {
        let table = own(name::EVENT)?;
        let (rows, all) = event_rows(self.node.database(), &table, turn.from.checked_sub(1), self.fitting()).await?;
        self.fit(rows.iter().map(|(_, row)| row));
        let next = turn.next(all, rows.last().map(|(position, _)| *position));
        let headers = rows.iter().map(|(_, row)| header(&table, row)).collect::<Result<Vec<_>, _>>()?;
        let specs = rows.iter().map(|(_, row)| text(&table, row, "spec"));
        let (parties, judged) = self.parties(turn, next, headers.iter().zip(specs)).await?;
        let places: Vec<Option<Arc<Place>>> =
            headers.iter().map(|header| place(&turn.directory, &parties, header)).collect();
        let mut intents: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
        for (((_, row), header), place) in rows.iter().zip(&headers).zip(&places) {
            intents.entry(text(&table, row, "intent_id")).or_default().push((row, header, place.clone()));
        }
        let mut called: BTreeMap<&str, Arc<Called>> = BTreeMap::new();
        for (intent, part) in &intents {
            called.insert(intent, Arc::new(self.called(&turn.directory, &table, intent, part).await?));
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
        Ok(Happened { from: turn.from, next, judged, items: items.collect(), bytes: 0 })
    }

    /// What an intent called, with all the records that it names, in their order.
    async fn called(
        &self,
        directory: &Directory,
        table: &Table,
        intent: &str,
        part: &[Part<'_>],
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

    async fn notifications(&self, turn: &Turn) -> Result<Happened, DatabaseError> {
        let (outbox, events) = (own(name::OUTBOX)?, own(name::EVENT)?);
        let after = turn.from.checked_sub(1).map(|after| i64::try_from(after).unwrap_or(i64::MAX));
        let limit = self.fitting();
        let rows = self.node.database().follow(&outbox, "position", after, limit).await?;
        self.fit(rows.iter());
        let told = rows.iter().map(|row| notification(&outbox, row)).collect::<Result<Vec<_>, _>>()?;
        let next = turn.next(rows.len() < limit, told.last().map(|told| told.position));
        let ids: BTreeSet<Cell> = rows.iter().filter_map(|row| cell(&outbox, row, "event_id").cloned()).collect();
        let ids: Vec<Cell> = ids.into_iter().collect();
        let found = self.node.database().select(&events, "event_id", &ids).await?;
        let headers = found.iter().map(|row| header(&events, row)).collect::<Result<Vec<_>, _>>()?;
        let specs = found.iter().map(|row| text(&events, row, "spec"));
        let (parties, judged) = self.parties(turn, next, headers.iter().zip(specs)).await?;
        let known: BTreeMap<&str, (&Row, Option<Arc<Place>>)> = found
            .iter()
            .zip(&headers)
            .map(|(row, header)| (text(&events, row, "event_id"), (row, place(&turn.directory, &parties, header))))
            .collect();
        let items = rows.iter().zip(told).map(|(row, told)| {
            let (event, place) = known.get(text(&outbox, row, "event_id")).cloned().unzip();
            let part = |column| text(&outbox, row, column).to_owned();
            Item {
                position: told.position,
                spec: part("aggregatetype"),
                record: part("aggregateid"),
                contract: event.map(|event| text(&events, event, "contract").to_owned()).unwrap_or_default(),
                kind: Some(part("type")),
                section: Some(part("section")),
                place: place.flatten(),
                called: None,
                text: told.json.canonical(),
                closed: String::new(),
            }
        });
        Ok(Happened { from: turn.from, next, judged, items: items.collect(), bytes: 0 })
    }

    /// The memberships of the records of a page's events, and the position that they are good for.
    async fn parties<'a>(
        &self,
        turn: &Turn,
        next: u64,
        events: impl Iterator<Item = (&'a Header, &'a str)>,
    ) -> Result<(Parties, u64), DatabaseError> {
        let (mut found, mut wanted) = (Parties::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
        let good = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // Who reads notifications does not see all events that change memberships.
            let good = kept.good_for(turn.from, next).filter(|_| self.kind == Kind::Events);
            let good = good.filter(|good| *good >= turn.least);
            for (header, spec) in events {
                let changed = header.sections.get(PARTIES).map_or(0, |sealed| sealed.seq);
                let known = kept.parties.get(header.record.as_str());
                match known.filter(|(seq, _)| good.is_some() && *seq >= changed) {
                    Some((_, parties)) => drop(found.insert(header.record.to_string(), parties.clone())),
                    None => drop(wanted.entry(spec).or_default().insert(header.record.as_str())),
                }
            }
            good
        };
        let mut read = Vec::new();
        for table in turn.directory.record_tables().into_iter().filter(|table| table.role == Role::Records) {
            let Some(records) = wanted.get(table.name.as_str()) else { continue };
            let values: Vec<Cell> = records.iter().map(|record| Cell::Text((*record).to_owned())).collect();
            for row in self.node.database().select(&table, "record_id", &values).await? {
                let parties = Json::parse(text(&table, &row, PARTIES).as_bytes(), &Limits::default());
                let seq = cell(&table, &row, "lockstep_seq").and_then(Cell::as_count).unwrap_or_default();
                let record = text(&table, &row, "record_id").to_owned();
                read.push((record, (seq, Arc::new(parties.unwrap_or_default()))));
            }
        }
        found.extend(read.iter().map(|(record, (_, parties))| (record.clone(), parties.clone())));
        if self.kind == Kind::Events {
            self.keep(turn.from, next, read);
        }
        Ok((found, good.unwrap_or(turn.end)))
    }

    /// Keeps what was read, and notes that a page was looked at.
    fn keep(&self, from: u64, next: u64, read: Vec<(String, (u64, Arc<Json>))>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.good_for(from, next).is_none() || kept.parties.len() > RECORDS {
            kept.parties.clear();
        }
        kept.looked = kept.looked.max(next);
        for (record, (seq, parties)) in read {
            if kept.parties.get(&record).is_none_or(|(known, _)| *known <= seq) {
                kept.parties.insert(record, (seq, parties));
            }
        }
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
}

/// One reading of a page.
struct Turn {
    from: u64,
    /// What memberships must be good for.
    least: u64,
    /// The position after all that was committed and signed for when it began.
    end: u64,
    directory: Arc<Directory>,
}

impl Turn {
    /// The position after a page: what was committed meanwhile is for the next one, when its checkpoint is written, too.
    fn next(&self, all: bool, last: Option<u64>) -> u64 {
        let next = if all { self.end } else { last.map_or(self.end, |last| last + 1) };
        next.min(self.end).max(self.from)
    }
}

/// An event of an intent.
type Part<'a> = (&'a Row, &'a Header, Option<Arc<Place>>);

fn place(directory: &Directory, parties: &Parties, header: &Header) -> Option<Arc<Place>> {
    let entry = directory.specs().get(&header.spec)?.clone();
    let parties = parties.get(header.record.as_str())?.clone();
    Some(Arc::new(Place { entry, parties, seq: header.seq }))
}
