//! All records of a spec at one moment, a bounded piece at a time.

use lockstep_core::database::{Database, DatabaseError, Page, Snapshot};
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::SpecName;
use lockstep_core::record::OnContract;
use lockstep_core::spec::PARTIES;
use lockstep_core::sync::{Reader, Rights, Seen};
use lockstep_core::tables::{Cell, HIDDEN, Row, Table};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{damaged, text};
use crate::load::cell;

/// Most rows that are in memory at once: each may be as large as a record can be.
const ROWS: usize = 64;

/// Bytes of rows that are read at once where records are large.
const BYTES: usize = 1 << 20;

/// The records of one spec, in the order of their ids, of one moment.
pub struct Listing {
    snapshot: Box<dyn Snapshot>,
    directory: Arc<Directory>,
    table: Table,
    reader: Reader,
    page: Page,
    specs: BTreeMap<String, Option<Arc<SpecEntry>>>,
    /// The parties of the last record, as text and read: those of many are the same.
    parties: (String, Json),
    ended: bool,
}

impl Listing {
    /// Begins to read.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(
        database: &dyn Database,
        directory: Arc<Directory>,
        table: Table,
        reader: Reader,
    ) -> Result<Self, DatabaseError> {
        let snapshot = database.snapshot().await?;
        let page = Page { after: None, limit: 1 };
        let (specs, parties) = (BTreeMap::new(), (String::new(), Json::Null));
        Ok(Listing { snapshot, directory, table, reader, page, specs, parties, ended: false })
    }

    /// The next lines, a document each with its end; `None` at the end of all. A piece may be empty.
    ///
    /// # Errors
    /// The database's, or what is damaged in it.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, DatabaseError> {
        if self.ended {
            return Ok(None);
        }
        let rows = self.snapshot.page(&self.table, &self.page).await?;
        self.ended = rows.len() < self.page.limit;
        let mut lines = String::new();
        let mut bytes = 0;
        for row in &rows {
            bytes += row.iter().filter_map(Cell::as_str).map(str::len).sum::<usize>();
            self.line(row, &mut lines)?;
        }
        let key = self.table.key_positions();
        self.page.after = rows.last().map(|row| key.iter().filter_map(|at| row.get(*at).cloned()).collect());
        // As many as fit, going by the last ones; never twice as many as those.
        let fitting = BYTES / (bytes / rows.len().max(1)).max(1);
        self.page.limit = (self.page.limit * 2).min(fitting).clamp(1, ROWS);
        Ok(Some(lines.into_bytes()))
    }

    /// A record's line, from cells that are canonical JSON already; nothing where it is not for the reader.
    fn line(&mut self, row: &Row, lines: &mut String) -> Result<(), DatabaseError> {
        let on = text(&self.table, row, "lockstep_contract").to_owned();
        let record = text(&self.table, row, "record_id");
        let entry = self.governing(&on).ok_or_else(|| damaged(&self.table.name, "a record's spec is not known"))?;
        let parties = text(&self.table, row, PARTIES);
        if self.parties.0 != parties {
            let read = Json::parse(parties.as_bytes(), &Limits::default()).unwrap_or_default();
            self.parties = (parties.to_owned(), read);
        }
        let seen = Seen { spec: &entry.spec, parties: &self.parties.1 };
        let seq = cell(&self.table, row, "lockstep_seq").and_then(Cell::as_count).unwrap_or_default();
        if !self.reader.follows(seen, seq) {
            return Ok(());
        }
        let hidden = cell(&self.table, row, HIDDEN).and_then(Cell::as_str).unwrap_or("[]");
        let mut sections = String::new();
        for section in self.reader.sections(seen, seq) {
            let content = cell(&self.table, row, section).and_then(Cell::as_str);
            if content.is_some_and(|content| content.contains('\n')) {
                return Err(damaged(&self.table.name, format!("section {section} of {record} is not canonical")));
            }
            // A section that was never written, and one that this node may not see, is NULL.
            let before = if sections.is_empty() { "" } else { "," };
            for part in [before, &quoted(section), ":", content.unwrap_or("null")] {
                sections.push_str(part);
            }
        }
        let (contract, version) = on.split_once('@').unwrap_or((&on, ""));
        let [contract, version, record, spec] = [contract, version, record, &self.table.name].map(quoted);
        let [head, scope] = ["lockstep_head", "lockstep_scope"].map(|column| quoted(text(&self.table, row, column)));
        let updated = cell(&self.table, row, "lockstep_updated_at").and_then(Cell::show).unwrap_or_default();
        lines.push_str(&format!(
            "{{\"contract\":{contract},\"contract_version\":{version},\"head\":{head},\"hidden\":{hidden},\"record_id\":{record},\"scope\":{scope},\
             \"sections\":{{{}}},\"seq\":{seq},\"spec\":{spec},\"updated_at\":{}}}\n",
            sections,
            quoted(&updated)
        ));
        Ok(())
    }

    /// The spec's version that governs a record on this contract version.
    fn governing(&mut self, on: &str) -> Option<Arc<SpecEntry>> {
        if let Some(known) = self.specs.get(on) {
            return known.clone();
        }
        let entry = governing(&self.directory, &self.table.name, on);
        self.specs.insert(on.to_owned(), entry.clone());
        entry
    }
}

fn governing(directory: &Directory, spec: &str, on: &str) -> Option<Arc<SpecEntry>> {
    let (on, spec) = (OnContract::parse(on)?, SpecName::parse(spec).ok()?);
    let manifest = &directory.contracts().get(&on.name)?.get(&on.version)?.manifest;
    directory.spec_of(manifest, &spec).cloned()
}

fn quoted(text: impl AsRef<str>) -> String {
    Json::from(text.as_ref()).canonical()
}
