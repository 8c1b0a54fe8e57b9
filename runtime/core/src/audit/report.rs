//! What an audit says.

use crate::codes::Code;
use crate::crypto::Digest;
use crate::json::{Json, Object, json};
use crate::tables::Cell;

use super::Counts;

/// Longest value that a finding repeats; the database has the rest.
const LONGEST_VALUE: usize = 16 << 10;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of wrong.
    pub code: Code,
    /// The table.
    pub table: String,
    /// The row: its key's columns with their values.
    pub key: Vec<(String, Cell)>,
    /// The column; `None` where the row itself is missing or too much.
    pub column: Option<String>,
    /// The record that the row is about.
    pub record_id: Option<String>,
    /// The seq of the record that the row is about.
    pub seq: Option<u64>,
    /// What evidence says; `None` for NULL and where nobody knows.
    pub expected: Option<String>,
    /// What the table holds; `None` for NULL.
    pub found: Option<String>,
    /// All of it for people: also who signed the true value, and when.
    pub message: String,
}

impl Finding {
    /// The finding as `lockstep verify --json` prints it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let key: Object = self.key.iter().map(|(column, cell)| (column.clone(), cell_to_json(cell))).collect();
        json!({
            "code": self.code.as_str(), "table": self.table.as_str(), "key": key, "column": self.column.as_deref(),
            "record_id": self.record_id.as_deref(), "seq": self.seq, "expected": self.expected.as_deref().map(shortened),
            "found": self.found.as_deref().map(shortened), "message": self.message.as_str()
        })
    }
}

fn cell_to_json(cell: &Cell) -> Json {
    match cell {
        Cell::Integer(number) => Json::parse(number.to_string().as_bytes(), &crate::json::Limits::default())
            .unwrap_or_else(|_| Json::from(number.to_string())),
        other => Json::from(other.show()),
    }
}

/// The text as far as a report carries it.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_VALUE {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST_VALUE / 4).collect();
    format!("{start}… ({} bytes)", text.len())
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The network, where the database still says which it is.
    pub network_id: Option<Digest>,
    /// The log of this database's node.
    pub log: Option<String>,
    /// Rows read, by table.
    pub counts: Counts,
    /// Leaves in the log.
    pub log_size: u64,
    /// Root over them.
    pub root: Option<Digest>,
    /// Events of records checked.
    pub events: u64,
    /// Intents executed again.
    pub executed: u64,
    /// What is wrong, in the order of the walk.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The report as `lockstep verify --json` prints it; how long it took is the caller's to know.
    #[must_use]
    pub fn to_json(&self, seconds: f64) -> Json {
        let counts: Object = self.counts.iter().map(|(table, rows)| (table.clone(), Json::from(*rows))).collect();
        let findings: Vec<Json> = self.findings.iter().map(Finding::to_json).collect();
        json!({
            "clean": self.is_clean(), "network_id": self.network_id.map(|id| id.to_string()), "log": self.log.as_deref(), "counts": counts,
            "log_size": self.log_size, "root": self.root.map(|root| root.to_string()), "events": self.events, "executed": self.executed,
            "seconds": crate::json::Number::from_f64((seconds * 1000.0).round() / 1000.0).map_or(Json::Null, Json::Number), "findings": findings
        })
    }
}
