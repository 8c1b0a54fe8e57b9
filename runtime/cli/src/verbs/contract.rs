//! `lockstep contract`: from a source directory to an agreed version.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use lockstep_core::codes::Code;
use lockstep_core::compatibility::{Class, compare};
use lockstep_core::directory::{Body, Directory, Status};
use lockstep_core::engine::Engine;
use lockstep_core::execute::Packages;
use lockstep_core::json::{Json, json};
use lockstep_core::package::Package;
use lockstep_core::tables::{Cell, record_table, version_table};
use lockstep_node::all_tables;

use crate::context::{Context, engine};
use crate::error::{CliError, Exit, file_error};
use crate::keys::Key;
use crate::output::Style;
use crate::scenarios::{against_history, run_scenarios, scenarios_of};
use crate::stored::Stored;
use crate::verbs::contracts;
use crate::verbs::directory::change;
use crate::way::Way;
use lockstep_cli::contract::{BuildError, BuildOptions, NewError, build, new_contract};

/// Verbs of `contract`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContractVerb {
    /// Make a contract's directory: a small real contract to start from, with its SDK
    #[command(
        after_help = "Example:\n  lockstep contract new delivery_note && cd delivery_note && lockstep contract test"
    )]
    New {
        /// The contract's name: a-z, 0-9 and _
        name: String,
        /// The language
        #[arg(long, default_value = "rust", value_parser = ["rust"])]
        language: String,
    },
    /// Show what is in a package: a file, or NAME or NAME@VERSION of what was proposed
    #[command(
        after_help = "Examples:\n  lockstep contract show house_sale-1.0.0.lockstep\n  lockstep contract show house_sale"
    )]
    Show {
        /// FILE, NAME or NAME@VERSION
        package: String,
    },
    /// What deploying a package would do: tables, records, and whether its version number promises enough
    #[command(after_help = "Example:\n  lockstep contract plan house_sale-1.1.0.lockstep")]
    Plan {
        /// The package file
        package: PathBuf,
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
    #[command(after_help = "Examples:
  lockstep contract test examples/house-sale
  lockstep contract test . --against-history lockstep.db     every intent of the past, judged by this version, too")]
    Test {
        /// The contract's directory, or a package file with its scenarios beside it [default: here]
        path: Option<PathBuf>,
        /// The package to test, where it shall not be built first
        #[arg(long, value_name = "FILE")]
        package: Option<PathBuf>,
        /// Have this version judge the intents in a database again, each in the state that it met; changes nothing
        #[arg(long, value_name = "URL|FILE")]
        against_history: Option<String>,
    },
    /// Propose a package, approve it, and wait until it is active
    #[command(after_help = "Example:\n  lockstep contract deploy house_sale-1.0.0.lockstep")]
    Deploy {
        /// The package file
        package: PathBuf,
    },
    /// Approve a proposed version for your participant, after reading its plan
    #[command(
        after_help = "Examples:\n  lockstep contract approve house_sale@1.0.0\n  lockstep contract approve house_sale@1.0.0 --yes"
    )]
    Approve {
        /// NAME@VERSION, or the package's digest
        wanted: String,
        /// Sign without asking
        #[arg(long)]
        yes: bool,
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
        ContractVerb::Show { package } => return show(context, &package).await,
        ContractVerb::Plan { package } => return plan(context, &package).await,
        ContractVerb::Build { path, out, target_dir } => {
            let dir = path.unwrap_or_else(|| PathBuf::from("."));
            let built = build(&dir, &BuildOptions { out, target_dir }).map_err(|error| build_error(&error))?;
            output.document(&built.to_json());
            output.line(format!("built {} ({} bytes)", built.path.display(), built.size));
            output.line(format!("  digest {}", built.package.digest()));
        }
        ContractVerb::Test { path, package, against_history } => {
            let dir = path.unwrap_or_else(|| PathBuf::from("."));
            return test(context, dir, package, against_history.as_deref()).await;
        }
        ContractVerb::Deploy { package } => {
            let home = context.home()?;
            let package = read_package(&package)?;
            let key = context.key(&home)?;
            let way = context.way(&home).await?;
            deploy(&way, &key, &package).await?;
            settled(context, &*way.directory().await?, &package);
            way.close(&home).await?;
        }
        ContractVerb::Approve { wanted, yes } => return approve(context, &wanted, yes).await,
        ContractVerb::List => return contracts::run(context).await,
    }
    Ok(Exit::Done)
}

fn build_error(error: &BuildError) -> CliError {
    let code = match error {
        BuildError::Toolchain(_) => Code::ToolMissing,
        BuildError::Package(_) => Code::PackageRefused,
        BuildError::File { .. } => Code::Io,
        BuildError::Description { .. } | BuildError::Cargo(_) | BuildError::Shape(_) => Code::BuildFailed,
    };
    CliError::new(code, error.to_string())
}

fn new_error(error: &NewError) -> CliError {
    let code = match error {
        NewError::Name(_) => Code::Usage,
        NewError::Exists(_) => Code::DirectoryExists,
        NewError::File { .. } => Code::Io,
    };
    CliError::new(code, error.to_string())
}

async fn test(
    context: &Context,
    path: PathBuf,
    package: Option<PathBuf>,
    history: Option<&str>,
) -> Result<Exit, CliError> {
    let output = context.output;
    let (dir, package) = match path.parent() {
        Some(beside) if path.is_file() && package.is_none() => (beside.to_owned(), Some(path)),
        _ => (path, package),
    };
    let package = match package {
        Some(file) => read_package(&file)?,
        None => build(&dir, &BuildOptions::default()).map_err(|error| build_error(&error))?.package,
    };
    let engine = engine(None)?;
    let mut report = run_scenarios(&package, scenarios_of(&dir), engine.clone()).await;
    if let Some(history) = history {
        report.extend(against_history(&package, history, engine.as_ref()).await?);
    }
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

async fn show(context: &Context, wanted: &str) -> Result<Exit, CliError> {
    let package =
        if Path::new(wanted).is_file() { read_package(Path::new(wanted))? } else { deployed(context, wanted).await? };
    let output = context.output;
    output.document(&package.describe());
    let manifest = &package.manifest;
    output.line(format!("{}@{}  {}", manifest.name, manifest.version, package.digest()));
    for (name, method) in &manifest.methods {
        let uses = method.records.iter().map(|usage| {
            format!(
                "{}: reads {}; writes {}; notifies {}",
                usage.spec,
                usage.reads.join(" "),
                usage.writes.join(" "),
                usage.notifies.join(" ")
            )
        });
        output.line(format!("  {name}  {}", uses.collect::<Vec<_>>().join(" | ")));
    }
    for (name, spec) in &manifest.specs {
        output.line(format!("  spec {name}  {}", spec.sections.keys().cloned().collect::<Vec<_>>().join(" ")));
    }
    Ok(Exit::Done)
}

/// A package that was proposed to this node's network.
async fn deployed(context: &Context, wanted: &str) -> Result<Package, CliError> {
    let stored = Stored::open(&context.home()?).await?;
    let directory = stored.directory().await?;
    let (name, version) = wanted.split_once('@').map_or((wanted, None), |(name, version)| (name, Some(version)));
    let mut versions =
        directory.contracts().iter().filter(|(known, _)| known.as_str() == name).flat_map(|(_, versions)| versions);
    let found = versions.rfind(|(known, _)| version.is_none_or(|version| known.to_string() == version));
    let packages = stored.packages().await?;
    let package = found.and_then(|(_, contract)| packages.package(&contract.manifest.digest()));
    let package = package.ok_or_else(|| {
        CliError::new(Code::NotFound, format!("there is no file and no contract version {wanted}"))
            .hint("lockstep contract list")
    })?;
    Ok(Package::clone(&package))
}

/// What deploying would do; nothing is changed. What it finds is a version number that promises less than the
/// changes need, or a package that the directory would not take.
async fn plan(context: &Context, file: &Path) -> Result<Exit, CliError> {
    let home = context.home()?;
    let package = read_package(file)?;
    let manifest = &package.manifest;
    let stored = Stored::open(&home).await?;
    let directory = stored.directory().await?;
    let mut reasons = Vec::new();
    let earlier = directory.contracts().get(&manifest.name).and_then(|versions| versions.last_key_value());
    let (needed, promised) = match earlier {
        None => (Class::Minor, Class::Minor),
        Some((version, contract)) => {
            reasons = compare(&contract.manifest, manifest);
            let needed = reasons.iter().map(|reason| reason.class).max().unwrap_or(Class::Patch);
            (needed, Class::promised(version, &manifest.version))
        }
    };
    let mut objections: Vec<String> = Vec::new();
    if needed > promised {
        objections.push(format!(
            "the changes are {}, the version number promises {}",
            needed.as_str(),
            promised.as_str()
        ));
    }
    objections.extend(directory.check_manifest(manifest).err().map(|error| error.to_string()));
    objections.extend(engine(Some(home.dir.join("cache")))?.check(&package).err().map(|error| error.to_string()));
    let mut tables = all_tables(&directory);
    for (name, spec) in &manifest.specs {
        for table in std::iter::once(record_table(name.as_str(), spec)).chain(version_table(name.as_str(), spec)) {
            match tables.iter_mut().find(|known| known.name == table.name) {
                Some(known) => known.widen(&table),
                None => tables.push(table),
            }
        }
    }
    let ddl = stored.database().plan(&tables).await?;
    let mut records = 0;
    for name in manifest.specs.keys().filter(|name| directory.newest_spec(name).is_some()) {
        let answer = stored.database().query(&format!("SELECT count(*) AS n FROM {name}"), 1).await?;
        records += answer.rows.first().and_then(|row| row.first()).and_then(Cell::as_count).unwrap_or_default();
    }
    let described: Json = reasons
        .iter()
        .map(|reason| json!({"path": reason.path.as_str(), "change": reason.change.as_str(), "class": reason.class.as_str()}))
        .collect();
    let output = context.output;
    output.document(&json!({
        "ddl": ddl.iter().map(|statement| Json::from(statement.as_str())).collect::<Json>(), "records": records,
        "compatibility": needed.as_str(), "reasons": described, "digest": package.digest().to_string(),
        "objections": objections.iter().map(|one| Json::from(one.as_str())).collect::<Json>()
    }));
    output.line(format!("{}@{} is a {} step; {records} records", manifest.name, manifest.version, needed.as_str()));
    for reason in &reasons {
        output.line(format!("  {:5}  {} {}", reason.class.as_str(), reason.path, reason.change));
    }
    for statement in &ddl {
        output.line(format!("  {statement}"));
    }
    for objection in &objections {
        output.line(format!("  {} {objection}", output.styled(Style::Bad, "✗")));
    }
    Ok(if objections.is_empty() { Exit::Done } else { Exit::Found })
}

/// Reads a package file.
pub(crate) fn read_package(path: &Path) -> Result<Package, CliError> {
    let bytes = std::fs::read(path).map_err(|error| file_error(path, &error))?;
    Package::decode(&bytes).map_err(|error| CliError::new(Code::PackageRefused, format!("{}: {error}", path.display())))
}

/// Proposes a package and approves it as the key's owner.
pub(crate) async fn deploy(way: &Way, key: &Key, package: &Package) -> Result<(), CliError> {
    let manifest = Box::new(package.manifest.clone());
    change(way, key, Body::ContractPropose { manifest }, Some(package.encode())).await?;
    change(way, key, Body::ContractApprove { package: package.digest() }, None).await
}

/// Says how far the participants have agreed to a package.
fn settled(context: &Context, directory: &Directory, package: &Package) {
    let (name, version) = (&package.manifest.name, &package.manifest.version);
    context.output.document(&describe_one(directory, package));
    let active = directory.package(&package.digest()).is_some_and(|contract| contract.status != Status::Proposed);
    if active {
        return context.output.line(format!("{name}@{version} is active"));
    }
    let approvals = directory.package(&package.digest()).map(|contract| contract.approvals.clone()).unwrap_or_default();
    let missing: Vec<&str> = directory.voters().filter(|voter| !approvals.contains(*voter)).collect();
    context.output.line(format!("{name}@{version} is proposed; not approved yet by {}", missing.join(", ")));
    context.output.note(format!("next, at each of them: lockstep contract approve {name}@{version}"));
}

/// Approves a version for the caller's participant: what it may do is shown first, and signed only after a yes.
async fn approve(context: &Context, wanted: &str, yes: bool) -> Result<Exit, CliError> {
    let home = context.home()?;
    let name = by_digest(&Stored::open(&home).await?.directory().await?, wanted).unwrap_or_else(|| wanted.to_owned());
    let package = deployed(context, &name).await?;
    if !yes && context.output.json {
        return Err(CliError::new(Code::Usage, "with --json nobody reads what is approved").hint("give --yes, too"));
    }
    if !yes {
        show(context, &name).await?;
        eprint!("approve {}@{} ({})? type yes: ", package.manifest.name, package.manifest.version, package.digest());
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map_err(|error| CliError::new(Code::Io, error.to_string()))?;
        if answer.trim() != "yes" {
            return Err(CliError::new(Code::Usage, "not approved").hint("type yes, or give --yes"));
        }
    }
    let way = context.way(&home).await?;
    change(&way, &context.key(&home)?, Body::ContractApprove { package: package.digest() }, None).await?;
    settled(context, &*way.directory().await?, &package);
    way.close(&home).await?;
    Ok(Exit::Done)
}

/// The contract version with this package digest, as NAME@VERSION.
fn by_digest(directory: &Directory, wanted: &str) -> Option<String> {
    let contract = directory.package(&lockstep_core::crypto::Digest::parse(wanted).ok()?)?;
    Some(format!("{}@{}", contract.manifest.name, contract.manifest.version))
}

fn describe_one(directory: &Directory, package: &Package) -> Json {
    let status = directory.package(&package.digest()).map(|contract| contract.status.as_str());
    let manifest = &package.manifest;
    json!({"name": manifest.name.as_str(), "version": manifest.version.to_string(), "digest": package.digest().to_string(), "status": status})
}
