//! `lockstep actor`: who is known.

use std::collections::BTreeSet;

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::crypto::PublicKey;
use lockstep_core::directory::{Actor, Body, Directory};
use lockstep_core::json::{Json, json};
use lockstep_core::names::{ActorId, ParticipantName, RoleName};

use crate::context::{Context, Home, full_name};
use crate::error::{CliError, Exit};
use crate::keys::{Key, actor_key_path};
use crate::stored::Stored;
use crate::verbs::directory::change;
use crate::way::Way;

/// Verbs of `actor`.
#[derive(Debug, Subcommand)]
pub(crate) enum ActorVerb {
    /// Add an actor; without --public-key its key is made here
    #[command(
        after_help = "Examples:\n  lockstep actor add bob --participant buyer --role buyer\n  lockstep actor add carol --participant inspector --role inspector --public-key 7d4e…"
    )]
    Add {
        /// Its name
        name: String,
        /// Of which organisation; a new one is added without a node of its own [default: yours]
        #[arg(long)]
        participant: Option<String>,
        /// A role that it may take on; can be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// Its public key, where it keeps the key elsewhere
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
    },
    /// List the actors
    #[command(after_help = "Example:\n  lockstep actor list")]
    List,
    /// Show one actor
    #[command(after_help = "Example:\n  lockstep actor show bob@buyer --json")]
    Show {
        /// NAME, or NAME@PARTICIPANT
        name: String,
    },
    /// Give an actor a new key, made here unless --public-key names one
    #[command(
        after_help = "Examples:\n  lockstep actor rotate bob\n  lockstep actor rotate carol@inspector --public-key 7d4e…"
    )]
    Rotate {
        /// NAME, or NAME@PARTICIPANT
        name: String,
        /// The new public key
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
    },
    /// Take an actor's key away for good
    #[command(after_help = "Example:\n  lockstep actor revoke bob@buyer")]
    Revoke {
        /// NAME, or NAME@PARTICIPANT
        name: String,
    },
}

pub(crate) async fn run(context: &Context, verb: ActorVerb) -> Result<Exit, CliError> {
    let home = context.home()?;
    let output = context.output;
    match verb {
        ActorVerb::List => {
            let directory = Stored::open(&home).await?.directory().await?;
            let all: Vec<(&ActorId, &Actor)> = directory.actors().iter().collect();
            output.document(&all.iter().map(|(id, actor)| describe(id, actor)).collect::<Json>());
            let rows: Vec<Vec<String>> =
                all.iter().map(|(id, actor)| vec![id.to_string(), roles(actor), state(actor)]).collect();
            output.table(&["actor", "roles", "state"], &rows);
        }
        ActorVerb::Show { name } => {
            let directory = Stored::open(&home).await?.directory().await?;
            show(context, &directory, &known(&directory, &name)?);
        }
        ActorVerb::Add { name, participant, roles, public_key } => {
            let participant = participant.unwrap_or_else(|| home.config.participant.clone());
            let id = full_name(&name, &participant)?;
            let way = context.way(&home).await?;
            add(&way, &context.key(&home)?, &home.dir, &id, &roles, public_key.as_deref()).await?;
            changed(context, &home, way, &id).await?;
        }
        ActorVerb::Rotate { name, public_key } => {
            let way = context.way(&home).await?;
            let id = known(&*way.directory().await?, &name)?;
            rotate(&way, &context.key(&home)?, &home.dir, &id, public_key.as_deref()).await?;
            changed(context, &home, way, &id).await?;
        }
        ActorVerb::Revoke { name } => {
            let way = context.way(&home).await?;
            let id = known(&*way.directory().await?, &name)?;
            change(&way, &context.key(&home)?, Body::ActorRevoke { actor: id.clone() }, None).await?;
            changed(context, &home, way, &id).await?;
        }
    }
    Ok(Exit::Done)
}

/// Shows what an actor is now, and ends.
async fn changed(context: &Context, home: &Home, way: Way, id: &ActorId) -> Result<(), CliError> {
    show(context, &*way.directory().await?, id);
    way.close(home).await
}

async fn rotate(
    way: &Way,
    signing: &Key,
    dir: &std::path::Path,
    id: &ActorId,
    public_key: Option<&str>,
) -> Result<(), CliError> {
    let path = actor_key_path(dir, id.as_str());
    let (key, made) = given_or_made(id, public_key)?;
    change(way, signing, Body::ActorRotate { actor: id.clone(), key }, None).await?;
    let Some(made) = made else { return Ok(()) };
    // The old key is worth nothing any more, but it is not ours to destroy.
    let old = path.with_extension("key.old");
    if path.exists() {
        std::fs::rename(&path, &old).map_err(|error| crate::error::file_error(&path, &error))?;
    }
    made.write(&path)
}

/// Adds an actor, its participant first where that is new.
pub(crate) async fn add(
    way: &Way,
    signing: &Key,
    dir: &std::path::Path,
    id: &ActorId,
    roles: &[String],
    public_key: Option<&str>,
) -> Result<(), CliError> {
    let usage = |error: lockstep_core::names::NameError| CliError::new(Code::Usage, error.to_string());
    let roles = roles
        .iter()
        .map(|role| RoleName::parse(role).map(|role| role.to_string()))
        .collect::<Result<BTreeSet<_>, _>>()
        .map_err(usage)?;
    let (key, made) = given_or_made(id, public_key)?;
    let path = actor_key_path(dir, id.as_str());
    let made = match made {
        Some(_) if path.exists() => None,
        made => made,
    };
    let key = if made.is_none() && public_key.is_none() { Key::read(&path)?.public() } else { key };
    let participant = id.participant();
    if !way.directory().await?.participants().contains_key(participant.as_str()) {
        let host = ActorId::parse(&signing.owner).map(|owner| owner.participant()).map_err(usage)?;
        let participant = ParticipantName::parse(participant.as_str()).map_err(usage)?;
        change(way, signing, Body::ParticipantAdd { participant, hosted_by: host }, None).await?;
    }
    change(way, signing, Body::ActorAdd { actor: id.clone(), roles, key }, None).await?;
    match made {
        Some(made) => made.write(&path),
        None => Ok(()),
    }
}

fn given_or_made(id: &ActorId, public_key: Option<&str>) -> Result<(PublicKey, Option<Key>), CliError> {
    match public_key {
        Some(text) => PublicKey::parse(text)
            .map(|key| (key, None))
            .map_err(|error| CliError::new(Code::WeakKey, error.to_string())),
        None => Key::generate(id.as_str()).map(|key| (key.public(), Some(key))),
    }
}

/// The actor by full or short name.
fn known(directory: &Directory, name: &str) -> Result<ActorId, CliError> {
    let fitting: Vec<&ActorId> =
        directory.actors().keys().filter(|id| id.as_str() == name || id.name().as_str() == name).collect();
    match fitting.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(CliError::new(Code::NotFound, format!("no actor is called {name}")).hint("lockstep actor list")),
        several => Err(CliError::new(Code::Ambiguous, format!("{} actors are called {name}", several.len()))),
    }
}

fn show(context: &Context, directory: &Directory, id: &ActorId) {
    let Some(actor) = directory.actors().get(id) else { return };
    context.output.document(&describe(id, actor));
    context.output.line(format!("{id}  {}  {}", roles(actor), state(actor)));
    context.output.line(format!("  public key {}", actor.key));
}

fn describe(id: &ActorId, actor: &Actor) -> Json {
    let roles: Json = actor.roles.iter().map(|role| Json::from(role.as_str())).collect();
    json!({
        "actor": id.as_str(), "participant": id.participant().as_str(), "roles": roles, "public_key": actor.key.to_string(),
        "valid_from": actor.since.to_string(), "valid_to": actor.revoked.map(|time| time.to_string())
    })
}

fn roles(actor: &Actor) -> String {
    actor.roles.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn state(actor: &Actor) -> String {
    actor.revoked.map_or_else(|| "active".to_owned(), |time| format!("revoked at {time}"))
}
