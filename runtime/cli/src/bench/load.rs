//! The load: intents signed beforehand, sent by several clients who have many of them under way.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockstep_core::codes::Code;
use lockstep_node::{Node, Spent};

use super::machine;
use super::progress::Progress;
use super::world::{Author, Numbers, World};
use crate::error::{CliError, file_error};

/// Clients that send at the same time.
pub(super) const CLIENTS: usize = 16;

/// Intents that a client sends at once.
pub(super) const AT_ONCE: usize = 512;

/// How long an outcome may take; a run that reaches it has found a bug of ours.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much of a run memory is looked at this often.
const SAMPLES: u64 = 10;

/// Which records the intents are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// Each record as often as any other.
    Even,
    /// Four of five on ten records.
    Contended,
}

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) intents: usize,
    pub(super) records: usize,
    pub(super) payload: usize,
    pub(super) spread: Spread,
}

impl Workload {
    pub(super) fn record(&self, numbers: &mut Numbers) -> usize {
        let hot = self.spread == Spread::Contended && numbers.below(5) < 4;
        numbers.below(if hot { self.records.min(10) } else { self.records })
    }
}

/// What came of it.
pub(super) struct Sent {
    pub(super) took: Duration,
    pub(super) spent: Spent,
    /// Processor time of the database's own threads, and of the whole process.
    pub(super) database: Duration,
    pub(super) process: Duration,
    /// Memory by intents: the middle of what it was since the number before.
    pub(super) memory: Vec<(u64, u64)>,
}

/// Opens the records.
pub(super) async fn open_records(world: &World, work: &Workload, progress: &Progress) -> Result<(), CliError> {
    let numbers: Vec<usize> = (0..work.records).collect();
    for chunk in numbers.chunks(2048) {
        let signed = chunk.iter().map(|record| world.author.open(*record, work.payload));
        send(&world.node, signed.collect::<Result<_, _>>()?).await?;
        progress.step("opening records", chunk.last().map_or(0, |last| last + 1), work.records);
    }
    Ok(())
}

/// Signs a run's intents into a file, one a line, so that what waits to be sent takes no memory.
pub(super) fn sign(author: &Arc<Author>, work: Workload, seed: u64, file: &Path) -> Result<(), CliError> {
    let failed = |error: std::io::Error| file_error(file, &error);
    let mut out = BufWriter::new(File::create(file).map_err(failed)?);
    let mut numbers = Numbers::new(seed);
    let records: Vec<usize> = (0..work.intents).map(|_| work.record(&mut numbers)).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for (round, chunk) in records.chunks(4096).enumerate() {
        let share = chunk.len().div_ceil(threads);
        let signed: Vec<Result<Vec<Vec<u8>>, CliError>> = std::thread::scope(|scope| {
            let running: Vec<_> = chunk
                .chunks(share)
                .enumerate()
                .map(|(number, own)| {
                    let first = (round * 4096 + number * share) as u64 + (seed << 40);
                    scope.spawn(move || {
                        let own = (first..).zip(own);
                        own.map(|(seed, record)| author.revise(*record, seed, work.payload)).collect()
                    })
                })
                .collect();
            let lost = |_| Err(CliError::new(Code::Internal, "signing broke off"));
            running.into_iter().map(|one| one.join().unwrap_or_else(lost)).collect()
        });
        for line in signed.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
        }
    }
    out.flush().map_err(failed)
}

/// Hands intents in and waits for their outcomes; all must be decided.
async fn send(node: &Node, signed: Vec<Vec<u8>>) -> Result<(), CliError> {
    for answer in node.submit_all(signed, PATIENCE).await {
        answer?;
    }
    Ok(())
}

/// What is left to send, shared by the clients.
pub(super) struct Lines {
    file: Mutex<BufReader<File>>,
    path: PathBuf,
    pub(super) done: AtomicU64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Lines, CliError> {
        let file = File::open(path).map_err(|error| file_error(path, &error))?;
        Ok(Lines { file: Mutex::new(BufReader::new(file)), path: path.to_owned(), done: AtomicU64::new(0) })
    }

    /// The next ones, fewer at the end.
    pub(super) fn next(&self, count: usize) -> Result<Vec<Vec<u8>>, CliError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            let mut line = Vec::new();
            if file.read_until(b'\n', &mut line).map_err(|error| file_error(&self.path, &error))? == 0 {
                break;
            }
            line.pop();
            lines.push(line);
        }
        Ok(lines)
    }
}

/// Sends a file of intents with many under way.
pub(super) async fn run(world: &World, file: &Path, total: usize, progress: &Progress) -> Result<Sent, CliError> {
    let lines = Arc::new(Lines::open(file)?);
    let (before, database) = (world.node.spent(), machine::database_time());
    let (process, started) = (machine::process_time(), Instant::now());
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(world.node.clone(), lines.clone()))).collect();
    let memory = watch(&lines, total as u64, &clients, progress).await;
    for client in clients {
        client.await.map_err(|error| CliError::new(Code::Internal, error.to_string()))??;
    }
    Ok(Sent {
        took: started.elapsed(),
        spent: world.node.spent().since(before),
        database: machine::database_time().saturating_sub(database),
        process: machine::process_time().saturating_sub(process),
        memory,
    })
}

async fn client(node: Node, lines: Arc<Lines>) -> Result<(), CliError> {
    loop {
        let chunk = lines.next(AT_ONCE)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let count = chunk.len() as u64;
        send(&node, chunk).await?;
        lines.done.fetch_add(count, Ordering::Relaxed);
    }
}

/// Notes memory on the way, and says how far it is.
async fn watch<T>(
    lines: &Lines,
    total: u64,
    clients: &[tokio::task::JoinHandle<T>],
    progress: &Progress,
) -> Vec<(u64, u64)> {
    let (mut memory, mut noted) = (Vec::new(), Vec::new());
    let mut next = total.div_ceil(SAMPLES);
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let done = lines.done.load(Ordering::Relaxed);
        noted.push(machine::resident_bytes());
        if done >= next {
            memory.push((done, middle(&mut noted)));
            next = done + total.div_ceil(SAMPLES);
            progress.step("end to end", usize::try_from(done).unwrap_or_default(), usize::try_from(total).unwrap_or(1));
        }
    }
    let done = lines.done.load(Ordering::Relaxed);
    if memory.last().is_none_or(|(last, _)| *last < done) {
        noted.push(machine::resident_bytes());
        memory.push((done, middle(&mut noted)));
    }
    memory
}

/// The middle of what was noted, which is forgotten: a batch under way makes single numbers swing.
fn middle(noted: &mut Vec<u64>) -> u64 {
    noted.sort_unstable();
    let middle = noted.get(noted.len() / 2).copied().unwrap_or_default();
    noted.clear();
    middle
}

/// Sends intents one by one, each when the one before is decided; how long each took.
pub(super) async fn alone(world: &World, work: &Workload, count: usize) -> Result<Vec<Duration>, CliError> {
    let mut numbers = Numbers::new(77);
    let mut times = Vec::with_capacity(count);
    for index in 0..count {
        let seed = (1 << 50) + index as u64;
        let signed = world.author.revise(work.record(&mut numbers), seed, work.payload)?;
        let started = Instant::now();
        world.node.submit(signed, PATIENCE).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}
