//! Reads the sources for what no compiler checks: nothing ignored or left to do, lints on, reasons given.

use std::path::{Path, PathBuf};

use crate::report::Findings;
use crate::shell::command;

/// The root of the sources.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it makes.
pub(crate) fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    named.map_or_else(|| root().join("target"), |named| root().join(named))
}

/// A file of the sources; its path as it is shown, its text.
type Source = (String, String);

/// Everything that git knows or would take, so that a forgotten `git add` is seen, too.
fn sources() -> Result<Vec<Source>, String> {
    let listed = command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).quietly();
    let listed = listed.ok_or("git cannot list the files; is this a clone?")?;
    let text = |path: &str| std::fs::read_to_string(root().join(path)).ok().map(|text| (path.to_owned(), text));
    let wanted = |path: &&str| path.ends_with(".rs") || path.ends_with("Cargo.toml");
    Ok(listed.lines().filter(wanted).filter_map(text).collect())
}

/// Checks them all.
pub(crate) fn check() -> Result<Findings, String> {
    let sources = sources()?;
    let problems = [
        left_undone(&sources),
        silenced_lints(&sources),
        crates_without_lints(&sources),
        input_output_in_core(&sources),
        unexplained_dependencies(&sources),
    ];
    let note = format!("{} files", sources.len());
    Ok(Findings { note, problems: problems.concat(), ..Findings::default() })
}

fn rust(sources: &[Source]) -> impl Iterator<Item = (&str, &str)> {
    sources.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| (path.as_str(), text.as_str()))
}

fn manifests(sources: &[Source]) -> impl Iterator<Item = (&str, &str)> {
    let is_manifest = |path: &str| path.ends_with("Cargo.toml");
    sources.iter().filter(move |(path, _)| is_manifest(path)).map(|(path, text)| (path.as_str(), text.as_str()))
}

/// Lines that are not comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.starts_with("//"))
}

/// Words that mean "not finished". Put together here, so that this file does not hold them.
fn unfinished() -> [String; 3] {
    ["#[ig", "tod", "unimplemente"].map(|start| match start {
        "#[ig" => format!("{start}nore"),
        "tod" => format!("{start}o!("),
        _ => format!("{start}d!("),
    })
}

fn left_undone(sources: &[Source]) -> Vec<String> {
    let words = unfinished();
    let mut problems = Vec::new();
    for (path, text) in rust(sources) {
        for (number, line) in code(text) {
            problems.extend(
                words
                    .iter()
                    .filter(|word| line.contains(word.as_str()))
                    .map(|word| format!("{path}:{number} says {word}")),
            );
        }
    }
    problems
}

/// Whether a file, from this line on, is a test.
fn is_test(path: &str, text: &str, line: usize) -> bool {
    let test_file = path.contains("/tests/")
        || path.contains("/examples/")
        || path.ends_with("/tests.rs")
        || path.contains("conformance/");
    test_file || text.lines().take(line).any(|line| line.contains("cfg(test)") || line.contains("cfg_attr(test"))
}

/// What can panic stays forbidden where input can reach it: in the runtime and in adapters, outside of tests.
fn silenced_lints(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in rust(sources).filter(|(path, _)| path.starts_with("runtime/") || path.starts_with("adapters/"))
    {
        for (number, line) in code(text) {
            let panics = line.contains("clippy::unwrap_used") || line.contains("clippy::expect_used");
            if panics && !is_test(path, text, number) {
                problems.push(format!("{path}:{number} lets unwrap or expect through outside of tests"));
            }
        }
    }
    problems
}

fn crates_without_lints(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in manifests(sources) {
        if path == "Cargo.toml" {
            let missing =
                ["unwrap_used", "expect_used", "indexing_slicing"].into_iter().filter(|lint| !text.contains(lint));
            problems.extend(missing.map(|lint| format!("Cargo.toml: the workspace has no lint {lint}")));
        } else if is_member(path) && !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{path} does not take the workspace's lints"));
        }
    }
    problems
}

fn is_member(path: &str) -> bool {
    let standalone = ["examples/", "contracts-sdk/", "runtime/vm/tests/"];
    path != "Cargo.toml" && !standalone.iter().any(|folder| path.starts_with(folder))
}

/// Core building for wasm32 is half a proof: the standard library compiles there, too, and fails at run time.
fn input_output_in_core(sources: &[Source]) -> Vec<String> {
    let worlds = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
        "std::io",
        "SystemTime",
        "Instant::now",
        "println!",
        "eprintln!",
    ];
    let mut problems = Vec::new();
    for (path, text) in rust(sources).filter(|(path, _)| path.starts_with("runtime/core/src/")) {
        for (number, line) in code(text).filter(|(number, _)| !is_test(path, text, *number)) {
            let found = worlds.iter().filter(|world| line.contains(**world));
            problems.extend(found.map(|world| format!("{path}:{number} reaches for {world}; core does no I/O")));
        }
    }
    problems
}

/// Every dependency is a decision: a line of reason above it, its default features off, decided in one place.
fn unexplained_dependencies(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (path, text) in manifests(sources) {
        let (mut section, mut above) = ("", "");
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
            if line.starts_with('[') {
                section = line;
            } else if section.ends_with("dependencies]") && line.contains('=') && !line.starts_with('#') {
                let complaint = if path == "Cargo.toml" { of_workspace(line, above) } else { of_crate(path, line) };
                problems.extend(complaint.map(|complaint| format!("{path}:{number} {complaint}: {line}")));
            }
            above = line;
        }
    }
    problems
}

fn of_workspace(line: &str, above: &str) -> Option<&'static str> {
    let ours = line.contains("path =");
    match () {
        () if ours => None,
        () if !above.starts_with('#') => Some("has no reason above it"),
        () if !line.contains("default-features = false") => Some("leaves default features on"),
        () => None,
    }
}

fn of_crate(path: &str, line: &str) -> Option<&'static str> {
    let decided = line.contains("workspace = true") || line.contains("path =");
    match () {
        () if decided => None,
        () if is_member(path) => Some("is not decided in the workspace's manifest"),
        () if !line.contains("default-features = false") => Some("leaves default features on"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Vec<Source> {
        vec![(path.to_owned(), text.to_owned())]
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let bare = "[workspace.dependencies]\nserde = { version = \"1\", default-features = false }\n";
        assert_eq!(unexplained_dependencies(&source("Cargo.toml", bare)).len(), 1);
        let reason = "[workspace.dependencies]\n# Why.\nserde = { version = \"1\", default-features = false }\n";
        assert_eq!(unexplained_dependencies(&source("Cargo.toml", reason)).len(), 0);
        let features = "[workspace.dependencies]\n# Why.\nserde = \"1\"\n";
        assert_eq!(unexplained_dependencies(&source("Cargo.toml", features)).len(), 1);
        assert_eq!(
            unexplained_dependencies(&source("runtime/vm/Cargo.toml", "[dependencies]\nserde = \"1\"\n")).len(),
            1
        );
    }

    #[test]
    fn what_is_unfinished_is_found_outside_of_comments() {
        for word in unfinished() {
            assert_eq!(left_undone(&source("a.rs", &format!("fn a() {{ {word}) }}\n// {word}"))).len(), 1, "{word}");
        }
    }

    #[test]
    fn core_may_not_read_files_and_its_tests_may() {
        let text = "use std::fs;\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(input_output_in_core(&source("runtime/core/src/a.rs", text)).len(), 1);
    }

    #[test]
    fn unwrap_may_be_allowed_in_tests_only() {
        let text = "#![allow(clippy::unwrap_used)]\n";
        assert_eq!(silenced_lints(&source("runtime/node/src/a.rs", text)).len(), 1);
        assert_eq!(silenced_lints(&source("runtime/node/tests/a.rs", text)).len(), 0);
    }
}
