//! `lockstep demo`: four beats, each readable without scrolling.
//!
//! Everything is real: a network, a SQLite file, the examples' packages as they are in the repository, intents
//! signed by each actor's key. The demo replaces a directory that it made itself, and no other.

mod beats;
mod network;
mod sales;
mod story;
mod trades;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::database::DatabaseError;
use lockstep_core::json::{Json, json};

use crate::context::{Context, Home};
use crate::error::{CliError, Exit, file_error};
use crate::verbs::init;
use story::Story;

/// Marks a directory as the demo's own.
const MARKER: &str = ".lockstep-demo";

/// Arguments of `demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  lockstep demo\n  lockstep demo --dir /tmp/look && lockstep --dir /tmp/look sql \"SELECT * FROM house_sale\""
)]
pub(crate) struct DemoArgs {
    /// Four organisations, each with a node and a database of its own [default: ./lockstep-network]
    #[arg(long)]
    network: bool,
}

pub(crate) async fn run(context: &Context, args: DemoArgs) -> Result<Exit, CliError> {
    if args.network {
        return network::run(context).await;
    }
    let started = Instant::now();
    let dir = context.dir.clone().unwrap_or_else(|| PathBuf::from("./lockstep-demo"));
    replace_own(&dir)?;
    let made = init::make(&dir, "house-sales", "acme", None, None).await?;
    let marker = dir.join(MARKER);
    std::fs::write(&marker, "made by `lockstep demo`, which replaces this directory\n")
        .map_err(|error| file_error(&marker, &error))?;
    let home = made.home;

    let story = Story::tell(context, &home).await?;
    beats::intents(context.output, &story);
    let query = beats::query(context, &home).await?;
    let copies = Copies::make(&dir).await?;
    let tamper = beats::tamper(context, &home, &copies).await?;
    let verified = beats::verify(&home, &home.database).await?;
    beats::next(context.output, &dir, verified.is_clean(), started.elapsed());

    context.output.document(&json!({
        "dir": dir.display().to_string(), "database": home.database.as_str(),
        "rogue_database": format!("sqlite:{}", copies.rogue.display()), "tampered_database": format!("sqlite:{}", copies.tampered.display()),
        "seconds": millis(started), "intents": story.counts(), "rejections": story.rejections(), "notifications": story.notifications,
        "records": story.records, "query": query, "verify": {"clean": verified.is_clean()}, "tamper": tamper
    }));
    Ok(if verified.is_clean() { Exit::Done } else { Exit::Found })
}

/// Seconds since, to the millisecond.
fn millis(started: Instant) -> Json {
    let text = format!("{:.3}", started.elapsed().as_secs_f64());
    Json::parse(text.as_bytes(), &lockstep_core::json::Limits::default()).unwrap_or_default()
}

/// Removes what an earlier demo left; a directory that is not the demo's is not touched.
fn replace_own(dir: &Path) -> Result<(), CliError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(file_error(dir, &error)),
        Ok(entries) => entries.count(),
    };
    if entries == 0 {
        return Ok(());
    }
    if !dir.join(MARKER).is_file() {
        let message = format!("{} is there and was not made by `lockstep demo`", dir.display());
        return Err(CliError::new(Code::DirectoryExists, message).hint("lockstep demo --dir ANOTHER"));
    }
    let _lock = crate::context::lock(dir)?;
    std::fs::remove_dir_all(dir).map_err(|error| file_error(dir, &error))
}

/// Copies of the database for people to edit: one untouched, one that the demo edits itself.
struct Copies {
    rogue: PathBuf,
    tampered: PathBuf,
}

impl Copies {
    async fn make(dir: &Path) -> Result<Self, DatabaseError> {
        let copies = Copies { rogue: dir.join("rogue.db"), tampered: dir.join("tampered.db") };
        let live = dir.join("lockstep.db");
        lockstep_sqlite::client::copy(&live, &copies.rogue).await?;
        lockstep_sqlite::client::copy(&live, &copies.tampered).await?;
        Ok(copies)
    }
}

/// Adds to the same database a table that is nobody's but the participant's.
async fn private_table(home: &Home) -> Result<(), DatabaseError> {
    lockstep_sqlite::client::execute(
        &home.dir.join("lockstep.db"),
        &[
            "CREATE TABLE my_client (house TEXT PRIMARY KEY, client TEXT NOT NULL, commission_percent NUMERIC NOT NULL)",
            "INSERT INTO my_client VALUES ('acme:sale-1', 'The Alder family', 2.5), ('acme:sale-2', 'M. Birch', 3)",
        ],
    )
    .await
}
