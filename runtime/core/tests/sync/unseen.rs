//! Non-interference: what a node is sent, and what it stores, that may not read a section does not depend on what the
//! section holds.

use std::collections::BTreeSet;

use lockstep_core::json::{Json, json};
use lockstep_core::sync::{Feed, Message};
use lockstep_core::tables::Cell;

use crate::network::viewer;
use crate::receiver::Receiver;
use crate::replicas::make;
use crate::sequencer::Sequencer;
use crate::world::{notify, op, read, set, step, with};

/// The text with every run of 64 hex digits masked, and signatures and other bytes in base64: of fixed length, and
/// random to whoever has not what they stand for. What is signed is shown as what it says.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for one in text.chars().chain(['\0']) {
        if one.is_ascii_alphanumeric() || matches!(one, '+' | '/' | '=') {
            run.push(one);
            continue;
        }
        let hex = run.len() == 64 && run.bytes().all(|byte| byte.is_ascii_hexdigit());
        out.push_str(&match said_in(&run) {
            Some(said) => masked(&said),
            // Signatures and roots: base64 of at least 32 bytes.
            None if hex || run.len() >= 43 => format!("<{}>", run.len()),
            None => run.clone(),
        });
        run.clear();
        out.push(one);
    }
    out.pop();
    out
}

/// The payload of an envelope, and an envelope in a message: JSON in base64.
fn said_in(run: &str) -> Option<String> {
    let bytes = data_encoding::BASE64.decode(run.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|text| text.starts_with('{'))
}

/// A section's content as it may turn out.
fn hidden(index: usize) -> Json {
    match index % 5 {
        0 => json!({"price": index}),
        1 => json!({"price": "x".repeat(index)}),
        2 => json!({}),
        3 => Json::Object((0..index % 40).map(|at| (format!("k{at}"), Json::from(at))).collect()),
        _ => json!({"deep": [[[index]], null, true], "price": index}),
    }
}

/// A story in which only the hidden section differs: its content, how much is told in it, and with what words an
/// intent on it is rejected.
fn story(base: &Sequencer, index: usize) -> Sequencer {
    let mut sequencer = base.clone();
    let mut whispered = vec![set("secret", hidden(index))];
    whispered.extend((0..index % 4).map(|_| notify("secret", "deal.told")));
    let said = format!("not for {}", hidden(index + 3).canonical());
    let refused = with(with(step("reject"), "reason", format!("r{index}")), "message", said);
    let steps = [
        ("bob@bolt", "whisper", whispered),
        ("bob@bolt", "bargain", vec![read("secret"), op("secret", "add", "/more", hidden(index + 1))]),
        ("bob@bolt", "bargain", vec![read("secret"), refused]),
        ("ann@acme", "edit", vec![op("listing", "add", "/title", "same"), notify("listing", "deal.told")]),
    ];
    for (by, method, steps) in steps {
        let wish = sequencer.world.call(by, method, "one", steps);
        sequencer.run(&wish);
    }
    sequencer
}

/// All bytes that a viewer is sent of it.
fn sent(sequencer: &Sequencer, to: &str) -> String {
    let shares = sequencer.shares(&viewer(to));
    let next = sequencer.ledger.appender.size();
    let feed = Message::Feed(Feed { log: "acme/1".to_owned(), next, more: false, shares });
    String::from_utf8(feed.encode()).unwrap()
}

/// All rows of all tables of a receiver that took it in, a row a line, masked; and how many cells they have. The key of
/// many tables is a hash, so rows are in the order of what is left.
fn stored(sequencer: &Sequencer, to: &str) -> (Vec<String>, usize) {
    let mut receiver = Receiver::new(&sequencer.world, to);
    receiver.follow(sequencer);
    let copy = receiver.copy(&sequencer.world);
    let (mut lines, mut cells) = (Vec::new(), 0);
    for (name, row) in copy.rows.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row))) {
        let columns = copy.tables[name].columns.iter().zip(row);
        let shown = columns.map(|(column, cell)| format!("{} = {}", column.name, shown(cell)));
        lines.push(masked(&format!("{name}: {}", shown.collect::<Vec<_>>().join(", "))));
        cells += row.len();
    }
    lines.sort();
    (lines, cells)
}

/// A cell as text: bytes that are none, such as hashes, by their number.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Bytes(bytes) => {
            String::from_utf8(bytes.clone()).unwrap_or_else(|_| format!("{} bytes of hashes", bytes.len()))
        }
        Cell::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

fn made() -> Sequencer {
    let mut base = Sequencer::new();
    let wish = make(&mut base, "one");
    base.apply(&wish);
    base.agree();
    base
}

/// What all of them look like, masked and in parts: one that looks different tells contents apart.
fn only(to: &str, what: &str, looks: &BTreeSet<Vec<String>>) {
    let mut some = looks.iter();
    let first = some.next().unwrap();
    let different = some.next().and_then(|other| first.iter().zip(other).find(|(one, other)| one != other));
    assert_eq!(looks.len(), 1, "{to} can tell kinds of content apart by what is {what}: {different:#?}");
    // What a method is called is agreed by all; that it was called is not for all.
    let agreed = |part: &&String| {
        ["lockstep_directory", "lockstep_contract", "lockstep_spec"].iter().any(|name| part.starts_with(name))
    };
    for part in first.iter().filter(|part| !agreed(part)) {
        for word in ["whisper", "bargain", "not for", "\"price\""] {
            assert!(!part.contains(word), "{to} is told {word:?}, {what} in {part}");
        }
    }
}

#[test]
fn over_a_thousand_values_of_a_hidden_section_what_is_sent_and_stored_is_the_same() {
    let base = made();
    let (mut bytes, mut rows, mut cells) = (0, 0, 0);
    for (to, values) in [("crane", 0..500), ("gaze", 500..1_000)] {
        let (mut told, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for index in values {
            let story = story(&base, index);
            let (sent, stored) = (sent(&story, to), stored(&story, to));
            (bytes, rows, cells) = (bytes + sent.len(), rows + stored.0.len(), cells + stored.1);
            told.insert(vec![masked(&sent)]);
            kept.insert(stored.0);
        }
        only(to, "sent", &told);
        only(to, "stored", &kept);
    }
    println!(
        "1000 values of a hidden section, half of them for each of two that may not read it: {bytes} bytes sent, {rows} \
         rows with {cells} cells stored, the same for every value, commitments masked"
    );
}

/// What else than content may differ: what a viewer without the right can tell, each shown by a story and one that
/// differs from it in that alone.
fn leaks() -> Vec<(&'static str, Sequencer)> {
    let mut all = Vec::new();
    let mut one = |what: &'static str, change: &dyn Fn(&mut Sequencer)| {
        let mut sequencer = made();
        change(&mut sequencer);
        all.push((what, sequencer));
    };
    let run = |sequencer: &mut Sequencer, by: &str, method: &str, steps: Vec<Json>| {
        let wish = sequencer.world.call(by, method, "one", steps);
        sequencer.run(&wish);
    };
    let secret = || vec![op("secret", "add", "/price", 2)];
    one("nothing but what it is compared with", &|sequencer| run(sequencer, "bob@bolt", "whisper", secret()));
    one("that something happened", &|_| ());
    one("how often it did", &|sequencer| {
        run(sequencer, "bob@bolt", "whisper", secret());
        run(sequencer, "bob@bolt", "whisper", secret());
    });
    one("when", &|sequencer| {
        sequencer.tick();
        run(sequencer, "bob@bolt", "whisper", secret());
    });
    one("by whom", &|sequencer| run(sequencer, "ann@acme", "whisper", secret()));
    one("whether it was applied", &|sequencer| {
        run(sequencer, "bob@bolt", "whisper", vec![with(step("reject"), "reason", "no")]);
    });
    one("which sections the method may write", &|sequencer| run(sequencer, "bob@bolt", "mixed", secret()));
    all
}

#[test]
fn what_still_leaks_is_this_and_nothing_else() {
    let leaks = leaks();
    let seen = |sequencer: &Sequencer| (masked(&sent(sequencer, "gaze")), stored(sequencer, "gaze").0);
    let compared = seen(&leaks[0].1);
    for (what, sequencer) in &leaks[1..] {
        let other = seen(sequencer);
        assert!(other.0 != compared.0 && other.1 != compared.1, "{what} leaks no more: strike it from the list");
        println!("still leaks: {what}");
    }
}

#[test]
fn nothing_that_could_be_content_is_masked() {
    let said = data_encoding::BASE64.encode(br#"{"actor":"bob@bolt","price":"340000.00"}"#);
    let text = format!("\"{}\" 340000.00 {said}", "9f2c".repeat(16));
    assert_eq!(masked(&text), r#""<64>" 340000.00 {"actor":"bob@bolt","price":"340000.00"}"#);
}

#[test]
fn who_may_read_the_section_is_sent_what_it_holds() {
    let base = made();
    let stories = [4, 8].map(|index| story(&base, index));
    assert_ne!(masked(&sent(&stories[0], "bolt")), masked(&sent(&stories[1], "bolt")));
    assert_ne!(stored(&stories[0], "bolt").0, stored(&stories[1], "bolt").0);
}

#[test]
fn a_visible_notification_does_not_tell_how_many_hidden_ones_came_before_it() {
    let base = made();
    let told = |count: usize| {
        let mut sequencer = base.clone();
        let mut steps: Vec<Json> = (0..count).map(|_| notify("secret", "deal.told")).collect();
        steps.push(notify("listing", "deal.told"));
        let wish = sequencer.world.call("ann@acme", "mixed", "one", steps);
        sequencer.apply(&wish);
        sequencer
    };
    let [one, other] = [1, 2].map(told);
    for to in ["crane", "gaze"] {
        only(to, "sent", &[&one, &other].map(|one| vec![masked(&sent(one, to))]).into());
        only(to, "stored", &[&one, &other].map(|one| stored(one, to).0).into());
        let id = "lockstep_outbox: id = acme:one#1.2.listing.0,";
        assert!(stored(&other, to).0.iter().any(|row| row.starts_with(id)));
    }
}
