//! A server's process: somebody else's where we are root, ended with ours.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process};

/// A program that runs as somebody without rights where we are root, since servers refuse root, and that the kernel
/// kills with the thread that started it.
pub(crate) fn as_somebody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((user, group)) = somebody() {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
    }
    command.arg("--").arg(program).stdin(Stdio::null()).current_dir("/");
    command
}

/// Who runs servers where we are root: `nobody` with its group.
fn somebody() -> Option<(u32, u32)> {
    if !getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let nobody = users.lines().find(|line| line.starts_with("nobody:"))?;
    let mut ids = nobody.split(':').skip(2).map(|id| id.parse().ok());
    Some((ids.next()??, ids.next()??))
}

pub(crate) fn give_to_somebody(path: &Path) {
    if let Some((user, group)) = somebody() {
        std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

/// A process that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    child: Arc<Mutex<Child>>,
    keeper: Option<mpsc::Sender<()>>,
}

impl Process {
    /// Starts it from a thread that lives as long as this handle: the kernel ends the process with that thread.
    pub(crate) fn start(mut command: Command) -> Self {
        let (keeper, until_dropped) = mpsc::channel::<()>();
        let (started, child) = mpsc::channel();
        std::thread::spawn(move || {
            started.send(command.spawn()).ok();
            until_dropped.recv().ok();
        });
        let child = child.recv().expect("the thread sends what became of it").expect("the server's program starts");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        Process { pid, child: Arc::new(Mutex::new(child)), keeper: Some(keeper) }
    }

    /// Whether it has ended, by itself or not.
    pub(crate) fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Ends it at once with all its children, as `kill -9` does.
    pub(crate) fn kill(&self) {
        let children = children_of(self.pid);
        if !self.has_ended() {
            kill_process(self.pid, Signal::KILL).ok();
        }
        for child in &children {
            kill_process(*child, Signal::KILL).ok();
        }
        self.wait();
        let until = Instant::now() + Duration::from_secs(10);
        while children.iter().any(|child| runs(*child)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait(&self) {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        drop(self.keeper.take());
    }
}

/// What `/proc` says of each process: its id, its parent's, and its state.
fn processes() -> impl Iterator<Item = (Pid, i32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let mut fields = stat.rsplit(") ").next()?.split(' ');
        let state = fields.next()?.to_owned();
        Some((pid, fields.next()?.parse().ok()?, state))
    })
}

fn children_of(parent: Pid) -> Vec<Pid> {
    processes().filter(|(_, of, _)| *of == parent.as_raw_nonzero().get()).map(|(pid, ..)| pid).collect()
}

fn runs(pid: Pid) -> bool {
    processes().any(|(known, _, state)| known == pid && state != "Z")
}
