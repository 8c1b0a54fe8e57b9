//! SQLite keeps the promise of the seam.

mod common;

use std::sync::Mutex;

use common::{Directory, open};
use lockstep_conformance::database::{Factory, run};
use lockstep_core::database::{Database, Pending};

struct Sqlite {
    directory: Directory,
    files: Mutex<u32>,
}

impl Sqlite {
    async fn boxed(&self, number: u32) -> Result<Box<dyn Database>, String> {
        let path = self.directory.file(&format!("{number}.db"));
        open(path).await.map(|database| Box::new(database) as Box<dyn Database>).map_err(|error| error.to_string())
    }

    fn number(&self, more: u32) -> u32 {
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *files += more;
        *files
    }
}

impl Factory for Sqlite {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        Box::pin(self.boxed(self.number(1)))
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        Box::pin(async { self.boxed(self.number(0)).await.map(Some) })
    }
}

#[tokio::test]
async fn sqlite_keeps_every_promise() {
    let sqlite = Sqlite { directory: Directory::new("conformance"), files: Mutex::new(0) };
    let report = run(&sqlite).await;
    let failed: Vec<_> = report.failed().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
