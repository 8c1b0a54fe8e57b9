//! A copy that can be restored, and what it reaches.

use std::path::Path;
use std::time::Instant;

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, Limits, json};

use crate::context::{Access, Context, Home, open_database};
use crate::error::{CliError, Exit, file_error};

const TOOLS: &str = "pg_dump, mysqldump, or a snapshot: any copy as of one moment will do";

pub(super) async fn run(context: &Context, home: &Home, to: &Path) -> Result<Exit, CliError> {
    let from = super::file_of(home, TOOLS)?;
    if to.exists() {
        let message = format!("{} is there already, and a copy writes over nothing", to.display());
        return Err(CliError::new(Code::Usage, message).hint("name a file that is not there yet"));
    }
    if !from.exists() {
        return Err(CliError::new(Code::DatabaseUnavailable, format!("{}: there is no such file", from.display())));
    }
    let begun = Instant::now();
    copy(&from, to).await?;
    let bytes = std::fs::metadata(to).map_err(|error| file_error(to, &error))?.len();
    let copied = open_database(&format!("sqlite:{}", to.display()), Access::Read).await?;
    let head = copied.head().await?.unwrap_or_default();
    let head = Json::parse(head.as_bytes(), &Limits::default()).unwrap_or_default();
    let part = |name: &str| head.get(name).cloned().unwrap_or_default();
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.output.document(&json!({
        "file": to.display().to_string(), "bytes": bytes, "log": part("log"), "log_size": part("size"),
        "root": part("root"), "time": part("time"), "ms": milliseconds
    }));
    let leaves = part("size").as_u64().unwrap_or_default();
    let time = part("time").as_str().unwrap_or_default().to_owned();
    context
        .output
        .line(format!("{}  {bytes} bytes, up to {leaves} leaves of the log, the last of {time}", to.display()));
    context.output.note("keys and the checkpoint are not in it; lockstep verify --database sqlite:FILE checks it");
    Ok(Exit::Done)
}

#[cfg(feature = "sqlite")]
async fn copy(from: &Path, to: &Path) -> Result<(), CliError> {
    let copied = lockstep_sqlite::backup(from, to).await;
    copied.map_err(|error| {
        CliError::new(Code::Io, error.to_string()).hint("the database is as it was; see that there is room for a copy")
    })
}

#[cfg(not(feature = "sqlite"))]
async fn copy(_: &Path, _: &Path) -> Result<(), CliError> {
    Err(CliError::new(Code::Usage, "this binary has no adapter for sqlite"))
}
