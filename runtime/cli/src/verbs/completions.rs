//! `lockstep completions`: what a shell needs to complete this command line.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;
use lockstep_core::json::json;

use crate::args::Cli;
use crate::context::Context;
use crate::error::Exit;

/// The shells that there are completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Known {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

/// Arguments of `completions`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep completions bash > /etc/bash_completion.d/lockstep
  lockstep completions zsh > ~/.zfunc/_lockstep
  lockstep completions fish > ~/.config/fish/completions/lockstep.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Known,
}

pub(crate) fn run(context: &Context, args: &CompletionsArgs) -> Exit {
    let (shell, name) = match args.shell {
        Known::Bash => (Shell::Bash, "bash"),
        Known::Zsh => (Shell::Zsh, "zsh"),
        Known::Fish => (Shell::Fish, "fish"),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lockstep", &mut script);
    let script = String::from_utf8_lossy(&script);
    context.output.document(&json!({"shell": name, "script": script.as_ref()}));
    context.output.line(script.trim_end());
    Exit::Done
}
