//! `lockstep database copy`: from one database to another, of any kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::audit::Report;
use lockstep_core::codes::Code;
use lockstep_core::database::{Batch, Database, Page, Snapshot, TableWrites, Write};
use lockstep_core::json::{Json, Object, json};
use lockstep_core::tables::{Cell, LOG_HEAD, Row, Table, name};
use lockstep_node::all_tables;

use crate::check::check;
use crate::context::{Access, Context, Home, open_database};
use crate::databases::shown;
use crate::error::{CliError, Exit};
use crate::stored::{Stored, damaged};

/// Rows that are copied at once.
const PAGE: usize = 512;

/// The log's head while a copy is under way; no node opens a database with such a head.
const UNDER_WAY: &str = "copying";

/// Copies what a database holds at one moment into another one, and verifies both.
pub(super) async fn run(context: &Context, home: &Home, from: &str, to: &str) -> Result<Exit, CliError> {
    let source = open_database(from, Access::Read).await?;
    let directory = Stored::of(source.clone()).directory().await?;
    let target = open_database(to, Access::Create).await?;
    if target.head().await?.is_some() {
        let message = format!("{} holds a node's tables already", shown(to));
        return Err(CliError::new(Code::Usage, message).hint("name another file or schema"));
    }
    let tables = all_tables(&directory);
    target.prepare(&tables).await?;
    let mut snapshot = source.snapshot().await?;
    let rows = copy_rows(snapshot.as_mut(), target.as_ref(), &tables, context).await?;
    drop((snapshot, source, target));
    context.output.note("verifying both");
    let before = check(home, from, None, false, &mut |_| {}).await?;
    let after = check(home, to, None, false, &mut |_| {}).await?;
    Ok(show(context, to, &rows, &before, &after))
}

fn show(context: &Context, to: &str, rows: &BTreeMap<String, u64>, before: &Report, after: &Report) -> Exit {
    let root = |report: &Report| report.root.map(|root| root.to_string());
    let same = root(before) == root(after) && before.is_clean() == after.is_clean() && before.counts == after.counts;
    let counted: Object = rows.iter().map(|(table, count)| (table.clone(), Json::from(*count))).collect();
    context.output.document(&json!({
        "rows": Json::Object(counted), "root_from": Json::from(root(before)), "root_to": Json::from(root(after)), "same": same
    }));
    let all: u64 = rows.values().sum();
    context.output.line(format!("{all} rows of {} tables are in {}", rows.len(), shown(to)));
    if same {
        context.output.note("to go on there, write it into lockstep.toml as database");
        return Exit::Done;
    }
    context.output.line("the copy does not verify as the original does: lockstep verify --database tells what differs");
    Exit::Found
}

/// Copies all tables; back come the rows of each.
async fn copy_rows(
    snapshot: &mut dyn Snapshot,
    target: &dyn Database,
    tables: &[Table],
    context: &Context,
) -> Result<BTreeMap<String, u64>, CliError> {
    let (mut rows, mut expected, mut head) = (BTreeMap::new(), None, None);
    for table in tables {
        context.output.note(format!("copying {}", table.name));
        let (mut page, mut count) = (Page { after: None, limit: PAGE }, 0);
        let shared = Arc::new(table.clone());
        loop {
            let found = snapshot.page(table, &page).await?;
            let Some(last) = found.last() else { break };
            page.after = Some(table.key_positions().into_iter().filter_map(|at| last.get(at).cloned()).collect());
            count += found.len() as u64;
            let (heads, others): (Vec<Row>, Vec<Row>) = found.into_iter().partition(|row| is_head(table, row));
            head = heads.into_iter().next().and_then(|row| row.get(1).and_then(Cell::show)).or(head);
            let writes = others.into_iter().map(Write::Insert).collect();
            commit(target, &mut expected, UNDER_WAY, vec![TableWrites { table: shared.clone(), writes }]).await?;
        }
        rows.insert(table.name.clone(), count);
    }
    let head = head.ok_or_else(|| damaged("it has no log head"))?;
    commit(target, &mut expected, &head, Vec::new()).await?;
    Ok(rows)
}

fn is_head(table: &Table, row: &Row) -> bool {
    table.name == name::META && row.first().and_then(Cell::as_str) == Some(LOG_HEAD)
}

async fn commit(
    target: &dyn Database,
    expected: &mut Option<String>,
    head: &str,
    tables: Vec<TableWrites>,
) -> Result<(), CliError> {
    let batch = Batch { expected_head: expected.take(), head: head.to_owned(), tables };
    let failed = |error: lockstep_core::database::CommitError| {
        let hint = "remove what is there and copy again";
        CliError::new(Code::DatabaseUnavailable, format!("the copy was not finished: {error}")).hint(hint)
    };
    target.commit(&batch).await.map_err(failed)?;
    *expected = Some(head.to_owned());
    Ok(())
}
