//! Changing the directory: what `actor` and `contract deploy` share.

use lockstep_core::codes::Code;
use lockstep_core::directory::{Body, DirectoryEvent};
use lockstep_core::names::ActorId;

use crate::error::CliError;
use crate::keys::Key;
use crate::way::Way;

/// How often to sign again where another change of the directory came first.
const TRIES: usize = 5;

/// Signs an event as the key's owner and waits until it is committed.
pub(crate) async fn change(way: &Way, key: &Key, body: Body, package: Option<Vec<u8>>) -> Result<(), CliError> {
    let by = ActorId::parse(&key.owner).map_err(|error| CliError::new(Code::KeyFile, error.to_string()))?;
    for _ in 1..TRIES {
        let seen = way.directory().await?.head();
        match try_change(way, &by, key, body.clone(), package.clone()).await {
            Err(error) if error.code == Code::DirectoryRefused && way.has_moved_on(&seen).await? => {}
            answer => return answer,
        }
    }
    try_change(way, &by, key, body, package).await
}

async fn try_change(way: &Way, by: &ActorId, key: &Key, body: Body, package: Option<Vec<u8>>) -> Result<(), CliError> {
    let directory = way.directory().await?;
    let after = Some((directory.network(), directory.seq(), directory.head()));
    let time = way.now().max(directory.time());
    let event = DirectoryEvent::sign(after, time, by, body, &key.signer)
        .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    way.change(event, package).await
}
