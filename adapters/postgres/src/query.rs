//! Queries of users: one statement, read-only, bounded in rows and time.
//!
//! Three fences, each of which would do for writes: the statement must begin as a reading one does, the server itself
//! prepares it first, which it refuses for several at once, and it runs in a read-only transaction that it cannot
//! leave. Each query has a connection of its own, so what it sets is gone with it. What functions do beside the rows
//! is bounded by the rights of the role.

use lockstep_core::database::{Answer, DatabaseError};
use lockstep_core::tables::{Cell, Row};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Executor, Row as _, SqlSafeStr, Statement, ValueRef};

use crate::bind;
use crate::connect::{PostgresDatabase, connected, end};
use crate::error::{of_query, unavailable};

/// How long a query may run, at the server.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '30s'; SET LOCAL jit = on";

/// How statements that only read begin.
const READING: [&str; 5] = ["SELECT", "WITH", "VALUES", "EXPLAIN", "TABLE"];

/// Answers a query.
pub(crate) async fn query(database: &PostgresDatabase, sql: &str, limit: usize) -> Result<Answer, DatabaseError> {
    only_reads(sql).map_err(|detail| DatabaseError::Query { detail: detail.to_owned() })?;
    let stopped = |error: tokio::sync::AcquireError| DatabaseError::Unavailable { detail: error.to_string() };
    let _permit = database.queries.acquire().await.map_err(stopped)?;
    let mut connection = connected(&database.reading).await.map_err(unavailable)?;
    let answer = answer(&mut connection, sql, limit).await;
    end(connection).await;
    answer.map_err(|error| of_query(&error))
}

async fn answer(connection: &mut PgConnection, sql: &str, limit: usize) -> Result<Answer, sqlx::Error> {
    connection.execute(sqlx::raw_sql(BEGIN)).await?;
    let prepared = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
    let bounded = fetch_at_most(connection, sql, limit.saturating_add(1)).await?;
    let truncated = bounded.len() > limit;
    Ok(Answer { columns, rows: bounded.into_iter().take(limit).collect(), truncated })
}

/// Reads rows, printed as the server prints them, until there are enough; the connection ends with what is left.
async fn fetch_at_most(connection: &mut PgConnection, sql: &str, most: usize) -> Result<Vec<Row>, sqlx::Error> {
    let mut stream = connection.fetch(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    let mut rows = Vec::new();
    while rows.len() < most {
        let Some(row) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await else { break };
        rows.push(cells(&row?)?);
    }
    Ok(rows)
}

fn cells(row: &PgRow) -> Result<Row, sqlx::Error> {
    let cell = |at: usize| -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(at)?;
        let of = value.type_info().oid().map_or(0, |oid| oid.0);
        let text = if value.is_null() { None } else { Some(value.as_str().map_err(sqlx::Error::Decode)?) };
        Ok(bind::answer(of, text))
    };
    (0..row.len()).map(cell).collect()
}

/// Whether the text begins as a reading statement does; that it is one, the server says.
fn only_reads(sql: &str) -> Result<(), &'static str> {
    let code = without_comments(sql);
    if code.is_empty() {
        return Err("there is no statement");
    }
    let word: String = code.chars().take_while(|letter| letter.is_ascii_alphabetic()).collect();
    if !READING.iter().any(|reading| word.eq_ignore_ascii_case(reading)) {
        return Err("only queries are answered here: SELECT, WITH, VALUES, TABLE or EXPLAIN");
    }
    Ok(())
}

/// What follows blanks and comments at the beginning. Comments of PostgreSQL's may hold others.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ';' || letter == '(');
    loop {
        let behind = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, behind)| behind)
        } else if rest.starts_with("/*") {
            behind_comment(rest)
        } else {
            return rest;
        };
        rest = behind.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ';' || letter == '(');
    }
}

fn behind_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_u32, text);
    while !rest.is_empty() {
        let length = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        rest = rest.get(length..).unwrap_or_default();
        if depth == 0 {
            break;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_a_reading_statement_passes() {
        for sql in [
            "SELECT 1",
            " -- why\n select 1",
            "/* a /* b */ */ WITH x AS (SELECT 1) SELECT * FROM x",
            "values (1)",
            "(select 1)",
        ] {
            assert_eq!(only_reads(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn what_writes_or_is_nothing_is_refused() {
        for sql in [
            "",
            ";",
            "-- only",
            "/* SELECT 1",
            "/* /* */ SELECT 1",
            "DELETE FROM t",
            "SET a = 1",
            "COPY t TO 'x'",
            "DO $$ $$",
            "SELECTED",
        ] {
            assert!(only_reads(sql).is_err(), "{sql}");
        }
    }
}
