//! Cells: what is written comes back, at the edges of every kind and in every script.

use lockstep_core::tables::{Cell, Row};

use super::Factory;
use super::sample::{all, batch, commit, empty, inserts, kinds, prepared, refused, text, time, with};
use crate::ensure;

/// Writes rows, reads them, compares. The rows are in the order of their ids.
async fn round_trip(factory: &dyn Factory, rows: Vec<Row>) -> Result<(), String> {
    let database = prepared(factory).await?;
    commit(&*database, &batch(0, 1, vec![(kinds(), inserts(rows.clone()))])).await?;
    let found = all(&*database, &kinds()).await?;
    ensure!(found.len() == rows.len(), "{} rows came back of {}", found.len(), rows.len());
    for (found, written) in found.iter().zip(&rows) {
        ensure!(found == written, "written {written:.300?}, came back {found:.300?}");
    }
    Ok(())
}

/// Rows with ids in order, each with one cell.
fn numbered(cells: Vec<(&str, Cell)>) -> Vec<Row> {
    cells.into_iter().enumerate().map(|(at, (name, cell))| with(&format!("{at:04}"), name, cell)).collect()
}

fn decimal(text: &str) -> Cell {
    Cell::Decimal(text.to_owned())
}

fn date(text: &str) -> Cell {
    Cell::Date(text.to_owned())
}

pub(super) async fn every_kind(factory: &dyn Factory) -> Result<(), String> {
    let full = vec![
        text("a"),
        text("text"),
        text("long"),
        Cell::Bytes(vec![0, 1, 255]),
        Cell::Integer(7),
        Cell::Boolean(true),
        time("2026-11-21T10:12:00.000001Z"),
        text(r#"{"a":1,"b":[null,true]}"#),
        text("projected"),
        Cell::Integer(-7),
        decimal("350000.10"),
        decimal("12345678901234567890.0123456789"),
        Cell::Boolean(false),
        date("2024-02-29"),
        time("1999-12-31T23:59:59.999999Z"),
    ];
    round_trip(factory, vec![full, empty("b")]).await
}

pub(super) async fn extremes(factory: &dyn Factory) -> Result<(), String> {
    let all_nines = |whole: usize, fraction: usize| format!("{}.{}", "9".repeat(whole), "9".repeat(fraction));
    let cells = vec![
        ("integer", Cell::Integer(i64::MAX)),
        ("integer", Cell::Integer(i64::MIN)),
        ("integer", Cell::Integer((1 << 53) + 1)),
        ("p_integer", Cell::Integer(-9_007_199_254_740_991)),
        ("p_short", decimal(&all_nines(13, 2))),
        ("p_short", decimal(&format!("-{}", all_nines(13, 2)))),
        ("p_short", decimal("0.00")),
        ("p_short", decimal("0.01")),
        ("p_short", decimal("1234567890123.45")),
        ("p_long", decimal(&all_nines(28, 10))),
        ("p_long", decimal(&format!("-{}", all_nines(28, 10)))),
        ("p_long", decimal("0.0000000001")),
        ("p_date", date("1000-01-01")),
        ("p_date", date("9999-12-31")),
        ("p_timestamp", time("1000-01-01T00:00:00.000000Z")),
        ("timestamp", time("9999-12-31T23:59:59.999999Z")),
        ("bytes", Cell::Bytes(Vec::new())),
        ("bytes", Cell::Bytes((0..=255).cycle().take(1 << 20).collect())),
        ("text", text("")),
        ("text", text(" trailing ")),
        ("long_text", text(&"x".repeat(1 << 20))),
        ("p_text", text(&"ä".repeat(255))),
        ("json", text("null")),
        ("json", text("9007199254740991")),
        ("json", text(r#""""#)),
        ("json", text(r#"{"":{"€":"\u0001\b\n\"\\"}}"#)),
        ("json", text("[1.5,1e-7,1e+21,0.1]")),
        ("json", text(&format!("{}{}", "[".repeat(64), "]".repeat(64)))),
    ];
    round_trip(factory, numbered(cells)).await
}

pub(super) async fn large(factory: &dyn Factory) -> Result<(), String> {
    let document =
        format!("\"{}\"", "0123456789abcdef".repeat(512 * 1024).get(..8 * 1024 * 1024 - 2).unwrap_or_default());
    round_trip(factory, numbered(vec![("json", text(&document)), ("json", text("1"))])).await
}

pub(super) async fn scripts(factory: &dyn Factory) -> Result<(), String> {
    let words = [
        "naïve café",
        "ЮНИКОД",
        "עברית",
        "العربية",
        "हिन्दी",
        "ไทย",
        "日本語",
        "한국어",
        "ქართული",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
        "👩‍👩‍👧‍👦",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}rtl",
        "\u{feff}bom",
        "\u{fffd}\u{10ffff}",
        "'; DROP TABLE lockstep_meta; --",
        "\"quoted\" `ticks` [brackets]",
        "back\\slash",
        "%like_",
        "tab\tline\nreturn\r",
        "\u{1}\u{7f}",
        "ß",
        "SS",
        "İi",
    ];
    let cells =
        words.into_iter().flat_map(|word| ["text", "long_text", "p_text"].map(|name| (name, text(word)))).collect();
    round_trip(factory, numbered(cells)).await?;
    let mut keys: Vec<Row> = words.into_iter().map(empty).collect();
    keys.sort_by(|one, other| one.first().and_then(Cell::as_str).cmp(&other.first().and_then(Cell::as_str)));
    round_trip(factory, keys).await
}

pub(super) async fn wrong_kind(factory: &dyn Factory) -> Result<(), String> {
    let database = prepared(factory).await?;
    let wrong = [
        ("text", Cell::Integer(1)),
        ("text", text("nul\0")),
        ("integer", text("1")),
        ("boolean", Cell::Integer(1)),
        ("timestamp", text("2026-11-21T10:12:00.000000Z")),
        ("bytes", text("ab")),
        ("json", Cell::Bytes(b"{}".to_vec())),
        ("json", text("{")),
        ("p_text", text(&"x".repeat(256))),
        ("p_short", decimal("1.005")),
        ("p_short", decimal("12345678901234.00")),
        ("p_long", decimal("1")),
        ("p_date", date("2026-02-30")),
        ("text", Cell::Foreign("x".to_owned())),
    ];
    for (name, cell) in wrong {
        let case = format!("{name} given {cell:?}");
        refused(&*database, &batch(0, 1, vec![(kinds(), inserts([with("a", name, cell)]))]))
            .await
            .map_err(|error| format!("{case}: {error}"))?;
    }
    let mut without_key = empty("a");
    without_key.splice(..1, [Cell::Null]);
    refused(&*database, &batch(0, 1, vec![(kinds(), inserts([without_key]))])).await
}
