//! Replicas: equal to the sequencer's where they may see, clean for the audit, and the edited cell is named.

use std::collections::BTreeSet;

use lockstep_core::audit::{Finding, Known, rebuild};
use lockstep_core::database::Database;
use lockstep_core::json::json;
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::sync::Level;
use lockstep_core::tables::{Cell, Class, Row, Table, name};

use crate::network::{Dice, RECEIVERS, block_on};
use crate::receiver::{Copy, Receiver, database_of};
use crate::sequencer::Sequencer;
use crate::world::{Wish, members, notify, op, read, record, set, step, with};

/// A deal between ann and bob that ivy inspects.
pub fn make(sequencer: &mut Sequencer, on: &str) -> Wish {
    let parties = members(&[("owner", "ann@acme", 1), ("buyer", "bob@bolt", 1), ("inspector", "ivy@crane", 1)]);
    let steps =
        vec![set("parties", parties), set("listing", json!({"title": "t"})), set("secret", json!({"price": 7}))];
    sequencer.world.call("ann@acme", "make", on, steps)
}

/// A network with a few of every kind of outcome.
pub fn grown() -> (Sequencer, Vec<Receiver>) {
    let mut sequencer = Sequencer::new();
    for on in ["one", "two"] {
        let wish = make(&mut sequencer, on);
        sequencer.apply(&wish);
    }
    let calls = [
        ("ann@acme", "edit", vec![op("listing", "add", "/title", "better"), notify("listing", "deal.told")]),
        ("bob@bolt", "whisper", vec![op("secret", "add", "/price", 6), notify("secret", "deal.told")]),
        ("ivy@crane", "inspect", vec![read("listing"), set("report", json!({"roof": "leaks"}))]),
        ("ann@acme", "mixed", vec![op("listing", "add", "/colour", "red"), op("secret", "add", "/floor", 5)]),
        ("ivy@crane", "whisper", vec![op("secret", "add", "/price", 1)]),
        ("ann@acme", "look", vec![read("listing")]),
        ("bob@bolt", "bargain", vec![read("secret"), with(step("reject"), "reason", "too_low")]),
        ("gus@gaze", "edit", vec![op("listing", "add", "/title", "mine")]),
        ("bob@bolt", "edit", vec![op("listing", "add", "/title", "ours")]),
    ];
    for (by, method, steps) in calls {
        let wish = sequencer.world.call(by, method, "one", steps);
        sequencer.run(&wish);
    }
    let steps = vec![op("listing", "add", "/a", 1), with(op("listing", "add", "/b", 2), "record", 1)];
    let both = sequencer.world.call("ann@acme", "both", "one", steps).also("two");
    sequencer.apply(&both);
    let receivers = RECEIVERS.map(|name| {
        let mut receiver = Receiver::new(&sequencer.world, name);
        receiver.follow(&sequencer);
        receiver
    });
    (sequencer, receivers.into())
}

#[test]
fn every_receiver_holds_the_same_heads_and_the_sections_that_it_may_read() {
    let (sequencer, receivers) = grown();
    for on in ["one", "two"].map(record) {
        let truth = sequencer.state(&on);
        for receiver in &receivers {
            let state = receiver.states[&on].as_ref().unwrap();
            assert_eq!((state.seq, state.head), (truth.seq, truth.head), "{}", receiver.name);
            for (section, held) in &state.sections {
                let expected = &truth.sections[section];
                assert_eq!((held.seq, held.commitment), (expected.seq, expected.commitment));
                assert!(held.hidden || held.content == expected.content, "{section} at {}", receiver.name);
            }
        }
    }
    let hidden = |receiver: &Receiver| receiver.state("one").unwrap().hidden().map(str::to_owned).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = receivers.iter().map(hidden).collect();
    assert_eq!(all, [vec![], vec!["secret".to_owned()], vec!["report".to_owned(), "secret".to_owned()]]);
}

#[test]
fn who_reads_all_executes_all_again() {
    let (_, receivers) = grown();
    let full: Vec<usize> =
        receivers.iter().map(|one| one.levels.iter().filter(|one| **one == Level::Full).count()).collect();
    assert_eq!(full[0], receivers[0].levels.len(), "{:?}", receivers[0].levels);
    assert!(full[1] < full[0] && full[2] <= full[1] && full[2] > 0, "{full:?}");
}

#[test]
fn every_replica_is_clean_and_so_is_the_sequencer() {
    let (sequencer, receivers) = grown();
    for receiver in &receivers {
        let report = receiver.audited(&sequencer.world);
        assert!(report.is_clean(), "{}: {:#?}", receiver.name, report.findings);
        assert!(report.executed > 0);
    }
    let database = database_of(&sequencer.world, &sequencer.batches);
    let report = Copy::of(&database, &sequencer.world).audited(Known::default());
    assert!(report.is_clean(), "{:#?}", report.findings);
}

#[test]
fn a_replica_is_replayed_byte_for_byte() {
    let (_, receivers) = grown();
    for receiver in &receivers {
        let target = MemoryDatabase::new();
        let mut source = block_on(receiver.database.snapshot()).unwrap();
        block_on(rebuild(source.as_mut(), &target)).unwrap();
        assert_eq!(receiver.database.contents(), target.contents(), "{}", receiver.name);
    }
}

#[test]
fn what_a_replica_may_not_see_is_null_and_named_as_hidden() {
    let (sequencer, receivers) = grown();
    let text = |text: &str| Cell::Text(text.to_owned());
    let cells = |receiver: &Receiver| {
        let row = receiver.row(&sequencer.world, "one");
        ["secret", "price", "report", "lockstep_scope", "lockstep_hidden"].map(|column| row[column].clone())
    };
    assert_eq!(
        cells(&receivers[0]),
        [text(r#"{"floor":5,"price":6}"#), Cell::Integer(6), text(r#"{"roof":"leaks"}"#), text("full"), Cell::Null]
    );
    let inspector = [Cell::Null, Cell::Null, text(r#"{"roof":"leaks"}"#), text("partial"), text(r#"["secret"]"#)];
    assert_eq!(cells(&receivers[1]), inspector);
    let stranger = [Cell::Null, Cell::Null, Cell::Null, text("partial"), text(r#"["report","secret"]"#)];
    assert_eq!(cells(&receivers[2]), stranger);
}

/// A few ways of editing a cell, all of which its column could hold.
fn edits(cell: &Cell) -> Vec<Cell> {
    let mut all = match cell {
        Cell::Text(text) => {
            vec![Cell::Text(String::new()), Cell::Text(format!("{text} ")), Cell::Text(text.replacen('1', "2", 1))]
        }
        Cell::Integer(number) => vec![Cell::Integer(number + 1), Cell::Integer(-number - 1)],
        Cell::Bytes(bytes) => {
            let mut flipped = bytes.clone();
            let middle = flipped.len() / 2;
            flipped.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
            vec![Cell::Bytes(Vec::new()), Cell::Bytes(flipped), Cell::Bytes([bytes.as_slice(), b" "].concat())]
        }
        Cell::Timestamp(time) => vec![Cell::Timestamp(time.plus_micros(1))],
        Cell::Boolean(truth) => vec![Cell::Boolean(!truth)],
        Cell::Null => vec![Cell::Text("edited".to_owned())],
        _ => Vec::new(),
    };
    all.push(Cell::Null);
    all.retain(|edited| edited != cell);
    all
}

/// Whether an edit would make two rows with one key, which every database refuses.
fn collides(table: &Table, rows: &[Row], at: usize, column: usize, edited: &Cell) -> bool {
    let uniques = table.indexes.iter().filter(|index| index.unique);
    let places = |index: &lockstep_core::tables::Index| {
        index.columns.iter().filter_map(|column| table.position(column)).collect::<Vec<_>>()
    };
    let mut uniques: Vec<Vec<usize>> = uniques.map(places).collect();
    uniques.push(table.key_positions());
    let own = |place: &usize| if *place == column { edited } else { &rows[at][*place] };
    uniques.iter().filter(|unique| unique.contains(&column)).any(|unique| {
        let others = rows.iter().enumerate().filter(|(other, _)| *other != at);
        others.into_iter().any(|(_, row)| unique.iter().all(|place| row[*place] == *own(place)))
    })
}

fn key_of(table: &Table, row: &Row) -> Vec<(String, Cell)> {
    table.key.iter().map(|column| (column.clone(), row[table.position(column).unwrap()].clone())).collect()
}

/// Named with table, key and column, and nobody else accused.
fn judge(table: &Table, column: &str, before: &Row, after: &Row, findings: &[Finding]) -> Result<(), String> {
    let keys = [key_of(table, before), key_of(table, after)];
    let own = |finding: &Finding| finding.table == table.name && keys.contains(&finding.key);
    let column_of =
        |finding: &Finding| finding.column.as_deref() == Some(column) || table.key.iter().any(|key| key == column);
    let shown = || {
        let lines = findings.iter().map(|finding| {
            let message: String = finding.message.chars().take(140).collect();
            format!("   {} {:?} {:?}: {message}", finding.table, finding.key, finding.column)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    if !findings.iter().any(|finding| own(finding) && column_of(finding)) {
        return Err(format!("not named; found\n{}", shown()));
    }
    if findings.iter().all(own) { Ok(()) } else { Err(format!("others are accused; found\n{}", shown())) }
}

/// Edits each column of a table in so many of its rows: how many edits, and those that are not named as they must be.
pub fn edited(name: &str, copy: &Copy, table: &Table, most: usize, dice: &mut Dice) -> (usize, Vec<String>) {
    let (mut tried, mut wrong) = (0, Vec::new());
    let rows = &copy.rows[&table.name];
    for (column, described) in table.columns.iter().enumerate() {
        if described.class == Class::Operational {
            continue;
        }
        let sample: BTreeSet<usize> = (0..most).map(|_| dice.below(rows.len())).collect();
        for (at, row) in rows.iter().enumerate().filter(|(at, _)| sample.contains(at)) {
            for edited in edits(&row[column]) {
                if collides(table, rows, at, column, &edited) {
                    continue;
                }
                let mut tampered = copy.clone();
                tampered.rows.get_mut(&table.name).unwrap()[at][column] = edited.clone();
                let after = tampered.rows[&table.name][at].clone();
                let report = tampered.audited(Known::default());
                tried += 1;
                if let Err(why) = judge(table, &described.name, row, &after, &report.findings) {
                    let edited: String = format!("{edited:?}").chars().take(60).collect();
                    let place = format!("{name} {}.{} row {at}", table.name, described.name);
                    wrong.push(format!("{place} to {edited}: {why}"));
                }
            }
        }
    }
    (tried, wrong)
}

#[test]
fn one_edited_cell_of_a_replica_is_named_and_nobody_else_is_accused() {
    let (sequencer, receivers) = grown();
    let (mut tried, mut wrong, mut dice) = (0, Vec::new(), Dice(7));
    for receiver in &receivers[1..] {
        let copy = receiver.copy(&sequencer.world);
        for table in copy.tables.values().filter(|table| {
            [name::FEED, name::EVENT, name::INTENT, name::CHANGE, name::OUTBOX, "deal"].contains(&table.name.as_str())
                || table.name.starts_with("deal")
        }) {
            let (some, not) = edited(&receiver.name, &copy, table, 1, &mut dice);
            tried += some;
            wrong.extend(not);
        }
    }
    println!("{tried} cells of replicas edited");
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(tried > 300);
}

#[test]
fn a_row_of_evidence_that_was_deleted_is_missed() {
    let (sequencer, receivers) = grown();
    for table in [name::FEED, name::EVENT, name::INTENT] {
        let copy = receivers[1].copy(&sequencer.world);
        for at in 0..copy.rows[table].len() {
            let mut tampered = copy.clone();
            let row = tampered.rows.get_mut(table).unwrap().remove(at);
            let findings = tampered.audited(Known::default()).findings;
            let key = key_of(&copy.tables[table], &row);
            assert!(
                findings.iter().any(|finding| finding.table == table && finding.key == key),
                "{table} row {at}: {findings:#?}"
            );
        }
    }
}
