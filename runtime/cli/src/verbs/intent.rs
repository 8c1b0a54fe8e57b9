//! `lockstep intent`: sign, show, list, replay.

use clap::Subcommand;
use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::json::Json;
use lockstep_node::SystemClock;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::stored::Stored;
use crate::verbs::intents::{self, ListArgs};
use crate::verbs::pending;
use crate::verbs::replay;
use crate::verbs::submit::{IntentArgs, exit_of, print_outcome, sign};

/// Verbs of `intent`.
#[derive(Debug, Subcommand)]
pub(crate) enum IntentVerb {
    /// Sign an intent and print it, without submitting it
    #[command(after_help = "Example:
  lockstep intent sign house_sale.accept acme:sale-1 --as alice --args '{\"price\":\"340000.00\"}' > signed.json
  lockstep submit --envelope @signed.json")]
    Sign(IntentArgs),
    /// Show how an intent ended, with its receipt
    #[command(after_help = "Example:\n  lockstep intent show 4131dbc6485e --json")]
    Show {
        /// The intent's id, or as much of it as is unique
        id: String,
    },
    /// Print what this node can prove about an intent that it handed over to another node
    #[command(
        after_help = "Wrapper and acknowledgement are signed: for an intent that is overdue they prove that its sequencer took it and gave no outcome.\n\nExample:\n  lockstep intent proof 4131dbc6485e --json > overdue.json"
    )]
    Proof {
        /// The intent's id, or as much of it as is unique
        id: String,
    },
    /// List the latest intents and how they ended
    List(ListArgs),
    /// Execute an intent again in the same state, with trace, changing nothing
    #[command(after_help = "Example:\n  lockstep intent replay 4131dbc6485e")]
    Replay {
        /// The intent's id, or as much of it as is unique
        id: String,
    },
}

pub(crate) async fn run(context: &Context, verb: IntentVerb) -> Result<Exit, CliError> {
    let home = context.home()?;
    match verb {
        IntentVerb::Sign(args) => {
            let key = context.key(&home)?;
            let directory = Stored::open(&home).await?.directory().await?;
            let signed = sign(&args, &directory, &home, &key, SystemClock.now())?;
            context.output.raw(&signed.to_json().canonical());
            Ok(Exit::Done)
        }
        IntentVerb::Show { id } => {
            let stored = Stored::open(&home).await?;
            let digest = stored.intent(&id).await?;
            let found = lockstep_node::outcome(stored.database(), &digest).await?;
            let outcome =
                found.ok_or_else(|| CliError::new(Code::NotFound, format!("no intent {id} is known here")))?;
            if outcome.get("status").and_then(Json::as_str) == Some("pending") {
                return pending::show(context, &home, &stored, &digest, outcome).await;
            }
            context.output.document(&outcome);
            print_outcome(context.output, &outcome);
            Ok(exit_of(&outcome))
        }
        IntentVerb::Proof { id } => pending::proof(context, &home, &id).await,
        IntentVerb::List(args) => intents::run(context, &args).await,
        IntentVerb::Replay { id } => replay::run(context, &id).await,
    }
}
