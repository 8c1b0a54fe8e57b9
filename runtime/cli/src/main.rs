//! The binary `lockstep`: so far the verbs for contracts on their author's machine.

use lockstep_cli::contract::{BuildOptions, build, new_contract};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["contract", "new", name] => new_contract(name, Path::new(".")).map(|dir| dir.display().to_string()).map_err(|e| e.to_string()),
        ["contract", "build", dir, out @ ..] if out.len() < 2 => {
            let target_dir = std::env::var_os("CARGO_TARGET_DIR").map(|dir| PathBuf::from(dir).join("lockstep-contracts"));
            let options = BuildOptions { out: out.first().map(PathBuf::from), target_dir };
            build(Path::new(dir), &options).map(|built| built.to_json().to_string()).map_err(|e| e.to_string())
        }
        _ => Err("usage: lockstep contract new NAME | lockstep contract build DIR [OUT]".to_owned()),
    };
    match done {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
