//! `contract build`: from a contract's folder to its package.
//!
//! In order: read `contract.toml`, copy the sources to a stage where no path depends on the machine, compile
//! them for WebAssembly, wrap the module as a component, split it, seal everything with a manifest. The same
//! sources, lock file and toolchain give the same bytes in every folder and on every machine.

use super::description::Description;
use super::stage::{self, Stage};
use super::toolchain::Toolchain;
use lockstep_core::crypto::Digest;
use lockstep_core::json::{Json, json};
use lockstep_core::package::{ABI, FORMAT, Manifest, Package, PackageError};
use lockstep_vm::component;
use std::path::{Path, PathBuf};

/// Where a build may put what it makes.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// The package file; `NAME-VERSION.lockstep` in the contract's folder where it is `None`.
    pub out: Option<PathBuf>,
    /// Where cargo keeps what it has compiled, shared by contracts; `target` in the contract's folder where
    /// it is `None`.
    pub target_dir: Option<PathBuf>,
}

/// What a build has made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The package file.
    pub path: PathBuf,
    /// The package.
    pub package: Package,
    /// Bytes of the package file.
    pub size: usize,
    /// Digest of the code half; `None` for a package that only brings specs.
    pub wasm_sha256: Option<Digest>,
}

impl Built {
    /// What `contract build --json` prints.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "package": self.path.display().to_string(),
            "digest": self.package.digest().to_string(),
            "size": self.size,
            "wasm_sha256": self.wasm_sha256.map(|digest| digest.to_string()),
        })
    }
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// `contract.toml` or a file it names is not what it should be.
    #[error("{path}: {message}")]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Nothing here compiles to WebAssembly.
    #[error("{0}")]
    Toolchain(String),
    /// The compiler's own no, in its own words.
    #[error("cargo could not build the contract:\n{0}")]
    Cargo(String),
    /// The module is no contract.
    #[error(transparent)]
    Shape(#[from] component::ShapeError),
    /// The manifest contradicts itself.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl BuildError {
    pub(super) fn file(path: &Path, source: std::io::Error) -> Self {
        BuildError::File { path: path.to_owned(), source }
    }

    pub(super) fn description(path: &Path, message: impl ToString) -> Self {
        BuildError::Description { path: path.to_owned(), message: message.to_string() }
    }
}

/// Builds the contract in folder `dir` and writes its package.
///
/// # Errors
/// [`BuildError`]; nothing is written then.
pub fn build(dir: &Path, options: &BuildOptions) -> Result<Built, BuildError> {
    let description = Description::read(dir)?;
    let compiled = match description.has_code() {
        true => Some(compile(dir, &description, options)?),
        false => None,
    };
    let package = seal(&description, compiled)?;
    let bytes = package.encode();
    let default_name = format!("{}-{}.lockstep", description.name, description.version);
    let path = options.out.clone().unwrap_or_else(|| dir.join(default_name));
    stage::write_whole(&path, &bytes)?;
    let wasm_sha256 = package.manifest.code;
    Ok(Built { path, package, size: bytes.len(), wasm_sha256 })
}

/// The halves of the code and how they came about.
struct Compiled {
    halves: component::Halves,
    toolchain: String,
    dependencies: Vec<String>,
}

fn compile(dir: &Path, description: &Description, options: &BuildOptions) -> Result<Compiled, BuildError> {
    if description.language != "rust" {
        let message = format!("language \"{}\" is not known to this version, which knows rust", description.language);
        return Err(BuildError::description(&dir.join("contract.toml"), message));
    }
    let toolchain = Toolchain::find()?;
    let source = &description.source;
    let target_dir = options.target_dir.clone().unwrap_or_else(|| source.join("target"));
    let stage = Stage::make(source, &target_dir)?;
    let module = toolchain.compile(&stage)?;
    let dependencies = toolchain.dependencies(&stage)?;
    stage.keep_lock_file(source)?;
    let halves = component::split(&component::componentize(&module)?)?;
    Ok(Compiled { halves, toolchain: toolchain.version, dependencies })
}

fn seal(description: &Description, compiled: Option<Compiled>) -> Result<Package, BuildError> {
    let digest = |half: &[u8]| Json::from(Digest::of(half).to_string());
    let (code, debug, build) = match compiled {
        None => (Vec::new(), Vec::new(), json!({})),
        Some(Compiled { halves, toolchain, dependencies }) => {
            let dependencies: Vec<Json> = dependencies.into_iter().map(Json::from).collect();
            let build = json!({"language": description.language.as_str(), "toolchain": toolchain, "dependencies": dependencies});
            (halves.code, halves.debug, build)
        }
    };
    let mut document = json!({
        "format": FORMAT,
        "abi": ABI,
        "name": description.name.as_str(),
        "version": description.version.as_str(),
        "sync": "compare",
        "specs": description.specs.clone(),
        "methods": description.methods.clone(),
        "build": build,
    });
    if let Json::Object(members) = &mut document {
        for (name, half) in [("code", &code), ("debug", &debug)] {
            members.insert(name, if half.is_empty() { Json::Null } else { digest(half) });
        }
    }
    Ok(Package::new(Manifest::parse(&document)?, code, debug)?)
}
