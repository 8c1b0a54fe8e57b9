//! Step `relay`: from the outbox to brokers, in order for each record, at least once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use lockstep_core::broker::{Broker, BrokerError, Message};
use lockstep_core::clock::Clock;
use lockstep_core::database::{Database, DatabaseError, Delivery, Pending};
use lockstep_core::project::own_tables_by_name;
use lockstep_core::tables::{Cell, name};
use tokio::sync::watch;

use crate::load::cell;
use crate::open::Node;

/// How many notifications are read at once.
const PAGE: usize = 1000;

/// How long what a broker did not take waits where no commit comes before.
const PAUSE: Duration = Duration::from_secs(1);

/// Relays at most `limit` waiting notifications; returns how many were confirmed.
///
/// A notification counts as delivered only when the broker has confirmed it. After one that was not, later ones
/// of the same record wait; other records go on.
///
/// # Errors
/// The database's; what brokers say is noted in the outbox.
pub async fn relay_once(
    database: &dyn Database,
    broker: &dyn Broker,
    clock: &dyn Clock,
    limit: usize,
) -> Result<usize, DatabaseError> {
    let own = own_tables_by_name();
    let Some(table) = own.get(name::OUTBOX) else { return Ok(0) };
    let rows = database.undelivered(limit).await?;
    let messages: Vec<Message> = rows
        .iter()
        .map(|row| {
            let text = |column: &str| cell(table, row, column).and_then(Cell::as_str).unwrap_or_default().to_owned();
            Message { id: text("id"), key: text("aggregateid"), kind: text("type"), payload: text("payload") }
        })
        .collect();
    if messages.is_empty() {
        return Ok(0);
    }
    let answers = broker.publish(&messages).await;
    let mut held: BTreeSet<&str> = BTreeSet::new();
    let mut deliveries = Vec::new();
    let no_answer = || Err(BrokerError::Unavailable("it gave no answer".to_owned()));
    for ((row, message), answer) in
        rows.iter().zip(&messages).zip(answers.into_iter().chain(std::iter::repeat_with(no_answer)))
    {
        if held.contains(message.key.as_str()) {
            continue;
        }
        let result = match answer {
            Ok(()) => Ok(clock.now()),
            Err(error) => {
                held.insert(&message.key);
                Err(error.to_string())
            }
        };
        let attempt = cell(table, row, "attempts").and_then(Cell::as_count).unwrap_or_default() + 1;
        deliveries.push(Delivery { id: message.id.clone(), attempt, result });
    }
    database.deliver(&deliveries).await?;
    Ok(deliveries.iter().filter(|delivery| delivery.result.is_ok()).count())
}

/// Relays what waits to each of the brokers, until nothing more is confirmed.
///
/// # Errors
/// As for [`relay_once`].
pub async fn relay_all(
    database: &dyn Database,
    brokers: &[Box<dyn Broker>],
    clock: &dyn Clock,
) -> Result<(), DatabaseError> {
    for broker in brokers {
        while relay_once(database, broker.as_ref(), clock, PAGE).await? > 0 {}
    }
    Ok(())
}

/// Relays after each commit, and now and then in between for what a broker did not take, until `stop` is true.
/// What the database says is told to the node's notice, once for each time that it begins to say so.
pub async fn keep_relaying(node: Node, brokers: Vec<Box<dyn Broker>>, mut stop: watch::Receiver<bool>) {
    let mut commits = node.commits();
    let mut told = false;
    while !*stop.borrow_and_update() {
        commits.mark_unchanged();
        let relayed = relay_all(node.database(), &brokers, node.clock()).await;
        if let (Err(error), false) = (&relayed, told) {
            node.notice(&format!("notifications wait: {error}"));
        }
        told = relayed.is_err();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            _ = commits.changed(), if !told => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Appends notifications to a file, a CloudEvent a line.
#[derive(Clone, Debug)]
pub struct FileBroker {
    name: String,
    path: PathBuf,
}

impl FileBroker {
    /// A broker that appends to `path`.
    #[must_use]
    pub fn new(name: String, path: PathBuf) -> Self {
        FileBroker { name, path }
    }

    fn append(&self, messages: &[Message]) -> std::io::Result<()> {
        use std::io::Write;
        let mut lines = String::new();
        for message in messages {
            lines.push_str(&message.payload);
            lines.push('\n');
        }
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(lines.as_bytes())?;
        file.sync_data()
    }
}

impl Broker for FileBroker {
    fn name(&self) -> &str {
        &self.name
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> Pending<'a, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            let (broker, owned) = (self.clone(), messages.to_vec());
            let written = tokio::task::spawn_blocking(move || broker.append(&owned)).await;
            let answer = match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(BrokerError::Unavailable(format!("{}: {error}", self.path.display()))),
                Err(error) => Err(BrokerError::Unavailable(error.to_string())),
            };
            vec![answer; messages.len()]
        })
    }
}
