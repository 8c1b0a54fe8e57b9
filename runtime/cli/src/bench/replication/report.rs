//! What a run prints: one JSON document, and a table for people.

use std::time::Duration;

use lockstep_core::json::{Json, Object, json};

use super::super::compare::Compared;
use super::super::floor::Floor;
use super::super::load::{AT_ONCE, CLIENTS, Workload};
use super::super::machine::percentile;
use super::super::report::{micros, number};
use super::phases::{Alone, Backlog, Connected, Lag};
use crate::output::{Output, Style};

/// All that was measured.
pub(in super::super) struct Measured {
    pub(super) machine: Json,
    pub(super) work: Workload,
    pub(super) alone: Alone,
    pub(super) backlog: Backlog,
    pub(super) together: f64,
    pub(super) lag: Lag,
    pub(super) connected: Connected,
    /// Outcomes that readers executed again.
    pub(super) compared: u64,
    pub(super) floor: Floor,
    pub(in super::super) same: Compared,
}

fn rate(events: f64, took: Duration) -> f64 {
    events / took.as_secs_f64().max(f64::EPSILON)
}

/// Microseconds an event.
fn each(time: Duration, events: f64) -> f64 {
    time.as_secs_f64() * 1e6 / events.max(1.0)
}

impl Measured {
    fn intents(&self) -> f64 {
        self.work.intents as f64
    }

    fn own_rate(&self) -> f64 {
        rate(self.intents(), self.alone.took)
    }

    fn own_cpu(&self) -> f64 {
        each(self.alone.cpu, self.intents()).max(f64::EPSILON)
    }

    fn reader_rate(&self) -> f64 {
        rate(self.backlog.events as f64, self.backlog.took)
    }

    fn backlog(&self) -> Json {
        let (found, events) = (&self.backlog, self.backlog.events as f64);
        let reader = each(found.reader, events);
        json!({
            "events": self.work.intents, "whole_s": number(found.whole.as_secs_f64(), 3), "events_timed": found.events,
            "events_per_s": number(self.reader_rate(), 1), "ratio": number(self.reader_rate() / self.own_rate(), 3),
            "reader_cpu_us": number(reader, 1), "sequencer_cpu_us": number(each(found.sequencer, events), 1),
            "cpu_ratio": number(reader / self.own_cpu(), 3)
        })
    }

    fn lag(&self) -> Json {
        let mut times = self.lag.times.clone();
        json!({
            "full_load_per_s": number(self.together, 1), "offered_per_s": number(self.lag.offered, 1), "decided_per_s": number(self.lag.decided, 1),
            "events": times.len(), "p50_us": micros(percentile(&mut times, 50)),
            "p99_us": micros(percentile(&mut times, 99)), "max_us": micros(times.last().copied().unwrap_or_default()),
            "measured_at": "the reader's /v1/events"
        })
    }

    fn connected(&self) -> Json {
        let (found, events) = (&self.connected, self.intents());
        let readers: Vec<f64> = found.readers.iter().map(|time| each(*time, events)).collect();
        let sequencer = each(found.sequencer, events);
        let all = readers.iter().sum::<f64>();
        let (count, most) = (readers.len().max(1) as f64, readers.iter().copied().fold(0.0, f64::max));
        json!({
            "readers": readers.len(), "events_per_s": number(rate(events, found.took), 1),
            "at_all_readers_per_s": number(rate(events, found.all), 1),
            "sequencer_cpu_us": number(sequencer, 1),
            "reader_cpu_us": readers.iter().map(|time| number(*time, 1)).collect::<Json>(),
            "sequencer_cpu_ratio": number(sequencer / self.own_cpu(), 3),
            "reader_cpu_ratio": number(all / count / self.own_cpu(), 3),
            "dearest_node_cpu_ratio": number(most.max(sequencer) / self.own_cpu(), 3)
        })
    }

    pub(in super::super) fn to_json(&self) -> Json {
        let by_group: Object =
            self.floor.by_group.iter().map(|(group, rate)| (group.to_string(), number(*rate, 1))).collect();
        let rows = self.same.rows.iter();
        let rows: Object =
            rows.map(|(table, (one, other))| (table.clone(), json!({"reader": *one, "floor": *other}))).collect();
        json!({
            "machine": self.machine.clone(),
            "settings": {
                "intents": self.work.intents, "records": self.work.records, "payload": self.work.payload,
                "readers": self.connected.readers.len(), "clients": CLIENTS, "at_once": AT_ONCE,
                "database": "sqlite", "journal_mode": "wal", "synchronous": "full"
            },
            "sequencer": {"events_per_s": number(self.own_rate(), 1), "cpu_us": number(self.own_cpu(), 1)},
            "backlog": self.backlog(), "lag": self.lag(), "connected": self.connected(),
            "compared": {"full": self.compared, "partial": 0},
            "floor": {
                "events_per_s": number(self.floor.best, 1), "best_group": self.floor.best_group,
                "by_group": Json::Object(by_group), "ratio": number(self.reader_rate() / self.floor.best.max(f64::EPSILON), 3)
            },
            "rows": Json::Object(rows)
        })
    }

    /// The same for people.
    pub(in super::super) fn show(&self, output: Output) {
        let json = self.to_json();
        let at = |part: &str, name: &str| {
            json.get(part).and_then(|part| part.get(name)).map(Json::canonical).unwrap_or_default()
        };
        output.line(format!(
            "{} intents of {} bytes on {} records; {} readers; {} cores, {}, fdatasync {} µs, load {}",
            self.work.intents,
            self.work.payload,
            self.work.records,
            self.connected.readers.len(),
            at("machine", "cores"),
            at("machine", "filesystem"),
            at("machine", "fdatasync_p50_us"),
            at("machine", "load_before")
        ));
        output.line(String::new());
        let row = |name: &str, rate: String, sequencer: String, reader: String, beside: String| {
            vec![name.to_owned(), rate, sequencer, reader, beside]
        };
        let readers = self.connected.readers.len();
        output.table(
            &["", "events/s", "sequencer CPU µs", "reader CPU µs", "beside the sequencer alone"],
            &[
                row(
                    "sequencer alone",
                    at("sequencer", "events_per_s"),
                    at("sequencer", "cpu_us"),
                    String::new(),
                    String::new(),
                ),
                row(
                    "a reader on the backlog",
                    at("backlog", "events_per_s"),
                    at("backlog", "sequencer_cpu_us"),
                    at("backlog", "reader_cpu_us"),
                    format!("rate {}, reader's CPU {}", at("backlog", "ratio"), at("backlog", "cpu_ratio")),
                ),
                row(
                    &format!("{readers} readers connected"),
                    at("connected", "events_per_s"),
                    at("connected", "sequencer_cpu_us"),
                    at("connected", "reader_cpu_us"),
                    format!(
                        "CPU: sequencer {}, reader {}",
                        at("connected", "sequencer_cpu_ratio"),
                        at("connected", "reader_cpu_ratio")
                    ),
                ),
                row(
                    "bare writer, a reader's rows",
                    format!("{} (groups of {})", at("floor", "events_per_s"), self.floor.best_group),
                    String::new(),
                    String::new(),
                    format!("reader by it {}", at("floor", "ratio")),
                ),
            ],
        );
        output.line(String::new());
        output.line(format!(
            "lag at {} events/s: p50 {} µs, p99 {} µs, longest {} µs",
            at("lag", "offered_per_s"),
            at("lag", "p50_us"),
            at("lag", "p99_us"),
            at("lag", "max_us")
        ));
        let whole = "every outcome was executed again at every reader; reader and bare writer hold the same rows";
        output.line(output.styled(Style::Dim, whole));
    }
}
