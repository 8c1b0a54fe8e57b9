//! `lockstep verify`: whether every managed cell still says what was signed.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use lockstep_core::audit::{Finding, Progress, Report};
use lockstep_core::codes::Code;
use lockstep_core::names::{RecordId, SpecName};
use lockstep_core::package::FORMAT;
use lockstep_core::tables::{Cell, name};

use crate::check::check;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{Output, Style, cut};
use crate::stored::usage;

/// How often the progress line changes.
const REFRESH: Duration = Duration::from_millis(100);

/// Characters of a value that are shown to people.
const SHOWN: usize = 200;

/// Arguments of `verify`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep verify                                        all of it; exit status 5 when something is found
  lockstep verify --record house_sale/acme:sale-1        findings about one record only
  lockstep verify --execute                              has the contracts judge every intent again, too
  lockstep verify --database sqlite:copy.db --json       a copy, against this directory's key and checkpoint")]
pub(crate) struct VerifyArgs {
    /// Only findings about this record
    #[arg(long, value_name = "SPEC/ID")]
    record: Option<String>,
    /// Execute every intent again and compare
    #[arg(long)]
    execute: bool,
}

pub(crate) async fn run(context: &Context, args: VerifyArgs) -> Result<Exit, CliError> {
    let record = args.record.as_deref().map(spec_and_id).transpose()?;
    let record = record.as_ref().map(|(spec, id)| (spec.as_str(), id.as_str()));
    let home = context.home()?;
    let started = Instant::now();
    let mut bar = Bar::new(context.output);
    let checked = check(&home, &home.database, record, args.execute, &mut |progress| bar.show(&progress)).await;
    bar.clear();
    let report = match checked {
        Ok(report) => report,
        Err(CliError { code: Code::NewerFormat, format, message, .. }) => newer_format(format, message),
        Err(error) => return Err(error),
    };
    let seconds = started.elapsed().as_secs_f64();
    context.output.document(&report.to_json(seconds));
    print_report(context.output, &report, args.record.as_deref(), seconds);
    Ok(if report.is_clean() { Exit::Done } else { Exit::Found })
}

fn spec_and_id(text: &str) -> Result<(SpecName, RecordId), CliError> {
    let (spec, id) = text.split_once('/').ok_or_else(|| usage(format!("{text} is not SPEC/ID")))?;
    Ok((SpecName::parse(spec).map_err(usage)?, RecordId::parse(id).map_err(usage)?))
}

/// A database that this version cannot judge is nothing that it may call clean.
fn newer_format(format: Option<String>, message: String) -> Report {
    let finding = Finding {
        code: Code::NewerFormat,
        table: name::META.to_owned(),
        key: vec![("key".to_owned(), Cell::Text("format".to_owned()))],
        column: Some("value".to_owned()),
        record_id: None,
        seq: None,
        expected: Some(FORMAT.to_string()),
        found: format,
        message,
    };
    Report { findings: vec![finding], ..Report::default() }
}

fn print_report(output: Output, report: &Report, record: Option<&str>, seconds: f64) {
    if report.is_clean() {
        let rows: u64 = report.counts.values().sum();
        let said = record.map_or_else(
            || "every managed cell is what the evidence says".to_owned(),
            |record| format!("nothing was found about {record}"),
        );
        output.line(format!("{}: {said}", output.styled(Style::Good, "clean")));
        let executed = match report.executed {
            0 => String::new(),
            number => format!(", {number} intents executed again"),
        };
        output.line(format!(
            "  {rows} rows in {} tables, {} events of records{executed}, {seconds:.2} s",
            report.counts.len(),
            report.events
        ));
        output.line(format!("  network {}", report.network_id.map(|network| network.to_string()).unwrap_or_default()));
        output.line(format!(
            "  log {} has {} leaves, root {}",
            report.log.as_deref().unwrap_or_default(),
            report.log_size,
            report.root.map(|root| root.to_string()).unwrap_or_default()
        ));
        return;
    }
    report.findings.iter().for_each(|finding| print_finding(output, finding));
    let number = report.findings.len();
    output.line(format!("{number} finding{} in {seconds:.2} s", if number == 1 { "" } else { "s" }));
    output.note("next: lockstep explain CODE says what each means and what to do");
}

/// One finding: where, what it should be, what it is, and what is known about it.
pub(crate) fn print_finding(output: Output, finding: &Finding) {
    let key: Vec<String> = finding
        .key
        .iter()
        .map(|(column, cell)| format!("{column}={}", cell.show().unwrap_or_else(|| "NULL".to_owned())))
        .collect();
    let column = finding.column.as_deref().map(|column| format!(" column {column}")).unwrap_or_default();
    output.line(format!(
        "{}  {}[{}]{column}",
        output.styled(Style::Bad, finding.code.as_str()),
        finding.table,
        key.join(", ")
    ));
    if finding.column.is_some() {
        let shown = |value: &Option<String>| cut(value.as_deref().unwrap_or("NULL"), SHOWN);
        output.line(format!("  expected  {}", shown(&finding.expected)));
        output.line(format!("  found     {}", shown(&finding.found)));
    }
    // What was expected and found is said already; the rest of the message is who vouches for it.
    let message = match finding.message.split_once("; the true value") {
        Some((_, rest)) if finding.column.is_some() => format!("the true value{rest}"),
        _ if finding.code == Code::CellDiffers => return,
        _ => finding.message.clone(),
    };
    output.line(format!("  {message}"));
}

/// A line on a terminal that says how far the audit is.
struct Bar {
    visible: bool,
    shown: Option<Instant>,
}

impl Bar {
    fn new(output: Output) -> Self {
        Bar { visible: std::io::stderr().is_terminal() && !output.quiet && !output.json, shown: None }
    }

    fn show(&mut self, progress: &Progress) {
        if !self.visible || self.shown.is_some_and(|last| last.elapsed() < REFRESH) {
            return;
        }
        self.shown = Some(Instant::now());
        let text = match progress {
            Progress::Read { table, rows } => format!("reading {table}: {rows} rows"),
            Progress::Checked { leaves, of } => {
                let tenths = usize::try_from(leaves.saturating_mul(20) / (*of).max(1)).unwrap_or_default().min(20);
                format!("checking [{}{}] {leaves} of {of} leaves", "#".repeat(tenths), " ".repeat(20 - tenths))
            }
        };
        eprint!("\r\u{1b}[K{}", cut(&text, 78));
        std::io::stderr().flush().ok();
    }

    fn clear(&self) {
        if self.shown.is_some() {
            eprint!("\r\u{1b}[K");
        }
    }
}
