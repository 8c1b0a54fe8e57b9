//! The nodes that are measured: a sequencer and readers, each a process of this binary with a database of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::database::Database;
use lockstep_core::json::Json;
use lockstep_core::names::NodeName;
use lockstep_core::tables::{Cell, Table};
use lockstep_node::{SystemClock, all_tables};

use super::super::machine;
use super::super::world::{Author, BULLETIN};
use crate::client::Client;
use crate::context::{Access, open_database};
use crate::error::{CliError, file_error};
use crate::organisation::{Organisation, free_address};
use crate::output::Output;
use crate::running::Running;
use crate::stored::Stored;

/// Names of the readers, as many as can be asked for.
pub(super) const READERS: [&str; 8] =
    ["reader1", "reader2", "reader3", "reader4", "reader5", "reader6", "reader7", "reader8"];

/// How long nodes may take to have what others have.
const PATIENCE: &str = "120s";

/// The nodes.
pub(super) struct Nodes {
    pub(super) sequencer: Member,
    pub(super) readers: Vec<Member>,
    pub(super) author: Arc<Author>,
    pub(super) tables: Vec<Table>,
}

/// One node with the database that it writes, seen from outside.
pub(super) struct Member {
    pub(super) organisation: Organisation,
    database: Option<Arc<dyn Database>>,
}

pub(super) fn internal(error: impl ToString) -> CliError {
    CliError::new(Code::Internal, error.to_string())
}

impl Nodes {
    /// A network of one sequencer and readers who have no vote; all run when this returns.
    pub(super) async fn make(dir: &Path, readers: usize) -> Result<Nodes, CliError> {
        let mut acme = Organisation::new("acme", dir);
        acme.does(&["network", "create", "bench", "--participant", "acme", "--address", &free_address()?])?;
        acme.start()?;
        acme.does(&["actor", "add", "ed", "--role", "editor"])?;
        let package = dir.join("bulletin.lockstep");
        std::fs::write(&package, BULLETIN).map_err(|error| file_error(&package, &error))?;
        acme.does(&["contract", "deploy", &package.display().to_string()])?;
        let mut joined = Vec::new();
        for name in READERS.into_iter().take(readers) {
            joined.push(Member::of(join(&acme, name, dir)?));
        }
        let stored = Stored::open(&home(&acme.dir)?).await?;
        let directory = stored.directory().await?;
        let node = NodeName::parse("acme").map_err(internal)?;
        let author = Author::read(&acme.dir, directory.network(), node, SystemClock.now())?;
        let nodes = Nodes {
            sequencer: Member::of(acme),
            readers: joined,
            author: Arc::new(author),
            tables: all_tables(&directory),
        };
        nodes.caught_up()?;
        Ok(nodes)
    }

    /// Everybody waits until it has what the others have.
    pub(super) fn caught_up(&self) -> Result<(), CliError> {
        for member in std::iter::once(&self.sequencer).chain(&self.readers) {
            let status = member.organisation.does(&["network", "status", "--wait", PATIENCE])?;
            if status.get("caught_up").and_then(Json::as_bool) != Some(true) {
                return Err(internal(format!("{} has not caught up", member.organisation.name)));
            }
        }
        Ok(())
    }
}

fn home(dir: &Path) -> Result<crate::context::Home, CliError> {
    let output = Output { json: true, quiet: true };
    crate::context::Context { dir: Some(dir.to_owned()), database: None, actor: None, output }.home()
}

/// Invites a reader. All have addresses, so that readers are connected with each other, too, as in any network.
fn join(acme: &Organisation, name: &'static str, dir: &Path) -> Result<Organisation, CliError> {
    let invited = acme.does(&["network", "invite", name, "--observer"])?;
    let line = invited.get("invitation").and_then(Json::as_str).unwrap_or_default();
    let mut reader = Organisation::new(name, dir);
    reader.does(&["network", "join", line, "--address", &free_address()?])?;
    reader.start()?;
    Ok(reader)
}

impl Member {
    fn of(organisation: Organisation) -> Member {
        Member { organisation, database: None }
    }

    /// Its database's file.
    pub(super) fn file(&self) -> PathBuf {
        self.organisation.dir.join("lockstep.db")
    }

    /// What asks it over HTTP.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        let running = Running::find(&self.organisation.dir);
        Ok(Client::new(running.ok_or_else(|| internal(format!("{} does not run", self.organisation.name)))?))
    }

    /// Processor time of its process so far.
    pub(super) fn time(&self) -> Result<Duration, CliError> {
        let process = self.organisation.process();
        machine::time_of(process.ok_or_else(|| internal(format!("{} does not run", self.organisation.name)))?)
    }

    /// Leaves of its log that are committed, read off its database, which takes nothing of the node's own time.
    pub(super) async fn leaves(&mut self) -> Result<u64, CliError> {
        let database = match &self.database {
            Some(database) => database.clone(),
            None => {
                let url = format!("sqlite:{}", self.file().display());
                self.database.insert(open_database(&url, Access::Read).await?).clone()
            }
        };
        let answer = database.query("SELECT max(size) FROM lockstep_checkpoint", 1).await?;
        let size = answer.rows.first().and_then(|row| row.first()).and_then(Cell::as_count);
        size.ok_or_else(|| internal("a log has no checkpoint"))
    }

    /// Outcomes that it took in since it started: executed again, and checked as far as they could be.
    pub(super) fn compared(&self) -> Result<(u64, u64), CliError> {
        let status = self.organisation.does(&["network", "status"])?;
        let peers = status.get("peers").and_then(Json::as_array).unwrap_or_default();
        let sum = |level: &str| {
            let of = |peer: &Json| peer.get("compared").and_then(|compared| compared.get(level)).and_then(Json::as_u64);
            peers.iter().filter_map(of).sum::<u64>()
        };
        Ok((sum("full"), sum("partial")))
    }

    /// Ends it as an operator would.
    pub(super) fn stop(&mut self) -> Result<(), CliError> {
        self.database = None;
        self.organisation.stop()
    }
}
