//! The managed tables: every column with its type, its class and what proves it.
//!
//! One catalogue serves all: adapters make and alter tables from it, rows are written in its column order,
//! the audit compares by it, `doctor --columns` prints it. A column without a class cannot be written down.

use crate::json::Json;
use crate::projection::ColumnType;
use crate::spec::{PARTIES, RecordSpec};
use crate::time::Timestamp;

/// What a cell holds, logically; each adapter maps it to a native type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of ours: ids, names, digests; compared by bytes.
    Text,
    /// Text of any length that is never a key.
    LongText,
    /// Bytes.
    Bytes,
    /// A whole number of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// A moment, in microseconds, UTC.
    Timestamp,
    /// A document in canonical form.
    Json,
    /// A projected column.
    Projected(ColumnType),
}

/// How a column is held to the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Evidence: a signature, a hash or a commitment covers it.
    Sealed,
    /// Computed from evidence; the audit computes it again.
    Derived,
    /// About this node's own work; nothing proves it.
    Operational,
}

impl Class {
    /// The word that `doctor --columns` prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Sealed => "sealed",
            Class::Derived => "derived",
            Class::Operational => "operational",
        }
    }
}

impl Kind {
    /// Whether a cell of this kind is what a column of this kind may be given; NULL is the column's own matter.
    #[must_use]
    pub fn holds(self, cell: &Cell) -> bool {
        match (self, cell) {
            (_, Cell::Null) | (Kind::Bytes, Cell::Bytes(_)) => true,
            (Kind::Integer | Kind::Projected(ColumnType::Integer), Cell::Integer(_)) => true,
            (Kind::Boolean | Kind::Projected(ColumnType::Boolean), Cell::Boolean(_)) => true,
            (Kind::Timestamp | Kind::Projected(ColumnType::Timestamp), Cell::Timestamp(_)) => true,
            (Kind::Text | Kind::LongText | Kind::Json, Cell::Text(text)) => !text.contains('\0'),
            (Kind::Projected(ColumnType::Text(length)), Cell::Text(text)) => {
                !text.contains('\0') && text.chars().count() <= usize::from(length)
            }
            (
                Kind::Projected(kind @ (ColumnType::Decimal(..) | ColumnType::Date)),
                Cell::Decimal(text) | Cell::Date(text),
            ) => kind.convert(Some(&Json::from(text.as_str()))) == *cell,
            _ => false,
        }
    }
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// How it is held to the truth.
    pub class: Class,
    /// What proves it, for `doctor --columns`.
    pub proved_by: &'static str,
    /// What it is, for people; becomes the column's comment where the database has them.
    pub comment: String,
}

/// An index that the adapter keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Whether no two rows may have the same values.
    pub unique: bool,
}

/// What a table is for, which decides the views beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One of Lockstep's own.
    Own,
    /// The rows of a record spec; history and changes views stand beside it.
    Records,
    /// The projected columns of the versions of a spec's records.
    Versions,
}

/// One managed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in the order in which rows are written.
    pub columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// Its indexes.
    pub indexes: Vec<Index>,
    /// What it is for.
    pub role: Role,
    /// What it is, for people.
    pub comment: String,
}

impl Table {
    /// The position of a column.
    #[must_use]
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// The table with these columns alone, in its order: to read no more of its rows than is needed.
    #[must_use]
    pub fn only(&self, columns: &[&str]) -> Table {
        let kept = self.columns.iter().filter(|column| columns.contains(&column.name.as_str()));
        Table { columns: kept.cloned().collect(), ..self.clone() }
    }

    /// Takes over what a later version of a spec brings; what is there stays. New columns may be NULL.
    pub fn widen(&mut self, later: &Table) {
        for column in &later.columns {
            if self.position(&column.name).is_none() {
                self.columns.push(Column { nullable: true, ..column.clone() });
            }
        }
        for index in &later.indexes {
            if !self.indexes.contains(index) {
                self.indexes.push(index.clone());
            }
        }
        self.comment.clone_from(&later.comment);
    }

    /// Whether it is about this node's own work only: nothing proves a row of it, or that one is missing.
    #[must_use]
    pub fn is_operational(&self) -> bool {
        self.columns.iter().all(|column| column.class == Class::Operational)
    }

    /// The positions of the key's columns.
    #[must_use]
    pub fn key_positions(&self) -> Vec<usize> {
        self.key.iter().filter_map(|column| self.position(column)).collect()
    }
}

/// What one cell holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Text, also of [`Kind::LongText`] and [`Kind::Json`] (canonical) columns, and of projected text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A moment.
    Timestamp(Timestamp),
    /// A decimal in canonical text: sign, digits, exactly the column's scale.
    Decimal(String),
    /// A calendar date, `YYYY-MM-DD`.
    Date(String),
    /// What the database holds where it is nothing that the column's kind could hold, as text for people.
    Foreign(String),
}

impl Cell {
    /// The text of a text cell.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a bytes cell.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Cell::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer cell, where it is a count.
    #[must_use]
    pub fn as_count(&self) -> Option<u64> {
        match self {
            Cell::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A count of ours; counts stay far below 2^63.
    #[must_use]
    pub fn count(number: u64) -> Self {
        Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// What it holds, for people, scripts and findings; NULL is `None`.
    #[must_use]
    pub fn show(&self) -> Option<String> {
        match self {
            Cell::Null => None,
            Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => Some(text.clone()),
            Cell::Bytes(bytes) => {
                Some(String::from_utf8(bytes.clone()).unwrap_or_else(|_| data_encoding::HEXLOWER.encode(bytes)))
            }
            Cell::Integer(number) => Some(number.to_string()),
            Cell::Boolean(truth) => Some(truth.to_string()),
            Cell::Timestamp(time) => Some(time.to_string()),
        }
    }
}

impl From<Option<Cell>> for Cell {
    fn from(cell: Option<Cell>) -> Self {
        cell.unwrap_or(Cell::Null)
    }
}

/// A row, in the order of its table's columns.
pub type Row = Vec<Cell>;

/// Names of Lockstep's own tables.
pub mod name {
    /// What this database is: format, network, node, and the log's head.
    pub const META: &str = "lockstep_meta";
    /// The directory's events.
    pub const DIRECTORY: &str = "lockstep_directory";
    /// Participants.
    pub const PARTICIPANT: &str = "lockstep_participant";
    /// Nodes.
    pub const NODE: &str = "lockstep_node";
    /// Actors.
    pub const ACTOR: &str = "lockstep_actor";
    /// Contract versions.
    pub const CONTRACT: &str = "lockstep_contract";
    /// Record specs.
    pub const SPEC: &str = "lockstep_spec";
    /// Intents and how they ended.
    pub const INTENT: &str = "lockstep_intent";
    /// Events.
    pub const EVENT: &str = "lockstep_event";
    /// Changes, one operation a row.
    pub const CHANGE: &str = "lockstep_change";
    /// Notifications to deliver.
    pub const OUTBOX: &str = "lockstep_outbox";
    /// Tiles of the Merkle log.
    pub const LOG: &str = "lockstep_log";
    /// Signed heads of the log.
    pub const CHECKPOINT: &str = "lockstep_checkpoint";
    /// What other nodes sequenced, with the proof that it is in their logs.
    pub const FEED: &str = "lockstep_feed";
    /// Intents that were handed over to the node that sequences them, with what was signed about that.
    pub const FORWARD: &str = "lockstep_forward";
    /// What this node last saw of the others.
    pub const PEER: &str = "lockstep_peer";
    /// View: who is connected, and who is behind.
    pub const NETWORK_STATUS: &str = "lockstep_network_status";
    /// What this node and others object to.
    pub const OBJECTION: &str = "lockstep_objection";
    /// View: who may do what with which section of which record, from seq to seq.
    pub const ENTITLEMENT: &str = "lockstep_entitlement";
}

/// The column of a record that names its sections which this node may not see.
pub const HIDDEN: &str = "lockstep_hidden";

/// The key in `lockstep_meta` whose row every commit compares and sets.
pub const LOG_HEAD: &str = "log_head";

struct Draft {
    table: Table,
}

impl Draft {
    fn new(name: &str, role: Role, key: &[&str], comment: &str) -> Self {
        let key = key.iter().map(|&column| column.to_owned()).collect();
        Draft {
            table: Table {
                name: name.to_owned(),
                columns: Vec::new(),
                key,
                indexes: Vec::new(),
                role,
                comment: comment.to_owned(),
            },
        }
    }

    fn add(
        mut self,
        name: &str,
        kind: Kind,
        nullable: bool,
        class: Class,
        proved_by: &'static str,
        comment: &str,
    ) -> Self {
        self.table.columns.push(Column {
            name: name.to_owned(),
            kind,
            nullable,
            class,
            proved_by,
            comment: comment.to_owned(),
        });
        self
    }

    fn sealed(self, name: &str, kind: Kind, proved_by: &'static str, comment: &str) -> Self {
        self.add(name, kind, false, Class::Sealed, proved_by, comment)
    }

    fn derived(self, name: &str, kind: Kind, proved_by: &'static str, comment: &str) -> Self {
        self.add(name, kind, false, Class::Derived, proved_by, comment)
    }

    fn maybe(self, name: &str, kind: Kind, proved_by: &'static str, comment: &str) -> Self {
        self.add(name, kind, true, Class::Derived, proved_by, comment)
    }

    fn index(mut self, columns: &[&str]) -> Self {
        self.table
            .indexes
            .push(Index { columns: columns.iter().map(|&column| column.to_owned()).collect(), unique: false });
        self
    }

    fn unique(mut self, columns: &[&str]) -> Self {
        self.table
            .indexes
            .push(Index { columns: columns.iter().map(|&column| column.to_owned()).collect(), unique: true });
        self
    }

    fn done(self) -> Table {
        self.table
    }
}

/// Lockstep's own tables, in the order in which a commit writes them.
#[must_use]
pub fn own_tables() -> Vec<Table> {
    vec![
        meta(),
        directory(),
        participant(),
        node(),
        actor(),
        contract(),
        spec(),
        intent(),
        event(),
        change(),
        outbox(),
        log(),
        checkpoint(),
        feed(),
        forward(),
        peer(),
        objection(),
    ]
}

fn meta() -> Table {
    Draft::new(name::META, Role::Own, &["key"], "What this database is: format, network, node, and the head of its log")
        .derived("key", Kind::Text, "fixed list", "Which fact")
        .derived("value", Kind::LongText, "genesis and latest checkpoint", "The fact")
        .done()
}

fn directory() -> Table {
    Draft::new(
        name::DIRECTORY,
        Role::Own,
        &["seq"],
        "The one log in which participants, nodes, actors and contracts are agreed",
    )
    .derived("seq", Kind::Integer, "envelope", "Position in the directory, from 1")
    .derived("head", Kind::Text, "envelope", "SHA-256 of the signed payload; the directory's head after this event")
    .derived("kind", Kind::Text, "envelope", "What the event does, such as actor.add")
    .derived("actor", Kind::Text, "envelope", "Who proposed it")
    .derived("time", Kind::Timestamp, "envelope", "When, by the proposer's clock")
    .sealed("envelope", Kind::Bytes, "signatures and hash chain", "The signed event, a DSSE envelope")
    .derived("log", Kind::Text, "log leaf", "The log that holds its leaf")
    .derived("log_position", Kind::Integer, "log leaf", "Position of its leaf in the log, from 0")
    .derived("checkpoint", Kind::Integer, "lockstep_checkpoint", "Size of the first checkpoint that covers it")
    .unique(&["log_position"])
    .done()
}

fn participant() -> Table {
    Draft::new(name::PARTICIPANT, Role::Own, &["participant"], "Organisations in the network")
        .derived("participant", Kind::Text, "directory", "Its name")
        .derived("status", Kind::Text, "directory", "proposed, active or left")
        .derived("voting", Kind::Boolean, "directory", "Whether it has a vote in the directory")
        .derived("observer", Kind::Boolean, "directory", "Whether it takes part without ever having a vote")
        .maybe(
            "hosted_by",
            Kind::Text,
            "directory",
            "The participant that speaks for it, where it has no node of its own",
        )
        .derived("directory_seq", Kind::Integer, "directory", "The directory event that last changed it")
        .done()
}

fn node() -> Table {
    Draft::new(name::NODE, Role::Own, &["node"], "Nodes of the participants")
        .derived("node", Kind::Text, "directory", "Its name, never used again")
        .derived("participant", Kind::Text, "directory", "Whose node it is")
        .derived("public_key", Kind::Text, "directory", "Its Ed25519 key, hex")
        .derived("incarnation", Kind::Integer, "directory", "The current incarnation of its log, from 1")
        .derived("addresses", Kind::Json, "directory", "Where it can be reached, each host:port")
        .derived("status", Kind::Text, "directory", "active or retired")
        .derived("directory_seq", Kind::Integer, "directory", "The directory event that last changed it")
        .done()
}

fn actor() -> Table {
    Draft::new(name::ACTOR, Role::Own, &["actor"], "Known persons and services of the participants")
        .derived("actor", Kind::Text, "directory", "NAME@PARTICIPANT")
        .derived("participant", Kind::Text, "directory", "Whose actor it is")
        .derived("roles", Kind::Json, "directory", "The roles that the actor may take on")
        .derived("public_key", Kind::Text, "directory", "Its current Ed25519 key, hex")
        .derived("valid_from", Kind::Timestamp, "directory", "When it got this key")
        .maybe("valid_to", Kind::Timestamp, "directory", "When it was revoked")
        .derived("directory_seq", Kind::Integer, "directory", "The directory event that last changed it")
        .done()
}

fn contract() -> Table {
    Draft::new(name::CONTRACT, Role::Own, &["name", "version"], "Contract versions; old ones stay executable for ever")
        .derived("name", Kind::Text, "directory", "The contract")
        .derived("version", Kind::Text, "directory", "Its version (semver)")
        .derived("digest", Kind::Text, "directory", "Digest of the package: SHA-256 of its manifest's canonical form")
        .derived("status", Kind::Text, "directory", "proposed, active, superseded or withdrawn")
        .derived("directory_seq", Kind::Integer, "directory", "The directory event that last changed it")
        .sealed("package", Kind::Bytes, "digest", "The package as shipped")
        .done()
}

fn spec() -> Table {
    Draft::new(
        name::SPEC,
        Role::Own,
        &["contract", "contract_version", "name"],
        "The record specs of every contract version",
    )
    .derived("contract", Kind::Text, "directory", "The contract that brings it")
    .derived("contract_version", Kind::Text, "directory", "The version that brings it")
    .derived("name", Kind::Text, "directory", "The spec; its table has the same name")
    .derived("digest", Kind::Text, "directory", "SHA-256 of the spec's canonical form")
    .derived("document", Kind::Json, "directory", "The spec itself")
    .derived("directory_seq", Kind::Integer, "directory", "The directory event with which it became active")
    .index(&["name"])
    .done()
}

fn intent() -> Table {
    Draft::new(name::INTENT, Role::Own, &["intent_id"], "Signed wishes of actors and how they ended")
        .derived("intent_id", Kind::Text, "envelope", "SHA-256 of the signed payload")
        .derived("status", Kind::Text, "outcome", "applied, rejected or expired")
        .maybe("code", Kind::Text, "outcome", "Why it was rejected, one of docs/codes.md")
        .maybe("reason", Kind::Text, "outcome", "The contract's own reason, where code is contract")
        .maybe("message", Kind::LongText, "outcome", "What to tell people")
        .derived("finality", Kind::Text, "outcome", "local or countersigned")
        .derived("actor", Kind::Text, "envelope", "Who signed it")
        .derived("participant", Kind::Text, "envelope", "Of which participant")
        .derived("nonce", Kind::Text, "envelope", "With the actor, the intent's identity")
        .maybe("contract", Kind::Text, "openings", "The contract called; NULL for raw changes")
        .maybe("contract_version", Kind::Text, "outcome", "The version that judged it")
        .maybe("method", Kind::Text, "openings", "The method called")
        .derived("record_id", Kind::Text, "openings", "The first of its records")
        .derived("records", Kind::Json, "openings", "All its records")
        .maybe("arguments", Kind::Json, "openings", "The method's arguments")
        .maybe("expect", Kind::Json, "openings", "The seqs that it was made for")
        .derived("submitted_at", Kind::Timestamp, "outcome", "When the node took it")
        .derived("decided_at", Kind::Timestamp, "outcome", "When it ended")
        .derived("expires_at", Kind::Timestamp, "envelope", "When it would have expired")
        .derived("log", Kind::Text, "log leaf", "The log that holds its leaf")
        .derived("log_position", Kind::Integer, "log leaf", "Position of its leaf in the log, from 0")
        .derived("checkpoint", Kind::Integer, "lockstep_checkpoint", "Size of the first checkpoint that covers it")
        .sealed("envelope", Kind::Bytes, "actor's signature", "The signed intent, a DSSE envelope")
        .sealed("openings", Kind::Bytes, "commitments in the envelope", "What the signed commitments stand for")
        .sealed("outcome", Kind::Bytes, "log leaf", "The leaf of its outcome and what its commitments stand for")
        .unique(&["nonce", "actor"])
        .unique(&["log_position"])
        .index(&["record_id"])
        .index(&["status", "code"])
        .done()
}

fn event() -> Table {
    Draft::new(name::EVENT, Role::Own, &["event_id"], "What did change a record: hash-chained headers")
        .derived("event_id", Kind::Text, "header", "SHA-256 of the header")
        .derived("spec", Kind::Text, "header", "The record's spec")
        .derived("record_id", Kind::Text, "header", "The record")
        .derived("epoch", Kind::Integer, "header", "Epoch of the record's sequencer")
        .derived("seq", Kind::Integer, "header", "Position in the record's chain, from 1")
        .maybe("prev", Kind::Text, "header", "The record's event before; NULL for the first")
        .derived("intent_id", Kind::Text, "header", "The intent that it comes from")
        .derived("actor", Kind::Text, "intent", "Who signed that")
        .maybe("contract", Kind::Text, "intent", "The contract called; NULL for raw changes")
        .derived("contract_version", Kind::Text, "header", "The version of the package under which it was judged")
        .maybe("method", Kind::Text, "intent", "The method called")
        .derived("time", Kind::Timestamp, "header", "When it was sequenced")
        .sealed("header", Kind::Bytes, "event id, chain and log leaf", "The header in canonical form")
        .sealed(
            "openings",
            Kind::Bytes,
            "commitments in the header",
            "What the header's commitments stand for: salts, changes, notifications, reads",
        )
        .derived("log", Kind::Text, "log leaf", "The log that holds its intent's leaf")
        .derived("log_position", Kind::Integer, "log leaf", "Position of its intent's leaf in the log, from 0")
        .unique(&["record_id", "seq", "epoch"])
        .index(&["intent_id"])
        .index(&["log_position"])
        .index(&["spec", "time"])
        .done()
}

fn change() -> Table {
    Draft::new(
        name::CHANGE,
        Role::Own,
        &["event_id", "position"],
        "What an event changed, one RFC 6902 operation a row",
    )
    .derived("event_id", Kind::Text, "header", "The event")
    .derived("position", Kind::Integer, "openings of the event", "Order within the event, from 0")
    .derived("section", Kind::Text, "openings of the event", "The section changed")
    .derived("op", Kind::Text, "openings of the event", "add, remove, replace, move, copy or test")
    .derived("path", Kind::LongText, "openings of the event", "Where, a JSON Pointer")
    .maybe("from_path", Kind::LongText, "openings of the event", "From where, for move and copy")
    .maybe("value", Kind::Json, "openings of the event", "What the operation put there; NULL for remove")
    .maybe("before", Kind::Json, "replay of the record", "What was there before; NULL where nothing was")
    .done()
}

fn outbox() -> Table {
    let operational = |draft: Draft, name: &str, kind, nullable, comment: &str| {
        draft.add(name, kind, nullable, Class::Operational, "nothing", comment)
    };
    let draft =
        Draft::new(name::OUTBOX, Role::Own, &["id"], "Notifications, written in the commit and relayed to brokers")
            .derived("id", Kind::Text, "openings of the event", "Stable id: RECORD#EPOCH.SEQ.SECTION.INDEX")
            .derived("aggregatetype", Kind::Text, "header", "The record's spec")
            .derived("aggregateid", Kind::Text, "header", "The record")
            .derived("type", Kind::Text, "openings of the event", "The business event's type, such as offer.made")
            .derived("payload", Kind::Json, "openings of the event", "The CloudEvent")
            .derived(
                "position",
                Kind::Integer,
                "log leaf",
                "Order among all notifications here: 1000000 times the leaf's position, plus 58500 for each record of the intent before, 900 for each section before, and the index"
            )
            .derived(
                "section",
                Kind::Text,
                "openings of the event",
                "Who may not read it does not get the notification",
            )
            .derived("event_id", Kind::Text, "header", "The event that it belongs to");
    let draft = operational(draft, "status", Kind::Text, false, "pending, delivered or parked");
    let draft = operational(draft, "attempts", Kind::Integer, false, "Deliveries tried");
    let draft = operational(draft, "last_error", Kind::LongText, true, "Why the last one failed");
    operational(draft, "delivered_at", Kind::Timestamp, true, "When the broker confirmed")
        .unique(&["position"])
        .index(&["status", "position"])
        .index(&["event_id"])
        .done()
}

fn log() -> Table {
    Draft::new(name::LOG, Role::Own, &["log", "level", "position"], "The Merkle log (RFC 9162) in tiles of 64 hashes")
        .derived("log", Kind::Text, "checkpoint", "NODE/INCARNATION")
        .derived("level", Kind::Integer, "log leaves", "Tile level; its hashes stand at tree level 6 times this")
        .derived("position", Kind::Integer, "log leaves", "Tile index at that level, from 0")
        .derived("hashes", Kind::Bytes, "log leaves", "Hashes of complete subtrees, 32 bytes each")
        .index(&["position"])
        .done()
}

fn checkpoint() -> Table {
    Draft::new(name::CHECKPOINT, Role::Own, &["log", "size"], "Signed heads of the log, one for each committed batch")
        .derived("log", Kind::Text, "note", "NODE/INCARNATION")
        .derived("size", Kind::Integer, "note", "Leaves covered")
        .derived("root", Kind::Text, "note", "Merkle root over them, hex")
        .derived("time", Kind::Timestamp, "log leaves", "Time of the last leaf covered")
        .derived("previous", Kind::Integer, "log leaves", "Size of the checkpoint before, 0 for the first")
        .sealed("note", Kind::LongText, "node's signature", "C2SP signed note")
        .index(&["size"])
        .done()
}

fn feed() -> Table {
    Draft::new(
        name::FEED,
        Role::Own,
        &["intent_id"],
        "Outcomes that other nodes sequenced and this one received, with the proof that they are in the other's log",
    )
    .derived("intent_id", Kind::Text, "leaf", "The intent")
    .derived("log", Kind::Text, "leaf", "The log of the node that sequenced it, NODE/INCARNATION")
    .derived("position", Kind::Integer, "leaf", "Position of the outcome's leaf in that log, from 0")
    .sealed("leaf", Kind::Bytes, "log leaf", "The leaf of the receipt in this node's own log")
    .sealed("path", Kind::Bytes, "root of the note", "Inclusion path in the other's log, 32 bytes a hash")
    .sealed("note", Kind::LongText, "the other node's signature", "C2SP signed note that the path leads to")
    .unique(&["log", "position"])
    .done()
}

/// Nothing in it is evidence, its key neither: another node is reached or not.
fn peer() -> Table {
    let draft = Draft::new(name::PEER, Role::Own, &["node"], "What this node, while it ran, last saw of the others");
    let operational = |draft: Draft, name: &str, kind, nullable, comment: &str| {
        draft.add(name, kind, nullable, Class::Operational, "nothing", comment)
    };
    let draft = operational(draft, "node", Kind::Text, false, "The other node");
    let draft = operational(draft, "reachable", Kind::Boolean, false, "Whether it is connected");
    let draft = operational(draft, "since", Kind::Timestamp, true, "Since when it is");
    let draft = operational(draft, "behind_events", Kind::Integer, false, "What it sent that waits for something");
    let draft = operational(draft, "behind_since", Kind::Timestamp, true, "Since when something does");
    let draft = operational(draft, "last_error", Kind::LongText, true, "Why the last connection failed or ended");
    operational(draft, "at", Kind::Timestamp, false, "When it was seen like this").done()
}

fn forward() -> Table {
    let own = |draft: Draft, name: &str, kind, nullable, proved_by, comment: &str| {
        draft.add(name, kind, nullable, Class::Operational, proved_by, comment)
    };
    let draft = Draft::new(
        name::FORWARD,
        Role::Own,
        &["node", "intent_id", "position"],
        "Intents that one node handed over to another that sequences them, a row for each record, at both",
    )
    .derived("node", Kind::Text, "envelope", "The node that handed it over")
    .derived("intent_id", Kind::Text, "envelope", "The intent")
    .derived("position", Kind::Integer, "envelope", "Which of the intent's records, from 0");
    let draft = own(draft, "record_id", Kind::Text, false, "nothing", "That record; the envelope hides it")
        .derived("count", Kind::Integer, "envelope", "How many intents that node has handed over for it, from 1")
        .derived("sequencer", Kind::Text, "envelope", "The node that it was handed over to")
        .derived("forwarded_at", Kind::Timestamp, "envelope", "When, by the clock of the node that handed it over")
        .sealed("envelope", Kind::Bytes, "node's signature", "What the node signed before it handed it over");
    let draft = own(draft, "expires_at", Kind::Timestamp, false, "nothing", "When the intent expires");
    let draft = own(draft, "status", Kind::Text, false, "nothing", "pending or ended, as far as this node has noted");
    let draft = own(
        draft,
        "taken",
        Kind::Bytes,
        true,
        "sequencer's signature, where it is there",
        "The sequencer's acknowledgement; NULL before it came",
    );
    let draft = own(
        draft,
        "ended",
        Kind::Bytes,
        true,
        "sequencer's signature, where it is there",
        "How it ended, where lockstep_intent does not have it",
    );
    own(draft, "submission", Kind::Bytes, true, "nothing", "The intent, to be sent again, as long as it is pending")
        .unique(&["node", "record_id", "count"])
        .index(&["intent_id"])
        .index(&["record_id"])
        .index(&["status"])
        .done()
}

fn objection() -> Table {
    Draft::new(
        name::OBJECTION,
        Role::Own,
        &["objection_id"],
        "What this node and others object to in the logs of sequencers, each signed by who objects",
    )
    .derived("objection_id", Kind::Text, "statement", "SHA-256 of the signed payload")
    .derived("node", Kind::Text, "statement", "Who objects")
    .derived(
        "kind",
        Kind::Text,
        "statement",
        "What is wrong: fork, chain, unsigned, backdated, rights, opening, execution; blocked by this database",
    )
    .derived("log", Kind::Text, "statement", "The log that the outcome stands in, NODE/INCARNATION")
    .maybe("position", Kind::Integer, "statement", "Position of the outcome's leaf in that log, from 0")
    .maybe("intent_id", Kind::Text, "statement", "The intent; its outcome is not applied here")
    .maybe("record_id", Kind::Text, "statement", "The record concerned")
    .maybe("epoch", Kind::Integer, "statement", "Epoch of the event concerned")
    .maybe("seq", Kind::Integer, "statement", "Seq of the event concerned")
    .maybe("event_id", Kind::Text, "statement", "The event concerned")
    .derived("time", Kind::Timestamp, "statement", "When, by the clock of who objects")
    .maybe("withdraws", Kind::Text, "statement", "The objection that this statement ends")
    .derived("holds", Kind::Boolean, "statement and evidence", "Whether it stops the record in this database")
    .maybe("message", Kind::LongText, "evidence", "What is wrong, for people; NULL where another node objects")
    .maybe(
        "withdrawn_at",
        Kind::Timestamp,
        "statement that withdraws it",
        "When it was withdrawn; NULL while it stands",
    )
    .derived("log_position", Kind::Integer, "log leaf", "Position of its leaf in this node's own log, from 0")
    .sealed("statement", Kind::Bytes, "signature and log leaf", "The signed statement, a DSSE envelope")
    .add(
        "evidence",
        Kind::Bytes,
        true,
        Class::Sealed,
        "digest in the statement",
        "The share as it was received, or the proof of a fork; NULL where it stayed with who objects",
    )
    .unique(&["log_position"])
    .index(&["record_id"])
    .done()
}

/// The name of the table of a spec's versions.
#[must_use]
pub fn version_table_name(spec_name: &str) -> String {
    format!("{spec_name}_version")
}

/// The table of the projected columns of every version of a spec's records, where columns are projected; the
/// history view reads it, so that history answers by projected values through indexes.
#[must_use]
pub fn version_table(spec_name: &str, spec: &RecordSpec) -> Option<Table> {
    if spec.projections.is_empty() {
        return None;
    }
    let comment = format!("Projected columns of every version of {spec_name}");
    let mut draft = Draft::new(&version_table_name(spec_name), Role::Versions, &["record_id", "seq"], &comment)
        .derived("record_id", Kind::Text, "header", "The record")
        .derived("seq", Kind::Integer, "header", "Position in the record's chain");
    for (name, projection) in &spec.projections {
        draft = draft.maybe(name, Kind::Projected(projection.kind), "replay of the record", "Projected from a section");
        if projection.index {
            draft = draft.index(&[name]);
        }
    }
    Some(draft.done())
}

/// The table of a record spec.
#[must_use]
pub fn record_table(spec_name: &str, spec: &RecordSpec) -> Table {
    let mut draft = Draft::new(spec_name, Role::Records, &["record_id"], &spec.description)
        .derived("record_id", Kind::Text, "header", "ORIGIN:NAME")
        .maybe(PARTIES, Kind::Json, "commitment in the header", "Who holds which role, from seq to seq");
    for section in spec.sections.keys().filter(|name| *name != PARTIES) {
        draft = draft.maybe(
            section,
            Kind::Json,
            "commitment in the header",
            "A section; NULL where it is empty or not for this node",
        );
    }
    for (name, projection) in &spec.projections {
        draft = draft.maybe(name, Kind::Projected(projection.kind), "section", "Projected from a section");
        if projection.index {
            draft = draft.index(&[name]);
        }
    }
    draft
        .derived("lockstep_seq", Kind::Integer, "header", "Position of its last event in its chain")
        .derived("lockstep_head", Kind::Text, "header", "Id of its last event")
        .derived("lockstep_contract", Kind::Text, "header", "The contract version it is on, NAME@VERSION")
        .derived("lockstep_scope", Kind::Text, "header", "full, partial, disputed or blocked")
        .maybe(
            HIDDEN,
            Kind::Json,
            "openings of the events",
            "The sections that this node may not see; NULL where it sees all",
        )
        .derived("lockstep_updated_at", Kind::Timestamp, "header", "Time of its last event")
        .done()
}
