//! `lockstep key`: keys in this directory.

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};

use crate::context::{Context, find_key, full_name};
use crate::error::{CliError, Exit};
use crate::keys::{self, Key};

/// Verbs of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key; its public half can be given to whoever adds the actor
    #[command(after_help = "Example:\n  lockstep key new bob")]
    New {
        /// NAME, or NAME@PARTICIPANT
        name: String,
    },
    /// List the keys in this directory
    #[command(after_help = "Example:\n  lockstep key list --json")]
    List,
    /// Show one key's public half
    #[command(after_help = "Example:\n  lockstep key show bob@buyer")]
    Show {
        /// NAME, or NAME@PARTICIPANT
        name: String,
    },
}

pub(crate) fn run(context: &Context, verb: KeyVerb) -> Result<Exit, CliError> {
    let home = context.home()?;
    let output = context.output;
    match verb {
        KeyVerb::New { name } => {
            let actor = full_name(&name, &home.config.participant)?;
            let path = keys::actor_key_path(&home.dir, actor.as_str());
            if path.exists() {
                return Err(CliError::new(Code::DirectoryExists, format!("{} is there already", path.display())));
            }
            let key = Key::generate(actor.as_str())?;
            key.write(&path)?;
            output.document(&describe(&key));
            output.line(format!("made {}", path.display()));
            output.line(format!("  public key {}", key.public()));
        }
        KeyVerb::List => {
            let all = keys::all(&home.dir)?;
            output.document(&all.iter().map(describe).collect::<Json>());
            output.table(
                &["actor", "public key"],
                &all.iter().map(|key| vec![key.owner.clone(), key.public().to_string()]).collect::<Vec<_>>(),
            );
        }
        KeyVerb::Show { name } => {
            let key = find_key(&home.dir, &name)?;
            output.document(&describe(&key));
            output.line(format!("{}  {}", key.owner, key.public()));
        }
    }
    Ok(Exit::Done)
}

fn describe(key: &Key) -> Json {
    json!({"actor": key.owner.as_str(), "public_key": key.public().to_string()})
}
