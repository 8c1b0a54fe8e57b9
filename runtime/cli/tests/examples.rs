//! The examples: their packages as committed do what their scenarios say, and so do packages built anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lockstep_cli::contract::{BuildOptions, build};
use lockstep_core::json::{Json, Limits};
use lockstep_core::package::Package;

/// Every example's folder and its package.
const EXAMPLES: [(&str, &str); 4] = [
    ("house-sale", "house_sale-1.0.0"),
    ("house-sale-1.1", "house_sale-1.1.0"),
    ("request-for-quote", "request_for_quote-1.0.0"),
    ("delivery-versus-payment", "delivery_versus_payment-1.0.0"),
];

/// What to do where sources and packages have parted: also after a change of the SDK, whose lines are in the debug half.
const BLESS: &str =
    "its package is older than its sources: LOCKSTEP_BLESS=1 cargo test -p lockstep-cli --test examples -- --ignored";

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

/// The same bytes where the compiler is the one that the committed manifest records; the same behaviour always.
#[test]
#[ignore = "compiles contracts for WebAssembly, a minute the first time; `cargo xtask test` runs it"]
fn packages_built_anew_do_the_same() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contracts");
    for (example, package) in EXAMPLES {
        let out = cache.join(format!("{package}.lockstep"));
        let built = build(&folder(example), &BuildOptions { out: Some(out.clone()), target_dir: Some(cache.clone()) });
        let built = built.unwrap_or_else(|error| panic!("{example}: {error}")).package;
        let file = committed(example, package);
        if std::env::var_os("LOCKSTEP_BLESS").is_some() {
            std::fs::copy(&out, &file).unwrap();
        }
        let known = Package::decode(&std::fs::read(&file).unwrap()).unwrap();
        let built_by = |package: &Package| package.manifest.document().get("build").cloned();
        if built_by(&built) == built_by(&known) {
            let halves = |package: &Package| (package.manifest.code, package.manifest.debug, package.digest());
            assert_eq!(halves(&built), halves(&known), "{example}: {BLESS}");
            assert!(built.encode() == known.encode(), "{example}: {BLESS}");
        } else {
            eprintln!("{example}: built with another compiler than the committed package; bytes are not compared");
        }
        check_scenarios(example, &out);
    }
}
