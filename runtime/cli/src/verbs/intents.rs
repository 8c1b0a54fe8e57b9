//! `lockstep intent list`: how the latest intents ended.

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::names::RecordId;
use lockstep_core::tables::{Cell, Row, name};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::stored::{Stored, usage};
use crate::verbs::called::{called, hidden_calls};

/// The ways in which an intent ends.
const STATUSES: [&str; 3] = ["applied", "rejected", "expired"];

/// The columns that are listed, all of them text but the position.
const COLUMNS: [&str; 13] = [
    "intent_id",
    "status",
    "code",
    "reason",
    "message",
    "actor",
    "contract",
    "contract_version",
    "method",
    "record_id",
    "records",
    "submitted_at",
    "decided_at",
];

/// Arguments of `intent list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep intent list
  lockstep intent list --status rejected --code entitlement
  lockstep intent list --record acme:sale-1 --limit 5 --json")]
pub(crate) struct ListArgs {
    /// Only those that ended so
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// Only those with this code
    #[arg(long)]
    code: Option<String>,
    /// Only those about this record
    #[arg(long, value_name = "RECORD_ID")]
    record: Option<String>,
    /// Most intents to list, the latest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(crate) async fn run(context: &Context, args: &ListArgs) -> Result<Exit, CliError> {
    let record = args.record.as_deref().map(RecordId::parse).transpose().map_err(usage)?;
    let code = args.code.as_deref().map(known_code).transpose()?;
    let stored = Stored::open(&context.home()?).await?;
    let sql = query(args.status.as_deref(), code, record.as_ref(), args.limit);
    let answer = stored.database().query(&sql, args.limit).await?;
    let listed: Vec<Json> = answer.rows.iter().map(describe).collect();
    let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let hidden = hidden_calls(stored.database(), &listed).await?;
    let row = |one: &Json| {
        let called = called(one, &hidden);
        let why = match text(one, "reason") {
            reason if reason.is_empty() => text(one, "code"),
            reason => format!("{}: {reason}", text(one, "code")),
        };
        let [time, status, actor, record, id] =
            ["decided_at", "status", "actor", "record_id", "intent_id"].map(|name| text(one, name));
        // The ids are long; what is shown is enough for `intent show` and `intent replay`.
        let (time, id) = (time.chars().take(19).collect(), id.chars().take(12).collect());
        vec![time, status, why, actor, called, record, id]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    context.output.table(&["decided", "status", "code", "actor", "method", "record", "intent"], &rows);
    context.output.document(&Json::from(listed));
    Ok(Exit::Done)
}

fn known_code(text: &str) -> Result<Code, CliError> {
    Code::parse(text).ok_or_else(|| usage(format!("{text} is no code")).hint("lockstep explain --list"))
}

/// The query; all that it takes from the command line was parsed into names without quotes.
fn query(status: Option<&str>, code: Option<Code>, record: Option<&RecordId>, limit: usize) -> String {
    let mut conditions = Vec::new();
    conditions.extend(status.map(|status| format!("status = '{status}'")));
    conditions.extend(code.map(|code| format!("code = '{code}'")));
    if let Some(record) = record {
        // Intents about several records name the others in `records` only, a JSON array of texts. A text in quotes is
        // found by taking it out: LIKE would take `_` for any character and, here and there, A for a.
        conditions.push(format!("replace(records, '\"{record}\"', '') <> records"));
    }
    let filter = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!(
        "SELECT {}, log_position FROM {}{filter} ORDER BY log_position DESC LIMIT {limit}",
        COLUMNS.join(", "),
        name::INTENT
    )
}

fn describe(row: &Row) -> Json {
    let mut described = json!({"log_position": row.last().and_then(Cell::as_count)});
    if let Json::Object(object) = &mut described {
        for (column, cell) in COLUMNS.iter().zip(row) {
            let shown = match (*column, cell) {
                ("records", Cell::Text(text)) => Json::parse(text.as_bytes(), &Limits::default()).unwrap_or_default(),
                (_, cell) => Json::from(cell.show()),
            };
            object.insert(*column, shown);
        }
    }
    described
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_narrows_the_query() {
        let record = RecordId::parse("acme:sale-1").ok();
        let sql = query(Some("rejected"), Some(Code::Entitlement), record.as_ref(), 5);
        assert!(
            sql.contains("WHERE status = 'rejected' AND code = 'entitlement' AND replace(records, '\"acme:sale-1\"'")
        );
        assert!(sql.ends_with("ORDER BY log_position DESC LIMIT 5"));
        assert!(!query(None, None, None, 5).contains("WHERE"));
    }
}
