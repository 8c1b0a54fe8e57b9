//! A copy of a file that others go on writing to.

use std::path::{Path, PathBuf};

use lockstep_core::database::DatabaseError;
use sqlx::{ConnectOptions, Connection};

use crate::bind;
use crate::connect::copying_options;

/// Copies a database as it is at one moment, without waiting for writers and without making them wait.
///
/// The copy is a file of its own, without a log beside it, packed, and synced before this returns. It is written beside
/// its name and renamed at the end: what has the name is whole.
///
/// # Errors
/// [`DatabaseError::Query`] where there is something by that name already, the file cannot be read, or the copy not
/// written; nothing is left behind then.
pub async fn backup(from: &Path, to: &Path) -> Result<(), DatabaseError> {
    let failed = |detail: String| DatabaseError::Query { detail };
    if to.exists() {
        return Err(failed(format!("{} is there already", to.display())));
    }
    let beside = beside(to);
    drop(std::fs::remove_file(&beside));
    let copied = copy(from, &beside)
        .await
        .and_then(|()| place(&beside, to).map_err(|error| format!("{}: {error}", to.display())));
    copied.map_err(|detail| {
        drop(std::fs::remove_file(&beside));
        failed(detail)
    })
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

async fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let words = |error: sqlx::Error| bind::words(&error);
    let name = to.to_str().ok_or_else(|| format!("{} is not UTF-8", to.display()))?;
    let mut connection = copying_options(from).connect().await.map_err(words)?;
    let copied = sqlx::query("VACUUM INTO ?").bind(name).persistent(false).execute(&mut connection).await;
    connection.close().await.map_err(words)?;
    copied.map(drop).map_err(words)
}

/// SQLite does not sync what it copies into.
fn place(beside: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::File::open(beside)?.sync_all()?;
    std::fs::rename(beside, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
