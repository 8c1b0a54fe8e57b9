//! What every verb works on: the node's directory, its configuration, keys and database.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockstep_core::codes::Code;
use lockstep_core::database::Database;
use lockstep_core::names::{ActorId, ActorName, ParticipantName};
use lockstep_node::{Parts, SystemClock};
use lockstep_vm::{WasmConfig, WasmEngine};

use crate::config::{Config, FILE};
pub(crate) use crate::databases::{Access, open_database};
use crate::databases::{shown, with_password};
use crate::error::{CliError, file_error};
use crate::keys::{self, Key};
use crate::log::Log;
use crate::output::Output;

/// The global options.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) database: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) output: Output,
}

/// A node's directory with what its `lockstep.toml` says.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    /// The database of this command: `--database`, else the configured one. It may hold a password: for people, there
    /// is [`Home::database_shown`].
    pub(crate) database: String,
    /// The same, as it was written.
    pub(crate) named: String,
    /// Where notices go.
    pub(crate) log: Log,
}

impl Context {
    /// The directory: `--dir`, else the nearest ancestor with a lockstep.toml.
    pub(crate) fn home(&self) -> Result<Home, CliError> {
        let dir = match &self.dir {
            Some(dir) if dir.join(FILE).is_file() => dir.clone(),
            Some(dir) => {
                return Err(CliError::new(Code::NoDirectory, format!("there is no {FILE} in {}", dir.display())));
            }
            None => {
                let here = std::env::current_dir().map_err(|error| file_error(Path::new("."), &error))?;
                let found = here.ancestors().find(|dir| dir.join(FILE).is_file());
                found
                    .ok_or_else(|| {
                        CliError::new(
                            Code::NoDirectory,
                            format!("there is no {FILE} in {} or above it", here.display()),
                        )
                    })?
                    .to_owned()
            }
        };
        let config = Config::read(&dir)?;
        let named = self.database.clone().unwrap_or_else(|| config.database.clone());
        let database = match &self.database {
            Some(given) => given.clone(),
            None => resolve(&dir, &config)?,
        };
        Ok(Home { dir, config, database, named, log: Log::default() })
    }

    /// The key that signs: `--as`, else the configured actor's.
    pub(crate) fn key(&self, home: &Home) -> Result<Key, CliError> {
        let wanted = self.actor.as_deref().unwrap_or(&home.config.actor);
        find_key(&home.dir, wanted)
    }
}

/// The key of an actor by full or short name.
pub(crate) fn find_key(dir: &Path, wanted: &str) -> Result<Key, CliError> {
    if ActorId::parse(wanted).is_ok() {
        let path = keys::actor_key_path(dir, wanted);
        if !path.is_file() {
            return Err(CliError::new(
                Code::UnknownKey,
                format!("there is no key of {wanted} in {}", dir.join("keys").display()),
            ));
        }
        return Key::read(&path);
    }
    let mut fitting: Vec<Key> =
        keys::all(dir)?.into_iter().filter(|key| key.owner.split('@').next() == Some(wanted)).collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(CliError::new(Code::Ambiguous, format!("several actors are called {wanted}"))),
        (None, _) => Err(CliError::new(
            Code::UnknownKey,
            format!("there is no key of {wanted} in {}", dir.join("keys").display()),
        )),
    }
}

/// An actor's full name; a short one is of this participant.
pub(crate) fn full_name(wanted: &str, participant: &str) -> Result<ActorId, CliError> {
    let usage = |error: lockstep_core::names::NameError| CliError::new(Code::Usage, error.to_string());
    if wanted.contains('@') {
        return ActorId::parse(wanted).map_err(usage);
    }
    let participant = ParticipantName::parse(participant).map_err(usage)?;
    Ok(ActorId::of(&ActorName::parse(wanted).map_err(usage)?, &participant))
}

impl Home {
    /// What a node on this directory is made of.
    pub(crate) async fn parts(&self) -> Result<Parts, CliError> {
        let log = self.log.clone();
        Ok(Parts {
            database: open_database(&self.database, Access::Write).await?,
            engine: engine(Some(self.dir.join("cache")))?,
            signer: Arc::new(Key::read(&keys::node_key_path(&self.dir))?.signer),
            clock: Arc::new(SystemClock),
            checkpoint: self.checkpoint(),
            notice: Arc::new(move |text| log.warning(text)),
        })
    }

    /// The latest checkpoint, beside the keys.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// The database's URL without a password.
    pub(crate) fn database_shown(&self) -> String {
        shown(&self.database)
    }

    /// The database, to read only.
    pub(crate) async fn reader(&self) -> Result<Arc<dyn Database>, CliError> {
        open_database(&self.database, Access::Read).await
    }
}

/// What executes contracts.
pub(crate) fn engine(cache_dir: Option<PathBuf>) -> Result<Arc<WasmEngine>, CliError> {
    let config = WasmConfig { cache_dir, ..WasmConfig::default() };
    WasmEngine::new(config).map(Arc::new).map_err(|error| CliError::new(Code::Internal, error.to_string()))
}

/// One process writes to a directory at a time.
pub(crate) fn lock(dir: &Path) -> Result<File, CliError> {
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(|error| file_error(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(CliError::new(Code::DirectoryInUse, format!("another process writes to {}", dir.display())))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(file_error(&path, &error)),
    }
}

/// The configured database: a relative SQLite file is relative to the directory, and so is a password's file.
fn resolve(dir: &Path, config: &Config) -> Result<String, CliError> {
    if let Some(file) = config.database.strip_prefix("sqlite:") {
        return Ok(format!("sqlite:{}", dir.join(file).display()));
    }
    match &config.password_file {
        Some(file) => Ok(with_password(&config.database, &keys::read_password(&dir.join(file))?)),
        None => Ok(config.database.clone()),
    }
}
