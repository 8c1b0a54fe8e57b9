//! `lockstep events` and `lockstep notifications`: what happened, in order, and what happens next.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use lockstep_core::json::Json;
use lockstep_core::names::{RecordId, SpecName};
use lockstep_node::{Happening, events, events_of_record, notifications};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{Output, Style};
use crate::stored::usage;
use crate::verbs::called::{called, hidden_calls};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(200);

/// How many to read at once.
const PAGE: usize = 500;

/// Arguments of `events`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep events
  lockstep events --follow --json --after 12000000
  lockstep events --record acme:sale-1")]
pub(crate) struct EventsArgs {
    /// Go on for ever, printing what happens as it happens
    #[arg(long)]
    follow: bool,
    /// Only what comes after this position, as printed with the last event seen
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Only events of this record
    #[arg(long, value_name = "RECORD_ID")]
    record: Option<String>,
    /// Only events of records of this spec
    #[arg(long, value_name = "SPEC")]
    spec: Option<String>,
}

/// Arguments of `notifications`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep notifications
  lockstep notifications --type offer.made
  lockstep notifications --follow --after 12000000 | while read -r event; do echo \"$event\"; done")]
pub(crate) struct NotificationsArgs {
    /// Go on for ever, printing what happens as it happens
    #[arg(long)]
    follow: bool,
    /// Only what comes after this position: the extension `position` of the last one seen
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// Only this type, such as offer.made
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

pub(crate) async fn run_events(context: &Context, args: EventsArgs) -> Result<Exit, CliError> {
    let record = args.record.as_deref().map(RecordId::parse).transpose().map_err(usage)?;
    let spec = args.spec.as_deref().map(SpecName::parse).transpose().map_err(usage)?;
    let database = context.home()?.reader().await?;
    let mut after = args.after;
    loop {
        let found = match &record {
            Some(record) => events_of_record(database.as_ref(), record.as_str(), after).await?,
            None => events(database.as_ref(), after, PAGE).await?,
        };
        let ended = found.is_empty();
        let hidden = hidden_calls(database.as_ref(), found.iter().map(|happening| &happening.json)).await?;
        for Happening { position, json } in found {
            after = Some(position);
            let shown = spec.as_ref().is_none_or(|spec| text(&json, "spec") == spec.as_str());
            if shown {
                print_event(context.output, &json, &hidden);
            }
        }
        if ended && !args.follow {
            return Ok(Exit::Done);
        }
        pause(ended).await;
    }
}

pub(crate) async fn run_notifications(context: &Context, args: NotificationsArgs) -> Result<Exit, CliError> {
    let database = context.home()?.reader().await?;
    let mut after = args.after;
    loop {
        let found = notifications(database.as_ref(), after, PAGE).await?;
        let ended = found.is_empty();
        for Happening { position, json } in found {
            after = Some(position);
            if args.kind.as_deref().is_none_or(|kind| text(&json, "type") == kind) {
                // A CloudEvent is for programs, so it is JSON whoever asks.
                context.output.raw(&json.canonical());
            }
        }
        if ended && !args.follow {
            return Ok(Exit::Done);
        }
        pause(ended).await;
    }
}

async fn pause(ended: bool) {
    if ended {
        tokio::time::sleep(PAUSE).await;
    }
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn print_event(output: Output, event: &Json, hidden: &BTreeSet<String>) {
    output.document(event);
    let number = |name: &str| event.get(name).and_then(Json::as_u64).unwrap_or_default();
    let called = called(event, hidden);
    output.line(format!(
        "{}  {}  {}  seq {}  {called} by {}",
        output.styled(Style::Dim, &number("position").to_string()),
        text(event, "time"),
        output.styled(Style::Bold, &format!("{} {}", text(event, "spec"), text(event, "record_id"))),
        number("seq"),
        text(event, "actor")
    ));
}
