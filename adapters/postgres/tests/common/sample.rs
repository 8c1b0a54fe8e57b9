//! A spec, its tables, and rows of them.

use std::sync::{Arc, LazyLock};

use lockstep_core::database::{Batch, TableWrites, Write};
use lockstep_core::json::{Json, Limits};
use lockstep_core::names::SpecName;
use lockstep_core::spec::RecordSpec;
use lockstep_core::tables::{Cell, Kind, Row, Table, own_tables, record_table, version_table};
use lockstep_core::time::Timestamp;

pub const SPEC: &str = r#"{
    "sections": {
        "listing": {"schema": {"type": "object"}, "create": ["seller"], "modify": ["seller"], "read": ["anyone"]},
        "negotiation": {"schema": {"type": "object"}, "create": ["buyer"], "modify": ["buyer", "seller"], "read": ["buyer", "seller"], "audit": ["anyone"]}
    },
    "parties": {"create": ["anyone"], "modify": ["seller"], "read": ["anyone"]},
    "roles": {"anyone": {"everyone": true}, "seller": {}, "buyer": {}},
    "projections": {
        "asking_price": {"section": "listing", "pointer": "/asking_price", "type": "decimal(12,2)", "index": true},
        "address": {"section": "listing", "pointer": "/address", "type": "text(100)"}
    }
}"#;

pub fn document() -> Json {
    Json::parse(SPEC.as_bytes(), &Limits::default()).expect("the sample spec is JSON")
}

/// All managed tables of a node with this one spec.
pub fn tables() -> Vec<Table> {
    let name = SpecName::parse("house_sale").expect("a name");
    let spec = RecordSpec::parse(&name, &document()).expect("the sample spec is a spec");
    let mut tables = own_tables();
    tables.push(record_table("house_sale", &spec));
    tables.extend(version_table("house_sale", &spec));
    tables
}

pub fn table(name: &str) -> Table {
    static TABLES: LazyLock<Vec<Table>> = LazyLock::new(tables);
    TABLES.iter().find(|table| table.name == name).cloned().expect("the sample has this table")
}

pub fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

pub fn moment(seconds: i64) -> Cell {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000).map_or(Cell::Null, Cell::Timestamp)
}

/// A row with these cells; whatever else may not be NULL gets something of its kind.
pub fn row(table: &Table, cells: &[(&str, Cell)]) -> Row {
    let given = |name: &str| cells.iter().find(|(given, _)| *given == name).map(|(_, cell)| cell.clone());
    let filler = |kind: Kind| match kind {
        Kind::Integer => Cell::Integer(0),
        Kind::Boolean => Cell::Boolean(false),
        Kind::Bytes => Cell::Bytes(vec![7; 300]),
        Kind::Timestamp => moment(0),
        Kind::Json => text("{}"),
        _ => text("x"),
    };
    table
        .columns
        .iter()
        .map(|column| {
            given(&column.name).unwrap_or_else(|| if column.nullable { Cell::Null } else { filler(column.kind) })
        })
        .collect()
}

pub fn batch(expected: Option<&str>, head: &str, rows: Vec<(&str, Row)>) -> Batch {
    let mut tables: Vec<TableWrites> = Vec::new();
    for (name, row) in rows {
        let write = Write::Insert(row);
        match tables.iter_mut().find(|writes| writes.table.name == name) {
            Some(writes) => writes.writes.push(write),
            None => tables.push(TableWrites { table: Arc::new(table(name)), writes: vec![write] }),
        }
    }
    Batch { expected_head: expected.map(str::to_owned), head: head.to_owned(), tables }
}

/// An event with one change and its version row.
pub fn version(record: &str, seq: i64, position: i64, price: &str) -> Vec<(&'static str, Row)> {
    let id = text(&format!("{record}#{seq:08}"));
    let event = [
        ("event_id", id.clone()),
        ("spec", text("house_sale")),
        ("record_id", text(record)),
        ("epoch", Cell::Integer(1)),
        ("seq", Cell::Integer(seq)),
        ("time", moment(seq)),
        ("actor", text("alice@acme")),
        ("intent_id", text(&format!("intent {position}"))),
        ("method", text("offer")),
        ("log_position", Cell::Integer(position)),
    ];
    let change = [
        ("event_id", id),
        ("position", Cell::Integer(0)),
        ("section", text("listing")),
        ("op", text("replace")),
        ("path", text("/asking_price")),
        ("value", text(&format!("\"{price}\""))),
        ("before", text("\"0.00\"")),
    ];
    let projected = [
        ("record_id", text(record)),
        ("seq", Cell::Integer(seq)),
        ("asking_price", Cell::Decimal(price.to_owned())),
        ("address", text("1 Main Street")),
    ];
    vec![
        ("lockstep_event", row(&table("lockstep_event"), &event)),
        ("lockstep_change", row(&table("lockstep_change"), &change)),
        ("house_sale_version", row(&table("house_sale_version"), &projected)),
    ]
}
