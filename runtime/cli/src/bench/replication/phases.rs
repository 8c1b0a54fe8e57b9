//! What is measured, one after another: the sequencer alone, a backlog, one reader at full and the lag at half load, all
//! readers connected.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lockstep_core::json::Json;

use super::super::load::{self, Workload};
use super::super::progress::Progress;
use super::load::{paced, run, send};
use super::network::{Member, Nodes, internal};
use crate::error::{CliError, file_error};

/// How often a reader's database is looked at while it catches up.
const LOOK: Duration = Duration::from_millis(5);

/// How long a reader may stand still while there is more for it; a run that reaches it has found a bug of ours.
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds for which the lag is measured at most.
const LAGGING: f64 = 30.0;

/// The sequencer with no reader.
pub(super) struct Alone {
    pub(super) took: Duration,
    pub(super) cpu: Duration,
}

/// One reader on a backlog.
pub(super) struct Backlog {
    /// From the start of its process to the last commit.
    pub(super) whole: Duration,
    /// From its first commit that was seen to the last, and how many events lie between.
    pub(super) took: Duration,
    pub(super) events: u64,
    pub(super) reader: Duration,
    pub(super) sequencer: Duration,
    /// Leaves of the reader's log before and after.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The lag at half load.
pub(super) struct Lag {
    pub(super) offered: f64,
    pub(super) decided: f64,
    pub(super) times: Vec<Duration>,
}

/// All readers connected while intents come in.
pub(super) struct Connected {
    /// Until the last outcome was told, and until the last reader had the last event.
    pub(super) took: Duration,
    pub(super) all: Duration,
    pub(super) sequencer: Duration,
    pub(super) readers: Vec<Duration>,
}

/// What the phases share.
pub(super) struct Bench<'a> {
    pub(super) nodes: Nodes,
    pub(super) dir: PathBuf,
    pub(super) work: Workload,
    pub(super) progress: &'a Progress,
}

impl Bench<'_> {
    /// Opens the records, with all readers connected.
    pub(super) async fn open_records(&self) -> Result<(), CliError> {
        let client = self.nodes.sequencer.client()?;
        let numbers: Vec<usize> = (0..self.work.records).collect();
        for chunk in numbers.chunks(512) {
            let signed = chunk.iter().map(|record| self.nodes.author.open(*record, self.work.payload));
            send(&client, &signed.collect::<Result<Vec<_>, _>>()?).await?;
            self.progress.step("opening records", chunk.last().map_or(0, |last| last + 1), self.work.records);
        }
        self.nodes.caught_up()
    }

    /// Signs so many intents into a file.
    async fn sign(&self, intents: usize, seed: u64) -> Result<PathBuf, CliError> {
        self.progress.begin(&format!("signing {intents} intents"));
        let file = self.dir.join(format!("intents-{seed}.ndjson"));
        let (author, path) = (self.nodes.author.clone(), file.clone());
        let work = Workload { intents, ..self.work };
        let signing = tokio::task::spawn_blocking(move || load::sign(&author, work, seed, &path));
        signing.await.map_err(internal)??;
        Ok(file)
    }

    pub(super) async fn alone(&mut self) -> Result<Alone, CliError> {
        let file = self.sign(self.work.intents, 1).await?;
        let before = self.nodes.sequencer.time()?;
        let took = run(&self.nodes.sequencer, &file, self.work.intents, "the sequencer alone", self.progress).await?;
        let cpu = self.nodes.sequencer.time()?.saturating_sub(before);
        remove(&file)?;
        Ok(Alone { took, cpu })
    }

    /// Starts the first reader on all that the sequencer did without it.
    pub(super) async fn backlog(&mut self) -> Result<Backlog, CliError> {
        self.progress.begin("one reader on the backlog");
        let Nodes { sequencer, readers, .. } = &mut self.nodes;
        let reader = readers.first_mut().ok_or_else(|| internal("no reader"))?;
        let from = reader.leaves().await?;
        let to = from + self.work.intents as u64;
        let started = Instant::now();
        reader.organisation.start()?;
        let mut at = (started, from, Duration::ZERO, sequencer.time()?);
        let first = grown(reader, from + 1).await?;
        if first < to {
            at = (Instant::now(), first, reader.time()?, sequencer.time()?);
        }
        grown(reader, to).await?;
        let ended = Instant::now();
        Ok(Backlog {
            whole: ended - started,
            took: ended - at.0,
            events: to - at.1,
            reader: reader.time()?.saturating_sub(at.2),
            sequencer: sequencer.time()?.saturating_sub(at.3),
            from,
            to,
        })
    }

    /// What the sequencer and its first reader do together, from the first intent to the last event at the reader: on one
    /// machine they share its processors.
    pub(super) async fn together(&mut self) -> Result<f64, CliError> {
        let file = self.sign(self.work.intents, 4).await?;
        let reader = self.nodes.readers.first_mut().ok_or_else(|| internal("no reader"))?;
        let (ahead, started) = (reader.leaves().await?, Instant::now());
        run(&self.nodes.sequencer, &file, self.work.intents, "one reader connected", self.progress).await?;
        grown(reader, ahead + self.work.intents as u64).await?;
        let took = started.elapsed();
        remove(&file)?;
        Ok(self.work.intents as f64 / took.as_secs_f64())
    }

    /// The lag of the first reader while intents come at half of what the two do together.
    pub(super) async fn lag(&mut self, together: f64) -> Result<Lag, CliError> {
        let offered = together / 2.0;
        let count = self.work.intents.min((offered * LAGGING) as usize).max(1);
        let file = self.sign(count, 2).await?;
        self.progress.begin("lag at half load");
        let Nodes { sequencer, readers, .. } = &mut self.nodes;
        let reader = readers.first().ok_or_else(|| internal("no reader"))?;
        let shown = reader.organisation.does(&["token", "--as", "admin"])?;
        let token = shown.get("token").and_then(Json::as_str).unwrap_or_default();
        let mut followed = reader.client()?.follow("/v1/events?after=latest", token).await?;
        let seeing = tokio::spawn(async move {
            let mut seen = Vec::with_capacity(count);
            while seen.len() < count {
                let Some(event) = followed.next().await? else { break };
                let intent = event.get("intent_id").and_then(Json::as_str).unwrap_or_default();
                seen.push((intent.to_owned(), Instant::now()));
            }
            Ok::<_, CliError>(seen)
        });
        let (told, took) = paced(sequencer, &file, count, offered).await?;
        let seen = tokio::time::timeout(PATIENCE, seeing).await.map_err(internal)?.map_err(internal)??;
        remove(&file)?;
        let times: Vec<Duration> = seen
            .iter()
            .filter_map(|(intent, seen)| told.get(intent).map(|told| seen.saturating_duration_since(*told)))
            .collect();
        if times.len() != count {
            return Err(internal(format!("the reader told of {} of {count} events", times.len())));
        }
        Ok(Lag { offered, decided: count as f64 / took.as_secs_f64(), times })
    }

    /// Starts the other readers, lets them catch up, and sends as many intents again.
    pub(super) async fn connected(&mut self) -> Result<Connected, CliError> {
        let file = self.sign(self.work.intents, 3).await?;
        self.progress.begin("the other readers catch up");
        for reader in self.nodes.readers.iter_mut().skip(1) {
            reader.organisation.start()?;
        }
        let first = self.nodes.readers.first_mut().ok_or_else(|| internal("no reader"))?;
        let ahead = first.leaves().await?;
        for reader in &mut self.nodes.readers {
            grown(reader, ahead).await?;
        }
        self.nodes.caught_up()?;
        let (sequencer, mut before) = (self.nodes.sequencer.time()?, Vec::new());
        for reader in &self.nodes.readers {
            before.push(reader.time()?);
        }
        let started = Instant::now();
        let what = "all readers connected";
        let took = run(&self.nodes.sequencer, &file, self.work.intents, what, self.progress).await?;
        for reader in &mut self.nodes.readers {
            grown(reader, ahead + self.work.intents as u64).await?;
        }
        let all = started.elapsed();
        remove(&file)?;
        let mut readers = Vec::new();
        for (reader, before) in self.nodes.readers.iter().zip(before) {
            readers.push(reader.time()?.saturating_sub(before));
        }
        let sequencer = self.nodes.sequencer.time()?.saturating_sub(sequencer);
        Ok(Connected { took, all, sequencer, readers })
    }
}

fn remove(file: &std::path::Path) -> Result<(), CliError> {
    std::fs::remove_file(file).map_err(|error| file_error(file, &error))
}

/// Waits until a log has so many leaves; how many it has then.
async fn grown(member: &mut Member, leaves: u64) -> Result<u64, CliError> {
    let (mut moved, mut last) = (Instant::now(), 0);
    loop {
        let now = member.leaves().await?;
        if now >= leaves {
            return Ok(now);
        }
        if now > last {
            (moved, last) = (Instant::now(), now);
        }
        if moved.elapsed() > PATIENCE {
            let name = member.organisation.name;
            return Err(internal(format!("{name} stands still at {now} of {leaves}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}
