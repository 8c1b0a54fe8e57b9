//! MariaDB, and MySQL where a URL names one, keep the promise of the seam.

mod common;

use std::sync::{Arc, Mutex, PoisonError};

use common::open;
use lockstep_conformance::database::{Factory, run};
use lockstep_core::database::{Database, Pending};
use lockstep_testbed::mariadb::{MariaDb, MariaDbDatabase};

struct Maria {
    server: Arc<MariaDb>,
    last: Mutex<Option<MariaDbDatabase>>,
}

impl Maria {
    async fn boxed(&self, url: String) -> Result<Box<dyn Database>, String> {
        open(url).await.map(|database| Box::new(database) as Box<dyn Database>).map_err(|error| error.to_string())
    }

    fn url(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(MariaDbDatabase::url).unwrap_or_default()
    }
}

impl Factory for Maria {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        let database = self.server.database();
        let url = database.url();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Box::pin(self.boxed(url))
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        let url = self.url();
        Box::pin(async { self.boxed(url).await.map(Some) })
    }
}

#[tokio::test]
async fn mariadb_keeps_every_promise() {
    let Some(server) = MariaDb::shared() else { return };
    let maria = Maria { server, last: Mutex::new(None) };
    let report = run(&maria).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
