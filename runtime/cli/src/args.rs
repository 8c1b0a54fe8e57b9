//! The command line's definition; help, completions and suggestions all come from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lockstep_core::package::{ABI, FORMAT};

use crate::context::Context;
use crate::output::Output;
use crate::verbs;

const ABOUT: &str = "Smart contracts that live in the participants' own databases";
const EXAMPLES: &str = "Examples:
  lockstep demo                                          see it work, in ten seconds
  lockstep init --network sales --participant acme       a network of your own, on SQLite
  lockstep verify                                        check every managed cell
  lockstep explain stale_expect                          what a code means and what to do";

fn version() -> &'static str {
    static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        format!("{} ({}, format {FORMAT}, abi {ABI})", env!("CARGO_PKG_VERSION"), env!("LOCKSTEP_COMMIT"))
    });
    &VERSION
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "lockstep", about = ABOUT, after_help = EXAMPLES, version = version(), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every command.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The node's directory [default: the nearest ancestor with a lockstep.toml]
    #[arg(long, global = true, env = "LOCKSTEP_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The database: sqlite:FILE or postgres://… [default: what lockstep.toml says]
    #[arg(long, global = true, env = "LOCKSTEP_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// Whose key signs: NAME or NAME@PARTICIPANT
    #[arg(long = "as", global = true, value_name = "ACTOR")]
    actor: Option<String>,
    /// Print one JSON document, or one object a line
    #[arg(long, global = true)]
    json: bool,
    /// Print nothing but data
    #[arg(long, global = true)]
    quiet: bool,
}

impl Global {
    pub(crate) fn context(self) -> Context {
        let output = Output { json: self.json, quiet: self.quiet };
        Context { dir: self.dir, database: self.database, actor: self.actor, output }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// See it work: four beats, no server, in a directory of its own [default: ./lockstep-demo]
    Demo(crate::demo::DemoArgs),
    /// Make a network of one node in a new directory
    Init(verbs::init::InitArgs),
    /// Make and list keys
    #[command(subcommand)]
    Key(verbs::key::KeyVerb),
    /// Add, list, rotate and revoke actors
    #[command(subcommand)]
    Actor(verbs::actor::ActorVerb),
    /// Sign an intent and submit it
    Submit(verbs::submit::SubmitArgs),
    /// Sign, show, list and replay intents
    #[command(subcommand)]
    Intent(verbs::intent::IntentVerb),
    /// Make, build, test and deploy contracts
    #[command(subcommand)]
    Contract(verbs::contract::ContractVerb),
    /// Show records, now and at any earlier moment
    #[command(subcommand)]
    Record(verbs::record::RecordVerb),
    /// What this node and others object to in the logs of sequencers
    #[command(subcommand)]
    Objection(verbs::objection::ObjectionVerb),
    /// Query the database, read-only
    Sql(verbs::sql::SqlArgs),
    /// What happened to the records, in order
    Events(verbs::feed::EventsArgs),
    /// The business events that contracts emitted, as CloudEvents
    Notifications(verbs::feed::NotificationsArgs),
    /// Check every managed cell against the evidence
    Verify(verbs::verify::VerifyArgs),
    /// Look for what should be mended before it breaks something
    Doctor(verbs::doctor::DoctorArgs),
    /// Copy the database while it is written to, put a copy back, see what tables take
    #[command(subcommand)]
    Database(verbs::database::DatabaseVerb),
    /// What a code means and what to do
    Explain(verbs::explain::ExplainArgs),
    /// Run the node: answer HTTP and relay notifications until it is told to end
    Run(verbs::run::RunArgs),
    /// Let somebody read over HTTP what an actor may, for a short time
    Token(verbs::token::TokenArgs),
    /// Let a participant or an actor do something with a section of a record, from its next seq on
    #[command(after_help = "Example:\n  lockstep grant task/acme:task-1 notes partner read")]
    Grant(verbs::grant::GrantArgs),
    /// Take it back, from the record's next seq on; what was seen stays seen
    #[command(after_help = "Example:\n  lockstep ungrant task/acme:task-1 notes partner read")]
    Ungrant(verbs::grant::GrantArgs),
    /// Create a network, invite, join, see the others
    #[command(subcommand)]
    Network(verbs::network::NetworkVerb),
    /// What a node does in a second here, beside a bare writer of the same rows; needs no directory
    Bench(crate::bench::BenchArgs),
    /// Hold a database to the promise that a node relies on; needs no directory
    #[command(subcommand)]
    Conformance(verbs::conformance::ConformanceVerb),
    /// Completions for a shell
    Completions(verbs::completions::CompletionsArgs),
}
