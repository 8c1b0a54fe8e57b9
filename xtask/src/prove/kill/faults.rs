//! Each write and each sync of a commit fails once, or is the last thing that the process does.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::points::Scene;
use super::world::signal;
use crate::prove::{Dice, Totals};

/// Between two looks whether a fault has come.
const PAUSE: Duration = Duration::from_millis(5);

/// Intents that each client submits in the life that is disturbed.
const SIGNED: usize = 3;
/// Faults that one directory goes through.
pub(super) const FAULTS: usize = 10;

/// A call on a file, and how many of them a life makes at least.
const CALLS: [(&str, &str, usize); 8] = [
    ("pwrite64", "lockstep.db-wal", 100),
    ("fsync", "lockstep.db-wal", 5),
    ("pwrite64", "lockstep.db", 20),
    ("fsync", "lockstep.db", 1),
    ("write", "checkpoint.new", 2),
    ("fsync", "checkpoint.new", 2),
    ("rename", "checkpoint.new", 2),
    ("openat", "checkpoint.new", 2),
];
/// What happens instead of the call.
const ENDS: [&str; 3] = ["error=EIO", "error=ENOSPC", "signal=KILL"];

/// All faults: each call by its number, with each end; syncs do not fail for want of space.
fn all() -> Vec<(&'static str, &'static str, usize, &'static str)> {
    let mut all = Vec::new();
    for (call, file, most) in CALLS {
        for number in 1..=most {
            // One end for each of many writes, every end for each of few.
            let ends = ENDS.iter().enumerate().filter(|(at, _)| most < 10 || at % 3 == number % 3);
            all.extend(ends.map(|(_, end)| (call, file, number, *end)));
        }
    }
    all
}

/// How many directories all of them take.
pub(super) fn cases() -> u64 {
    all().len().div_ceil(FAULTS) as u64
}

/// One directory goes through the faults that are its own; where it is not all of them, they are spread out.
pub(super) fn failed(number: u64, of: u64, dice: &mut Dice, folder: &Path) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let mut scene = Scene::set(folder, dice)?;
    let own = all().into_iter().enumerate().filter(|(at, _)| *at as u64 % of == number);
    let mut own: Vec<_> = own.map(|(_, fault)| fault).collect();
    while own.len() > FAULTS {
        let at = usize::try_from(dice.below(own.len() as u64)).unwrap_or(0);
        own.swap_remove(at);
    }
    let output = folder.join("strace");
    for (call, file, when, end) in own {
        let name = format!("{call} of {file} number {when}, {end}");
        scene.sign(SIGNED)?;
        let path = scene.world.dir.join(file).display().to_string();
        scene.disturbed(&[], |node| Fault::set(node, &output, &path, call, &format!("{end}:when={when}")))?;
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        let happened = said.contains("INJECTED") || said.contains("killed by SIGKILL");
        totals.count(if happened { "faults" } else { "faults_that_did_not_come" }, 1);
        totals.count(if end == "signal=KILL" { "faults_that_kill" } else { "faults_that_fail" }, happened.into());
        scene.end(&mut totals, &name)?;
    }
    Ok(totals)
}

/// A call that will fail. strace counts for each thread by itself, and a node that opens its file anew does so in a new
/// one: so that it fails once, and not each time that it is tried again, strace leaves once it has failed.
struct Fault {
    strace: Child,
    /// What strace says goes here; without a reader it would die of saying something.
    _said: BufReader<ChildStderr>,
    over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Fault {
    fn set(node: u32, output: &Path, path: &str, call: &str, inject: &str) -> Result<Fault, String> {
        let words = |error: std::io::Error| format!("strace: {error}");
        drop(std::fs::remove_file(output));
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &node.to_string(), "-P", path, "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:{inject}"), "-o"]).arg(output);
        let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(words)?;
        let mut said = String::new();
        let mut stderr = BufReader::new(strace.stderr.take().ok_or("no pipe")?);
        stderr.read_line(&mut said).map_err(words)?;
        if !said.contains("attached") {
            drop(strace.kill());
            return Err(format!("strace cannot watch a process that runs, which needs root: {said}"));
        }
        let over = Arc::new(AtomicBool::new(false));
        let (id, output, done) = (strace.id(), output.to_owned(), over.clone());
        let watcher = std::thread::spawn(move || watch(id, &output, &done));
        Ok(Fault { strace, _said: stderr, over, watcher: Some(watcher) })
    }
}

fn watch(strace: u32, output: &PathBuf, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        if std::fs::read(output).is_ok_and(|said| said.windows(10).any(|ten| ten == b"(INJECTED)")) {
            return signal(strace, "INT");
        }
        std::thread::sleep(PAUSE);
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.watcher.take().map(JoinHandle::join));
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_of_a_commit_fails_and_every_sync_both_fails_and_kills() {
        let all = all();
        let of = |call: &str, file: &str| all.iter().filter(|fault| (fault.0, fault.1) == (call, file)).count();
        assert_eq!(of("pwrite64", "lockstep.db-wal"), 100);
        assert_eq!(of("fsync", "lockstep.db-wal"), 15);
    }
}
