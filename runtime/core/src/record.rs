//! The state of one record, and where it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::Digest;
use crate::event::Header;
use crate::json::{Json, Limits};
use crate::names::{ContractName, RecordId, SpecName, Version};
use crate::spec::PARTIES;
use crate::tables::{Cell, HIDDEN, Row, Table};

/// One section of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionState {
    /// The seq of the event that last wrote it.
    pub seq: u64,
    /// Its content; null where it is empty, or hidden.
    pub content: Arc<Json>,
    /// Whether this node may not see it: then only the commitment is known.
    pub hidden: bool,
    /// The commitment to its content in that event's header.
    pub commitment: Digest,
    /// Bytes of its content in canonical form.
    pub bytes: usize,
}

/// The contract version that a record is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnContract {
    /// The contract.
    pub name: ContractName,
    /// The version.
    pub version: Version,
}

impl OnContract {
    /// Reads `NAME@VERSION`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, version) = text.split_once('@')?;
        Some(OnContract { name: ContractName::parse(name).ok()?, version: Version::parse(version).ok()? })
    }
}

impl std::fmt::Display for OnContract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A record after its last event.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordState {
    /// Its spec.
    pub spec: SpecName,
    /// The spec's version.
    pub spec_digest: Digest,
    /// The contract version it is on.
    pub on: OnContract,
    /// Epoch of its sequencer.
    pub epoch: u64,
    /// Position of its last event in its chain.
    pub seq: u64,
    /// Id of its last event.
    pub head: Digest,
    /// Its sections that were ever written, by name.
    pub sections: BTreeMap<String, SectionState>,
}

impl RecordState {
    /// The content of a section; null where it was never written.
    #[must_use]
    pub fn content(&self, section: &str) -> Arc<Json> {
        self.sections.get(section).map_or_else(|| Arc::new(Json::Null), |state| state.content.clone())
    }

    /// The sections of which this node knows only the commitment, in order.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().filter(|(_, section)| section.hidden).map(|(name, _)| name.as_str())
    }

    /// The parties section.
    #[must_use]
    pub fn parties(&self) -> Arc<Json> {
        self.content(PARTIES)
    }

    /// Puts a state together from a record's row and the header of its last event, as the database holds them.
    ///
    /// # Errors
    /// What does not fit together; then the database is damaged and `verify` says where.
    pub fn from_row(table: &Table, row: &Row, header: &Header) -> Result<Self, String> {
        let text = |column: &str| table.position(column).and_then(|at| row.get(at)).and_then(Cell::as_str);
        let record = text("record_id").unwrap_or_default();
        let broken = |what: &str| format!("the row of record {record} in {} does not hold {what}", table.name);
        if text("lockstep_head") != Some(header.id().to_string().as_str()) || record != header.record.as_str() {
            return Err(broken("the head of its last event"));
        }
        let on = text("lockstep_contract").and_then(OnContract::parse).ok_or_else(|| broken("a contract version"))?;
        let hidden = hidden_names(text(HIDDEN)).ok_or_else(|| broken("a list of hidden sections"))?;
        let mut sections = BTreeMap::new();
        for (name, sealed) in &header.sections {
            let cell = table.position(name).and_then(|at| row.get(at)).ok_or_else(|| broken(name))?;
            let (content, bytes) = match cell {
                Cell::Null => (Json::Null, 4),
                Cell::Text(text) => (
                    Json::parse(text.as_bytes(), &Limits { bytes: 64 << 20, ..Limits::default() })
                        .map_err(|_| broken(name))?,
                    text.len(),
                ),
                _ => return Err(broken(name)),
            };
            let hidden = hidden.contains(name);
            let content = Arc::new(content);
            let section = SectionState { seq: sealed.seq, content, hidden, commitment: sealed.content, bytes };
            sections.insert(name.clone(), section);
        }
        Ok(RecordState {
            spec: SpecName::parse(&table.name).map_err(|_| broken("a spec's name"))?,
            spec_digest: header.spec,
            on,
            epoch: header.epoch,
            seq: header.seq,
            head: header.id(),
            sections,
        })
    }
}

/// The sections that a row names as hidden; none where the column is NULL.
fn hidden_names(cell: Option<&str>) -> Option<Vec<String>> {
    let Some(text) = cell else { return Some(Vec::new()) };
    let json = Json::parse(text.as_bytes(), &Limits::default()).ok()?;
    json.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// The records that an execution may see; `None` inside is a record known to be absent.
pub type States = BTreeMap<RecordId, Option<Arc<RecordState>>>;
