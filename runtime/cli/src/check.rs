//! Auditing a database with what a node's directory knows: what `verify` and the demo share.

use lockstep_core::audit::{Known, Progress, Report, audit};
use lockstep_core::crypto::Signer;
use lockstep_core::engine::Limits;
use lockstep_node::NodeConfig;

use crate::context::{Access, Home, engine, open_database};
use crate::error::{CliError, file_error};
use crate::keys::{Key, node_key_path};

/// How many times the sequencer's limits a node grants that executes only to compare.
const COMPARING: u64 = 4;

/// Audits the database that `url` names, read-only.
pub(crate) async fn check(
    home: &Home,
    url: &str,
    record: Option<(&str, &str)>,
    execute: bool,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, CliError> {
    let checkpoint = match std::fs::read_to_string(home.checkpoint()) {
        Ok(note) => Some(note),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(file_error(&home.checkpoint(), &error)),
    };
    let key = node_key_path(&home.dir);
    let node_key = if key.exists() { Some(Key::read(&key)?.signer.public_key()) } else { None };
    let executing = if execute { Some(engine(Some(home.dir.join("cache")))?) } else { None };
    let limits: Limits = NodeConfig::default().limits.times(COMPARING);
    let known = Known {
        checkpoint: checkpoint.as_deref(),
        node_key,
        network: None,
        record,
        executor: executing.as_deref().map(|engine| (engine as &dyn lockstep_core::engine::Engine, limits)),
    };
    let database = open_database(url, Access::Read).await?;
    let mut snapshot = database.snapshot().await?;
    Ok(audit(snapshot.as_mut(), known, progress).await?)
}
