//! What `strace -f -yy` writes, read as events in the order in which they happened; and the promise that they must keep.
//!
//! A call that others interrupt stands on two lines: it was entered at the first and had returned at the second. A sync
//! counts from where it returned, a write and a reply from where they were entered: so a reply that only might have
//! gone before a sync counts as having done so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::wal;

/// A file of the node that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::prove) enum File {
    Database,
    Log,
    Checkpoint,
    /// The next checkpoint, before it is renamed.
    NewCheckpoint,
}

/// Their names.
pub(in crate::prove) const FILES: [(File, &str); 4] = [
    (File::Database, "lockstep.db"),
    (File::Log, "lockstep.db-wal"),
    (File::Checkpoint, "checkpoint"),
    (File::NewCheckpoint, "checkpoint.new"),
];

/// What a call did.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::prove) enum Call {
    /// Bytes at a place; without one, behind those that are there.
    Write(File, Option<u64>, Vec<u8>),
    Sync(File),
    Cut(File, u64),
    Rename(File, File),
    Remove(File),
    /// Bytes for a client.
    Reply(Vec<u8>),
}

/// A call that did not fail.
#[derive(Clone, Debug)]
pub(in crate::prove) struct Event {
    /// The lines where it was entered and where it had returned.
    pub(in crate::prove) entered: usize,
    pub(in crate::prove) returned: usize,
    pub(in crate::prove) call: Call,
}

/// Reads a trace of the node in a directory. Calls that failed, or that strace only pretended, did nothing.
pub(in crate::prove) fn read(text: &str, dir: &Path) -> Result<Vec<Event>, String> {
    let (mut open, mut events) = (BTreeMap::new(), Vec::new());
    for (at, line) in text.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            open.insert(process, (at, begun.to_owned()));
            continue;
        }
        let (entered, whole) = match rest.strip_prefix("<... ").and_then(|rest| rest.split_once("resumed>")) {
            Some((_, end)) => match open.remove(process) {
                Some((entered, begun)) => (entered, begun + end),
                None => continue,
            },
            None => (at, rest.to_owned()),
        };
        let read = call(&whole, dir).map_err(|what| format!("line {}: {what}", at + 1))?;
        events.extend(read.map(|call| Event { entered, returned: at, call }));
    }
    Ok(events)
}

fn call(whole: &str, dir: &Path) -> Result<Option<Call>, String> {
    let Some((name, rest)) = whole.split_once('(') else { return Ok(None) };
    let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Ok(None) };
    if result.starts_with('-') || result.starts_with('?') || result.contains("INJECTED") {
        return Ok(None);
    }
    let file = |path: &str| FILES.iter().find(|(_, name)| dir.join(name).to_str() == Some(path)).map(|(file, _)| *file);
    let of = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
    let socket = of.starts_with("TCP:") || of.starts_with("TCPv6:");
    Ok(match (name, file(of)) {
        ("write" | "writev" | "sendto" | "sendmsg", _) if socket => Some(Call::Reply(quoted(arguments)?.concat())),
        ("write", Some(file)) => Some(Call::Write(file, None, quoted(arguments)?.concat())),
        ("pwrite64", Some(file)) => Some(Call::Write(
            file,
            Some(last(arguments).ok_or("a write without a place")?),
            quoted(arguments)?.concat(),
        )),
        ("pwritev" | "mmap" | "fallocate", Some(_)) => return Err(format!("{name} is not followed here")),
        ("fsync" | "fdatasync", Some(file)) => Some(Call::Sync(file)),
        ("ftruncate", Some(file)) => Some(Call::Cut(file, last(arguments).ok_or("a cut without a length")?)),
        ("rename", _) => {
            let names: Vec<String> =
                quoted(arguments)?.iter().map(|name| String::from_utf8_lossy(name).into()).collect();
            match names.as_slice() {
                [from, to] => file(from).zip(file(to)).map(|(from, to)| Call::Rename(from, to)),
                _ => None,
            }
        }
        ("unlink", _) => file(&String::from_utf8_lossy(&quoted(arguments)?.concat())).map(Call::Remove),
        ("openat", _) if arguments.contains("O_TRUNC") => {
            file(&String::from_utf8_lossy(&quoted(arguments)?.concat())).map(|file| Call::Cut(file, 0))
        }
        _ => None,
    })
}

/// The last argument, a number; a call that was interrupted has blanks about its end.
fn last(arguments: &str) -> Option<u64> {
    let (_, last) = arguments.trim_end().trim_end_matches(')').rsplit_once(", ")?;
    last.trim().parse().ok()
}

/// The strings among the arguments of a call, as bytes.
fn quoted(arguments: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut strings = Vec::new();
    let mut rest = arguments.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'"' {
            continue;
        }
        let mut string = Vec::new();
        loop {
            match rest.next().ok_or("a string without an end")? {
                b'"' => break,
                b'\\' => string.push(escaped(&mut rest)?),
                byte => string.push(byte),
            }
        }
        if rest.peek() == Some(&b'.') {
            return Err("a string was cut off; strace needs a larger -s".to_owned());
        }
        strings.push(string);
    }
    Ok(strings)
}

fn escaped(rest: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> Result<u8, String> {
    Ok(match rest.next().ok_or("an escape without an end")? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 11,
        b'f' => 12,
        digit @ b'0'..=b'7' => {
            let mut value = u32::from(digit - b'0');
            for _ in 0..2 {
                let Some(digit @ b'0'..=b'7') = rest.peek().copied() else { break };
                value = value * 8 + u32::from(digit - b'0');
                rest.next();
            }
            u8::try_from(value).map_err(|_| "an escape beyond a byte")?
        }
        other => other,
    })
}

/// The ids of 64 hexadecimal digits that stand in some bytes.
fn ids<'a>(bytes: &'a [u8], among: &BTreeSet<String>) -> Vec<&'a str> {
    let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let runs = bytes.split(|byte| !hex(byte)).filter(|run| run.len() >= 64);
    let texts = runs.flat_map(|run| run.windows(64)).filter_map(|id| std::str::from_utf8(id).ok());
    texts.filter(|id| among.contains(*id)).collect()
}

/// The intents whose outcome a reply tells.
pub(in crate::prove) fn told(reply: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(reply).into_owned();
    let ends = ["applied", "rejected", "expired"].map(|end| format!("\"status\":\"{end}\""));
    let of = |line: &str| {
        let outcome = ends.iter().any(|end| line.contains(end.as_str()));
        let (_, id) = line.split_once("\"intent_id\":\"").filter(|_| outcome)?;
        id.get(..64).map(str::to_owned)
    };
    text.lines().filter_map(of).collect()
}

/// How the promise was kept: for each reply that tells an outcome, whether all that it stands on was safe before.
#[derive(Debug, Default)]
pub(in crate::prove) struct Order {
    pub(in crate::prove) replies: u64,
    pub(in crate::prove) syncs: u64,
    pub(in crate::prove) failures: Vec<String>,
}

/// Checks that no outcome was told before the log was synced that holds it, and the checkpoint renamed that covers it.
pub(in crate::prove) fn order(events: &[Event]) -> Order {
    let mut order = Order::default();
    let replies: Vec<(&Event, Vec<String>)> = events
        .iter()
        .filter_map(|event| match &event.call {
            Call::Reply(bytes) => Some((event, told(bytes))),
            _ => None,
        })
        .collect();
    let known: BTreeSet<String> = replies.iter().flat_map(|(_, told)| told.iter().cloned()).collect();
    let written = first_written(events, &known);
    order.syncs = events.iter().filter(|event| event.call == Call::Sync(File::Log)).count() as u64;
    for (reply, told) in &replies {
        for intent in told {
            order.replies += 1;
            order.failures.extend(
                safe_before(events, written.get(intent).copied(), reply)
                    .err()
                    .map(|what| format!("{intent} was told at line {} {what}", reply.entered + 1)),
            );
        }
    }
    order
}

/// Where each intent was written into the log first.
fn first_written(events: &[Event], known: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        if let Call::Write(File::Log, _, bytes) = &event.call {
            for id in ids(bytes, known) {
                written.entry(id.to_owned()).or_insert(at);
            }
        }
    }
    written
}

/// Write, end of the transaction, its last page, sync, rename: all of it before the reply.
fn safe_before(events: &[Event], written: Option<usize>, reply: &Event) -> Result<(), &'static str> {
    let after = |at: usize| events.iter().enumerate().skip(at);
    let is_write = |event: &Event| matches!(event.call, Call::Write(File::Log, ..));
    let ends = |event: &Event| matches!(&event.call, Call::Write(File::Log, _, bytes) if wal::commits(bytes));
    let written = written.ok_or("and never written")?;
    let (header, _) = after(written).find(|(_, event)| ends(event)).ok_or("before its transaction ended")?;
    let (_, page) = after(header + 1).find(|(_, event)| is_write(event)).ok_or("before its transaction ended")?;
    let synced = events.iter().find(|event| event.call == Call::Sync(File::Log) && event.entered > page.returned);
    let synced = synced.filter(|sync| sync.returned < reply.entered).ok_or("before the log was synced")?;
    let renamed = |event: &&Event| event.call == Call::Rename(File::NewCheckpoint, File::Checkpoint);
    let renamed = events.iter().filter(renamed).find(|event| event.entered > synced.returned);
    renamed.filter(|rename| rename.returned < reply.entered).ok_or("before the checkpoint was renamed").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b003a334fb06a27a951c51de95a0d6253084ec2d0c34e6b9dcffb7f028b9047a";

    /// A commit and its reply as strace wrote them, shortened; `SYNC` stands for the sync.
    fn lines(sync: &str) -> String {
        format!(
            r#"71 pwrite64(12</n/lockstep.db-wal>, "\0\0\0\1\0\0\0\0+\212ER\1\351n\v 2t)\364\260\374]", 24, 32) = 24
71 pwrite64(12</n/lockstep.db-wal>, "\r\0{ID}\0", 67, 56) = 67
71 pwrite64(12</n/lockstep.db-wal>, "\0\0\0\207\0\0\0\334+\212ER\1\351n\v\0vg\336osk\323", 24, 123) = 24
71 pwrite64(12</n/lockstep.db-wal>, "\r\0\0", 3, 147) = 3
{sync}66 write(21</n/checkpoint.new>, "lockstep/a\n6\n", 13) = 13
66 rename("/n/checkpoint.new", "/n/checkpoint") = 0
67 writev(19<TCP:[127.0.0.1:7499->127.0.0.1:5]>, [{{iov_base="HTTP/1.1 200 OK\r\n\r\n", iov_len=19}}, {{iov_base="{{\"intent_id\":\"{ID}\",\"status\":\"applied\"}}", iov_len=99}}], 2) = 118
"#
        )
    }

    const SYNC: &str = "71 fsync(12</n/lockstep.db-wal>) = 0\n";

    fn failures(text: &str) -> Vec<String> {
        let order = order(&read(text, Path::new("/n")).unwrap());
        assert_eq!(order.replies, 1);
        order.failures
    }

    #[test]
    fn a_reply_behind_the_sync_keeps_the_promise() {
        assert_eq!(failures(&lines(SYNC)), Vec::<String>::new());
        let interrupted = "71 pwrite64(12</n/lockstep.db-wal>, \"\", 0, 150 <unfinished ...>\n66 write(4<x>, \"\", 0) = 0\n71 <... pwrite64 resumed>)     = 0\n";
        assert_eq!(failures(&lines(&format!("{interrupted}{SYNC}"))), Vec::<String>::new());
        let interrupted = "71 fsync(12</n/lockstep.db-wal> <unfinished ...>\n66 write(4<x>, \"\", 0) = 0\n71 <... fsync resumed>) = 0\n";
        assert_eq!(failures(&lines(interrupted)), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_does_not_sync_is_found() {
        assert!(failures(&lines(""))[0].contains("before the log was synced"));
    }

    #[test]
    fn a_sync_that_failed_or_was_pretended_is_none() {
        assert_eq!(failures(&lines("71 fsync(12</n/lockstep.db-wal>) = -1 EIO (Input/output error)\n")).len(), 1);
        assert_eq!(failures(&lines("71 fsync(12</n/lockstep.db-wal>) = 0 (INJECTED)\n")).len(), 1);
        assert_eq!(failures(&lines("71 fsync(12</n/lockstep.db>) = 0\n")).len(), 1, "another file's");
    }

    #[test]
    fn a_sync_that_has_not_returned_is_none() {
        let begun = lines("71 fsync(12</n/lockstep.db-wal> <unfinished ...>\n") + "71 <... fsync resumed>) = 0\n";
        assert!(failures(&begun)[0].contains("before the log was synced"));
    }

    #[test]
    fn a_sync_before_the_last_page_is_none() {
        let text = lines(SYNC);
        let early = text.replacen("71 pwrite64(12</n/lockstep.db-wal>, \"\\r\\0\\0\", 3, 147) = 3\n", "", 1);
        assert_ne!(early, text);
        let late =
            early.replacen(SYNC, &format!("{SYNC}71 pwrite64(12</n/lockstep.db-wal>, \"\\r\\0\\0\", 3, 147) = 3\n"), 1);
        assert_eq!(failures(&late).len(), 1);
    }

    #[test]
    fn strings_are_read_as_the_bytes_that_they_stand_for() {
        assert_eq!(quoted(r#"1, "a\0\1712\n\"\\", 2"#).unwrap(), [b"a\0y2\n\"\\".to_vec()]);
        assert!(quoted(r#"1, "a"..., 2"#).is_err());
    }
}
