//! The four beats as people see them.

use std::path::Path;
use std::time::Duration;

use lockstep_core::audit::Report;
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};

use super::Copies;
use super::story::Story;
use crate::check::check;
use crate::context::{Context, Home};
use crate::error::CliError;
use crate::output::{Output, Style, cut};

/// The join that the second beat shows.
const QUERY: &str = "SELECT s.address, s.asking_price, s.status, c.client, c.commission_percent AS percent
  FROM house_sale s JOIN my_client c ON c.house = s.record_id ORDER BY s.address";

/// The edit that the third beat makes.
const EDIT: &str = "UPDATE house_sale SET negotiation = replace(negotiation, '345000.00', '335000.00') WHERE record_id = 'acme:sale-1'";

pub(super) fn title(output: Output, number: u8, text: &str) {
    output.line("");
    output.line(output.styled(Style::Bold, &format!("{number}. {text}")));
}

/// First beat: intents, applied and rejected.
pub(super) fn intents(output: Output, story: &Story) {
    title(output, 1, "Signed intents run a contract; what the rules say no to is recorded, too.");
    for told in &story.told {
        let (mark, why) = verdict(output, &told.outcome);
        let step = &told.step;
        let call = step.call.split('.').next_back().unwrap_or_default();
        let about =
            step.arguments.get("price").and_then(Json::as_str).map(|price| format!(" {price}")).unwrap_or_default();
        output.line(format!("  {mark} {:5} {:28} {}", step.who, format!("{call}{about}"), why));
    }
    let (quotes, took) = story.quotes;
    output.line(format!(
        "  {} dora and dan quote {quotes} monthly prices of five shares, each an intent, in {:.2} s",
        output.styled(Style::Good, "✓"),
        took.as_secs_f64()
    ));
}

pub(super) fn verdict(output: Output, outcome: &Json) -> (String, String) {
    let text = |name: &str| outcome.get(name).and_then(Json::as_str).unwrap_or_default();
    if text("status") == "applied" {
        let version = outcome.get("contract_version").and_then(Json::as_str).unwrap_or_default();
        let notified = outcome
            .get("notifications")
            .and_then(Json::as_array)
            .and_then(|list| list.first())
            .and_then(|one| one.get("type"))
            .and_then(Json::as_str);
        let said = notified.map(|kind| format!(", notified {kind}")).unwrap_or_default();
        return (output.styled(Style::Good, "✓"), format!("{} {version}{said}", text("contract")));
    }
    let code = outcome.get("reason").and_then(Json::as_str).unwrap_or_else(|| text("code"));
    (output.styled(Style::Bad, "✗"), cut(&format!("{code}: {}", text("message")), 110))
}

/// Second beat: plain SQL.
pub(super) async fn query(context: &Context, home: &Home) -> Result<Json, CliError> {
    let output = context.output;
    let database = home.reader().await?;
    let answer = database.query(QUERY, 100).await?;
    title(output, 2, "The result is rows in your own database: join them with your own tables.");
    output.line(format!("  sqlite> {QUERY};"));
    let rows: Vec<Vec<String>> =
        answer.rows.iter().map(|row| row.iter().map(|cell| cell.show().unwrap_or_default()).collect()).collect();
    let header: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
    output.table(&header, &rows);
    let rows: Json = rows
        .iter()
        .map(|row| {
            header
                .iter()
                .zip(row)
                .map(|(name, cell)| ((*name).to_owned(), Json::from(cell.as_str())))
                .collect::<lockstep_core::json::Object>()
        })
        .map(Json::from)
        .collect();
    Ok(json!({"sql": QUERY, "rows": rows}))
}

/// Third beat: somebody edits a row with a SQL client.
pub(super) async fn tamper(context: &Context, home: &Home, copies: &Copies) -> Result<Json, CliError> {
    let output = context.output;
    lockstep_sqlite::client::execute(&copies.tampered, &[EDIT]).await?;
    let report = verify(home, &format!("sqlite:{}", copies.tampered.display())).await?;
    let finding =
        report.findings.first().ok_or_else(|| CliError::new(Code::Internal, "the demo's own edit was not found"))?;
    title(output, 3, "An administrator edits a copy, as only an administrator can, and `verify` names the cell.");
    output.line(format!("  sqlite> {EDIT};"));
    output.line(format!("  {} {}", output.styled(Style::Bad, "✗"), finding.message));
    let described = finding.to_json();
    let part = |name: &str| described.get(name).cloned().unwrap_or_default();
    Ok(json!({"sql": EDIT, "table": part("table"), "column": part("column"), "key": part("key"), "finding": described}))
}

/// Audits a database with what the directory knows.
pub(super) async fn verify(home: &Home, database: &str) -> Result<Report, CliError> {
    check(home, database, None, false, &mut |_| {}).await
}

/// Fourth beat: how to go on.
pub(super) fn next(output: Output, dir: &Path, clean: bool, took: Duration) {
    title(output, 4, "Go on:");
    let program = std::env::args().next().unwrap_or_else(|| "lockstep".to_owned());
    let here = dir.display();
    output.line(format!("  {program} --dir {here} record history house_sale acme:sale-1"));
    output.line(format!(
        "  {program} --dir {here} submit house_sale.offer acme:sale-2 --as bob --args '{{\"price\":\"480000.00\"}}'"
    ));
    output.line(format!("  {program} --dir {here} verify --execute"));
    output.line("");
    let verdict = if clean {
        output.styled(Style::Good, "verify: clean")
    } else {
        output.styled(Style::Bad, "verify: NOT clean")
    };
    output.line(format!("{verdict}; all of this took {:.1} s and is in {here}", took.as_secs_f64()));
}
