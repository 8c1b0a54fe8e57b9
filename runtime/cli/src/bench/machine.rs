//! What a run is measured on: the processor, the file system, what it spends.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::json::{Json, json};

use super::report::micros;
use crate::error::{CliError, file_error};

/// Syncs that are timed.
const SYNCS: usize = 200;

/// The processor, the file system of `dir` and what one sync there takes.
pub(super) fn describe(dir: &Path) -> Result<Json, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    Ok(json!({
        "cpu": cpu(), "cores": cores, "filesystem": filesystem(dir), "fdatasync_p50_us": micros(sync_p50(dir)?),
        "load_before": load
    }))
}

fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    model.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// The type of the file system that holds `dir`: that of the longest mount point above it.
fn filesystem(dir: &Path) -> String {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut parts = line.split(' ').skip(1);
        let (point, kind) = (parts.next()?, parts.next()?);
        dir.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    mounts.max_by_key(|(length, _)| *length).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// What it takes to append a page to a file and have it on the medium.
fn sync_p50(dir: &Path) -> Result<Duration, CliError> {
    let path = dir.join("sync-probe");
    let failed = |error: std::io::Error| file_error(&path, &error);
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(failed)?;
        times.push(started.elapsed());
    }
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(percentile(&mut times, 50))
}

/// The time that so many of a hundred stayed within.
pub(super) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// Processor time of this process.
pub(super) fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Processor time of the threads on which the driver runs SQLite.
pub(super) fn database_time() -> Duration {
    std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("sqlx-sqlite"))
        })
        .filter_map(|task| thread_time(&task.path()))
        .sum()
}

/// Processor time of a thread: in nanoseconds where the kernel says so, else in hundredths of a second.
fn thread_time(task: &Path) -> Option<Duration> {
    let precise = std::fs::read_to_string(task.join("schedstat")).ok();
    if let Some(nanos) = precise.and_then(|text| text.split(' ').next()?.parse().ok()).filter(|nanos| *nanos > 0) {
        return Some(Duration::from_nanos(nanos));
    }
    ticks(&std::fs::read_to_string(task.join("stat")).ok()?).map(|ticks| Duration::from_millis(ticks * 10))
}

/// Processor time of another process, all its threads together; the kernel counts it in hundredths of a second.
pub(super) fn time_of(process: u32) -> Result<Duration, CliError> {
    let path = std::path::PathBuf::from(format!("/proc/{process}/stat"));
    let stat = std::fs::read_to_string(&path).map_err(|error| file_error(&path, &error))?;
    Ok(Duration::from_millis(ticks(&stat).unwrap_or_default() * 10))
}

/// User and system time of a thread or process, in hundredths of a second.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Bytes of memory that the process holds now.
pub(super) fn resident_bytes() -> u64 {
    status("VmRSS:")
}

/// Most bytes of memory that the process held.
pub(super) fn peak_resident_bytes() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile(&mut times, 50), Duration::from_micros(51));
        assert_eq!(percentile(&mut times, 99), Duration::from_micros(100));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }

    #[test]
    fn a_threads_time_is_read_behind_its_name() {
        assert_eq!(ticks("7 (a ) b) S 1 1 1 0 -1 4 0 0 0 0 12 30 0 0 20 0"), Some(42));
    }
}
