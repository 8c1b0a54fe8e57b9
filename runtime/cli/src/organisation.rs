//! One organisation with a directory, a node's process, and the verbs that its people type: what `demo --network` and
//! `bench --replication` are made of.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, Limits};

use crate::error::{CliError, file_error};

/// An organisation with its node.
pub(crate) struct Organisation {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    running: Option<Child>,
}

impl Drop for Organisation {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Organisation {
    pub(crate) fn new(name: &'static str, parent: &Path) -> Self {
        Organisation { name, dir: parent.join(name), running: None }
    }

    /// What one of its people types, with `--json`.
    pub(crate) fn does(&self, arguments: &[&str]) -> Result<Json, CliError> {
        let program = program()?;
        let mut command = Command::new(&program);
        command.arg("--dir").arg(&self.dir).args(["--json", "--quiet"]).args(arguments).stderr(Stdio::null());
        let output = command.output().map_err(|error| file_error(&program, &error))?;
        let limits = Limits { bytes: 64 << 20, ..Limits::default() };
        let json = Json::parse(&output.stdout, &limits).unwrap_or_default();
        let error = json.get("error");
        let text = |name: &str| error.and_then(|error| error.get(name)).and_then(Json::as_str);
        match output.status.code() {
            Some(0 | 4 | 5) => Ok(json),
            _ => {
                let code = text("code").and_then(Code::parse).unwrap_or(Code::Internal);
                let said = text("message").unwrap_or("it ended without a word");
                Err(CliError::new(code, format!("{}: lockstep {}: {said}", self.name, arguments.join(" "))))
            }
        }
    }

    /// Starts its node; back when it answers.
    pub(crate) fn start(&mut self) -> Result<(), CliError> {
        let program = program()?;
        let mut command = Command::new(&program);
        command.arg("--dir").arg(&self.dir).args(["--quiet", "run", "--listen", "127.0.0.1:0"]);
        let log = self.dir.join("run.log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.map_err(|error| file_error(&log, &error))?);
        let mut child = command.spawn().map_err(|error| file_error(&program, &error))?;
        let mut first = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut first));
        self.running = Some(child);
        match read {
            Some(Ok(_)) if first.starts_with("ready ") => Ok(()),
            _ => {
                let message = format!("the node of {} does not start; {} says why", self.name, log.display());
                Err(CliError::new(Code::Internal, message))
            }
        }
    }

    /// The process of its node, while that runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// Kills its node, as a power cut would.
    pub(crate) fn cut(&mut self) {
        if let Some(mut child) = self.running.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Asks its node to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<(), CliError> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let asked = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
        if !matches!(asked, Some(Ok(()))) {
            drop(child.kill());
        }
        child.wait().map(drop).map_err(|error| CliError::new(Code::Io, error.to_string()))
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_address() -> Result<String, CliError> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.to_string()).map_err(|error| CliError::new(Code::Io, error.to_string()))
}

fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::new(Code::Io, error.to_string()))
}
