//! PostgreSQL keeps the promise of the seam.

mod common;

use std::sync::Mutex;

use common::open;
use lockstep_conformance::database::{Factory, run};
use lockstep_core::database::{Database, Pending};
use lockstep_testbed::postgres::{Postgres, PostgresDatabase};

struct Schemas {
    database: PostgresDatabase,
    number: Mutex<u32>,
}

impl Schemas {
    async fn boxed(&self, number: u32) -> Result<Box<dyn Database>, String> {
        let url = format!("{}?schema=case_{number}", self.database.url());
        open(url).await.map(|database| Box::new(database) as Box<dyn Database>).map_err(|error| error.to_string())
    }

    fn number(&self, more: u32) -> u32 {
        let mut number = self.number.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *number += more;
        *number
    }
}

impl Factory for Schemas {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        Box::pin(self.boxed(self.number(1)))
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        Box::pin(async { self.boxed(self.number(0)).await.map(Some) })
    }
}

#[tokio::test]
async fn postgres_keeps_every_promise() {
    let Some(server) = Postgres::shared() else { return };
    let schemas = Schemas { database: server.database(), number: Mutex::new(0) };
    let report = run(&schemas).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
