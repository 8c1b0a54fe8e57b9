//! `GET /metrics`: numbers in the Prometheus text format, in seconds and bytes. Names of people, records and contents
//! are not among them.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lockstep_core::json::Json;

use super::Http;
use crate::meters::Histogram;

/// Text in the format, as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&format!("{name} {value}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: &AtomicU64) {
        self.one(name, "counter", help, value.load(Ordering::Relaxed));
    }

    /// Values are `unit` times as large as the base unit.
    fn histogram<const N: usize>(&mut self, name: &str, help: &str, histogram: &Histogram<N>, unit: f64) {
        self.head(name, "histogram", help);
        let (count, sum) = histogram.total();
        for (bound, below) in histogram.steps() {
            self.sample(&format!("{name}_bucket{{le=\"{}\"}}", bound as f64 / unit), below.min(count));
        }
        self.sample(&format!("{name}_bucket{{le=\"+Inf\"}}"), count);
        self.sample(&format!("{name}_sum"), sum as f64 / unit);
        self.sample(&format!("{name}_count"), count);
    }
}

pub(super) async fn metrics(State(http): State<Arc<Http>>) -> Response {
    let mut text = Text::default();
    intents(&mut text, &http);
    node(&mut text, &http);
    door(&mut text, &http);
    process(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}

fn intents(text: &mut Text, http: &Http) {
    let meters = http.node.meters();
    text.head("lockstep_intents_total", "counter", "Intents that ended, by how; the refused ones left no row");
    for (status, count) in [
        ("applied", &meters.applied),
        ("rejected", &meters.rejected),
        ("expired", &meters.expired),
        ("refused", &meters.refused),
    ] {
        let count = count.load(Ordering::Relaxed);
        text.sample(&format!("lockstep_intents_total{{status=\"{status}\"}}"), count);
    }
    text.counter("lockstep_events_total", "Events committed", &meters.events);
    text.counter("lockstep_notifications_total", "Notifications committed", &meters.notifications);
    let help = "From an intent that came in by HTTP to its outcome";
    text.histogram("lockstep_submit_seconds", help, &meters.answer, 1e6);
    let help = "From a batch's first commit to knowing that it is committed";
    text.histogram("lockstep_commit_seconds", help, &meters.commit, 1e6);
    text.histogram("lockstep_batch_intents", "Intents of one batch", &meters.batch, 1.0);
}

fn node(text: &mut Text, http: &Http) {
    let node = &http.node;
    text.one("lockstep_undecided_intents", "gauge", "Intents taken that have no outcome yet", node.undecided());
    text.one("lockstep_queue_capacity_intents", "gauge", "Most that may wait", node.config().queue);
    text.one("lockstep_log_leaves", "gauge", "Leaves of this node's log", node.leaves());
    text.one("lockstep_directory_events", "gauge", "Events of the directory", node.directory().seq());
    let up = "Whether the database took the last batch";
    text.one("lockstep_database_up", "gauge", up, u8::from(node.commits_well()));
    let peers = node.network().map(|network| network.status(node));
    let peers = peers.as_ref().and_then(|status| status.get("peers")).and_then(Json::as_array).unwrap_or_default();
    let reached = peers.iter().filter(|peer| peer.get("reachable").and_then(Json::as_bool) == Some(true)).count();
    text.one("lockstep_peers", "gauge", "Other nodes of the network", peers.len());
    text.one("lockstep_peers_reachable", "gauge", "Other nodes that are reached", reached);
}

fn door(text: &mut Text, http: &Http) {
    let connections = http.connected.load(Ordering::Relaxed);
    text.one("lockstep_http_connections", "gauge", "Connections that are open", connections);
    let following = http.following.load(Ordering::Relaxed);
    text.one("lockstep_http_readers", "gauge", "Connections that follow events or notifications", following);
    let held = http.config.bodies_bytes.saturating_sub(http.room.available_permits());
    text.one("lockstep_http_bodies_bytes", "gauge", "Bytes of bodies in memory", held);
    text.head("lockstep_http_answers_total", "counter", "Answers that were begun, by status");
    let answers = http.answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for (status, count) in answers {
        text.sample(&format!("lockstep_http_answers_total{{status=\"{status}\"}}"), count);
    }
}

/// What Linux tells of this process; elsewhere nothing.
fn process(text: &mut Text) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    if let Some(kibibytes) = resident {
        text.one("process_resident_memory_bytes", "gauge", "Resident memory", kibibytes * 1024);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        text.one("process_open_fds", "gauge", "Open file descriptors", open.count());
    }
    text.head("lockstep_build_info", "gauge", "The version that runs");
    text.sample(&format!("lockstep_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
}
