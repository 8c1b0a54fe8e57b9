//! Changing the directory: what `actor` and `contract deploy` share.

use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::directory::{Body, DirectoryEvent};
use lockstep_core::names::ActorId;
use lockstep_node::Node;

use crate::error::CliError;
use crate::keys::Key;

/// How long a command waits for the directory.
const PATIENCE: Duration = Duration::from_secs(30);

/// Signs an event as the key's owner and waits until it is committed.
pub(crate) async fn change(node: &Node, key: &Key, body: Body, package: Option<Vec<u8>>) -> Result<(), CliError> {
    let by = ActorId::parse(&key.owner).map_err(|error| CliError::new(Code::KeyFile, error.to_string()))?;
    let directory = node.directory();
    let after = Some((directory.network(), directory.seq(), directory.head()));
    let time = node.now().max(directory.time());
    let event = DirectoryEvent::sign(after, time, &by, body, &key.signer)
        .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    node.change_directory(event, package, PATIENCE).await?;
    Ok(())
}
