//! The node that is followed: a process, and the intents that it is given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lockstep_core::crypto::{Digest, LocalSigner};
use lockstep_core::json::{Json, Limits, json};

use super::crowd::Followed;
use crate::prove::sign::Wanted;
use crate::rust::binary;
use crate::tree;

/// How often intents are sent in a step.
const TICK: Duration = Duration::from_millis(100);

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// A node that runs; it is killed where the proof ends before it.
pub(super) struct Node {
    child: Child,
    address: String,
    token: String,
    network: Digest,
    key: LocalSigner,
    houses: AtomicU64,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

fn lockstep(dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let ran = Command::new(binary()).args(arguments).env("LOCKSTEP_DIR", dir).output().map_err(words)?;
    if !ran.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr)));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned())
}

fn read(text: &[u8]) -> Result<Json, String> {
    Json::parse(text.trim_ascii(), &Limits::default()).map_err(words)
}

impl Node {
    /// Makes a network of one node with a contract, and starts it.
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        let dir: PathBuf = folder.join("node");
        let at = dir.display().to_string();
        let made = lockstep(&dir, &["init", &at, "--network", "sales", "--participant", "acme", "--json"])?;
        for (actor, participant, role) in
            [("alice", "acme", "seller"), ("bob", "buyer", "buyer"), ("ivy", "inspector", "inspector")]
        {
            lockstep(&dir, &["actor", "add", actor, "--participant", participant, "--role", role])?;
        }
        let package = tree::root().join("examples/house-sale/package/house_sale-1.0.0.lockstep");
        lockstep(&dir, &["contract", "deploy", &package.display().to_string()])?;
        let network = read(made.as_bytes())?.get("network_id").and_then(Json::as_str).map(Digest::parse);
        let key = read(&std::fs::read(dir.join("keys/alice@acme.key")).map_err(words)?)?;
        let secret = key.get("secret_key").and_then(Json::as_str).map(Digest::parse);
        let (Some(Ok(network)), Some(Ok(secret))) = (network, secret) else {
            return Err("init and key files do not say what they should".to_owned());
        };
        let token = lockstep(&dir, &["token", "--as", "alice", "--ttl", "12h"])?;
        let mut command = Command::new(binary());
        command.args(["run", "--listen", "127.0.0.1:0"]).env("LOCKSTEP_DIR", &dir).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().map_err(words)?;
        let mut first = String::new();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(stdout).read_line(&mut first).map_err(words)?;
        let address = first.trim().strip_prefix("ready http://").map(str::to_owned);
        let key = LocalSigner::from_secret(*secret.as_bytes());
        let address = address.ok_or_else(|| format!("the node is not ready: {first}"))?;
        Ok(Node { child, address, token, network, key, houses: AtomicU64::new(0) })
    }

    /// As readers come to it.
    pub(super) fn followed(&self) -> Followed<'_> {
        Followed { address: &self.address, token: &self.token }
    }

    /// Bytes of memory that it has.
    pub(super) fn resident(&self) -> Result<u64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(words)?;
        let found =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        found.map(|kibibytes: u64| kibibytes * 1024).ok_or_else(|| "its memory is not known".to_owned())
    }

    /// Submits so many intents at once; each is one event.
    pub(super) async fn submit(&self, count: u64) -> Result<(), String> {
        let mut body = String::new();
        for _ in 0..count {
            body.push_str(&self.listing()?);
            body.push('\n');
        }
        let address = self.address.clone();
        let posted = tokio::task::spawn_blocking(move || post(&address, &body)).await;
        let applied = posted.map_err(words)??;
        if applied == count { Ok(()) } else { Err(format!("{applied} of {count} intents were applied")) }
    }

    /// Submits at a rate for a while; how many.
    pub(super) async fn submit_at(&self, rate: u64, lasting: Duration) -> Result<u64, String> {
        let (began, mut sent) = (Instant::now(), 0);
        let whole = rate * lasting.as_secs();
        while sent < whole {
            let due = (began.elapsed() + TICK).as_millis() as u64 * rate / 1000;
            let count = due.min(whole).saturating_sub(sent);
            if count > 0 {
                self.submit(count).await?;
                sent += count;
            }
            tokio::time::sleep(TICK / 4).await;
        }
        Ok(sent)
    }

    /// A house that alice lists, signed.
    fn listing(&self) -> Result<String, String> {
        let house = format!("house-{}", self.houses.fetch_add(1, Ordering::Relaxed));
        let mut random = [[0; 32]; 3];
        for bytes in &mut random {
            *bytes = lockstep_node::random_bytes().map_err(words)?;
        }
        let mut random = random.into_iter();
        let wanted = Wanted {
            network: self.network,
            who: "alice@acme",
            call: "house_sale.list",
            on: &[&format!("acme:{house}")],
            arguments: json!({"buyer": "bob@buyer", "inspector": "ivy@inspector", "address": house.as_str(), "asking_price": "350000.00", "rooms": 4}),
            expires: Duration::from_secs(600),
        };
        let (_, signed) = wanted.sign(&self.key, || random.next().unwrap_or_default())?;
        String::from_utf8(signed).map_err(words)
    }

    /// Asks it to end, and waits.
    pub(super) fn stop(mut self) -> Result<(), String> {
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        let ended = self.child.wait().map_err(words)?;
        if ended.success() { Ok(()) } else { Err(format!("the node ended with {ended}")) }
    }
}

/// Posts lines; how many were applied.
fn post(address: &str, body: &str) -> Result<u64, String> {
    let mut stream = TcpStream::connect(address).map_err(words)?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(words)?;
    let head = format!(
        "POST /v1/intents?wait=30s HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut writer = stream.try_clone().map_err(words)?;
    // Answers to many lines come while lines are still sent.
    let request = head + body;
    let sent = std::thread::spawn(move || writer.write_all(request.as_bytes()));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(words)?;
    sent.join().map_err(|_| "the sender broke off".to_owned())?.map_err(words)?;
    Ok(answer.matches("\"status\":\"applied\"").count() as u64)
}
