//! `lockstep doctor`: what a person should look at before something breaks, each with the way to mend it.
//!
//! It reads and never writes. Whether cells are true is not its business but that of `verify`.

mod secrets;

pub(crate) use secrets::{checkpoint, node_key};

use std::path::Path;
use std::time::Duration;

use clap::Args;
use lockstep_core::audit::column_classes;
use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::database::{Database, Page};
use lockstep_core::directory::Directory;
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::package::FORMAT;
use lockstep_core::tables::{Cell, name};
use lockstep_core::time::Timestamp;
use lockstep_node::{SystemClock, all_tables};

use crate::context::{Context, Home, engine};
use crate::databases::Kind;
use crate::error::{CliError, Exit};
use crate::output::{Output, Style};
use crate::stored::Stored;

/// Below this much free space, a node is in danger of stopping.
const LITTLE_SPACE: u64 = 1 << 30;

/// More notifications than this waiting is a broker that does not keep up.
const BACKLOG: u64 = 10_000;

/// Arguments of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep doctor
  lockstep doctor --columns --json        every managed column and what proves it")]
pub(crate) struct DoctorArgs {
    /// List every column of every managed table: sealed, derived or operational, and what proves it
    #[arg(long)]
    columns: bool,
}

/// One thing looked at: whether it is well, what was seen, and how to mend it.
pub(crate) struct Finding {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    pub(crate) detail: String,
    pub(crate) fix: Option<String>,
}

impl Finding {
    fn well(name: &'static str, detail: impl Into<String>) -> Self {
        Finding { name, ok: true, detail: detail.into(), fix: None }
    }

    fn ill(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Finding { name, ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn of(name: &'static str, error: &CliError) -> Self {
        Finding::ill(name, error.message.clone(), error.hint_text())
    }
}

pub(crate) async fn run(context: &Context, args: DoctorArgs) -> Result<Exit, CliError> {
    if args.columns {
        return columns(context).await;
    }
    let findings = match context.home() {
        Ok(home) => look(&home).await,
        Err(error) if error.code == Code::Configuration => vec![Finding::of("configuration", &error)],
        Err(error) => return Err(error),
    };
    let ok = findings.iter().all(|finding| finding.ok);
    let checks: Json = findings
        .iter()
        .map(|one| json!({"name": one.name, "ok": one.ok, "detail": one.detail.as_str(), "fix": one.fix.as_deref()}))
        .collect();
    context.output.document(&json!({"ok": ok, "checks": checks}));
    findings.iter().for_each(|finding| print(context.output, finding));
    Ok(if ok { Exit::Done } else { Exit::Found })
}

fn print(output: Output, finding: &Finding) {
    let (style, mark) = if finding.ok { (Style::Good, "ok  ") } else { (Style::Bad, "look") };
    output.line(format!("{}  {:13} {}", output.styled(style, mark), finding.name, finding.detail));
    if let Some(fix) = &finding.fix {
        output.line(format!("      {:13} {fix}", ""));
    }
}

async fn columns(context: &Context) -> Result<Exit, CliError> {
    let directory = Stored::open(&context.home()?).await?.directory().await?;
    let classes = column_classes(&directory);
    let describe = |one: &lockstep_core::audit::ColumnClass| json!({"table": one.table.as_str(), "column": one.column.as_str(), "class": one.class.as_str(), "proved_by": one.proved_by});
    context.output.document(&classes.iter().map(describe).collect::<Json>());
    let row = |one: &lockstep_core::audit::ColumnClass| {
        vec![one.table.clone(), one.column.clone(), one.class.as_str().to_owned(), one.proved_by.to_owned()]
    };
    let rows: Vec<Vec<String>> = classes.iter().map(row).collect();
    context.output.table(&["table", "column", "class", "proved by"], &rows);
    Ok(Exit::Done)
}

async fn look(home: &Home) -> Vec<Finding> {
    let mut found =
        vec![Finding::well("configuration", format!("node {} of {}", home.config.node, home.config.participant))];
    found.extend(secrets::certificate(home));
    found.push(disk(&home.dir));
    found.push(file_system(home));
    found.push(match engine(Some(home.dir.join("cache"))) {
        Ok(_) => Finding::well("engine", "contracts can be executed here"),
        Err(error) => Finding::of("engine", &error),
    });
    let stored = match Stored::open(home).await {
        Ok(stored) => stored,
        Err(error) => {
            found.push(Finding::of("database", &error));
            return found;
        }
    };
    found.push(Finding::well("database", format!("{} opens", home.database_shown())));
    found.extend(file(home));
    found.extend(durability(home, stored.database()).await);
    found.push(format(stored.database()).await);
    match stored.directory().await {
        Ok(directory) => {
            found.push(tables(stored.database(), &directory).await);
            found.push(secrets::node_key(home, &directory));
            found.extend(secrets::keys(home, &directory));
            found.push(secrets::checkpoint(home, &stored, &directory).await);
        }
        Err(error) => found.push(Finding::of("directory", &error)),
    }
    found.push(clock(stored.database()).await);
    found.push(outbox(stored.database()).await);
    found
}

fn disk(dir: &Path) -> Finding {
    match rustix::fs::statvfs(dir) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let detail = format!("{} MiB are free", free >> 20);
            if free < LITTLE_SPACE {
                return Finding::ill("disk", detail, "make room: a full disk stops the node; nothing is lost then");
            }
            Finding::well("disk", detail)
        }
        Err(error) => Finding::ill("disk", format!("cannot tell how much is free: {error}"), "look with df"),
    }
}

/// File systems of other machines: SQLite's log needs memory that its users share, and a sync that means something.
const OF_OTHERS: [(u64, &str); 5] =
    [(0x6969, "NFS"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB"), (0x517B, "SMB"), (0x6573_5546, "FUSE")];

/// Whether a sync can be believed, as far as the file system says what it is.
fn file_system(home: &Home) -> Finding {
    let path = home.database.strip_prefix("sqlite:").map(Path::new);
    let place = path.and_then(Path::parent).filter(|place| place.is_dir()).unwrap_or(&home.dir);
    let shown = place.display();
    match rustix::fs::statfs(place) {
        Ok(found) => match OF_OTHERS.iter().find(|(kind, _)| u64::try_from(found.f_type).is_ok_and(|of| of == *kind)) {
            Some((_, name)) => Finding::ill(
                "file_system",
                format!("{shown} is on {name}"),
                "move the directory to a disk of this machine; SQLite cannot share its log, nor rely on a sync, over a network",
            ),
            None => Finding::well("file_system", format!("{shown} is on a file system of this machine")),
        },
        Err(error) => Finding::ill("file_system", format!("{shown}: {error}"), "look with findmnt --target"),
    }
}

/// Whether the database's file can be written by whoever runs this; there is none for a server.
fn file(home: &Home) -> Option<Finding> {
    let path = home.database.strip_prefix("sqlite:")?;
    Some(match std::fs::OpenOptions::new().append(true).open(path) {
        Ok(_) => Finding::well("writable", format!("{path} can be written")),
        Err(error) => {
            Finding::ill("writable", format!("{path}: {error}"), format!("chmod u+w {path}, or run as its owner"))
        }
    })
}

/// The first cell of a query's answer, as text.
async fn ask(database: &dyn Database, sql: &str) -> Result<String, CliError> {
    let answer = database.query(sql, 1).await?;
    Ok(answer.rows.first().and_then(|row| row.first()).and_then(Cell::show).unwrap_or_default())
}

/// Whether what is committed is on the disk, as each kind of database says it. A server was looked at when it was opened.
async fn durability(home: &Home, database: &dyn Database) -> Option<Finding> {
    match crate::databases::kind(&home.database)? {
        Kind::Sqlite => Some(journal(database).await),
        Kind::Postgres => Some(log_settings(database).await),
    }
}

async fn log_settings(database: &dyn Database) -> Finding {
    let sql = "SELECT concat_ws(' ', current_setting('fsync'), current_setting('full_page_writes'), \
               current_setting('synchronous_commit'), 'on PostgreSQL', current_setting('server_version'))";
    match ask(database, sql).await {
        Ok(said) if said.starts_with("on on ") && !said.starts_with("on on off") => {
            Finding::well("journal", format!("write-ahead log, synced with every commit ({said})"))
        }
        Ok(said) => Finding::ill(
            "journal",
            format!("fsync, full_page_writes and synchronous_commit are {said}"),
            "ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf();",
        ),
        Err(error) => Finding::of("journal", &error),
    }
}

/// SQLite's journal: a database that was copied in rollback mode turns to WAL when a node opens it to write.
async fn journal(database: &dyn Database) -> Finding {
    let mode = ask(database, "SELECT journal_mode FROM pragma_journal_mode").await;
    let synchronous = ask(database, "SELECT synchronous FROM pragma_synchronous").await;
    match (mode, synchronous) {
        (Ok(mode), Ok(synchronous)) if mode == "wal" && matches!(synchronous.as_str(), "2" | "3") => {
            Finding::well("journal", "write-ahead log, synced with every commit")
        }
        (Ok(mode), Ok(synchronous)) => Finding::ill(
            "journal",
            format!("journal_mode is {mode}, synchronous is {synchronous}"),
            "the next command that writes, such as submit, sets the write-ahead log; use a local disk for it",
        ),
        (Err(error), _) | (_, Err(error)) => Finding::of("journal", &error),
    }
}

async fn format(database: &dyn Database) -> Finding {
    let sql = format!("SELECT value FROM {} WHERE key = 'format'", name::META);
    match ask(database, &sql).await {
        Ok(found) if found == FORMAT.to_string() => {
            Finding::well("format", format!("{found}, the one of this version"))
        }
        Ok(found) => Finding::ill("format", format!("it is {found:?}, this version has {FORMAT}"), "lockstep verify"),
        Err(error) => Finding::of("format", &error),
    }
}

async fn tables(database: &dyn Database, directory: &Directory) -> Finding {
    let tables = all_tables(directory);
    let mut snapshot = match database.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => return Finding::of("tables", &error.into()),
    };
    for table in &tables {
        if let Err(error) = snapshot.page(table, &Page { after: None, limit: 1 }).await {
            return Finding::of("tables", &error.into());
        }
    }
    Finding::well("tables", format!("all {} are there, with all their columns", tables.len()))
}

/// Times only go forward: a clock behind the last commit would hold every intent up until it has caught up.
async fn clock(database: &dyn Database) -> Finding {
    let head = match database.head().await {
        Ok(head) => head.unwrap_or_default(),
        Err(error) => return Finding::of("clock", &error.into()),
    };
    let last = Json::parse(head.as_bytes(), &Limits::default()).ok();
    let last = last.as_ref().and_then(|head| head.get("time")).and_then(Json::as_str);
    let Some(last) = last.and_then(|time| Timestamp::parse(time).ok()) else {
        return Finding::ill("clock", "the database does not say when it was last written", "lockstep verify");
    };
    let now = SystemClock.now();
    if now.plus(Duration::from_secs(1)) < last {
        let detail = format!("it is {now}, and the last commit was at {last}");
        return Finding::ill("clock", detail, "set the clock, and keep it set with NTP");
    }
    Finding::well("clock", format!("{now}, after the last commit"))
}

async fn outbox(database: &dyn Database) -> Finding {
    let sql = |status: &str| format!("SELECT count(*) FROM {} WHERE status = '{status}'", name::OUTBOX);
    let count = async |status: &str| ask(database, &sql(status)).await.map(|text| text.parse::<u64>().unwrap_or(0));
    let (pending, parked) = match (count("pending").await, count("parked").await) {
        (Ok(pending), Ok(parked)) => (pending, parked),
        (Err(error), _) | (_, Err(error)) => return Finding::of("outbox", &error),
    };
    let failed = format!(
        "SELECT last_error FROM {} WHERE status = 'pending' AND last_error IS NOT NULL ORDER BY position",
        name::OUTBOX
    );
    let error = ask(database, &failed).await.unwrap_or_default();
    let detail = format!("{pending} notifications wait, {parked} are parked");
    if !error.is_empty() {
        return Finding::ill(
            "outbox",
            format!("{detail}; the last error is: {error}"),
            "mend the broker; what waits is delivered then",
        );
    }
    if parked > 0 || pending > BACKLOG {
        return Finding::ill(
            "outbox",
            detail,
            "lockstep notifications shows them; see that a broker in lockstep.toml takes them",
        );
    }
    Finding::well("outbox", detail)
}
