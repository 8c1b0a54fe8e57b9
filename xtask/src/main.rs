//! `cargo xtask test` runs everything that says whether Lockstep works; `cargo xtask prove NAME` runs one long
//! proof at any scale.
//!
//! The modules in the order in which a test run reaches them: [`steps`] names them all, [`tools`] sees to what
//! the machine must have, [`tree`] reads the sources, [`rust`] asks cargo, [`examples`] builds the contracts
//! again, [`budget`] counts, [`demo`] runs the product; [`shell`] starts processes and [`report`] adds up.
//! The proofs themselves stand in `prove`, behind the feature of that name, because they link Lockstep.

mod budget;
mod demo;
mod examples;
mod package;
#[cfg(feature = "prove")]
mod prove;
mod report;
mod rust;
mod shell;
mod steps;
mod tools;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "cargo xtask test [STEP…] [--list]       everything, or only these steps
cargo xtask prove NAME [--scale X] [--seed N] [--out DIR]
cargo xtask prove --list                  the proofs
cargo xtask bless                         builds the examples' committed packages anew";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = arguments.split_first().map_or(("", [].as_slice()), |(verb, rest)| (verb.as_str(), rest));
    match verb {
        "test" => steps::run(rest),
        "prove" => prove(rest),
        "bless" => steps::bless(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "prove")]
fn prove(arguments: &[String]) -> ExitCode {
    prove::main(arguments)
}

/// The same program once more, with the proofs in it.
#[cfg(not(feature = "prove"))]
fn prove(arguments: &[String]) -> ExitCode {
    let status = shell::proofs(arguments).stdout_to_terminal();
    match status {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
