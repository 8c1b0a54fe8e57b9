//! `lockstep token`: lets somebody read over HTTP what an actor may, for a short time.

use clap::Args;
use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::json::json;
use lockstep_core::names::{ActorId, NodeName};
use lockstep_core::time::duration;
use lockstep_core::token::{LONGEST_TOKEN, Token};
use lockstep_node::SystemClock;

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::stored::{Stored, usage};

/// Arguments of `token`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep token --as bob --ttl 1h
  curl -H \"authorization: Bearer $(lockstep token --as bob --ttl 5m)\" http://127.0.0.1:7400/v1/events")]
pub(crate) struct TokenArgs {
    /// How long it is good for: 30s, 10m, 1h; a day at most
    #[arg(long, default_value = "1h", value_name = "TIME")]
    ttl: String,
}

pub(crate) async fn run(context: &Context, args: TokenArgs) -> Result<Exit, CliError> {
    let ttl = duration(&args.ttl).filter(|ttl| !ttl.is_zero() && *ttl <= LONGEST_TOKEN);
    let ttl = ttl.ok_or_else(|| {
        usage(format!("a token is good for a time such as 10m or 1h, a day at most; {} is none", args.ttl))
    })?;
    let home = context.home()?;
    let key = context.key(&home)?;
    let directory = Stored::open(&home).await?.directory().await?;
    let issued = SystemClock.now();
    let (network, node) = (directory.network(), NodeName::parse(&home.config.node).map_err(usage)?);
    let actor = ActorId::parse(&key.owner).map_err(usage)?;
    let token = Token { network, node, actor, issued, expires: issued.plus(ttl) };
    let line = token.sign(&key.signer).map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    // What no node would take is better not handed out.
    Token::verify(&line, &directory, &token.node, issued)
        .map_err(|error| CliError::new(Code::TokenRefused, error.to_string()))?;
    if context.output.json {
        context.output.document(&json!({
            "token": line, "actor": token.actor.as_str(), "network_id": network.to_string(), "node": token.node.as_str(),
            "issued": issued.to_string(), "expires": token.expires.to_string()
        }));
    } else {
        context.output.raw(&line);
    }
    Ok(Exit::Done)
}
