//! How long a kilobyte takes. Prints; asserts nothing, since machines differ:
//! `cargo test --release -p lockstep-core --test json_speed -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use lockstep_core::json;
use lockstep_core::json::{Json, Limits};

#[test]
#[ignore = "a measurement"]
fn the_time_of_a_kilobyte() {
    let offer = json!({"price": "340000.00", "from": "bob@buyer", "valid": true, "round": 3, "note": "subject to survey\nby May"});
    let record = json!({"listing": {"address": "1 Main Street", "area": 124.5_f32 as i32, "photos": ["a.jpg", "b.jpg"]}, "offers": vec![offer; 9]});
    measure("record of a kilobyte", &record, 100_000);
    measure(
        "document of a megabyte",
        &json!({"pdf": "QUJD".repeat(262_144)}),
        200,
    );
}

fn measure(what: &str, value: &Json, times: u32) {
    let text = value.canonical();
    let kilobytes = text.len() as f64 / 1024.0;
    let start = Instant::now();
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        black_box(value).write_canonical(&mut out);
        black_box(&out);
    }
    let write = start.elapsed().as_secs_f64() * 1e6 / f64::from(times) / kilobytes;
    let start = Instant::now();
    for _ in 0..times {
        black_box(Json::parse(black_box(text.as_bytes()), &Limits::default()).unwrap());
    }
    let parse = start.elapsed().as_secs_f64() * 1e6 / f64::from(times) / kilobytes;
    println!("{what} ({kilobytes:.2} KiB): write {write:.3} µs/KiB, parse {parse:.3} µs/KiB");
}
