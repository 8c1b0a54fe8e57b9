//! `lockstep database`: the participant's database as its operator sees it.

mod backup;
mod copy;
mod restore;
mod size;

use std::path::PathBuf;

use clap::Subcommand;
use lockstep_core::codes::Code;

use crate::context::{Context, Home};
use crate::error::{CliError, Exit};

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseVerb {
    /// Copy it as it is at one moment, while a node goes on writing to it
    #[command(after_help = "Examples:
  lockstep database backup /backup/acme-monday.db
  lockstep verify --database sqlite:/backup/acme-monday.db

Keys and the checkpoint are not in it; keep them elsewhere.")]
    Backup {
        /// The copy, a file that is not there yet
        file: PathBuf,
    },
    /// Put a copy in its place, unless it is older than what the node signed last; no node may run
    #[command(after_help = "Examples:
  lockstep database restore /backup/acme-monday.db
  lockstep verify                                    afterwards, always

What was there is kept beside it.")]
    Restore {
        /// The copy; it stays where it is
        file: PathBuf,
    },
    /// Copy what it holds into another database, of any kind, and verify both
    #[command(after_help = "Examples:
  lockstep database copy sqlite:lockstep.db 'postgres://me@localhost/sales?schema=acme'

The configuration stays as it is; the node goes on where it says.")]
    Copy {
        /// The database to copy
        from: String,
        /// Where to; nothing of Lockstep's may be there yet
        to: String,
    },
    /// Bytes of each table with its indexes, and of an intent
    #[command(after_help = "Example:\n  lockstep database size")]
    Size,
}

pub(crate) async fn run(context: &Context, verb: DatabaseVerb) -> Result<Exit, CliError> {
    let home = context.home()?;
    match verb {
        DatabaseVerb::Backup { file } => backup::run(context, &home, &file).await,
        DatabaseVerb::Restore { file } => restore::run(context, &home, &file).await,
        DatabaseVerb::Copy { from, to } => copy::run(context, &home, &from, &to).await,
        DatabaseVerb::Size => size::run(context, &home).await,
    }
}

/// The file of a SQLite database; others have tools of their own for what is asked.
fn file_of(home: &Home, tool: &str) -> Result<PathBuf, CliError> {
    match home.database.split_once(':') {
        Some(("sqlite", file)) => Ok(PathBuf::from(file)),
        other => {
            let kind = other.map_or("this", |(kind, _)| kind);
            let message = format!("of a {kind} database this is asked with its own tools");
            Err(CliError::new(Code::Usage, message).hint(tool))
        }
    }
}
