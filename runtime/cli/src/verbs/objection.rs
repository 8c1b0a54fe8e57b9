//! `lockstep objection`: what this node and others object to in the logs of sequencers.

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::sync::SignedObjection;
use lockstep_core::tables::{Cell, Row, Table, name};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::Output;
use crate::stored::{Stored, bytes, damaged, text, usage, value};

/// Verbs of `objection`.
#[derive(Debug, Subcommand)]
pub(crate) enum ObjectionVerb {
    /// List what stands against a sequencer, and what was withdrawn
    #[command(after_help = "Examples:
  lockstep objection list
  lockstep objection list --json")]
    List,
    /// Show an objection: the signed statement, and what it rests on
    #[command(after_help = "Examples:
  lockstep objection show 4131dbc6485e
  lockstep objection show 4131dbc6485e --json > objection.json")]
    Show {
        /// The objection's id, or as much of it as is unique
        id: String,
    },
}

pub(crate) async fn run(context: &Context, verb: ObjectionVerb) -> Result<Exit, CliError> {
    let stored = Stored::open(&context.home()?).await?;
    match verb {
        ObjectionVerb::List => list(context, &stored).await,
        ObjectionVerb::Show { id } => show(context, &stored, &id).await,
    }
}

async fn list(context: &Context, stored: &Stored) -> Result<Exit, CliError> {
    let all = lockstep_node::objections(stored.database()).await?;
    let part = |one: &Json, name: &str| match one.get(name) {
        None | Some(Json::Null) => String::new(),
        Some(value) => value.as_str().map_or_else(|| value.canonical(), str::to_owned),
    };
    let row = |one: &Json| {
        let state = if part(one, "withdrawn_at").is_empty() { "open" } else { "withdrawn" };
        let [time, kind, node, log, position, record, id] =
            ["time", "kind", "node", "log", "position", "record_id", "id"].map(|name| part(one, name));
        // What is shown of the id is enough for `objection show`.
        let (time, id) = (time.chars().take(19).collect(), id.chars().take(12).collect());
        vec![time, state.to_owned(), kind, node, log, position, record, id]
    };
    let rows: Vec<Vec<String>> = all.as_array().unwrap_or_default().iter().map(row).collect();
    context.output.document(&all);
    context.output.table(&["time", "state", "kind", "by", "log", "position", "record", "objection"], &rows);
    Ok(Exit::Done)
}

async fn show(context: &Context, stored: &Stored, id: &str) -> Result<Exit, CliError> {
    let table = stored.own(name::OBJECTION)?;
    let row = find(stored, table, id).await?;
    let signed = SignedObjection::read(bytes(table, &row, "statement")?).map_err(damaged)?;
    let shown = describe(table, &row, &signed)?;
    context.output.document(&shown);
    print(context.output, &shown);
    Ok(Exit::Done)
}

/// The one row whose id begins so.
async fn find(stored: &Stored, table: &Table, id: &str) -> Result<Row, CliError> {
    let hex = id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !hex || !(8..=64).contains(&id.len()) {
        let what = format!("{id} is no objection's id; that is 64 hex digits, or the first 8 or more of them");
        return Err(usage(what));
    }
    let rows = stored.database().follow(table, "log_position", None, usize::MAX).await?;
    let mut found = rows.into_iter().filter(|row| text(table, row, "objection_id").starts_with(id));
    match (found.next(), found.next()) {
        (Some(row), None) => Ok(row),
        (None, _) => {
            Err(CliError::new(Code::NotFound, format!("no objection {id} is known here"))
                .hint("lockstep objection list"))
        }
        _ => {
            Err(CliError::new(Code::Ambiguous, format!("several objections begin with {id}")).hint("write more digits"))
        }
    }
}

fn describe(table: &Table, row: &Row, signed: &SignedObjection) -> Result<Json, CliError> {
    let statement = &signed.statement;
    let evidence = match table.position("evidence").and_then(|at| row.get(at)) {
        Some(Cell::Bytes(stored)) => document(stored)?,
        _ => Json::Null,
    };
    let holds = table.position("holds").and_then(|at| row.get(at)) == Some(&Cell::Boolean(true));
    Ok(json!({
        "id": signed.id.to_string(), "node": statement.node.as_str(), "kind": statement.complaint.as_str(),
        "log": statement.log.as_str(), "position": statement.position,
        "intent_id": statement.intent.map(|intent| intent.to_string()),
        "record_id": statement.record.as_ref().map(|record| record.as_str()),
        "epoch": statement.event.map(|(epoch, _, _)| epoch), "seq": statement.event.map(|(_, seq, _)| seq),
        "event_id": statement.event.map(|(_, _, event)| event.to_string()), "time": statement.time.to_string(),
        "withdraws": statement.withdraws.map(|ended| ended.to_string()), "holds": holds,
        "message": value(table, row, "message"), "withdrawn_at": value(table, row, "withdrawn_at"),
        "statement": document(&signed.stored())?, "evidence": evidence
    }))
}

/// Stored evidence as the JSON that it is.
fn document(stored: &[u8]) -> Result<Json, CliError> {
    let limits = Limits { bytes: stored.len().max(1), depth: Limits::default().depth + 8 };
    Json::parse(stored, &limits).map_err(damaged)
}

fn print(output: Output, shown: &Json) {
    let part = |name: &str| match shown.get(name) {
        None | Some(Json::Null) => String::new(),
        Some(value) => value.as_str().map_or_else(|| value.canonical(), str::to_owned),
    };
    for name in [
        "id",
        "node",
        "kind",
        "log",
        "position",
        "intent_id",
        "record_id",
        "epoch",
        "seq",
        "event_id",
        "time",
        "withdraws",
        "withdrawn_at",
        "holds",
        "message",
    ] {
        if !part(name).is_empty() {
            output.line(format!("{name:13} {}", part(name)));
        }
    }
    let evidence = match shown.get("evidence") {
        Some(Json::Null) | None => "with the node that objects",
        Some(evidence) if evidence.get("fork").is_some() => "two pieces of one signed log: a proof for everybody",
        Some(_) => "the share as it was received",
    };
    output.line(format!("{:13} {evidence}", "evidence"));
    output.note("the signed statement and the evidence: the same with --json");
}
