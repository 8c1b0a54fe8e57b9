//! Making the tables match the catalogue: create, add, never drop or retype.
//!
//! DDL here is not transactional: each statement stands alone and is looked for again, so that a change that was
//! interrupted goes on where it stopped. The statements that [`plan`] shows are the ones that [`prepare`] runs.

use std::collections::BTreeMap;

use lockstep_core::crypto::Digest;
use lockstep_core::database::DatabaseError;
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Column, Index, Kind, Table};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::bind::{self, is_text, literal, quoted, sql_type};
use crate::check::Server;
use crate::commit::Writer;
use crate::connect::{MySqlDatabase, ask};
use crate::errors::{failed, number, words};
use crate::views;

/// Numbers of what is there already, since another process made it a moment ago.
const THERE_ALREADY: [u16; 3] = [1050, 1060, 1061];

/// Most characters of a name.
const NAME_CHARS: usize = 64;

/// Runs what is missing.
pub(crate) async fn prepare(database: &MySqlDatabase, tables: &[Table]) -> Result<(), DatabaseError> {
    let Some(committer) = &database.committer else {
        return Err(unavailable("the database is open read-only"));
    };
    let tables = tables.to_vec();
    let prepared = committer.run(move |writer| Box::pin(async move { prepare_in(writer, &tables).await })).await;
    prepared.unwrap_or_else(|| Err(unavailable("the committer stopped")))
}

async fn prepare_in(writer: &mut Writer, tables: &[Table]) -> Result<(), DatabaseError> {
    let server = writer.server.clone();
    let connection = writer.ready().await.map_err(|detail| DatabaseError::Unavailable { detail })?;
    let result = run_missing(connection, &server, tables).await;
    if matches!(result, Err(DatabaseError::Unavailable { .. })) {
        writer.discard();
    }
    result
}

async fn run_missing(connection: &mut MySqlConnection, server: &Server, tables: &[Table]) -> Result<(), DatabaseError> {
    for statement in missing(connection, server, tables).await? {
        // No time limit: an index of a large table takes as long as it takes.
        match connection.execute(AssertSqlSafe(statement.sql)).await {
            Err(error) if number(&error).is_some_and(|number| THERE_ALREADY.contains(&number)) => {}
            Err(error) if number(&error) == Some(1118) => return Err(shape(&statement.table, words(&error))),
            done => done.map(|_| ()).map_err(failed)?,
        }
    }
    Ok(())
}

/// The statements that are missing.
pub(crate) async fn plan(database: &MySqlDatabase, tables: &[Table]) -> Result<Vec<String>, DatabaseError> {
    let mut reader = database.readers.acquire().await.map_err(failed)?;
    let statements = missing(&mut reader, &database.server, tables).await?;
    Ok(statements.into_iter().map(|statement| statement.sql).collect())
}

fn unavailable(detail: &str) -> DatabaseError {
    DatabaseError::Unavailable { detail: detail.to_owned() }
}

fn shape(table: &str, detail: String) -> DatabaseError {
    DatabaseError::Shape { table: table.to_owned(), detail }
}

/// One step and the table or view that it makes.
struct Step {
    table: String,
    sql: String,
}

async fn missing(
    connection: &mut MySqlConnection,
    server: &Server,
    tables: &[Table],
) -> Result<Vec<Step>, DatabaseError> {
    let catalogue = Catalogue::read(connection).await?;
    let mut steps = Vec::new();
    for table in tables {
        let sql = match catalogue.tables.get(&table.name) {
            None => vec![create_table(server, table)],
            Some(Made::View) => return Err(shape(&table.name, "is a view".to_owned())),
            Some(Made::Table(engine)) if engine != "InnoDB" => {
                return Err(shape(&table.name, format!("is stored by {engine} and should be by InnoDB")));
            }
            Some(Made::Table(_)) => alter_table(server, &catalogue, table)?,
        };
        steps.extend(sql.into_iter().map(|sql| Step { table: table.name.clone(), sql }));
    }
    for view in views::of(server, tables) {
        match catalogue.tables.get(&view.name) {
            Some(Made::Table(_)) => {
                return Err(shape(&view.name, "this name belongs to a view of Lockstep's".to_owned()));
            }
            Some(Made::View) if catalogue.views.get(&view.name).is_some_and(|body| body.contains(&view.mark)) => {}
            _ => steps.push(Step { table: view.name, sql: view.sql }),
        }
    }
    Ok(steps)
}

/// What a name belongs to.
enum Made {
    /// A table, stored by this engine.
    Table(String),
    View,
}

/// What the database has.
struct Catalogue {
    tables: BTreeMap<String, Made>,
    /// The definitions of the views.
    views: BTreeMap<String, String>,
    /// The columns by table.
    columns: BTreeMap<String, Vec<Found>>,
    /// The indexes by table and name: whether each is unique, and its columns in order.
    indexes: BTreeMap<(String, String), (bool, Vec<String>)>,
}

/// A column as it is.
struct Found {
    name: String,
    kind: String,
    required: bool,
    collation: String,
}

impl Catalogue {
    async fn read(connection: &mut MySqlConnection) -> Result<Self, DatabaseError> {
        let here = "TABLE_SCHEMA = DATABASE()";
        let tables = format!("SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE {here}");
        let tables = rows(connection, &tables)
            .await?
            .into_iter()
            .map(|[name, kind, engine]| (name, if kind.contains("VIEW") { Made::View } else { Made::Table(engine) }));
        let tables = tables.collect();
        let views = format!("SELECT TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE {here}");
        let views = rows(connection, &views).await?.into_iter().map(|[name, body]| (name, body)).collect();
        let columns = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLLATION_NAME FROM information_schema.COLUMNS WHERE {here}"
        );
        let mut by_table: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for [table, name, kind, nullable, collation] in rows(connection, &columns).await? {
            let found = Found { name, kind: plain_type(&kind), required: nullable != "YES", collation };
            by_table.entry(table).or_default().push(found);
        }
        let columns = by_table;
        Ok(Catalogue { tables, views, columns, indexes: indexes(connection).await? })
    }
}

type Indexes = BTreeMap<(String, String), (bool, Vec<String>)>;

/// A column of which only a prefix is indexed is none of ours.
async fn indexes(connection: &mut MySqlConnection) -> Result<Indexes, DatabaseError> {
    let sql = "SELECT TABLE_NAME, INDEX_NAME, CAST(NON_UNIQUE AS CHAR), CONCAT(COLUMN_NAME, COALESCE(CONCAT('(', SUB_PART, ')'), '')) \
               FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX";
    let mut indexes = Indexes::new();
    for [table, name, non_unique, column] in rows(connection, sql).await? {
        let index = indexes.entry((table, name)).or_insert_with(|| (non_unique == "0", Vec::new()));
        index.1.push(column);
    }
    Ok(indexes)
}

/// Rows of texts; NULL is an empty one.
async fn rows<const N: usize>(connection: &mut MySqlConnection, sql: &str) -> Result<Vec<[String; N]>, DatabaseError> {
    let text = |row, at| bind::raw(row, at).map(|raw| bind::answer(raw).show().unwrap_or_default());
    let row = |row| -> Result<[String; N], sqlx::Error> {
        let mut cells: [String; N] = std::array::from_fn(|_| String::new());
        for (at, cell) in cells.iter_mut().enumerate() {
            *cell = text(row, at)?;
        }
        Ok(cells)
    };
    ask(connection, sql, &[]).await.map_err(failed)?.iter().map(|one| row(one).map_err(failed)).collect()
}

/// MariaDB writes the width that an integer is shown with, MySQL does not.
fn plain_type(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    if kind.starts_with("bigint") { kind.replace("(20)", "") } else { kind }
}

fn create_table(server: &Server, table: &Table) -> String {
    let columns = table.columns.iter().map(|one| column(server, one));
    let key = std::iter::once(format!("PRIMARY KEY ({})", list(&table.key)));
    let indexes = table.indexes.iter().map(|index| index_sql(table, index));
    let parts: Vec<String> = columns.chain(key).chain(indexes).collect();
    format!(
        "CREATE TABLE {} (\n  {}\n) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {} COMMENT = {}",
        quoted(&table.name),
        parts.join(",\n  "),
        server.collation(),
        comment(&table.comment, 2_048)
    )
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// A comment of at most so many characters.
fn comment(text: &str, most: usize) -> String {
    literal(&text.chars().take(most).collect::<String>())
}

fn column(server: &Server, column: &Column) -> String {
    let name = quoted(&column.name);
    let collation = match is_text(column.kind) {
        true => format!(" CHARACTER SET utf8mb4 COLLATE {}", server.collation()),
        false => String::new(),
    };
    let required = if column.nullable { "" } else { " NOT NULL" };
    let check = match column.kind {
        Kind::Json => format!(" CHECK ({})", valid(server, &name)),
        Kind::Boolean | Kind::Projected(ColumnType::Boolean) => format!(" CHECK ({name} IN (0, 1))"),
        _ => String::new(),
    };
    let comment = comment(&column.comment, 1_024);
    format!("{name} {}{collation}{required} COMMENT {comment}{check}", sql_type(column.kind))
}

/// A document. MariaDB's JSON_VALID calls what is nested more than 31 deep invalid; 64 deep is allowed, so what has as
/// many brackets passes. That it is no document at all is for `verify` to find.
fn valid(server: &Server, name: &str) -> String {
    let deep = format!("CHAR_LENGTH({name}) - CHAR_LENGTH(REPLACE(REPLACE({name}, '[', ''), '{{', '')) > 31");
    let or_deep = if server.is_mariadb { format!(" OR {deep}") } else { String::new() };
    format!("{name} IS NULL OR JSON_VALID({name}){or_deep}")
}

/// `$` keeps names apart that underscores would run together; our prefix keeps them apart from users' names.
fn index_name(table: &Table, index: &Index) -> String {
    let name = format!("lockstep_by${}${}", table.name, index.columns.join("$"));
    if name.len() <= NAME_CHARS {
        return name;
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    format!("{}${}", name.get(..NAME_CHARS - 17).unwrap_or_default(), digest.get(..16).unwrap_or_default())
}

fn index_sql(table: &Table, index: &Index) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    format!("{unique}INDEX {} ({})", quoted(&index_name(table, index)), list(&index.columns))
}

/// What a table that is there lacks, a statement each.
fn alter_table(server: &Server, catalogue: &Catalogue, table: &Table) -> Result<Vec<String>, DatabaseError> {
    let there = catalogue.columns.get(&table.name).map_or(&[][..], Vec::as_slice);
    let mut missing = Vec::new();
    for expected in &table.columns {
        match there.iter().find(|found| found.name.eq_ignore_ascii_case(&expected.name)) {
            Some(found) => check(server, table, expected, found)?,
            None if expected.nullable => missing.push(format!("COLUMN {}", column(server, expected))),
            None => return Err(shape(&table.name, format!("column {} is missing", expected.name))),
        }
    }
    let index = |name: &str| catalogue.indexes.get(&(table.name.clone(), name.to_owned()));
    if index("PRIMARY").is_none_or(|(_, columns)| *columns != table.key) {
        return Err(shape(&table.name, format!("its primary key should be ({})", table.key.join(", "))));
    }
    for expected in &table.indexes {
        let name = index_name(table, expected);
        match index(&name) {
            None => missing.push(index_sql(table, expected)),
            Some((unique, columns)) if *unique == expected.unique && *columns == expected.columns => {}
            Some(_) => return Err(shape(&table.name, format!("{name} is not the index that belongs there"))),
        }
    }
    Ok(missing.into_iter().map(|what| format!("ALTER TABLE {} ADD {what}", quoted(&table.name))).collect())
}

fn check(server: &Server, table: &Table, expected: &Column, found: &Found) -> Result<(), DatabaseError> {
    let kind = sql_type(expected.kind);
    let differs = |what: String| Err(shape(&table.name, format!("column {} {what}", expected.name)));
    if found.kind != kind {
        return differs(format!("is {} and should be {kind}", found.kind));
    }
    if is_text(expected.kind) && found.collation != server.collation() {
        return differs(format!("compares by {} and should by {}", found.collation, server.collation()));
    }
    if found.required == expected.nullable {
        return differs(format!("should {}allow NULL", if expected.nullable { "" } else { "not " }));
    }
    Ok(())
}
