//! The way to a directory's node for verbs that write: started for this command, or the one that runs already.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::json::Json;
use lockstep_core::time::Timestamp;
use lockstep_node::{Decided, Node, NodeConfig, SubmitError, SystemClock, outcome, pending};

use crate::client::Client;
use crate::context::{Context, Home, lock};
use crate::error::CliError;
use crate::relaying::relay;
use crate::running::Running;
use crate::stored::Stored;

/// How long a command waits for the directory.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a change of the directory may be on its way from the node that orders it.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

/// Who takes what a verb writes.
pub(crate) enum Way {
    /// A node of this process.
    Started(Started),
    /// The node that runs on the directory.
    Running {
        /// How to talk to it.
        client: Client,
        /// What it commits is read from here.
        home: Box<Home>,
    },
}

/// A node on a directory that nobody else writes to meanwhile.
pub(crate) struct Started {
    pub(crate) node: Node,
    _lock: Option<File>,
}

impl Started {
    /// Starts a node on a directory that is locked until it ends.
    pub(crate) async fn on(home: &Home, lock: File) -> Result<Self, CliError> {
        Running::forget(&home.dir);
        let node = Node::open(home.parts().await?, NodeConfig::default()).await?;
        Ok(Started { node, _lock: Some(lock) })
    }
}

impl Context {
    /// The way to the directory's node: the one that runs there, else one that is started now.
    pub(crate) async fn way(&self, home: &Home) -> Result<Way, CliError> {
        let locked = match lock(&home.dir) {
            Err(error) if error.code == Code::DirectoryInUse => error,
            lock => return Ok(Way::Started(Started::on(home, lock?).await?)),
        };
        match Running::find(&home.dir) {
            None => Err(locked),
            Some(running) if !running.writes_to(home) => {
                let message = format!("process {} runs a node on this directory and another database", running.pid);
                Err(CliError::new(Code::DirectoryInUse, message))
            }
            Some(running) => Ok(Way::Running { client: Client::new(running), home: Box::new(home.clone()) }),
        }
    }
}

/// The node that runs on a directory, where one does.
pub(crate) fn running(home: &Home) -> Result<Option<Client>, CliError> {
    match lock(&home.dir) {
        Err(error) if error.code == Code::DirectoryInUse => Ok(Running::find(&home.dir).map(Client::new)),
        Err(error) => Err(error),
        Ok(_) => Ok(None),
    }
}

impl Way {
    /// A node that needs no lock, because nobody else knows of it.
    pub(crate) fn of(node: &Node) -> Self {
        Way::Started(Started { node: node.clone(), _lock: None })
    }

    /// The directory after the last commit.
    pub(crate) async fn directory(&self) -> Result<Arc<Directory>, CliError> {
        match self {
            Way::Started(started) => Ok(started.node.directory()),
            Way::Running { home, .. } => Ok(Arc::new(Stored::open(home).await?.directory().await?)),
        }
    }

    /// Whether the directory has another head than this one. What the node that orders it refuses may have come after
    /// something that is still on its way here.
    pub(crate) async fn has_moved_on(&self, seen: &Digest) -> Result<bool, CliError> {
        let until = tokio::time::Instant::now() + ON_ITS_WAY;
        loop {
            let directory = self.directory().await?;
            let elsewhere = match self {
                Way::Started(_) => false,
                Way::Running { home, .. } => directory.sequencer() != home.config.node,
            };
            if directory.head() != *seen || !elsewhere || tokio::time::Instant::now() > until {
                return Ok(directory.head() != *seen);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Now, by the clock that an intent is made under.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Way::Started(started) => started.node.now(),
            Way::Running { .. } => SystemClock.now(),
        }
    }

    /// Hands the directory an event and waits until it is committed.
    pub(crate) async fn change(&self, event: DirectoryEvent, package: Option<Vec<u8>>) -> Result<(), CliError> {
        match self {
            Way::Started(started) => Ok(started.node.change_directory(event, package, PATIENCE).await?),
            Way::Running { client, .. } => client.change(&event, package.as_deref()).await,
        }
    }

    /// Submits an intent: its outcome, or that it is pending.
    pub(crate) async fn submit(&self, bytes: Vec<u8>, wait: Duration) -> Result<Json, CliError> {
        let mut answer = None;
        match self {
            Way::Started(started) => submit_all(&started.node, vec![bytes], wait, |one| answer = Some(one)).await,
            Way::Running { client, .. } => return client.submit(bytes, wait).await,
        }
        answer.unwrap_or_else(|| Err(CliError::new(Code::Internal, "one intent, and no answer")))
    }

    /// Submits many; each answer as it comes, in order.
    pub(crate) async fn submit_all(
        &self,
        lines: Vec<Vec<u8>>,
        wait: Duration,
        take: impl FnMut(Result<Json, CliError>),
    ) -> Result<(), CliError> {
        match self {
            Way::Started(started) => {
                submit_all(&started.node, lines, wait, take).await;
                Ok(())
            }
            Way::Running { client, .. } => client.submit_all(&lines, wait, take).await,
        }
    }

    /// Ends what was started, with what it committed relayed. A node that runs relays by itself.
    pub(crate) async fn close(self, home: &Home) -> Result<(), CliError> {
        self.close_within(home, PATIENCE).await
    }

    /// As [`Way::close`], but neither relaying nor stopping lasts much longer than this. What is not relayed in time
    /// stays in the outbox for the next command.
    pub(crate) async fn close_within(self, home: &Home, limit: Duration) -> Result<(), CliError> {
        let Way::Started(started) = self else { return Ok(()) };
        let until = Instant::now() + limit;
        let relayed = tokio::time::timeout(limit, relay(&started.node, home)).await.unwrap_or(Ok(()));
        started.node.stop_within(until.saturating_duration_since(Instant::now())).await;
        relayed
    }
}

async fn submit_all(node: &Node, lines: Vec<Vec<u8>>, wait: Duration, mut take: impl FnMut(Result<Json, CliError>)) {
    for entered in node.enter(lines, wait).await {
        let unknown = pending(entered.intent());
        take(match node.decided(entered).await {
            Ok(decided) => told(node, &decided).await,
            Err(SubmitError::TimedOut(_)) => Ok(unknown),
            Err(error) => Err(error.into()),
        });
    }
}

async fn told(node: &Node, decided: &Decided) -> Result<Json, CliError> {
    Ok(outcome(node.database(), &decided.intent).await?.unwrap_or_default())
}
