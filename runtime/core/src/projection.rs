//! Projected columns: one rule for all databases from a JSON value to a typed column.
//!
//! What does not convert is NULL everywhere. Nothing is rounded, nothing is guessed: a decimal with more
//! digits than the column has does not convert.

use crate::json::{Json, Pointer};
use crate::tables::Cell;
use crate::time::Timestamp;

/// The type of a projected column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text of at most so many characters, 1 to 255.
    Text(u16),
    /// A whole number that a JSON number carries exactly.
    Integer,
    /// An exact number: precision 1 to 38 digits in all, scale of them after the point.
    Decimal(u8, u8),
    /// True or false.
    Boolean,
    /// A date of the years 1000 to 9999, `YYYY-MM-DD`.
    Date,
    /// A moment of the years 1000 to 9999, RFC 3339.
    Timestamp,
}

/// Why a column's type is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// No such type.
    #[error(
        "type {0} is not known; known are text(1..255), integer, decimal(1..38, 0..precision), boolean, date, timestamp"
    )]
    Unknown(String),
    /// The schema only allows values that the type cannot hold.
    #[error("type {kind} cannot hold what the schema allows at {pointer}: {allowed}")]
    CannotHold {
        /// The column's type.
        kind: String,
        /// Where in the section.
        pointer: String,
        /// What the schema allows there.
        allowed: String,
    },
}

impl ColumnType {
    /// Reads a type such as `decimal(12,2)`.
    ///
    /// # Errors
    /// [`TypeError::Unknown`].
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let unknown = || TypeError::Unknown(text.to_owned());
        let (name, inner) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => (name, Some(rest.strip_suffix(')').ok_or_else(unknown)?)),
        };
        match (name, inner) {
            ("text", Some(length)) => {
                plain(length).filter(|n| (1..=255).contains(n)).map(ColumnType::Text).ok_or_else(unknown)
            }
            ("decimal", Some(both)) => {
                let (precision, scale) = both.split_once(',').ok_or_else(unknown)?;
                let precision = plain(precision).filter(|p| (1..=38).contains(p)).ok_or_else(unknown)?;
                let scale = plain(scale.trim_start_matches(' ')).filter(|s| *s <= precision).ok_or_else(unknown)?;
                Ok(ColumnType::Decimal(precision as u8, scale as u8))
            }
            ("integer", None) => Ok(ColumnType::Integer),
            ("boolean", None) => Ok(ColumnType::Boolean),
            ("date", None) => Ok(ColumnType::Date),
            ("timestamp", None) => Ok(ColumnType::Timestamp),
            _ => Err(unknown()),
        }
    }

    /// Whether values that the schema allows at `pointer` can be of this type. Only what the schema says
    /// plainly, by `type` or `maxLength`, counts; what it leaves open may turn out NULL.
    ///
    /// # Errors
    /// [`TypeError::CannotHold`].
    pub fn can_hold(self, schema: &Json, pointer: &Pointer) -> Result<(), TypeError> {
        let Some(there) = schema_at(schema, pointer) else { return Ok(()) };
        let fails = |allowed: String| {
            Err(TypeError::CannotHold { kind: self.to_string(), pointer: pointer.to_string(), allowed })
        };
        let types: Vec<&str> = match there.get("type") {
            Some(Json::String(one)) => vec![one.as_str()],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => return Ok(()),
        };
        let fits = |name: &&str| match self {
            ColumnType::Text(_) | ColumnType::Date | ColumnType::Timestamp => *name == "string",
            ColumnType::Integer => matches!(*name, "integer" | "number"),
            ColumnType::Decimal(..) => matches!(*name, "string" | "integer" | "number"),
            ColumnType::Boolean => *name == "boolean",
        };
        if let Some(other) = types.iter().find(|name| **name != "null" && !fits(name)) {
            return fails((*other).to_owned());
        }
        if let (ColumnType::Text(length), Some(longest)) = (self, there.get("maxLength").and_then(Json::as_u64))
            && longest > u64::from(length)
        {
            return fails(format!("strings of {longest} characters"));
        }
        Ok(())
    }

    /// The cell for a value; NULL where it does not convert.
    #[must_use]
    pub fn convert(self, value: Option<&Json>) -> Cell {
        value.and_then(|value| self.converted(value)).unwrap_or(Cell::Null)
    }

    fn converted(self, value: &Json) -> Option<Cell> {
        match self {
            ColumnType::Text(length) => value
                .as_str()
                .filter(|text| text.chars().count() <= usize::from(length))
                .map(|text| Cell::Text(text.to_owned())),
            ColumnType::Integer => value.as_i64().map(Cell::Integer),
            ColumnType::Boolean => value.as_bool().map(Cell::Boolean),
            ColumnType::Decimal(precision, scale) => match value {
                Json::String(text) => decimal(text, precision.into(), scale.into()),
                Json::Number(_) => decimal(&value.canonical(), precision.into(), scale.into()),
                _ => None,
            }
            .map(Cell::Decimal),
            ColumnType::Date => {
                let text = value.as_str()?;
                let moment = Timestamp::parse(&format!("{text}T00:00:00.000000Z")).ok()?;
                in_years(moment).then(|| Cell::Date(text.to_owned()))
            }
            ColumnType::Timestamp => {
                Timestamp::parse_lenient(value.as_str()?).ok().filter(|moment| in_years(*moment)).map(Cell::Timestamp)
            }
        }
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Text(length) => write!(f, "text({length})"),
            ColumnType::Integer => f.write_str("integer"),
            ColumnType::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Timestamp => f.write_str("timestamp"),
        }
    }
}

fn plain(text: &str) -> Option<u16> {
    (!text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn in_years(moment: Timestamp) -> bool {
    moment.to_string().as_str() >= "1000"
}

/// The schema of the value at `pointer`, as far as `properties` spell it out.
fn schema_at<'a>(schema: &'a Json, pointer: &Pointer) -> Option<&'a Json> {
    pointer.tokens().iter().try_fold(schema, |schema, token| schema.get("properties")?.get(token))
}

/// Canonical decimal text with exactly `scale` digits after the point, where nothing is lost by it.
fn decimal(text: &str, precision: usize, scale: usize) -> Option<String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.len() <= 64 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() > precision - scale || fraction.len() > scale {
        return None;
    }
    let sign = if negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction:0<scale$}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    fn check(kind: &str, value: Json, expected: Cell) {
        let kind = ColumnType::parse(kind).unwrap_or(ColumnType::Boolean);
        assert_eq!(kind.convert(Some(&value)), expected, "{kind} of {value}");
    }

    #[test]
    fn a_decimal_converts_exactly_or_not_at_all() {
        let decimal = |text: &str| Cell::Decimal(text.to_owned());
        check("decimal(12,2)", json!("350000.1"), decimal("350000.10"));
        check("decimal(12,2)", json!("-0.00"), decimal("0.00"));
        check("decimal(12,2)", json!("0012.500"), decimal("12.50"));
        check("decimal(12,2)", json!(7), decimal("7.00"));
        check("decimal(3,0)", json!("999"), decimal("999"));
        for refused in ["1.005", "12345678901", "1e3", "1.", ".5", "", "-", "+1", "12,5", "٣"] {
            check("decimal(12,2)", json!(refused), Cell::Null);
        }
    }

    #[test]
    fn values_that_do_not_convert_are_null() {
        check("text(3)", json!("äöü"), Cell::Text("äöü".to_owned()));
        check("text(3)", json!("four"), Cell::Null);
        check("integer", json!("7"), Cell::Null);
        check("date", json!("2026-02-29"), Cell::Null);
        check("date", json!("0999-01-01"), Cell::Null);
        check("date", json!("2024-02-29"), Cell::Date("2024-02-29".to_owned()));
        check("boolean", json!(1), Cell::Null);
    }

    #[test]
    fn a_type_that_cannot_hold_what_the_schema_allows_is_refused() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string", "maxLength": 300}, "o": {"type": "object"}}});
        let check = |kind: &str, pointer: &str| {
            let (Ok(kind), Ok(pointer)) = (ColumnType::parse(kind), Pointer::parse(pointer)) else { return false };
            kind.can_hold(&schema, &pointer).is_ok()
        };
        assert!(check("integer", "/n") && check("decimal(10,2)", "/n") && check("text(10)", "/elsewhere"));
        assert!(
            !check("text(10)", "/n") && !check("text(255)", "/s") && !check("integer", "/o") && !check("date", "/n")
        );
    }

    #[test]
    fn types_outside_the_list_are_unknown() {
        for text in [
            "text",
            "text(0)",
            "text(256)",
            "decimal(39,2)",
            "decimal(2,3)",
            "decimal(10)",
            "float",
            "integer(4)",
            "text(3",
            "",
        ] {
            assert!(ColumnType::parse(text).is_err(), "{text}");
        }
    }
}
