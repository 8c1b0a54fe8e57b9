//! New contracts, built where they are and somewhere else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by failing")]

use lockstep_cli::contract::{BuildError, BuildOptions, NewError, build, new_contract};
use lockstep_core::engine::Engine;
use lockstep_vm::{WasmConfig, WasmEngine};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockstep-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Shared with every other build on this machine: compiling the standard library takes most of a minute.
fn options() -> BuildOptions {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(|target| target.join("lockstep-contracts"));
    BuildOptions { out: None, target_dir }
}

/// Whether `cargo xtask test` found nothing that compiles to WebAssembly; where nobody watches, that is its failure.
fn wasm_is_missing() -> bool {
    let missing = std::env::var("LOCKSTEP_MISSING").is_ok_and(|missing| missing.split(',').any(|tool| tool == "wasm"));
    if missing {
        eprintln!("skipped: nothing here compiles to WebAssembly");
    }
    missing
}

#[test]
fn a_new_contract_builds_to_the_same_bytes_in_another_folder() {
    if wasm_is_missing() {
        return;
    }
    let folder = Folder::new("new");
    let first = new_contract("parcel", &folder.0).unwrap();
    let built = build(&first, &options()).unwrap();
    assert_eq!(built.path, first.join("parcel-1.0.0.lockstep"));
    WasmEngine::new(WasmConfig::default()).unwrap().check(&built.package).unwrap();

    let elsewhere = folder.0.join("some/where/else");
    fs::create_dir_all(&elsewhere).unwrap();
    let second = new_contract("parcel", &elsewhere).unwrap();
    fs::copy(first.join("Cargo.lock"), second.join("Cargo.lock")).unwrap();
    let again = build(&second, &options()).unwrap();
    assert_eq!(fs::read(built.path).unwrap(), fs::read(again.path).unwrap());
}

#[test]
fn what_the_compiler_refuses_is_shown_in_its_own_words() {
    if wasm_is_missing() {
        return;
    }
    let folder = Folder::new("refused");
    let contract = new_contract("parcel", &folder.0).unwrap();
    fs::write(contract.join("src/lib.rs"), "fn ship() -> u8 { \"no number\" }\n").unwrap();
    match build(&contract, &options()) {
        Err(BuildError::Cargo(said)) => {
            assert!(said.contains("mismatched types") && said.contains("src/lib.rs:1:19"), "{said}");
            assert!(!said.contains("Compiling"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    fs::write(contract.join("src/lib.rs"), "#![allow(missing_docs)]\n").unwrap();
    assert!(build(&contract, &options()).unwrap_err().to_string().contains("is there a contract!(…) line?"));
    assert!(!contract.join("parcel-1.0.0.lockstep").exists());
}

#[test]
fn a_description_that_makes_no_sense_is_refused_with_its_place() {
    let folder = Folder::new("description");
    let contract = new_contract("parcel", &folder.0).unwrap();
    let path = contract.join("contract.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (wrong, said) in [
        (good.replace("language = \"rust\"", ""), "language is missing"),
        (good.replace("version = \"1.0.0\"", "version = 1.0"), "version is not a text"),
        (good.replace("arguments/ship.json", "arguments/none.json"), "arguments/none.json"),
        (format!("sections = []\n{good}"), "sections is not known"),
        (good.replace("\"rust\"", "\"cobol\""), "language \"cobol\" is not known"),
        (good.replace("[methods.ship]", "[methods.ship"), "contract.toml"),
    ] {
        fs::write(&path, wrong).unwrap();
        let error = build(&contract, &options()).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[test]
fn an_existing_folder_is_left_alone() {
    let folder = Folder::new("existing");
    fs::create_dir(folder.0.join("parcel")).unwrap();
    assert!(matches!(new_contract("parcel", &folder.0), Err(NewError::Exists(_))));
    assert!(matches!(new_contract("Parcel!", &folder.0), Err(NewError::Name(_))));
    assert_eq!(fs::read_dir(folder.0.join("parcel")).unwrap().count(), 0);
}
