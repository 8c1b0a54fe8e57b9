//! How fast one committer writes, and how fast history answers: `cargo run --release --example throughput -- [VERSIONS]`.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::sample::{batch, tables, version};
use common::{Directory, open};
use lockstep_core::database::Database;

/// Events in one batch; each is three rows here.
const BATCH: i64 = 170;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let versions: i64 = std::env::args().nth(1).map_or(100_000, |text| text.parse().unwrap());
    let directory = Directory::new("throughput");
    let database = open(directory.file("throughput.db")).await.unwrap();
    database.prepare(&tables()).await.unwrap();

    let (mut head, mut busy, mut rows) = (None, std::time::Duration::ZERO, 0);
    for first in (0..versions).step_by(BATCH as usize) {
        let events = (first..(first + BATCH).min(versions))
            .flat_map(|at| version(&format!("acme:r{:05}", at % 10_000), at / 10_000 + 1, at, &format!("{at}.25")));
        let next = batch(head.as_deref(), &format!("head {first}"), events.collect());
        rows += next.tables.iter().map(|table| table.writes.len()).sum::<usize>();
        let started = Instant::now();
        database.commit(&next).await.unwrap();
        busy += started.elapsed();
        head = Some(next.head);
    }
    println!("{rows} rows in batches of {} took {busy:.2?}: {:.0} rows/s", BATCH * 3, rows as f64 / busy.as_secs_f64());

    let mut alone = Vec::new();
    for at in versions..versions + 200 {
        let next = batch(head.as_deref(), &format!("head {at}"), version("acme:alone", at, at, "1.00"));
        let started = Instant::now();
        database.commit(&next).await.unwrap();
        alone.push(started.elapsed());
        head = Some(next.head);
    }
    alone.sort_unstable();
    println!("a lone commit of 3 rows: p50 {:.2?}, p99 {:.2?}", alone[100], alone[198]);

    for sql in [
        "SELECT * FROM house_sale_history WHERE record_id = 'acme:r00777'".to_owned(),
        format!("SELECT * FROM house_sale_history WHERE asking_price = {}.25", versions / 2),
        "SELECT * FROM house_sale_changes WHERE record_id = 'acme:r00777'".to_owned(),
    ] {
        let started = Instant::now();
        let answer = database.query(&sql, 1_000).await.unwrap();
        println!("{:.2?} for {} rows: {sql}", started.elapsed(), answer.rows.len());
    }
    database.close().await;
}
