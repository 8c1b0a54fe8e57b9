//! Between cells and PostgreSQL's binary values: typed arrays on the way in, native types on the way out.
//!
//! Invariant: reading is strict. Whatever the column's kind could not have been given comes back as
//! [`Cell::Foreign`], never bent into shape: after a DBA's hand a column may have another type or hold `infinity`.

use lockstep_core::json::Json;
use lockstep_core::projection::ColumnType;
use lockstep_core::tables::{Cell, Column, Kind, Row, Table};
use lockstep_core::time::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, Postgres};
use sqlx::{Encode, Row as _, Type, ValueRef};

use crate::jsonb;

/// PostgreSQL counts from the year 2000: microseconds from 1970 to there.
const EPOCH: i64 = 946_684_800_000_000;
const DAY: i64 = 86_400_000_000;

/// PostgreSQL's own numbers of its types, the same in every installation.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const JSONB: u32 = 3802;
}

/// How values of a column travel. Decimals go as text, which the statement casts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Text,
    Bytes,
    Integer,
    Boolean,
    Timestamp,
    Date,
    Json,
}

impl Wire {
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Bytes => Wire::Bytes,
            Kind::Integer | Kind::Projected(ColumnType::Integer) => Wire::Integer,
            Kind::Boolean | Kind::Projected(ColumnType::Boolean) => Wire::Boolean,
            Kind::Timestamp | Kind::Projected(ColumnType::Timestamp) => Wire::Timestamp,
            Kind::Projected(ColumnType::Date) => Wire::Date,
            Kind::Json => Wire::Json,
            Kind::Text | Kind::LongText | Kind::Projected(ColumnType::Text(_) | ColumnType::Decimal(..)) => Wire::Text,
        }
    }

    /// The type of one value and of an array of them.
    fn oids(self) -> (u32, u32) {
        match self {
            Wire::Text => (oid::TEXT, 1009),
            Wire::Bytes => (oid::BYTEA, 1001),
            Wire::Integer => (oid::INT8, 1016),
            Wire::Boolean => (oid::BOOL, 1000),
            Wire::Timestamp => (oid::TIMESTAMPTZ, 1185),
            Wire::Date => (oid::DATE, 1182),
            Wire::Json => (oid::JSONB, 3807),
        }
    }

    /// One value, binary; false where it is of another kind.
    fn put(self, cell: &Cell, out: &mut Vec<u8>) -> bool {
        match (self, cell) {
            (Wire::Text, Cell::Text(text) | Cell::Decimal(text)) => out.extend(text.as_bytes()),
            (Wire::Bytes, Cell::Bytes(bytes)) => out.extend(bytes),
            (Wire::Integer, Cell::Integer(number)) => out.extend(number.to_be_bytes()),
            (Wire::Boolean, Cell::Boolean(truth)) => out.push(u8::from(*truth)),
            (Wire::Timestamp, Cell::Timestamp(time)) => out.extend((time.micros() - EPOCH).to_be_bytes()),
            (Wire::Date, Cell::Date(text)) => match days(text) {
                Some(days) => out.extend(days.to_be_bytes()),
                None => return false,
            },
            (Wire::Json, Cell::Text(text)) => {
                out.push(1);
                out.extend(text.as_bytes());
            }
            _ => return false,
        }
        true
    }
}

/// Days since 2000-01-01 of a date.
fn days(date: &str) -> Option<i32> {
    let midnight = Timestamp::parse(&format!("{date}T00:00:00.000000Z")).ok()?;
    i32::try_from((midnight.micros() - EPOCH).div_euclid(DAY)).ok()
}

/// One argument: a value.
#[derive(Clone, Debug)]
pub(crate) struct One(Wire, Vec<u8>);

impl One {
    /// None where a value of that kind cannot be such a cell.
    pub(crate) fn new(wire: Wire, cell: &Cell) -> Option<Self> {
        let mut bytes = Vec::new();
        wire.put(cell, &mut bytes).then_some(One(wire, bytes))
    }
}

/// One argument: the values of a column, so that one statement takes any number of rows.
#[derive(Clone, Debug)]
pub(crate) struct Many {
    wire: Wire,
    elements: Vec<u8>,
    length: i32,
    nulls: bool,
}

impl Many {
    pub(crate) fn new(wire: Wire) -> Self {
        Many { wire, elements: Vec::new(), length: 0, nulls: false }
    }

    /// Adds a cell; false where it is of another kind, and nothing was added.
    pub(crate) fn push(&mut self, cell: &Cell) -> bool {
        let start = self.elements.len();
        self.elements.extend((-1_i32).to_be_bytes());
        if *cell == Cell::Null {
            self.nulls = true;
        } else if !self.wire.put(cell, &mut self.elements) {
            self.elements.truncate(start);
            return false;
        } else {
            let length = i32::try_from(self.elements.len() - start - 4).unwrap_or(i32::MAX).to_be_bytes();
            if let Some(place) = self.elements.get_mut(start..start + 4) {
                place.copy_from_slice(&length);
            }
        }
        self.length += 1;
        true
    }

    /// Adds a cell that is for this column.
    ///
    /// # Errors
    /// In words, where the column's kind does not hold such a cell.
    pub(crate) fn push_for(&mut self, table: &Table, column: &Column, cell: &Cell) -> Result<(), String> {
        if column.kind.holds(cell) && self.push(cell) {
            return Ok(());
        }
        let shown: String = cell.show().unwrap_or_default().chars().take(200).collect();
        Err(format!("column {} of {} cannot hold {shown}", column.name, table.name))
    }
}

impl Type<Postgres> for One {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(oid::TEXT))
    }
}

impl Type<Postgres> for Many {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(Wire::Text.oids().1))
    }
}

impl Encode<'_, Postgres> for One {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.1);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.oids().0)))
    }
}

impl Encode<'_, Postgres> for Many {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let dimensions = i32::from(self.length > 0);
        buffer.extend_from_slice(&dimensions.to_be_bytes());
        buffer.extend_from_slice(&i32::from(self.nulls).to_be_bytes());
        buffer.extend_from_slice(&self.wire.oids().0.to_be_bytes());
        if self.length > 0 {
            buffer.extend_from_slice(&self.length.to_be_bytes());
            buffer.extend_from_slice(&1_i32.to_be_bytes());
        }
        buffer.extend_from_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.wire.oids().1)))
    }
}

/// The column's type in DDL, as `format_type` prints it. Text of ours is compared by bytes.
pub(crate) fn sql_type(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::LongText => "text".to_owned(),
        Kind::Bytes => "bytea".to_owned(),
        Kind::Integer | Kind::Projected(ColumnType::Integer) => "bigint".to_owned(),
        Kind::Boolean | Kind::Projected(ColumnType::Boolean) => "boolean".to_owned(),
        Kind::Timestamp | Kind::Projected(ColumnType::Timestamp) => "timestamp with time zone".to_owned(),
        Kind::Json => "jsonb".to_owned(),
        Kind::Projected(ColumnType::Text(length)) => format!("character varying({length})"),
        Kind::Projected(ColumnType::Decimal(precision, scale)) => format!("numeric({precision},{scale})"),
        Kind::Projected(ColumnType::Date) => "date".to_owned(),
    }
}

/// Whether a column's text has an order, which must be that of its bytes.
pub(crate) fn is_ordered_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::LongText | Kind::Projected(ColumnType::Text(_)))
}

/// The row of a known table, whose columns were selected in order by [`crate::read::select_sql`].
pub(crate) fn row(table: &Table, row: &PgRow) -> Result<Row, sqlx::Error> {
    let cell = |(at, column): (usize, &Column)| {
        let value = row.try_get_raw(at)?;
        let of = value.type_info().oid().map_or(0, |oid| oid.0);
        let bytes = if value.is_null() { None } else { Some(value.as_bytes().map_err(sqlx::Error::Decode)?) };
        Ok(cell(column.kind, of, bytes))
    };
    table.columns.iter().enumerate().map(cell).collect()
}

/// The cell that a binary value of a type is, in a column of this kind.
fn cell(kind: Kind, of: u32, bytes: Option<&[u8]>) -> Cell {
    let Some(bytes) = bytes else { return Cell::Null };
    let text = || std::str::from_utf8(bytes).ok().map(str::to_owned);
    let strict = match (Wire::of(kind), of) {
        (Wire::Bytes, oid::BYTEA) => Some(Cell::Bytes(bytes.to_vec())),
        (Wire::Integer, oid::INT8) => integer(bytes).map(Cell::Integer),
        (Wire::Boolean, oid::BOOL) => bytes.first().map(|byte| Cell::Boolean(*byte != 0)),
        (Wire::Timestamp, oid::TIMESTAMPTZ) => timestamp(bytes).map(Cell::Timestamp),
        (Wire::Date, oid::DATE) => date(bytes).map(Cell::Date),
        (Wire::Json, oid::JSONB) => document(bytes).and_then(jsonb::read).map(Cell::Text),
        (Wire::Text, oid::TEXT | oid::VARCHAR) => match kind {
            Kind::Projected(decimal @ ColumnType::Decimal(..)) => {
                text().map(Cell::Decimal).filter(|cell| Some(&exactly(decimal, cell)) == Some(cell))
            }
            _ => text().map(Cell::Text),
        },
        _ => None,
    };
    strict.filter(|cell| kind.holds(cell)).unwrap_or_else(|| Cell::Foreign(for_people(of, bytes)))
}

/// What the decimal's text converts to; the same text, unless it has another scale.
fn exactly(kind: ColumnType, cell: &Cell) -> Cell {
    kind.convert(cell.show().map(|text| Json::from(text.as_str())).as_ref())
}

fn integer(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

fn timestamp(bytes: &[u8]) -> Option<Timestamp> {
    Timestamp::from_micros(integer(bytes)?.checked_add(EPOCH)?)
}

fn date(bytes: &[u8]) -> Option<String> {
    let days = i64::from(i32::from_be_bytes(bytes.try_into().ok()?));
    let midnight = Timestamp::from_micros(days.checked_mul(DAY)?.checked_add(EPOCH)?)?;
    midnight.to_string().get(..10).map(str::to_owned)
}

/// JSONB travels as text behind the number of its format.
fn document(bytes: &[u8]) -> Option<&str> {
    bytes.strip_prefix(&[1]).and_then(|text| std::str::from_utf8(text).ok())
}

fn for_people(of: u32, bytes: &[u8]) -> String {
    let hex = || bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let small = |bytes: &[u8]| match *bytes {
        [high, low] => Some(i64::from(i16::from_be_bytes([high, low]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        _ => integer(bytes),
    };
    let known = match of {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::JSON => Some(String::from_utf8_lossy(bytes).into_owned()),
        oid::JSONB => document(bytes).map(str::to_owned),
        oid::INT2 | oid::INT4 | oid::INT8 => small(bytes).map(|number| number.to_string()),
        oid::BOOL => bytes.first().map(|byte| (*byte != 0).to_string()),
        oid::TIMESTAMPTZ | oid::DATE => Some(moment_for_people(of, bytes)),
        oid::BYTEA => Some(format!("\\x{}", hex())),
        _ => None,
    };
    known.unwrap_or_else(|| format!("a value of type {of}: \\x{}", hex()))
}

fn moment_for_people(of: u32, bytes: &[u8]) -> String {
    let (least, most) = match of {
        oid::DATE => (bytes == i32::MIN.to_be_bytes(), bytes == i32::MAX.to_be_bytes()),
        _ => (bytes == i64::MIN.to_be_bytes(), bytes == i64::MAX.to_be_bytes()),
    };
    match (least, most) {
        (true, _) => "-infinity".to_owned(),
        (_, true) => "infinity".to_owned(),
        _ => match of {
            oid::DATE => date(bytes),
            _ => timestamp(bytes).map(|time| time.to_string()),
        }
        .unwrap_or_else(|| "a time outside of the years 1 to 9999".to_owned()),
    }
}

/// A value of an unknown column as text, for answers to queries.
pub(crate) fn answer(of: u32, text: Option<&str>) -> Cell {
    let Some(text) = text else { return Cell::Null };
    let known = match of {
        oid::INT2 | oid::INT4 | oid::INT8 => text.parse().ok().map(Cell::Integer),
        oid::BOOL => Some(Cell::Boolean(text == "t")),
        oid::NUMERIC | oid::FLOAT4 | oid::FLOAT8 if text.contains(|letter: char| letter.is_ascii_digit()) => {
            Some(Cell::Decimal(text.to_owned()))
        }
        oid::BYTEA => text.strip_prefix("\\x").and_then(unhex).map(Cell::Bytes),
        oid::DATE => Some(Cell::Date(text.to_owned())),
        oid::TIMESTAMPTZ => printed_time(text).map(Cell::Timestamp),
        oid::JSONB => jsonb::read(text).map(Cell::Text),
        _ => None,
    };
    known.unwrap_or_else(|| Cell::Text(text.to_owned()))
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// `2026-11-21 10:12:00.000412+00`, as PostgreSQL prints in UTC; no decimals where there are none.
fn printed_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_lenient(&format!("{}Z", text.strip_suffix("+00")?.replacen(' ', "T", 1))).ok()
}

/// An identifier, quoted.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, of: u32, bytes: &[u8], expected: Cell) {
        assert_eq!(cell(kind, of, Some(bytes)), expected, "{kind:?} of type {of}");
    }

    fn foreign(text: &str) -> Cell {
        Cell::Foreign(text.to_owned())
    }

    #[test]
    fn a_value_of_another_type_is_foreign() {
        check(Kind::Integer, oid::INT4, &7_i32.to_be_bytes(), foreign("7"));
        check(Kind::Text, oid::BYTEA, b"ab", foreign("\\x6162"));
        check(Kind::Boolean, oid::TEXT, b"t", foreign("t"));
        check(Kind::Timestamp, oid::TIMESTAMPTZ, &i64::MAX.to_be_bytes(), foreign("infinity"));
        check(Kind::Projected(ColumnType::Date), oid::DATE, &i32::MIN.to_be_bytes(), foreign("-infinity"));
        check(Kind::Projected(ColumnType::Text(2)), oid::TEXT, b"abc", foreign("abc"));
    }

    #[test]
    fn a_decimal_is_one_only_with_its_own_scale() {
        let kind = Kind::Projected(ColumnType::Decimal(12, 2));
        check(kind, oid::TEXT, b"350000.10", Cell::Decimal("350000.10".to_owned()));
        for other in ["350000.1", "NaN", "Infinity", "12345678901.00"] {
            check(kind, oid::TEXT, other.as_bytes(), foreign(other));
        }
    }

    #[test]
    fn answers_have_the_types_that_they_have_everywhere() {
        assert_eq!(answer(oid::INT4, Some("-7")), Cell::Integer(-7));
        assert_eq!(answer(oid::BOOL, Some("f")), Cell::Boolean(false));
        assert_eq!(answer(oid::NUMERIC, Some("1.50")), Cell::Decimal("1.50".to_owned()));
        assert_eq!(answer(oid::NUMERIC, Some("NaN")), Cell::Text("NaN".to_owned()));
        assert_eq!(answer(oid::BYTEA, Some("\\x00ff")), Cell::Bytes(vec![0, 255]));
        assert_eq!(answer(oid::JSONB, Some("{\"b\": 1, \"aa\": [2]}")), Cell::Text("{\"aa\":[2],\"b\":1}".to_owned()));
        let time = Timestamp::parse("2026-11-21T10:12:00.000412Z").map(Cell::Timestamp);
        assert_eq!(Ok(answer(oid::TIMESTAMPTZ, Some("2026-11-21 10:12:00.000412+00"))), time);
    }
}
