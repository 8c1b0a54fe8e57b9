//! One node: its directory, its process, and what its people type.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lockstep_core::crypto::{Digest, LocalSigner, Signer};
use lockstep_core::json::{Json, Limits};

use crate::rust::binary;
use crate::tree;

/// How long a node may take to begin or to end; longer than any machine that is busy with other things needs.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(5);
const PACKAGES: [&str; 2] = [
    "examples/house-sale/package/house_sale-1.0.0.lockstep",
    "examples/delivery-versus-payment/package/delivery_versus_payment-1.0.0.lockstep",
];
/// Somebody, of which participant, with which roles.
pub(in crate::prove) type Person = (&'static str, &'static str, &'static [&'static str]);
const PEOPLE: [Person; 2] =
    [("alice", "acme", &["seller", "holder", "registrar"]), ("bob", "buyer", &["buyer", "holder"])];

/// A directory with a node in it.
pub(in crate::prove) struct World {
    pub(in crate::prove) dir: PathBuf,
    pub(in crate::prove) network: Digest,
}

/// A node that runs, or has begun to; it is killed where nobody ends it.
pub(in crate::prove) struct Process {
    child: Child,
    stdout: Option<BufReader<std::process::ChildStdout>>,
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

impl World {
    /// Makes it: people and contracts, no record yet.
    pub(in crate::prove) fn make(folder: &Path) -> Result<World, String> {
        World::of(folder, &PEOPLE, &PACKAGES)
    }

    /// Makes one with other people and contracts.
    pub(in crate::prove) fn of(folder: &Path, people: &[Person], packages: &[&str]) -> Result<World, String> {
        let mut world = World { dir: folder.join("node"), network: Digest::of(b"") };
        let dir = world.dir.display().to_string();
        let made = world.does(&["init", &dir, "--network", "fire", "--participant", "acme"])?;
        let network = made.get("network_id").and_then(Json::as_str).unwrap_or_default();
        world.network = Digest::parse(network).map_err(|error| error.to_string())?;
        for (name, participant, roles) in people {
            let mut arguments = vec!["actor", "add", name, "--participant", participant];
            roles.iter().for_each(|role| arguments.extend(["--role", role]));
            world.does(&arguments)?;
        }
        packages.iter().try_for_each(|package| world.deploy(package))?;
        Ok(world)
    }

    /// Deploys a package of this repository.
    pub(in crate::prove) fn deploy(&self, package: &str) -> Result<(), String> {
        self.does(&["contract", "deploy", &tree::root().join(package).display().to_string()]).map(drop)
    }

    /// The same node in a directory that was copied.
    pub(in crate::prove) fn at(&self, dir: &Path) -> World {
        World { dir: dir.to_owned(), network: self.network }
    }

    pub(in crate::prove) fn database(&self) -> PathBuf {
        self.dir.join("lockstep.db")
    }

    fn command(&self, before: &[String]) -> Command {
        let mut command = match before.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary());
                command
            }
            None => Command::new(binary()),
        };
        command.env("LOCKSTEP_DIR", &self.dir).env_remove("LOCKSTEP_DATABASE").stdin(Stdio::null());
        command
    }

    /// What somebody types, with `--json`: the exit code and what it printed.
    pub(in crate::prove) fn types(&self, arguments: &[&str]) -> Result<(i32, Json), String> {
        let output = self.command(&[]).args(["--json", "--quiet"]).args(arguments).output();
        let output = output.map_err(|error| failed(&binary(), &error))?;
        let limits = Limits { bytes: 64 << 20, ..Limits::default() };
        let json = Json::parse(&output.stdout, &limits).unwrap_or_default();
        Ok((output.status.code().unwrap_or(-1), json))
    }

    /// As [`World::types`], and it must be done.
    pub(in crate::prove) fn does(&self, arguments: &[&str]) -> Result<Json, String> {
        match self.types(arguments)? {
            (0, json) => Ok(json),
            (code, json) => Err(format!("exit {code} of lockstep {}: {}", arguments.join(" "), json.canonical())),
        }
    }

    /// Whether `lockstep verify` has nothing to say; else what it says.
    pub(in crate::prove) fn verify(&self, more: &[&str]) -> Result<(), String> {
        let (code, json) = self.types(&[&["verify"], more].concat())?;
        if code == 0 { Ok(()) } else { Err(json.canonical().chars().take(600).collect()) }
    }

    /// Starts its node, under `before` where there is any: `strace`, `prlimit`. It need not be ready yet.
    pub(in crate::prove) fn begin(&self, before: &[String]) -> Result<Process, String> {
        let log = self.log();
        let file = OpenOptions::new().create(true).append(true).open(&log).map_err(|error| failed(&log, &error))?;
        let mut command = self.command(before);
        command.args(["--quiet", "run", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().map_err(|error| failed(&binary(), &error))?;
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Process { child, stdout })
    }

    /// Starts its node and waits until it is ready; where it answers.
    pub(in crate::prove) fn start(&self, before: &[String]) -> Result<(Process, String), String> {
        let mut process = self.begin(before)?;
        match process.ready()? {
            Some(address) => Ok((process, address)),
            None => Err(format!("the node does not start: {}", self.last_words())),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// What the node said last on standard error.
    pub(in crate::prove) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().last().unwrap_or("without a word").to_owned()
    }

    /// The key of an actor, or the node's own.
    pub(in crate::prove) fn key(&self, file: &str) -> Result<LocalSigner, String> {
        let path = self.dir.join(file);
        let bytes = std::fs::read(&path).map_err(|error| failed(&path, &error))?;
        let json = Json::parse(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
        let secret = Digest::parse(json.get("secret_key").and_then(Json::as_str).unwrap_or_default());
        let secret = secret.map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(LocalSigner::from_secret(*secret.as_bytes()))
    }

    /// What its checkpoints are verified with.
    pub(in crate::prove) fn node_key(&self) -> Result<String, String> {
        Ok(self.key("node.key")?.public_key().to_string())
    }
}

impl Process {
    /// Waits for the first line; where it answers, or `None` where it has ended.
    pub(in crate::prove) fn ready(&mut self) -> Result<Option<String>, String> {
        let mut first = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_line(&mut first).map_err(|error| error.to_string())?;
        }
        Ok(first.trim().strip_prefix("ready http://").map(str::to_owned))
    }

    /// Its id; that of what it was started under, where there is such.
    pub(in crate::prove) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it with a signal that nothing can answer; whether it lived until then.
    pub(in crate::prove) fn kill(&mut self) -> bool {
        let lived = self.child.try_wait().is_ok_and(|ended| ended.is_none());
        drop(self.child.kill());
        drop(self.child.wait());
        lived
    }

    /// Sends a signal by its name.
    pub(in crate::prove) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Whether it has ended, and how.
    pub(in crate::prove) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(in crate::prove) fn wait(&mut self) -> Result<ExitStatus, String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
        Err("the node does not end".to_owned())
    }

    /// Asks it to end and waits until it has.
    pub(in crate::prove) fn stop(&mut self) -> Result<ExitStatus, String> {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a process a signal by its name.
pub(in crate::prove) fn signal(process: u32, name: &str) {
    drop(Command::new("kill").args([&format!("-{name}"), &process.to_string()]).stderr(Stdio::null()).status());
}
