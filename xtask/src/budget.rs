//! What Lockstep may weigh: crates and bytes against `budgets.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::report::Findings;
use crate::shell::cargo;
use crate::tools::WASM;
use crate::{examples, rust, tree};

/// Counts and compares.
pub(crate) fn check() -> Result<Findings, String> {
    let budgets = budgets()?;
    let counted = [
        ("core_crates", crates(&["--package", "lockstep-core", "--target", WASM])),
        ("binary_crates", crates(&["--package", "lockstep-cli"])),
        ("guest_crates", crates(&["--manifest-path", "examples/house-sale/Cargo.toml", "--target", WASM])),
        ("binary_bytes", bytes(&rust::binary())),
        ("package_bytes", largest_package()),
    ];
    let mut found = Findings::default();
    for (name, counted) in counted {
        let budget = budgets.get(name).ok_or_else(|| format!("budgets.toml has no {name}"))?;
        match counted {
            Err(problem) => found.problems.push(problem),
            Ok(count) => {
                println!("{name} = {count} of {budget}");
                found = found.and(Findings::note(format!("{name} {count}")));
                if count > *budget {
                    found.problems.push(format!("{name} is {count}, {budget} are allowed (budgets.toml)"));
                }
            }
        }
    }
    Ok(found)
}

/// The numbers of `budgets.toml`.
pub(crate) fn budgets() -> Result<BTreeMap<String, u64>, String> {
    let path = tree::root().join("budgets.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    numbers(&text)
}

/// Lines `name = number`; all that the file needs of TOML.
fn numbers(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let number = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().replace('_', "").parse().ok()?))
    };
    lines.map(|line| number(line).ok_or_else(|| format!("budgets.toml: no number in {line}"))).collect()
}

/// Distinct crates of others that a build links or runs at compile time; tests' are not counted. Our own have a path.
fn crates(selection: &[&str]) -> Result<u64, String> {
    let tree = cargo(&["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"]).args(selection).quietly();
    let tree = tree.ok_or_else(|| format!("cargo tree {} fails", selection.join(" ")))?;
    let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let names: BTreeSet<String> =
        tree.lines().filter(|line| !line.contains("(/")).map(name).filter(|name| !name.is_empty()).collect();
    u64::try_from(names.len()).map_err(|error| error.to_string())
}

fn bytes(path: &Path) -> Result<u64, String> {
    std::fs::metadata(path).map(|found| found.len()).map_err(|error| format!("{}: {error}", path.display()))
}

fn largest_package() -> Result<u64, String> {
    let sizes = examples::committed()?.iter().map(|path| bytes(path)).collect::<Result<Vec<u64>, String>>()?;
    Ok(sizes.into_iter().max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_numbers_with_names() {
        assert_eq!(numbers("# why\na = 1_000\n").map(|found| found.get("a").copied()), Ok(Some(1000)));
        assert!(numbers("a = many\n").is_err());
    }
}
