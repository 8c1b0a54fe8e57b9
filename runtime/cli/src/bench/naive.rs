//! `lockstep bench --naive`: the same requests, served by an application that keeps no evidence: a transaction each,
//! which selects, updates and adds a row of audit, in a database with the same settings.
//!
//! Whether clients wait for one request before they send the next is told apart: where they do, what an application
//! commits one by one, a node commits together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, Object, json};
use lockstep_node::Node;
use lockstep_sqlite::naive::{NaiveClient, Revision};

use super::BenchArgs;
use super::found::{Found, row, settings};
use super::load::{self, AT_ONCE, CLIENTS, Lines, Spread, Workload};
use super::machine;
use super::progress::Progress;
use super::report::number;
use super::world::{AUTHOR, Numbers, World, internal, text};
use crate::error::CliError;

/// Clients that wait for one request before they send the next.
const WAITING: [usize; 4] = [1, 4, 16, 64];

/// Most requests of each number of clients that wait: then it is known what they can do.
const ENOUGH: usize = 5_000;

/// How long an outcome may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests a second with one spread.
struct Rates {
    /// Lockstep with many under way.
    many: f64,
    /// By clients that wait: Lockstep, the application.
    waiting: BTreeMap<usize, (f64, f64)>,
}

pub(super) async fn measure(dir: &Path, args: &BenchArgs, progress: &Progress) -> Result<Found, CliError> {
    let machine = machine::describe(dir)?;
    let even = args.workload(Spread::Even);
    let spread = spread(&dir.join("even"), even, progress).await?;
    let contended = Workload { spread: Spread::Contended, ..even };
    let contended = self::spread(&dir.join("contended"), contended, progress).await?;
    let document = json!({
        "machine": machine, "settings": settings(&even), "requests_of_waiting_clients": ENOUGH.min(even.intents),
        "clients": CLIENTS, "at_once": AT_ONCE, "even": spread.to_json(), "contended": contended.to_json()
    });
    Ok(Found { tables: vec![table("even", &spread), table("contended", &contended)], document })
}

/// Both, with one spread.
async fn spread(dir: &Path, work: Workload, progress: &Progress) -> Result<Rates, CliError> {
    std::fs::create_dir_all(dir).map_err(internal)?;
    let world = World::make(&dir.join("node")).await?;
    load::open_records(&world, &work, progress).await?;
    let sent = super::whole(&world, work, 1, progress).await?;
    let many = work.intents as f64 / sent.took.as_secs_f64().max(f64::EPSILON);
    let mut waiting = BTreeMap::new();
    for clients in WAITING {
        progress.begin(&format!("{clients} clients that wait, lockstep"));
        let some = Workload { intents: work.intents.min(ENOUGH), ..work };
        let lockstep = lockstep(&world, some, clients).await?;
        progress.begin(&format!("{clients} clients that wait, the application"));
        let naive = naive(&dir.join(format!("naive{clients}.db")), some, clients).await?;
        waiting.insert(clients, (lockstep, naive));
    }
    world.node.stop().await;
    Ok(Rates { many, waiting })
}

/// Clients of a node that each have one intent under way.
async fn lockstep(world: &World, work: Workload, clients: usize) -> Result<f64, CliError> {
    let file = world.dir.join("intents.ndjson");
    let (author, path, seed) = (world.author.clone(), file.clone(), 100 + clients as u64);
    let signing = tokio::task::spawn_blocking(move || load::sign(&author, work, seed, &path));
    signing.await.map_err(internal)??;
    let lines = Arc::new(Lines::open(&file)?);
    let started = Instant::now();
    let running: Vec<_> = (0..clients).map(|_| tokio::spawn(waits(world.node.clone(), lines.clone()))).collect();
    for client in running {
        client.await.map_err(internal)??;
    }
    Ok(work.intents as f64 / started.elapsed().as_secs_f64().max(f64::EPSILON))
}

async fn waits(node: Node, lines: Arc<Lines>) -> Result<(), CliError> {
    while let Some(line) = lines.next(1)?.pop() {
        node.submit(line, PATIENCE).await?;
    }
    Ok(())
}

/// Clients of the application, each with a connection of its own.
async fn naive(file: &Path, work: Workload, clients: usize) -> Result<f64, CliError> {
    let record = |number: usize| format!("acme:b{number}");
    let records: Vec<_> = (0..work.records)
        .map(|number| (record(number), format!("Bulletin {number}"), text(number as u64, work.payload)))
        .collect();
    NaiveClient::make(file, &records).await?;
    let mut numbers = Numbers::new(clients as u64);
    let mut shares: Vec<Vec<Revision>> = (0..clients).map(|_| Vec::new()).collect();
    for request in 0..work.intents {
        let body = text((1 << 45) + request as u64, work.payload);
        let (actor, at) = (AUTHOR.to_owned(), "2026-11-21T10:12:00.000000Z".to_owned());
        let asked = Revision { record: record(work.record(&mut numbers)), body, actor, at };
        shares.get_mut(request % clients).into_iter().for_each(|share| share.push(asked.clone()));
    }
    let mut ready = Vec::new();
    for share in shares {
        ready.push((NaiveClient::open(file).await?, share));
    }
    let started = Instant::now();
    let running: Vec<_> = ready.into_iter().map(|(client, share)| tokio::spawn(asks(client, share))).collect();
    for client in running {
        client.await.map_err(internal)??;
    }
    Ok(work.intents as f64 / started.elapsed().as_secs_f64().max(f64::EPSILON))
}

async fn asks(mut client: NaiveClient, share: Vec<Revision>) -> Result<(), CliError> {
    for asked in &share {
        client.revise(asked).await?;
    }
    Ok(client.close().await?)
}

impl Rates {
    fn best_naive(&self) -> f64 {
        self.waiting.values().map(|(_, naive)| *naive).fold(0.0, f64::max)
    }

    fn to_json(&self) -> Json {
        let each = |(clients, (lockstep, naive)): (&usize, &(f64, f64))| {
            let ratio = lockstep / naive.max(f64::EPSILON);
            let rates = json!({
                "lockstep_per_s": number(*lockstep, 1), "naive_per_s": number(*naive, 1), "ratio": number(ratio, 3)
            });
            (clients.to_string(), rates)
        };
        let waiting: Object = self.waiting.iter().map(each).collect();
        let best = self.best_naive();
        json!({
            "lockstep_per_s": number(self.many, 1), "naive_per_s": number(best, 1),
            "ratio": number(self.many / best.max(f64::EPSILON), 3), "waiting": Json::Object(waiting)
        })
    }
}

fn table(name: &'static str, rates: &Rates) -> super::found::Shown {
    let json = rates.to_json();
    let members = ["lockstep_per_s", "naive_per_s", "ratio"];
    let mut rows = vec![row("many under way, to its best", Some(&json), &members)];
    for clients in rates.waiting.keys() {
        let each = json.get("waiting").and_then(|waiting| waiting.get(&clients.to_string()));
        rows.push(row(&format!("{clients} waiting"), each, &members));
    }
    (vec![name, "lockstep/s", "naive/s", "ratio"], rows)
}
