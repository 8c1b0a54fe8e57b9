//! Making the tables match the catalogue: create, add, never drop or retype.
//!
//! SQLite's DDL is transactional, so a change of the tables happens whole or not at all, and the statements
//! that [`plan`] shows are the ones that [`prepare`] runs.

use std::collections::BTreeMap;

use lockstep_core::database::DatabaseError;
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Column, Index, Kind, Role, Table};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::bind::{self, Raw, quoted, sql_type};
use crate::commit::Writer;
use crate::connect::{APPLICATION_ID, SqliteDatabase};
use crate::views;

/// Runs what is missing, in one transaction.
pub(crate) async fn prepare(database: &SqliteDatabase, tables: &[Table]) -> Result<(), DatabaseError> {
    let Some(committer) = &database.committer else {
        return Err(unavailable("the database is open read-only"));
    };
    let tables = tables.to_vec();
    let prepared = committer.run(move |writer| Box::pin(async move { prepare_in(writer, &tables).await })).await;
    prepared.unwrap_or_else(|| Err(unavailable("the committer stopped")))
}

async fn prepare_in(writer: &mut Writer, tables: &[Table]) -> Result<(), DatabaseError> {
    let connection = writer.ready().await.map_err(|detail| DatabaseError::Unavailable { detail })?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    let result = run_missing(&mut transaction, tables).await;
    let ended = match &result {
        Ok(()) => transaction.commit().await.map_err(failed),
        Err(_) => transaction.rollback().await.map_err(failed),
    };
    if ended.is_err() {
        writer.discard().await;
    }
    result.and(ended)
}

async fn run_missing(connection: &mut SqliteConnection, tables: &[Table]) -> Result<(), DatabaseError> {
    for statement in missing(connection, tables).await? {
        connection.execute(AssertSqlSafe(statement)).await.map_err(failed)?;
    }
    Ok(())
}

/// The statements that are missing.
pub(crate) async fn plan(database: &SqliteDatabase, tables: &[Table]) -> Result<Vec<String>, DatabaseError> {
    let mut reader = database.readers.acquire().await.map_err(failed)?;
    missing(&mut reader, tables).await
}

fn unavailable(detail: &str) -> DatabaseError {
    DatabaseError::Unavailable { detail: detail.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: sqlx::Error) -> DatabaseError {
    DatabaseError::Unavailable { detail: bind::words(&error) }
}

async fn missing(connection: &mut SqliteConnection, tables: &[Table]) -> Result<Vec<String>, DatabaseError> {
    let catalogue = Catalogue::read(connection, tables).await?;
    let mut statements = Vec::new();
    if catalogue.application_id == 0 {
        statements.push(format!("PRAGMA application_id = {APPLICATION_ID}"));
    }
    for table in tables {
        match catalogue.columns.get(&table.name) {
            None => statements.push(create_table(table)),
            Some(there) => statements.extend(add_columns(table, there)?),
        }
    }
    for table in tables {
        for index in &table.indexes {
            let (name, sql) = create_index(table, index);
            match catalogue.definition(&name, "index") {
                Definition::Missing => statements.push(sql),
                Definition::Is(there) if there == sql => {}
                Definition::Is(_) | Definition::OtherKind => {
                    return Err(shape(table, format!("{name} is not the index that belongs there")));
                }
            }
        }
    }
    for (name, sql) in views::of(tables) {
        match catalogue.definition(&name, "view") {
            Definition::Missing => statements.push(sql),
            Definition::Is(there) if there == sql => {}
            Definition::Is(_) => statements.extend([format!("DROP VIEW {}", quoted(&name)), sql]),
            Definition::OtherKind => {
                return Err(DatabaseError::Shape {
                    table: name,
                    detail: "this name belongs to a view of Lockstep's".to_owned(),
                });
            }
        }
    }
    Ok(statements)
}

/// What the file has.
struct Catalogue {
    application_id: i64,
    /// Type and definition of everything, by name.
    schema: BTreeMap<String, (String, String)>,
    /// The columns of those of our tables that are there.
    columns: BTreeMap<String, Vec<Found>>,
}

enum Definition<'a> {
    Missing,
    Is(&'a str),
    OtherKind,
}

/// A column as it is.
struct Found {
    name: String,
    kind: String,
    required: bool,
    key_position: i64,
}

impl Catalogue {
    async fn read(connection: &mut SqliteConnection, tables: &[Table]) -> Result<Self, DatabaseError> {
        let rows = rows(connection, "SELECT name, type, coalesce(sql, '') FROM sqlite_schema", "").await?;
        let schema: BTreeMap<_, _> =
            rows.into_iter().map(|row| (text(row.first()), (text(row.get(1)), text(row.get(2))))).collect();
        let mut columns = BTreeMap::new();
        for table in tables.iter().filter(|table| schema.contains_key(&table.name)) {
            let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?)";
            let found = self::rows(connection, sql, &table.name).await?.iter().map(|row| Found::of(row)).collect();
            columns.insert(table.name.clone(), found);
        }
        let application_id = self::rows(connection, "SELECT application_id FROM pragma_application_id", "").await?;
        Ok(Catalogue { application_id: application_id.first().map_or(0, |row| integer(row.first())), schema, columns })
    }

    fn definition(&self, name: &str, kind: &str) -> Definition<'_> {
        match self.schema.get(name) {
            None => Definition::Missing,
            Some((found, sql)) if found == kind => Definition::Is(sql),
            Some(_) => Definition::OtherKind,
        }
    }
}

impl Found {
    fn of(row: &[Raw]) -> Self {
        Found {
            name: text(row.first()),
            kind: text(row.get(1)),
            required: integer(row.get(2)) != 0,
            key_position: integer(row.get(3)),
        }
    }
}

async fn rows(
    connection: &mut SqliteConnection,
    sql: &'static str,
    argument: &str,
) -> Result<Vec<Vec<Raw>>, DatabaseError> {
    use sqlx::Row;
    let rows = sqlx::query(sql).bind(argument).persistent(false).fetch_all(connection).await.map_err(failed)?;
    rows.iter()
        .map(|row| (0..row.len()).map(|at| bind::raw(row, at)).collect::<Result<_, _>>().map_err(failed))
        .collect()
}

fn text(raw: Option<&Raw>) -> String {
    match raw {
        Some(Raw::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

fn integer(raw: Option<&Raw>) -> i64 {
    match raw {
        Some(Raw::Integer(number)) => *number,
        _ => 0,
    }
}

fn shape(table: &Table, detail: String) -> DatabaseError {
    DatabaseError::Shape { table: table.name.clone(), detail }
}

/// Tables of narrow rows are stored in their key's order; rows with documents or bytes would make that tree wide
/// and its inserts at hashed keys expensive, so those stay in order of arrival.
fn is_narrow(table: &Table) -> bool {
    table.columns.iter().all(|column| !matches!(column.kind, Kind::LongText | Kind::Bytes | Kind::Json))
        && table.role != Role::Records
}

fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let key: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    let suffix = if is_narrow(table) { " WITHOUT ROWID" } else { "" };
    format!(
        "CREATE TABLE {} (\n  {},\n  PRIMARY KEY ({})\n){suffix}",
        quoted(&table.name),
        columns.join(",\n  "),
        key.join(", ")
    )
}

fn column(column: &Column) -> String {
    let name = quoted(&column.name);
    let required = if column.nullable { "" } else { " NOT NULL" };
    let check = match column.kind {
        Kind::Json => format!(" CHECK ({name} IS NULL OR json_valid({name}))"),
        Kind::Boolean | Kind::Projected(ColumnType::Boolean) => format!(" CHECK ({name} IN (0, 1))"),
        _ => String::new(),
    };
    format!("{name} {}{required}{check}", sql_type(column.kind))
}

fn add_columns(table: &Table, there: &[Found]) -> Result<Vec<String>, DatabaseError> {
    let mut statements = Vec::new();
    for expected in &table.columns {
        match there.iter().find(|found| found.name.eq_ignore_ascii_case(&expected.name)) {
            Some(found) => check(table, expected, found)?,
            None if expected.nullable => {
                statements.push(format!("ALTER TABLE {} ADD COLUMN {}", quoted(&table.name), column(expected)))
            }
            None => return Err(shape(table, format!("column {} is missing", expected.name))),
        }
    }
    Ok(statements)
}

fn check(table: &Table, expected: &Column, found: &Found) -> Result<(), DatabaseError> {
    let key_position = table.key.iter().position(|name| *name == expected.name).map_or(0, |at| at as i64 + 1);
    let kind = sql_type(expected.kind);
    let differs = |what: String| Err(shape(table, format!("column {} {what}", expected.name)));
    if !found.kind.eq_ignore_ascii_case(kind) {
        return differs(format!("is {} and should be {kind}", found.kind));
    }
    if found.required == expected.nullable {
        return differs(format!("should {}allow NULL", if expected.nullable { "" } else { "not " }));
    }
    if found.key_position != key_position {
        return differs("has another place in the primary key than it should".to_owned());
    }
    Ok(())
}

/// `$` keeps names apart that underscores would run together; our prefix keeps them apart from users' names.
fn create_index(table: &Table, index: &Index) -> (String, String) {
    let name = format!("lockstep_by${}${}", table.name, index.columns.join("$"));
    let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let sql = format!("CREATE {unique}INDEX {} ON {} ({})", quoted(&name), quoted(&table.name), columns.join(", "));
    (name, sql)
}
