//! The database's own export, as short as the driver allows: rows of one statement, written as they come. `lockstep
//! bench --export` holds what Lockstep writes against it.

use std::io::{Error, Write};
use std::path::Path;

use lockstep_core::database::DatabaseError;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Row, SqlSafeStr, Statement};

use crate::bind::{self, Raw};
use crate::connect::reading_options;

fn failed(error: &sqlx::Error) -> DatabaseError {
    DatabaseError::Query { detail: bind::words(error) }
}

fn unwritten(error: &Error) -> DatabaseError {
    DatabaseError::Query { detail: format!("what was read cannot be written: {error}") }
}

async fn open(path: &Path) -> Result<SqliteConnection, DatabaseError> {
    reading_options(path).connect().await.map_err(|error| failed(&error))
}

/// Gives each row of a statement to `write`.
async fn each(
    connection: &mut SqliteConnection,
    sql: &str,
    mut write: impl FnMut(&SqliteRow) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let mut rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch(connection);
    while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
        write(&row.map_err(|error| failed(&error))?)?;
    }
    Ok(())
}

/// Writes the first column of each row as a line.
///
/// # Errors
/// The database's own words, or that a line cannot be written.
pub async fn lines(path: &Path, sql: &str, out: &mut (dyn Write + Send)) -> Result<(), DatabaseError> {
    let mut connection = open(path).await?;
    let written = each(&mut connection, sql, |row| {
        let line: &str = row.try_get(0).map_err(|error| failed(&error))?;
        out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(|error| unwritten(&error))
    });
    written.await?;
    connection.close().await.map_err(|error| failed(&error))
}

/// Writes all rows as comma-separated values (RFC 4180) under a header; bytes are hexadecimal.
///
/// # Errors
/// The database's own words, or that a line cannot be written.
pub async fn csv(path: &Path, sql: &str, out: &mut (dyn Write + Send)) -> Result<(), DatabaseError> {
    let mut connection = open(path).await?;
    let prepared = connection.prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await;
    let header = prepared.map_err(|error| failed(&error))?;
    let names: Vec<&str> = header.columns().iter().map(|column| column.name()).collect();
    out.write_all(names.join(",").as_bytes()).map_err(|error| unwritten(&error))?;
    let written = each(&mut connection, sql, |row| {
        for at in 0..row.len() {
            let before: &[u8] = if at == 0 { b"\n" } else { b"," };
            let value = bind::raw(row, at).map_err(|error| failed(&error))?;
            out.write_all(before).and_then(|()| field(&value, out)).map_err(|error| unwritten(&error))?;
        }
        Ok(())
    });
    written.await?;
    out.write_all(b"\n").map_err(|error| unwritten(&error))?;
    connection.close().await.map_err(|error| failed(&error))
}

fn field(value: &Raw, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    match value {
        Raw::Null => Ok(()),
        Raw::Integer(number) => write!(out, "{number}"),
        Raw::Real(number) => write!(out, "{number}"),
        Raw::Text(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            write!(out, "\"{}\"", text.replace('"', "\"\""))
        }
        Raw::Text(text) => out.write_all(text.as_bytes()),
        Raw::BadText(bytes) | Raw::Blob(bytes) => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            let mut hex = Vec::with_capacity(bytes.len() * 2);
            bytes.iter().for_each(|byte| hex.extend([digit(byte >> 4), digit(byte & 15)]));
            out.write_all(&hex)
        }
    }
}
