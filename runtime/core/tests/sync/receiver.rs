//! A node that receives: it compares, applies what is in order, and keeps the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lockstep_core::audit::{Known, Report, audit};
use lockstep_core::crypto::{Digest, Signer};
use lockstep_core::database::{Batch, Database, DatabaseError, Page, Pending, Snapshot};
use lockstep_core::directory::Directory;
use lockstep_core::engine::{Engine, Limits};
use lockstep_core::memory::MemoryDatabase;
use lockstep_core::project::{Ledger, Projection, own_tables_by_name};
use lockstep_core::record::{RecordState, States};
use lockstep_core::sync::{
    Arrived, Comparing, Comparison, Evidence, Heard, Level, Share, SignedObjection, Viewer, compare,
};
use lockstep_core::tables::{Cell, Row, Table, own_tables};

use crate::network::{Past, block_on, viewer};
use crate::sequencer::Sequencer;
use crate::world::{Script, World, key, record};

/// One receiving node.
pub struct Receiver {
    pub name: String,
    pub viewer: Viewer,
    pub database: MemoryDatabase,
    pub ledger: Ledger,
    pub states: States,
    pub known: BTreeSet<Digest>,
    pub levels: Vec<Level>,
    pub heard: Option<Heard>,
    agreed: usize,
    notes: Vec<String>,
    /// Whether it keeps no database: where only what it makes of shares matters.
    light: bool,
}

impl Receiver {
    pub fn new(world: &World, name: &str) -> Self {
        let database = MemoryDatabase::new();
        block_on(database.prepare(&own_tables())).unwrap();
        Receiver {
            name: name.to_owned(),
            viewer: viewer(name),
            database,
            ledger: Ledger::new(world.directory.network(), format!("{name}/1"), world.events[0].0.time),
            states: States::new(),
            known: BTreeSet::new(),
            levels: Vec::new(),
            heard: None,
            agreed: 0,
            notes: Vec::new(),
            light: false,
        }
    }

    pub fn without_database(self) -> Self {
        Receiver { light: true, ..self }
    }

    fn commit(&mut self, projection: Projection) {
        let projected = projection.finish(&key(&self.name)).unwrap();
        block_on(self.database.commit(&projected.batch)).unwrap();
        self.ledger = projected.ledger;
        self.notes.push(projected.note);
    }

    /// Takes the directory's events that are new.
    pub fn agree(&mut self, world: &World) {
        if self.light || self.agreed == world.events.len() {
            return;
        }
        let past = Past::of(world);
        for (index, (event, package)) in world.events.iter().enumerate().skip(self.agreed) {
            let directory = past.0.at(index as u64 + 1).unwrap();
            let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
            if index == 0 {
                projection.meta(&directory, &self.name);
            }
            projection.directory(event, &directory, package.as_deref());
            self.commit(projection);
            block_on(self.database.prepare(&directory.record_tables())).unwrap();
        }
        self.agreed = world.events.len();
    }

    /// What it makes of a share, with nothing changed.
    pub fn compare(&self, world: &World, share: &Share) -> Comparison {
        self.compare_with(world, share, &Script)
    }

    pub fn compare_with(&self, world: &World, share: &Share, engine: &dyn Engine) -> Comparison {
        self.compare_in(&world.directory, &Past::of(world), world, share, engine)
    }

    pub fn compare_in(
        &self,
        directory: &Directory,
        past: &Past,
        world: &World,
        share: &Share,
        engine: &dyn Engine,
    ) -> Comparison {
        compare(
            share,
            &Comparing {
                directory,
                directories: past,
                viewer: &self.viewer,
                states: &self.states,
                packages: &world.shelf,
                engine,
                limits: Limits::default(),
                now: world.time,
                tolerance: Duration::from_secs(300),
                heard: self.heard,
                believed: None,
            },
        )
    }

    pub fn apply(&mut self, world: &World, arrived: &Arrived) {
        let Arrived { intent, outcome, events, place, level } = arrived;
        if !self.light {
            let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
            projection.received(intent, outcome, events, place, &world.directory);
            self.commit(projection);
        }
        for event in events {
            self.states.insert(event.header.record.clone(), Some(event.after.clone()));
        }
        self.known.insert(outcome.intent);
        if self.heard.is_none_or(|heard| heard.position < place.position) {
            self.heard = Some(Heard { position: place.position, time: outcome.time });
        }
        self.levels.push(*level);
    }

    /// Stores an objection, its own or another's.
    pub fn objects(&mut self, world: &World, signed: &SignedObjection, evidence: Option<&Evidence>) {
        let mut projection = Projection::new(&self.ledger, &own_tables_by_name());
        projection.objection(signed, evidence, &world.directory, &self.states);
        self.commit(projection);
    }

    /// Compares, and applies where it may.
    pub fn take(&mut self, world: &World, share: &Share) -> Comparison {
        self.agree(world);
        let comparison = self.compare(world, share);
        if let Comparison::Apply(arrived) = &comparison {
            self.apply(world, arrived);
        }
        comparison
    }

    /// Takes all that the sequencer has for it and that is not here yet; all of it must apply.
    pub fn follow(&mut self, sequencer: &Sequencer) {
        self.agree(&sequencer.world);
        for share in sequencer.shares(&self.viewer) {
            if !self.known.contains(&share.intent().unwrap()) {
                let comparison = self.take(&sequencer.world, &share);
                assert!(matches!(comparison, Comparison::Apply(_)), "{}: {comparison:?}", self.name);
            }
        }
    }

    pub fn state(&self, name: &str) -> Option<&RecordState> {
        self.states.get(&record(name))?.as_deref()
    }

    pub fn copy(&self, world: &World) -> Copy {
        Copy::of(&self.database, world)
    }

    /// `verify --execute` of its database, with all that it keeps beside it.
    pub fn audited(&self, world: &World) -> Report {
        let known = Known {
            checkpoint: self.notes.last().map(String::as_str),
            node_key: Some(key(&self.name).public_key()),
            network: Some(world.directory.network()),
            record: None,
            executor: Some((&Script, Limits::default())),
        };
        self.copy(world).audited(known)
    }

    /// A row of the record table, by column.
    pub fn row(&self, world: &World, name: &str) -> BTreeMap<String, Cell> {
        let copy = self.copy(world);
        let table = &copy.tables["deal"];
        let row = copy.rows["deal"].iter().find(|row| row[0] == Cell::Text(record(name).to_string())).unwrap();
        table.columns.iter().map(|column| column.name.clone()).zip(row.clone()).collect()
    }
}

/// A database that anybody edits.
#[derive(Clone)]
pub struct Copy {
    pub tables: BTreeMap<String, Table>,
    pub rows: BTreeMap<String, Vec<Row>>,
}

impl Copy {
    pub fn of(database: &MemoryDatabase, world: &World) -> Self {
        let mut snapshot = block_on(database.snapshot()).unwrap();
        let page = Page { after: None, limit: usize::MAX };
        let tables: Vec<Table> = own_tables().into_iter().chain(world.directory.record_tables()).collect();
        let rows =
            tables.iter().map(|table| (table.name.clone(), block_on(snapshot.page(table, &page)).unwrap())).collect();
        Copy { rows, tables: tables.into_iter().map(|table| (table.name.clone(), table)).collect() }
    }

    pub fn audited(&self, known: Known<'_>) -> Report {
        block_on(audit(&mut self.clone(), known, &mut |_| {})).unwrap()
    }
}

impl Snapshot for Copy {
    fn page<'a>(&'a mut self, table: &'a Table, page: &'a Page) -> Pending<'a, Result<Vec<Row>, DatabaseError>> {
        let places: Vec<usize> =
            table.columns.iter().filter_map(|column| self.tables[&table.name].position(&column.name)).collect();
        let rows = self.rows[&table.name].iter().map(|row| places.iter().map(|at| row[*at].clone()).collect());
        let rows = if page.after.is_some() { Vec::new() } else { rows.collect() };
        Box::pin(std::future::ready(Ok(rows)))
    }
}

/// A sequencer's own database, from its batches.
pub fn database_of(world: &World, batches: &[Batch]) -> MemoryDatabase {
    let database = MemoryDatabase::new();
    block_on(database.prepare(&own_tables())).unwrap();
    block_on(database.prepare(&world.directory.record_tables())).unwrap();
    batches.iter().for_each(|batch| block_on(database.commit(batch)).unwrap());
    database
}
