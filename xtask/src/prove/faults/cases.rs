//! What is done to a node, one case each.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Trouble, door};
use crate::shell::command;

/// One of them.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// What the machine lacks for it.
    pub(super) needs: fn() -> Option<String>,
    /// Done before there is a node.
    pub(super) prepare: fn(&Path) -> Result<(), String>,
    /// What the node is started under.
    pub(super) before: fn() -> Vec<String>,
    pub(super) work: fn(&mut Trouble<'_>) -> Result<(), String>,
    /// Done when all is over.
    pub(super) clean: fn(&Path),
}

const PLAIN: Case =
    Case { name: "", needs: || None, prepare: |_| Ok(()), before: Vec::new, work: |_| Ok(()), clean: |_| {} };

/// File descriptors of a node that has few: more than it needs, fewer than it is asked for.
const DESCRIPTORS: u32 = 96;

pub(super) const CASES: [Case; 10] = [
    Case { name: "disk full", needs: no_mount, prepare: small_disk, work: full, clean: unmount, ..PLAIN },
    Case { name: "disk read-only", needs: no_mount, prepare: small_disk, work: read_only, clean: unmount, ..PLAIN },
    Case { name: "files made read-only", needs: no_immutable, work: immutable, clean: mutable_again, ..PLAIN },
    Case { name: "database locked", work: locked, ..PLAIN },
    Case { name: "database removed", work: removed, ..PLAIN },
    Case { name: "clock stepped back", needs: no_faketime, before: under_faketime, work: stepped_back, ..PLAIN },
    Case { name: "descriptors exhausted", before: few_descriptors, work: exhausted, ..PLAIN },
    Case { name: "requests cut", work: door::cut, ..PLAIN },
    Case { name: "slow heads and bodies", work: door::slow, ..PLAIN },
    Case { name: "garbage", work: door::garbage, ..PLAIN },
];

fn words(error: impl ToString) -> String {
    error.to_string()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = command(program).args(arguments).quietly();
    done.map(drop).ok_or_else(|| format!("{program} {} failed", arguments.join(" ")))
}

/// The directory that the node will be made in.
fn place(folder: &Path) -> PathBuf {
    folder.join("node")
}

fn no_mount() -> Option<String> {
    let root = command("id").args(["-u"]).quietly().as_deref() == Some("0");
    let mounted = root && {
        let place = std::env::temp_dir().join(format!("lockstep-mount-{}", std::process::id()));
        let shown = place.display().to_string();
        drop(std::fs::create_dir_all(&place));
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", &shown]).is_ok();
        drop(run("umount", &[&shown]));
        drop(std::fs::remove_dir(&place));
        mounted
    };
    (!mounted).then(|| "mounting a small disk needs root".to_owned())
}

/// 64 MiB for the node's directory.
fn small_disk(folder: &Path) -> Result<(), String> {
    let place = place(folder);
    std::fs::create_dir_all(&place).map_err(words)?;
    run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", &place.display().to_string()])
}

fn unmount(folder: &Path) {
    drop(run("umount", &["-l", &place(folder).display().to_string()]));
}

/// Something else takes all the room that is left, and gives it back.
fn full(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let filler = place(trouble.folder).join("filler");
    let mut file = std::fs::File::create(&filler).map_err(words)?;
    let mut size = 1 << 20;
    while size > 0 {
        // Down to the last page: no room for a commit, none for a checkpoint.
        if std::io::Write::write_all(&mut file, &vec![1; size]).is_err() {
            size /= 2;
        }
    }
    trouble.suffers(Duration::from_secs(4))?;
    trouble.was_refused();
    drop(file);
    std::fs::remove_file(&filler).map_err(words)?;
    trouble.resumes()
}

/// The disk cannot be written while the node is started, which is refused with a code; then it can.
fn read_only(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let shown = place(trouble.folder).display().to_string();
    trouble.process.stop()?;
    run("mount", &["-o", "remount,ro", &shown])?;
    let (code, said) = trouble.scene.world.types(&["run", "--listen", "127.0.0.1:0"])?;
    let error = said.get("error").and_then(|error| error.get("code")).and_then(lockstep_core::json::Json::as_str);
    let clear = [(1, Some("io")), (6, Some("database_unavailable")), (1, Some("database_unavailable"))];
    trouble.totals.must("clear_answers", clear.contains(&(code, error)), || {
        format!("read-only: exit {code}: {}", said.canonical())
    });
    run("mount", &["-o", "remount,rw", &shown])?;
    (trouble.process, trouble.address) = trouble.scene.world.start(&[])?;
    trouble.resumes()
}

/// What the database and its log are called.
const WRITTEN: [&str; 2] = ["lockstep.db", "lockstep.db-wal"];

/// A mode is looked at when a file is opened, and a mount is not made read-only while somebody writes to it: what
/// takes writing away from who has a file open, root included, is that the file is immutable.
fn no_immutable() -> Option<String> {
    let file = crate::tree::target().join(format!("immutable-{}", std::process::id()));
    let open = std::fs::File::create(&file).ok();
    let shown = file.display().to_string();
    let made = run("chattr", &["+i", &shown]).is_ok();
    let refused = open.is_some_and(|mut open| std::io::Write::write_all(&mut open, b"x").is_err());
    drop(run("chattr", &["-i", &shown]));
    drop(std::fs::remove_file(&file));
    (!(made && refused))
        .then(|| "making an open file read-only needs root, chattr, and a file system like ext4".to_owned())
}

fn change_all(folder: &Path, how: &str) -> Result<(), String> {
    WRITTEN.iter().try_for_each(|name| run("chattr", &[how, &place(folder).join(name).display().to_string()]))
}

fn mutable_again(folder: &Path) {
    drop(change_all(folder, "-i"));
}

/// Somebody takes the right to write the files away from under the node, and gives it back.
fn immutable(trouble: &mut Trouble<'_>) -> Result<(), String> {
    change_all(trouble.folder, "+i")?;
    let suffered = trouble.suffers(Duration::from_secs(4));
    change_all(trouble.folder, "-i")?;
    suffered?;
    trouble.was_refused();
    trouble.resumes()
}

/// Another program that holds the write lock until it is told to end.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const HOLD: &str = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()";

/// For ten seconds at full scale: longer than the node waits for a lock before it looks again.
fn locked(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let mut python = Command::new("python3");
    python.args(["-c", HOLD]).arg(trouble.scene.world.database()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = Holder(python.spawn().map_err(words)?);
    let mut said = String::new();
    let stdout = holder.0.stdout.take().ok_or("no pipe")?;
    BufReader::new(stdout).read_line(&mut said).map_err(words)?;
    trouble.suffers(Duration::from_secs(if trouble.scale < 1.0 { 7 } else { 10 }))?;
    trouble.was_refused();
    drop(holder);
    trouble.resumes()
}

/// The file is moved away under the node, and comes back.
fn removed(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let (file, away) = (trouble.scene.world.database(), trouble.folder.join("away.db"));
    std::fs::rename(&file, &away).map_err(words)?;
    trouble.suffers(Duration::from_secs(3))?;
    trouble.was_refused();
    std::fs::rename(&away, &file).map_err(words)?;
    trouble.resumes()
}

const FAKETIME: &str = "/tmp/lockstep-faketime";

fn library() -> Option<PathBuf> {
    let places = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    ];
    places.into_iter().map(PathBuf::from).find(|place| place.exists())
}

fn no_faketime() -> Option<String> {
    let missing = || "no library faketime: sudo apt-get install -y --no-install-recommends faketime".to_owned();
    library().is_none().then(missing)
}

/// The clock of the process follows a file.
fn under_faketime() -> Vec<String> {
    let file = format!("{FAKETIME}-{}", std::process::id());
    drop(std::fs::write(&file, "+0"));
    let library = library().unwrap_or_default().display().to_string();
    let set =
        [format!("LD_PRELOAD={library}"), format!("FAKETIME_TIMESTAMP_FILE={file}"), "FAKETIME_NO_CACHE=1".to_owned()];
    [vec!["env".to_owned()], set.to_vec(), vec!["DONT_FAKE_MONOTONIC=1".to_owned()]].concat()
}

/// An hour back, and forward again: what is decided meanwhile is not before what was decided.
fn stepped_back(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let file = format!("{FAKETIME}-{}", std::process::id());
    std::fs::write(&file, "-3600").map_err(words)?;
    for _ in 0..5 {
        trouble.serves("an hour back")?;
    }
    let back =
        "SELECT count(*) AS back FROM lockstep_intent WHERE julianday(decided_at) - julianday(submitted_at) > 0.04";
    let said = trouble.scene.world.does(&["sql", back])?;
    let felt = said.canonical().contains(r#""back":5"#);
    trouble.totals.must("troubles_felt", felt, || format!("the node's clock did not go back: {}", said.canonical()));
    std::fs::write(&file, "+0").map_err(words)?;
    let resumed = trouble.resumes();
    drop(std::fs::remove_file(&file));
    resumed
}

fn few_descriptors() -> Vec<String> {
    vec!["prlimit".to_owned(), format!("--nofile={DESCRIPTORS}:{DESCRIPTORS}")]
}

/// As many connections as the node can have, and more.
fn exhausted(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let open = |_| std::net::TcpStream::connect(&trouble.address).ok();
    let idle: Vec<_> = (0..2 * DESCRIPTORS).filter_map(open).collect();
    trouble.totals.count("idle_connections", idle.len() as u64);
    // Whoever comes now waits until there is room: the node cuts idle connections off after a while.
    let over = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(3));
        drop(idle);
    });
    trouble.suffers(Duration::from_secs(3))?;
    over.join().map_err(|_| "broke off".to_owned())?;
    trouble.resumes()
}
