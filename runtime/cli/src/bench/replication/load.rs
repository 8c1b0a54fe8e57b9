//! The load over HTTP: a file of intents, as fast as they are decided or at a given rate.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockstep_core::json::Json;

use super::super::load::{AT_ONCE, CLIENTS, Lines};
use super::super::progress::Progress;
use super::network::{Member, internal};
use crate::client::Client;
use crate::error::CliError;

/// How long the node waits for outcomes before it says that they are pending.
const WAIT: Duration = Duration::from_secs(60);

/// Between two requests of a load with a rate.
const TICK: Duration = Duration::from_millis(10);

/// When outcomes of intents were told, by intent.
pub(super) type Told = HashMap<String, Instant>;

/// Sends all that is in a file, with many under way; how long it took.
pub(super) async fn run(
    to: &Member,
    file: &Path,
    total: usize,
    what: &str,
    progress: &Progress,
) -> Result<Duration, CliError> {
    let lines = Arc::new(Lines::open(file)?);
    let started = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, lines) = (to.client()?, lines.clone());
        clients.spawn(async move { run_client(&client, &lines).await });
    }
    while let Some(ended) = clients.join_next().await {
        ended.map_err(internal)??;
    }
    let done = usize::try_from(lines.done.load(Ordering::Relaxed)).unwrap_or_default();
    progress.step(what, done, total);
    if done == total { Ok(started.elapsed()) } else { Err(internal(format!("{done} of {total} intents were sent"))) }
}

async fn run_client(client: &Client, lines: &Lines) -> Result<(), CliError> {
    loop {
        let chunk = lines.next(AT_ONCE)?;
        if chunk.is_empty() {
            return Ok(());
        }
        send(client, &chunk).await?;
        lines.done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
}

/// Sends intents and waits for all outcomes; each must be applied.
pub(super) async fn send(client: &Client, lines: &[Vec<u8>]) -> Result<Told, CliError> {
    let (mut told, mut wrong) = (Told::with_capacity(lines.len()), None);
    let take = |answer: Result<Json, CliError>| match answer {
        Err(error) => wrong = Some(error),
        Ok(outcome) => {
            let text = |name: &str| outcome.get(name).and_then(Json::as_str).unwrap_or_default();
            if text("status") == "applied" {
                told.insert(text("intent_id").to_owned(), Instant::now());
            } else {
                wrong = Some(internal(format!("an intent was not applied: {}", outcome.canonical())));
            }
        }
    };
    client.submit_all(lines, WAIT, take).await?;
    wrong.map_or(Ok(told), Err)
}

/// Sends `total` intents of a file at a rate, whether or not those before are decided; when each outcome was told, and
/// how long it took until all were.
pub(super) async fn paced(to: &Member, file: &Path, total: usize, rate: f64) -> Result<(Told, Duration), CliError> {
    let lines = Lines::open(file)?;
    let told = Arc::new(Mutex::new(Told::with_capacity(total)));
    let mut requests = tokio::task::JoinSet::new();
    let (started, mut sent) = (Instant::now(), 0);
    while sent < total {
        tokio::time::sleep(TICK).await;
        let due = ((started.elapsed().as_secs_f64() * rate) as usize).min(total);
        let chunk = lines.next(due.saturating_sub(sent))?;
        sent += chunk.len();
        if chunk.is_empty() {
            continue;
        }
        let (client, told) = (to.client()?, told.clone());
        requests.spawn(async move {
            let found = send(&client, &chunk).await?;
            told.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
            Ok::<_, CliError>(())
        });
    }
    while let Some(ended) = requests.join_next().await {
        ended.map_err(internal)??;
    }
    let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((told, started.elapsed()))
}
