//! Starts processes: with what they print passed on and kept, with an end after a while where they may hang.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One process to run from the root of the sources.
#[derive(Debug)]
pub(crate) struct Shell(Command);

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// Its exit code; -1 for a signal.
    pub(crate) code: i32,
    /// What it printed on standard output.
    pub(crate) stdout: String,
}

/// Variables that every process from now on sees.
static FOR_ALL: Mutex<Vec<(&'static str, OsString)>> = Mutex::new(Vec::new());

/// Sets a variable for every process from now on; our own environment stays as it is.
pub(crate) fn set_for_all(name: &'static str, value: impl Into<OsString>) {
    FOR_ALL.lock().unwrap_or_else(PoisonError::into_inner).push((name, value.into()));
}

/// A program by name or path.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Shell {
    let mut command = Command::new(program);
    command.current_dir(crate::tree::root()).stdin(Stdio::null());
    command.envs(FOR_ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    Shell(command)
}

/// The cargo that started us.
pub(crate) fn cargo(arguments: &[&str]) -> Shell {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let locked = if in_ci() && takes_locked(arguments) { Some("--locked") } else { None };
    let (verb, rest) = arguments.split_at(arguments.len().min(1));
    command(cargo).args(verb).args(locked).args(rest)
}

/// Where nobody is watching, the lock file must be right already; `fmt` knows no lock file.
fn takes_locked(arguments: &[&str]) -> bool {
    arguments.first().is_some_and(|verb| ["build", "check", "clippy", "doc", "run", "test", "tree"].contains(verb))
}

/// This program with the proofs in it; compiled with optimisation, for they take their time.
#[cfg_attr(feature = "prove", allow(dead_code, reason = "with the proofs in it, it need not start itself"))]
pub(crate) fn proofs(arguments: &[String]) -> Shell {
    cargo(&["run", "--quiet", "--release", "--package", "xtask", "--features", "prove", "--", "prove"]).args(arguments)
}

/// Whether this is a run that nobody watches: nothing may be missing then.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Processor time of all processes that we have started and that have ended, theirs included; Linux tells.
pub(crate) fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in parentheses, which may hold anything: fields 3 and on; 16 and 17 are the children's.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}

impl Shell {
    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.0.args(arguments);
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it somewhere else.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    fn words(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        let short = |word: &OsStr| {
            let word = word.to_string_lossy().into_owned();
            Path::new(&word)
                .file_name()
                .filter(|_| word.starts_with('/'))
                .map_or(word.clone(), |name| name.to_string_lossy().into_owned())
        };
        words.map(short).collect::<Vec<_>>().join(" ")
    }

    /// Runs it, its output on the terminal as it comes; the output, too.
    pub(crate) fn run(mut self) -> Result<Ended, String> {
        println!("$ {}", self.words());
        let mut child = self.0.stdout(Stdio::piped()).spawn().map_err(|error| format!("{}: {error}", self.words()))?;
        let mut stdout = String::new();
        let mut terminal = std::io::stdout();
        for line in child.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
            let line = line.map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&line);
            writeln!(terminal, "{line}").map_err(|error| error.to_string())?;
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        Ok(Ended { code: status.code().unwrap_or(-1), stdout })
    }

    /// As [`Shell::run`], but anything else than exit code 0 is an error.
    pub(crate) fn must(self) -> Result<String, String> {
        let words = self.words();
        let ended = self.run()?;
        if ended.code == 0 { Ok(ended.stdout) } else { Err(format!("exit {} of `{words}`", ended.code)) }
    }

    /// Runs it with our own output; the exit code.
    #[cfg_attr(feature = "prove", allow(dead_code, reason = "with the proofs in it, it need not start itself"))]
    pub(crate) fn stdout_to_terminal(mut self) -> Result<i32, String> {
        let status = self.0.status().map_err(|error| format!("{}: {error}", self.words()))?;
        Ok(status.code().unwrap_or(-1))
    }

    /// Runs it silently; what it printed, or nothing where it fails.
    pub(crate) fn quietly(mut self) -> Option<String> {
        let output = self.0.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs it with its output on the terminal, for at most `limit`; whether it succeeded.
    pub(crate) fn within(mut self, limit: Duration) -> bool {
        println!("$ {}", self.words());
        let Ok(mut child) = self.0.spawn() else { return false };
        let until = Instant::now() + limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                _ => {
                    // What runs as somebody else cannot be ended, and is not waited for either.
                    if child.kill().is_ok() {
                        drop(child.wait());
                    }
                    return false;
                }
            }
        }
    }
}
