//! `lockstep run`: a node as a process of its own, with everything that it listens on.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::crypto::PublicKey;
use lockstep_core::json::json;
use lockstep_core::transport::Bounds;
use lockstep_node::{HttpConfig, HttpServer, Network, Node, Serving, keep_connected, keep_noted, keep_relaying};
use lockstep_tls::TlsTransport;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::context::{Context, Home, lock};
use crate::error::{CliError, Exit};
use crate::keys::{Key, node_key_path};
use crate::relaying::{brokers, relay};
use crate::running::Running;
use crate::way::Started;

/// How long the end may take; longer only where the database does not take what was decided.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep run
  lockstep run --listen 127.0.0.1:0          a free port; the first line on stdout says which
  curl --data-binary @signed.json 'http://127.0.0.1:7400/v1/intents?wait=10s'")]
pub(crate) struct RunArgs {
    /// Where HTTP is answered: a loopback address and a port, 0 for a free one
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    listen: String,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Exit, CliError> {
    let address = loopback(&args.listen)?;
    let home = context.home()?;
    let mut ending = Ending::new()?;
    let started = Started::on(&home, lock(&home.dir)?).await?;
    let node = started.node.clone();
    let mut work = Work::new();
    let url = work.listen(&node, address).await?;
    work.connect(&node, &home).await?;
    work.relay(&node, &home)?;
    let announced = Running::announce(&home, &url)?;
    ready(context, &home, &node, &url);
    let reason = tokio::select! {
        () = ending.asked() => None,
        reason = node.ended() => Some(reason),
    };
    context.output.note("draining: what was taken is ended, nothing more is taken");
    let drained = tokio::time::timeout(DRAIN_PATIENCE, drain(work, &node, &home)).await;
    drop((announced, started));
    match (drained, reason) {
        (_, Some(reason)) => Err(CliError::new(Code::DatabaseUnavailable, format!("the node has stopped: {reason}"))),
        (Err(_), None) => {
            let message = "the database does not take what was decided last; nobody was told that it is committed";
            Err(CliError::new(Code::DatabaseUnavailable, message))
        }
        (Ok(drained), None) => drained.map(|()| Exit::Done),
    }
}

/// Everybody who can reach a listener may submit, and nothing is encrypted: so nobody else may reach it.
fn loopback(text: &str) -> Result<SocketAddr, CliError> {
    let usage = |message: String| CliError::new(Code::Usage, message);
    let address: SocketAddr = text
        .replace("localhost:", "127.0.0.1:")
        .parse()
        .map_err(|_| usage(format!("{text} is no address; write 127.0.0.1:7400")))?;
    if !address.ip().is_loopback() {
        let message = format!("{text} can be reached from other machines, and there is no TLS yet");
        return Err(usage(message).hint("listen on 127.0.0.1 or [::1], behind something that has TLS"));
    }
    Ok(address)
}

fn ready(context: &Context, home: &Home, node: &Node, url: &str) {
    let line = if context.output.json {
        let network = node.directory().network().to_string();
        json!({
            "ready": url, "pid": u64::from(std::process::id()), "dir": home.dir.display().to_string(),
            "node": node.name().as_str(), "network_id": network
        })
        .canonical()
    } else {
        format!("ready {url}")
    };
    // A node goes on where nobody listens to what it prints.
    let mut stdout = std::io::stdout().lock();
    drop(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
}

/// What a node does at once, all begun and all ended together.
struct Work {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Work {
    fn new() -> Self {
        Work { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// Answers HTTP; the URL says where.
    async fn listen(&mut self, node: &Node, address: SocketAddr) -> Result<String, CliError> {
        let bound = HttpServer::bind(node.clone(), address, HttpConfig::default(), self.stop.subscribe()).await;
        let server = bound.map_err(|error| {
            CliError::new(Code::Io, format!("{address}: {error}")).hint("--listen 127.0.0.1:0 takes a free port")
        })?;
        let url = format!("http://{}", server.address());
        self.tasks.spawn(server.serve());
        Ok(url)
    }

    /// Listens for other nodes where the configuration says so, and dials those that this one has to reach.
    async fn connect(&mut self, node: &Node, home: &Home) -> Result<(), CliError> {
        let key = Key::read(&node_key_path(&home.dir))?;
        let directory = node.clone();
        // Keys of retired nodes stay out; whose key nobody knows may have an invitation.
        let admitted = move |key: &PublicKey| {
            let directory = directory.directory();
            let known = directory.nodes().iter().find(|(_, node)| node.key == *key);
            known.is_none_or(|(name, _)| directory.active_node(name).is_some())
        };
        let transport = TlsTransport::new(Arc::new(key.signer), Bounds::default(), Arc::new(admitted));
        node.attach(Arc::new(Network::new(Arc::new(transport))));
        let Some(network) = node.network() else { return Ok(()) };
        let serving = Serving::on(network, home.config.listen.as_deref()).await;
        let serving = serving.map_err(|error| {
            CliError::new(Code::Io, error.to_string())
                .hint("listen in lockstep.toml says where other nodes reach this one")
        })?;
        self.tasks.spawn(keep_connected(node.clone(), serving, self.stop.subscribe()));
        self.tasks.spawn(keep_noted(node.clone(), self.stop.subscribe()));
        Ok(())
    }

    /// Relays notifications.
    fn relay(&mut self, node: &Node, home: &Home) -> Result<(), CliError> {
        self.tasks.spawn(keep_relaying(node.clone(), brokers(home)?, self.stop.subscribe()));
        Ok(())
    }
}

/// Takes no more, ends what was taken, answers who waits, and relays what that left.
async fn drain(mut work: Work, node: &Node, home: &Home) -> Result<(), CliError> {
    work.stop.send_replace(true);
    node.clone().stop().await;
    while work.tasks.join_next().await.is_some() {}
    relay(node, home).await
}

/// The signals that ask a process to end.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn new() -> Result<Self, CliError> {
        let take = |kind| signal(kind).map_err(|error| CliError::new(Code::Io, format!("signals: {error}")));
        Ok(Ending { terminate: take(SignalKind::terminate())?, interrupt: take(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
