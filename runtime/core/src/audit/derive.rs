//! The walk along the log: leaf by leaf, batch by batch, every row is derived again from the evidence.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::codes::Code;
use crate::crypto::{Digest, PublicKey};
use crate::directory::{Body, DirectoryEvent};
use crate::json::{Json, Limits};
use crate::names::{NodeName, RecordId};
use crate::package::{FORMAT, Package};
use crate::project::{Ledger, Projected, Projection, head_row, own_tables_by_name};
use crate::record::RecordState;
use crate::spec::PARTIES;
use crate::tables::{Cell, Table, name};
use crate::time::Timestamp;

use super::agreed::Agreed;
use super::compare::Comparison;
use super::found::Tables;
use super::leaves::{self, OutcomeFound, Source};
use super::lookup::Lookup;
use super::objected::{lost_objections, read_objections};
use super::received::Receipts;
use super::rehearse::Rehearsing;
use super::votes::{self, Signed};
use super::words::finding;
use super::{Known, Progress, Report, chain};

/// Leaves between two reports of progress.
const PROGRESS_STEP: u64 = 1000;

/// A record on the way through its events.
#[derive(Clone)]
pub(super) struct Track {
    pub(super) state: Arc<RecordState>,
    /// Whether the commitments of its sections must be taken from the next header, because an event was lost.
    pub(super) resync: bool,
}

/// The audit on its way.
pub(super) struct Walk<'a> {
    pub(super) known: Known<'a>,
    pub(super) rehearsing: Option<Rehearsing<'a>>,
    pub(super) network: Digest,
    pub(super) log: String,
    pub(super) node: NodeName,
    pub(super) key: Option<PublicKey>,
    pub(super) agreed: Agreed,
    record_tables: Vec<Table>,
    pub(super) outcomes: Vec<OutcomeFound>,
    pub(super) receipts: Receipts,
    /// Rows of objections that are gone, whose leaves were not met yet.
    pub(super) lost_objections: u64,
    /// Whether the directory has this node already.
    pub(super) founded: bool,
    pub(super) tiled: BTreeMap<u64, Digest>,
    pub(super) signed: BTreeMap<u64, Signed>,
    pub(super) states: HashMap<RecordId, Track>,
    pub(super) packages: HashMap<Digest, Arc<Package>>,
    pub(super) comparison: Comparison,
    pub(super) lookup: Lookup,
    pub(super) events: u64,
    pub(super) executed: u64,
    pub(super) time: Timestamp,
    /// Whether the time of the last leaf is known from its own evidence.
    pub(super) time_known: bool,
}

impl<'a> Walk<'a> {
    /// Learns which network and log this is, and puts directory and log in order.
    pub(super) fn start(tables: &Tables, known: Known<'a>) -> Self {
        let events = chain::read_events(tables);
        let network = votes::network(tables, &known, &events).unwrap_or_else(|| Digest::of(b""));
        let log = votes::log(tables).unwrap_or_else(|| "unknown/1".to_owned());
        let node = log.split('/').next().and_then(|node| NodeName::parse(node).ok()).unwrap_or_else(NodeName::unknown);
        let founded =
            events.iter().flatten().find_map(|event| key_of(&event.body, &node).filter(|_| belongs(event, &network)));
        let nodes = tables.get(name::NODE);
        let told = nodes
            .with_key(&[Cell::Text(node.to_string())])
            .first()
            .and_then(|row| PublicKey::parse(nodes.text(*row, "public_key")?).ok());
        let key = known.node_key.or(founded).or(told);
        let receipts = Receipts::read(tables);
        let outcomes = leaves::read_outcomes(tables, &receipts);
        let tiled = leaves::tiled(tables, &log);
        let logged: HashSet<Digest> = tiled.values().copied().collect();
        let mut heads = BTreeMap::new();
        for reasons in outcomes.iter().filter_map(|found| found.outcome.as_ref()?.reasons()) {
            heads.insert(reasons.directory.0, reasons.directory.1);
        }
        let links = chain::order(tables, events, &network, &logged, &heads);
        let title = votes::meta(tables, "network").unwrap_or_default().to_owned();
        let signed = votes::signed_heads(tables, &network, &log, key.as_ref());
        Walk {
            known,
            rehearsing: None,
            network,
            log,
            node,
            key,
            agreed: Agreed::new(links, network, title),
            record_tables: Vec::new(),
            outcomes,
            receipts,
            lost_objections: lost_objections(tables),
            founded: false,
            tiled,
            signed,
            states: HashMap::new(),
            packages: HashMap::new(),
            comparison: Comparison::new(),
            lookup: Lookup::default(),
            events: 0,
            executed: 0,
            time: Timestamp::MIN,
            time_known: true,
        }
    }

    /// Goes through the directory once, to learn which tables records live in.
    pub(super) fn find_directory(&mut self, tables: &Tables) {
        for index in 0..self.agreed.links.len() {
            drop(self.agreed.take(index, tables));
        }
        self.record_tables = self.agreed.directory.record_tables();
        for entry in self.agreed.directory.specs().values() {
            for (column, projection) in &entry.spec.projections {
                let source = (entry.table.name.clone(), column.clone());
                self.comparison.sources.insert(source, projection.section.clone());
            }
        }
        let title = votes::meta(tables, "network").unwrap_or_default().to_owned();
        let links = std::mem::take(&mut self.agreed.links);
        self.agreed = Agreed::new(links, self.network, title);
    }

    /// The tables that records live in.
    pub(super) fn record_tables(&self) -> Vec<Table> {
        self.record_tables.clone()
    }

    /// Walks the log and compares; `batch` hears of every batch as it was committed.
    pub(super) fn run(
        mut self,
        mut tables: Tables,
        progress: &mut (dyn FnMut(Progress) + Send),
        batch: &mut (dyn FnMut(&Projected) + Send),
    ) -> Report {
        self.comparison.findings.append(&mut tables.shapes);
        self.index(&tables);
        self.check_newer(&tables);
        let reach = leaves::reach(&tables, &self.tiled, &self.agreed.links);
        let ends = votes::batch_ends(&tables, &self.signed, reach);
        let size = ends.last().copied().unwrap_or(0);
        let objected = read_objections(&tables);
        let leaves =
            leaves::settle(&tables, size, &self.agreed.links, &self.outcomes, &objected, &self.tiled, &self.signed);
        if let Some(broken) = leaves.broken {
            self.report_tree(broken, &tables);
        }
        self.orphan_events(&tables, &leaves.sources, &leaves.hashes);
        let own = own_tables_by_name();
        let mut ledger = Ledger::new(self.network, self.log.clone(), Timestamp::MIN);
        let mut roots = BTreeMap::new();
        let mut position = 0_u64;
        let sources = leaves.sources.iter().zip(&leaves.hashes).collect::<Vec<_>>();
        let mut rest = sources.as_slice();
        for end in ends {
            let mut projection = Projection::new(&ledger, &own);
            let count = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at(count);
            for (source, hash) in now {
                self.leaf(&mut projection, &tables, position, **source, **hash);
                position += 1;
                if position.is_multiple_of(PROGRESS_STEP) || position == size {
                    progress(Progress::Checked { leaves: position, of: size });
                }
            }
            rest = later;
            if !self.time_known {
                let checkpoints = tables.get(name::CHECKPOINT);
                let key = [Cell::Text(self.log.clone()), Cell::count(end)];
                if let Some(time) = checkpoints.with_key(&key).first().and_then(|row| checkpoints.time(*row, "time")) {
                    projection.adopt_time(time);
                    self.time = time;
                }
            }
            let note = self.note(end, &tables);
            let projected = projection.finish_with(note);
            self.comparison.take(&projected.batch.tables, &mut tables);
            batch(&projected);
            ledger = projected.ledger;
            roots.insert(end, ledger.appender.root());
        }
        if let Some(head) = &ledger.head {
            self.comparison.expect(name::META, head_row(head), &tables);
        }
        self.check_known(&tables, &leaves.hashes, &roots);
        self.forwards(&tables);
        self.comparison.mended.extend(self.agreed.mended.iter());
        self.comparison.finish(&mut tables);
        self.report(tables, size, &ledger)
    }

    fn report(mut self, tables: Tables, size: u64, ledger: &Ledger) -> Report {
        let mut findings = std::mem::take(&mut self.comparison.findings);
        if let Some((spec, record)) = self.known.record {
            let whole = [
                Code::TreeBroken,
                Code::BehindCheckpoint,
                Code::ForeignCheckpoint,
                Code::NewerFormat,
                Code::TableShape,
            ];
            let of_spec = |table: &str| {
                table.starts_with("lockstep_") || table == spec || table == crate::tables::version_table_name(spec)
            };
            findings.retain(|finding| {
                whole.contains(&finding.code)
                    || (finding.record_id.as_deref() == Some(record) && of_spec(&finding.table))
            });
        }
        let known = !self.agreed.links.is_empty();
        Report {
            network_id: known.then_some(self.network),
            log: known.then_some(self.log),
            counts: tables.counts,
            log_size: size,
            root: known.then(|| ledger.appender.root()),
            events: self.events,
            executed: self.executed,
            findings,
        }
    }

    fn leaf(
        &mut self,
        projection: &mut Projection,
        tables: &Tables,
        position: u64,
        source: Source,
        hash: Option<Digest>,
    ) {
        if hash.is_none() {
            self.comparison.tree_doubtful = true;
        }
        let hash = hash.unwrap_or_else(|| Digest::of(&position.to_be_bytes()));
        match source {
            Source::Directory(index) => self.directory_leaf(projection, tables, index, hash),
            Source::Intent(row) => self.intent_leaf(projection, tables, position, Some(row), hash),
            Source::Objection(row) => self.objection_leaf(projection, tables, row, hash),
            Source::Lost
                if self.lookup.orphans_at.contains_key(&position) || self.receipts.with_leaf(&hash).is_some() =>
            {
                self.intent_leaf(projection, tables, position, None, hash)
            }
            Source::Lost if self.lost_objections > 0 => {
                self.lost_objections -= 1;
                self.lost_objection(projection, tables, hash);
            }
            Source::Lost => self.lost_leaf(projection, tables, position, hash),
        }
    }

    /// A database of a newer format says so in `lockstep_meta`; an empty one is no database of ours.
    fn check_newer(&mut self, tables: &Tables) {
        let directory = tables.get(name::DIRECTORY);
        if directory.rows.is_empty() && self.comparison.findings.is_empty() {
            let message = "the directory is empty: this is no network's database, or all of it was deleted";
            self.comparison.findings.push(finding(
                Code::RowMissing,
                &directory.table,
                &[Cell::count(1)],
                None,
                None,
                None,
                message.to_owned(),
            ));
        }
    }

    /// Notes where the sections of a record were written last.
    pub(super) fn note_sections(&mut self, state: &RecordState, record: &RecordId) {
        let mut written: BTreeMap<String, u64> =
            state.sections.iter().map(|(name, section)| (name.clone(), section.seq)).collect();
        written.entry(PARTIES.to_owned()).or_insert(1);
        self.comparison.written.insert(record.to_string(), written);
    }
}

/// The key that an event gives a node.
fn key_of(body: &Body, node: &NodeName) -> Option<PublicKey> {
    match body {
        Body::Genesis { founders, .. } => {
            founders.iter().find(|founder| founder.node.0 == *node).map(|founder| founder.node.1)
        }
        Body::ParticipantJoin(join) if join.node.name == *node => Some(join.node.key),
        Body::NodeAdd { node: added, .. } if added.name == *node => Some(added.key),
        _ => None,
    }
}

/// Whether an event is one of this network's.
fn belongs(event: &DirectoryEvent, network: &Digest) -> bool {
    event.network.unwrap_or_else(|| event.head()) == *network
}

/// What a damaged piece of evidence is called: broken, or of a format that this version does not know.
pub(super) fn code_for(stored: &[u8]) -> Code {
    let limits = Limits { bytes: 64 << 20, ..Limits::default() };
    let Ok(json) = Json::parse(stored, &limits) else { return Code::EvidenceBroken };
    let payload =
        json.get("payload").and_then(Json::as_str).and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    let payload = payload.and_then(|bytes| Json::parse(&bytes, &limits).ok());
    let leaf = json.get("leaf");
    let formats =
        [Some(&json), leaf, payload.as_ref()].into_iter().flatten().filter_map(|json| json.get("format")?.as_u64());
    if formats.max().is_some_and(|format| format > FORMAT) { Code::NewerFormat } else { Code::EvidenceBroken }
}
