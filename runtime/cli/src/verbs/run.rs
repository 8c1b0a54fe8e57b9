//! `lockstep run`: a node as a process of its own, with everything that it listens on.

mod door;

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
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::context::{Context, Home, lock};
use crate::error::{CliError, Exit};
use crate::keys::{Key, node_key_path};
use crate::log::{Log, LogFormat};
use crate::relaying::{brokers, relay};
use crate::running::Running;
use crate::way::Started;
use door::{Door, keep_certified};

/// How long the end may take; longer only where the database does not take what was decided.
const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep run
  lockstep run --listen 127.0.0.1:0          a free port; the first line on stdout says which
  lockstep run --listen 0.0.0.0:7443         for other machines, by HTTPS: lockstep.toml names tls_cert and tls_key
  lockstep run --log json 2>> node.log       a JSON object a line
  kill -HUP PID                              reads the certificate again
  curl --data-binary @signed.json 'http://127.0.0.1:7400/v1/intents?wait=10s'")]
pub(crate) struct RunArgs {
    /// Where HTTP is answered: an address and a port, 0 for a free one; any but loopback needs tls_cert and tls_key
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    listen: String,
    /// How lines on standard error look
    #[arg(long, value_enum, default_value_t = LogFormat::Human, value_name = "FORMAT")]
    log: LogFormat,
}

pub(crate) async fn run(context: &Context, args: RunArgs) -> Result<Exit, CliError> {
    let mut home = context.home()?;
    home.log = Log::of_node(args.log, &home.config.node, context.output.quiet);
    let log = home.log.clone();
    live(context, &home, &args.listen).await.map_err(|error| log.error(error))
}

/// From the first look at what it needs to the last answer.
async fn live(context: &Context, home: &Home, listen: &str) -> Result<Exit, CliError> {
    let door = Door::of(listen, home)?;
    let mut ending = Ending::new()?;
    let started = Started::on(home, lock(&home.dir)?).await?;
    let node = started.node.clone();
    let mut work = Work::new();
    let (url, own) = work.listen(&node, door, &home.log).await?;
    work.connect(&node, home).await?;
    work.relay(&node, home)?;
    let announced = Running::announce(home, &own)?;
    home.log.info(&format!("ready {url}, in network {}", node.directory().network()));
    ready(context, home, &node, &url);
    let reason = tokio::select! {
        () = ending.asked() => None,
        reason = node.ended() => Some(reason),
    };
    home.log.info("draining: what was taken is ended, nothing more is taken");
    let drained = tokio::time::timeout(DRAIN_PATIENCE, drain(work, &node, home)).await;
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

/// File descriptors that are not for connections.
const OTHER_FILES: u64 = 256;

/// As many connections as this process may have files, up to the usual bound.
fn bounds() -> HttpConfig {
    let config = HttpConfig::default();
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = usize::try_from(files.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    let connections = config.connections.min(files.max(16));
    // Readers stay; whoever submits must find room beside them.
    HttpConfig { connections, readers: config.readers.min(connections / 8 * 7), ..config }
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

    /// Answers HTTP; the URLs say where, for others and for commands on this machine.
    async fn listen(&mut self, node: &Node, door: Door, log: &Log) -> Result<(String, String), CliError> {
        let server = self.bind(node, door.address, bounds()).await?;
        self.tasks.spawn(keep_certified(door.tls.clone(), log.clone(), self.stop.subscribe())?);
        let Some(tls) = door.tls else {
            let url = format!("http://{}", server.address());
            self.tasks.spawn(server.serve());
            return Ok((url.clone(), url));
        };
        // Commands know no certificate: they come in by a door that nobody else can reach.
        let few = HttpConfig { connections: 64, readers: 32, ..bounds() };
        let own = self.bind(node, SocketAddr::from(([127, 0, 0, 1], 0)), few).await?;
        let urls = (format!("https://{}", server.address()), format!("http://{}", own.address()));
        self.tasks.spawn(own.serve());
        self.tasks.spawn(server.secured(Arc::new(tls)).serve());
        Ok(urls)
    }

    async fn bind(&self, node: &Node, address: SocketAddr, config: HttpConfig) -> Result<HttpServer, CliError> {
        let bound = HttpServer::bind(node.clone(), address, config, self.stop.subscribe()).await;
        bound.map_err(|error| {
            CliError::new(Code::Io, format!("{address}: {error}")).hint("--listen 127.0.0.1:0 takes a free port")
        })
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
