//! One organisation: a directory, a node's process that can be killed, and the verbs that its people type.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockstep_core::crypto::LocalSigner;
use lockstep_core::json::{Json, Limits};

use crate::rust::binary;

/// How often a node is started whose directory somebody else writes to, and the pause between.
const TRIES: usize = 120;
const PAUSE: Duration = Duration::from_millis(250);

/// An organisation with its node.
pub(super) struct Organisation {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    /// Where its node listens for others; what it announces is the proxy's.
    pub(super) listens: u16,
    running: Mutex<Option<(Child, String)>>,
}

impl Drop for Organisation {
    fn drop(&mut self) {
        self.kill();
    }
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

impl Organisation {
    pub(super) fn new(name: &'static str, parent: &Path, listens: u16) -> Self {
        Organisation { name, dir: parent.join(name), listens, running: Mutex::new(None) }
    }

    fn running(&self) -> MutexGuard<'_, Option<(Child, String)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one of its people types, with `--json`; exit codes of outcomes and findings are no errors.
    pub(super) fn does(&self, arguments: &[&str]) -> Result<Json, String> {
        let mut command = Command::new(binary());
        command.arg("--dir").arg(&self.dir).args(["--json", "--quiet"]).args(arguments);
        let output = command.stdin(Stdio::null()).output().map_err(|error| failed(&binary(), &error))?;
        let limits = Limits { bytes: 64 << 20, ..Limits::default() };
        let json = Json::parse(&output.stdout, &limits).unwrap_or_default();
        match output.status.code() {
            Some(0 | 4 | 5) => Ok(json),
            _ => {
                let said = [output.stdout, output.stderr].concat();
                Err(format!("{}: lockstep {}: {}", self.name, arguments.join(" "), String::from_utf8_lossy(&said)))
            }
        }
    }

    /// Lets the node listen somewhere else than where it says that it is reached.
    pub(super) fn listen_behind(&self, announced: u16) -> Result<(), String> {
        let file = self.dir.join("lockstep.toml");
        let text = std::fs::read_to_string(&file).map_err(|error| failed(&file, &error))?;
        let said = format!("listen = \"127.0.0.1:{announced}\"");
        if !text.contains(&said) {
            return Err(format!("{} does not say {said}", file.display()));
        }
        let text = text.replace(&said, &format!("listen = \"127.0.0.1:{}\"", self.listens));
        std::fs::write(&file, text).map_err(|error| failed(&file, &error))
    }

    /// Starts its node; back when it answers. A verb that found no node running holds the directory for a moment.
    pub(super) fn start(&self) -> Result<(), String> {
        for _ in 0..TRIES {
            if self.try_start()? {
                return Ok(());
            }
            if !self.last_words().contains("another process writes") {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Err(format!("the node of {} does not start: {}", self.name, self.last_words()))
    }

    fn try_start(&self) -> Result<bool, String> {
        let log = self.log();
        let file = OpenOptions::new().create(true).append(true).open(&log).map_err(|error| failed(&log, &error))?;
        let mut command = Command::new(binary());
        command.arg("--dir").arg(&self.dir).args(["--quiet", "run", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|error| failed(&binary(), &error))?;
        let mut first = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut first).map_err(|error| error.to_string())?;
        }
        match first.trim().strip_prefix("ready http://") {
            Some(address) => *self.running() = Some((child, address.to_owned())),
            None => drop(child.wait()),
        }
        Ok(!first.is_empty())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("run.log")
    }

    /// What the node said last on standard error.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().last().unwrap_or("without a word").to_owned()
    }

    /// Kills its node with a signal that nothing can answer; whether there was one.
    pub(super) fn kill(&self) -> bool {
        let Some((mut child, _)) = self.running().take() else { return false };
        let killed = child.try_wait().is_ok_and(|ended| ended.is_none()) && child.kill().is_ok();
        drop(child.wait());
        killed
    }

    /// Whether its process ended without being killed.
    pub(super) fn died(&self) -> Option<String> {
        let mut running = self.running();
        let (child, _) = running.as_mut()?;
        let ended = child.try_wait().ok().flatten()?;
        Some(format!("the node of {} ended by itself: {ended}, {}", self.name, self.last_words()))
    }

    /// Where its node answers HTTP, while it runs.
    pub(super) fn http(&self) -> Option<String> {
        self.running().as_ref().map(|(_, address)| address.clone())
    }

    /// Its node's process.
    pub(super) fn process(&self) -> Option<u32> {
        self.running().as_ref().map(|(child, _)| child.id())
    }

    /// The key of one of its people.
    pub(super) fn key(&self, actor: &str) -> Result<LocalSigner, String> {
        let path = self.dir.join("keys").join(format!("{actor}.key"));
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
        let json = Json::parse(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
        let secret = json.get("secret_key").and_then(Json::as_str).unwrap_or_default();
        let byte = |at: usize| secret.get(2 * at..2 * at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let secret = bytes.and_then(|bytes| bytes.try_into().ok());
        secret.map(LocalSigner::from_secret).ok_or_else(|| format!("{} holds no key", path.display()))
    }
}
