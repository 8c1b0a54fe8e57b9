//! What an intent called, for people: a method, raw changes, or what this node may not know.

use std::collections::BTreeSet;

use lockstep_core::database::Database;
use lockstep_core::json::{Json, Limits};
use lockstep_core::project::own_tables_by_name;
use lockstep_core::tables::{Cell, name};

use crate::error::CliError;
use crate::stored::cell;

/// The intents among these whose call this node was not given. Their rows name no method, as those of raw changes do;
/// only their openings tell the two apart.
pub(crate) async fn hidden_calls<'a>(
    database: &dyn Database,
    listed: impl IntoIterator<Item = &'a Json>,
) -> Result<BTreeSet<String>, CliError> {
    let unnamed = listed.into_iter().filter(|one| part(one, "method").is_empty());
    let ids: BTreeSet<&str> = unnamed.map(|one| part(one, "intent_id")).collect();
    let own = own_tables_by_name();
    let Some(table) = own.get(name::INTENT).filter(|_| !ids.is_empty()) else { return Ok(BTreeSet::new()) };
    let ids: Vec<Cell> = ids.into_iter().map(|id| Cell::Text(id.to_owned())).collect();
    let rows = database.select(table, "intent_id", &ids).await?;
    let hidden = rows.iter().filter(|row| {
        let stored = cell(table, row, "openings").and_then(Cell::as_bytes).unwrap_or_default();
        let openings = Json::parse(stored, &Limits { bytes: 64 << 20, ..Limits::default() }).unwrap_or_default();
        openings.get("call").is_some_and(Json::is_null)
    });
    Ok(hidden.filter_map(|row| cell(table, row, "intent_id").and_then(Cell::show)).collect())
}

/// The words for one of them.
pub(crate) fn called(one: &Json, hidden: &BTreeSet<String>) -> String {
    match part(one, "method") {
        "" if hidden.contains(part(one, "intent_id")) => "hidden method".to_owned(),
        "" => "raw changes".to_owned(),
        method => format!("{}.{method}", part(one, "contract")),
    }
}

fn part<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}
