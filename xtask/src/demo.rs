//! The product itself, as somebody meets it: the release build's `demo`, with no network to reach, then `verify`.

use std::time::Instant;

use crate::budget::budgets;
use crate::report::Findings;
use crate::rust::binary;
use crate::shell::{Shell, command};
use crate::tree;

/// Runs the demo in a folder of its own and verifies what it leaves.
pub(crate) fn run() -> Result<Findings, String> {
    let limit = budgets()?.get("demo_seconds").copied().ok_or("budgets.toml has no demo_seconds")?;
    let dir = tree::target().join("demo");
    drop(std::fs::remove_dir_all(&dir));
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let (offline, alone) = offline();
    let started = Instant::now();
    offline().args(["demo"]).dir(&dir).must()?;
    let seconds = started.elapsed().as_secs_f64();
    let left = dir.join("lockstep-demo");
    let verify = command(binary()).args(["--dir"]).args([left.as_os_str()]).args(["verify", "--json"]).must()?;
    let mut found = Findings::note(format!("{seconds:.1} s{}", if alone { ", without a network" } else { "" }));
    if seconds > limit as f64 {
        found.problems.push(format!("the demo took {seconds:.1} s, {limit} s are allowed"));
    }
    if !verify.contains("\"clean\":true") {
        found.problems.push(format!("verify does not call the demo's database clean: {verify}"));
    }
    let tampered = format!("sqlite:{}", left.join("tampered.db").display());
    let tampered = command(binary()).args(["--dir"]).args([left.as_os_str()]).args(["verify", "--database", &tampered]);
    let code = tampered.run()?.code;
    if code != 5 {
        found.problems.push(format!("verify ends with {code} on the demo's tampered copy, 5 is right"));
    }
    Ok(found)
}

/// How to start the binary where nothing can be reached, and whether that is possible here.
fn offline() -> (impl Fn() -> Shell, bool) {
    let namespace: Option<&[&str]> = [["-n"].as_slice(), ["-r", "-n"].as_slice()]
        .into_iter()
        .find(|flags| command("unshare").args(*flags).args(["true"]).quietly().is_some());
    let start = move || match namespace {
        Some(flags) => command("unshare").args(flags).args([binary()]),
        None => command(binary()),
    };
    (start, namespace.is_some())
}
