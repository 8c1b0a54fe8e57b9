//! What a call costs: `cargo run --release -p lockstep-vm --example microseconds_per_call`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

#[path = "../tests/support/mod.rs"]
mod support;

use lockstep_core::engine::{Engine, Limits};
use lockstep_core::package::Package;
use std::path::Path;
use support::{Recorder, engine};

fn guest() -> Package {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/guest-1.0.0.lockstep");
    Package::decode(&std::fs::read(path).unwrap()).unwrap()
}

fn main() {
    let (engine, guest) = (engine(), guest());
    let started = std::time::Instant::now();
    engine.check(&guest).unwrap();
    println!("compile: {} ms", started.elapsed().as_millis());
    let call = |method: &str, host: &mut Recorder| {
        let _ = engine.call(&guest, method, r#"{"price":"340000.00"}"#, host, &Limits::default());
    };
    for (what, method) in [("parse, read, write, notify", "offer"), ("nothing but a fresh instance", "nothing")] {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let started = std::time::Instant::now();
            (0..500).for_each(|_| call(method, &mut Recorder::default()));
            best = best.min(started.elapsed().as_secs_f64() * 2_000.0);
        }
        println!("{what}: {best:.1} us");
    }
}
