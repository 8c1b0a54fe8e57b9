//! Every moment of a commit: the node's system calls are recorded, then the machine stops between each two of them, and
//! each call fails once.
//!
//! From the recording the files are rebuilt as they were after each call: as a kill leaves them, as a cut of the power
//! leaves them, and with any part of what was not synced. Each copy is opened, which recovers it, and judged against
//! what clients had been told until then.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use lockstep_core::clock::Clock;
use lockstep_core::json::{Json, Limits};
use lockstep_node::SystemClock;

use super::clients::{Client, Life, Signers};
use super::image::{Disk, STOPS, Stop};
use super::judge::Judge;
use super::trace::{self, Call, Event, File};
use super::world::World;
use crate::prove::{Dice, Totals};

/// Clients of a recording, one of them with many intents a request, and what each has signed.
const CLIENTS: u64 = 6;
const SIGNED: usize = 8;
/// At one of so many points `lockstep verify` looks, too, and the node is started.
const VERIFIED: usize = 40;
const TRACED: &str =
    "trace=write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync,ftruncate,rename,unlink,openat,fallocate";

/// A node with what its clients wrote down.
pub(in crate::prove) struct Scene {
    pub(in crate::prove) world: World,
    pub(in crate::prove) judge: Judge,
    pub(in crate::prove) record: PathBuf,
    signers: std::sync::Arc<Signers>,
    pub(in crate::prove) clients: Vec<Client>,
    pub(in crate::prove) lives: u64,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

impl Scene {
    /// A node whose registers are open.
    pub(in crate::prove) fn set(folder: &Path, dice: &mut Dice) -> Result<Scene, String> {
        let world = World::make(folder)?;
        let (signers, judge) = (Signers::of(&world)?, Judge::of(&world)?);
        let record = folder.join("record.ndjson");
        let mut first = Client::new(&signers, Dice::of(dice.next(), 0), false);
        first.sign_registers()?;
        let mut scene = Scene { world, judge, record, signers, clients: vec![first], lives: 0 };
        scene.live(&[])?;
        for number in 1..=CLIENTS {
            scene.clients.push(Client::new(&scene.signers, Dice::of(dice.next(), number), number == 1));
        }
        Ok(scene)
    }

    /// One life of the node under something: all clients submit what they have, and the node is asked to end. Whether
    /// it got as far as listening.
    pub(in crate::prove) fn live(&mut self, before: &[String]) -> Result<bool, String> {
        self.disturbed(before, |_| Ok(()))
    }

    /// As [`Scene::live`], with something else going on beside it from when the node listens until it has ended.
    pub(in crate::prove) fn disturbed<T>(
        &mut self,
        before: &[String],
        disturb: impl FnOnce(u32) -> Result<T, String>,
    ) -> Result<bool, String> {
        self.lives += 1;
        let began = SystemClock.now().to_string();
        let mut process = self.world.begin(before)?;
        let address = process.ready()?;
        let mut beside = None;
        if let Some(address) = &address {
            beside = Some(disturb(process.id())?);
            let life = Life { number: self.lives, address, began: &began, ends: false };
            std::thread::scope(|scope| {
                for client in &mut self.clients {
                    scope.spawn(move || client.live(life));
                }
            });
        }
        // What strace runs is asked to end, not strace.
        match node_under(process.id(), before) {
            Some(node) => super::world::signal(node, "TERM"),
            None => process.signal("TERM"),
        }
        process.wait()?;
        drop(beside);
        self.write()?;
        Ok(address.is_some())
    }

    /// Everybody signs some intents.
    pub(in crate::prove) fn sign(&mut self, each: usize) -> Result<(), String> {
        self.clients.iter_mut().skip(1).try_for_each(|client| client.sign_ahead(each))
    }

    /// Writes down what clients signed and were told.
    pub(in crate::prove) fn write(&mut self) -> Result<(), String> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.record).map_err(words)?;
        let mut file = std::io::BufWriter::new(file);
        self.clients.iter_mut().try_for_each(|client| client.write(&mut file))
    }

    /// What is open is ended by a node that nobody disturbs, and everything is judged.
    pub(in crate::prove) fn end(&mut self, totals: &mut Totals, name: &str) -> Result<(), String> {
        let lives = self.live(&[])?;
        totals.must("nodes_resumed", lives, || {
            format!("{name}: the node does not start again: {}", self.world.last_words())
        });
        let open = self.clients.iter().filter(|client| !client.answered()).count();
        totals
            .must("clients_answered", open == 0, || format!("{name}: {open} clients have intents without an outcome"));
        let found = self.judge.judges(&self.world, &self.record, totals)?;
        totals.count("acknowledged_kept", found.counts.get("acknowledged_kept").copied().unwrap_or(0));
        let verified = self.world.verify(&[]);
        totals.must("verified", verified.is_ok(), || format!("{name}: verify: {verified:?}"));
        for client in &mut self.clients {
            totals.add(std::mem::take(&mut client.totals));
        }
        Ok(())
    }
}

/// The process that was started under another.
fn node_under(process: u32, before: &[String]) -> Option<u32> {
    if before.is_empty() {
        return None;
    }
    let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// strace with these arguments; it writes to a file.
pub(in crate::prove) fn strace(output: &Path, more: &[&str]) -> Vec<String> {
    let output = output.display().to_string();
    let fixed = ["strace", "-f", "-o", &output];
    fixed.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

/// Records, checks the order, and stops the machine at every call, or at `most` of them.
pub(in crate::prove) fn recorded(dice: &mut Dice, folder: &Path, most: usize) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let mut scene = Scene::set(folder, dice)?;
    scene.sign(SIGNED)?;
    let disk = Disk::of(&scene.world.dir);
    let output = folder.join("trace");
    scene.live(&strace(&output, &["-yy", "-s", "1048576", "-e", "signal=none", "-e", TRACED]))?;
    let text = std::fs::read(&output).map_err(words)?;
    let events = trace::read(&String::from_utf8_lossy(&text), &scene.world.dir)?;
    check_order(&events, &scene.record, &mut totals)?;
    stop_everywhere(&mut scene, &disk, &events, dice, folder, most, &mut totals)?;
    without_syncs(&mut scene, &disk, &events, dice, folder, &mut totals)?;
    scene.end(&mut totals, "after the recording")?;
    Ok(totals)
}

/// Every outcome that a client was told stands in the trace, behind the sync that it needs.
fn check_order(events: &[Event], record: &Path, totals: &mut Totals) -> Result<(), String> {
    let order = trace::order(events);
    totals.count("traced_replies", order.replies);
    totals.count("traced_syncs_of_the_log", order.syncs);
    totals.must("replies_behind_their_sync", order.failures.is_empty(), || {
        order.failures.join("; ").chars().take(600).collect()
    });
    let seen: BTreeSet<String> = replies(events).into_iter().flat_map(|(_, told)| told).collect();
    let missed = acknowledged(record)?.iter().filter(|(_, intent)| !seen.contains(intent)).count();
    // Those that opened the registers were told before the recording began.
    let before = 2 * super::clients::PAIRS as usize;
    totals.must("traces_whole", missed == before, || {
        format!("{missed} outcomes were told and are not in the trace, {before} is right")
    });
    let guilty = trace::order(&unsynced(events)).failures.len() as u64;
    totals.must("controls_found", guilty == order.replies, || {
        format!("without its syncs, the trace should show {} replies too early, it shows {guilty}", order.replies)
    });
    Ok(())
}

fn unsynced(events: &[Event]) -> Vec<Event> {
    events.iter().filter(|event| !matches!(event.call, Call::Sync(File::Log | File::Database))).cloned().collect()
}

/// The lines of the record that tell an outcome, with the intent.
fn acknowledged(record: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(record).map_err(words)?;
    let intent = |line: &str| {
        let json = Json::parse(line.as_bytes(), &Limits::default()).ok()?;
        json.get("status")?;
        Some((line.to_owned(), json.get("intent")?.as_str()?.to_owned()))
    };
    Ok(text.lines().filter_map(intent).collect())
}

/// Where each reply was entered, and which intents it tells of.
fn replies(events: &[Event]) -> Vec<(usize, Vec<String>)> {
    let told = |event: &Event| match &event.call {
        Call::Reply(bytes) => Some((event.entered, trace::told(bytes))),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

/// Writes down what clients knew at a line of the trace.
fn known_at(line: usize, events: &[Event], record: &Path, to: &Path) -> Result<(), String> {
    let replies = replies(events);
    let all: BTreeSet<&String> = replies.iter().flat_map(|(_, told)| told).collect();
    let later: BTreeSet<&String> = replies.iter().filter(|(at, _)| *at >= line).flat_map(|(_, told)| told).collect();
    let lines = acknowledged(record)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(to).map_err(words)?);
    for line in std::fs::read_to_string(record).map_err(words)?.lines() {
        let outcome = lines.iter().find(|(known, _)| known == line);
        if outcome.is_none_or(|(_, intent)| !all.contains(intent) || !later.contains(intent)) {
            writeln!(file, "{line}").map_err(words)?;
        }
    }
    file.flush().map_err(words)
}

/// The machine stops after each call that changes a file.
fn stop_everywhere(
    scene: &mut Scene,
    start: &Disk,
    events: &[Event],
    dice: &mut Dice,
    folder: &Path,
    most: usize,
    totals: &mut Totals,
) -> Result<(), String> {
    let mut disk = start.clone();
    let changes: Vec<&Event> = events.iter().filter(|event| Disk::is_changed_by(event)).collect();
    totals.count("calls_recorded", changes.len() as u64);
    let left = folder.join("left");
    copy(&scene.world.dir, &left)?;
    let known = folder.join("known.ndjson");
    for (at, event) in changes.iter().enumerate() {
        disk.take(event);
        if dice.below(changes.len() as u64) >= most as u64 {
            continue;
        }
        let until = changes.get(at + 1).map_or(usize::MAX, |next| next.entered);
        known_at(until, events, &scene.record, &known)?;
        for stop in STOPS {
            disk.leave(&left, stop, dice)?;
            drop(std::fs::remove_file(left.join("lockstep.db-shm")));
            let name = || format!("stopped ({stop:?}) after call {at}, {:?} of {}", kind(&event.call), changes.len());
            stopped(scene, &left, &known, at % VERIFIED == 0, totals, &name)?;
        }
    }
    std::fs::remove_dir_all(&left).map_err(words)
}

fn kind(call: &Call) -> String {
    match call {
        Call::Write(file, at, bytes) => format!("write of {} bytes to {file:?} at {at:?}", bytes.len()),
        other => format!("{other:?}").chars().take(40).collect(),
    }
}

/// What a stop left is opened, which recovers it, and judged.
fn stopped(
    scene: &mut Scene,
    left: &Path,
    known: &Path,
    verified: bool,
    totals: &mut Totals,
    name: &dyn Fn() -> String,
) -> Result<(), String> {
    let found = scene.judge.finds(&left.join("lockstep.db"), known, Some(&left.join("checkpoint")))?;
    let told = found.counts.get("acknowledged_kept").copied().unwrap_or(0);
    totals.count("acknowledged_at_stops", told);
    totals.must("stops_survived", found.failures.is_empty(), || format!("{}: {}", name(), found.failures.join("; ")));
    if verified {
        let clean = scene.world.at(left).verify(&[]);
        totals.must("stops_verified", clean.is_ok(), || format!("{}: verify: {clean:?}", name()));
    }
    Ok(())
}

/// The control: a node that does not sync loses what it acknowledged when the power goes, and that is found.
fn without_syncs(
    scene: &mut Scene,
    start: &Disk,
    events: &[Event],
    dice: &mut Dice,
    folder: &Path,
    totals: &mut Totals,
) -> Result<(), String> {
    let mut disk = start.clone();
    let replied = replies(events).last().map_or(0, |(at, _)| *at);
    unsynced(events).iter().filter(|event| event.returned < replied).for_each(|event| disk.take(event));
    let (left, known) = (folder.join("left"), folder.join("known.ndjson"));
    copy(&scene.world.dir, &left)?;
    known_at(replied, events, &scene.record, &known)?;
    disk.leave(&left, Stop::Power, dice)?;
    drop(std::fs::remove_file(left.join("lockstep.db-shm")));
    let found = scene.judge.finds(&left.join("lockstep.db"), &known, None)?;
    let lost = found.failures.iter().any(|failure| failure.starts_with("acknowledged_kept"));
    totals.must("controls_found", lost, || "a node that never synced should have lost what it acknowledged".to_owned());
    std::fs::remove_dir_all(&left).map_err(words)
}

/// A directory with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().map_err(words)?;
    if copied.success() { Ok(()) } else { Err(format!("cp {} {}: {copied}", from.display(), to.display())) }
}
