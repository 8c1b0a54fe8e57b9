//! The value: what a JSON document is once it has been read.
//!
//! Equality is equality by value, as RFC 6902's `test` wants it: members have no order (they are kept in
//! canonical order), and `1.0` and `1` are one number.

use super::number::Number;
use super::object::Object;

/// One JSON value.
///
/// An absent section of a record is `Null`: the network makes no difference between the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// `null`, and what an absent section is.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number that RFC 8785 prints without changing it.
    Number(Number),
    /// Text without NUL and without lone surrogates.
    String(String),
    /// Values in an order that matters.
    Array(Vec<Json>),
    /// Members in canonical order, each key once.
    Object(Object),
}

impl Json {
    /// The text, when this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, when this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, when this is a whole number between -(2^53 - 1) and 2^53 - 1.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The integer, when this is a whole number between 0 and 2^53 - 1.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_i64().and_then(|value| u64::try_from(value).ok())
    }

    /// The number as a double, when this is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(number) => Some(number.get()),
            _ => None,
        }
    }

    /// The items, when this is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members, when this is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }

    /// The member `key`, when this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.as_object().and_then(|members| members.get(key))
    }

    /// The JSON name of this kind of value: `null`, `boolean`, `number`, `string`, `array`, `object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// The kind with its article, as messages say it: `an object`, `a string`, `null`.
    pub fn kind_with_article(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        }
    }

    /// Whether arrays and objects nest at most `depth` deep (a scalar nests 0 deep, `[]` nests 1 deep).
    ///
    /// The walk never goes deeper than `depth`, so it is safe on any value.
    pub fn nests_within(&self, depth: usize) -> bool {
        match self {
            Json::Array(items) => {
                depth.checked_sub(1).is_some_and(|left| items.iter().all(|item| item.nests_within(left)))
            }
            Json::Object(members) => {
                depth.checked_sub(1).is_some_and(|left| members.iter().all(|(_, value)| value.nests_within(left)))
            }
            _ => true,
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_owned())
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Json {
        Json::String(text.clone())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::String(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

impl<T> From<T> for Json
where
    Number: From<T>,
{
    fn from(value: T) -> Json {
        Json::Number(Number::from(value))
    }
}

impl From<Vec<Json>> for Json {
    fn from(items: Vec<Json>) -> Json {
        Json::Array(items)
    }
}

impl From<Object> for Json {
    fn from(members: Object) -> Json {
        Json::Object(members)
    }
}

impl<T> From<Option<T>> for Json
where
    Json: From<T>,
{
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Json::from)
    }
}

impl FromIterator<Json> for Json {
    fn from_iter<I: IntoIterator<Item = Json>>(items: I) -> Json {
        Json::Array(items.into_iter().collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn equality_ignores_the_order_of_members_and_the_spelling_of_numbers() {
        let one = Json::parse(br#"{"b":1.0,"a":[2e0]}"#, &Default::default()).unwrap();
        assert_eq!(one, json!({"a": [2], "b": 1}));
    }

    #[test]
    fn integers_are_exact_or_absent() {
        assert_eq!(Json::from(9_007_199_254_740_991_u64).as_u64(), Some(9_007_199_254_740_991));
        assert_eq!(Json::from(-3).as_u64(), None);
        assert_eq!(Json::from(-3).as_i64(), Some(-3));
        let read = |text: &str| Json::parse(text.as_bytes(), &Default::default()).unwrap();
        assert_eq!(read("9007199254740992").as_i64(), None);
        assert_eq!(read("1.5").as_i64(), None);
        assert_eq!(read("1e3").as_i64(), Some(1000));
        assert_eq!(read("-0").as_u64(), Some(0));
    }

    #[test]
    fn absent_options_become_null() {
        assert_eq!(json!({"a": Option::<&str>::None, "b": Some("x")}), json!({"a": null, "b": "x"}));
    }

    #[test]
    fn nesting_is_measured_in_containers() {
        assert!(json!(1).nests_within(0));
        assert!(!json!([]).nests_within(0));
        assert!(json!([{"a": 1}]).nests_within(2));
        assert!(!json!([{"a": []}]).nests_within(2));
    }
}
