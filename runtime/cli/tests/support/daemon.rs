//! A node that runs as a process of its own while a test lasts.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::Place;

/// Longer than anything here takes, and short of for ever.
const LONG: Duration = Duration::from_secs(60);

/// A running node; it is killed where the test ends before it.
pub(crate) struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// The first line that it printed.
    pub(crate) first: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Starts `lockstep run` on a free port and waits until it is ready.
    pub(crate) fn start(place: &Place, more: &[&str]) -> Daemon {
        Daemon::start_with(place, &[&["--listen", "127.0.0.1:0"], more].concat())
    }

    /// Starts it at an address of its own.
    pub(crate) fn start_at(place: &Place, address: &str) -> Daemon {
        Daemon::start_with(place, &["--listen", address])
    }

    fn start_with(place: &Place, arguments: &[&str]) -> Daemon {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.current_dir(&place.0).arg("run").args(arguments);
        command.env("LOCKSTEP_DIR", place.dir()).env_remove("LOCKSTEP_DATABASE");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        Daemon { child, stdout, first }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> String {
        self.first.trim().strip_prefix("ready http://").unwrap().to_owned()
    }

    /// Asks it to end, with a signal's name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end: its exit status, and what it printed after the first line.
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let until = Instant::now() + LONG;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None => assert!(Instant::now() < until, "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status, rest)
    }

    /// Asks it to end and waits until it has done so well.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.ended(), (Some(0), String::new()));
    }
}
