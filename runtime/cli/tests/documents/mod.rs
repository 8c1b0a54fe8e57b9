//! What the tests of documents and of the Python check share: the repository, a scratch place, the binary.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "each test binary uses its part, and fails by panicking"
)]

pub(crate) mod blocks;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub(crate) fn repository() -> PathBuf {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    found.canonicalize().unwrap_or(found)
}

/// A directory of this test's own, empty.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a scratch directory");
    dir
}

/// The built binary, in a directory, with nothing of the caller's environment that it listens to.
pub(crate) fn lockstep(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.current_dir(dir).env_remove("LOCKSTEP_DIR").env_remove("LOCKSTEP_DATABASE").env("NO_COLOR", "1");
    command
}

/// Runs the binary and answers what it printed; anything but one of these exit statuses fails the test.
pub(crate) fn run(dir: &Path, arguments: &[&str], statuses: &[i32]) -> String {
    let output = lockstep(dir).args(arguments).output().expect("the binary runs");
    assert!(
        output.status.code().is_some_and(|code| statuses.contains(&code)),
        "lockstep {} ended with {}:\n{}",
        arguments.join(" "),
        output.status,
        both(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a process printed, on both streams.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A house sale with applied and rejected intents, in a directory of its own.
pub(crate) fn house_sale(name: &str) -> PathBuf {
    let (scratch, repository) = (scratch(name), repository());
    let dir = scratch.join("node");
    let package = repository.join("examples/house-sale/package/house_sale-1.0.0.lockstep");
    let (at, package) = (dir.display().to_string(), package.display().to_string());
    run(&scratch, &["init", &at, "--network", "sales", "--participant", "acme"], &[0]);
    let here = |arguments: &[&str], status: i32| drop(run(&dir, arguments, &[status]));
    here(&["actor", "add", "alice", "--participant", "acme", "--role", "seller"], 0);
    here(&["actor", "add", "bob", "--participant", "buyer", "--role", "buyer", "--role", "purchaser"], 0);
    here(&["actor", "add", "ivy", "--participant", "inspector", "--role", "inspector"], 0);
    here(&["contract", "deploy", &package], 0);
    let list = r#"{"buyer":"bob@buyer","inspector":"ivy@inspector","address":"1 Elm St","asking_price":"350000.00","rooms":4}"#;
    let submit = |method: &str, record: &str, actor: &str, args: &str, status: i32| {
        here(&["submit", &format!("house_sale.{method}"), record, "--as", actor, "--args", args], status);
    };
    submit("list", "acme:sale-1", "alice", list, 0);
    submit("list", "acme:sale-2", "alice", &list.replace("1 Elm St", "2 Oak Ave"), 0);
    submit("offer", "acme:sale-1", "bob", r#"{"price":"340000.00"}"#, 0);
    submit("offer", "acme:sale-1", "bob", r#"{"price":"100.00"}"#, 4);
    submit("counter_offer", "acme:sale-1", "alice", r#"{"price":"345000.00"}"#, 0);
    submit("offer", "acme:sale-1", "bob", r#"{"price":"345000.00"}"#, 0);
    submit("accept", "acme:sale-1", "alice", r#"{"price":"345000.00"}"#, 0);
    submit("inspect", "acme:sale-1", "ivy", r#"{"passed":true,"findings":["a loose tile"]}"#, 0);
    dir
}
