//! A copy takes the place of the database, with what SQLite keeps beside a file: a log that was left there would be
//! played over the copy.

use std::path::{Path, PathBuf};

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::json::json;
use lockstep_node::SystemClock;

use crate::context::{Access, Context, Home, lock, open_database};
use crate::error::{CliError, Exit, file_error};
use crate::stored::Stored;
use crate::verbs::doctor;

const TOOLS: &str = "restore it with the database's own tools while no node runs, then lockstep verify";
/// The file, its log, and the memory that readers of the log share.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

pub(super) async fn run(context: &Context, home: &Home, copy: &Path) -> Result<Exit, CliError> {
    let place = super::file_of(home, TOOLS)?;
    let _lock = lock(&home.dir)?;
    let known = home.checkpoint().exists();
    reaches(home, copy, known).await?;
    let beside = suffixed(&place, ".restoring");
    std::fs::copy(copy, &beside).map_err(|error| file_error(&beside, &error))?;
    synced(&beside)?;
    let before = aside(&place)?;
    std::fs::rename(&beside, &place).map_err(|error| file_error(&place, &error))?;
    synced(place.parent().unwrap_or(Path::new(".")))?;
    // As nodes have it: with a log of its own, which a copy has not.
    drop(open_database(&home.database, Access::Write).await?);
    let kept = before.as_ref().map(|before| before.display().to_string());
    context.output.document(&json!({
        "database": home.database.as_str(), "from": copy.display().to_string(), "kept": kept.as_deref(),
        "checkpoint": known
    }));
    context.output.line(format!("{} is what {} was", place.display(), copy.display()));
    if let Some(kept) = kept {
        context.output.line(format!("what was there is kept: {kept}"));
    }
    if !known {
        context.output.note("there is no checkpoint beside the key: nobody can tell whether the copy is an older one");
    }
    context.output.note("next: lockstep verify");
    Ok(Exit::Done)
}

/// The copy is a database of this node, and not older than what the node signed last.
async fn reaches(home: &Home, copy: &Path, known: bool) -> Result<(), CliError> {
    let of_copy = Home { database: format!("sqlite:{}", copy.display()), ..home.clone() };
    let stored = Stored::open(&of_copy).await?;
    let directory = stored.directory().await?;
    let findings = [
        Some(doctor::node_key(&of_copy, &directory)),
        if known { Some(doctor::checkpoint(&of_copy, &stored, &directory).await) } else { None },
    ];
    let Some(ill) = findings.into_iter().flatten().find(|finding| !finding.ok) else { return Ok(()) };
    let code = if ill.name == "checkpoint" { Code::BehindCheckpoint } else { Code::KeyFile };
    let error = CliError::new(code, format!("{} is not put back: {}", copy.display(), ill.detail));
    Err(CliError { hint: ill.fix, ..error })
}

/// Moves what is there out of the way; where to.
fn aside(place: &Path) -> Result<Option<PathBuf>, CliError> {
    if !place.exists() {
        return Ok(None);
    }
    let kept = suffixed(place, &format!(".before-{}", SystemClock.now().to_string().replace([':', '.'], "-")));
    for suffix in SUFFIXES {
        let (from, to) = (suffixed(place, suffix), suffixed(&kept, suffix));
        if from.exists() {
            std::fs::rename(&from, &to).map_err(|error| file_error(&from, &error))?;
        }
    }
    Ok(Some(kept))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn synced(path: &Path) -> Result<(), CliError> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| file_error(path, &error))
}
