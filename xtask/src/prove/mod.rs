//! `cargo xtask prove NAME`: the long proofs, each at any scale, from one seed, resumable.
//!
//! A proof is a function over a [`Job`]: it runs numbered cases, each from a seed of its own, and counts. What it
//! found is appended to `proof/NAME.ndjson`. `cargo xtask test` runs all of them at their small scale, through the
//! same code.

mod dice;
mod faults;
mod honest;
mod job;
mod kill;
mod network;
mod readers;
mod record;
mod replay;
mod sign;
mod soak;
mod tamper;

use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use dice::Dice;
pub(crate) use job::{Job, Totals};

/// One proof.
pub(crate) struct Proof {
    /// Its name on the command line and of its file.
    pub(crate) name: &'static str,
    /// What it proves.
    pub(crate) about: &'static str,
    /// The scale for `cargo xtask test`: some seconds.
    pub(crate) small: f64,
    /// Runs it. An error is the machine's; what is not as it must be is a failure in the job's totals.
    pub(crate) run: fn(&mut Job) -> Result<(), String>,
}

/// All of them.
const PROOFS: &[Proof] = &[
    Proof {
        name: "tamper",
        about: "whoever edits a managed table is named to the cell, and nobody else is; clean databases have no finding",
        small: 0.005,
        run: tamper::run,
    },
    Proof {
        name: "replay",
        about: "evidence alone makes the same tables; the same signed intents make the same events on every database, in batches or alone",
        small: 0.02,
        run: replay::run,
    },
    Proof {
        name: "honest",
        about: "among honest nodes nobody is accused, whatever comes in whichever order, and all end equal",
        small: 0.1,
        run: honest::run,
    },
    Proof {
        name: "kill",
        about: "what a node acknowledged survives every kill, each write and sync that fails, and a cut of the power; nothing is doubled or half applied",
        small: 0.01,
        run: kill::run,
    },
    Proof {
        name: "faults",
        about: "whatever befalls a node's disk, clock, descriptors and door: a clear no, nothing acknowledged is lost, and it goes on by itself within five seconds",
        small: 0.1,
        run: faults::run,
    },
    Proof {
        name: "network",
        about: "five processes, killed and cut apart at random, end with the same rows; nothing acknowledged is lost or doubled",
        small: 0.05,
        run: network::run,
    },
    Proof {
        name: "readers",
        about: "10,000 who wait cost little and hear of one event at once; 1,000 hear of every event in order while others are stuck",
        small: 0.02,
        run: readers::run,
    },
    Proof {
        name: "soak",
        about: "an hour at half load, with readers, a key rotated and a contract deployed in the middle: memory and latency stay flat, verify is clean",
        small: 0.0166,
        run: soak::run,
    },
];

const USAGE: &str = "cargo xtask prove NAME [--scale X] [--seed N] [--out DIR]    or --all --small, or --list";

/// What the command line asks for.
struct Wanted {
    proofs: Vec<&'static Proof>,
    scale: Option<f64>,
    seed: u64,
    out: PathBuf,
}

/// The command line of `prove`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--list") {
        for proof in PROOFS {
            println!("{:<10} {}", proof.name, proof.about);
        }
        return ExitCode::SUCCESS;
    }
    let wanted = match parse(arguments) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut held = true;
    for proof in &wanted.proofs {
        held &= prove(proof, &wanted);
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted { proofs: Vec::new(), scale: Some(1.0), seed: 1, out: crate::tree::root().join("proof") };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--all" => wanted.proofs = PROOFS.iter().collect(),
            "--small" => wanted.scale = None,
            "--scale" => wanted.scale = Some(value()?.parse().map_err(|_| "--scale takes a number")?),
            "--seed" => wanted.seed = value()?.parse().map_err(|_| "--seed takes a whole number")?,
            "--out" => wanted.out = PathBuf::from(value()?),
            name => {
                let proof = PROOFS.iter().find(|proof| proof.name == name);
                wanted.proofs.push(proof.ok_or_else(|| format!("there is no proof {name}"))?);
            }
        }
    }
    if wanted.proofs.is_empty() { Err("which proof?".to_owned()) } else { Ok(wanted) }
}

/// Runs one and writes down what it found; whether it held.
fn prove(proof: &Proof, wanted: &Wanted) -> bool {
    let scale = wanted.scale.unwrap_or(proof.small);
    let started = std::time::Instant::now();
    let result = Job::start(proof.name, scale, wanted.seed).and_then(|mut job| {
        (proof.run)(&mut job)?;
        let line = record::line(&job)?;
        record::append(&wanted.out.join(format!("{}.ndjson", proof.name)), &line)?;
        println!("{line}");
        Ok(job.finish())
    });
    let repeat = format!("cargo xtask prove {} --scale {scale} --seed {}", proof.name, wanted.seed);
    let problem = match result {
        Ok(totals) if totals.failures.is_empty() => {
            println!("proof held: {} in {:.1} s", proof.name, started.elapsed().as_secs_f64());
            return true;
        }
        Ok(totals) => {
            format!("{} failures, first: {}", totals.failures.len(), totals.failures.first().map_or("", String::as_str))
        }
        Err(error) => error,
    };
    println!("proof broken: {}: {problem}; {repeat}", proof.name);
    false
}
