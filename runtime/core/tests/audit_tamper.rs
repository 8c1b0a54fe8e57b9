//! Every sealed and derived cell, edited in every way: the audit names it and accuses nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod audit_network;

use std::collections::BTreeSet;

use audit_network::{Copy, Dice, Net, audited};
use lockstep_core::audit::{Finding, Known};
use lockstep_core::codes::Code;
use lockstep_core::directory::DirectoryEvent;
use lockstep_core::tables::{Cell, Class, Row, Table, name};
use lockstep_core::time::Timestamp;

/// How many networks each test takes; more, for whoever has the time, by the variable `AUDIT_SCALE`.
fn scale() -> u64 {
    std::env::var("AUDIT_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// The ways of editing a cell.
fn edits(table: &Table, rows: &[Row], row: usize, at: usize, dice: &mut Dice) -> Vec<(&'static str, Cell)> {
    let cell = &rows[row][at];
    let mut all = vec![("null", Cell::Null)];
    let others: Vec<&Cell> = rows.iter().map(|row| &row[at]).filter(|other| *other != cell).collect();
    if !others.is_empty() {
        all.push(("another row's value", (*dice.pick(&others)).clone()));
    }
    match cell {
        Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => {
            all.push(("empty", Cell::Text(String::new())));
            all.push(("a trailing space", Cell::Text(format!("{text} "))));
            let mut characters: Vec<char> = text.chars().collect();
            if !characters.is_empty() {
                let place = dice.below(characters.len());
                characters[place] = if characters[place] == '1' { '2' } else { '1' };
                all.push(("one character", Cell::Text(characters.into_iter().collect())));
            }
            for (composed, decomposed) in
                [("é", "e\u{301}"), ("e\u{301}", "é"), ("1.0", "1"), ("1", "1.0"), ("ß", "ss")]
            {
                if text.contains(composed) {
                    all.push(("a look-alike", Cell::Text(text.replacen(composed, decomposed, 1))));
                }
            }
        }
        Cell::Integer(number) => {
            all.push(("one more", Cell::Integer(number + 1)));
            all.push(("negative", Cell::Integer(-number - 1)));
            all.push(("huge", Cell::Integer(i64::MAX - 3)));
            all.push(("a look-alike", Cell::Foreign(format!("{number}.0"))));
        }
        Cell::Boolean(truth) => all.push(("flipped", Cell::Boolean(!truth))),
        Cell::Timestamp(time) => {
            all.push(("a microsecond", Cell::Timestamp(time.plus_micros(1))));
            all.push(("ages ago", Cell::Timestamp(Timestamp::MIN)));
            all.push(("a look-alike", Cell::Foreign(format!("{time} "))));
        }
        Cell::Bytes(bytes) => {
            all.push(("empty", Cell::Bytes(Vec::new())));
            all.push(("as text", Cell::Foreign(String::from_utf8_lossy(bytes).into_owned())));
            for _ in 0..3 {
                if !bytes.is_empty() {
                    let mut bytes = bytes.clone();
                    let place = dice.below(bytes.len());
                    bytes[place] ^= 1;
                    all.push(("one bit", Cell::Bytes(bytes)));
                }
            }
            let mut longer = bytes.clone();
            longer.push(b' ');
            all.push(("a trailing space", Cell::Bytes(longer)));
            if bytes.len() > 32 {
                all.push(("cut", Cell::Bytes(bytes[..bytes.len() - 32].to_vec())));
                let mut swapped = bytes.clone();
                swapped.rotate_left(32);
                all.push(("rotated", Cell::Bytes(swapped)));
            }
        }
        Cell::Null => all.push(("text", Cell::Text("edited".into()))),
    }
    all.retain(|(_, edited)| edited != cell);
    // What every database would refuse by its unique keys is no edit.
    let mut uniques: Vec<Vec<usize>> = table
        .indexes
        .iter()
        .filter(|index| index.unique)
        .map(|index| index.columns.iter().filter_map(|column| table.position(column)).collect())
        .collect();
    uniques.push(table.key_positions());
    all.retain(|(_, edited)| {
        uniques.iter().filter(|unique| unique.contains(&at)).all(|unique| {
            let own: Vec<&Cell> =
                unique.iter().map(|column| if *column == at { edited } else { &rows[row][*column] }).collect();
            !rows.iter().enumerate().any(|(other, cells)| {
                other != row && unique.iter().map(|column| &cells[*column]).eq(own.iter().copied())
            })
        })
    });
    all
}

fn key_of(table: &Table, row: &Row) -> Vec<(String, Cell)> {
    table.key.iter().map(|column| (column.clone(), row[table.position(column).unwrap()].clone())).collect()
}

fn show(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        format!(
            "  {} {} {:?} {:?}: {}",
            finding.code,
            finding.table,
            finding.key,
            finding.column,
            finding.message.chars().take(300).collect::<String>()
        )
    };
    findings.iter().take(8).map(one).collect::<Vec<_>>().join("\n")
}

/// Judges one edit: named with table, key and column, and no second row accused.
fn judge(table: &Table, column: &str, before: &Row, after: &Row, findings: &[Finding]) -> Result<(), String> {
    let keys = [key_of(table, before), key_of(table, after)];
    let own = |finding: &Finding| finding.table == table.name && keys.contains(&finding.key);
    let named = findings.iter().any(|finding| {
        own(finding) && (finding.column.as_deref() == Some(column) || table.key.iter().any(|key| key == column))
    });
    if !named {
        return Err(format!("not named; found\n{}", show(findings)));
    }
    match findings.iter().all(own) {
        true => Ok(()),
        false => Err(format!("others are accused\n{}", show(findings))),
    }
}

#[test]
fn one_edited_cell_is_named_and_nobody_else_is_accused() {
    let (mut tried, mut short, mut kinds) = (0, Vec::new(), BTreeSet::new());
    for seed in 100..100 + scale() {
        let net = Net::grown(seed, 12);
        let copy = net.copy();
        let mut dice = Dice(seed);
        let note = net.notes.last().unwrap().clone();
        for table in net.tables() {
            let rows = &copy.rows[&table.name];
            let sample: BTreeSet<usize> = (0..rows.len().min(2)).map(|_| dice.below(rows.len())).collect();
            for row in sample {
                for (at, column) in
                    table.columns.iter().enumerate().filter(|(_, column)| column.class != Class::Operational)
                {
                    let mut all = edits(&table, rows, row, at, &mut dice);
                    while scale() == 1 && all.len() > 2 {
                        all.swap_remove(dice.below(all.len()));
                    }
                    for (kind, edited) in all {
                        let mut tampered = copy.clone();
                        tampered.rows.get_mut(&table.name).unwrap()[row][at] = edited.clone();
                        let known = if dice.below(2) == 0 {
                            Known::default()
                        } else {
                            Known { checkpoint: Some(&note), ..Known::default() }
                        };
                        let report = audited(&tampered, known);
                        tried += 1;
                        kinds.insert(kind);
                        if let Err(why) =
                            judge(&table, &column.name, &rows[row], &tampered.rows[&table.name][row], &report.findings)
                        {
                            short.push(format!(
                                "seed {seed} {}.{} row {row}, {kind} {:?} for {:?}: {why}",
                                table.name,
                                column.name,
                                edited.show().map(|text| text.chars().take(80).collect::<String>()),
                                rows[row][at].show().map(|text| text.chars().take(80).collect::<String>())
                            ));
                        }
                    }
                }
            }
        }
    }
    println!("{tried} edits of {} kinds, {} not named precisely", kinds.len(), short.len());
    assert!(
        short.is_empty(),
        "{} of {tried} fall short:\n{}",
        short.len(),
        short.iter().take(40).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// The tables of the directory, in a network that several participants joined.
const AGREED: [&str; 4] = [name::DIRECTORY, name::PARTICIPANT, name::NODE, name::ACTOR];

#[test]
fn an_edited_cell_of_a_network_of_several_participants_is_named() {
    let net = Net::grown(101, 2);
    let (copy, mut dice) = (net.copy(), Dice(101));
    assert!(net.directory.participants().len() > 5, "several have joined");
    let (mut tried, mut short) = (0, Vec::new());
    for table in net.tables().into_iter().filter(|table| AGREED.contains(&table.name.as_str())) {
        let rows = &copy.rows[&table.name];
        for row in 0..rows.len() {
            for (at, column) in table.columns.iter().enumerate() {
                let mut all = edits(&table, rows, row, at, &mut dice);
                while scale() == 1 && all.len() > 1 {
                    all.swap_remove(dice.below(all.len()));
                }
                for (kind, edited) in all {
                    let mut tampered = copy.clone();
                    tampered.rows.get_mut(&table.name).unwrap()[row][at] = edited;
                    let findings = audited(&tampered, Known::default()).findings;
                    tried += 1;
                    if let Err(why) =
                        judge(&table, &column.name, &rows[row], &tampered.rows[&table.name][row], &findings)
                    {
                        short.push(format!("{}.{} row {row}, {kind}: {why}", table.name, column.name));
                    }
                }
            }
        }
    }
    println!("{tried} edits, {} not named precisely", short.len());
    assert!(short.is_empty(), "{} of {tried} fall short:\n{}", short.len(), short.join("\n"));
}

#[test]
fn a_deleted_row_of_a_network_of_several_participants_is_missed() {
    let net = Net::grown(103, 2);
    let copy = net.copy();
    let mut short = Vec::new();
    for table in net.tables().into_iter().filter(|table| AGREED.contains(&table.name.as_str())) {
        for row in 0..copy.rows[&table.name].len() {
            let mut tampered = copy.clone();
            let gone = tampered.rows.get_mut(&table.name).unwrap().remove(row);
            let findings = audited(&tampered, Known::default()).findings;
            let own = |finding: &Finding| finding.table == table.name && finding.key == key_of(&table, &gone);
            if !findings.iter().any(own) || !findings.iter().all(own) {
                short.push(format!("{} row {row}:\n{}", table.name, show(&findings)));
            }
        }
    }
    assert!(short.is_empty(), "{}", short.join("\n"));
}

#[test]
fn a_countersignature_dropped_altered_or_added_is_found() {
    let net = Net::grown(105, 2);
    let (copy, table) = (net.copy(), net.tables().into_iter().find(|table| table.name == name::DIRECTORY).unwrap());
    let at = table.position("envelope").unwrap();
    let mut tried = 0;
    for row in 0..copy.rows[name::DIRECTORY].len() {
        let stored = copy.rows[name::DIRECTORY][row][at].as_bytes().unwrap();
        let event = DirectoryEvent::read(stored).unwrap();
        let mut spoiled = Vec::new();
        for signature in 0..event.envelope.signatures.len() {
            let (mut dropped, mut altered, mut renamed) = (event.clone(), event.clone(), event.clone());
            dropped.envelope.signatures.remove(signature);
            altered.envelope.signatures[signature].sig[3] ^= 1;
            renamed.envelope.signatures[signature].keyid = "00".repeat(32);
            spoiled.extend([altered, renamed]);
            spoiled.extend((!dropped.envelope.signatures.is_empty()).then_some(dropped));
        }
        for node in net.nodes.values() {
            let mut added = event.clone();
            added.add_signature(event.countersign(node).unwrap());
            spoiled.extend((added.envelope.signatures.len() > event.envelope.signatures.len()).then_some(added));
        }
        for bad in spoiled {
            let mut tampered = copy.clone();
            tampered.rows.get_mut(name::DIRECTORY).unwrap()[row][at] = Cell::Bytes(bad.stored());
            let (before, after) = (&copy.rows[name::DIRECTORY][row], &tampered.rows[name::DIRECTORY][row]);
            let findings = audited(&tampered, Known::default()).findings;
            judge(&table, "envelope", before, after, &findings)
                .unwrap_or_else(|why| panic!("event {}: {why}", event.seq));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn one_deleted_row_is_missed_and_nobody_else_is_accused() {
    let (mut tried, mut short) = (0, Vec::new());
    for seed in 200..200 + scale() {
        let net = Net::grown(seed, 12);
        let copy = net.copy();
        for table in net.tables() {
            let rows = &copy.rows[&table.name];
            let step = (rows.len() / (8 * scale() as usize)).max(1);
            for row in (0..rows.len()).step_by(step) {
                let mut tampered = copy.clone();
                tampered.rows.get_mut(&table.name).unwrap().remove(row);
                let report = audited(&tampered, Known::default());
                let key = key_of(&table, &rows[row]);
                // The id of a rejected intent stands nowhere else than in its row; its place in the log does.
                let place =
                    table.position("log_position").map(|at| vec![("log_position".to_owned(), rows[row][at].clone())]);
                let own = |finding: &Finding| {
                    finding.code == Code::RowMissing
                        && finding.table == table.name
                        && finding.column.is_none()
                        && (finding.key == key || Some(&finding.key) == place.as_ref())
                };
                tried += 1;
                if report.findings.len() != 1 || !report.findings.iter().all(own) {
                    short.push(format!(
                        "seed {seed} {} row {row} {key:?}: found\n{}",
                        table.name,
                        show(&report.findings)
                    ));
                }
            }
        }
    }
    println!("{tried} deleted rows, {} not named precisely", short.len());
    assert!(
        short.is_empty(),
        "{} of {tried} fall short:\n{}",
        short.len(),
        short.iter().take(30).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn duplicated_and_swapped_rows_are_found() {
    let mut short = Vec::new();
    for seed in 300..300 + scale() {
        let net = Net::grown(seed, 12);
        let copy = net.copy();
        let mut dice = Dice(seed);
        for table in net.tables() {
            let rows = &copy.rows[&table.name];
            for _ in 0..(4 * scale() as usize).min(rows.len()) {
                let row = dice.below(rows.len());
                let mut tampered = copy.clone();
                let mut twin = rows[row].clone();
                for at in table.key_positions() {
                    twin[at] = match &twin[at] {
                        Cell::Integer(number) => Cell::Integer(number + 1_000),
                        other => Cell::Text(format!("{}x", other.show().unwrap_or_default())),
                    };
                }
                let key = key_of(&table, &twin);
                tampered.rows.get_mut(&table.name).unwrap().push(twin);
                let report = audited(&tampered, Known::default());
                let named = report
                    .findings
                    .iter()
                    .any(|finding| finding.code == Code::RowExtra && finding.table == table.name && finding.key == key);
                if !named || report.findings.len() != 1 {
                    short.push(format!("seed {seed} duplicate in {}: found\n{}", table.name, show(&report.findings)));
                }
                let other = dice.below(rows.len());
                let mut tampered = copy.clone();
                let swapped = tampered.rows.get_mut(&table.name).unwrap();
                for at in (0..table.columns.len()).filter(|at| !table.key_positions().contains(at)) {
                    let cell = swapped[row][at].clone();
                    swapped[row][at] = std::mem::replace(&mut swapped[other][at], cell);
                }
                let differ = (0..table.columns.len())
                    .any(|at| table.columns[at].class != Class::Operational && swapped[row][at] != rows[row][at]);
                let report = audited(&tampered, Known::default());
                for touched in [row, other].into_iter().filter(|_| differ) {
                    let key = key_of(&table, &rows[touched]);
                    if !report.findings.iter().any(|finding| finding.table == table.name && finding.key == key) {
                        short.push(format!(
                            "seed {seed} swap in {} of {key:?}: found\n{}",
                            table.name,
                            show(&report.findings)
                        ));
                    }
                }
            }
        }
    }
    assert!(
        short.is_empty(),
        "{} fall short:\n{}",
        short.len(),
        short.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn cut_tails_and_older_copies_are_found() {
    for seed in 400..402 + scale() {
        let net = Net::grown(seed, 12);
        let (copy, mut dice) = (net.copy(), Dice(seed));
        let note = net.notes.last().unwrap().as_str();
        for table in net.tables() {
            let mut tampered = copy.clone();
            let rows = tampered.rows.get_mut(&table.name).unwrap();
            let keep = rows.len() - (1 + dice.below(3)).min(rows.len());
            let cut = rows.len() - keep;
            rows.truncate(keep);
            let report = audited(&tampered, Known::default());
            assert!(
                cut == 0 || report.findings.iter().any(|finding| finding.table == table.name),
                "seed {seed} {}: found\n{}",
                table.name,
                show(&report.findings)
            );
        }
        let (mut short, mut long) = (Net::grown(seed, 0), Net::grown(seed, 0));
        for _ in 0..3 {
            let wish = short.wish(false);
            short.submit(vec![wish]);
            let wish = long.wish(false);
            long.submit(vec![wish]);
        }
        assert!(
            audited(&short.copy(), Known { checkpoint: long.notes.last().map(String::as_str), ..Known::default() })
                .is_clean()
        );
        let old = short.copy();
        let wish = short.wish(false);
        short.submit(vec![wish]);
        let report = audited(&old, Known { checkpoint: short.notes.last().map(String::as_str), ..Known::default() });
        assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::BehindCheckpoint]);
        long.tick();
        let wish = long.wish(false);
        long.submit(vec![wish]);
        let report =
            audited(&long.copy(), Known { checkpoint: short.notes.last().map(String::as_str), ..Known::default() });
        assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::ForeignCheckpoint]);
        let other = Net::grown(seed + 1, 3);
        let report = audited(&other.copy(), Known { checkpoint: Some(note), ..Known::default() });
        assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::ForeignCheckpoint]);
    }
}

#[test]
fn a_missing_table_is_a_finding() {
    let net = Net::grown(500, 6);
    for table in net.tables() {
        let mut tampered: Copy = net.copy();
        tampered.rows.remove(&table.name);
        let report = audited(&tampered, Known::default());
        assert!(
            report.findings.iter().any(|finding| finding.code == Code::TableShape && finding.table == table.name),
            "{}: found\n{}",
            table.name,
            show(&report.findings)
        );
    }
}

#[test]
fn a_finding_says_who_signed_the_true_value() {
    let net = Net::grown(600, 12);
    let mut tampered = net.copy();
    let tables = net.tables();
    let table = tables.iter().find(|table| table.name == "listing").unwrap();
    let (row, at) = (0, table.position("main").unwrap());
    let cell = tampered.rows["listing"][row][at].clone();
    tampered.rows.get_mut("listing").unwrap()[row][at] =
        Cell::Text(cell.show().unwrap().replace("price\":\"", "price\":\"9"));
    let report = audited(&tampered, Known::default());
    let [finding] = report.findings.as_slice() else { panic!("{}", show(&report.findings)) };
    assert!(
        finding.message.contains(" at /price, evidence says ")
            && finding.message.contains("; the true value was signed by ")
            && finding.message.contains(" (seq "),
        "{}",
        finding.message
    );
    assert_eq!(finding.expected, cell.show());
    assert!(tampered.rows.contains_key(name::INTENT));
}
