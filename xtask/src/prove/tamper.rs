//! Proof `tamper`: whoever edits a managed table with plain SQL is named to the cell, and nobody else is.
//!
//! A case makes up a story, plays it into a SQLite file and audits it: a clean database has no finding. In some
//! cases a second connection then edits the file: every sealed and derived column, as `table_xinfo` of the file
//! itself lists them, in every way; rows deleted, doubled and swapped, tails cut, the whole file replaced by an older
//! one. After each edit the audit must name table, key and column and accuse no other row; then the edit is undone.
//! A column that the catalogue of classes does not know is a failure.

mod edits;
mod file;

use std::path::Path;
use std::sync::Arc;

use lockstep_core::audit::{Finding, Known, Report};
use lockstep_core::codes::Code;
use lockstep_core::database::Database;
use lockstep_vm::{WasmConfig, WasmEngine};

use super::job::processors;
use super::replay::story::{Packages, Story};
use super::replay::world::{Manner, World, sqlite};
use super::{Dice, Job, Totals};
use edits::edits;
use file::{Column, File, Row, Table};

/// Clean databases of the whole proof.
const DATABASES: u64 = 200;
/// Of so many databases one is edited: 20 of the whole proof, a row of each table in each.
const EDITED: u64 = 10;
/// From this scale on every edit of a cell is tried; below it one.
const EVERYTHING: f64 = 0.1;

/// Runs it.
pub(super) fn run(job: &mut Job) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let engine = Arc::new(WasmEngine::new(WasmConfig::default()).map_err(|error| error.to_string())?);
    let packages = Packages::read()?;
    let kinds = if job.scale < EVERYTHING { 1 } else { usize::MAX };
    job.cases(job.scaled(DATABASES), processors(), |number, dice, folder| {
        let edited = number % EDITED == 0;
        runtime.block_on(case(&packages, &engine, dice, folder, edited.then_some(kinds)))
    })
}

async fn case(
    packages: &Packages,
    engine: &Arc<WasmEngine>,
    dice: &mut Dice,
    folder: &Path,
    kinds: Option<usize>,
) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let (again, secret) = (dice.clone(), dice.bytes());
    let story = Story::make_up(&mut again.clone(), packages)?;
    let path = folder.join("lockstep.db");
    let checkpoint = folder.join("checkpoint");
    let database: Arc<dyn Database> = Arc::new(sqlite(&path).await?);
    World::play(&story, database.clone(), engine.clone(), secret, checkpoint.clone(), Manner::Alone).await?;
    let note = std::fs::read_to_string(&checkpoint).map_err(|error| error.to_string())?;
    let file = File::open(&path, database, note).await?;
    let report = file.audit(Some(engine.as_ref())).await?;
    totals.count("databases", 1);
    totals.count("rows", report.counts.values().sum());
    totals.count("executed", report.executed);
    if !report.is_clean() {
        totals.fail(format!("false alarm: {}", told(&report)));
        return Ok(totals);
    }
    let Some(kinds) = kinds else { return Ok(totals) };
    for table in file.tables().await? {
        for column in table.columns.iter().filter(|column| column.class.is_none()) {
            totals.fail(format!("{}.{} has no class", table.name, column.name));
        }
        cells(&file, &table, kinds, dice, &mut totals).await?;
        rows(&file, &table, dice, &mut totals).await?;
    }
    older(&file, Story::make_up(&mut again.clone(), packages)?, engine, secret, folder, &mut totals).await?;
    let left = file.audit(None).await?;
    totals.must("clean_again", left.is_clean(), || format!("after all edits were undone: {}", told(&left)));
    Ok(totals)
}

/// One row of a table, every sealed and derived cell, in every way.
async fn cells(file: &File, table: &Table, kinds: usize, dice: &mut Dice, totals: &mut Totals) -> Result<(), String> {
    let all = file.rows(table).await?;
    let Some(row) = dice.pick(&all) else { return Ok(()) };
    totals.count("edited_rows", 1);
    for column in table.columns.iter().filter(|column| column.is_proven()) {
        totals.count("edited_cells", 1);
        let mut tries = edits(column, row, &all, dice);
        while tries.len() > kinds {
            let at = usize::try_from(dice.below(u64::try_from(tries.len()).unwrap_or(0))).unwrap_or(0);
            drop(tries.swap_remove(at));
        }
        for (kind, literal) in tries {
            totals.count("edits", 1);
            cell(file, table, column, row, (kind, &literal), totals).await?;
        }
    }
    Ok(())
}

async fn cell(
    file: &File,
    table: &Table,
    column: &Column,
    row: &Row,
    (kind, literal): (&str, &str),
    totals: &mut Totals,
) -> Result<(), String> {
    let update = format!("UPDATE {} SET \"{}\" = {literal} WHERE {}", table.quoted(), column.name, row.is_this());
    if file.execute(&[&update]).await.is_err() {
        totals.count("refused_by_the_database", 1);
        return Ok(());
    }
    let mut literals = row.literals.clone();
    if let Some(place) = literals.get_mut(column.at) {
        *place = literal.to_owned();
    }
    let now = file.row(table, &table.condition(&literals)).await?;
    if now.as_ref().is_some_and(|now| now.literals == row.literals) {
        totals.count("void", 1);
        return Ok(());
    }
    let report = file.audit(None).await?;
    let keys = [Some(row), now.as_ref()].map(|row| row.map(|row| row.key.clone()).unwrap_or_default());
    let own = |finding: &&Finding| finding.table == table.name && keys.contains(&key_of(finding));
    let named = report
        .findings
        .iter()
        .filter(own)
        .any(|finding| column.in_key || finding.column.as_deref() == Some(column.name.as_str()));
    let accused = report.findings.iter().find(|finding| !own(finding));
    let what = || {
        format!(
            "{}.{} at {:?}, {kind} ({})",
            table.name,
            column.name,
            row.key,
            literal.chars().take(60).collect::<String>()
        )
    };
    totals.must("named", named, || format!("{} is not named: {}", what(), told(&report)));
    totals.must("nobody_else_accused", accused.is_none(), || format!("{} accuses others: {}", what(), told(&report)));
    file.put_back(table, row, now.as_ref()).await
}

/// Whole rows: deleted, doubled, swapped, tails cut.
async fn rows(file: &File, table: &Table, dice: &mut Dice, totals: &mut Totals) -> Result<(), String> {
    let all = file.rows(table).await?;
    let Some(row) = dice.pick(&all) else { return Ok(()) };
    let of_table = |finding: &Finding| finding.table == table.name;
    file.execute(&[&format!("DELETE FROM {} WHERE {}", table.quoted(), row.is_this())]).await?;
    let report = file.audit(None).await?;
    let missing = |finding: &&Finding| {
        finding.code == Code::RowMissing
            && of_table(finding)
            && (key_of(finding) == row.key || finding.key.iter().any(|(column, _)| column == "log_position"))
    };
    let precise = report.findings.len() == 1 && report.findings.iter().filter(missing).count() == 1;
    totals
        .must("deleted_rows_named", precise, || format!("{} at {:?} deleted: {}", table.name, row.key, told(&report)));
    file.put_back(table, row, None).await?;
    let (double, undo) = table.double_of(row);
    if file.execute(&[&double]).await.is_ok() {
        let report = file.audit(None).await?;
        let precise = report.findings.len() == 1
            && report.findings.iter().all(|finding| finding.code == Code::RowExtra && of_table(finding));
        totals.must("doubled_rows_named", precise, || {
            format!("{} at {:?} doubled: {}", table.name, row.key, told(&report))
        });
        file.execute(&[&undo]).await?;
    }
    if let Some(other) = dice.pick(&all).filter(|other| other.key != row.key) {
        let swaps = table.swap(row, other);
        let swaps: Vec<&str> = swaps.iter().map(String::as_str).collect();
        if !swaps.is_empty() && file.execute(&swaps).await.is_ok() {
            let report = file.audit(None).await?;
            let both = [row, other]
                .iter()
                .all(|one| report.findings.iter().any(|finding| of_table(finding) && key_of(finding) == one.key));
            totals.must("swapped_rows_named", both, || {
                format!("{} at {:?} and {:?} swapped: {}", table.name, row.key, other.key, told(&report))
            });
        }
        let gone = [row, other].map(|one| format!("DELETE FROM {} WHERE {}", table.quoted(), one.is_this()));
        file.execute(&gone.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        file.put_back(table, row, None).await?;
        file.put_back(table, other, None).await?;
    }
    let tail: Vec<&Row> = all.iter().rev().take(3).collect();
    for row in &tail {
        file.execute(&[&format!("DELETE FROM {} WHERE {}", table.quoted(), row.is_this())]).await?;
    }
    let report = file.audit(None).await?;
    totals.must("cut_tails_found", report.findings.iter().any(of_table), || {
        format!("tail of {} cut: {}", table.name, told(&report))
    });
    for row in &tail {
        file.put_back(table, row, None).await?;
    }
    Ok(())
}

/// The whole file as it was some steps ago, which is clean in itself.
async fn older(
    file: &File,
    mut story: Story,
    engine: &Arc<WasmEngine>,
    secret: [u8; 32],
    folder: &Path,
    totals: &mut Totals,
) -> Result<(), String> {
    story.steps.pop();
    let path = folder.join("older.db");
    let database: Arc<dyn Database> = Arc::new(sqlite(&path).await?);
    World::play(&story, database.clone(), engine.clone(), secret, folder.join("older-checkpoint"), Manner::Alone)
        .await?;
    let older = File::open(&path, database, file.note.clone()).await?;
    let report = older.audit(None).await?;
    let behind = report.findings.iter().all(|finding| finding.code == Code::BehindCheckpoint) && !report.is_clean();
    totals.must("older_copies_found", behind, || format!("an older copy: {}", told(&report)));
    Ok(())
}

fn key_of(finding: &Finding) -> Vec<String> {
    finding.key.iter().map(|(_, cell)| cell.show().unwrap_or_default()).collect()
}

fn told(report: &Report) -> String {
    let one =
        |finding: &Finding| format!("{} {} {:?} {:?}", finding.code, finding.table, key_of(finding), finding.column);
    let all: Vec<String> = report.findings.iter().take(4).map(one).collect();
    if all.is_empty() { "no finding".to_owned() } else { all.join("; ") }
}

/// What the audit is told besides the file.
fn known<'a>(note: &'a str, engine: Option<&'a WasmEngine>) -> Known<'a> {
    let executor =
        engine.map(|engine| (engine as &dyn lockstep_core::engine::Engine, lockstep_core::engine::Limits::default()));
    Known { checkpoint: Some(note), executor, ..Known::default() }
}
