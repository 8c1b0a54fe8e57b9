//! The examples built again from their sources: do the committed packages still say what the sources say?
//!
//! Behaviour must be the same everywhere: the same manifest but for what describes the build, and every scenario
//! passes on the rebuilt package. Bytes must be the same where the compiler is the recorded one.

use std::path::{Path, PathBuf};

use crate::package;
use crate::report::{End, Findings};
use crate::rust::binary;
use crate::shell::command;
use crate::tools::Tools;
use crate::tree;

/// Builds every example in a copy of the sources and compares.
pub(crate) fn rebuild(tools: &Tools) -> End {
    match &tools.wasm {
        Err(missing) => End::Skipped(missing.lines().next().unwrap_or_default().to_owned()),
        Ok(_) => rebuild_all().into(),
    }
}

/// Puts newly built packages in the place of the committed ones.
pub(crate) fn bless() -> Result<(), String> {
    let copy = sources()?;
    for committed in committed()? {
        let built = build(&copy, &committed)?;
        std::fs::copy(&built, &committed).map_err(|error| format!("{}: {error}", committed.display()))?;
    }
    Ok(())
}

/// A fresh copy of the examples and of the SDK that they use.
fn sources() -> Result<PathBuf, String> {
    let copy = tree::target().join("rebuilt");
    drop(std::fs::remove_dir_all(&copy));
    for folder in ["examples", "contracts-sdk"] {
        copy_tree(&tree::root().join(folder), &copy.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    Ok(copy)
}

/// The folder in the copy of the example that a committed package is of.
fn folder_of(copy: &Path, committed: &Path) -> Result<PathBuf, String> {
    let example = committed.parent().and_then(Path::parent).and_then(Path::file_name);
    Ok(copy.join("examples").join(example.ok_or("a package in no example")?))
}

/// Builds one in the copy; the file that came out.
fn build(copy: &Path, committed: &Path) -> Result<PathBuf, String> {
    let folder = folder_of(copy, committed)?;
    command(binary()).args(["contract", "build"]).args([folder.as_os_str()]).must()?;
    Ok(folder.join(committed.file_name().ok_or("a package without a name")?))
}

fn rebuild_all() -> Result<Findings, String> {
    let copy = sources()?;
    let mut all = Findings::default();
    let (mut same, mut count) = (0, 0);
    for committed in committed()? {
        let (found, same_bytes) = one(&copy, &committed).unwrap_or_else(|error| (Findings::problem(error), false));
        count += 1;
        same += u32::from(same_bytes);
        all = all.and(found);
    }
    if count == 0 {
        all.problems.push("examples/ has no committed packages".to_owned());
    }
    all.note = format!("{count} packages, {same} with the same bytes");
    Ok(all)
}

/// The committed packages: `examples/NAME/package/*.lockstep`.
pub(crate) fn committed() -> Result<Vec<PathBuf>, String> {
    let list = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let examples = tree::root().join("examples");
    let packages = list(&examples).into_iter().flat_map(|example| list(&example.join("package")));
    let mut found: Vec<PathBuf> =
        packages.filter(|path| path.extension().is_some_and(|end| end == "lockstep")).collect();
    found.sort();
    if found.is_empty() { Err(format!("no package below {}", examples.display())) } else { Ok(found) }
}

/// One package: what was found, and whether its bytes are the same.
fn one(copy: &Path, committed: &Path) -> Result<(Findings, bool), String> {
    let here = folder_of(copy, committed)?;
    let shown = here.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let built = build(copy, committed)?;
    let (old, new) = (read(committed)?, read(&built)?);
    let (old_manifest, new_manifest) = (package::manifest(&old)?, package::manifest(&new)?);
    let mut found = Findings::default();
    let names: Vec<&String> = old_manifest.keys().chain(new_manifest.keys()).collect();
    let differs = |name: &&&String| {
        !package::OF_THE_BUILD.contains(&name.as_str()) && old_manifest.get(**name) != new_manifest.get(**name)
    };
    let mut different: Vec<&str> = names.iter().filter(differs).map(|name| name.as_str()).collect();
    different.dedup();
    if !different.is_empty() {
        found.problems.push(format!("{shown}: the manifest differs in {}; cargo xtask bless", different.join(", ")));
    }
    let compilers = (package::toolchain(&old_manifest), package::toolchain(&new_manifest));
    if compilers.0 == compilers.1 && old != new {
        found.problems.push(format!("{shown}: other bytes than committed, from the same compiler; cargo xtask bless"));
    }
    let test = command(binary()).args(["contract", "test"]).args([here.as_os_str()]).args(["--package"]);
    let test = test.args([built]).run()?;
    if test.code == 0 {
        found.passed += 1;
    } else {
        found.failed += 1;
        found.problems.push(format!("{shown}: exit {} of contract test on the rebuilt package", test.code));
    }
    Ok((found, old == new))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies sources. Contracts keep what they compile in `target`; a link lets all share one, the tests' own.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, name) = (entry.path(), entry.file_name());
        if name == "target" {
            continue;
        }
        if source.is_dir() {
            copy_tree(&source, &to.join(&name))?;
        } else {
            std::fs::copy(&source, to.join(&name))?;
        }
    }
    if from.join("contract.toml").is_file() {
        let shared = tree::target().join("lockstep-contracts");
        std::fs::create_dir_all(&shared)?;
        std::os::unix::fs::symlink(&shared, to.join("target"))?;
    }
    Ok(())
}
