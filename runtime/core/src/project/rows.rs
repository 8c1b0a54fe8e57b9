//! The rows themselves, one function for each table, in the column order of the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Digest;
use crate::database::Write;
use crate::directory::{Directory, DirectoryEvent, SpecEntry, Status, addresses_to_json};
use crate::disputes::Stop;
use crate::event::{Applied, Header, MAX_NOTIFICATIONS, Notification};
use crate::intent::{Call, VerifiedIntent};
use crate::json::{Json, Operation, json};
use crate::log::Tile;
use crate::outcome::Outcome;
use crate::package::{FORMAT, MAX_RECORDS};
use crate::received::Place;
use crate::record::RecordState;
use crate::seal::SealedEvent;
use crate::spec::{MAX_SECTIONS, PARTIES};
use crate::sync::SignedObjection;
use crate::tables::{Cell, Row, Table, name};
use crate::time::Timestamp;

fn text(value: impl ToString) -> Cell {
    Cell::Text(value.to_string())
}

fn maybe(value: Option<impl ToString>) -> Cell {
    value.map_or(Cell::Null, text)
}

/// Stands in for a checkpoint's size until the batch is finished.
const UNSET_CHECKPOINT: Cell = Cell::Null;

/// Fills in the size of the checkpoint that covers these rows, where their table has a column for it.
pub(super) fn set_checkpoint(table: &Table, writes: &mut [Write], size: u64) {
    let Some(at) = table.position("checkpoint").filter(|_| table.name == name::INTENT || table.name == name::DIRECTORY)
    else {
        return;
    };
    for write in writes {
        if let Write::Insert(row) = write
            && let Some(cell) = row.get_mut(at)
        {
            *cell = Cell::count(size);
        }
    }
}

pub(super) fn meta_rows(directory: &Directory, node: &str, log: &str) -> Vec<Row> {
    let participant = directory.nodes().get(node).map(|node| node.participant.clone()).unwrap_or_default();
    let facts = [
        ("format", FORMAT.to_string()),
        ("network_id", directory.network().to_string()),
        ("network", directory.title().to_owned()),
        ("participant", participant),
        ("node", node.to_owned()),
        ("log", log.to_owned()),
    ];
    facts.into_iter().map(|(key, value)| vec![text(key), Cell::Text(value)]).collect()
}

pub(super) fn directory_row(event: &DirectoryEvent, log: &str, position: u64) -> Row {
    vec![
        Cell::count(event.seq),
        text(event.head()),
        text(event.body.kind()),
        text(&event.by),
        Cell::Timestamp(event.time),
        Cell::Bytes(event.stored()),
        text(log),
        Cell::count(position),
        UNSET_CHECKPOINT,
    ]
}

/// The rows that a directory event makes or changes: those whose entries bear its seq.
pub(super) fn directory_writes(
    seq: u64,
    proposed: bool,
    directory: &Directory,
    package: Option<&[u8]>,
) -> Vec<(&'static str, Write)> {
    let mut writes = Vec::new();
    for (participant, found) in directory.participants().iter().filter(|(_, found)| found.seq == seq) {
        let row = vec![
            text(participant),
            text(found.status.as_str()),
            Cell::Boolean(found.voting),
            Cell::Boolean(found.observer),
            maybe(found.hosted_by.as_ref()),
            Cell::count(seq),
        ];
        writes.push((name::PARTICIPANT, Write::Put(row)));
    }
    for (node, found) in directory.nodes().iter().filter(|(_, found)| found.seq == seq) {
        let row = vec![
            text(node),
            text(&found.participant),
            text(found.key),
            Cell::count(found.incarnation),
            Cell::Text(addresses_to_json(&found.addresses).canonical()),
            text(found.status()),
            Cell::count(seq),
        ];
        writes.push((name::NODE, Write::Put(row)));
    }
    for (actor, found) in directory.actors().iter().filter(|(_, found)| found.seq == seq) {
        let roles = Json::from(found.roles.iter().map(|role| Json::from(role.as_str())).collect::<Vec<_>>());
        let revoked = found.revoked.map_or(Cell::Null, Cell::Timestamp);
        let row = vec![
            text(actor),
            text(actor.participant()),
            Cell::Text(roles.canonical()),
            text(found.key),
            Cell::Timestamp(found.since),
            revoked,
            Cell::count(seq),
        ];
        writes.push((name::ACTOR, Write::Put(row)));
    }
    for (contract, version, found) in contracts(directory).filter(|(_, _, found)| found.seq == seq) {
        let write = if proposed {
            let bytes = package.map_or(Cell::Bytes(Vec::new()), |bytes| Cell::Bytes(bytes.to_vec()));
            Write::Insert(vec![
                text(contract),
                text(version),
                text(found.manifest.digest()),
                text(found.status.as_str()),
                Cell::count(seq),
                bytes,
            ])
        } else {
            Write::Update {
                key: vec![text(contract), text(version)],
                set: vec![(3, text(found.status.as_str())), (4, Cell::count(seq))],
            }
        };
        writes.push((name::CONTRACT, write));
        if found.status == Status::Active && !proposed {
            writes.extend(found.manifest.specs.iter().map(|(spec, body)| {
                let row = vec![
                    text(contract),
                    text(version),
                    text(spec),
                    text(body.digest()),
                    Cell::Text(body.document().canonical()),
                    Cell::count(seq),
                ];
                (name::SPEC, Write::Put(row))
            }));
        }
    }
    writes
}

fn contracts(
    directory: &Directory,
) -> impl Iterator<Item = (&crate::names::ContractName, &crate::names::Version, &crate::directory::Contract)> {
    directory
        .contracts()
        .iter()
        .flat_map(|(name, versions)| versions.iter().map(move |(version, found)| (name, version, found)))
}

/// Contract, version and method of an intent, as far as it has them.
fn called(intent: &VerifiedIntent, package: Option<&Digest>, directory: &Directory) -> [Cell; 3] {
    let judged = package.and_then(|digest| directory.package(digest));
    let version = judged.map(|contract| contract.manifest.version);
    match intent.call() {
        Call::Method { contract, method, .. } => [text(contract), maybe(version), text(method)],
        Call::Changes { .. } => [Cell::Null, maybe(version), Cell::Null],
        // Which contract it was is told by the package in the header, which method is not.
        Call::Hidden => [maybe(judged.map(|contract| &contract.manifest.name)), maybe(version), Cell::Null],
    }
}

pub(super) fn intent_row(
    intent: &VerifiedIntent,
    (outcome, stored): (&Outcome, Vec<u8>),
    events: &[SealedEvent],
    directory: &Directory,
    log: &str,
    position: u64,
) -> Row {
    let payload = intent.payload();
    let package = match outcome.reasons() {
        Some(reasons) => reasons.judged.package.as_ref(),
        None => events.first().map(|event| &event.header.package),
    };
    let [contract, version, method] = called(intent, package, directory);
    let records =
        Json::from(intent.targets().iter().map(|target| Json::from(target.record.as_str())).collect::<Vec<_>>());
    let first = intent.targets().first().map(|target| target.record.to_string());
    let expect = intent.targets().iter().any(|target| target.expect.is_some());
    let expected = Json::from(intent.targets().iter().map(|target| Json::from(target.expect)).collect::<Vec<_>>());
    let arguments = match intent.call() {
        Call::Method { arguments, .. } => text(arguments.canonical()),
        Call::Changes { .. } | Call::Hidden => Cell::Null,
    };
    let rejected = outcome.reasons().and_then(|reasons| reasons.rejected.as_ref());
    vec![
        text(intent.id()),
        text(outcome.ending.as_str()),
        maybe(rejected.map(|rejected| rejected.code)),
        maybe(rejected.and_then(|rejected| rejected.reason.as_ref())),
        maybe(rejected.map(|rejected| &rejected.message)),
        text("local"),
        text(&payload.actor),
        text(payload.actor.participant()),
        text(payload.nonce),
        contract,
        version,
        method,
        maybe(first),
        text(records.canonical()),
        arguments,
        if expect { text(expected.canonical()) } else { Cell::Null },
        Cell::Timestamp(outcome.submitted),
        Cell::Timestamp(outcome.time),
        Cell::Timestamp(payload.expires),
        text(log),
        Cell::count(position),
        UNSET_CHECKPOINT,
        Cell::Bytes(intent.envelope().to_vec()),
        Cell::Bytes(intent.openings().to_vec()),
        Cell::Bytes(stored),
    ]
}

pub(super) fn feed_row(outcome: &Outcome, place: &Place, leaf: Vec<u8>) -> Row {
    vec![
        text(outcome.intent),
        text(&place.log),
        Cell::count(place.position),
        Cell::Bytes(leaf),
        Cell::Bytes(place.path_bytes()),
        text(&place.note),
    ]
}

pub(crate) fn objection_row(
    signed: &SignedObjection,
    holds: bool,
    message: Option<String>,
    position: u64,
    evidence: Option<Vec<u8>>,
) -> Row {
    let statement = &signed.statement;
    let event = statement.event.as_ref();
    let count = |count: Option<u64>| count.map_or(Cell::Null, Cell::count);
    vec![
        text(signed.id),
        text(&statement.node),
        text(statement.complaint.as_str()),
        text(&statement.log),
        count(statement.position),
        maybe(statement.intent),
        maybe(statement.record.as_ref()),
        count(event.map(|(epoch, _, _)| *epoch)),
        count(event.map(|(_, seq, _)| *seq)),
        maybe(event.map(|(_, _, event)| event)),
        Cell::Timestamp(statement.time),
        maybe(statement.withdraws),
        Cell::Boolean(holds),
        maybe(message),
        Cell::Null,
        Cell::count(position),
        Cell::Bytes(signed.stored()),
        evidence.map_or(Cell::Null, Cell::Bytes),
    ]
}

pub(super) fn event_row(
    intent: &VerifiedIntent,
    event: &SealedEvent,
    directory: &Directory,
    log: &str,
    position: u64,
) -> Row {
    let header = &event.header;
    let [contract, version, method] = called(intent, Some(&header.package), directory);
    vec![
        text(event.id),
        text(&event.entry.name),
        text(&header.record),
        Cell::count(header.epoch),
        Cell::count(header.seq),
        maybe(header.prev),
        text(header.intent),
        text(&intent.payload().actor),
        contract,
        version,
        method,
        Cell::Timestamp(header.time),
        Cell::Bytes(event.header_stored.clone()),
        Cell::Bytes(event.openings_stored.clone()),
        text(log),
        Cell::count(position),
    ]
}

pub(super) fn change_rows(event: &SealedEvent) -> Vec<Row> {
    let mut rows = Vec::new();
    for (section, body) in &event.openings.sections {
        let applied = event.applied.get(section).map(Vec::as_slice).unwrap_or_default();
        for (operation, Applied { before, moved }) in body.changes.iter().zip(applied) {
            let value = match operation {
                Operation::Add { value, .. } | Operation::Replace { value, .. } | Operation::Test { value, .. } => {
                    text(value.canonical())
                }
                Operation::Move { .. } | Operation::Copy { .. } => maybe(moved.as_ref().map(Json::canonical)),
                Operation::Remove { .. } => Cell::Null,
            };
            rows.push(vec![
                text(event.id),
                Cell::count(rows.len() as u64),
                text(section),
                text(operation.name()),
                text(operation.path()),
                maybe(operation.from()),
                value,
                if before.is_null() { Cell::Null } else { text(before.canonical()) },
            ]);
        }
    }
    rows
}

/// The stable id of a notification.
#[must_use]
pub fn notification_id(header: &Header, section: &str, index: usize) -> String {
    format!("{}#{}.{}.{section}.{index}", header.record, header.epoch, header.seq)
}

/// A notification as consumers get it, a CloudEvent 1.0; the proof is added when it is relayed.
#[must_use]
pub fn cloud_event(
    header: &Header,
    event_id: &Digest,
    spec: &str,
    section: &str,
    index: usize,
    notification: &Notification,
) -> Json {
    json!({
        "specversion": "1.0", "id": notification_id(header, section, index), "source": format!("lockstep://{}/{}", header.network, header.sequencer),
        "type": notification.kind.as_str(), "subject": format!("{spec}/{}", header.record), "time": header.time.to_string(),
        "sequence": format!("{:020}", header.seq), "section": section, "eventid": event_id.to_string(), "signer": header.sequencer.as_str(),
        "datacontenttype": "application/json", "data": notification.data.clone()
    })
}

/// Positions of notifications that one leaf of the log has room for.
const PER_LEAF: usize = 1_000_000;

const _: () = assert!(MAX_RECORDS * MAX_SECTIONS * MAX_NOTIFICATIONS <= PER_LEAF, "every notification has a position");

/// Where a notification stands among all of a node. Every section of a record has room of its own, so that this
/// depends on no other notification: not on hidden ones, and not on rows that were tampered with.
fn outbox_position(header: &Header, leaf: u64, place: usize, section: &str, index: usize) -> u64 {
    let before = header.sections.keys().take_while(|name| name.as_str() < section).count();
    let within = (place * MAX_SECTIONS + before) * MAX_NOTIFICATIONS + index;
    leaf * PER_LEAF as u64 + within as u64
}

/// The notifications of the event that stands at `place` in its outcome, whose leaf is at `leaf`.
pub(super) fn outbox_rows(event: &SealedEvent, leaf: u64, place: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (section, body) in &event.openings.sections {
        for (index, notification) in body.notifications.iter().enumerate() {
            rows.push(vec![
                text(notification_id(&event.header, section, index)),
                text(&event.entry.name),
                text(&event.header.record),
                text(&notification.kind),
                text(
                    cloud_event(&event.header, &event.id, event.entry.name.as_str(), section, index, notification)
                        .canonical(),
                ),
                Cell::count(outbox_position(&event.header, leaf, place, section, index)),
                text(section),
                text(event.id),
                text("pending"),
                Cell::Integer(0),
                Cell::Null,
                Cell::Null,
            ]);
        }
    }
    rows
}

fn projected(entry: &SpecEntry, state: &RecordState) -> Vec<Cell> {
    let cells = entry.spec.projections.values().map(|projection| {
        let content = state.content(&projection.section);
        projection.kind.convert(content.at(&projection.pointer))
    });
    cells.collect()
}

pub(super) fn version_row(event: &SealedEvent) -> Row {
    let mut row = vec![text(&event.header.record), Cell::count(event.header.seq)];
    row.extend(projected(&event.entry, &event.after));
    row
}

/// Sections in the column order of a record table: parties, then the others by name.
fn sections(entry: &SpecEntry) -> impl Iterator<Item = &str> {
    std::iter::once(PARTIES).chain(entry.spec.sections.keys().map(String::as_str).filter(|name| *name != PARTIES))
}

/// The row of a record as it stands after its last event.
#[must_use]
pub fn record_row(entry: &SpecEntry, record: &str, state: &RecordState, time: Timestamp) -> Row {
    let mut row = vec![text(record)];
    row.extend(sections(entry).map(|name| content_cell(&state.content(name).canonical())));
    row.extend(projected(entry, state));
    row.extend(head_cells(state, time, None));
    row
}

fn content_cell(canonical: &str) -> Cell {
    if canonical == "null" { Cell::Null } else { text(canonical) }
}

/// How much of a record is here, and whether it stops.
pub(super) fn scope(state: &RecordState, stop: Option<Stop>) -> &'static str {
    match (stop, state.hidden().next()) {
        (Some(Stop::Disputed), _) => "disputed",
        (Some(Stop::Blocked), _) => "blocked",
        (None, None) => "full",
        (None, Some(_)) => "partial",
    }
}

fn head_cells(state: &RecordState, time: Timestamp, stop: Option<Stop>) -> [Cell; 6] {
    let hidden: Vec<Json> = state.hidden().map(Json::from).collect();
    let hidden = if hidden.is_empty() { Cell::Null } else { text(Json::from(hidden).canonical()) };
    let scope = text(scope(state, stop));
    [Cell::count(state.seq), text(state.head), text(&state.on), scope, hidden, Cell::Timestamp(time)]
}

/// The write of a record that a batch changed: all of a new one, else only what changed.
pub(super) fn record_write(
    entry: &SpecEntry,
    before: Option<&RecordState>,
    after: &RecordState,
    contents: &BTreeMap<String, Arc<str>>,
    time: Timestamp,
    record: &str,
    (stop_before, stop): (Option<Stop>, Option<Stop>),
) -> Write {
    let row = || {
        let mut row = vec![text(record)];
        row.extend(
            sections(entry).map(|name| contents.get(name).map_or(Cell::Null, |canonical| content_cell(canonical))),
        );
        row.extend(projected(entry, after));
        row.extend(head_cells(after, time, stop));
        row
    };
    let Some(before) = before else { return Write::Insert(row()) };
    let mut set: Vec<(usize, Cell)> = Vec::new();
    for (index, name) in sections(entry).enumerate() {
        if let Some(canonical) = contents.get(name).filter(|_| after.content(name) != before.content(name)) {
            set.push((1 + index, content_cell(canonical)));
        }
    }
    let first_projected = 1 + entry.spec.sections.len();
    for (index, (projection, cell)) in entry.spec.projections.values().zip(projected(entry, after)).enumerate() {
        if contents.contains_key(&projection.section) || before.spec_digest != after.spec_digest {
            set.push((first_projected + index, cell));
        }
    }
    let first_head = first_projected + entry.spec.projections.len();
    let same_scope = before.hidden().eq(after.hidden()) && stop_before == stop;
    let cells = (first_head..).zip(head_cells(after, time, stop));
    set.extend(cells.filter(|(index, _)| !(same_scope && [first_head + 3, first_head + 4].contains(index))));
    Write::Update { key: vec![text(record)], set }
}

pub(super) fn tile_row(log: &str, tile: &Tile) -> Row {
    let hashes = tile.hashes.iter().flat_map(|hash| hash.as_bytes().iter().copied()).collect();
    vec![text(log), Cell::count(tile.level.into()), Cell::count(tile.index), Cell::Bytes(hashes)]
}

pub(super) fn checkpoint_row(log: &str, size: u64, root: &Digest, time: Timestamp, previous: u64, note: &str) -> Row {
    vec![text(log), Cell::count(size), text(root), Cell::Timestamp(time), Cell::count(previous), text(note)]
}
