//! `lockstep explain`: what a code means and what to do about it.

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};

use crate::config::distance;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::output::{Output, Style};

/// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep explain stale_expect
  lockstep explain --list --json")]
pub(crate) struct ExplainArgs {
    /// The code, as an outcome, a finding or an error names it
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    code: Option<String>,
    /// List all codes
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(context: &Context, args: &ExplainArgs) -> Result<Exit, CliError> {
    match &args.code {
        Some(text) => explain(context.output, known(text)?),
        None => list(context.output),
    }
    Ok(Exit::Done)
}

fn known(text: &str) -> Result<Code, CliError> {
    Code::parse(text).ok_or_else(|| {
        let like = Code::ALL.iter().min_by_key(|code| {
            let begins = code.as_str().split('_').any(|word| word == text);
            (!begins, distance(code.as_str(), text))
        });
        let hint = like.map(|code| format!("did you mean {code}? `lockstep explain --list` shows all"));
        CliError { hint, ..CliError::new(Code::Usage, format!("{text} is no code of lockstep")) }
    })
}

fn explain(output: Output, code: Code) {
    output.document(&json!({
        "code": code.as_str(), "class": code.class().as_str(), "title": code.title(),
        "cause": code.cause(), "remedy": code.remedy()
    }));
    output.line(format!("{}  {}", output.styled(Style::Bold, code.as_str()), code.class().as_str()));
    output.line(format!("  {}", code.title()));
    output.line(format!("  why         {}", code.cause()));
    output.line(format!("  what to do  {}", code.remedy()));
}

fn list(output: Output) {
    let describe = |code: &Code| json!({"code": code.as_str(), "class": code.class().as_str(), "title": code.title()});
    output.document(&Code::ALL.iter().map(describe).collect::<Json>());
    let row = |code: &Code| vec![code.to_string(), code.class().as_str().to_owned(), code.title().to_owned()];
    output.table(&["code", "class", "meaning"], &Code::ALL.iter().map(row).collect::<Vec<_>>());
}
