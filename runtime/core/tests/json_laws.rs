//! Laws that hold for every document; a failure prints its seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod json_generate;

use json_generate::{Seed, read};
use lockstep_core::json::{Json, Limits, Operation};

fn documents(count: u64) -> impl Iterator<Item = (u64, Json)> {
    (0..count).map(|seed| {
        let mut source = Seed(seed);
        let document = if seed % 10 == 0 { source.deep(64) } else { source.document(5) };
        (seed, document)
    })
}

#[test]
fn reading_the_canonical_form_gives_the_document_back() {
    for (seed, document) in documents(20_000) {
        let text = document.canonical();
        let again = Json::parse_canonical(text.as_bytes(), &Limits::default());
        assert_eq!(again.as_ref(), Ok(&document), "seed {seed}");
        assert_eq!(again.unwrap().canonical(), text, "seed {seed}");
        assert_eq!(document.canonical_len(), text.len(), "seed {seed}");
    }
}

#[test]
fn every_spelling_of_a_document_has_one_canonical_form() {
    for (seed, document) in documents(5_000) {
        let mut spelled = String::new();
        spell(&document, &mut Seed(!seed), &mut spelled);
        assert_eq!(read(&spelled), document, "seed {seed}");
        let canonical = document.canonical();
        let strict = Json::parse_canonical(spelled.as_bytes(), &Limits::default());
        assert_eq!(strict.is_ok(), spelled == canonical, "seed {seed}");
    }
}

/// Writes a document in some other way that means the same.
fn spell(value: &Json, seed: &mut Seed, out: &mut String) {
    let space = |seed: &mut Seed, out: &mut String| out.push_str(["", "", " ", "\n\t"][seed.below(4)]);
    space(seed, out);
    match value {
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(item, seed, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().rev().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                spell(&Json::from(key), seed, out);
                out.push(':');
                spell(member, seed, out);
            }
            out.push('}');
        }
        Json::String(text) => {
            out.push('"');
            for character in text.chars() {
                if character < ' ' || matches!(character, '"' | '\\') || seed.below(3) == 0 {
                    character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
                } else {
                    out.push(character);
                }
            }
            out.push('"');
        }
        Json::Number(number) if seed.below(2) == 0 => {
            let text = number.to_string();
            let exponent = if text.contains('e') { "" } else { "E-00" };
            out.push_str(&text.replace('e', "E"));
            out.push_str(exponent);
        }
        scalar => out.push_str(&scalar.canonical()),
    }
    space(seed, out);
}

#[test]
fn damaged_text_is_refused_or_read_but_never_panics() {
    for (seed, document) in documents(5_000) {
        let mut source = Seed(seed ^ 0xDA4A6E);
        let mut bytes = document.canonical().into_bytes();
        for _ in 0..=source.below(3) {
            let place = source.below(bytes.len());
            match source.below(3) {
                0 => bytes[place] = source.next() as u8,
                1 => bytes.truncate(place + 1),
                _ => bytes.insert(place, b"\"\\{}[],:u0-.eE\0"[source.below(15)]),
            }
        }
        if let Ok(read) = Json::parse(&bytes, &Limits::default()) {
            assert!(read.nests_within(64), "seed {seed}");
            assert_eq!(Json::parse(read.canonical().as_bytes(), &Limits::default()), Ok(read), "seed {seed}");
        }
    }
}

#[test]
fn an_operation_happens_and_can_be_undone_or_leaves_the_document_untouched() {
    let (mut applied, mut refused) = (0, 0);
    for (seed, document) in documents(30_000) {
        let mut source = Seed(seed ^ 0x0BE7A7E);
        let operation = source.operation(&document);
        assert_eq!(Operation::from_json(&operation.to_json()), Ok(operation.clone()), "seed {seed}");
        let mut changed = document.clone();
        match operation.apply(&mut changed) {
            Err(error) => {
                refused += 1;
                assert_eq!(changed, document, "seed {seed}: {error}");
            }
            Ok(before) => {
                applied += 1;
                assert!(changed.nests_within(64), "seed {seed}");
                let before = if inserts(&operation, &document) { None } else { Some(before) };
                undo(&operation, &document, before, &mut changed);
                assert_eq!(changed, document, "seed {seed}: {}", operation.to_json());
            }
        }
    }
    println!("{applied} applied, {refused} refused");
    assert!(applied > 8_000 && refused > 8_000, "{applied} applied, {refused} refused");
}

/// Whether the operation puts its value where none was.
fn inserts(operation: &Operation, document: &Json) -> bool {
    let path = operation.path();
    let Some((_, parents)) = path.tokens().split_last() else {
        return false;
    };
    let item = matches!(at(document, parents), Some(Json::Array(_)));
    match operation {
        Operation::Add { .. } | Operation::Move { .. } | Operation::Copy { .. } => item || document.at(path).is_none(),
        _ => false,
    }
}

fn at<'a>(document: &'a Json, tokens: &[String]) -> Option<&'a Json> {
    tokens.iter().try_fold(document, |value, token| match value {
        Json::Array(items) => items.get(token.parse::<usize>().ok()?),
        other => other.get(token),
    })
}

/// Takes an operation back with what it answered: the value before, or that there was none.
fn undo(operation: &Operation, document: &Json, before: Option<Json>, changed: &mut Json) {
    let path = operation.path().clone();
    let restore = |changed: &mut Json, operation: Operation| operation.apply(changed).map(|_| ()).unwrap();
    match (operation, before) {
        (Operation::Test { .. }, _) => {}
        (Operation::Remove { .. }, Some(value)) => restore(changed, Operation::Add { path, value }),
        (Operation::Move { from, .. }, _) if *from == path => {}
        (Operation::Move { from, .. }, Some(value)) if path.holds(from) => {
            restore(changed, Operation::Replace { path, value });
        }
        (Operation::Move { from, .. }, before) => {
            let value = document.at(from).unwrap().clone();
            match before {
                Some(before) => restore(changed, Operation::Replace { path, value: before }),
                None => restore(changed, Operation::Remove { path: last_item(changed, path) }),
            }
            restore(changed, Operation::Add { path: from.clone(), value });
        }
        (_, Some(value)) => restore(changed, Operation::Replace { path, value }),
        (_, None) => restore(changed, Operation::Remove { path: last_item(changed, path) }),
    }
}

/// The pointer with `-` replaced by the index of the last item, where `-` has put one.
fn last_item(document: &Json, path: lockstep_core::json::Pointer) -> lockstep_core::json::Pointer {
    match (path.tokens().split_last(), path.to_string()) {
        (Some((last, parents)), text) if last == "-" => match at(document, parents) {
            Some(Json::Array(items)) => {
                let place = format!("{}{}", text.strip_suffix('-').unwrap(), items.len() - 1);
                lockstep_core::json::Pointer::parse(&place).unwrap()
            }
            _ => path,
        },
        _ => path,
    }
}
