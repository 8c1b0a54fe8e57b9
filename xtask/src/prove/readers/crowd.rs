//! Those who follow: a task and a connection each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockstep_core::clock::Clock;
use lockstep_core::time::Timestamp;
use lockstep_node::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::LONG;

/// Of so many events of a reader, the delay of one is kept.
const SAMPLED: u64 = 8;

/// Connections that are made at once.
const AT_ONCE: usize = 64;

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// What one reader has heard.
#[derive(Default)]
struct Ear {
    events: AtomicU64,
    /// The last position, and whether one was before it.
    last: AtomicU64,
    disorder: AtomicBool,
}

/// Readers of one node.
pub(in crate::prove) struct Crowd {
    ears: Vec<Arc<Ear>>,
    delays: Arc<Mutex<Vec<Duration>>>,
    _readers: JoinSet<()>,
}

/// What all of them have heard.
pub(in crate::prove) struct Heard {
    least: u64,
    most: u64,
    disordered: usize,
    delays: Vec<Duration>,
}

impl Heard {
    /// Whether each has so many events, in order.
    pub(in crate::prove) fn is_whole(&self, events: u64) -> bool {
        (self.least, self.most, self.disordered) == (events, events, 0)
    }

    pub(in crate::prove) fn words(&self) -> String {
        format!("between {} and {} events each, {} out of order", self.least, self.most, self.disordered)
    }

    /// Of a hundred deliveries, the last but one.
    pub(in crate::prove) fn p99(&self) -> Duration {
        self.delays.get(self.delays.len() * 99 / 100).or(self.delays.last()).copied().unwrap_or(LONG)
    }
}

/// A node as readers come to it.
#[derive(Clone, Copy)]
pub(in crate::prove) struct Followed<'a> {
    pub(in crate::prove) address: &'a str,
    pub(in crate::prove) token: &'a str,
}

async fn connect(node: Followed<'_>, path: &str, buffer: Option<u32>) -> Result<TcpStream, String> {
    let socket = TcpSocket::new_v4().map_err(words)?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes).map_err(words)?;
    }
    let mut stream = socket.connect(node.address.parse().map_err(words)?).await.map_err(words)?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", node.token);
    stream.write_all(head.as_bytes()).await.map_err(words)?;
    Ok(stream)
}

impl Crowd {
    /// Connections that follow from the start and never read.
    pub(in crate::prove) async fn stuck(node: Followed<'_>, count: usize) -> Result<Vec<TcpStream>, String> {
        let mut stuck = Vec::new();
        for _ in 0..count {
            stuck.push(connect(node, "/v1/events", Some(1024)).await?);
        }
        Ok(stuck)
    }

    /// Readers who follow from now on; back when all of them do.
    pub(in crate::prove) async fn gather(node: Followed<'_>, count: u64) -> Result<Self, String> {
        let (mut ears, mut readers) = (Vec::new(), JoinSet::new());
        let delays = Arc::new(Mutex::new(Vec::new()));
        let mut left = count;
        while left > 0 {
            let now = left.min(AT_ONCE as u64);
            let mut begun = Vec::new();
            for _ in 0..now {
                begun.push(connect(node, "/v1/events?after=latest", None).await?);
            }
            for mut stream in begun {
                greeted(&mut stream).await?;
                let ear = Arc::new(Ear::default());
                ears.push(ear.clone());
                readers.spawn(listen(stream, ear, delays.clone()));
            }
            left -= now;
        }
        Ok(Crowd { ears, delays, _readers: readers })
    }

    /// Waits until all have so many events, or for so long.
    pub(in crate::prove) async fn all_have(&self, events: u64, patience: Duration) {
        let until = Instant::now() + patience;
        while Instant::now() < until && self.ears.iter().any(|ear| ear.events.load(Ordering::Relaxed) < events) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(in crate::prove) fn heard(&self) -> Heard {
        let counts = || self.ears.iter().map(|ear| ear.events.load(Ordering::Relaxed));
        let disordered = self.ears.iter().filter(|ear| ear.disorder.load(Ordering::Relaxed)).count();
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner).clone();
        delays.sort_unstable();
        Heard { least: counts().min().unwrap_or(0), most: counts().max().unwrap_or(0), disordered, delays }
    }

    pub(in crate::prove) fn forget_delays(&self) {
        self.delays.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Reads the head and the first comment.
async fn greeted(stream: &mut TcpStream) -> Result<(), String> {
    let mut text = Vec::new();
    while !text.windows(3).any(|window| window == b":\n\n") {
        let mut buffer = [0; 512];
        let read = tokio::time::timeout(LONG, stream.read(&mut buffer)).await.map_err(words)?.map_err(words)?;
        text.extend_from_slice(buffer.get(..read).filter(|read| !read.is_empty()).ok_or("a reader is turned away")?);
    }
    if text.starts_with(b"HTTP/1.1 200 ") { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
}

/// Notes every event that comes, and how long after its decision, until nothing comes any more.
async fn listen(mut stream: TcpStream, ear: Arc<Ear>, delays: Arc<Mutex<Vec<Duration>>>) {
    let mut rest = String::new();
    let mut buffer = vec![0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        rest.push_str(&String::from_utf8_lossy(buffer.get(..read).unwrap_or_default()));
        let now = SystemClock.now();
        while let Some((line, after)) = rest.split_once('\n').map(|(line, after)| (line.to_owned(), after.to_owned())) {
            note(&line, &ear, &delays, now);
            rest = after;
        }
    }
}

fn note(line: &str, ear: &Ear, delays: &Mutex<Vec<Duration>>, now: Timestamp) {
    if let Some(position) = line.strip_prefix("id: ").and_then(|text| text.trim().parse::<u64>().ok()) {
        let last = ear.last.swap(position, Ordering::Relaxed);
        // The same again is a sign of life; an event twice shows in the count.
        ear.disorder.fetch_or(position < last, Ordering::Relaxed);
    }
    let time = line.strip_prefix("data: ").and_then(|data| data.split("\"time\":\"").nth(1)?.split('"').next());
    if let Some(time) = time.and_then(|time| Timestamp::parse(time).ok()) {
        let before = ear.events.fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(SAMPLED) {
            delays.lock().unwrap_or_else(PoisonError::into_inner).push(now.since(time));
        }
    }
}
