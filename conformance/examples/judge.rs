//! How an adapter that somebody else wrote is judged: `cargo run -p lockstep-conformance --example judge`.
//!
//! Ten lines say where empty databases come from; here it is the one in memory, in its place would stand yours.

use lockstep_conformance::database::{Factory, run};
use lockstep_core::database::{Database, Pending};
use lockstep_core::memory::MemoryDatabase;

struct Yours;

impl Factory for Yours {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        Box::pin(async { Ok(Box::new(MemoryDatabase::new()) as Box<dyn Database>) })
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        Box::pin(async { Ok(None) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let report = run(&Yours).await;
    for case in &report.cases {
        println!("{} {}", if case.failure.is_none() { "ok    " } else { "FAILED" }, case.name);
    }
    if report.failed().next().is_none() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
