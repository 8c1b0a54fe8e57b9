//! What must be true when the storm is over.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::database::Database;
use lockstep_core::json::{Json, Limits};
use lockstep_core::tables::Cell;
use lockstep_sqlite::{SqliteConfig, SqliteDatabase};

use super::clerks::Clerk;
use super::load::{Acknowledged, Book};
use super::organisation::Organisation;
use super::world::World;
use crate::prove::Totals;

/// More rows than any case makes.
const ALL: usize = 1_000_000;
/// Every section, `parties` among them.
const SECTIONS: [&str; 4] = ["parties", "listing", "negotiation", "inspection"];
/// What every reader of a record has the same of, besides sections that all may see.
const HEADS: &str = "lockstep_seq, lockstep_head, lockstep_contract";
/// Handed over and neither with an outcome here nor with the sequencer's signed word.
const ENDLESS: &str = "SELECT f.intent_id FROM lockstep_forward f LEFT JOIN lockstep_intent i ON i.intent_id = f.intent_id \
                       WHERE i.intent_id IS NULL AND f.ended IS NULL";
/// Failures of one kind that are told one by one.
const TOLD: usize = 5;

/// What one database holds.
struct Holdings {
    name: &'static str,
    /// Status by intent.
    intents: BTreeMap<String, Vec<String>>,
    /// Intent and record by event, each event as often as it is there.
    events: BTreeMap<String, Vec<[String; 3]>>,
    /// The directory's heads, in order.
    directory: Vec<String>,
    /// Everybody whom the directory knows.
    actors: BTreeSet<String>,
    /// Intents handed over that ended elsewhere, with the signed proof.
    ended: BTreeSet<String>,
    /// Intents handed over or taken that have no end.
    endless: Vec<String>,
    /// Columns by record.
    records: BTreeMap<String, Vec<Option<String>>>,
}

impl Holdings {
    async fn of(organisation: &Organisation) -> Result<Holdings, String> {
        let path = organisation.dir.join("lockstep.db");
        let config = SqliteConfig { path, read_only: true, create: false };
        let database = SqliteDatabase::open(config).await.map_err(|error| error.to_string())?;
        let mut held = Holdings {
            name: organisation.name,
            intents: BTreeMap::new(),
            events: BTreeMap::new(),
            directory: Vec::new(),
            actors: BTreeSet::new(),
            ended: BTreeSet::new(),
            endless: Vec::new(),
            records: BTreeMap::new(),
        };
        for row in rows(&database, "SELECT intent_id, status FROM lockstep_intent").await? {
            let [intent, status] = texts(&row);
            held.intents.entry(intent).or_default().push(status);
        }
        let events = "SELECT event_id, intent_id, record_id, CAST(seq AS TEXT) FROM lockstep_event";
        for row in rows(&database, events).await? {
            let [event, intent, record, seq] = texts(&row);
            held.events.entry(event).or_default().push([intent, record, seq]);
        }
        for row in rows(&database, "SELECT head FROM lockstep_directory ORDER BY seq").await? {
            held.directory.push(texts::<1>(&row).concat());
        }
        for row in rows(&database, "SELECT actor FROM lockstep_actor").await? {
            held.actors.insert(texts::<1>(&row).concat());
        }
        for row in rows(&database, "SELECT intent_id FROM lockstep_forward WHERE ended IS NOT NULL").await? {
            held.ended.insert(texts::<1>(&row).concat());
        }
        for row in rows(&database, ENDLESS).await? {
            held.endless.push(texts::<1>(&row).concat());
        }
        let records = format!("SELECT record_id, {}, {HEADS} FROM house_sale", SECTIONS.join(", "));
        for row in rows(&database, &records).await? {
            let mut cells = row.iter().map(Cell::show);
            held.records.insert(cells.next().flatten().unwrap_or_default(), cells.collect());
        }
        database.close().await;
        Ok(held)
    }
}

async fn rows(database: &SqliteDatabase, sql: &str) -> Result<Vec<Vec<Cell>>, String> {
    database.query(sql, ALL).await.map(|answer| answer.rows).map_err(|error| format!("{sql}: {error}"))
}

fn texts<const N: usize>(row: &[Cell]) -> [String; N] {
    std::array::from_fn(|at| row.get(at).and_then(Cell::show).unwrap_or_default())
}

/// Adds to the totals what held and what did not.
pub(super) async fn judge(world: &World, books: &[Book], clerks: &[Clerk], totals: &mut Totals) -> Result<(), String> {
    let mut all = BTreeMap::new();
    for organisation in &world.organisations {
        all.insert(organisation.name, Holdings::of(organisation).await?);
    }
    let mut found = Found { totals, told: BTreeMap::new() };
    for acknowledged in books.iter().flat_map(|book| &book.acknowledged) {
        for node in BTreeSet::from([acknowledged.wish.at, origin(&acknowledged.wish.record)]) {
            if let Some(holdings) = all.get(node) {
                kept(holdings, acknowledged, &mut found);
            }
        }
    }
    for holdings in all.values() {
        found.must("counts_ended", holdings.endless.is_empty(), || {
            format!("{} intents handed over have no end at {}", holdings.endless.len(), holdings.name)
        });
    }
    same_directories(&all, clerks, &mut found);
    for name in ["seller", "agency"] {
        let Some(sequencer) = all.get(name) else { continue };
        found.totals.count("events", u64::try_from(sequencer.own_events()).unwrap_or(0));
        offered_once(sequencer, books, &mut found);
        for replica in all.values().filter(|replica| replica.name != name) {
            same_records(sequencer, replica, &mut found);
            same_events(sequencer, replica, &mut found);
        }
    }
    Ok(())
}

fn origin(record: &str) -> &str {
    record.split(':').next().unwrap_or_default()
}

/// Totals that name the first failures of a kind and count the others.
struct Found<'a> {
    totals: &'a mut Totals,
    told: BTreeMap<&'static str, usize>,
}

impl Found<'_> {
    fn must(&mut self, name: &'static str, holds: bool, failure: impl FnOnce() -> String) {
        if holds {
            return self.totals.count(name, 1);
        }
        let told = self.told.entry(name).or_default();
        *told += 1;
        match *told {
            few if few <= TOLD => self.totals.fail(failure()),
            _ => self.totals.count("failures_not_told", 1),
        }
    }
}

/// What was acknowledged is there once, and ended as was said.
fn kept(holdings: &Holdings, acknowledged: &Acknowledged, found: &mut Found<'_>) {
    let Acknowledged { intent, status, events, wish } = acknowledged;
    let there = holdings.intents.get(intent);
    // Of a rejection that is not for it a node has the signed end alone.
    let told = there.is_none() && status != "applied" && holdings.ended.contains(intent);
    let kept = told || there.is_some_and(|there| there == std::slice::from_ref(status));
    found.must("acknowledged_kept", kept, || {
        format!(
            "{} on {}, acknowledged as {status} at {}, is {there:?} at {}",
            wish.method, wish.record, wish.at, holdings.name
        )
    });
    let of_intent = holdings.events.iter().filter(|(_, rows)| rows.iter().any(|[from, ..]| from == intent));
    let of_intent: Vec<&String> = of_intent.flat_map(|(event, rows)| rows.iter().map(move |_| event)).collect();
    found.must("acknowledged_events_kept", of_intent.iter().copied().eq(events), || {
        format!("intent {intent} has events {of_intent:?} at {}, {events:?} were acknowledged", holdings.name)
    });
}

impl Holdings {
    fn own_events(&self) -> usize {
        self.events.values().flatten().filter(|[_, record, _]| origin(record) == self.name).count()
    }
}

/// One directory everywhere, and in it everybody whose addition was acknowledged.
fn same_directories(all: &BTreeMap<&str, Holdings>, clerks: &[Clerk], found: &mut Found<'_>) {
    let Some(first) = all.values().next() else { return };
    for other in all.values() {
        found.must("directories_equal", first.directory == other.directory, || {
            let sizes = (first.directory.len(), other.directory.len());
            format!("the directories of {} and {} differ; they have {sizes:?} events", first.name, other.name)
        });
        for clerk in clerks.iter().filter(|clerk| clerk.acknowledged) {
            found.must("actors_kept", other.actors.contains(&clerk.name), || {
                format!("{} was added and is not known at {}", clerk.name, other.name)
            });
        }
    }
    found.totals.count("directory_events", u64::try_from(first.directory.len()).unwrap_or(0));
}

/// Each applied offer stands in its record's content once.
fn offered_once(sequencer: &Holdings, books: &[Book], found: &mut Found<'_>) {
    let acknowledged = books.iter().flat_map(|book| &book.acknowledged);
    for one in acknowledged.filter(|one| one.status == "applied" && origin(&one.wish.record) == sequencer.name) {
        let (Some(price), "offer" | "counter_offer") = (&one.wish.price, one.wish.method) else { continue };
        let negotiation = sequencer.records.get(&one.wish.record).and_then(|cells| cells.get(2)?.as_deref());
        let json =
            Json::parse(negotiation.unwrap_or("null").as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() });
        let json = json.unwrap_or_default();
        let offers = json.get("offers").and_then(Json::as_array).unwrap_or_default().iter();
        let times = offers.filter(|offer| offer.get("price").and_then(Json::as_str) == Some(price)).count();
        found.must("offers_once", times == 1, || {
            format!("the price {price} was acknowledged and stands {times} times in {}", one.wish.record)
        });
    }
}

/// Whether a node may see a section of a record.
fn entitled(node: &str, section: &str, record: &str) -> bool {
    section != "negotiation" || node == "buyer" || node == origin(record)
}

/// The same heads, the same bytes in each section that the replica may see, NULL in the others.
fn same_records(sequencer: &Holdings, replica: &Holdings, found: &mut Found<'_>) {
    for (record, cells) in sequencer.records.iter().filter(|(record, _)| origin(record) == sequencer.name) {
        let Some(others) = replica.records.get(record) else {
            found.must("heads_equal", false, || format!("{} has no {record}", replica.name));
            continue;
        };
        let heads = (cells.get(SECTIONS.len()..), others.get(SECTIONS.len()..));
        found.must("heads_equal", heads.0 == heads.1, || {
            format!("{record} is at {:?}, at {} at {:?}", heads.0, replica.name, heads.1)
        });
        for (at, section) in SECTIONS.iter().enumerate() {
            let (cell, other) = (cells.get(at).cloned().flatten(), others.get(at).cloned().flatten());
            let expected = cell.filter(|_| entitled(replica.name, section, record));
            found.must("cells_compared", expected == other, || {
                format!("{section} of {record} is {other:?} at {}, {expected:?} is right", replica.name)
            });
        }
    }
    let strange = replica.records.keys().filter(|record| origin(record) == sequencer.name);
    let strange: Vec<&String> = strange.filter(|record| !sequencer.records.contains_key(*record)).collect();
    found.must("no_strange_records", strange.is_empty(), || {
        format!("{} has {strange:?}, which {} has not", replica.name, sequencer.name)
    });
}

/// The same events, each once, of the same intents.
fn same_events(sequencer: &Holdings, replica: &Holdings, found: &mut Found<'_>) {
    let own = |holdings: &Holdings| -> BTreeMap<String, Vec<[String; 3]>> {
        let of = |rows: &Vec<[String; 3]>| rows.iter().any(|[_, record, _]| origin(record) == sequencer.name);
        holdings.events.iter().filter(|(_, rows)| of(rows)).map(|(id, rows)| (id.clone(), rows.clone())).collect()
    };
    let (there, here) = (own(sequencer), own(replica));
    let missing = there.keys().filter(|event| !here.contains_key(*event)).count();
    found.must("same_events", there == here, || {
        format!(
            "{} has {} of {}'s {} events, {missing} are missing",
            replica.name,
            here.len(),
            sequencer.name,
            there.len()
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "seller:sale-1";

    fn holdings(name: &'static str, negotiation: Option<&str>) -> Holdings {
        let text = |text: &str| Some(text.to_owned());
        let cells = ["{}", "{}", "", "{}", "1", "h1", "house_sale@1.0.0"].map(text);
        let mut cells = Vec::from(cells);
        cells.splice(2..3, [negotiation.map(str::to_owned)]);
        Holdings {
            name,
            intents: BTreeMap::from([("i1".to_owned(), vec!["applied".to_owned()])]),
            events: BTreeMap::from([("e1".to_owned(), vec![["i1", RECORD, "1"].map(str::to_owned)])]),
            directory: vec!["d1".to_owned()],
            actors: BTreeSet::new(),
            ended: BTreeSet::new(),
            endless: Vec::new(),
            records: BTreeMap::from([(RECORD.to_owned(), cells)]),
        }
    }

    fn failures(replica: &Holdings) -> usize {
        let (sequencer, mut totals) = (holdings("seller", Some("{}")), Totals::default());
        let mut found = Found { totals: &mut totals, told: BTreeMap::new() };
        same_records(&sequencer, replica, &mut found);
        same_events(&sequencer, replica, &mut found);
        totals.failures.len()
    }

    #[test]
    fn the_entitled_have_the_bytes_and_the_others_null() {
        assert_eq!(failures(&holdings("buyer", Some("{}"))), 0);
        assert_eq!(failures(&holdings("inspector", None)), 0);
    }

    #[test]
    fn an_altered_a_missing_and_a_leaked_cell_are_failures() {
        assert_eq!(failures(&holdings("buyer", Some("{ }"))), 1);
        assert_eq!(failures(&holdings("buyer", None)), 1);
        assert_eq!(failures(&holdings("inspector", Some("{}"))), 1);
    }

    #[test]
    fn a_lost_and_a_doubled_event_and_another_head_are_failures() {
        let mut lost = holdings("buyer", Some("{}"));
        lost.events.clear();
        assert_eq!(failures(&lost), 1);
        let mut doubled = holdings("buyer", Some("{}"));
        doubled.events.values_mut().for_each(|rows| rows.extend(rows.clone()));
        assert_eq!(failures(&doubled), 1);
        let mut behind = holdings("buyer", Some("{}"));
        behind.records.values_mut().for_each(|cells| drop(cells.splice(5..6, [Some("h0".to_owned())])));
        assert_eq!(failures(&behind), 1);
        behind.records.clear();
        assert_eq!(failures(&behind), 1);
    }
}
