//! The in-memory database keeps the promise of the seam.

use lockstep_conformance::database::{Factory, run};
use lockstep_core::database::{Database, Pending};
use lockstep_core::memory::MemoryDatabase;

struct Memory;

impl Factory for Memory {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        let database: Box<dyn Database> = Box::new(MemoryDatabase::new());
        Box::pin(std::future::ready(Ok(database)))
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[tokio::test]
async fn the_in_memory_database_keeps_every_promise() {
    let report = run(&Memory).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
