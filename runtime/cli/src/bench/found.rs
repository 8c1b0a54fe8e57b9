//! What a measurement beside the main one prints: one document, and tables for people.

use lockstep_core::json::{Json, json};

use super::load::Workload;
use crate::output::Output;

/// Header and rows of a table.
pub(super) type Shown = (Vec<&'static str>, Vec<Vec<String>>);

/// What was found.
pub(super) struct Found {
    pub(super) document: Json,
    pub(super) tables: Vec<Shown>,
}

impl Found {
    /// The same for people.
    pub(super) fn show(&self, output: Output) {
        let machine = |name: &str| text(self.document.get("machine"), name);
        output.line(format!(
            "{} cores, {}, fdatasync {} µs, load {}",
            machine("cores"),
            machine("filesystem"),
            machine("fdatasync_p50_us"),
            machine("load_before")
        ));
        for (header, rows) in &self.tables {
            output.line(String::new());
            output.table(header, rows);
        }
    }
}

/// A member as it is shown.
pub(super) fn text(json: Option<&Json>, name: &str) -> String {
    match json.and_then(|json| json.get(name)) {
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.canonical(),
        None => String::new(),
    }
}

/// A row of a table: a name, and members of a document.
pub(super) fn row(name: &str, json: Option<&Json>, members: &[&str]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(members.iter().map(|member| text(json, member))).collect()
}

/// What all of them say of how they were made.
pub(super) fn settings(work: &Workload) -> Json {
    json!({
        "intents": work.intents, "records": work.records, "payload": work.payload, "database": "sqlite",
        "journal_mode": "wal", "synchronous": "full"
    })
}
