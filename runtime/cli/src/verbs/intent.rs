//! `lockstep intent`: sign, show, list, replay.

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::verbs::submit::{IntentArgs, exit_of, print_outcome, sign};

/// Verbs of `intent`.
#[derive(Debug, Subcommand)]
pub(crate) enum IntentVerb {
    /// Sign an intent and print it, without submitting it
    Sign(IntentArgs),
    /// Show how an intent ended, with its receipt
    Show {
        /// The intent's id
        id: String,
    },
}

pub(crate) async fn run(context: &Context, verb: IntentVerb) -> Result<Exit, CliError> {
    let home = context.home()?;
    match verb {
        IntentVerb::Sign(args) => {
            let key = context.key(&home)?;
            let writer = context.writer(&home).await?;
            let signed = sign(&args, &writer.node.directory(), &home, &key, writer.node.now())?;
            context.output.raw(&signed.to_json().canonical());
            Ok(Exit::Done)
        }
        IntentVerb::Show { id } => {
            let digest = Digest::parse(&id).map_err(|error| CliError::new(Code::Usage, error.to_string()))?;
            let database = home.reader().await?;
            let found = lockstep_node::outcome(database.as_ref(), &digest).await?;
            let outcome =
                found.ok_or_else(|| CliError::new(Code::NotFound, format!("no intent {id} is known here")))?;
            context.output.document(&outcome);
            print_outcome(context.output, &outcome);
            Ok(exit_of(&outcome))
        }
    }
}
