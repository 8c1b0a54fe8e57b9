//! `lockstep record list`: the records of a spec, with their projected columns.

use std::sync::Arc;

use lockstep_core::database::Page;
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::json::{Json, Limits, Object, json};
use lockstep_core::names::SpecName;
use lockstep_core::projection::ColumnType;
use lockstep_core::record::OnContract;
use lockstep_core::spec::PARTIES;
use lockstep_core::sync::{Reader, Rights, Seen};
use lockstep_core::tables::{Row, Table};

use crate::error::CliError;
use crate::output::Output;
use crate::stored::{Stored, cell, count, text, typed, value};

/// Rows that are read at once.
const PAGE: usize = 1000;

/// Prints the records of a table in key order, all of one moment.
pub(crate) async fn list(
    output: Output,
    stored: &Stored,
    directory: &Directory,
    table: &Table,
    limit: usize,
    reader: Option<&Reader>,
) -> Result<(), CliError> {
    let mut snapshot = stored.database().snapshot().await?;
    let key = table.key_positions();
    let mut page = Page { after: None, limit: PAGE.min(limit) };
    let mut found = Vec::new();
    while page.limit > 0 {
        let rows = snapshot.page(table, &page).await?;
        found.extend(rows.iter().map(|row| listed(directory, table, row, reader)));
        let full = rows.len() == page.limit;
        page.after = rows.last().map(|row| key.iter().filter_map(|at| row.get(*at).cloned()).collect());
        page.limit = if full { PAGE.min(limit.saturating_sub(found.len())) } else { 0 };
    }
    print_list(output, table, &found);
    output.document(&Json::from(found));
    Ok(())
}

/// The spec's version that governs a record on this contract version.
fn governing(directory: &Directory, spec: &str, on: &str) -> Option<Arc<SpecEntry>> {
    let (on, spec) = (OnContract::parse(on)?, SpecName::parse(spec).ok()?);
    let manifest = &directory.contracts().get(&on.name)?.get(&on.version)?.manifest;
    directory.spec_of(manifest, &spec).cloned()
}

fn listed(directory: &Directory, table: &Table, row: &Row, reader: Option<&Reader>) -> Json {
    let on = text(table, row, "lockstep_contract");
    let (contract, version) = on.split_once('@').unwrap_or((&on, ""));
    let seq = count(table, row, "lockstep_seq").unwrap_or_default();
    let entry = governing(directory, &table.name, &on);
    let parties = Json::parse(text(table, row, PARTIES).as_bytes(), &Limits::default()).unwrap_or_default();
    let projections = entry.iter().flat_map(|entry| entry.spec.projections.iter().map(move |found| (entry, found)));
    let projected: Object = projections
        .filter(|(entry, (_, projection))| {
            let seen = Seen { spec: &entry.spec, parties: &parties };
            reader.is_none_or(|reader| reader.reads(seen, &projection.section, seq))
        })
        .map(|(_, (column, projection))| {
            // A decimal is text wherever JSON is, as in the sections it comes from.
            let typed = match (projection.kind, cell(table, row, column)) {
                (ColumnType::Decimal(..), _) | (_, None) => value(table, row, column),
                (_, Some(cell)) => typed(cell),
            };
            (column.clone(), typed)
        })
        .collect();
    json!({
        "record_id": value(table, row, "record_id"), "seq": seq, "contract": contract, "contract_version": version,
        "scope": value(table, row, "lockstep_scope"), "head": value(table, row, "lockstep_head"),
        "updated_at": value(table, row, "lockstep_updated_at"), "projected": projected
    })
}

fn print_list(output: Output, table: &Table, found: &[Json]) {
    let mut projected: Vec<&str> = Vec::new();
    for record in found {
        let columns = record.get("projected").and_then(Json::as_object).into_iter().flat_map(Object::keys);
        for column in columns {
            if !projected.contains(&column) {
                projected.push(column);
            }
        }
    }
    if found.is_empty() {
        output.note(format!("{} has no records yet", table.name));
        return;
    }
    let plain = |json: Option<&Json>| match json {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let header: Vec<&str> = ["record", "seq"].into_iter().chain(projected.iter().copied()).chain(["updated"]).collect();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|record| {
            let mut cells = vec![plain(record.get("record_id")), plain(record.get("seq"))];
            cells.extend(
                projected.iter().map(|column| plain(record.get("projected").and_then(|columns| columns.get(column)))),
            );
            cells.push(plain(record.get("updated_at")));
            cells
        })
        .collect();
    output.table(&header, &rows);
}
