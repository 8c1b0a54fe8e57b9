//! Queries of users: one statement, read-only, bounded in rows and time.
//!
//! Three fences: the statement must begin as a reading one does and hold none of the words with which a reading one
//! writes files or takes locks, its session's transactions are read-only, and the protocol takes one statement at a
//! time. Each query has a connection of its own, so what it sets is gone with it.

use std::time::Duration;

use lockstep_core::database::{Answer, DatabaseError};
use lockstep_core::tables::Row;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Column, Executor, Row as _, SqlSafeStr, Statement};

use crate::bind;
use crate::connect::{MySqlDatabase, Session, connect, within};
use crate::errors::{number, words};
use crate::read;

/// How long a query may run.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How much longer is waited for the server to stop it.
const GRACE: Duration = Duration::from_secs(10);

/// How statements that only read begin.
const READING: [&str; 6] = ["SELECT", "WITH", "VALUES", "EXPLAIN", "SHOW", "DESCRIBE"];

/// Words with which a statement that begins so does more than read: files, locks.
const MORE: [&str; 6] = ["INTO", "UPDATE", "SHARE", "GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"];

/// The server's numbers for a query that took too long, in both products' ways.
const STOPPED: [u16; 3] = [1317, 1969, 3024];

/// Answers a query.
pub(crate) async fn query(database: &MySqlDatabase, sql: &str, limit: usize) -> Result<Answer, DatabaseError> {
    only_reads(sql).map_err(|detail| DatabaseError::Query { detail: detail.to_owned() })?;
    let unavailable = |detail: String| DatabaseError::Unavailable { detail };
    let _permit = database.queries.acquire().await.map_err(|error| unavailable(error.to_string()))?;
    let mut connection = connect(&database.options, &database.server, Session::Reading)
        .await
        .map_err(|error| unavailable(words(&error)))?;
    let limited = limit_time(&mut connection, database.server.is_mariadb).await;
    limited.map_err(|error| unavailable(words(&error)))?;
    let answer = within(TIME_LIMIT + GRACE, answer(&mut connection, sql, limit)).await;
    // With rows left unread there is nothing to say goodbye to.
    if answer.as_ref().is_ok_and(|answer| !answer.truncated) {
        read::end(connection).await;
    }
    answer.map_err(|error| match number(&error) {
        Some(number) if STOPPED.contains(&number) => {
            DatabaseError::Query { detail: format!("the query was stopped after {} seconds", TIME_LIMIT.as_secs()) }
        }
        Some(1040 | 1053 | 1205 | 1213 | 1927) | None if !matches!(error, sqlx::Error::Protocol(_)) => {
            unavailable(words(&error))
        }
        _ => DatabaseError::Query { detail: words(&error) },
    })
}

async fn limit_time(connection: &mut MySqlConnection, is_mariadb: bool) -> Result<(), sqlx::Error> {
    let sql = match is_mariadb {
        true => format!("SET SESSION max_statement_time = {}", TIME_LIMIT.as_secs()),
        false => format!("SET SESSION max_execution_time = {}", TIME_LIMIT.as_millis()),
    };
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.execute("START TRANSACTION READ ONLY").await.map(|_| ())
}

async fn answer(connection: &mut MySqlConnection, sql: &str, limit: usize) -> Result<Answer, sqlx::Error> {
    let prepared = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let columns = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
    let bounded = fetch_at_most(connection, sql, limit.saturating_add(1)).await?;
    let truncated = bounded.len() > limit;
    Ok(Answer { columns, rows: bounded.into_iter().take(limit).collect(), truncated })
}

/// Reads rows until there are enough; what the server has left to do ends with the connection.
async fn fetch_at_most(connection: &mut MySqlConnection, sql: &str, most: usize) -> Result<Vec<Row>, sqlx::Error> {
    let mut stream = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false).fetch(connection);
    let mut rows = Vec::new();
    while rows.len() < most {
        let Some(row) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await else { break };
        let row = row?;
        rows.push((0..row.len()).map(|at| bind::raw(&row, at).map(bind::answer)).collect::<Result<Row, _>>()?);
    }
    Ok(rows)
}

/// Whether the text is one statement that begins as a reading one does and only reads.
fn only_reads(sql: &str) -> Result<(), &'static str> {
    let code = without_comments_and_literals(sql)?;
    let mut statements = code.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let first = statements.next().ok_or("there is no statement")?;
    if statements.next().is_some() {
        return Err("there is more than one statement; ask one at a time");
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let mut words = first.split(|letter| !is_part(letter)).filter(|word| !word.is_empty());
    let is_one_of = |word: &str, list: &[&str]| list.iter().any(|known| word.eq_ignore_ascii_case(known));
    if !words.clone().next().is_some_and(|word| is_one_of(word, &READING)) {
        return Err("only queries are answered here: SELECT, WITH, VALUES, SHOW, DESCRIBE or EXPLAIN");
    }
    if words.any(|word| is_one_of(word, &MORE)) {
        return Err(
            "a query writes no file and takes no lock: INTO, FOR UPDATE, FOR SHARE and GET_LOCK are not answered",
        );
    }
    Ok(())
}

/// The statement's bare code: comments become a blank, quoted text and names become nothing. Comments that the server
/// executes are refused.
fn without_comments_and_literals(sql: &str) -> Result<String, &'static str> {
    let mut code = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '\'' | '"' => skip_text(rest, first),
            '`' => skip_past(rest, 1, "`"),
            '#' => skip_past(rest, 1, "\n"),
            '-' if begins_comment(rest) => skip_past(rest, 2, "\n"),
            '/' if rest.starts_with("/*!") || rest.to_ascii_uppercase().starts_with("/*M!") => {
                return Err("comments that are executed are not answered");
            }
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
    Ok(code)
}

/// Two dashes begin a comment only with a blank after them.
fn begins_comment(text: &str) -> bool {
    text.strip_prefix("--").is_some_and(|rest| rest.chars().next().is_none_or(|next| next <= ' '))
}

/// What follows the next `end`, looked for after the first `opening` bytes. A doubled quote inside a name ends one
/// name and begins the next, which comes to the same.
fn skip_past<'a>(text: &'a str, opening: usize, end: &str) -> &'a str {
    let inner = text.get(opening..).unwrap_or_default();
    inner.find(end).and_then(|at| inner.get(at + end.len()..)).unwrap_or_default()
}

/// What follows a text in these quotes, in which a backslash takes the next character with it.
fn skip_text(text: &str, quote: char) -> &str {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return text.get(at + letter.len_utf8()..).unwrap_or_default();
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_statement_passes() {
        for sql in [
            "SELECT 1",
            " -- why; not\n select ';' , \"a;b\", `;` ;; ",
            "/* ; */ WITH x AS (SELECT 1) SELECT * FROM x",
            "values (1)",
            "explain select 1",
            "SELECT 'it''s; fine'",
            r"SELECT 'it\'s; fine', '\\'",
            "SELECT 1 # ; DELETE",
            "SELECT 1--1",
            "SELECT updated_at, `into` FROM t",
            "SHOW CREATE TABLE t",
        ] {
            assert_eq!(only_reads(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn several_statements_and_those_that_do_more_than_read_are_refused() {
        for sql in [
            "",
            ";",
            "-- only",
            "SELECT 1; SELECT 2",
            r"SELECT '\\'; DROP TABLE t",
            r#"SELECT "\""; DROP TABLE t"#,
            "SET SESSION TRANSACTION READ WRITE",
            "DELETE FROM t",
            "INSERT INTO t VALUES (1)",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "SELECT 1 INTO @x",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * FROM t LOCK IN SHARE MODE",
            "SELECT get_lock('x', 1)",
            "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */",
            "SELECT 1 /*M! INTO OUTFILE '/tmp/x' */",
            "/*!DELETE FROM t */",
            "SELECTED",
            "SELECT 1--\n; DROP TABLE t",
            "CALL p()",
        ] {
            assert!(only_reads(sql).is_err(), "{sql}");
        }
    }
}
