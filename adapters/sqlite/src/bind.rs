//! Between cells and what SQLite stores: arguments on the way in, storage classes on the way out.
//!
//! Invariant: reading is strict. SQLite lets any column hold any storage class, so a value that the column's
//! kind could not have been given comes back as [`Cell::Foreign`], never bent into shape.

use lockstep_core::database::DatabaseError;
use lockstep_core::json::Json;
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Column, Kind, Row, Table};
use lockstep_core::time::Timestamp;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow, SqliteValueRef};
use sqlx::{Arguments, Decode, Row as _, TypeInfo, ValueRef};

/// Most digits of a decimal that a NUMERIC column, which may store a double, keeps exactly.
const NUMERIC_DIGITS: u8 = 15;

/// SQLite's primary result codes that mean something to us.
pub(crate) const READONLY: i64 = 8;
pub(crate) const CANTOPEN: i64 = 14;
pub(crate) const CONSTRAINT: i64 = 19;

/// What is stored, as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    /// TEXT that is not UTF-8.
    BadText(Vec<u8>),
    Blob(Vec<u8>),
}

/// The column's type in DDL.
pub(crate) fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer | Kind::Boolean | Kind::Projected(ColumnType::Integer | ColumnType::Boolean) => "INTEGER",
        Kind::Bytes => "BLOB",
        Kind::Projected(ColumnType::Decimal(precision, _)) if precision <= NUMERIC_DIGITS => "NUMERIC",
        Kind::Text | Kind::LongText | Kind::Timestamp | Kind::Json | Kind::Projected(_) => "TEXT",
    }
}

/// Binds a cell that is for this column.
///
/// # Errors
/// In words, where the column's kind does not hold such a cell.
pub(crate) fn bind(arguments: &mut SqliteArguments, table: &Table, column: &Column, cell: &Cell) -> Result<(), String> {
    if !column.kind.holds(cell) {
        return Err(format!(
            "column {} of {} cannot hold {}",
            column.name,
            table.name,
            cell.show().unwrap_or_default()
        ));
    }
    let added = match cell {
        Cell::Null => arguments.add(None::<i64>),
        Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => arguments.add(text.as_str()),
        Cell::Bytes(bytes) => arguments.add(bytes.as_slice()),
        Cell::Integer(number) => arguments.add(*number),
        Cell::Boolean(truth) => arguments.add(i64::from(*truth)),
        Cell::Timestamp(time) => arguments.add(time.to_string()),
    };
    added.map_err(|error| error.to_string())
}

/// What a cell is stored as.
pub(crate) fn stored(cell: &Cell) -> Raw {
    match cell {
        Cell::Null => Raw::Null,
        Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => Raw::Text(text.clone()),
        Cell::Bytes(bytes) => Raw::Blob(bytes.clone()),
        Cell::Integer(number) => Raw::Integer(*number),
        Cell::Boolean(truth) => Raw::Integer(i64::from(*truth)),
        Cell::Timestamp(time) => Raw::Text(time.to_string()),
    }
}

/// Binds a stored value as it is. TEXT that is not UTF-8 goes as a blob, for `CAST(? AS TEXT)`.
pub(crate) fn bind_raw(arguments: &mut SqliteArguments, raw: &Raw) -> Result<(), sqlx::error::BoxDynError> {
    match raw {
        Raw::Null => arguments.add(None::<i64>),
        Raw::Integer(number) => arguments.add(*number),
        Raw::Real(number) => arguments.add(*number),
        Raw::Text(text) => arguments.add(text.as_str()),
        Raw::BadText(bytes) | Raw::Blob(bytes) => arguments.add(bytes.as_slice()),
    }
}

/// What one column of a row holds.
pub(crate) fn raw(row: &SqliteRow, position: usize) -> Result<Raw, sqlx::Error> {
    let value = row.try_get_raw(position)?;
    if value.is_null() {
        return Ok(Raw::Null);
    }
    match Storage::of(&value) {
        Storage::Integer => decode(value).map(Raw::Integer),
        Storage::Real => decode(value).map(Raw::Real),
        Storage::Text => {
            let bytes: Vec<u8> = decode(value)?;
            Ok(String::from_utf8(bytes).map_or_else(|error| Raw::BadText(error.into_bytes()), Raw::Text))
        }
        Storage::Blob => decode(value).map(Raw::Blob),
    }
}

/// SQLite's storage classes, but NULL.
enum Storage {
    Integer,
    Real,
    Text,
    Blob,
}

impl Storage {
    fn of(value: &SqliteValueRef<'_>) -> Self {
        match value.type_info().name() {
            "INTEGER" => Storage::Integer,
            "REAL" => Storage::Real,
            "TEXT" => Storage::Text,
            _ => Storage::Blob,
        }
    }
}

fn decode<'r, T: Decode<'r, Sqlite>>(value: SqliteValueRef<'r>) -> Result<T, sqlx::Error> {
    T::decode(value).map_err(sqlx::Error::Decode)
}

/// The row of a known table, whose columns were selected in order.
pub(crate) fn row(table: &Table, row: &SqliteRow) -> Result<Row, sqlx::Error> {
    table.columns.iter().enumerate().map(|(position, column)| Ok(cell(column.kind, raw(row, position)?))).collect()
}

/// The cell that a stored value is, in a column of this kind.
pub(crate) fn cell(kind: Kind, raw: Raw) -> Cell {
    let strict = match (kind, &raw) {
        (_, Raw::Null) => Some(Cell::Null),
        (Kind::Bytes, Raw::Blob(bytes)) => Some(Cell::Bytes(bytes.clone())),
        (Kind::Integer | Kind::Projected(ColumnType::Integer), Raw::Integer(number)) => Some(Cell::Integer(*number)),
        (Kind::Boolean | Kind::Projected(ColumnType::Boolean), Raw::Integer(number @ (0 | 1))) => {
            Some(Cell::Boolean(*number == 1))
        }
        (Kind::Timestamp | Kind::Projected(ColumnType::Timestamp), Raw::Text(text)) => {
            Timestamp::parse(text).ok().map(Cell::Timestamp)
        }
        (Kind::Projected(decimal @ ColumnType::Decimal(..)), stored) => decimal_cell(decimal, stored),
        (Kind::Projected(ColumnType::Date), Raw::Text(text)) => Some(Cell::Date(text.clone())),
        (_, Raw::Text(text)) => Some(Cell::Text(text.clone())),
        _ => None,
    };
    strict.filter(|cell| kind.holds(cell)).unwrap_or_else(|| Cell::Foreign(for_people(&raw)))
}

/// A decimal stored as a double is the text with the column's scale, where that text means the same double.
fn decimal_cell(kind: ColumnType, raw: &Raw) -> Option<Cell> {
    let ColumnType::Decimal(precision, scale) = kind else { return None };
    let numeric = precision <= NUMERIC_DIGITS;
    let text = match raw {
        Raw::Integer(number) if numeric => number.to_string(),
        Raw::Real(number) if numeric => {
            let text = format!("{number:.*}", usize::from(scale));
            text.parse().is_ok_and(|parsed: f64| parsed.total_cmp(number).is_eq()).then_some(text)?
        }
        Raw::Text(text) if !numeric => return Some(Cell::Decimal(text.clone())),
        _ => return None,
    };
    Some(kind.convert(Some(&Json::from(text.as_str())))).filter(|cell| *cell != Cell::Null)
}

/// A stored value of an unknown column, for answers to queries.
pub(crate) fn answer(raw: Raw) -> Cell {
    match raw {
        Raw::Null => Cell::Null,
        Raw::Integer(number) => Cell::Integer(number),
        Raw::Real(number) if number.is_finite() => Cell::Decimal(number.to_string()),
        Raw::Text(text) => Cell::Text(text),
        Raw::Blob(bytes) => Cell::Bytes(bytes),
        Raw::Real(_) | Raw::BadText(_) => Cell::Foreign(for_people(&raw)),
    }
}

fn for_people(raw: &Raw) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match raw {
        Raw::Null => "NULL".to_owned(),
        Raw::Integer(number) => number.to_string(),
        Raw::Real(number) => format!("{number:?}"),
        Raw::Text(text) => text.clone(),
        Raw::BadText(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Raw::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

/// An identifier, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The primary result code of SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i64> {
    let code: i64 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// The database's own words, without the wrapping of the driver's.
pub(crate) fn words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(inner) => inner.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    }
}

/// What a failed read means.
pub(crate) fn read_error(table: &str, error: &sqlx::Error) -> DatabaseError {
    let detail = words(error);
    if primary_code(error) == Some(1) {
        return DatabaseError::Shape { table: table.to_owned(), detail };
    }
    DatabaseError::Unavailable { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, raw: Raw, expected: Cell) {
        assert_eq!(cell(kind, raw.clone()), expected, "{kind:?} of {raw:?}");
    }

    fn foreign(text: &str) -> Cell {
        Cell::Foreign(text.to_owned())
    }

    #[test]
    fn a_value_of_another_storage_class_is_foreign() {
        check(Kind::Text, Raw::Blob(b"ab".to_vec()), foreign("x'6162'"));
        check(Kind::Text, Raw::Integer(1), foreign("1"));
        check(Kind::Text, Raw::Text("a\0b".to_owned()), foreign("a\0b"));
        check(Kind::Integer, Raw::Real(1.0), foreign("1.0"));
        check(Kind::Integer, Raw::Text("1".to_owned()), foreign("1"));
        check(Kind::Boolean, Raw::Integer(2), foreign("2"));
        check(Kind::Bytes, Raw::Text("ab".to_owned()), foreign("ab"));
        check(Kind::Timestamp, Raw::Text("2026-11-21 10:12:00".to_owned()), foreign("2026-11-21 10:12:00"));
        check(Kind::Projected(ColumnType::Date), Raw::Text("2026-02-30".to_owned()), foreign("2026-02-30"));
        check(Kind::Projected(ColumnType::Text(2)), Raw::Text("abc".to_owned()), foreign("abc"));
    }

    #[test]
    fn a_numeric_reads_as_the_decimal_that_it_exactly_is_or_is_foreign() {
        let kind = Kind::Projected(ColumnType::Decimal(12, 2));
        check(kind, Raw::Integer(350_000), Cell::Decimal("350000.00".to_owned()));
        check(kind, Raw::Real(350_000.1), Cell::Decimal("350000.10".to_owned()));
        check(kind, Raw::Real(-0.01), Cell::Decimal("-0.01".to_owned()));
        check(kind, Raw::Real(1.005), foreign("1.005"));
        check(kind, Raw::Real(350_000.100_000_000_1), foreign("350000.1000000001"));
        check(kind, Raw::Integer(10_000_000_000), foreign("10000000000"));
        check(kind, Raw::Text("1.00".to_owned()), foreign("1.00"));
        check(kind, Raw::Real(f64::INFINITY), foreign("inf"));
    }

    #[test]
    fn a_long_decimal_reads_as_its_text_or_is_foreign() {
        let kind = Kind::Projected(ColumnType::Decimal(38, 2));
        let long = "123456789012345678901234567890123456.78";
        check(kind, Raw::Text(long.to_owned()), Cell::Decimal(long.to_owned()));
        check(kind, Raw::Text("1.0".to_owned()), foreign("1.0"));
        check(kind, Raw::Integer(1), foreign("1"));
    }
}
