//! Between cells and what the server stores: arguments on the way in, the binary protocol's values on the way out.
//!
//! Invariant: reading is strict. A value that the column's kind could not have been given, or a column of another type
//! than ours, comes back as [`Cell::Foreign`], never bent into shape.

use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Column, Kind, Row, Table};
use lockstep_core::time::Timestamp;
use sqlx::mysql::{MySql, MySqlArguments, MySqlRow, MySqlTypeInfo, MySqlValueRef};
use sqlx::{Arguments, Decode, Row as _, Type, TypeInfo, ValueRef};

/// Most characters of a text that may be part of a key: three of them stay within an index of 3,072 bytes.
const KEY_CHARS: u16 = 255;

/// What is stored, as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    Null,
    /// A TINYINT(1).
    Truth(i64),
    Integer(i128),
    Real(f64),
    Decimal(String),
    Text(String),
    /// Text that is not UTF-8.
    BadText(Vec<u8>),
    Bytes(Vec<u8>),
    Date(String),
    /// `YYYY-MM-DD HH:MM:SS.ffffff`.
    Moment(String),
    Other(String),
}

/// The column's type in DDL, without its collation.
pub(crate) fn sql_type(kind: Kind) -> String {
    match kind {
        Kind::Integer | Kind::Projected(ColumnType::Integer) => "bigint".to_owned(),
        Kind::Boolean | Kind::Projected(ColumnType::Boolean) => "tinyint(1)".to_owned(),
        Kind::Bytes => "longblob".to_owned(),
        Kind::Text => format!("varchar({KEY_CHARS})"),
        Kind::LongText | Kind::Json => "longtext".to_owned(),
        Kind::Timestamp | Kind::Projected(ColumnType::Timestamp) => "datetime(6)".to_owned(),
        Kind::Projected(ColumnType::Text(length)) => format!("varchar({length})"),
        Kind::Projected(ColumnType::Decimal(precision, scale)) => format!("decimal({precision},{scale})"),
        Kind::Projected(ColumnType::Date) => "date".to_owned(),
    }
}

/// Whether the column's type has a collation.
pub(crate) fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::LongText | Kind::Json | Kind::Projected(ColumnType::Text(_)))
}

/// Binds a cell that is for this column.
///
/// # Errors
/// In words, where the column's kind does not hold such a cell.
pub(crate) fn bind(arguments: &mut MySqlArguments, table: &Table, column: &Column, cell: &Cell) -> Result<(), String> {
    if !column.kind.holds(cell) {
        return Err(format!(
            "column {} of {} cannot hold {}",
            column.name,
            table.name,
            cell.show().unwrap_or_default()
        ));
    }
    bind_cell(arguments, cell)
}

/// Binds a cell as it is. Decimals, dates and moments go as text, which the server converts exactly.
pub(crate) fn bind_cell(arguments: &mut MySqlArguments, cell: &Cell) -> Result<(), String> {
    let added = match cell {
        Cell::Null => arguments.add(None::<i64>),
        Cell::Text(text) | Cell::Decimal(text) | Cell::Date(text) | Cell::Foreign(text) => arguments.add(text.as_str()),
        Cell::Bytes(bytes) => arguments.add(bytes.as_slice()),
        Cell::Integer(number) => arguments.add(*number),
        Cell::Boolean(truth) => arguments.add(i64::from(*truth)),
        Cell::Timestamp(time) => arguments.add(moment(*time).as_str()),
    };
    added.map_err(|error| error.to_string())
}

/// `2026-11-21T10:12:00.000001Z` as the server writes it.
fn moment(time: Timestamp) -> String {
    time.to_string().trim_end_matches('Z').replace('T', " ")
}

/// What one column of a row holds.
pub(crate) fn raw(row: &MySqlRow, position: usize) -> Result<Raw, sqlx::Error> {
    let value = row.try_get_raw(position)?;
    let info = value.type_info().into_owned();
    // Not `is_null`, which says yes to the date 0000-00-00.
    let Ok(bytes) = <&[u8] as Decode<'_, MySql>>::decode(MySqlValueRef::clone(&value)) else { return Ok(Raw::Null) };
    Ok(raw_of(&info, bytes))
}

fn raw_of(info: &MySqlTypeInfo, bytes: &[u8]) -> Raw {
    match info.name() {
        "BOOLEAN" => Raw::Truth(i64::from(bytes.first().copied().unwrap_or_default().cast_signed())),
        "FLOAT" => bytes.try_into().map_or(Raw::Null, |bytes| Raw::Real(f64::from(f32::from_le_bytes(bytes)))),
        "DOUBLE" => bytes.try_into().map_or(Raw::Null, |bytes| Raw::Real(f64::from_le_bytes(bytes))),
        "DECIMAL" => Raw::Decimal(String::from_utf8_lossy(bytes).into_owned()),
        "DATE" => Raw::Date(calendar(bytes)),
        "DATETIME" | "TIMESTAMP" => Raw::Moment(format!("{} {}", calendar(bytes), clock(bytes.get(5..)))),
        "TIME" => Raw::Other(duration(bytes)),
        "BIT" => Raw::Integer(bytes.iter().fold(0, |number, byte| (number << 8) | i128::from(*byte))),
        "GEOMETRY" => Raw::Bytes(bytes.to_vec()),
        "ENUM" | "SET" | "JSON" => text(bytes),
        name if name.contains("INT") || name == "YEAR" => Raw::Integer(integer(bytes, !name.ends_with("UNSIGNED"))),
        // The name says BINARY of text with a binary collation, too; this does not.
        _ if <str as Type<MySql>>::compatible(info) => text(bytes),
        _ => Raw::Bytes(bytes.to_vec()),
    }
}

fn text(bytes: &[u8]) -> Raw {
    String::from_utf8(bytes.to_vec()).map_or_else(|error| Raw::BadText(error.into_bytes()), Raw::Text)
}

/// A whole number of 1 to 8 bytes, least significant first.
fn integer(bytes: &[u8], signed: bool) -> i128 {
    let number = bytes.iter().rev().fold(0_i128, |number, byte| (number << 8) | i128::from(*byte));
    let negative = signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
    if negative { number - (1_i128 << (8 * bytes.len())) } else { number }
}

fn number(bytes: Option<&[u8]>) -> i128 {
    integer(bytes.unwrap_or_default(), false)
}

/// Length, year, month, day; what is zero may be left out.
fn calendar(bytes: &[u8]) -> String {
    format!("{:04}-{:02}-{:02}", number(bytes.get(1..3)), number(bytes.get(3..4)), number(bytes.get(4..5)))
}

/// Hours, minutes, seconds, microseconds; what is zero may be left out.
fn clock(bytes: Option<&[u8]>) -> String {
    let part = |from: usize, to: usize| number(bytes.and_then(|bytes| bytes.get(from..to)));
    format!("{:02}:{:02}:{:02}.{:06}", part(0, 1), part(1, 2), part(2, 3), part(3, 7))
}

/// Length, sign, days, then as a clock.
fn duration(bytes: &[u8]) -> String {
    let sign = if number(bytes.get(1..2)) == 1 { "-" } else { "" };
    let days = number(bytes.get(2..6));
    let hours = days * 24 + number(bytes.get(6..7));
    format!("{sign}{hours:02}{}", clock(bytes.get(6..)).get(2..).unwrap_or_default())
}

/// The row of a known table, whose columns were selected in order.
pub(crate) fn row(table: &Table, row: &MySqlRow) -> Result<Row, sqlx::Error> {
    table.columns.iter().enumerate().map(|(position, column)| Ok(cell(column.kind, raw(row, position)?))).collect()
}

/// The cell that a stored value is, in a column of this kind.
pub(crate) fn cell(kind: Kind, raw: Raw) -> Cell {
    let strict = match (kind, &raw) {
        (_, Raw::Null) => Some(Cell::Null),
        (Kind::Bytes, Raw::Bytes(bytes)) => Some(Cell::Bytes(bytes.clone())),
        (Kind::Integer | Kind::Projected(ColumnType::Integer), Raw::Integer(number)) => {
            i64::try_from(*number).ok().map(Cell::Integer)
        }
        (Kind::Boolean | Kind::Projected(ColumnType::Boolean), Raw::Truth(number @ (0 | 1))) => {
            Some(Cell::Boolean(*number == 1))
        }
        (Kind::Timestamp | Kind::Projected(ColumnType::Timestamp), Raw::Moment(text)) => timestamp(text),
        (Kind::Projected(ColumnType::Decimal(..)), Raw::Decimal(text)) => Some(Cell::Decimal(text.clone())),
        (Kind::Projected(ColumnType::Date), Raw::Date(text)) => Some(Cell::Date(text.clone())),
        (Kind::Text | Kind::LongText | Kind::Json | Kind::Projected(ColumnType::Text(_)), Raw::Text(text)) => {
            Some(Cell::Text(text.clone()))
        }
        _ => None,
    };
    strict.filter(|cell| kind.holds(cell)).unwrap_or_else(|| Cell::Foreign(for_people(&raw)))
}

fn timestamp(text: &str) -> Option<Cell> {
    Timestamp::parse(&format!("{}Z", text.replace(' ', "T"))).ok().map(Cell::Timestamp)
}

/// A stored value of an unknown column, for answers to queries.
pub(crate) fn answer(raw: Raw) -> Cell {
    match &raw {
        Raw::Null => Cell::Null,
        Raw::Truth(number) => Cell::Integer(*number),
        Raw::Integer(number) => {
            i64::try_from(*number).map_or_else(|_| Cell::Decimal(number.to_string()), Cell::Integer)
        }
        Raw::Real(number) if number.is_finite() => Cell::Decimal(number.to_string()),
        Raw::Decimal(text) => Cell::Decimal(text.clone()),
        Raw::Text(text) | Raw::Other(text) => Cell::Text(text.clone()),
        Raw::Bytes(bytes) => Cell::Bytes(bytes.clone()),
        Raw::Date(text) => Cell::Date(text.clone()),
        Raw::Moment(text) => timestamp(text).unwrap_or_else(|| Cell::Foreign(text.clone())),
        Raw::Real(_) | Raw::BadText(_) => Cell::Foreign(for_people(&raw)),
    }
}

fn for_people(raw: &Raw) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match raw {
        Raw::Null => "NULL".to_owned(),
        Raw::Truth(number) => number.to_string(),
        Raw::Integer(number) => number.to_string(),
        Raw::Real(number) => format!("{number:?}"),
        Raw::Decimal(text) | Raw::Text(text) | Raw::Date(text) | Raw::Moment(text) | Raw::Other(text) => text.clone(),
        Raw::BadText(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Raw::Bytes(bytes) => format!("x'{}'", hex(bytes)),
    }
}

/// An identifier, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as a literal; backslashes are escapes here, since no session of ours turns them off.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
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
    fn a_value_of_another_type_is_foreign() {
        check(Kind::Text, Raw::Bytes(b"ab".to_vec()), foreign("x'6162'"));
        check(Kind::Text, Raw::Integer(1), foreign("1"));
        check(Kind::Text, Raw::Text("a\0b".to_owned()), foreign("a\0b"));
        check(Kind::Integer, Raw::Decimal("1.0".to_owned()), foreign("1.0"));
        check(Kind::Integer, Raw::Integer(i128::from(u64::MAX)), foreign("18446744073709551615"));
        check(Kind::Boolean, Raw::Truth(2), foreign("2"));
        check(Kind::Bytes, Raw::Text("ab".to_owned()), foreign("ab"));
        check(
            Kind::Timestamp,
            Raw::Moment("0000-00-00 00:00:00.000000".to_owned()),
            foreign("0000-00-00 00:00:00.000000"),
        );
        check(Kind::Projected(ColumnType::Date), Raw::Date("2026-00-30".to_owned()), foreign("2026-00-30"));
        check(Kind::Projected(ColumnType::Text(2)), Raw::Text("abc".to_owned()), foreign("abc"));
        check(Kind::Projected(ColumnType::Decimal(12, 2)), Raw::Decimal("1.005".to_owned()), foreign("1.005"));
    }

    #[test]
    fn numbers_of_the_binary_protocol_are_read_with_their_sign() {
        assert_eq!(integer(&[0xff], true), -1);
        assert_eq!(integer(&[0xff], false), 255);
        assert_eq!(integer(&i64::MIN.to_le_bytes(), true), i128::from(i64::MIN));
        assert_eq!(integer(&u64::MAX.to_le_bytes(), false), i128::from(u64::MAX));
    }

    #[test]
    fn moments_of_the_binary_protocol_are_read_at_every_length() {
        let day = [4, 0xea, 0x07, 11, 21];
        assert_eq!(calendar(&day), "2026-11-21");
        assert_eq!(clock(day.get(5..)), "00:00:00.000000");
        let whole = [11, 0xea, 0x07, 11, 21, 10, 12, 59, 1, 0, 0, 0];
        assert_eq!(clock(whole.get(5..)), "10:12:59.000001");
        assert_eq!(calendar(&[0]), "0000-00-00");
        assert_eq!(duration(&[8, 1, 1, 0, 0, 0, 2, 3, 4]), "-26:03:04.000000");
    }
}
