//! `contract new`: a small contract that works, to be made into another one.
//!
//! Everything comes from this binary, the SDK included: the new folder needs no other part of Lockstep.

use lockstep_core::names::{ContractName, NameError};
use std::fs;
use std::path::{Path, PathBuf};

/// Files of a new contract: path in its folder, text with `__NAME__` and `__CRATE__` to be filled in.
const TEMPLATE: [(&str, &str); 9] = [
    ("contract.toml", include_str!("template/contract.toml")),
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/src/lib.rs.in")),
    ("spec/__NAME__.json", include_str!("template/spec/spec.json")),
    ("arguments/ship.json", include_str!("template/arguments/ship.json")),
    ("arguments/receive.json", include_str!("template/arguments/receive.json")),
    ("scenarios/delivery.json", include_str!("template/scenarios/delivery.json")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
];

macro_rules! sdk {
    ($($file:literal),+ $(,)?) => {
        [$(($file, include_str!(concat!("../../../../contracts-sdk/rust/", $file)))),+]
    };
}

/// Files of the SDK. The test `the_vendored_sdk_is_complete` holds the list to the folder.
const SDK: [(&str, &str); 11] = sdk![
    "Cargo.toml",
    "README.md",
    "src/abi.rs",
    "src/context.rs",
    "src/decimal.rs",
    "src/door.rs",
    "src/export.rs",
    "src/lib.rs",
    "src/outcome.rs",
    "src/record.rs",
    "src/testing.rs",
];

/// Why there is no new contract.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name is not one that a contract may have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Something is there already; nothing of it was touched.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Makes the folder `name` in `dir` with a small contract of that name; the folder's path.
///
/// # Errors
/// [`NewError`]; an existing folder is never written to.
pub fn new_contract(name: &str, dir: &Path) -> Result<PathBuf, NewError> {
    let name = ContractName::parse(name)?;
    let folder = dir.join(name.as_str());
    if folder.exists() {
        return Err(NewError::Exists(folder));
    }
    let filled =
        |text: &str| text.replace("__NAME__", name.as_str()).replace("__CRATE__", &name.as_str().replace('_', "-"));
    for (path, text) in TEMPLATE {
        write(&folder.join(filled(path)), &filled(text))?;
    }
    for (path, text) in SDK {
        write(&folder.join(".lockstep/sdk").join(path), text)?;
    }
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    };
    write().map_err(|source| NewError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendored_sdk_is_complete() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts-sdk/rust");
        let mut found: Vec<String> = Vec::new();
        for folder in ["", "src/"] {
            for entry in fs::read_dir(sdk.join(folder)).into_iter().flatten().flatten() {
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                let kept = name.ends_with(".rs") || name == "Cargo.toml" || name == "README.md";
                kept.then(|| found.push(name));
            }
        }
        found.sort();
        assert_eq!(SDK.map(|(name, _)| name).to_vec(), found);
    }
}
