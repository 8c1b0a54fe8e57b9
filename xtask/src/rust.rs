//! The steps that ask cargo.

use crate::report::{End, Findings, test_results};
use crate::shell::{cargo, command};
use crate::tools::{Tools, WASM, Wasm};
use crate::tree;

/// Crates outside of the workspace: the SDK, which contracts vendor, and the contracts. Not the SDK's lock file
/// counts but each contract's own, so cargo may write one.
fn standalone() -> Vec<String> {
    let examples = std::fs::read_dir(tree::root().join("examples")).into_iter().flatten().flatten();
    let mut found: Vec<String> =
        examples.map(|entry| format!("examples/{}/Cargo.toml", entry.file_name().to_string_lossy())).collect();
    found.push("contracts-sdk/rust/Cargo.toml".to_owned());
    found.push("runtime/vm/tests/guest/Cargo.toml".to_owned());
    found.retain(|manifest| tree::root().join(manifest).is_file());
    found.sort();
    found
}

/// Everything formatted by the one rustfmt.toml.
pub(crate) fn fmt() -> Result<Findings, String> {
    let mut problems = Vec::new();
    problems.extend(cargo(&["fmt", "--all", "--check"]).must().err());
    for manifest in standalone() {
        problems.extend(cargo(&["fmt", "--check", "--manifest-path", &manifest]).must().err());
    }
    Ok(Findings { problems, ..Findings::default() })
}

/// No warning anywhere.
pub(crate) fn clippy() -> Result<Findings, String> {
    let everything = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    let mut problems: Vec<String> = cargo(&everything).must().err().into_iter().collect();
    for manifest in standalone() {
        let one = in_guests().args(["clippy", "--all-targets", "--manifest-path", &manifest, "--", "-D", "warnings"]);
        problems.extend(one.must().err());
    }
    Ok(Findings { problems, ..Findings::default() })
}

/// Cargo for crates outside of the workspace, which share one folder.
fn in_guests() -> crate::shell::Shell {
    cargo(&[]).env("CARGO_TARGET_DIR", tree::target().join("guests"))
}

/// Documentation without a broken link.
pub(crate) fn rustdoc() -> Result<Findings, String> {
    let doc = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings").must();
    let sdk = in_guests().args(["doc", "--no-deps", "--manifest-path", "contracts-sdk/rust/Cargo.toml"]);
    let sdk = sdk.env("RUSTDOCFLAGS", "-D warnings").must();
    let problems = [doc, sdk].into_iter().filter_map(Result::err).collect();
    Ok(Findings { problems, ..Findings::default() })
}

/// Every test of the workspace, documentation tests included; a failure does not stop the others.
pub(crate) fn test() -> Result<Findings, String> {
    let ended = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]).run()?;
    Ok(summed(ended.code, &ended.stdout))
}

fn summed(code: i32, stdout: &str) -> Findings {
    let mut found = test_results(stdout);
    if code != 0 && found.failed == 0 {
        found.problems.push(format!("exit {code} of cargo test, though no test failed: does it compile?"));
    }
    found.note = format!("{} tests", found.passed + found.failed);
    found
}

/// Tests of crates outside of the workspace.
pub(crate) fn guests() -> Result<Findings, String> {
    let mut all = Findings::default();
    for manifest in standalone() {
        let ended = in_guests().args(["test", "--no-fail-fast", "--manifest-path", &manifest]).run()?;
        let mut found = summed(ended.code, &ended.stdout);
        found.note.clear();
        all = all.and(found);
    }
    all.note = format!("{} tests", all.passed + all.failed);
    Ok(all)
}

/// Core for a machine without files, network, clock or randomness.
pub(crate) fn core_for_wasm(tools: &Tools) -> End {
    let wasm = match &tools.wasm {
        Ok(wasm) => wasm,
        Err(missing) => return End::Skipped(missing.lines().next().unwrap_or_default().to_owned()),
    };
    let build = cargo(&["build", "--package", "lockstep-core", "--target", WASM]);
    let build = match wasm {
        Wasm::Installed => build,
        Wasm::FromSource(rustc) => {
            let build = build.args(["-Zbuild-std=std,panic_abort"]).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            build.env("CARGO_TARGET_DIR", tree::target().join("wasm-core"))
        }
    };
    build.must().map(|_| Findings::note(WASM)).into()
}

/// The default binary as people build it.
pub(crate) fn release() -> Result<Findings, String> {
    cargo(&["build", "--release"]).must()?;
    let version = command(binary()).args(["--version"]).must()?;
    Ok(Findings::note(version.trim()))
}

/// The release build of `lockstep`.
pub(crate) fn binary() -> std::path::PathBuf {
    tree::target().join("release").join("lockstep")
}

/// Every proof, small.
pub(crate) fn proofs() -> Result<Findings, String> {
    let out = tree::target().join("proof");
    let arguments = ["--all", "--small", "--out"].map(str::to_owned);
    let shell = crate::shell::proofs(&arguments).args([out.as_os_str()]);
    let ended = shell.run()?;
    let of = |word: &str| ended.stdout.lines().filter(|line| line.starts_with(word)).count();
    let (held, broken) = (of("proof held: "), of("proof broken: "));
    let mut found = Findings::note(format!("{held} proofs"));
    found.passed = u64::try_from(held).unwrap_or_default();
    found.failed = u64::try_from(broken).unwrap_or_default();
    if ended.code != 0 {
        let lines = ended.stdout.lines().filter(|line| line.starts_with("proof broken: ")).map(str::to_owned);
        found.problems.extend(lines.chain([format!("exit {} of cargo xtask prove", ended.code)]));
    }
    Ok(found)
}
