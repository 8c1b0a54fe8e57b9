//! Whatever on this machine compiles Rust to WebAssembly.
//!
//! rustup's wasm target where it is installed; else a compiler whose library sources are there, such as
//! Debian's `rustc-web` with `rust-web-src`, which then compiles the standard library, too.

use super::build::BuildError;
use super::stage::Stage;
use lockstep_core::json::{Json, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TARGET: &str = "wasm32-unknown-unknown";

/// What is missing and the two ways to get it.
const NO_TOOLCHAIN: &str = "no Rust compiler here can build for wasm32-unknown-unknown; do one of these:
  rustup target add wasm32-unknown-unknown
  sudo apt-get install --no-install-recommends rustc-web rust-web-src lld";

/// A compiler and how to have it make WebAssembly.
#[derive(Debug)]
pub(super) struct Toolchain {
    rustc: PathBuf,
    sysroot: PathBuf,
    /// Whether the standard library has to be compiled from its sources.
    build_std: bool,
    /// First line of `rustc -vV`: version, commit, where it comes from.
    pub(super) version: String,
}

impl Toolchain {
    /// The first compiler that can: `$RUSTC`, the one on the path, Debian's.
    pub(super) fn find() -> Result<Self, BuildError> {
        let named = std::env::var_os("RUSTC").map(PathBuf::from);
        let candidates = named.into_iter().chain([PathBuf::from("rustc"), PathBuf::from("/usr/bin/rustc")]);
        let known: Vec<Toolchain> = candidates.filter_map(Toolchain::inspect).collect();
        let ready = |toolchain: &Toolchain| toolchain.sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
        let sources = |toolchain: &Toolchain| toolchain.sysroot.join("lib/rustlib/src/rust/library/std").is_dir();
        let (mut with_target, without): (Vec<_>, Vec<_>) = known.into_iter().partition(ready);
        if !with_target.is_empty() {
            return Ok(with_target.swap_remove(0));
        }
        let found = without.into_iter().find(sources).ok_or_else(|| BuildError::Toolchain(NO_TOOLCHAIN.to_owned()))?;
        if found.linker().is_none() {
            return Err(BuildError::Toolchain(format!(
                "there is a compiler, but no linker for WebAssembly\n{NO_TOOLCHAIN}"
            )));
        }
        Ok(Toolchain { build_std: true, ..found })
    }

    fn inspect(rustc: PathBuf) -> Option<Self> {
        let print = |arguments: &[&str]| {
            let output = Command::new(&rustc).args(arguments).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let sysroot = PathBuf::from(print(&["--print", "sysroot"])?);
        let version = print(&["-vV"])?.lines().next()?.to_owned();
        Some(Toolchain { sysroot, version, build_std: false, rustc })
    }

    /// A linker that knows WebAssembly, for a compiler that brings none.
    fn linker(&self) -> Option<PathBuf> {
        let on_path =
            std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        on_path.map(|folder| folder.join("wasm-ld")).find(|linker| linker.is_file())
    }

    /// Compiles a staged contract; its core module.
    pub(super) fn compile(&self, stage: &Stage) -> Result<Vec<u8>, BuildError> {
        let mut cargo = self.cargo(stage);
        cargo.args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
        // Line tables of the author's code and of the SDK; those of everybody else's would be most of a package.
        cargo.args(["--config", "profile.release.package.'*'.debug=false"]);
        if stage.has_lock_file() {
            cargo.arg("--locked");
        }
        if self.build_std {
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        let output = run(&mut cargo, &stage.root)?;
        let wasm = artefact(&output.stdout, &stage.root).ok_or_else(|| {
            BuildError::Cargo("it made no module; does Cargo.toml say crate-type = [\"cdylib\"]?".into())
        })?;
        std::fs::read(&wasm).map_err(|error| BuildError::file(&wasm, error))
    }

    /// Cargo with everything set that could otherwise differ between two people's builds.
    fn cargo(&self, stage: &Stage) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&stage.root)
            .env("RUSTC", &self.rustc)
            .env("CARGO_TARGET_DIR", &stage.target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags(stage))
            .env("CARGO_TERM_QUIET", "true")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none")
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_LTO", "fat")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
            .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true")
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "false");
        for ambient in
            ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN"]
        {
            cargo.env_remove(ambient);
        }
        if self.build_std {
            cargo.env("RUSTC_BOOTSTRAP", "1");
            if let Some(linker) = self.linker() {
                cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            }
        }
        cargo
    }

    /// Maps every folder of this machine to a name that is the same everywhere.
    fn rustc_flags(&self, stage: &Stage) -> OsString {
        let library = self.sysroot.join("lib/rustlib/src/rust");
        // Debian's sources are elsewhere, behind a link.
        let real_library =
            library.join("library").canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned));
        let mut folders: Vec<_> = [library].into_iter().chain(real_library).map(|folder| (folder, "rust")).collect();
        let registry = cargo_home().join("registry/src");
        folders.push((registry.clone(), "registry"));
        let indexes = std::fs::read_dir(registry).into_iter().flatten().flatten();
        folders.extend(indexes.map(|index| (index.path(), "registry")));
        folders.push((stage.root.clone(), "."));
        let mut flags = OsString::new();
        for (folder, name) in folders {
            if !flags.is_empty() {
                flags.push("\u{1f}");
            }
            flags.push("--remap-path-prefix=");
            flags.push(folder);
            flags.push("=");
            flags.push(name);
        }
        flags
    }

    /// The crates in the contract, as `name version`, sorted; the contract's own is left out.
    pub(super) fn dependencies(&self, stage: &Stage) -> Result<Vec<String>, BuildError> {
        let mut cargo = self.cargo(stage);
        cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]);
        let output = run(&mut cargo, &stage.root)?;
        let metadata = Json::parse(&output.stdout, &Limits { bytes: 64 << 20, depth: 64 })
            .map_err(|error| BuildError::Cargo(format!("its metadata cannot be read: {error}")))?;
        resolved(&metadata).ok_or_else(|| BuildError::Cargo("its metadata has no resolved dependencies".into()))
    }
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn run(command: &mut Command, dir: &Path) -> Result<Output, BuildError> {
    let output = command.output().map_err(|error| BuildError::file(dir, error))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(BuildError::Cargo(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
}

/// The module among cargo's messages: the root crate's file with the ending `.wasm`.
fn artefact(messages: &[u8], root: &Path) -> Option<PathBuf> {
    let manifest = root.join("Cargo.toml");
    let wasm = |line: &[u8]| {
        let message = Json::parse(line, &Limits { bytes: 8 << 20, depth: 64 }).ok()?;
        let ours = Path::new(message.get("manifest_path")?.as_str()?) == manifest;
        let files = message.get("filenames")?.as_array()?.iter().filter_map(Json::as_str);
        files.filter(|file| ours && file.ends_with(".wasm")).map(PathBuf::from).next()
    };
    messages.split(|byte| *byte == b'\n').find_map(wasm)
}

/// What is reachable from the root without development dependencies.
fn resolved(metadata: &Json) -> Option<Vec<String>> {
    let resolve = metadata.get("resolve")?;
    let root = resolve.get("root")?.as_str()?;
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in resolve.get("nodes")?.as_array()? {
        let dependencies = node.get("deps")?.as_array()?.iter();
        let needed = dependencies.filter(|dependency| is_needed(dependency));
        edges.insert(
            node.get("id")?.as_str()?,
            needed.filter_map(|dependency| dependency.get("pkg")?.as_str()).collect(),
        );
    }
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![root]);
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(edges.get(id).into_iter().flatten());
        }
    }
    let packages = metadata.get("packages")?.as_array()?.iter();
    let mut names: Vec<String> = packages
        .filter(|package| package.get("id").and_then(Json::as_str).is_some_and(|id| id != root && reached.contains(id)))
        .filter_map(|package| Some(format!("{} {}", package.get("name")?.as_str()?, package.get("version")?.as_str()?)))
        .collect();
    names.sort();
    Some(names)
}

fn is_needed(dependency: &Json) -> bool {
    let kinds = dependency.get("dep_kinds").and_then(Json::as_array).unwrap_or_default();
    kinds.iter().any(|kind| kind.get("kind").and_then(Json::as_str) != Some("dev"))
}
