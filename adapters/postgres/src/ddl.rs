//! Making the tables match the catalogue: create, add, never drop or retype.
//!
//! PostgreSQL's DDL is transactional, so a change of the tables happens whole or not at all, and the statements
//! that [`plan`] shows are the ones that [`prepare`] runs. Two nodes on one schema take turns.

use lockstep_core::crypto::Digest;
use lockstep_core::database::DatabaseError;
use lockstep_core::tables::{Column, Index, Role, Table};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::bind::{is_ordered_text, literal, quoted, sql_type};
use crate::catalogue::{Catalogue, Found};
use crate::commit::Writer;
use crate::connect::PostgresDatabase;
use crate::error::{INVALID_TABLE_DEFINITION, code, unavailable};
use crate::{check, views};

/// The longest name that PostgreSQL keeps whole.
const NAME_BYTES: usize = 63;

/// One thing to do.
struct Step {
    sql: String,
    /// What to do before it, where it cannot be done as it is: a view that is to have other columns.
    otherwise: Option<String>,
}

impl From<String> for Step {
    fn from(sql: String) -> Self {
        Step { sql, otherwise: None }
    }
}

/// Runs what is missing, in one transaction.
pub(crate) async fn prepare(database: &PostgresDatabase, tables: &[Table]) -> Result<(), DatabaseError> {
    let unavailable = |detail: &str| DatabaseError::Unavailable { detail: detail.to_owned() };
    let Some(committer) = &database.committer else {
        return Err(unavailable("the database is open read-only"));
    };
    let tables = tables.to_vec();
    let prepared = committer.run(move |writer| Box::pin(async move { prepare_in(writer, &tables).await })).await;
    prepared.unwrap_or_else(|| Err(unavailable("the committer stopped")))
}

async fn prepare_in(writer: &mut Writer, tables: &[Table]) -> Result<(), DatabaseError> {
    let connection = writer.ready().await.map_err(unavailable)?;
    let mut transaction = connection.begin().await.map_err(unavailable)?;
    let result = run_missing(&mut transaction, tables).await;
    let ended = match &result {
        Ok(()) => transaction.commit().await.map_err(unavailable),
        Err(_) => transaction.rollback().await.map_err(unavailable),
    };
    // What was prepared for tables that have changed would not run any more.
    writer.discard().await;
    result.and(ended)
}

async fn run_missing(connection: &mut PgConnection, tables: &[Table]) -> Result<(), DatabaseError> {
    // An index over many rows takes its time; whoever else prepares this schema waits.
    let alone = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
                 SELECT pg_advisory_xact_lock(hashtext('lockstep'), hashtext(current_schema())); SET LOCAL lock_timeout = '5s'";
    run(connection, alone).await.map_err(unavailable)?;
    let (mut plain, mut views) = (Vec::new(), Vec::new());
    for step in missing(connection, tables).await? {
        match step.otherwise {
            None if views.is_empty() => plain.push(step.sql),
            _ => views.push(step),
        }
    }
    // All at once: there are some hundreds of them.
    run(connection, &plain.join(";\n")).await.map_err(unavailable)?;
    for view in views {
        run_view(connection, view).await.map_err(unavailable)?;
    }
    Ok(())
}

async fn run_view(connection: &mut PgConnection, step: Step) -> Result<(), sqlx::Error> {
    run(connection, "SAVEPOINT step").await?;
    match (run(connection, &step.sql).await, &step.otherwise) {
        (Err(error), Some(before)) if code(&error) == INVALID_TABLE_DEFINITION => {
            run(connection, &format!("ROLLBACK TO SAVEPOINT step; {before}; {}", step.sql)).await
        }
        (done, _) => done,
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(|_| ())
}

/// The statements that are missing.
pub(crate) async fn plan(database: &PostgresDatabase, tables: &[Table]) -> Result<Vec<String>, DatabaseError> {
    let mut reader = database.readers.acquire().await.map_err(unavailable)?;
    Ok(missing(&mut reader, tables).await?.into_iter().map(|step| step.sql).collect())
}

async fn missing(connection: &mut PgConnection, tables: &[Table]) -> Result<Vec<Step>, DatabaseError> {
    let views = views::of(tables);
    if let Some((table, detail)) = check::meddlers(connection, tables).await.map_err(unavailable)? {
        return Err(DatabaseError::Shape { table, detail });
    }
    let catalogue = Catalogue::read(connection).await.map_err(unavailable)?;
    let mut steps: Vec<Step> = Vec::new();
    for table in tables {
        match catalogue.columns.get(&table.name) {
            None if catalogue.relations.contains_key(&table.name) => {
                return Err(shape(table, "this name belongs to a table of Lockstep's".to_owned()));
            }
            None => steps.push(create_table(table).into()),
            Some(there) => steps.extend(add_columns(table, there)?.into_iter().map(Step::from)),
        }
        steps.extend(comments(table, &catalogue).into_iter().map(Step::from));
    }
    for table in tables {
        for index in &table.indexes {
            steps.extend(index_step(table, index, &catalogue)?);
        }
    }
    for (name, sql) in views {
        steps.extend(view_steps(name, sql, &catalogue)?);
    }
    Ok(steps)
}

fn shape(table: &Table, detail: String) -> DatabaseError {
    DatabaseError::Shape { table: table.name.clone(), detail }
}

fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let key: Vec<String> = table.key.iter().map(|column| quoted(column)).collect();
    // Rows that change again and again stay on their page where there is room left on it.
    let suffix = if table.role == Role::Records { " WITH (fillfactor = 80)" } else { "" };
    format!(
        "CREATE TABLE {} (\n  {},\n  PRIMARY KEY ({})\n){suffix}",
        quoted(&table.name),
        columns.join(",\n  "),
        key.join(", ")
    )
}

fn column(column: &Column) -> String {
    let required = if column.nullable { "" } else { " NOT NULL" };
    let collation = if is_ordered_text(column.kind) { " COLLATE \"C\"" } else { "" };
    format!("{} {}{collation}{required}", quoted(&column.name), sql_type(column.kind))
}

fn add_columns(table: &Table, there: &[Found]) -> Result<Vec<String>, DatabaseError> {
    let mut statements = Vec::new();
    for expected in &table.columns {
        match there.iter().find(|found| found.name == expected.name) {
            Some(found) => check_column(table, expected, found)?,
            None if expected.nullable => {
                statements.push(format!("ALTER TABLE {} ADD COLUMN {}", quoted(&table.name), column(expected)));
            }
            None => return Err(shape(table, format!("column {} is missing", expected.name))),
        }
    }
    Ok(statements)
}

fn check_column(table: &Table, expected: &Column, found: &Found) -> Result<(), DatabaseError> {
    let key_position = table.key.iter().position(|name| *name == expected.name).map_or(0, |at| at as i64 + 1);
    let kind = sql_type(expected.kind);
    let differs = |what: String| Err(shape(table, format!("column {} {what}", expected.name)));
    if found.kind != kind {
        return differs(format!("is {} and should be {kind}", found.kind));
    }
    if found.required == expected.nullable {
        return differs(format!("should {}allow NULL", if expected.nullable { "" } else { "not " }));
    }
    if found.key_position != key_position {
        return differs("has another place in the primary key than it should".to_owned());
    }
    if is_ordered_text(expected.kind) && found.collation != "C" {
        return differs(format!("has collation {} and should have C", found.collation));
    }
    Ok(())
}

/// What table and columns are for, where the database does not say so yet.
fn comments(table: &Table, catalogue: &Catalogue) -> Vec<String> {
    let name = quoted(&table.name);
    let there = catalogue.relations.get(&table.name).map_or("", |relation| relation.comment.as_str());
    let mut statements = Vec::new();
    if there != table.comment {
        statements.push(format!("COMMENT ON TABLE {name} IS {}", literal(&table.comment)));
    }
    let found = catalogue.columns.get(&table.name).map_or(&[][..], Vec::as_slice);
    for column in &table.columns {
        let there = found.iter().find(|found| found.name == column.name).map_or("", |found| found.comment.as_str());
        if there != column.comment {
            let column_name = quoted(&column.name);
            statements.push(format!("COMMENT ON COLUMN {name}.{column_name} IS {}", literal(&column.comment)));
        }
    }
    statements
}

/// `$` keeps names apart that underscores would run together; our prefix keeps them apart from users' names.
fn index_step(table: &Table, index: &Index, catalogue: &Catalogue) -> Result<Option<Step>, DatabaseError> {
    let name = bounded(format!("lockstep_by${}${}", table.name, index.columns.join("$")));
    match catalogue.indexes.get(&name) {
        Some(there) if there.table == table.name && there.columns == index.columns && there.unique == index.unique => {
            return Ok(None);
        }
        Some(_) => return Err(shape(table, format!("{name} is not the index that belongs there"))),
        None if catalogue.relations.contains_key(&name) => {
            return Err(shape(table, format!("{name} is no index; this name belongs to one of Lockstep's")));
        }
        None => {}
    }
    let columns: Vec<String> = index.columns.iter().map(|column| quoted(column)).collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    let sql = format!("CREATE {unique}INDEX {} ON {} ({})", quoted(&name), quoted(&table.name), columns.join(", "));
    Ok(Some(sql.into()))
}

/// A name that PostgreSQL would cut gets an end of its own.
fn bounded(name: String) -> String {
    if name.len() <= NAME_BYTES {
        return name;
    }
    let digest = Digest::of(name.as_bytes()).to_string();
    let kept: String = name.chars().take(NAME_BYTES - 17).collect();
    format!("{kept}${}", digest.get(..16).unwrap_or_default())
}

/// A view's comment says which definition it has: PostgreSQL keeps what a definition means, not its text.
fn view_steps(name: String, sql: String, catalogue: &Catalogue) -> Result<Vec<Step>, DatabaseError> {
    let digest = Digest::of(sql.as_bytes()).to_string();
    let comment = format!("A view of Lockstep's, definition {}", digest.get(..16).unwrap_or_default());
    let quoted_name = quoted(&name);
    match catalogue.relations.get(&name) {
        Some(there) if there.kind != "v" => {
            let detail = "this name belongs to a view of Lockstep's".to_owned();
            Err(DatabaseError::Shape { table: name, detail })
        }
        Some(there) if there.comment == comment => Ok(Vec::new()),
        _ => Ok(vec![
            Step { sql, otherwise: Some(format!("DROP VIEW {quoted_name}")) },
            format!("COMMENT ON VIEW {quoted_name} IS {}", literal(&comment)).into(),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart() {
        let long = |end: &str| bounded(format!("lockstep_by${}${end}", "x".repeat(60)));
        assert_eq!(bounded("lockstep_by$t$a".to_owned()), "lockstep_by$t$a");
        assert!(long("a").len() == NAME_BYTES && long("a") != long("b"));
    }
}
