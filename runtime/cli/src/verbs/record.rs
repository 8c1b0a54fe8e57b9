//! `lockstep record`: what a record holds, now and at any earlier moment, and how it came to that.

use std::collections::BTreeSet;

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::directory::Directory;
use lockstep_core::event::Header;
use lockstep_core::json::{Json, Object, Operation, json};
use lockstep_core::names::RecordId;
use lockstep_core::seal::SealedEvent;
use lockstep_core::sync::{Reader, Rights, Seen};
use lockstep_core::tables::{Row, Table, name};
use lockstep_node::{LookError, Looking, Moment};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{Output, Style};
use crate::stored::{Stored, reader, record_table, replayed, text, usage, value};
use crate::verbs::called::{called, hidden_calls};
use crate::verbs::records;

/// Characters of JSON that are shown on one line.
const ONE_LINE: usize = 90;

/// Verbs of `record`.
#[derive(Debug, Subcommand)]
pub(crate) enum RecordVerb {
    /// Show a record; with --as only the sections that this actor may read
    #[command(after_help = "Examples:
  lockstep record show house_sale acme:sale-1
  lockstep record show house_sale acme:sale-1 --at 2
  lockstep record show house_sale acme:sale-1 --at 2026-11-21T10:12:00Z --as ivy@inspector --json")]
    Show {
        /// The record's spec, which is also its table's name
        spec: String,
        /// The record: NODE:NAME
        id: String,
        /// As it was after this seq, or at this time (RFC 3339)
        #[arg(long, value_name = "SEQ|TIME")]
        at: Option<String>,
    },
    /// Show how a record came to what it is: every event with its changes
    #[command(after_help = "Examples:
  lockstep record history house_sale acme:sale-1
  lockstep record history house_sale acme:sale-1 --json --as bob")]
    History {
        /// The record's spec
        spec: String,
        /// The record: NODE:NAME
        id: String,
    },
    /// List the records of a spec, with their projected columns
    #[command(after_help = "Examples:
  lockstep record list house_sale
  lockstep record list house_sale --limit 20 --json")]
    List {
        /// The records' spec
        spec: String,
        /// Most records to list [default: all]
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
}

pub(crate) async fn run(context: &Context, verb: RecordVerb) -> Result<Exit, CliError> {
    let stored = Stored::open(&context.home()?).await?;
    let directory = stored.directory().await?;
    let reader = reader(context, &directory)?;
    let (output, reader) = (context.output, reader.as_ref());
    match verb {
        RecordVerb::Show { spec, id, at } => {
            let table = record_table(&directory, &spec)?;
            let record = RecordId::parse(&id).map_err(usage)?;
            let shown = show(&stored, &directory, &table, &record, at.as_deref(), reader).await?;
            output.document(&shown);
            print_record(output, &shown);
        }
        RecordVerb::History { spec, id } => {
            let table = record_table(&directory, &spec)?;
            let record = RecordId::parse(&id).map_err(usage)?;
            let history = history(&stored, &directory, &table, &record, reader).await?;
            let hidden = hidden_calls(stored.database(), &history).await?;
            history.iter().for_each(|event| print_event(output, event, &hidden));
            output.document(&Json::from(history));
        }
        RecordVerb::List { spec, limit } => {
            let table = record_table(&directory, &spec)?;
            records::list(output, &stored, &directory, &table, limit.unwrap_or(usize::MAX), reader).await?;
        }
    }
    Ok(Exit::Done)
}

fn not_found(table: &Table, record: &RecordId) -> CliError {
    CliError::new(Code::NotFound, format!("there is no record {record} in {}", table.name))
        .hint(format!("lockstep record list {}", table.name))
}

async fn show(
    stored: &Stored,
    directory: &Directory,
    table: &Table,
    record: &RecordId,
    at: Option<&str>,
    reader: Option<&Reader>,
) -> Result<Json, CliError> {
    let parse = |text| {
        Moment::parse(text)
            .ok_or_else(|| usage(format!("{text} is neither a seq nor a time such as 2026-11-21T10:12:00Z")))
    };
    let moment = at.map(parse).transpose()?;
    let looking = Looking { database: stored.database(), directory, reader };
    looking.record(table, record, moment).await.map_err(|error| match error {
        LookError::NotFound(message) => {
            CliError::new(Code::NotFound, message).hint(format!("lockstep record list {}", table.name))
        }
        LookError::Database(error) => error.into(),
    })
}

/// The record's events, replayed; all of them belong to this spec.
async fn steps(
    stored: &Stored,
    directory: &Directory,
    table: &Table,
    record: &RecordId,
    wanted: impl Fn(&Header) -> bool,
) -> Result<Vec<(Row, SealedEvent)>, CliError> {
    let events = stored.events(record).await?;
    let own = stored.own(name::EVENT)?;
    if !events.iter().any(|event| text(own, &event.row, "spec") == table.name) {
        return Err(not_found(table, record));
    }
    replayed(events, directory, wanted)
}

fn print_record(output: Output, shown: &Json) {
    let part = |name: &str| shown.get(name).and_then(Json::as_str).unwrap_or_default();
    let seq = shown.get("seq").and_then(Json::as_u64).unwrap_or_default();
    output.line(format!(
        "{}  seq {seq}  {}@{}  {}",
        output.styled(Style::Bold, &format!("{} {}", part("spec"), part("record_id"))),
        part("contract"),
        part("contract_version"),
        part("updated_at")
    ));
    output.line(format!("  head {}", part("head")));
    for (section, content) in shown.get("sections").and_then(Json::as_object).into_iter().flat_map(Object::iter) {
        let version = shown.get("versions").and_then(|versions| versions.get(section)).and_then(Json::as_u64);
        output.line(format!(
            "{}  {}",
            output.styled(Style::Bold, section),
            output.styled(Style::Dim, &format!("last written at seq {}", version.unwrap_or_default()))
        ));
        let hidden = shown.get("hidden").and_then(Json::as_array).unwrap_or_default();
        if hidden.contains(&Json::from(section)) {
            output.line("  hidden from this node");
        } else {
            output.line(indented(content, 1));
        }
    }
}

/// JSON over several lines, for people: short values stay on one.
fn indented(json: &Json, level: usize) -> String {
    let margin = "  ".repeat(level);
    let nested = |value: &Json| match value {
        Json::String(text) => format!(" {text}"),
        value if value.canonical_len() <= ONE_LINE => format!(" {value}"),
        value => format!("\n{}", indented(value, level + 1)),
    };
    let lines: Vec<String> = match json {
        Json::Object(members) => {
            members.iter().map(|(key, value)| format!("{margin}{key}:{}", nested(value))).collect()
        }
        Json::Array(items) => items.iter().map(|item| format!("{margin}-{}", nested(item))).collect(),
        other => vec![format!("{margin}{other}")],
    };
    lines.join("\n")
}

async fn history(
    stored: &Stored,
    directory: &Directory,
    table: &Table,
    record: &RecordId,
    reader: Option<&Reader>,
) -> Result<Vec<Json>, CliError> {
    let own = stored.own(name::EVENT)?;
    let steps = steps(stored, directory, table, record, |_| true).await?;
    let event = |(row, step): &(Row, SealedEvent)| {
        let header = &step.header;
        let parties = step.after.parties();
        let seen = Seen { spec: &step.entry.spec, parties: &parties };
        let visible = |section: &str| reader.is_none_or(|reader| reader.reads(seen, section, header.seq));
        let sections = step.openings.sections.iter().filter(|(section, _)| visible(section));
        let changes: Vec<Json> = sections
            .flat_map(|(section, body)| body.changes.iter().map(move |operation| change(section, operation)))
            .collect();
        json!({
            "seq": header.seq, "event_id": step.id.to_string(), "intent_id": header.intent.to_string(),
            "actor": value(own, row, "actor"), "contract": value(own, row, "contract"),
            "contract_version": value(own, row, "contract_version"), "method": value(own, row, "method"),
            "time": header.time.to_string(), "changes": changes
        })
    };
    Ok(steps.iter().map(event).collect())
}

/// A change as people and programs see it.
pub(crate) fn change(section: &str, operation: &Operation) -> Json {
    json!({
        "section": section, "op": operation.name(), "path": operation.path().to_string(),
        "from": operation.from().map(ToString::to_string), "value": operation.value().cloned().unwrap_or_default()
    })
}

fn print_event(output: Output, event: &Json, hidden: &BTreeSet<String>) {
    let part = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let seq = event.get("seq").and_then(Json::as_u64).unwrap_or_default();
    let called = called(event, hidden);
    output.line(format!(
        "{}  {}  {called} by {}",
        output.styled(Style::Bold, &format!("seq {seq}")),
        part(event, "time"),
        part(event, "actor")
    ));
    for change in event.get("changes").and_then(Json::as_array).unwrap_or_default() {
        print_change(output, change);
    }
}

/// A change in a line.
pub(crate) fn print_change(output: Output, change: &Json) {
    let part = |name: &str| change.get(name).and_then(Json::as_str).unwrap_or_default();
    let from = match part("from") {
        "" => String::new(),
        from => format!(" from {from}"),
    };
    let brought = match (part("op"), change.get("value")) {
        ("add" | "replace" | "test", Some(value)) => format!(" {value}"),
        _ => String::new(),
    };
    output.line(crate::output::cut(
        &format!("  {:7} {}{}{from}{brought}", part("op"), part("section"), part("path")),
        160,
    ));
}
