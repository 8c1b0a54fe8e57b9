//! `cargo xtask test`: every step, in order, all of them even where one fails.

use std::process::ExitCode;
use std::time::Instant;

use crate::report::{End, Row};
use crate::shell;
use crate::tools::Tools;
use crate::{budget, demo, examples, report, rust, tree};

/// One step: its name, what it is for, and the work.
struct Step {
    name: &'static str,
    about: &'static str,
    work: fn(&Tools) -> End,
}

/// Cheap ones first: who broke the formatting should not wait for the release build.
const STEPS: &[Step] = &[
    Step {
        name: "tree",
        about: "nothing is ignored or left to do; lints are on; every dependency has its reason",
        work: |_| tree::check().into(),
    },
    Step { name: "fmt", about: "cargo fmt --check, the workspace and the contracts", work: |_| rust::fmt().into() },
    Step { name: "clippy", about: "clippy on everything, warnings are errors", work: |_| rust::clippy().into() },
    Step {
        name: "rustdoc",
        about: "the documentation of every crate, warnings are errors",
        work: |_| rust::rustdoc().into(),
    },
    Step { name: "test", about: "unit, property, snapshot and end-to-end tests", work: |_| rust::test().into() },
    Step { name: "sdk", about: "the contract SDK's and the examples' own tests", work: |_| rust::guests().into() },
    Step { name: "wasm", about: "core builds for wasm32-unknown-unknown", work: rust::core_for_wasm },
    Step { name: "release", about: "the release build of the default binary", work: |_| rust::release().into() },
    Step {
        name: "examples",
        about: "the examples rebuilt from source behave as the committed packages",
        work: examples::rebuild,
    },
    Step { name: "budget", about: "crates and bytes against budgets.toml", work: |_| budget::check().into() },
    Step {
        name: "demo",
        about: "lockstep demo, without a network, and verify on what it leaves",
        work: |_| demo::run().into(),
    },
    Step { name: "prove", about: "every proof at a small scale", work: |_| rust::proofs().into() },
];

/// Runs the steps that are named, or all.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--list") {
        for step in STEPS {
            println!("{:<10} {}", step.name, step.about);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|name| !STEPS.iter().any(|step| step.name == *name)) {
        eprintln!("there is no step {unknown}; see cargo xtask test --list");
        return ExitCode::from(2);
    }
    let wanted = |step: &&Step| arguments.is_empty() || arguments.iter().any(|name| name == step.name);
    let mut rows = Vec::new();
    println!("== tools: what this machine must have");
    let (started, before) = (Instant::now(), shell::computed());
    let tools = Tools::find();
    let missing = if shell::in_ci() { tools.problems() } else { Vec::new() };
    let findings = report::Findings { note: tools.describe(), problems: missing, ..Default::default() };
    rows.push(Row {
        name: "tools",
        took: started.elapsed(),
        computed: shell::computed().saturating_sub(before),
        end: End::Ran(findings),
    });
    tools.put_in_reach();
    for step in STEPS.iter().filter(wanted) {
        println!("\n== {}: {}", step.name, step.about);
        let (started, before) = (Instant::now(), shell::computed());
        let end = (step.work)(&tools);
        rows.push(Row {
            name: step.name,
            took: started.elapsed(),
            computed: shell::computed().saturating_sub(before),
            end,
        });
    }
    if report::print(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds the committed packages of the examples anew, after a change of their sources, the SDK or the compiler.
pub(crate) fn bless() -> ExitCode {
    let tools = Tools::find();
    tools.put_in_reach();
    match tools.wasm.as_ref().map_err(Clone::clone).and_then(|_| rust::release()).and_then(|_| examples::bless()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
