//! What tables take, and what an intent takes of each.

use std::path::Path;

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, Object};
use lockstep_core::tables::name;

use crate::context::{Context, Home};
use crate::error::{CliError, Exit};
use crate::stored::Stored;

pub(super) async fn run(context: &Context, home: &Home) -> Result<Exit, CliError> {
    let tables = tables(&home.database).await?;
    let intents = intents(home).await?;
    let total: u64 = tables.iter().map(|(_, bytes)| bytes).sum();
    let each = |bytes: u64| bytes.checked_div(intents);
    let mut document: Object = tables.iter().map(|(table, bytes)| (table.clone(), Json::from(*bytes))).collect();
    document.insert("total", Json::from(total));
    document.insert("intents", Json::from(intents));
    let of_each = tables.iter().map(|(table, bytes)| (table.clone(), each(*bytes).map_or(Json::Null, Json::from)));
    document.insert("per_intent", Json::Object(of_each.collect()));
    context.output.document(&Json::Object(document));
    let row = |table: &str, bytes: u64| {
        vec![table.to_owned(), bytes.to_string(), each(bytes).map_or_else(String::new, |each| each.to_string())]
    };
    let mut rows: Vec<Vec<String>> = tables.iter().map(|(table, bytes)| row(table, *bytes)).collect();
    rows.push(row("all", total));
    context.output.table(&["table", "bytes", "per intent"], &rows);
    context.output.note(format!("{intents} intents"));
    Ok(Exit::Done)
}

async fn intents(home: &Home) -> Result<u64, CliError> {
    let stored = Stored::open(home).await?;
    let answer = stored.database().query(&format!("SELECT count(*) FROM {}", name::INTENT), 1).await?;
    Ok(answer.rows.first().and_then(|row| row.first()?.as_count()).unwrap_or_default())
}

/// Pages of each table with its indexes, the largest first.
async fn tables(url: &str) -> Result<Vec<(String, u64)>, CliError> {
    if let Some(file) = url.strip_prefix("sqlite:").filter(|file| !Path::new(file).exists()) {
        return Err(CliError::new(Code::DatabaseUnavailable, format!("{file}: there is no such file")));
    }
    let stored = crate::databases::stored(url).await?;
    let mut found: Vec<(String, u64)> = stored.into_iter().map(|(table, stored)| (table, stored.pages)).collect();
    found.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    Ok(found)
}
