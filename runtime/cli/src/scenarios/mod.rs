//! `contract test`: a contract's scenarios against its package, in the real engine and a real database.
//!
//! Every scenario has a world of its own. A passed one is removed; a failed one is kept, and its diff says
//! where. `history` adds the cases of `--against-history`: intents of a real database, judged by the package.

mod history;
mod script;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockstep_core::engine::Engine;
use lockstep_core::json::{Json, Limits, Pointer, json};
use lockstep_core::package::Package;
use lockstep_core::tables::{Cell, Kind, Row, Table};

pub(crate) use history::against_history;
use script::{Deployed, Scenario, Step, Submit};
use world::World;

/// How the scenarios went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) cases: Vec<Case>,
}

/// How one scenario went.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) ok: bool,
    /// What differs, a line each; empty where it passed.
    pub(crate) diff: Vec<String>,
}

impl Report {
    /// Adds cases.
    pub(crate) fn extend(&mut self, cases: Vec<Case>) {
        let passed = cases.iter().filter(|case| case.ok).count();
        (self.passed, self.failed) = (self.passed + passed, self.failed + cases.len() - passed);
        self.cases.extend(cases);
    }

    /// What `contract test --json` prints.
    pub(crate) fn to_json(&self) -> Json {
        let case = |case: &Case| json!({"name": case.name.as_str(), "ok": case.ok, "diff": case.diff.join("\n")});
        let cases: Vec<Json> = self.cases.iter().map(case).collect();
        json!({"passed": self.passed, "failed": self.failed, "cases": cases})
    }
}

/// The scenarios of a contract's folder, by name.
pub(crate) fn scenarios_of(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("scenarios")).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Runs scenarios one after the other. A scenario that cannot be read or run has failed.
pub(crate) async fn run_scenarios(package: &Package, scenarios: Vec<PathBuf>, engine: Arc<dyn Engine>) -> Report {
    let mut report = Report::default();
    for file in scenarios {
        let case = match Scenario::read(&file) {
            Ok(scenario) => run(package, scenario, engine.clone()).await,
            Err(error) => Case { name: file.display().to_string(), ok: false, diff: vec![error] },
        };
        match case.ok {
            true => report.passed += 1,
            false => report.failed += 1,
        }
        report.cases.push(case);
    }
    report
}

async fn run(package: &Package, scenario: Scenario, engine: Arc<dyn Engine>) -> Case {
    let diff = match world::new_folder() {
        Err(error) => vec![error],
        Ok(dir) => {
            let mut diff = play(&dir, package, &scenario, engine).await.unwrap_or_else(|error| vec![error]);
            close(&dir, &mut diff);
            diff
        }
    };
    Case { name: scenario.name, ok: diff.is_empty(), diff }
}

/// Removes a passed world, names a failed one.
fn close(dir: &Path, diff: &mut Vec<String>) {
    if !diff.is_empty() {
        diff.push(format!("its database is kept: lockstep --dir {} intent list", dir.display()));
    } else if let Err(error) = std::fs::remove_dir_all(dir) {
        diff.push(format!("it passed, but {} cannot be removed: {error}", dir.display()));
    }
}

async fn play(
    dir: &Path,
    package: &Package,
    scenario: &Scenario,
    engine: Arc<dyn Engine>,
) -> Result<Vec<String>, String> {
    let participant = scenario.node().unwrap_or_else(|| "acme".to_owned());
    let world = World::make(dir, &participant, &scenario.actors, engine).await?;
    let played = steps(&world, package, scenario).await;
    world.stop().await;
    played
}

async fn steps(world: &World, package: &Package, scenario: &Scenario) -> Result<Vec<String>, String> {
    for deployed in &scenario.deployed {
        deploy(world, package, deployed).await?;
    }
    let mut diff = Vec::new();
    for (index, step) in scenario.steps.iter().enumerate() {
        let at = |title: &str, error: String| format!("step {}, {title}: {error}", index + 1);
        match step {
            Step::Deploy(deployed) => deploy(world, package, deployed).await.map_err(|error| at("deploy", error))?,
            Step::Submit(submit) => {
                let outcome = world.submit(submit).await.map_err(|error| at(&submit.title, error))?;
                diff.extend(compare_outcome(index + 1, submit, &outcome, world.dir()));
            }
        }
    }
    for (spec, record, expected) in &scenario.rows {
        let (table, row) = world.row(spec, record).await?;
        diff.extend(compare_row(&format!("{spec} {record}"), &table, row.as_ref(), expected));
    }
    Ok(diff)
}

async fn deploy(world: &World, package: &Package, deployed: &Deployed) -> Result<(), String> {
    match deployed {
        Deployed::This => world.deploy(package).await,
        Deployed::File(file) => {
            let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let other = Package::decode(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
            world.deploy(&other).await
        }
    }
}

/// What differs between an outcome and what a step expects of it.
fn compare_outcome(step: usize, submit: &Submit, outcome: &Json, dir: &Path) -> Vec<String> {
    let mut diff = Vec::new();
    for (member, expected) in submit.expect.iter() {
        let found = match member {
            "notifications" => types_of(outcome),
            _ => outcome.get(member).cloned().unwrap_or_default(),
        };
        if found != *expected {
            diff.push(format!(
                "step {step}, {} as {}: {member} is {found}, expected {expected}",
                submit.title, submit.actor
            ));
        }
    }
    if !diff.is_empty() {
        let text = |member: &str| outcome.get(member).and_then(Json::as_str);
        diff.extend(text("message").map(|message| format!("  the message is: {message}")));
        diff.extend(
            text("intent_id").map(|id| format!("  run it again: lockstep --dir {} intent replay {id}", dir.display())),
        );
    }
    diff
}

fn types_of(outcome: &Json) -> Json {
    let notifications = outcome.get("notifications").and_then(Json::as_array).unwrap_or_default();
    let types: Vec<Json> = notifications.iter().filter_map(|one| one.get("type").cloned()).collect();
    types.into()
}

/// What differs between a record's row and what is expected of it.
fn compare_row(place: &str, table: &Table, row: Option<&Row>, expected: &Json) -> Vec<String> {
    match (row, expected) {
        (None, Json::Null) => Vec::new(),
        (None, _) => vec![format!("{place} is not there")],
        (Some(_), Json::Null) => vec![format!("{place} is there, expected none")],
        (Some(row), Json::Object(columns)) => {
            columns.iter().filter_map(|(column, value)| compare_cell(place, table, row, column, value)).collect()
        }
        (Some(_), other) => {
            vec![format!("{place}: expected {}, which is no row: write an object of columns", other.kind())]
        }
    }
}

/// A column by its name, or a place in a section as `SECTION/POINTER`.
fn compare_cell(place: &str, table: &Table, row: &Row, column: &str, expected: &Json) -> Option<String> {
    let (name, pointer) = match column.find('/') {
        Some(at) => column.split_at(at),
        None => (column, ""),
    };
    let Some(cell) = table.position(name).and_then(|at| row.get(at)) else {
        return Some(format!("{place}: there is no column {name}"));
    };
    let is_json = table.columns.iter().any(|known| known.name == name && known.kind == Kind::Json);
    let found = if is_json { section_at(cell, pointer) } else { value_of(cell) };
    (!covers(&found, expected)).then(|| format!("{place}: {column} is {found}, expected {expected}"))
}

fn section_at(cell: &Cell, pointer: &str) -> Json {
    let content = cell
        .as_str()
        .and_then(|text| Json::parse(text.as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() }).ok());
    let found = content.as_ref().zip(Pointer::parse(pointer).ok()).and_then(|(content, pointer)| content.at(&pointer));
    found.cloned().unwrap_or_default()
}

/// A cell as a scenario writes it: whole numbers and truths as such, everything else as text.
fn value_of(cell: &Cell) -> Json {
    match cell {
        Cell::Boolean(truth) => (*truth).into(),
        Cell::Integer(number) => u64::try_from(*number)
            .ok()
            .filter(|number| *number < 1 << 53)
            .map_or_else(|| number.to_string().into(), Json::from),
        other => other.show().into(),
    }
}

/// Whether `found` has what `expected` names: objects may have more members, all else must be equal.
fn covers(found: &Json, expected: &Json) -> bool {
    match (found, expected) {
        (Json::Object(found), Json::Object(expected)) => {
            let in_found = |(name, value): (&str, &Json)| found.get(name).is_some_and(|there| covers(there, value));
            expected.iter().all(in_found)
        }
        _ => found == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_object_may_leave_members_out_but_not_bend_them() {
        let found = json!({"a": {"b": 1, "c": [1, 2]}, "d": null});
        assert!(covers(&found, &json!({"a": {"b": 1}})));
        assert!(covers(&found, &json!({"d": null})));
        assert!(!covers(&found, &json!({"a": {"b": "1"}})));
        assert!(!covers(&found, &json!({"a": {"c": [1]}})));
        assert!(!covers(&found, &json!({"e": null})));
    }
}
