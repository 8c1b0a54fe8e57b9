//! `lockstep contract`: from a source directory to an agreed version.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::directory::{Body, Directory};
use lockstep_core::json::{Json, json};
use lockstep_core::package::Package;
use lockstep_node::Node;

use crate::context::{Context, engine};
use crate::error::{CliError, Exit, file_error};
use crate::keys::Key;
use crate::output::Style;
use crate::scenarios::{run_scenarios, scenarios_of};
use crate::verbs::directory::change;
use lockstep_cli::contract::{BuildOptions, NewError, build, new_contract};

/// Verbs of `contract`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContractVerb {
    /// Make a new contract that works, to be made into another one
    #[command(
        after_help = "Example:\n  lockstep contract new delivery_note && cd delivery_note && lockstep contract test"
    )]
    New {
        /// Its name, also the new directory's: a-z, 0-9 and _
        name: String,
        /// The language that it is written in
        #[arg(long, default_value = "rust", value_parser = ["rust"])]
        language: String,
    },
    /// Build a contract's directory into a package
    #[command(after_help = "Example:\n  lockstep contract build examples/house-sale --out house_sale.lockstep")]
    Build {
        /// The contract's directory [default: here]
        path: Option<PathBuf>,
        /// The package file [default: NAME-VERSION.lockstep in the contract's directory]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Where compiled code is kept, which several contracts can share [default: target in the contract's directory]
        #[arg(long, value_name = "DIR")]
        target_dir: Option<PathBuf>,
    },
    /// Run a contract's scenarios against its package, in the real engine and a real database
    #[command(after_help = "Example:\n  lockstep contract test examples/house-sale")]
    Test {
        /// The contract's directory [default: here]
        path: Option<PathBuf>,
        /// The package to test, where it shall not be built first
        #[arg(long, value_name = "FILE")]
        package: Option<PathBuf>,
    },
    /// Propose a package, approve it, and wait until it is active
    #[command(after_help = "Example:\n  lockstep contract deploy house_sale-1.0.0.lockstep")]
    Deploy {
        /// The package file
        package: PathBuf,
    },
    /// List the contract versions
    #[command(after_help = "Example:\n  lockstep contract list --json")]
    List,
}

pub(crate) async fn run(context: &Context, verb: ContractVerb) -> Result<Exit, CliError> {
    let output = context.output;
    match verb {
        // Rust is the only language so far; clap refuses others.
        ContractVerb::New { name, language } => {
            let dir = new_contract(&name, std::path::Path::new(".")).map_err(|error| new_error(&error))?;
            let shown = dir.strip_prefix(".").unwrap_or(&dir).display().to_string();
            output.document(&json!({"name": name.as_str(), "language": language.as_str(), "dir": shown.as_str()}));
            output.line(format!("made {shown}; it works as it is"));
            output.note(format!("next: cd {shown} && lockstep contract test"));
        }
        ContractVerb::Build { path, out, target_dir } => {
            let dir = path.unwrap_or_else(|| PathBuf::from("."));
            let built = build(&dir, &BuildOptions { out, target_dir })
                .map_err(|error| CliError::new(Code::BuildFailed, error.to_string()))?;
            output.document(&built.to_json());
            output.line(format!("built {} ({} bytes)", built.path.display(), built.size));
            output.line(format!("  digest {}", built.package.digest()));
        }
        ContractVerb::Test { path, package } => {
            let dir = path.unwrap_or_else(|| PathBuf::from("."));
            return test(context, &dir, package.as_deref()).await;
        }
        ContractVerb::Deploy { package } => {
            let home = context.home()?;
            let package = read_package(&package)?;
            let key = context.key(&home)?;
            let writer = context.writer(&home).await?;
            deploy(&writer.node, &key, &package).await?;
            let described = describe_one(&writer.node.directory(), &package);
            output.document(&described);
            output.line(format!("{}@{} is active", package.manifest.name, package.manifest.version));
            writer.node.stop().await;
        }
        ContractVerb::List => {
            let home = context.home()?;
            let writer = context.writer(&home).await?;
            let all = describe_all(&writer.node.directory());
            output.document(&all.iter().cloned().collect::<Json>());
            let text = |json: &Json, name: &str| json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let rows: Vec<Vec<String>> = all
                .iter()
                .map(|one| ["name", "version", "status", "digest"].iter().map(|name| text(one, name)).collect())
                .collect();
            output.table(&["contract", "version", "status", "digest"], &rows);
            writer.node.stop().await;
        }
    }
    Ok(Exit::Done)
}

fn new_error(error: &NewError) -> CliError {
    let code = match error {
        NewError::Name(_) => Code::Usage,
        NewError::Exists(_) => Code::DirectoryExists,
        NewError::File { .. } => Code::Io,
    };
    CliError::new(code, error.to_string())
}

async fn test(context: &Context, dir: &Path, package: Option<&Path>) -> Result<Exit, CliError> {
    let output = context.output;
    let package = match package {
        Some(file) => read_package(file)?,
        None => {
            build(dir, &BuildOptions::default())
                .map_err(|error| CliError::new(Code::BuildFailed, error.to_string()))?
                .package
        }
    };
    let report = run_scenarios(&package, scenarios_of(dir), engine(None)?).await;
    output.document(&report.to_json());
    for case in &report.cases {
        let (style, word) = if case.ok { (Style::Good, "passed") } else { (Style::Bad, "failed") };
        output.line(format!("{}  {}", output.styled(style, word), case.name));
        for line in &case.diff {
            output.line(format!("        {line}"));
        }
    }
    output.line(format!("{} passed, {} failed", report.passed, report.failed));
    Ok(if report.failed == 0 { Exit::Done } else { Exit::Found })
}

/// Reads a package file.
pub(crate) fn read_package(path: &Path) -> Result<Package, CliError> {
    let bytes = std::fs::read(path).map_err(|error| file_error(path, &error))?;
    Package::decode(&bytes).map_err(|error| CliError::new(Code::PackageRefused, format!("{}: {error}", path.display())))
}

/// Proposes a package and approves it as the key's owner.
pub(crate) async fn deploy(node: &Node, key: &Key, package: &Package) -> Result<(), CliError> {
    let manifest = Box::new(package.manifest.clone());
    change(node, key, Body::ContractPropose { manifest }, Some(package.encode())).await?;
    change(node, key, Body::ContractApprove { package: package.digest() }, None).await
}

fn describe_one(directory: &Directory, package: &Package) -> Json {
    let status = directory.package(&package.digest()).map(|contract| contract.status.as_str());
    let manifest = &package.manifest;
    json!({"name": manifest.name.as_str(), "version": manifest.version.to_string(), "digest": package.digest().to_string(), "status": status})
}

fn describe_all(directory: &Directory) -> Vec<Json> {
    let versions = directory
        .contracts()
        .iter()
        .flat_map(|(name, versions)| versions.iter().map(move |(version, contract)| (name, version, contract)));
    versions
        .map(|(name, version, contract)| {
            let approvals: Json =
                contract.approvals.iter().map(|participant| json!({"participant": participant.as_str()})).collect();
            json!({
                "name": name.as_str(), "version": version.to_string(), "digest": contract.manifest.digest().to_string(),
                "status": contract.status.as_str(), "approvals": approvals
            })
        })
        .collect()
}
