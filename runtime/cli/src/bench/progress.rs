//! How far a long run is, on stderr.

use std::io::{IsTerminal, Write};

use crate::output::Output;

/// A bar on a terminal, a line for each tenth elsewhere, nothing where it is not wanted.
pub(super) struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        Progress { shown: !output.quiet, terminal: std::io::stderr().is_terminal() }
    }

    /// Begins something that does not tell how far it is.
    pub(super) fn begin(&self, what: &str) {
        if self.shown {
            self.write(&format!("{what} …"));
        }
    }

    /// `done` of `total`.
    pub(super) fn step(&self, what: &str, done: usize, total: usize) {
        if self.shown {
            let filled = 20 * done.min(total) / total.max(1);
            self.write(&format!("{what} [{}{}] {done} of {total}", "=".repeat(filled), " ".repeat(20 - filled)));
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Whoever does not read stderr does not need it.
        drop(if self.terminal { write!(stderr, "\r\u{1b}[K{text}") } else { writeln!(stderr, "{text}") });
        drop(stderr.flush());
    }

    /// Clears the bar.
    pub(super) fn end(&self) {
        if self.shown && self.terminal {
            eprint!("\r\u{1b}[K");
        }
    }
}
