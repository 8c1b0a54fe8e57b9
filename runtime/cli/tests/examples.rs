//! The examples: their packages as committed do what their scenarios say. That packages built anew do the same is a
//! step of `cargo xtask test`; `cargo xtask bless` makes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lockstep_core::json::{Json, Limits};

/// Every example's folder and its package.
const EXAMPLES: [(&str, &str); 5] = [
    ("house-sale", "house_sale-1.0.0"),
    ("house-sale-1.1", "house_sale-1.1.0"),
    ("request-for-quote", "request_for_quote-1.0.0"),
    ("delivery-versus-payment", "delivery_versus_payment-1.0.0"),
    ("bulletin", "bulletin-1.0.0"),
];

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example)
}

fn committed(example: &str, package: &str) -> PathBuf {
    folder(example).join("package").join(format!("{package}.lockstep"))
}

/// Runs `contract test`, which must pass every scenario and have some.
fn check_scenarios(example: &str, package: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    let Output { status, stdout, stderr } =
        command.args(["contract", "test", "--json", "--package"]).arg(package).arg(folder(example)).output().unwrap();
    let report = Json::parse(&stdout, &Limits::default()).unwrap_or_default();
    let passed = report.get("passed").and_then(Json::as_u64);
    assert!(status.success(), "{example}: {report}\n{}", String::from_utf8_lossy(&stderr));
    assert!(passed.is_some_and(|passed| passed > 0), "{example} has no scenarios: {report}");
}

#[test]
fn the_committed_packages_pass_their_scenarios() {
    for (example, package) in EXAMPLES {
        check_scenarios(example, &committed(example, package));
    }
}

#[test]
fn the_committed_packages_are_small() {
    for (example, package) in EXAMPLES {
        let bytes = std::fs::read(committed(example, package)).unwrap().len();
        assert!(bytes < 450_000, "{package} has {bytes} bytes");
    }
}
