//! Histories made from a seed: however their writes are put into batches, the same rows are there in the end.

use std::collections::BTreeMap;

use lockstep_core::database::Write;
use lockstep_core::tables::{Cell, Row};

use super::Factory;
use super::sample::{all, batch, commit, kinds, prepared, text, time};
use crate::ensure;

/// Writes of one history.
const LENGTH: usize = 120;

/// Records that they are about: few, so that most are written more than once.
const RECORDS: usize = 12;

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % end.max(1)
    }
}

/// A cell for a column of the suite's table; NULL is among them, as what does not convert is.
fn cell(column: &str, numbers: &mut Numbers) -> Cell {
    let number = numbers.below(1_000);
    if number.is_multiple_of(7) {
        return Cell::Null;
    }
    match column {
        "bytes" => Cell::Bytes(vec![u8::try_from(number % 256).unwrap_or(0); number]),
        "integer" | "p_integer" => Cell::Integer(500 - number as i64),
        "boolean" | "p_boolean" => Cell::Boolean(number.is_multiple_of(2)),
        "timestamp" | "p_timestamp" => time(&format!("{}-02-28T23:59:59.{number:06}Z", 1000 + number * 8)),
        "json" => text(&format!(r#"{{"a":[{number},null,true,0.{}],"é":"{}"}}"#, number * 10 + 1, "x".repeat(number))),
        "p_short" => Cell::Decimal(format!("{}.{:02}", number * number, number % 100)),
        "p_long" => Cell::Decimal(format!("-{}12345678901234567890.{:010}", number + 1, number)),
        "p_date" => Cell::Date(format!("{}-12-31", 1000 + number)),
        _ => text(&format!("{number} ÄЮ日")),
    }
}

fn row(id: usize, numbers: &mut Numbers) -> Row {
    let columns = kinds().columns;
    let cells = columns.iter().skip(1).map(|column| cell(&column.name, numbers));
    std::iter::once(text(&format!("record {id:02}"))).chain(cells.collect::<Vec<_>>()).collect()
}

/// Writes and the rows that they leave, by key.
fn history(seed: u64) -> (Vec<Write>, BTreeMap<String, Row>) {
    let (mut numbers, mut writes, mut rows) = (Numbers(seed), Vec::new(), BTreeMap::<String, Row>::new());
    for _ in 0..LENGTH {
        let id = numbers.below(RECORDS);
        let fresh = row(id, &mut numbers);
        let key = fresh.first().and_then(Cell::as_str).unwrap_or_default().to_owned();
        match (rows.get_mut(&key), numbers.below(3)) {
            (None, 0) => writes.push(Write::Insert(fresh.clone())),
            (None, _) | (Some(_), 0) => writes.push(Write::Put(fresh.clone())),
            (Some(there), _) => {
                let some = |at: &usize| *at == 1 || numbers.below(4) == 0;
                let set: Vec<(usize, Cell)> =
                    (1..fresh.len()).filter(some).filter_map(|at| Some((at, fresh.get(at)?.clone()))).collect();
                for (at, cell) in &set {
                    if let Some(place) = there.get_mut(*at) {
                        *place = cell.clone();
                    }
                }
                writes.push(Write::Update { key: vec![text(&key)], set });
                continue;
            }
        }
        rows.insert(key, fresh);
    }
    (writes, rows)
}

pub(super) async fn batched(factory: &dyn Factory) -> Result<(), String> {
    for (seed, most) in [(1, 1), (1, LENGTH), (2, 7), (3, 20)] {
        let database = prepared(factory).await?;
        let (writes, expected) = history(seed);
        let (mut numbers, mut rest, mut head) = (Numbers(seed ^ 0x5eed), writes.as_slice(), 0);
        while !rest.is_empty() {
            let length = if most == LENGTH { LENGTH } else { 1 + numbers.below(most) };
            let (now, later) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            commit(&*database, &batch(head, head + 1, vec![(kinds(), now.to_vec())])).await?;
            (rest, head) = (later, head + 1);
        }
        let found = all(&*database, &kinds()).await?;
        let differs = found.iter().zip(expected.values()).find(|(found, expected)| found != expected);
        ensure!(
            found.len() == expected.len() && differs.is_none(),
            "seed {seed}, batches of at most {most}: {} rows of {}, and {differs:.300?}",
            found.len(),
            expected.len()
        );
    }
    Ok(())
}
