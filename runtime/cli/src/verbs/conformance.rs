//! `lockstep conformance`: the suites that hold an implementation to its promise, on what a URL names.

use std::sync::{Mutex, PoisonError};

use clap::{Args, Subcommand};
use lockstep_conformance::Report;
use lockstep_conformance::database::{Factory, run as run_suite};
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::database::{Database, Pending};
use lockstep_core::json::{Json, json};
use lockstep_node::random_bytes;

use crate::context::{Access, Context};
use crate::databases::{beside, open_boxed, remove, shown};
use crate::error::{CliError, Exit};
use crate::output::Style;

/// Verbs of `conformance`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConformanceVerb {
    /// Whether a database keeps the promise that a node relies on; in empty places of its own, removed afterwards
    #[command(
        after_help = "Examples:\n  lockstep conformance database --url sqlite:suite.db\n  lockstep conformance database --url postgres://me@localhost/test"
    )]
    Database(DatabaseArgs),
}

/// Arguments of `conformance database`.
#[derive(Args, Debug)]
pub(crate) struct DatabaseArgs {
    /// sqlite:FILE (files beside it are made) or postgres://… (schemas are made in it)
    #[arg(long, value_name = "URL")]
    url: String,
}

pub(crate) async fn run(context: &Context, verb: ConformanceVerb) -> Result<Exit, CliError> {
    let ConformanceVerb::Database(DatabaseArgs { url }) = verb;
    let random = random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
    let random = Digest::from_bytes(random).to_string();
    let prefix = format!("lockstep_suite_{}", random.get(..8).unwrap_or_default());
    let places = Places { url, prefix, made: Mutex::default() };
    // Whoever cannot be reached keeps no promise, and breaks none.
    drop(open_boxed(&places.next(), Access::Create).await?);
    context.output.note(format!("the suite runs on {}", shown(&places.url)));
    let report = run_suite(&places).await;
    places.remove().await?;
    show(context, &report);
    Ok(if report.failed().next().is_none() { Exit::Done } else { Exit::Found })
}

fn show(context: &Context, report: &Report) {
    let failed = report.failed().count();
    let case = |case: &lockstep_conformance::Case| json!({"name": case.name, "ok": case.failure.is_none(), "detail": Json::from(case.failure.clone())});
    let cases: Vec<Json> = report.cases.iter().map(case).collect();
    let passed = report.cases.len() - failed;
    context.output.document(&json!({"passed": passed as u64, "failed": failed as u64, "cases": cases}));
    for case in &report.cases {
        let (style, word) = if case.failure.is_none() { (Style::Good, "ok") } else { (Style::Bad, "FAILED") };
        context.output.line(format!("{} {}", context.output.styled(style, word), case.name));
        if let Some(failure) = &case.failure {
            context.output.line(format!("   {failure}"));
        }
    }
    context.output.line(format!("{passed} promises kept, {failed} broken"));
}

/// Where the suite's databases come from.
struct Places {
    url: String,
    prefix: String,
    made: Mutex<Vec<String>>,
}

impl Places {
    /// A place where nothing is yet.
    fn next(&self) -> String {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = beside(&self.url, &format!("{}_{}", self.prefix, made.len() + 1));
        made.push(place.clone());
        place
    }

    async fn boxed(&self, place: String) -> Result<Box<dyn Database>, String> {
        open_boxed(&place, Access::Create).await.map_err(|error| error.message)
    }

    async fn remove(&self) -> Result<(), CliError> {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for place in made {
            remove(&place).await?;
        }
        Ok(())
    }
}

impl Factory for Places {
    fn fresh(&self) -> Pending<'_, Result<Box<dyn Database>, String>> {
        Box::pin(self.boxed(self.next()))
    }

    fn again(&self) -> Pending<'_, Result<Option<Box<dyn Database>>, String>> {
        let last = self.made.lock().unwrap_or_else(PoisonError::into_inner).last().cloned().unwrap_or_default();
        Box::pin(async move { self.boxed(last).await.map(Some) })
    }
}
