//! Queries of users: one statement, read-only, bounded in rows and time.
//!
//! Three fences, each of which would do for writes: the statement must begin as a reading one does, the
//! connection refuses to write (`query_only`), and the file is opened read-only. Each query has a connection of
//! its own, so what it attaches, makes temporary or sets is gone with it.

use std::time::{Duration, Instant};

use lockstep_core::database::{Answer, DatabaseError};
use lockstep_core::tables::Row;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row as _, SqlSafeStr, Statement};

use crate::bind::{self, words};
use crate::connect::SqliteDatabase;
use crate::read;

/// How long a query may run.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Steps of SQLite's machine between looks at the clock.
const STEPS: i32 = 10_000;

/// How statements that only read begin. PRAGMA is not among them; the pragmas that only read are there as tables.
const READING: [&str; 4] = ["SELECT", "WITH", "VALUES", "EXPLAIN"];

/// Answers a query.
pub(crate) async fn query(database: &SqliteDatabase, sql: &str, limit: usize) -> Result<Answer, DatabaseError> {
    only_reads(sql).map_err(|detail| DatabaseError::Query { detail: detail.to_owned() })?;
    let unavailable = |detail: String| DatabaseError::Unavailable { detail };
    let _permit = database.queries.acquire().await.map_err(|error| unavailable(error.to_string()))?;
    let mut connection = database.reading.connect().await.map_err(|error| unavailable(words(&error)))?;
    let answer = answer(&mut connection, sql, limit).await;
    read::end(connection).await;
    answer.map_err(|error| match bind::primary_code(&error) {
        Some(9) => {
            DatabaseError::Query { detail: format!("the query was stopped after {} seconds", TIME_LIMIT.as_secs()) }
        }
        Some(5 | 10 | 11 | 14 | 26) => unavailable(words(&error)),
        _ => DatabaseError::Query { detail: words(&error) },
    })
}

async fn answer(connection: &mut SqliteConnection, sql: &str, limit: usize) -> Result<Answer, sqlx::Error> {
    let deadline = Instant::now() + TIME_LIMIT;
    connection.lock_handle().await?.set_progress_handler(STEPS, move || Instant::now() < deadline);
    let prepared = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
    let bounded = fetch_at_most(connection, sql, limit.saturating_add(1)).await?;
    let truncated = bounded.len() > limit;
    Ok(Answer { columns, rows: bounded.into_iter().take(limit).collect(), truncated })
}

/// Reads rows until there are enough; what the database has left to do is then cancelled.
async fn fetch_at_most(connection: &mut SqliteConnection, sql: &str, most: usize) -> Result<Vec<Row>, sqlx::Error> {
    let mut stream = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).fetch(connection);
    let mut rows = Vec::new();
    while rows.len() < most {
        let Some(row) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await else { break };
        let row = row?;
        rows.push((0..row.len()).map(|at| bind::raw(&row, at).map(bind::answer)).collect::<Result<Row, _>>()?);
    }
    Ok(rows)
}

/// Whether the text is one statement that begins as a reading one does.
fn only_reads(sql: &str) -> Result<(), &'static str> {
    let code = without_comments_and_literals(sql);
    let mut statements = code.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let first = statements.next().ok_or("there is no statement")?;
    if statements.next().is_some() {
        return Err("there is more than one statement; ask one at a time");
    }
    let word: String = first.chars().take_while(|letter| letter.is_ascii_alphabetic()).collect();
    if !READING.iter().any(|reading| word.eq_ignore_ascii_case(reading)) {
        return Err("only queries are answered here: SELECT, WITH, VALUES or EXPLAIN");
    }
    Ok(())
}

/// The statement's bare code: comments become a blank, quoted text and names become nothing.
fn without_comments_and_literals(sql: &str) -> String {
    let mut code = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '\'' | '"' | '`' => skip_past(rest, 1, first.encode_utf8(&mut [0; 4])),
            '[' => skip_past(rest, 1, "]"),
            '-' if rest.starts_with("--") => skip_past(rest, 2, "\n"),
            '/' if rest.starts_with("/*") => skip_past(rest, 2, "*/"),
            other => {
                code.push(other);
                rest = rest.get(other.len_utf8()..).unwrap_or_default();
                continue;
            }
        };
        code.push(' ');
        rest = skipped;
    }
    code
}

/// What follows the next `end`, looked for after the first `opening` bytes. A doubled quote inside a literal ends one
/// literal and begins the next, which comes to the same.
fn skip_past<'a>(text: &'a str, opening: usize, end: &str) -> &'a str {
    let inner = text.get(opening..).unwrap_or_default();
    inner.find(end).and_then(|at| inner.get(at + end.len()..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_statement_passes() {
        for sql in [
            "SELECT 1",
            " -- why; not\n select ';' , \"a;b\", `;`, [;] ;; ",
            "/* ; */ WITH x AS (SELECT 1) SELECT * FROM x",
            "values (1)",
            "explain query plan select 1",
            "SELECT 'it''s; fine'",
        ] {
            assert_eq!(only_reads(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn several_statements_and_those_that_write_are_refused() {
        for sql in [
            "",
            ";",
            "-- only",
            "SELECT 1; SELECT 2",
            "SELECT '' ; ATTACH 'x' AS y",
            "PRAGMA query_only = 0",
            "ATTACH 'x' AS y",
            "DELETE FROM t",
            "INSERT INTO t VALUES (1)",
            "VACUUM INTO 'x'",
            "SELECTED",
            "SELECT 1 /* open */; drop table t",
        ] {
            assert!(only_reads(sql).is_err(), "{sql}");
        }
    }
}
