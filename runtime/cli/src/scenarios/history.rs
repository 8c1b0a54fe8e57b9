//! `contract test --against-history`: a package on the intents of a real database, which is only read.

use lockstep_core::audit::{Difference, Rehearsal, RehearseError, Rehearsed, rehearse};
use lockstep_core::engine::Engine;
use lockstep_core::package::Package;
use lockstep_node::NodeConfig;

use super::Case;
use crate::context::{Access, open_database};
use crate::error::CliError;
use crate::stored::damaged;

/// Has the package judge the history in a database; a case for each method, and one for what was not tried.
pub(crate) async fn against_history(
    package: &Package,
    history: &str,
    engine: &dyn Engine,
) -> Result<Vec<Case>, CliError> {
    let url = if history.contains(':') { history.to_owned() } else { format!("sqlite:{history}") };
    let database = open_database(&url, Access::Read).await?;
    let mut snapshot = database.snapshot().await?;
    let limits = NodeConfig::default().limits;
    match rehearse(snapshot.as_mut(), package.clone(), engine, limits).await {
        Ok(rehearsal) => Ok(cases(&rehearsal, package.manifest.name.as_str())),
        Err(RehearseError::Database(error)) => Err(error.into()),
        Err(error @ RehearseError::Damaged(_)) => {
            Err(damaged(error).hint(format!("lockstep verify --database {url}    names each")))
        }
    }
}

fn cases(rehearsal: &Rehearsal, contract: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = rehearsal.calls.iter().map(|(called, rehearsed)| case(called, rehearsed)).collect();
    let skipped: u64 = rehearsal.skipped.values().sum();
    if skipped > 0 {
        let diff = rehearsal.skipped.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        cases.push(Case { name: format!("skipped: {}", intents(skipped)), ok: true, diff });
    }
    if cases.is_empty() {
        let name = format!("skipped: the history has no intents of {contract}");
        cases.push(Case { name, ok: true, diff: Vec::new() });
    }
    cases
}

fn case(called: &str, rehearsed: &Rehearsed) -> Case {
    let mut diff: Vec<String> = rehearsed.differences.iter().map(line).collect();
    let more = rehearsed.differing - rehearsed.differences.len() as u64;
    diff.extend((more > 0).then(|| format!("and {} more", intents(more))));
    let name = format!("history: {called}, {}", intents(rehearsed.intents));
    Case { name, ok: rehearsed.differing == 0, diff }
}

fn intents(count: u64) -> String {
    format!("{count} intent{}", if count == 1 { "" } else { "s" })
}

/// The id is cut as lists cut it; it is enough for `intent show` and `intent replay`.
fn line(difference: &Difference) -> String {
    let Difference { intent, record, seq, what } = difference;
    format!("{} on {record} at seq {seq}: {what}", intent.to_string().get(..12).unwrap_or_default())
}
