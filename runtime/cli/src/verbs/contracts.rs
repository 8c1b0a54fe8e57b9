//! `lockstep contract list`: the versions, who has agreed to them, and how many records are on each.

use std::collections::BTreeMap;

use lockstep_core::directory::{Body, Contract, Directory, DirectoryEvent, Status};
use lockstep_core::json::{Json, json};
use lockstep_core::tables::Cell;

use crate::context::Context;
use crate::databases::quoted;
use crate::error::{CliError, Exit};
use crate::stored::{Stored, damaged};

/// Records by the contract version that they are on, as `NAME@VERSION`.
type Records = BTreeMap<String, u64>;

pub(crate) async fn run(context: &Context) -> Result<Exit, CliError> {
    let home = context.home()?;
    let stored = Stored::open(&home).await?;
    let (events, directory) = (stored.directory_events().await?, stored.directory().await?);
    let records = records(&home.database, &stored, &directory).await?;
    let versions = directory.contracts().values().flat_map(BTreeMap::values);
    let all: Vec<Json> = versions.map(|contract| describe(contract, &directory, &events, &records)).collect();
    context.output.document(&all.iter().cloned().collect::<Json>());
    let columns = ["name", "version", "status", "records", "digest"];
    let text = |json: &Json, name: &str| match json.get(name) {
        Some(Json::String(text)) => text.clone(),
        other => other.map(Json::canonical).unwrap_or_default(),
    };
    let rows: Vec<Vec<String>> = all.iter().map(|one| columns.iter().map(|name| text(one, name)).collect()).collect();
    context.output.table(&["contract", "version", "status", "records", "digest"], &rows);
    Ok(Exit::Done)
}

async fn records(url: &str, stored: &Stored, directory: &Directory) -> Result<Records, CliError> {
    let mut records = Records::new();
    for table in directory.record_tables().iter().filter(|table| table.position("lockstep_contract").is_some()) {
        let name = quoted(url, &table.name);
        let sql = format!("SELECT lockstep_contract, count(*) FROM {name} GROUP BY lockstep_contract");
        for row in stored.database().query(&sql, usize::MAX).await?.rows {
            let [Cell::Text(version), count] = row.as_slice() else { return Err(damaged(&table.name)) };
            *records.entry(version.clone()).or_default() += count.as_count().unwrap_or_default();
        }
    }
    Ok(records)
}

fn describe(contract: &Contract, directory: &Directory, events: &[DirectoryEvent], records: &Records) -> Json {
    let (manifest, digest) = (&contract.manifest, contract.manifest.digest());
    let approves =
        |event: &&DirectoryEvent| matches!(event.body, Body::ContractApprove { package } if package == digest);
    let approvals = events.iter().filter(approves).map(|event| {
        json!({"participant": event.by.participant().as_str(), "actor": event.by.to_string(), "time": event.time.to_string()})
    });
    let missing = directory.voters().filter(|voter| !contract.approvals.contains(*voter)).map(Json::from);
    // What is in force waits for nobody.
    let missing = missing.filter(|_| contract.status == Status::Proposed);
    let version = format!("{}@{}", manifest.name, manifest.version);
    json!({
        "name": manifest.name.as_str(), "version": manifest.version.to_string(), "digest": digest.to_string(),
        "status": contract.status.as_str(), "approvals": approvals.collect::<Json>(), "missing": missing.collect::<Json>(),
        "records": records.get(&version).copied().unwrap_or(0)
    })
}
