//! The ways of editing a cell, as SQL literals.

use super::file::{Column, Row};
use crate::prove::Dice;

/// Composed characters with what looks the same.
const LOOK_ALIKES: [(&str, &str); 5] =
    [("é", "e\u{301}"), ("e\u{301}", "é"), ("ü", "u\u{308}"), ("1.0", "1"), ("1", "1.0")];

/// Every way of editing this cell: what it is called, and the new value.
pub(super) fn edits(column: &Column, row: &Row, all: &[Row], dice: &mut Dice) -> Vec<(&'static str, String)> {
    let Some(literal) = literal(column, row) else { return Vec::new() };
    let mut edits = vec![("NULL", "NULL".to_owned()), ("empty", "''".to_owned())];
    let others: Vec<&String> =
        all.iter().filter_map(|other| other.literals.get(column.at)).filter(|other| *other != literal).collect();
    edits.extend(dice.pick(&others).map(|other| ("another row's value", (*other).clone())));
    if let Some(text) = text_of(literal) {
        edits.push(("a trailing space", quoted(&format!("{text} "))));
        edits.push(("one character", quoted(&changed(&text, dice))));
        let alike = LOOK_ALIKES.iter().filter(|(one, _)| text.contains(one));
        edits.extend(alike.map(|(one, other)| ("a look-alike", quoted(&text.replacen(one, other, 1)))));
        edits.push(("text as bytes", format!("CAST({literal} AS BLOB)")));
    } else if let Some(bytes) = bytes_of(literal) {
        let mut flipped = bytes.clone();
        let at = usize::try_from(dice.below(u64::try_from(bytes.len()).unwrap_or(0))).unwrap_or(0);
        flipped.get_mut(at).into_iter().for_each(|byte| *byte ^= 1);
        edits.push(("one character", blob(&flipped)));
        edits.push(("a trailing space", blob(&[bytes.as_slice(), b" "].concat())));
        edits.push(("bytes as text", format!("CAST({literal} AS TEXT)")));
    } else if let Ok(number) = literal.parse::<i64>() {
        edits.push(("one character", (number + 1).to_string()));
        edits.push(("a look-alike", format!("{number}.0")));
        edits.push(("a look-alike", format!("'{number} '")));
    } else if literal == "NULL" {
        edits.push(("something", "'edited'".to_owned()));
    } else {
        edits.push(("one character", format!("{literal} + 1")));
        edits.push(("a look-alike", format!("'{literal} '")));
    }
    edits
}

fn literal<'a>(column: &Column, row: &'a Row) -> Option<&'a String> {
    row.literals.get(column.at)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn text_of(literal: &str) -> Option<String> {
    String::from_utf8(hex(literal.strip_prefix("CAST(x'")?.strip_suffix("' AS TEXT)")?)?).ok()
}

fn bytes_of(literal: &str) -> Option<Vec<u8>> {
    hex(literal.strip_prefix("X'")?.strip_suffix('\'')?)
}

fn blob(bytes: &[u8]) -> String {
    format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>())
}

/// Text as a literal, whatever is in it.
fn quoted(text: &str) -> String {
    format!("CAST({} AS TEXT)", blob(text.as_bytes()))
}

fn changed(text: &str, dice: &mut Dice) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = usize::try_from(dice.below(u64::try_from(characters.len()).unwrap_or(0))).unwrap_or(0);
    match characters.get_mut(at) {
        Some(character) => *character = if *character == '1' { '2' } else { '1' },
        None => characters.push('1'),
    }
    characters.into_iter().collect()
}
