//! The `lockstep` binary: the only place where adapters, configuration and arguments meet.
//!
//! Data goes to stdout, everything else to stderr; with `--json` stdout is exactly one JSON document, or one object
//! a line for streams. Every failure has a code and a hint, and the exit statuses of the manual.

mod args;
mod bench;
mod check;
mod client;
mod config;
mod context;
mod databases;
mod demo;
mod error;
mod keys;
mod log;
mod organisation;
mod output;
mod relaying;
mod running;
mod scenarios;
mod stored;
mod verbs;
mod way;

use std::process::ExitCode;

use clap::Parser;
use lockstep_core::codes::Code;

use crate::error::CliError;
use crate::output::{Output, Style};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // `--json` counts even where the rest was not understood.
    let json = std::env::args().any(|arg| arg == "--json");
    let output = Output { json, quiet: false };
    let parsed = match args::Cli::try_parse() {
        Ok(parsed) => parsed,
        Err(error) if !error.use_stderr() => {
            output.raw(error.to_string().trim_end());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            return fail(
                output,
                &CliError::new(Code::Usage, error.to_string().trim_end().trim_start_matches("error: ")),
            );
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(output, &CliError::new(Code::Io, error.to_string())),
    };
    match runtime.block_on(verbs::run(parsed)) {
        Ok(exit) => ExitCode::from(exit.status()),
        Err(error) => fail(output, &error),
    }
}

fn fail(output: Output, error: &CliError) -> ExitCode {
    if output.json {
        output.raw(&error.to_json().canonical());
    } else if !error.logged {
        eprintln!("{} {}", output.styled(Style::Bad, &format!("error[{}]:", error.code)), error.message);
        eprintln!("  {}", error.hint_text());
    }
    ExitCode::from(error.status())
}
