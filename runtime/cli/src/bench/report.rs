//! What a run prints: one JSON document, and tables for people.

use std::time::Duration;

use lockstep_core::json::{Json, Limits, Object, json};

use super::compare::Compared;
use super::floor::Floor;
use super::load::{AT_ONCE, CLIENTS, Sent, Workload};
use super::machine::percentile;
use crate::output::{Output, Style};

/// All that was measured.
pub(super) struct Measured {
    pub(super) machine: Json,
    pub(super) database: &'static str,
    pub(super) work: Workload,
    pub(super) batch: usize,
    pub(super) batches: u64,
    pub(super) main: Sent,
    pub(super) other: Sent,
    pub(super) other_intents: usize,
    pub(super) alone: Vec<Duration>,
    pub(super) floor: Floor,
    pub(super) compared: Compared,
    pub(super) peak_rss: u64,
    /// Intents that the compared databases hold more than before the run.
    pub(super) all_intents: u64,
}

/// A number with so many digits behind the point.
pub(super) fn number(value: f64, digits: usize) -> Json {
    let text = format!("{:.digits$}", if value.is_finite() { value } else { 0.0 });
    let plain = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    Json::parse(plain.as_bytes(), &Limits::default()).unwrap_or_default()
}

/// Microseconds.
pub(super) fn micros(time: Duration) -> Json {
    number(time.as_secs_f64() * 1e6, 1)
}

impl Measured {
    fn rate(&self) -> f64 {
        self.work.intents as f64 / self.main.took.as_secs_f64().max(f64::EPSILON)
    }

    fn other_rate(&self) -> f64 {
        self.other_intents as f64 / self.other.took.as_secs_f64().max(f64::EPSILON)
    }

    fn contended(&self) -> (f64, f64) {
        match self.work.spread {
            super::load::Spread::Even => (self.other_rate(), self.other_rate() / self.rate()),
            super::load::Spread::Contended => (self.rate(), self.rate() / self.other_rate()),
        }
    }

    /// CPU of each stage, microseconds an intent.
    fn stages(&self) -> Vec<(&'static str, f64)> {
        let spent = self.main.spent;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.work.intents.max(1) as f64;
        let mut stages = vec![
            ("verify", each(spent.verify)),
            ("execute", each(spent.execute)),
            ("entitle", each(spent.entitle)),
            ("seal", each(spent.seal)),
            ("project", each(spent.project)),
            ("commit", each(spent.commit + self.main.database)),
        ];
        let known: f64 = stages.iter().map(|(_, time)| time).sum();
        let total = each(self.main.process);
        stages.push(("other", (total - known).max(0.0)));
        stages.push(("total", total));
        stages
    }

    /// Memory in the end by what it was after a fifth of the intents.
    fn memory_growth(&self) -> Json {
        let fifth = self.work.intents as u64 / 5;
        let from = self.main.memory.iter().find(|(intents, _)| *intents >= fifth).copied().unwrap_or_default();
        let to = self.main.memory.last().copied().unwrap_or_default();
        let ratio = number(to.1 as f64 / from.1.max(1) as f64, 3);
        json!({"from_intents": from.0, "to_intents": to.0, "ratio": ratio})
    }

    /// Bytes that each table grew by.
    fn growth(&self) -> impl Iterator<Item = (&String, u64)> {
        self.compared.bytes.iter().map(|(table, [before, after, _])| (table, after.pages.saturating_sub(before.pages)))
    }

    fn amplification(&self) -> f64 {
        let grown: u64 = self.growth().map(|(_, bytes)| bytes).sum();
        grown as f64 / (self.all_intents * self.work.payload as u64).max(1) as f64
    }

    pub(super) fn to_json(&self) -> Json {
        let (mut one, mut bare) = (self.alone.clone(), self.floor.alone.clone());
        let (p50, floor_p50) = (percentile(&mut one, 50), percentile(&mut bare, 50));
        let by_group: Object =
            self.floor.by_group.iter().map(|(group, rate)| (group.to_string(), number(*rate, 1))).collect();
        let stages: Object = self.stages().into_iter().map(|(name, time)| (name.to_owned(), number(time, 1))).collect();
        let rows: Object = self
            .compared
            .rows
            .iter()
            .map(|(table, (one, other))| (table.clone(), json!({"end_to_end": *one, "floor": *other})))
            .collect();
        let each = |bytes: u64| number(bytes as f64 / self.all_intents.max(1) as f64, 1);
        let bytes: Object = self.growth().map(|(table, bytes)| (table.clone(), each(bytes))).collect();
        let memory: Vec<Json> =
            self.main.memory.iter().map(|(intents, bytes)| json!({"intents": *intents, "bytes": *bytes})).collect();
        let (contended, contended_ratio) = self.contended();
        json!({
            "machine": self.machine.clone(),
            "settings": {
                "intents": self.work.intents, "records": self.work.records, "payload": self.work.payload,
                "contended": self.work.spread == super::load::Spread::Contended, "clients": CLIENTS, "at_once": AT_ONCE,
                "largest_batch": self.batch, "batches": self.batches, "database": self.database, "journal_mode": "wal", "synchronous": "full"
            },
            "end_to_end": {"intents_per_s": number(self.rate(), 1)},
            "floor": {"intents_per_s": number(self.floor.best, 1), "best_group": self.floor.best_group, "by_group": Json::Object(by_group)},
            "ratio": number(self.rate() / self.floor.best.max(f64::EPSILON), 3),
            "lone": {
                "p50_us": micros(p50), "p99_us": micros(percentile(&mut one, 99)), "floor_p50_us": micros(floor_p50),
                "floor_p99_us": micros(percentile(&mut bare, 99)),
                "ratio_p50": number(p50.as_secs_f64() / floor_p50.as_secs_f64().max(f64::EPSILON), 2)
            },
            "contended": {"intents_per_s": number(contended, 1), "ratio": number(contended_ratio, 3)},
            "stages_us": Json::Object(stages), "peak_rss_bytes": self.peak_rss, "rss_bytes": memory, "rss_growth": self.memory_growth(),
            "rows": Json::Object(rows), "bytes_per_intent": Json::Object(bytes), "amplification": number(self.amplification(), 2)
        })
    }

    /// The same for people.
    pub(super) fn show(&self, output: Output) {
        let json = self.to_json();
        let at = |path: [&str; 2]| {
            json.get(path[0]).and_then(|part| part.get(path[1])).map(Json::canonical).unwrap_or_default()
        };
        let one = |name: &str| json.get(name).map(Json::canonical).unwrap_or_default();
        output.line(format!(
            "{} intents of {} bytes on {} records; {} cores, {}, fdatasync {} µs, load {}",
            self.work.intents,
            self.work.payload,
            self.work.records,
            at(["machine", "cores"]),
            at(["machine", "filesystem"]),
            at(["machine", "fdatasync_p50_us"]),
            at(["machine", "load_before"])
        ));
        output.line(String::new());
        let row = |name: &str, value: String, beside: String| vec![name.to_owned(), value, beside];
        output.table(
            &["", "lockstep", "bare writer, same rows"],
            &[
                row(
                    "intents/s",
                    at(["end_to_end", "intents_per_s"]),
                    format!("{} (groups of {})", at(["floor", "intents_per_s"]), self.floor.best_group),
                ),
                row("ratio", one("ratio"), String::new()),
                row("alone p50 µs", at(["lone", "p50_us"]), at(["lone", "floor_p50_us"])),
                row("alone p99 µs", at(["lone", "p99_us"]), at(["lone", "floor_p99_us"])),
                row(
                    "contended/s",
                    at(["contended", "intents_per_s"]),
                    format!("{} of uncontended", at(["contended", "ratio"])),
                ),
                row("stored/payload", one("amplification"), String::new()),
                row(
                    "memory growth",
                    at(["rss_growth", "ratio"]),
                    format!(
                        "after {} to {} intents",
                        at(["rss_growth", "from_intents"]),
                        at(["rss_growth", "to_intents"])
                    ),
                ),
            ],
        );
        output.line(String::new());
        let stages: Vec<Vec<String>> =
            self.stages().into_iter().map(|(name, time)| vec![name.to_owned(), format!("{time:.1}")]).collect();
        output.table(&["stage", "CPU µs an intent"], &stages);
        output.line(String::new());
        let tables: Vec<Vec<String>> = self
            .growth()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(table, bytes)| {
                let rows = self.compared.rows.get(table).copied().unwrap_or_default();
                let each = bytes as f64 / self.all_intents.max(1) as f64;
                vec![table.clone(), rows.0.to_string(), rows.1.to_string(), format!("{each:.0}")]
            })
            .collect();
        output.table(&["table", "rows", "rows of the bare writer", "bytes an intent"], &tables);
        output.line(output.styled(Style::Dim, "both databases hold the same rows"));
    }
}
