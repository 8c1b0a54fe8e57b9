//! `lockstep network`: create, invite, join, approve, leave, and what is known of the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Subcommand;
use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, PublicKey};
use lockstep_core::directory::{Address, Body, Directory, DirectoryEvent, Invitation, Join, NewNode, Terms};
use lockstep_core::json::{Fields, Json, Limits, json};
use lockstep_core::names::{ActorId, NodeName, ParticipantName};
use lockstep_core::transport::{Bounds, TransportError};
use lockstep_node::{GuestError, SystemClock, ask_to_join, join as join_network, random_bytes};
use lockstep_tls::TlsTransport;

use crate::config::{Config, FILE};
use crate::context::{Access, Context, Home, lock, open_database};
use crate::databases::Secret;
use crate::error::{CliError, Exit, file_error};
use crate::keys::{Key, actor_key_path, node_key_path};
use crate::log::Log;
use crate::stored::Stored;
use crate::verbs::directory::change;
use crate::verbs::init;

/// What an invitation's line begins with.
const PREFIX: &str = "lockstep-invitation-1:";
/// How often to ask again where another change of the directory came first.
const TRIES: usize = 5;

/// Verbs of `network`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkVerb {
    /// Make a network with its first participant
    #[command(after_help = "Example:\n  lockstep network create house-sales --participant seller --dir ./seller")]
    Create {
        /// The network's name, for people
        name: String,
        /// Your organisation: a-z, 0-9 and -
        #[arg(long)]
        participant: String,
        /// Where other nodes reach this one, and where `run` listens for them
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Invite a participant: one line to paste, good once
    #[command(after_help = "Example:\n  lockstep network invite buyer\n  lockstep network invite regulator --observer")]
    Invite {
        /// The participant: a-z, 0-9 and -
        participant: String,
        /// Without a vote, to read and verify
        #[arg(long)]
        observer: bool,
        /// How long it is good
        #[arg(long, default_value = "24h")]
        expires: String,
    },
    /// Join with an invitation
    #[command(
        after_help = "Example:\n  lockstep network join lockstep-invitation-1:eyJ… --dir ./buyer --address buyer.example:7500"
    )]
    Join {
        /// The line that you were given
        invitation: String,
        /// Where other nodes reach this one, and where `run` listens for them; without it this one dials only
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Agree to a participant that asks to join
    #[command(after_help = "Example:\n  lockstep network approve buyer")]
    Approve {
        /// The participant
        participant: String,
    },
    /// Leave the network; the tables stay yours
    #[command(after_help = "Example:\n  lockstep network leave")]
    Leave,
    /// The nodes of the network
    #[command(after_help = "Example:\n  lockstep network peers --json")]
    Peers,
    /// Whether this node has all that the others have for it, and they what it has for them
    #[command(after_help = "Example:\n  lockstep network status --wait 30s")]
    Status {
        /// How long to wait until it is so
        #[arg(long, default_value = "0s")]
        wait: String,
    },
}

pub(crate) async fn run(context: &Context, verb: NetworkVerb) -> Result<Exit, CliError> {
    match verb {
        NetworkVerb::Create { name, participant, address } => {
            let dir = context.dir.clone().unwrap_or_else(|| PathBuf::from("."));
            let address = address.as_deref().map(parse_address).transpose()?;
            let made = init::make(&dir, &name, &participant, context.database.as_deref(), address).await?;
            init::show(context, &dir, &name, &made);
            Ok(Exit::Done)
        }
        NetworkVerb::Invite { participant, observer, expires } => {
            invite(context, &participant, observer, &expires).await
        }
        NetworkVerb::Join { invitation, address } => join(context, &invitation, address.as_deref()).await,
        NetworkVerb::Approve { participant } => {
            let participant = ParticipantName::parse(&participant).map_err(|error| usage(&error))?;
            direct(context, Body::ParticipantApprove { participant }).await
        }
        NetworkVerb::Leave => {
            let home = context.home()?;
            let participant = ParticipantName::parse(&home.config.participant).map_err(|error| usage(&error))?;
            direct(context, Body::ParticipantLeave { participant }).await
        }
        NetworkVerb::Peers => peers(context).await,
        NetworkVerb::Status { wait } => status(context, &wait).await,
    }
}

fn usage(error: &dyn std::fmt::Display) -> CliError {
    CliError::new(Code::Usage, error.to_string())
}

fn parse_address(text: &str) -> Result<Address, CliError> {
    Address::parse(text).map_err(|error| usage(&error))
}

/// A change of the directory that is all that a verb does.
async fn direct(context: &Context, body: Body) -> Result<Exit, CliError> {
    let home = context.home()?;
    let way = context.way(&home).await?;
    change(&way, &context.key(&home)?, body, None).await?;
    let directory = way.directory().await?;
    show_peers(context, &directory);
    way.close(&home).await?;
    Ok(Exit::Done)
}

async fn invite(context: &Context, participant: &str, observer: bool, expires: &str) -> Result<Exit, CliError> {
    let home = context.home()?;
    let directory = Stored::open(&home).await?.directory().await?;
    let node = directory.nodes().get(&home.config.node).ok_or_else(|| usage(&"this node is in no directory"))?;
    let address = node.addresses.first().ok_or_else(|| {
        CliError::new(Code::Usage, "this node has no address that others could reach")
            .hint("make the network with --address HOST:PORT")
    })?;
    let key = context.key(&home)?;
    let secret = random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
    let lasts = crate::verbs::submit::duration(expires)?;
    let terms = Terms {
        network: directory.network(),
        participant: ParticipantName::parse(participant).map_err(|error| usage(&error))?,
        observer,
        secret: Digest::of(&secret),
        expires: SystemClock.now().plus(lasts),
        by: ActorId::parse(&key.owner).map_err(|error| usage(&error))?,
    };
    let until = terms.expires;
    let invitation =
        Invitation::sign(terms, &key.signer).map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    directory
        .check_invitation(&invitation, SystemClock.now())
        .map_err(|error| CliError::new(Code::DirectoryRefused, error.to_string()))?;
    let line = Line { address: address.as_str().to_owned(), host: node.key, invitation, secret }.write();
    context
        .output
        .document(&json!({"invitation": line.as_str(), "participant": participant, "expires": until.to_string()}));
    context.output.line(&line);
    context.output.note(format!("good once, until {until}; whoever has the line can join as {participant}"));
    Ok(Exit::Done)
}

/// An invitation as it is pasted.
struct Line {
    address: String,
    host: PublicKey,
    invitation: Invitation,
    secret: [u8; 32],
}

impl Line {
    fn write(&self) -> String {
        let document = json!({
            "address": self.address.as_str(), "host": self.host.to_string(),
            "invitation": self.invitation.envelope.to_json(), "secret": Digest::from_bytes(self.secret).to_string()
        });
        format!("{PREFIX}{}", data_encoding::BASE64URL_NOPAD.encode(document.canonical().as_bytes()))
    }

    fn read(text: &str) -> Result<Self, CliError> {
        let bad = |what: String| {
            CliError::new(Code::Usage, format!("this is no invitation: {what}"))
                .hint("paste the whole line that `lockstep network invite` printed")
        };
        let coded = text.trim().strip_prefix(PREFIX).ok_or_else(|| bad(format!("it does not begin with {PREFIX}")))?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(coded.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let json = Json::parse(&bytes, &Limits::default()).map_err(|error| bad(error.to_string()))?;
        let mut fields = Fields::of(&json, "invitation").map_err(|error| bad(error.to_string()))?;
        let shape = |error: lockstep_core::json::ShapeError| bad(error.to_string());
        let line = Line {
            address: fields.text("address").map_err(shape)?.to_owned(),
            host: fields.parsed("host", PublicKey::parse).map_err(shape)?,
            invitation: Invitation::read(fields.need("invitation").map_err(shape)?)
                .map_err(|error| bad(error.to_string()))?,
            secret: *fields.parsed("secret", Digest::parse).map_err(shape)?.as_bytes(),
        };
        fields.finish().map_err(shape)?;
        Ok(line)
    }
}

/// Joins a network: keys are made here, the directory comes from the host, the database is made last.
async fn join(context: &Context, line: &str, address: Option<&str>) -> Result<Exit, CliError> {
    let line = Line::read(line)?;
    let dir = context.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    std::fs::create_dir_all(&dir).map_err(|error| file_error(&dir, &error))?;
    if dir.join(FILE).exists() {
        return Err(CliError::new(Code::DirectoryExists, format!("{} is a node's directory already", dir.display())));
    }
    let _lock = lock(&dir)?;
    let participant = line.invitation.terms.participant.clone();
    let node = NodeName::parse(participant.as_str()).map_err(|error| usage(&error))?;
    let admin = ActorId::parse(&format!("admin@{participant}")).map_err(|error| usage(&error))?;
    let addresses: Vec<Address> = address.map(parse_address).transpose()?.into_iter().collect();
    let secret = Secret::of(context.database.as_deref());
    let config = Config {
        node: node.to_string(),
        participant: participant.to_string(),
        database: secret.configured.clone(),
        password_file: secret.file(),
        actor: admin.to_string(),
        listen: address.map(str::to_owned),
        tls: None,
        brokers: Vec::new(),
    };
    let keys = Keys::in_dir(&dir, &node, &admin)?;
    let new = NewNode { name: node.clone(), key: keys.node.public(), addresses };
    let transport = TlsTransport::new(Arc::new(keys.node.signer.clone()), Bounds::default(), Arc::new(|_| true));
    let join = Join {
        invitation: line.invitation.clone(),
        secret: line.secret,
        participant,
        admin: (admin.clone(), keys.admin.public()),
        node: new,
    };
    let events = ask(&transport, &line, &admin, &join, &keys.admin).await?;
    let database = match &context.database {
        Some(url) => url.clone(),
        None => format!("sqlite:{}", dir.join("lockstep.db").display()),
    };
    let home = Home { dir: dir.clone(), named: config.database.clone(), config, database, log: Log::default() };
    drop(open_database(&home.database, Access::Create).await?);
    join_network(&home.parts().await?, &node, &events).await?;
    secret.write(&dir)?;
    let file = dir.join(FILE);
    std::fs::write(&file, home.config.render()).map_err(|error| file_error(&file, &error))?;
    let made = init::Made { home, network_id: line.invitation.terms.network };
    let directory = Stored::open(&made.home).await?.directory().await?;
    init::show(context, &dir, directory.title(), &made);
    context.output.note(format!("next: lockstep --dir {} run", dir.display()));
    Ok(Exit::Done)
}

/// The keys of a new node: those of an earlier try are taken up, for they may be in the directory already.
struct Keys {
    node: Key,
    admin: Key,
}

impl Keys {
    fn in_dir(dir: &Path, node: &NodeName, admin: &ActorId) -> Result<Self, CliError> {
        let known = |path: &Path, owner: &str| -> Result<Key, CliError> {
            if path.exists() {
                return Key::read(path);
            }
            let made = Key::generate(owner)?;
            made.write(path)?;
            Ok(made)
        };
        Ok(Keys {
            node: known(&node_key_path(dir), node.as_str())?,
            admin: known(&actor_key_path(dir, admin.as_str()), admin.as_str())?,
        })
    }
}

type Events = Vec<(DirectoryEvent, Option<Vec<u8>>)>;

/// Asks the host to be taken in, again where another change of the directory came first.
async fn ask(
    transport: &TlsTransport,
    line: &Line,
    admin: &ActorId,
    join: &Join,
    key: &Key,
) -> Result<Events, CliError> {
    let (own, body) = (join.node.key, Body::ParticipantJoin(Box::new(join.clone())));
    let mut tries = 1;
    loop {
        let guest = ask_to_join(transport, &line.address, &line.host, &line.invitation, line.secret).await;
        let guest = guest.map_err(refused)?;
        let history = guest.history().map_err(refused)?;
        let directory = history.newest();
        // An earlier try may have come in, and its answer got lost.
        if directory.nodes().values().any(|node| node.key == own) {
            return Ok(guest.events);
        }
        let after = Some((directory.network(), directory.seq(), directory.head()));
        let time = SystemClock.now().max(directory.time());
        let event = DirectoryEvent::sign(after, time, admin, body.clone(), &key.signer)
            .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
        match guest.join(&event).await {
            Ok(events) => return Ok(events),
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => return Err(refused(error)),
        }
    }
}

fn refused(error: GuestError) -> CliError {
    match error {
        GuestError::Refused { code, message } => {
            CliError::new(Code::parse(&code).unwrap_or(Code::DirectoryRefused), message)
        }
        GuestError::Directory(error) => CliError::new(Code::DirectoryRefused, error.to_string()),
        GuestError::Transport(error @ TransportError::WrongPeer { .. }) => {
            CliError::new(Code::DirectoryRefused, error.to_string())
                .hint("another node listens there now: ask for a new invitation")
        }
        other => CliError::new(Code::OutcomeUnknown, other.to_string())
            .hint("is the inviting node running? it must listen where the invitation says"),
    }
}

async fn peers(context: &Context) -> Result<Exit, CliError> {
    let directory = Stored::open(&context.home()?).await?.directory().await?;
    show_peers(context, &directory);
    Ok(Exit::Done)
}

fn show_peers(context: &Context, directory: &Directory) {
    let mut list = Vec::new();
    let mut rows = Vec::new();
    for (participant, found) in directory.participants() {
        let nodes = directory.nodes().iter().filter(|(_, node)| node.participant == *participant);
        let nodes: Vec<_> = nodes.collect();
        let status = found.status.as_str().to_owned();
        let names: Vec<&str> = nodes.iter().map(|(name, _)| name.as_str()).collect();
        let addresses = nodes.iter().flat_map(|(_, node)| node.addresses.iter().map(Address::as_str));
        let addresses: Vec<&str> = addresses.collect();
        rows.push(vec![
            participant.clone(),
            status.clone(),
            found.voting.to_string(),
            names.join(" "),
            addresses.join(" "),
        ]);
        let nodes: Json = nodes
            .iter()
            .map(|(name, node)| {
                let addresses: Json = node.addresses.iter().map(|address| Json::from(address.as_str())).collect();
                json!({"node": name.as_str(), "public_key": node.key.to_string(), "addresses": addresses})
            })
            .collect();
        list.push(json!({
            "participant": participant.as_str(), "status": status.as_str(), "voting": found.voting,
            "observer": found.observer, "hosted_by": found.hosted_by.as_deref(), "nodes": nodes
        }));
    }
    context.output.document(&list.into_iter().collect::<Json>());
    context.output.table(&["participant", "status", "votes", "nodes", "addresses"], &rows);
}

async fn status(context: &Context, wait: &str) -> Result<Exit, CliError> {
    let home = context.home()?;
    let until = Instant::now() + crate::verbs::submit::duration(wait)?;
    loop {
        let status = now(&home).await?;
        let caught_up = status.get("caught_up").and_then(Json::as_bool) == Some(true);
        if caught_up || Instant::now() >= until {
            show_status(context, &status);
            return Ok(if caught_up { Exit::Done } else { Exit::Found });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the running node knows of the others; without one, that nobody is reached.
async fn now(home: &Home) -> Result<Json, CliError> {
    match crate::way::running(home)? {
        Some(client) => client.get("/v1/network").await,
        None => {
            let stored = Stored::open(home).await?;
            let directory = stored.directory().await?;
            let node = NodeName::parse(&home.config.node).map_err(|error| usage(&error))?;
            let mut status = lockstep_node::nobody_reached(&directory, &node);
            let overdue = lockstep_node::overdue(stored.database(), &node, SystemClock.now()).await?;
            let objections = lockstep_node::objections(stored.database()).await?;
            if let Json::Object(members) = &mut status {
                members.insert("overdue", overdue);
                members.insert("objections", objections);
            }
            Ok(status)
        }
    }
}

fn show_status(context: &Context, status: &Json) {
    context.output.document(status);
    let list = status.get("peers").and_then(Json::as_array).unwrap_or_default();
    let text = |peer: &Json, name: &str| match peer.get(name) {
        None | Some(Json::Null) => String::new(),
        Some(value) => value.as_str().map_or_else(|| value.canonical(), str::to_owned),
    };
    let columns = ["node", "participant", "reachable", "since", "behind_events", "last_error"];
    let rows = list.iter().map(|peer| columns.iter().map(|name| text(peer, name)).collect());
    context.output.table(&columns, &rows.collect::<Vec<Vec<String>>>());
    show_overdue(context, status);
    let objections = status.get("objections").and_then(Json::as_array).unwrap_or_default();
    let open = objections.iter().filter(|one| one.get("withdrawn_at").is_some_and(Json::is_null)).count();
    if open > 0 {
        context.output.note(format!("{open} open objections: lockstep objection list"));
    }
}

/// What was handed over and has no end, each with the command that prints what can be proved about it.
fn show_overdue(context: &Context, status: &Json) {
    for one in status.get("overdue").and_then(Json::as_array).unwrap_or_default() {
        let text = |name: &str| one.get(name).and_then(Json::as_str).unwrap_or_default();
        let (intent, sequencer) = (text("intent_id"), text("sequencer"));
        let acknowledged = one.get("acknowledged").and_then(Json::as_bool) == Some(true);
        let what = if acknowledged { "took it and gave no outcome" } else { "has not said that it has it" };
        context.output.line(format!("overdue  {intent}"));
        context.output.line(format!("  node {sequencer} {what}; it expired at {}", text("since")));
        context.output.note(format!("next: lockstep intent proof {}", intent.get(..12).unwrap_or(intent)));
    }
}
