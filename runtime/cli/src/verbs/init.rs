//! `lockstep init`: a network of one node.

use std::path::PathBuf;

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Address, Body, DirectoryEvent, Founder};
use lockstep_core::json::json;
use lockstep_core::names::{ActorId, NodeName, ParticipantName};
use lockstep_node::join;

use crate::config::{Config, FILE};
use crate::context::{Access, Context, Home, lock, open_database};
use crate::databases::Secret;
use crate::error::{CliError, Exit, file_error};
use crate::keys::{Key, actor_key_path, node_key_path};
use crate::log::Log;

/// Arguments of `init`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  lockstep init ./acme --network house-sales --participant acme")]
pub(crate) struct InitArgs {
    /// Where [default: here]
    #[arg(value_name = "DIR")]
    target: Option<PathBuf>,
    /// The network's name, for people
    #[arg(long)]
    network: String,
    /// Your organisation: a-z, 0-9 and -
    #[arg(long)]
    participant: String,
}

pub(crate) async fn run(context: &Context, args: InitArgs) -> Result<Exit, CliError> {
    let dir = args.target.or_else(|| context.dir.clone()).unwrap_or_else(|| PathBuf::from("."));
    let made = make(&dir, &args.network, &args.participant, context.database.as_deref(), None).await?;
    show(context, &dir, &args.network, &made);
    context.output.note(format!("next: lockstep --dir {} contract deploy PACKAGE", dir.display()));
    Ok(Exit::Done)
}

/// Shows a node's new directory.
pub(crate) fn show(context: &Context, dir: &std::path::Path, network: &str, made: &Made) {
    let Made { home, network_id } = made;
    let config = &home.config;
    context.output.document(&json!({
        "dir": dir.display().to_string(), "database": home.database_shown(), "network_id": network_id.to_string(), "network": network,
        "participant": config.participant.as_str(), "node": config.node.as_str(), "actor": config.actor.as_str()
    }));
    context.output.line(format!("network {network} ({network_id})"));
    context.output.line(format!(
        "  node {} of {}, database {}",
        config.node,
        config.participant,
        home.database_shown()
    ));
    context.output.line(format!(
        "  {} may add actors and deploy contracts; its key is in {}",
        config.actor,
        dir.join("keys").display()
    ));
}

/// What `init` made.
pub(crate) struct Made {
    pub(crate) home: Home,
    pub(crate) network_id: Digest,
}

/// Makes the directory: keys, configuration, database with the genesis, checkpoint.
pub(crate) async fn make(
    dir: &std::path::Path,
    network: &str,
    participant: &str,
    database: Option<&str>,
    address: Option<Address>,
) -> Result<Made, CliError> {
    let usage = |error: lockstep_core::names::NameError| CliError::new(Code::Usage, error.to_string());
    let participant_name = ParticipantName::parse(participant).map_err(usage)?;
    let node = NodeName::parse(participant).map_err(usage)?;
    let admin = ActorId::parse(&format!("admin@{participant}")).map_err(usage)?;
    std::fs::create_dir_all(dir).map_err(|error| file_error(dir, &error))?;
    if dir.join(FILE).exists() || node_key_path(dir).exists() {
        return Err(CliError::new(Code::DirectoryExists, format!("{} is a node's directory already", dir.display())));
    }
    let _lock = lock(dir)?;
    let secret = Secret::of(database);
    let config = Config {
        node: node.to_string(),
        participant: participant.to_owned(),
        database: secret.configured.clone(),
        password_file: secret.file(),
        actor: admin.to_string(),
        listen: address.as_ref().map(|address| address.as_str().to_owned()),
        tls: None,
        brokers: Vec::new(),
    };
    let (node_key, admin_key) = (Key::generate(participant)?, Key::generate(admin.as_str())?);
    let random = lockstep_node::random_bytes().map_err(|message| CliError::new(Code::Internal, message))?;
    let founder = Founder {
        participant: participant_name,
        admin: (admin.clone(), admin_key.public()),
        node: (node.clone(), node_key.public()),
    };
    let body = Body::Genesis { title: network.to_owned(), random: Digest::from_bytes(random), founders: vec![founder] };
    let now = lockstep_core::clock::Clock::now(&lockstep_node::SystemClock);
    let genesis = DirectoryEvent::sign(None, now, &admin, body, &admin_key.signer)
        .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    let url = match database {
        Some(url) => url.to_owned(),
        None => format!("sqlite:{}", dir.join("lockstep.db").display()),
    };
    let home = Home { dir: dir.to_owned(), named: config.database.clone(), config, database: url, log: Log::default() };
    // The database is made first and the configuration last: a directory without it is no node's.
    drop(open_database(&home.database, Access::Create).await?);
    node_key.write(&node_key_path(dir))?;
    admin_key.write(&actor_key_path(dir, admin.as_str()))?;
    let network_id = genesis.head();
    let mut events = vec![(genesis, None)];
    if let Some(address) = address {
        let body = Body::NodeAddresses { node: node.clone(), addresses: vec![address] };
        let reached = DirectoryEvent::sign(Some((network_id, 1, network_id)), now, &admin, body, &admin_key.signer)
            .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
        events.push((reached, None));
    }
    join(&home.parts().await?, &node, &events).await?;
    secret.write(dir)?;
    let file = dir.join(FILE);
    std::fs::write(&file, home.config.render()).map_err(|error| file_error(&file, &error))?;
    Ok(Made { home, network_id })
}
