//! Puts the commit into the binary, for `lockstep --version`; a source tree without git says so.

use std::process::Command;

fn main() {
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success());
    let commit =
        commit.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_else(|| "no commit".to_owned());
    println!("cargo::rustc-env=LOCKSTEP_COMMIT={}", commit.trim());
    println!("cargo::rerun-if-changed=../../.git/HEAD");
}
