//! The verbs, one file each.

pub(crate) mod actor;
pub(crate) mod called;
pub(crate) mod completions;
pub(crate) mod conformance;
pub(crate) mod contract;
pub(crate) mod contracts;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod feed;
pub(crate) mod grant;
pub(crate) mod init;
pub(crate) mod intent;
pub(crate) mod intents;
pub(crate) mod key;
pub(crate) mod network;
pub(crate) mod objection;
mod pending;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod sql;
pub(crate) mod submit;
pub(crate) mod token;
pub(crate) mod verify;

use crate::args::{Cli, Verb};
use crate::error::{CliError, Exit};

/// Runs what was asked for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, CliError> {
    let context = cli.global.context();
    match cli.verb {
        Verb::Demo(args) => crate::demo::run(&context, args).await,
        Verb::Init(args) => init::run(&context, args).await,
        Verb::Key(verb) => key::run(&context, verb),
        Verb::Actor(verb) => actor::run(&context, verb).await,
        Verb::Submit(args) => submit::run(&context, args).await,
        Verb::Intent(verb) => intent::run(&context, verb).await,
        Verb::Contract(verb) => contract::run(&context, verb).await,
        Verb::Record(verb) => record::run(&context, verb).await,
        Verb::Objection(verb) => objection::run(&context, verb).await,
        Verb::Sql(args) => sql::run(&context, args).await,
        Verb::Events(args) => feed::run_events(&context, args).await,
        Verb::Notifications(args) => feed::run_notifications(&context, args).await,
        Verb::Verify(args) => verify::run(&context, args).await,
        Verb::Doctor(args) => doctor::run(&context, args).await,
        Verb::Database(verb) => database::run(&context, verb).await,
        Verb::Explain(args) => explain::run(&context, &args),
        Verb::Run(args) => run::run(&context, args).await,
        Verb::Token(args) => token::run(&context, args).await,
        Verb::Grant(args) => grant::grant(&context, args).await,
        Verb::Ungrant(args) => grant::ungrant(&context, args).await,
        Verb::Network(verb) => network::run(&context, verb).await,
        Verb::Bench(args) => crate::bench::run(&context, args).await,
        Verb::Conformance(verb) => conformance::run(&context, verb).await,
        Verb::Completions(args) => Ok(completions::run(&context, &args)),
    }
}
