//! A copy of a contract's sources in which no path depends on the machine.
//!
//! Compilers put paths into what they make, and cargo puts them into symbol names: a dependency that lies
//! outside of the workspace is hashed with its full path. So a contract is compiled from
//! `TARGET/stage` with its path dependencies copied to `deps/NAME` within. There is one stage for all
//! contracts, one after the other, so that all have the same compiler flags and share what is compiled.

use super::build::BuildError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What is never a source.
const SKIPPED: [&str; 4] = ["target", ".git", "scenarios", "node_modules"];

/// The copy. Its files are rewritten only where they differ, so that cargo sees what has changed.
#[derive(Debug)]
pub(super) struct Stage {
    /// The contract's own crate.
    pub(super) root: PathBuf,
    /// Where cargo shall keep what it compiles.
    pub(super) target_dir: PathBuf,
    /// Held while the stage is in use: a second build waits.
    _lock: fs::File,
}

impl Stage {
    /// Copies the contract in `dir` and the crates that it depends on by path.
    pub(super) fn make(dir: &Path, target_dir: &Path) -> Result<Self, BuildError> {
        let dir = dir.canonicalize().map_err(|error| BuildError::file(dir, error))?;
        fs::create_dir_all(target_dir).map_err(|error| BuildError::file(target_dir, error))?;
        let target_dir = target_dir.canonicalize().map_err(|error| BuildError::file(target_dir, error))?;
        let lock = lock(&target_dir.join("lockstep-build.lock"))?;
        let root = target_dir.join("stage");
        let mut crates = Crates::default();
        crates.add(&dir, None)?;
        let copied: Vec<PathBuf> = crates.found.values().map(|name| root.join("deps").join(name)).collect();
        for (source, name) in &crates.found {
            let to = root.join("deps").join(name);
            copy_tree(source, &to, &[])?;
            crates.write_manifest(source, &to, "..")?;
        }
        copy_tree(&dir, &root, &[root.join("deps")])?;
        crates.write_manifest(&dir, &root, "deps")?;
        drop_others(&root.join("deps"), &copied)?;
        Ok(Stage { root, target_dir, _lock: lock })
    }

    /// Whether the author has committed to versions of the dependencies.
    pub(super) fn has_lock_file(&self) -> bool {
        self.root.join("Cargo.lock").exists()
    }

    /// Gives the author the lock file that cargo made, so that the next build uses the same dependencies.
    pub(super) fn keep_lock_file(&self, dir: &Path) -> Result<(), BuildError> {
        let (made, kept) = (self.root.join("Cargo.lock"), dir.join("Cargo.lock"));
        if kept.exists() {
            return Ok(());
        }
        let bytes = fs::read(&made).map_err(|error| BuildError::file(&made, error))?;
        write_whole(&kept, &bytes)
    }
}

/// The crates that a contract depends on by path, and what they are called in the stage.
#[derive(Default)]
struct Crates {
    found: BTreeMap<PathBuf, String>,
    manifests: BTreeMap<PathBuf, String>,
}

impl Crates {
    /// Reads the manifest in `dir`, then those of its path dependencies.
    fn add(&mut self, dir: &Path, name: Option<String>) -> Result<(), BuildError> {
        let path = dir.join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|error| BuildError::file(&path, error))?;
        if let Some(name) = name {
            self.found.insert(dir.to_owned(), name);
        }
        self.manifests.insert(dir.to_owned(), text.clone());
        for quoted in path_values(&text) {
            let Some(dependency) = crate_at(dir, quoted) else { continue };
            if self.manifests.contains_key(&dependency) {
                continue;
            }
            let name = package_name(&dependency)?;
            if self.found.values().any(|taken| *taken == name) {
                return Err(BuildError::description(&path, format!("two dependencies by path are called {name}")));
            }
            self.add(&dependency, Some(name))?;
        }
        Ok(())
    }

    /// Writes the manifest of the crate from `source` to `to`, its path dependencies now below `deps`.
    fn write_manifest(&self, source: &Path, to: &Path, deps: &str) -> Result<(), BuildError> {
        let Some(text) = self.manifests.get(source) else { return Ok(()) };
        let mut staged = without_workspace(text);
        for quoted in path_values(text) {
            if let Some(name) = crate_at(source, quoted).and_then(|dependency| self.found.get(&dependency)) {
                staged = staged.replace(&format!("\"{quoted}\""), &format!("\"{deps}/{name}\""));
            }
        }
        if deps == "deps" {
            staged.push_str("\n[workspace]\n");
        }
        write_whole(&to.join("Cargo.toml"), staged.as_bytes())
    }
}

/// The values of all `path = "…"` in a manifest.
fn path_values(manifest: &str) -> Vec<&str> {
    let after_key = |(index, _)| {
        let rest = manifest.get(index + "path".len()..)?.trim_start().strip_prefix('=')?;
        rest.trim_start().strip_prefix('"')?.split('"').next()
    };
    manifest.match_indices("path").filter_map(after_key).collect()
}

/// The folder of the crate that `relative` names, where there is one.
fn crate_at(dir: &Path, relative: &str) -> Option<PathBuf> {
    let dependency = dir.join(relative).canonicalize().ok()?;
    (dependency != dir && dependency.join("Cargo.toml").is_file()).then_some(dependency)
}

fn package_name(dir: &Path) -> Result<String, BuildError> {
    let path = dir.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| BuildError::file(&path, error))?;
    let table: toml::Table = text.parse().map_err(|error| BuildError::description(&path, error))?;
    let name = table.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    name.map(str::to_owned).ok_or_else(|| BuildError::description(&path, "it has no package name"))
}

/// A manifest without its `[workspace]` tables: the stage is a workspace of its own.
fn without_workspace(manifest: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in manifest.lines() {
        if line.trim_start().starts_with('[') {
            inside = line.trim_start().starts_with("[workspace]") || line.trim_start().starts_with("[workspace.");
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Makes `to` a copy of `from`; manifests are written separately, `kept` is left as it is.
fn copy_tree(from: &Path, to: &Path, kept: &[PathBuf]) -> Result<(), BuildError> {
    fs::create_dir_all(to).map_err(|error| BuildError::file(to, error))?;
    let mut copied = kept.to_vec();
    for entry in fs::read_dir(from).map_err(|error| BuildError::file(from, error))? {
        let entry = entry.map_err(|error| BuildError::file(from, error))?;
        let (source, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        if hidden || SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let place = to.join(&name);
        copied.push(place.clone());
        if source.is_dir() {
            copy_tree(&source, &place, &[])?;
        } else if name != "Cargo.toml" {
            let bytes = fs::read(&source).map_err(|error| BuildError::file(&source, error))?;
            write_whole(&place, &bytes)?;
        }
    }
    copied.push(to.join("Cargo.toml"));
    drop_others(to, &copied)
}

/// Removes what a former build left and the sources no longer have.
fn drop_others(dir: &Path, kept: &[PathBuf]) -> Result<(), BuildError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if kept.contains(&path) {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| BuildError::file(&path, error))?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<fs::File, BuildError> {
    let open = || {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error| BuildError::file(path, error))
}

/// Writes a file whole or not at all, and not where it is the same already.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&part, bytes)?;
        fs::rename(&part, path)
    };
    write().map_err(|error| BuildError::file(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_dependencies_are_found_however_they_are_written() {
        let manifest = "[lib]\npath=\"src/lib.rs\"\n[dependencies]\na = { path = \"../a\" }\nb.path = \"b\"\n";
        assert_eq!(path_values(manifest), ["src/lib.rs", "../a", "b"]);
    }

    #[test]
    fn a_staged_manifest_has_no_workspace_tables() {
        let manifest = "[package]\nname = \"a\"\n[workspace]\nmembers = []\n[workspace.lints]\nx = 1\n[lib]\n";
        assert_eq!(without_workspace(manifest), "[package]\nname = \"a\"\n[lib]\n");
    }
}
