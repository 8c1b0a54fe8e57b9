//! Compiled code: in memory by package digest, on disk by digest, engine version and configuration.
//!
//! What is on disk is machine code that is executed without another look. So the folder is the engine's
//! own: made with mode 0700, used only while it belongs to this process's user and nobody else may write
//! to it; and every file begins with a hash of its content and of what it was compiled from and with.

use lockstep_core::crypto::Digest;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder of compiled code, for one engine.
pub(crate) struct DiskCache {
    dir: PathBuf,
    /// Stands for the engine's version, its configuration and the machine's instructions.
    compatibility: Digest,
}

impl DiskCache {
    /// Opens or makes the folder.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        make_private(dir)?;
        let mut bytes = Bytes::default();
        engine.precompile_compatibility_hash().hash(&mut bytes);
        Ok(DiskCache { dir: dir.to_owned(), compatibility: Digest::of(&bytes.0) })
    }

    fn path(&self, package: &Digest) -> PathBuf {
        self.dir.join(format!("{package}-{}.cwasm", self.compatibility))
    }

    /// Hash of a file's content and of everything that it depends on.
    fn seal(&self, package: &Digest, machine_code: &[u8]) -> Digest {
        let content = Digest::of(machine_code);
        let parts = [package.as_bytes().as_slice(), self.compatibility.as_bytes(), content.as_bytes()];
        Digest::of(&parts.concat())
    }

    /// The package's compiled code, where it is there and whole.
    #[allow(unsafe_code, reason = "wasmtime cannot check machine code")]
    pub(crate) fn load(&self, engine: &Engine, package: &Digest) -> Option<Component> {
        let path = self.path(package);
        if !is_private(&self.dir) || !is_private(&path) {
            return None;
        }
        let bytes = fs::read(path).ok()?;
        let (seal, machine_code) = bytes.split_first_chunk::<32>()?;
        if *seal != *self.seal(package, machine_code).as_bytes() {
            return None;
        }
        // SAFETY: the bytes are what `store` wrote: folder and file belong to this user and nobody else can
        // write them, and the seal says that they are whole and made for this engine.
        unsafe { Component::deserialize(engine, machine_code) }.ok()
    }

    /// Keeps compiled code. A cache that cannot be written is only slower, so nobody hears of it.
    pub(crate) fn store(&self, package: &Digest, component: &Component) {
        let Ok(machine_code) = component.serialize() else { return };
        let mut bytes = self.seal(package, &machine_code).as_bytes().to_vec();
        bytes.extend_from_slice(&machine_code);
        // Whole or not at all, also where two threads or processes write it at once.
        let part = self.dir.join(format!("{package}.{}.{:?}.part", std::process::id(), std::thread::current().id()));
        let written = write_private(&part, &bytes).and_then(|()| fs::rename(&part, self.path(package)));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
    }
}

/// Collects what is hashed, because the standard hasher is not the same in every Rust version.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

#[cfg(unix)]
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if !dir.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    if is_private(dir) {
        return Ok(());
    }
    let message = format!("{} holds machine code, but others may write to it", dir.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Whether `path` is this process's user's and nobody else may write it.
#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // The link's own data: a link elsewhere is not ours. /proc/self belongs to whom this process runs as.
    let own = fs::metadata("/proc/self").ok().map(|process| process.uid());
    fs::symlink_metadata(path)
        .is_ok_and(|found| !found.is_symlink() && found.mode() & 0o022 == 0 && own.is_none_or(|uid| found.uid() == uid))
}

#[cfg(unix)]
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(not(unix))]
fn make_private(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(not(unix))]
fn is_private(_: &Path) -> bool {
    true
}

#[cfg(not(unix))]
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}
