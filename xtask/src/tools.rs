//! What the machine must have beyond Rust itself: a way to WebAssembly, Python with Ed25519, strace, PostgreSQL.
//!
//! Each is used where it is there, else installed the ordinary way where that is possible without asking for a
//! password, else named with the commands that would bring it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::shell::{Shell, command};
use crate::tree;

/// The target of contracts and of the proof that core does no I/O.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

const NO_WASM: &str = "nothing here compiles Rust to wasm32-unknown-unknown; do one of these:
  rustup target add wasm32-unknown-unknown
  sudo apt-get install -y --no-install-recommends rustc-web rust-web-src lld";
const NO_PYTHON: &str = "no python3 with an Ed25519 package; do one of these:
  python3 -m pip install cryptography
  sudo apt-get install -y --no-install-recommends python3 python3-cryptography";
const NO_STRACE: &str = "no strace that may trace, to watch that commits are synced: sudo apt-get install -y strace
  (in a container: with --cap-add=SYS_PTRACE)";

const NO_POSTGRES: &str = "no PostgreSQL that tests could start a private server of; do one of these:
  sudo apt-get install -y --no-install-recommends postgresql
  export LOCKSTEP_TEST_POSTGRES_URL=postgres://USER:PASSWORD@HOST/DATABASE (who may CREATE DATABASE there)";

/// How Rust becomes WebAssembly here.
#[derive(Clone, Debug)]
pub(crate) enum Wasm {
    /// The compiler that started us has the target.
    Installed,
    /// This compiler has the sources of its library, which are compiled, too.
    FromSource(PathBuf),
}

/// What was found; the reason where not.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Rust to WebAssembly.
    pub(crate) wasm: Result<Wasm, String>,
    python: Result<PathBuf, String>,
    strace: Result<(), String>,
    postgres: Result<(), String>,
}

impl Tools {
    /// Looks for everything, and installs what is missing where that is possible.
    pub(crate) fn find() -> Self {
        Tools { wasm: find_wasm(), python: find_python(), strace: find_strace(), postgres: find_postgres() }
    }

    /// What is missing.
    pub(crate) fn problems(&self) -> Vec<String> {
        let all = [
            self.wasm.as_ref().err(),
            self.python.as_ref().err(),
            self.strace.as_ref().err(),
            self.postgres.as_ref().err(),
        ];
        all.into_iter().flatten().cloned().collect()
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        let wasm = match &self.wasm {
            Ok(Wasm::Installed) => "wasm by rustup's target".to_owned(),
            Ok(Wasm::FromSource(rustc)) => format!("wasm by {}", rustc.display()),
            Err(_) => "NO wasm".to_owned(),
        };
        let python = self.python.as_ref().map_or("NO python".to_owned(), |python| python.display().to_string());
        let strace = if self.strace.is_ok() { "strace" } else { "NO strace" };
        format!("{wasm}, {python}, {strace}, {}", if self.postgres.is_ok() { "PostgreSQL" } else { "NO PostgreSQL" })
    }

    /// Lets every test find what was found: `python3` on the path works and knows its packages, and
    /// `LOCKSTEP_MISSING` names what is not there (`wasm`, `python`, `strace`, `postgres`), so that tests may say so and pass.
    pub(crate) fn put_in_reach(&self) {
        let bin = tools_dir().join("bin");
        if let Ok(python) = &self.python
            && let Err(error) = write_launcher(&bin, python)
        {
            eprintln!("{}: {error}", bin.display());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
        let missing = [
            ("wasm", self.wasm.is_err()),
            ("python", self.python.is_err()),
            ("strace", self.strace.is_err()),
            ("postgres", self.postgres.is_err()),
        ];
        let missing: Vec<&str> = missing.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect();
        crate::shell::set_for_all("PATH", std::env::join_paths(paths).unwrap_or(path));
        crate::shell::set_for_all("PYTHONPATH", python_packages());
        crate::shell::set_for_all("LOCKSTEP_MISSING", missing.join(","));
    }
}

fn tools_dir() -> PathBuf {
    tree::target().join("tools")
}

fn python_packages() -> PathBuf {
    tree::target().join("python")
}

/// The lists of packages are fetched once, however many are missing.
static UPDATED: std::sync::Once = std::sync::Once::new();

fn find_wasm() -> Result<Wasm, String> {
    let found = installed_wasm().or_else(wasm_from_source);
    // A rustup that cannot reach its server fails at once; one that hangs is not waited for.
    let added = || {
        let added = command("rustup").args(["target", "add", WASM]).within(Duration::from_secs(120));
        if added { installed_wasm() } else { None }
    };
    let from_debian = || {
        let installed = apt_get(&["rustc-web", "rust-web-src", "lld"]);
        if installed { wasm_from_source() } else { None }
    };
    found.or_else(added).or_else(from_debian).ok_or_else(|| NO_WASM.to_owned())
}

fn installed_wasm() -> Option<Wasm> {
    let sysroot = command("rustc").args(["--print", "sysroot"]).quietly()?;
    Path::new(&sysroot).join("lib/rustlib").join(WASM).join("lib").is_dir().then_some(Wasm::Installed)
}

/// Debian's compiler beside rustup's, as `lockstep contract build` finds it.
fn wasm_from_source() -> Option<Wasm> {
    let linker = command("wasm-ld").args(["--version"]).quietly();
    let rustc = PathBuf::from("/usr/bin/rustc");
    let sysroot = command(&rustc).args(["--print", "sysroot"]).quietly()?;
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std");
    (linker.is_some() && sources.is_dir() && is_new_enough(&rustc)).then_some(Wasm::FromSource(rustc))
}

/// Debian's plain `rustc` is years old, and so is a `rustc-web` without the security updates.
fn is_new_enough(rustc: &Path) -> bool {
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    let found = command(rustc).args(["--version"]).quietly().and_then(|said| minor(said.split(' ').nth(1)?));
    found >= minor(env!("CARGO_PKG_RUST_VERSION"))
}

fn find_python() -> Result<PathBuf, String> {
    // A shim of a version manager may stand first on the path and not work.
    let on_path = command("python3").args(["-c", "import sys; print(sys.executable)"]).quietly().map(PathBuf::from);
    let candidates: Vec<PathBuf> = on_path.into_iter().chain([PathBuf::from("/usr/bin/python3")]).collect();
    let ready = || candidates.iter().find(|python| knows_ed25519(python)).cloned();
    let installed = || {
        let packages = python_packages();
        candidates.iter().any(|python| {
            // What an earlier version of Python left there would stand in the way of this one's.
            let pip = command(python).args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]);
            pip.args([packages.as_os_str()]).args(["cryptography"]).within(Duration::from_secs(300))
        });
        ready()
    };
    let from_debian = || {
        apt_get(&["python3", "python3-cryptography"]);
        ready().or_else(|| Some(PathBuf::from("/usr/bin/python3")).filter(|python| knows_ed25519(python)))
    };
    ready().or_else(installed).or_else(from_debian).ok_or_else(|| NO_PYTHON.to_owned())
}

fn knows_ed25519(python: &Path) -> bool {
    let import = "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey; import sqlite3";
    command(python).args(["-c", import]).env("PYTHONPATH", python_packages()).quietly().is_some()
}

fn write_launcher(bin: &Path, python: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(bin)?;
    let launcher = bin.join("python3");
    std::fs::write(&launcher, format!("#!/bin/sh\nexec '{}' \"$@\"\n", python.display()))?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))
}

fn find_strace() -> Result<(), String> {
    // That it is there is not enough: a container may forbid tracing.
    let there = || command("strace").args(["-o", "/dev/null", "true"]).quietly().is_some();
    if there() || (apt_get(&["strace"]) && there()) { Ok(()) } else { Err(NO_STRACE.to_owned()) }
}

/// A server's programs, which tests start privately, or the URL of one that stands in for it.
fn find_postgres() -> Result<(), String> {
    let given = || std::env::var_os("LOCKSTEP_TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty());
    let there = || command("initdb").args(["--version"]).quietly().is_some() || in_versions();
    let found = given() || there() || (apt_get(&["postgresql"]) && there());
    if found { Ok(()) } else { Err(NO_POSTGRES.to_owned()) }
}

/// Debian keeps the programs of each version in a folder of their own, away from the path.
fn in_versions() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|initdb| initdb.is_file())
}

/// Installs Debian packages, as root or by a sudo that asks for no password.
fn apt_get(packages: &[&str]) -> bool {
    if command("apt-get").args(["--version"]).quietly().is_none() {
        return false;
    }
    let root = command("id").args(["-u"]).quietly().as_deref() == Some("0");
    if !root && command("sudo").args(["-n", "true"]).quietly().is_none() {
        return false;
    }
    // By name, for sudo hands no variables on; others, such as the updates of a machine just started, may hold the lock.
    let words = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"];
    let start = || if root { command("env") } else { command("sudo").args(["-n", "env"]) };
    let apt_get = || -> Shell { start().args(words) };
    let limit = Duration::from_secs(600);
    // One source of packages that cannot be reached does not mean that these cannot.
    UPDATED.call_once(|| _ = apt_get().args(["update"]).within(limit));
    // Nobody is asked, so nothing that is there may go: Debian has compilers that exclude each other.
    apt_get().args(["install", "-y", "--no-remove", "--no-install-recommends"]).args(packages).within(limit)
}
