//! What comes in at the door and is no good.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Trouble;

/// Connections that drip, more than the node serves at a time.
const SLOW: usize = 400;
/// How often something drips.
const DRIP: Duration = Duration::from_millis(200);
/// Garbage of the whole proof, and who sends it.
const GARBAGE: f64 = 100_000.0;
const SENDERS: u64 = 8;
/// Lines of one request.
const LINES: u64 = 50;

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// Requests that end after any byte: nothing of them is half there, and nobody else notices.
pub(super) fn cut(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let body = "{\"payload\":\"".to_owned() + &"e".repeat(4000);
    let whole = format!("POST /v1/intents HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len() + 100);
    for length in (1..whole.len()).step_by(if trouble.scale < 1.0 { 40 } else { 4 }) {
        let mut stream = TcpStream::connect(&trouble.address).map_err(words)?;
        stream.write_all(whole.get(..length).unwrap_or_default().as_bytes()).map_err(words)?;
        drop(stream);
        trouble.totals.count("requests_cut", 1);
        if length % 50 == 1 {
            trouble.serves("among cut requests")?;
        }
    }
    trouble.resumes()
}

/// Heads and bodies that come a byte at a time on more connections than the node serves.
pub(super) fn slow(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let heads = [
        "POST /v1/intents HTTP/1.1\r\nhost: x\r\nx-slow: ",
        "POST /v1/intents HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{",
    ];
    let open = |at: usize| {
        let mut stream = TcpStream::connect(&trouble.address).ok()?;
        stream.write_all(heads.get(at % 2)?.as_bytes()).ok()?;
        Some(stream)
    };
    let mut streams: Vec<TcpStream> = (0..SLOW).filter_map(open).collect();
    trouble.totals.count("slow_connections", streams.len() as u64);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let dripping = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                streams.retain_mut(|stream| stream.write_all(b"a").is_ok());
                std::thread::sleep(DRIP);
            }
        });
        let suffered = trouble.suffers(Duration::from_secs(if trouble.scale < 1.0 { 3 } else { 30 }));
        over.store(true, Ordering::Relaxed);
        dripping.join().map_err(|_| "broke off".to_owned())?;
        suffered
    })?;
    trouble.resumes()
}

/// A minute of what is no intent, single and in lines; who sends intents is served all the same.
pub(super) fn garbage(trouble: &mut Trouble<'_>) -> Result<(), String> {
    let (begun, before) = (Instant::now(), trouble.peak());
    let each = (GARBAGE * trouble.scale.min(1.0)) as u64 / SENDERS;
    let (address, told) = (trouble.address.clone(), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let (address, told) = (&address, &told);
                scope.spawn(move || send(address, number, each, told))
            })
            .collect();
        let over = &over;
        let waiting = scope.spawn(move || {
            let sent: Result<Vec<()>, String> =
                senders.into_iter().map(|one| one.join().map_err(|_| "broke off".to_owned())?).collect();
            over.store(true, Ordering::Relaxed);
            sent.map(drop)
        });
        while !over.load(Ordering::Relaxed) {
            trouble.suffers(Duration::from_millis(200))?;
        }
        waiting.join().map_err(|_| "broke off".to_owned())?
    })?;
    let (told, minutes) = (told.load(Ordering::Relaxed), begun.elapsed().as_secs_f64() / 60.0);
    trouble.totals.count("garbage_refused", told);
    trouble
        .totals
        .must("garbage_all_refused", told == each * SENDERS, || format!("{told} of {} were refused", each * SENDERS));
    trouble.totals.count("garbage_per_minute", (told as f64 / minutes) as u64);
    trouble.totals.count("garbage_peak_grew_kib", trouble.peak().saturating_sub(before));
    trouble.resumes()
}

/// Sends garbage and counts what was refused with a code.
fn send(address: &str, number: u64, count: u64, told: &AtomicU64) -> Result<(), String> {
    let kinds = ["{}", "no JSON", "{\"a\":1,\"a\":2}", "[[[[[[[[", "{\"envelope\":{\"payload\":\"AAAA\"}}"];
    let piece = |at: u64| kinds.get((at % kinds.len() as u64) as usize).copied().unwrap_or("{}");
    let mut sent = 0;
    while sent < count {
        let lines = if number % 2 == 0 { 1 } else { LINES.min(count - sent) };
        told.fetch_add(refused(address, lines, number + sent, &piece)?, Ordering::Relaxed);
        sent += lines;
    }
    Ok(())
}

fn refused(address: &str, lines: u64, from: u64, piece: &dyn Fn(u64) -> &'static str) -> Result<u64, String> {
    let mut stream = TcpStream::connect(address).map_err(words)?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(words)?;
    let body: Vec<&str> = (from..from + lines).map(piece).collect();
    let (body, kind) = (body.join("\n"), if lines > 1 { "application/x-ndjson" } else { "application/json" });
    let request = format!(
        "POST /v1/intents HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(words)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(words)?;
    Ok(answer.matches("\"code\":\"").count() as u64)
}
