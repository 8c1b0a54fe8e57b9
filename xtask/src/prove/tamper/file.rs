//! A SQLite file as somebody with a SQL client sees it: tables, columns and keys from its own catalogue, values as
//! SQL literals with their storage class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockstep_core::audit::{Report, audit, column_classes};
use lockstep_core::database::Database;
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::tables::{Cell, Class};
use lockstep_sqlite::client;
use lockstep_vm::WasmEngine;

/// One column, by the file's catalogue, with the class that the product's own gives it.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) in_key: bool,
    /// Its place among the literals of a row.
    pub(super) at: usize,
    pub(super) class: Option<Class>,
}

impl Column {
    /// Whether the audit must notice an edit.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.class, Some(Class::Sealed | Class::Derived))
    }
}

/// One table.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// One row: SQL literals by column, and its key as text.
#[derive(Clone, Debug)]
pub(super) struct Row {
    rowid: String,
    pub(super) literals: Vec<String>,
    pub(super) key: Vec<String>,
}

impl Row {
    /// The condition that is true of this row alone.
    pub(super) fn is_this(&self) -> String {
        format!("rowid = {}", self.rowid)
    }
}

impl Table {
    /// The name as SQL has it.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }

    fn columns_sql(&self) -> String {
        self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }

    /// An insert of the same row under another key, other unique values moved out of the way.
    pub(super) fn double_of(&self, row: &Row) -> Option<String> {
        let twisted = self.columns.iter().zip(&row.literals).map(|(column, literal)| {
            let unique = column.in_key || matches!(column.name.as_str(), "nonce" | "log_position" | "position" | "seq");
            match (unique, literal.parse::<i64>()) {
                (false, _) => literal.clone(),
                (true, Ok(number)) => (number + 1_000_000).to_string(),
                (true, Err(_)) => format!("{literal} || 'x'"),
            }
        });
        Some(format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.quoted(),
            self.columns_sql(),
            twisted.collect::<Vec<_>>().join(", ")
        ))
    }

    /// Exchanges all but the keys of two rows, moving unique values out of the way first.
    pub(super) fn swap(&self, one: &Row, other: &Row) -> Vec<String> {
        let set = |from: &Row| {
            let cells = self.columns.iter().zip(&from.literals).filter(|(column, _)| !column.in_key);
            cells.map(|(column, literal)| format!("\"{}\" = {literal}", column.name)).collect::<Vec<_>>().join(", ")
        };
        let apart = self.columns.iter().filter(|column| {
            !column.in_key && matches!(column.name.as_str(), "nonce" | "log_position" | "position" | "seq")
        });
        let apart = apart.map(|column| match column.kind.as_str() {
            "INTEGER" => format!("\"{}\" = 987654321", column.name),
            _ => format!("\"{}\" = 'apart'", column.name),
        });
        let apart = apart.collect::<Vec<_>>().join(", ");
        if set(one) == set(other) || set(one).is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        if !apart.is_empty() {
            all.push(format!("UPDATE {} SET {apart} WHERE {}", self.quoted(), one.is_this()));
        }
        all.push(format!("UPDATE {} SET {} WHERE {}", self.quoted(), set(one), other.is_this()));
        all.push(format!("UPDATE {} SET {} WHERE {}", self.quoted(), set(other), one.is_this()));
        all
    }
}

/// The file.
pub(super) struct File {
    path: PathBuf,
    database: Arc<dyn Database>,
    /// The note that its node keeps beside the key.
    pub(super) note: String,
    classes: BTreeMap<(String, String), Class>,
}

impl File {
    /// Opens it, and learns the classes of its columns as `doctor --columns` would print them.
    pub(super) async fn open(path: &Path, database: Arc<dyn Database>, note: String) -> Result<File, String> {
        let mut file = File { path: path.to_owned(), database, note, classes: BTreeMap::new() };
        let mut directory: Option<Directory> = None;
        for row in file.query("SELECT envelope FROM lockstep_directory ORDER BY seq").await? {
            let envelope = row.first().and_then(Cell::as_bytes).unwrap_or_default();
            let event = DirectoryEvent::read(envelope).map_err(|error| error.to_string())?;
            match &mut directory {
                None => directory = Some(Directory::found(&event).map_err(|error| error.to_string())?),
                Some(directory) => directory.apply(&event).map_err(|error| error.to_string())?,
            }
        }
        let classes = column_classes(&directory.ok_or("the directory is empty")?);
        file.classes = classes.into_iter().map(|one| ((one.table, one.column), one.class)).collect();
        Ok(file)
    }

    async fn query(&self, sql: &str) -> Result<Vec<Vec<Cell>>, String> {
        self.database.query(sql, 1_000_000).await.map(|answer| answer.rows).map_err(|error| format!("{sql}: {error}"))
    }

    /// Every table of the file, by its own catalogue.
    pub(super) async fn tables(&self) -> Result<Vec<Table>, String> {
        let mut tables = Vec::new();
        for row in self.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name").await? {
            let name = text(&row, 0);
            let mut columns = Vec::new();
            for row in self.query(&format!("SELECT name, type, pk FROM pragma_table_xinfo('{name}') ORDER BY cid")).await? {
                let (column, kind) = (text(&row, 0), text(&row, 1));
                let class = self.classes.get(&(name.clone(), column.clone())).copied();
                let at = columns.len();
                columns.push(Column { name: column, kind, in_key: text(&row, 2) != "0", at, class });
            }
            tables.push(Table { name, columns });
        }
        Ok(tables)
    }

    /// Every row of a table, in the order of its keys.
    pub(super) async fn rows(&self, table: &Table) -> Result<Vec<Row>, String> {
        let keys: Vec<String> =
            table.columns.iter().filter(|column| column.in_key).map(|column| format!("\"{}\"", column.name)).collect();
        self.select(table, &format!("ORDER BY {}", keys.join(", "))).await
    }

    /// A row as it is now, whatever its key became.
    pub(super) async fn row_by_rowid(&self, table: &Table, row: &Row) -> Result<Option<Row>, String> {
        Ok(self.select(table, &format!("WHERE {}", row.is_this())).await?.pop())
    }

    async fn select(&self, table: &Table, rest: &str) -> Result<Vec<Row>, String> {
        let literals = table.columns.iter().map(|column| format!("CASE typeof(\"{0}\") WHEN 'text' THEN 'CAST(x''' || hex(\"{0}\") || ''' AS TEXT)' ELSE quote(\"{0}\") END", column.name));
        let keys = table
            .columns
            .iter()
            .filter(|column| column.in_key)
            .map(|column| format!("CAST(\"{}\" AS TEXT)", column.name));
        let listed: Vec<String> = std::iter::once("rowid".to_owned()).chain(literals).chain(keys).collect();
        let rows = self.query(&format!("SELECT {} FROM {} {rest}", listed.join(", "), table.quoted())).await?;
        let count = table.columns.len();
        let read = |row: Vec<Cell>| Row {
            rowid: text(&row, 0),
            literals: (1..=count).map(|at| text(&row, at)).collect(),
            key: (count + 1..row.len()).map(|at| text(&row, at)).collect(),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Runs statements as any client could.
    pub(super) async fn execute(&self, statements: &[&str]) -> Result<(), String> {
        let quiet = ["PRAGMA synchronous = OFF", "PRAGMA foreign_keys = OFF", "BEGIN IMMEDIATE"];
        let all: Vec<&str> = quiet.iter().chain(statements).copied().chain(["COMMIT"]).collect();
        client::execute(&self.path, &all).await.map_err(|error| error.to_string())
    }

    /// Makes a row what it was.
    pub(super) async fn put_back(&self, table: &Table, row: &Row) -> Result<(), String> {
        let (columns, literals) = (table.columns_sql(), row.literals.join(", "));
        let insert =
            format!("INSERT OR REPLACE INTO {} (rowid, {columns}) VALUES ({}, {literals})", table.quoted(), row.rowid);
        self.execute(&[&insert]).await
    }

    /// Audits it.
    pub(super) async fn audit(&self, engine: Option<&WasmEngine>) -> Result<Report, String> {
        let mut snapshot = self.database.snapshot().await.map_err(|error| error.to_string())?;
        audit(snapshot.as_mut(), super::known(&self.note, engine), &mut |_| {}).await.map_err(|error| error.to_string())
    }
}

fn text(row: &[Cell], at: usize) -> String {
    row.get(at).and_then(Cell::show).unwrap_or_default()
}
