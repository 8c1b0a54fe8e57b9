//! What was acknowledged survives, because it was synced before it was acknowledged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]
#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use common::sample::{batch, table, tables, version};
use common::{Directory, open};
use lockstep_core::database::{Database, Page};
use lockstep_core::tables::Cell;

const FILE: &str = "LOCKSTEP_DURABILITY_FILE";
const COMMITS: &str = "LOCKSTEP_DURABILITY_COMMITS";

/// The process that is killed or watched: this binary again. Without its variable it has nothing to do.
#[tokio::test]
async fn the_other_process_commits_and_says_so() {
    let (Ok(file), Ok(commits)) = (std::env::var(FILE), std::env::var(COMMITS)) else { return };
    let database = open(file.into()).await.unwrap();
    let mut head = database.head().await.unwrap();
    let first: i64 = head.as_deref().map_or(0, |head| head.parse().unwrap());
    for number in first + 1..=first + commits.parse::<i64>().unwrap() {
        let rows = version("acme:r", number, number, "1.00");
        database.commit(&batch(head.as_deref(), &number.to_string(), rows)).await.unwrap();
        head = Some(number.to_string());
        println!("acknowledged {number}");
        std::io::stdout().flush().unwrap();
    }
}

fn other_process(strace: &[&str], file: &Path, commits: u32) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match strace.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.args(["--exact", "the_other_process_commits_and_says_so", "--nocapture"]);
    command.env(FILE, file).env(COMMITS, commits.to_string()).stdout(Stdio::piped());
    command
}

fn acknowledged(line: &str) -> Option<i64> {
    line.split_once("acknowledged ")?.1.trim().parse().ok()
}

#[tokio::test]
async fn every_acknowledged_commit_survives_sigkill() {
    let directory = Directory::new("kill");
    let file = directory.file("kill.db");
    open(file.clone()).await.unwrap().prepare(&tables()).await.unwrap();
    let mut last = 0;
    for round in 0..10 {
        let mut child = other_process(&[], &file, 100_000).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| acknowledged(&line));
        last = lines.by_ref().nth(round * 7).unwrap();
        child.kill().unwrap();
        last = lines.last().unwrap_or(last);
        child.wait().unwrap();

        let database = open(file.clone()).await.unwrap();
        let head: i64 = database.head().await.unwrap().unwrap().parse().unwrap();
        assert!(head == last || head == last + 1, "round {round}: acknowledged {last}, found {head}");
        let mut snapshot = database.snapshot().await.unwrap();
        for name in ["lockstep_event", "lockstep_change", "house_sale_version"] {
            let rows = snapshot.page(&table(name), &Page { after: None, limit: 1_000_000 }).await.unwrap();
            assert_eq!(rows.len() as i64, head, "round {round}: rows of {name}");
        }
        drop(snapshot);
        let integrity = database.query("SELECT * FROM pragma_integrity_check", 2).await.unwrap();
        assert_eq!(integrity.rows, [vec![Cell::Text("ok".to_owned())]]);
        database.close().await;
    }
    assert!(last > 0);
}

#[tokio::test]
async fn every_commit_is_synced_before_it_is_acknowledged() {
    let directory = Directory::new("sync");
    let (file, trace) = (directory.file("sync.db"), directory.file("trace"));
    open(file.clone()).await.unwrap().prepare(&tables()).await.unwrap();
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "strace is missing: apt-get install strace");
        eprintln!("skipped: every_commit_is_synced_before_it_is_acknowledged needs strace");
        return;
    }
    let strace = ["strace", "-f", "-o", trace.to_str().unwrap(), "-e", "trace=fsync,fdatasync,write,pwrite64"];
    let output = other_process(&strace, &file, 20).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let (mut syncs, mut commits, mut written) = (0, 0, false);
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        if line.contains("pwrite64(") {
            (written, syncs) = (true, 0);
        } else if line.contains("sync(") || line.contains("sync resumed") {
            syncs += u32::from(line.trim_end().ends_with("= 0"));
        } else if line.contains("acknowledged ") {
            assert!(written && syncs > 0, "commit {commits} was acknowledged with {syncs} syncs after its last write");
            (written, commits) = (false, commits + 1);
        }
    }
    assert_eq!(commits, 20);
}
