//! What a proof leaves behind: one line `{commit, date, machine, seed, scale, totals, failures}`.

use std::io::Write;
use std::path::Path;

use lockstep_core::clock::Clock;
use lockstep_core::json::{Json, json};
use lockstep_node::SystemClock;

use super::Job;
use crate::shell::command;

/// The commit that is checked out; `+` where the sources differ from it.
pub(super) fn commit() -> String {
    let head = command("git").args(["rev-parse", "--short=12", "HEAD"]).quietly();
    let head = head.unwrap_or_else(|| "none".to_owned());
    let status = command("git").args(["status", "--porcelain", "--", ".", ":!proof"]).quietly().unwrap_or_default();
    if status.is_empty() { head } else { format!("{head}+") }
}

/// The line of a finished run.
pub(super) fn line(job: &Job) -> Result<String, String> {
    // The scale as text came in, as text goes out: JSON has one kind of number, and 0.1 is one.
    let scale =
        Json::parse(job.scale.to_string().as_bytes(), &Default::default()).map_err(|error| error.to_string())?;
    let totals = job.counted();
    let line = json!({
        "commit": commit(), "date": SystemClock.now().to_string(), "machine": machine(), "seed": job.seed,
        "scale": scale, "totals": totals.counts_to_json(), "failures": totals.failures_to_json()
    });
    Ok(line.canonical())
}

fn machine() -> Json {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    json!({"cpu": cpu.unwrap_or(std::env::consts::ARCH), "cores": cores, "os": std::env::consts::OS})
}

/// Appends a line to a file that may not be there yet.
pub(super) fn append(path: &Path, line: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    writeln!(file, "{line}").map_err(failed)
}
