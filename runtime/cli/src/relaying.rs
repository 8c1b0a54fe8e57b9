//! The brokers of the configuration: what `run` relays to all the time, and other verbs after what they wrote.

use lockstep_core::broker::{Broker, MemoryBroker};
use lockstep_core::codes::Code;
use lockstep_node::{FileBroker, Node, relay_all};

use crate::config::BrokerConfig;
use crate::context::Home;
use crate::error::CliError;

/// Where a node without brokers keeps its latest notifications.
const IN_MEMORY: usize = 1000;

/// The brokers that the configuration names; without any, one in memory.
pub(crate) fn brokers(home: &Home) -> Result<Vec<Box<dyn Broker>>, CliError> {
    match home.config.brokers.as_slice() {
        [] => Ok(vec![Box::new(MemoryBroker::new(IN_MEMORY))]),
        some => some.iter().map(|broker| open(home, broker)).collect(),
    }
}

/// Relays what commits left in the outbox; a broker that is down keeps nothing else waiting.
pub(crate) async fn relay(node: &Node, home: &Home) -> Result<(), CliError> {
    Ok(relay_all(node.database(), &brokers(home)?, node.clock()).await?)
}

fn open(home: &Home, broker: &BrokerConfig) -> Result<Box<dyn Broker>, CliError> {
    match broker.url.strip_prefix("file:") {
        Some(file) => Ok(Box::new(FileBroker::new(broker.name.clone(), home.dir.join(file)))),
        None => Err(CliError::new(
            Code::Configuration,
            format!("broker {}: this binary has no adapter for {}; it has: file", broker.name, broker.url),
        )),
    }
}
