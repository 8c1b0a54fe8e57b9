//! Findings in the words that people read.

use std::collections::BTreeSet;

use crate::codes::Code;
use crate::json::{Json, Limits, Pointer, write_token};
use crate::tables::{Cell, Table};

use super::Finding;
use super::found::named_key;

/// A finding with what all findings have.
pub(super) fn finding(
    code: Code,
    table: &Table,
    key: &[Cell],
    column: Option<String>,
    record_id: Option<String>,
    seq: Option<u64>,
    message: String,
) -> Finding {
    Finding {
        code,
        table: table.name.clone(),
        key: named_key(table, key),
        column,
        record_id,
        seq,
        expected: None,
        found: None,
        message,
    }
}

/// Table, key and column for people.
pub(super) fn place(table: &Table, key: &[Cell], column: Option<&str>) -> String {
    let key: Vec<String> =
        named_key(table, key).into_iter().map(|(column, cell)| format!("{column} {}", told(&cell))).collect();
    let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
    format!("{} at {}{column}", table.name, key.join(", "))
}

/// A value for people, on one line.
pub(super) fn told(cell: &Cell) -> String {
    match cell.show() {
        None => "NULL".to_owned(),
        Some(text) if text.chars().count() <= 120 => text,
        Some(text) => format!("{}… ({} bytes)", text.chars().take(100).collect::<String>(), text.len()),
    }
}

/// Where two documents first differ, and what each of them holds there.
pub(super) struct Difference {
    /// A JSON Pointer.
    pub(super) at: String,
    /// What evidence says.
    pub(super) want: String,
    /// What the cell holds.
    pub(super) got: String,
}

/// How two documents first differ; `None` where they are the same, or are no documents.
pub(super) fn difference(want: &Cell, got: &Cell) -> Option<Difference> {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let parse = |cell: &Cell| Json::parse(cell.show()?.as_bytes(), &limits).ok();
    let (want, got) = (parse(want)?, parse(got)?);
    let mut at = String::new();
    (want != got).then(|| {
        descend(&want, &got, &mut at);
        let pointer = Pointer::parse(&at).ok();
        let held = |json: &Json| {
            let found = pointer.as_ref().and_then(|pointer| json.at(pointer));
            found.map_or_else(|| "nothing".to_owned(), |found| told(&Cell::Text(found.canonical())))
        };
        let (want, got) = (held(&want), held(&got));
        Difference { at, want, got }
    })
}

fn descend(want: &Json, got: &Json, at: &mut String) {
    let step = match (want, got) {
        (Json::Object(want), Json::Object(got)) => {
            let keys: BTreeSet<&str> = want.keys().chain(got.keys()).collect();
            keys.into_iter()
                .find(|key| want.get(key) != got.get(key))
                .map(|key| (key.to_owned(), want.get(key), got.get(key)))
        }
        (Json::Array(want), Json::Array(got)) => {
            let index = (0..want.len().max(got.len())).find(|index| want.get(*index) != got.get(*index));
            index.map(|index| (index.to_string(), want.get(index), got.get(index)))
        }
        _ => None,
    };
    let Some((token, want, got)) = step else { return };
    if write_token(at, &token).is_ok()
        && let (Some(want), Some(got)) = (want, got)
    {
        descend(want, got, at);
    }
}
