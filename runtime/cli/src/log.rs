//! What a command, and above all a node that runs, says on standard error beside its data: a line for each thing, for
//! people or for programs.

use clap::ValueEnum;
use lockstep_core::clock::Clock;
use lockstep_core::json::json;
use lockstep_node::SystemClock;

use crate::error::CliError;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Time, level and text
    Human,
    /// A JSON object a line: time, level, node, message, and code where there is one
    Json,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// Where notices go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// None is a command that does one thing and ends: who typed it knows when.
    lines: Option<(LogFormat, String)>,
    quiet: bool,
}

impl Log {
    /// The log of a node that runs.
    pub(crate) fn of_node(format: LogFormat, node: &str, quiet: bool) -> Self {
        Log { lines: Some((format, node.to_owned())), quiet }
    }

    /// Something that happens in a node's life.
    pub(crate) fn info(&self, text: &str) {
        if !self.quiet {
            self.say(Level::Info, text, None);
        }
    }

    /// Something that somebody should look at; the node goes on.
    pub(crate) fn warning(&self, text: &str) {
        self.say(Level::Warning, text, None);
    }

    /// Why a node ends. For people the command's own end says it.
    pub(crate) fn error(&self, mut error: CliError) -> CliError {
        if matches!(self.lines, Some((LogFormat::Json, _))) {
            self.say(Level::Error, &error.message, Some(error.code.as_str()));
            error.logged = true;
        }
        error
    }

    fn say(&self, level: Level, text: &str, code: Option<&str>) {
        let line = match &self.lines {
            None => format!("lockstep: {text}"),
            Some((LogFormat::Human, _)) => format!("{}  {:7}  {text}", SystemClock.now(), level.as_str()),
            Some((LogFormat::Json, node)) => json!({
                "time": SystemClock.now().to_string(), "level": level.as_str(), "node": node.as_str(),
                "message": text, "code": code
            })
            .canonical(),
        };
        // A node goes on where nobody listens to what it says.
        drop(std::io::Write::write_all(&mut std::io::stderr().lock(), format!("{line}\n").as_bytes()));
    }
}
