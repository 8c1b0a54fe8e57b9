//! From a document to a struct: every member is read by name and type, and none is left over.
//!
//! A member that nobody reads could be signed by one version and ignored by another, so it is refused.

use std::fmt;

use super::object::Object;
use super::parse::quoted;
use super::value::Json;

/// Reads one object, member by member.
///
/// ```
/// use lockstep_core::json::{Fields, Json, ShapeError};
/// fn price(offer: &Json) -> Result<&str, ShapeError> {
///     let mut fields = Fields::of(offer, "offer")?;
///     let price = fields.text("price")?;
///     fields.finish()?;
///     Ok(price)
/// }
/// let error = price(&lockstep_core::json!({"price": 340000})).unwrap_err();
/// assert_eq!(error.to_string(), "offer.price: expected a string, found a number");
/// ```
#[derive(Debug)]
#[must_use = "call finish(), or unknown members pass unnoticed"]
pub struct Fields<'a> {
    members: &'a Object,
    what: String,
    read: Vec<bool>,
}

/// A document does not have the shape it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct ShapeError {
    /// Where: `intent.records[2].salt`.
    pub path: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl ShapeError {
    /// An error about the value at `path`.
    pub fn new(path: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> ShapeError {
        ShapeError { path: path.into(), expected: expected.into(), found: found.into() }
    }
}

impl<'a> Fields<'a> {
    /// Starts reading `value`, which messages call `what`.
    pub fn of(value: &'a Json, what: &str) -> Result<Fields<'a>, ShapeError> {
        match value {
            Json::Object(members) => Ok(Fields { members, what: what.to_owned(), read: vec![false; members.len()] }),
            other => Err(ShapeError::new(what, "an object", other.kind_with_article())),
        }
    }

    /// What messages call the member `name`.
    pub fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.what)
    }

    /// The member `name`, which must be there.
    pub fn need(&mut self, name: &str) -> Result<&'a Json, ShapeError> {
        self.optional(name).ok_or_else(|| ShapeError::new(self.path(name), "a value", "no such member"))
    }

    /// The member `name`, if it is there. A member that is `null` is there.
    pub fn optional(&mut self, name: &str) -> Option<&'a Json> {
        let index = self.members.position(name)?;
        if let Some(read) = self.read.get_mut(index) {
            *read = true;
        }
        self.members.get(name)
    }

    /// The text of `name`.
    pub fn text(&mut self, name: &str) -> Result<&'a str, ShapeError> {
        let value = self.need(name)?;
        self.typed(name, value, "a string", Json::as_str)
    }

    /// The text of `name`, if it is there.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<&'a str>, ShapeError> {
        let value = self.optional(name);
        value.map(|value| self.typed(name, value, "a string", Json::as_str)).transpose()
    }

    /// The text of `name`, read as something more precise: a name, a digest, a time.
    pub fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ShapeError> {
        let text = self.text(name)?;
        read(text).map_err(|error| self.unreadable(name, text, &error))
    }

    /// The text of `name`, read as something more precise, if it is there.
    pub fn optional_parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ShapeError> {
        let text = self.optional_text(name)?;
        text.map(|text| read(text).map_err(|error| self.unreadable(name, text, &error))).transpose()
    }

    /// The texts of the array `name`, if it is there.
    pub fn optional_texts(&mut self, name: &str) -> Result<Option<Vec<&'a str>>, ShapeError> {
        let Some(items) = self.optional_array(name)? else { return Ok(None) };
        let texts = items.iter().map(|item| self.typed(name, item, "an array of strings", Json::as_str));
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// Whether `name`, which must be there, is `null`.
    pub fn is_null(&mut self, name: &str) -> Result<bool, ShapeError> {
        self.need(name).map(Json::is_null)
    }

    /// The text of `name`, which must be there and may be `null`, read as something more precise.
    pub fn nullable_parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ShapeError> {
        if self.is_null(name)? { Ok(None) } else { self.parsed(name, read).map(Some) }
    }

    /// The whole number of `name`, which must be there and may be `null`.
    pub fn nullable_count(&mut self, name: &str) -> Result<Option<u64>, ShapeError> {
        if self.is_null(name)? { Ok(None) } else { self.count(name).map(Some) }
    }

    /// The whole number of `name`, between 0 and 2^53 - 1.
    pub fn count(&mut self, name: &str) -> Result<u64, ShapeError> {
        let value = self.need(name)?;
        self.typed(name, value, "a whole number from 0 to 2^53 - 1", Json::as_u64)
    }

    /// The whole number of `name`, if it is there.
    pub fn optional_count(&mut self, name: &str) -> Result<Option<u64>, ShapeError> {
        let value = self.optional(name);
        value.map(|value| self.typed(name, value, "a whole number from 0 to 2^53 - 1", Json::as_u64)).transpose()
    }

    /// The truth value of `name`.
    pub fn boolean(&mut self, name: &str) -> Result<bool, ShapeError> {
        let value = self.need(name)?;
        self.typed(name, value, "a boolean", Json::as_bool)
    }

    /// The truth value of `name`, if it is there.
    pub fn optional_boolean(&mut self, name: &str) -> Result<Option<bool>, ShapeError> {
        let value = self.optional(name);
        value.map(|value| self.typed(name, value, "a boolean", Json::as_bool)).transpose()
    }

    /// The items of `name`.
    pub fn array(&mut self, name: &str) -> Result<&'a [Json], ShapeError> {
        let value = self.need(name)?;
        self.typed(name, value, "an array", Json::as_array)
    }

    /// The items of `name`, if it is there.
    pub fn optional_array(&mut self, name: &str) -> Result<Option<&'a [Json]>, ShapeError> {
        let value = self.optional(name);
        value.map(|value| self.typed(name, value, "an array", Json::as_array)).transpose()
    }

    /// The members of `name`, whatever they are called.
    pub fn object(&mut self, name: &str) -> Result<&'a Object, ShapeError> {
        let value = self.need(name)?;
        self.typed(name, value, "an object", Json::as_object)
    }

    /// The members of `name`, if it is there.
    pub fn optional_object(&mut self, name: &str) -> Result<Option<&'a Object>, ShapeError> {
        let value = self.optional(name);
        value.map(|value| self.typed(name, value, "an object", Json::as_object)).transpose()
    }

    /// The object at `name`, to be read in the same way.
    pub fn nested(&mut self, name: &str) -> Result<Fields<'a>, ShapeError> {
        let value = self.need(name)?;
        Fields::of(value, &self.path(name))
    }

    /// Ends the reading: a member that was not asked for is refused.
    pub fn finish(self) -> Result<(), ShapeError> {
        let unread = self.members.keys().zip(&self.read).find(|(_, read)| !**read);
        match unread {
            Some((key, _)) => {
                Err(ShapeError::new(self.what, "only known members", format!("the member {}", quoted(key))))
            }
            None => Ok(()),
        }
    }

    fn typed<T>(
        &self,
        name: &str,
        value: &'a Json,
        expected: &str,
        read: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<T, ShapeError> {
        read(value).ok_or_else(|| {
            let found = match value {
                // Its kind would say nothing: the number is what does not fit.
                Json::Number(number) if expected.contains("number") => number.to_string(),
                other => other.kind_with_article().to_owned(),
            };
            ShapeError::new(self.path(name), expected, found)
        })
    }

    fn unreadable(&self, name: &str, text: &str, error: &dyn fmt::Display) -> ShapeError {
        ShapeError::new(self.path(name), "a value that can be read", format!("{} ({error})", quoted(text)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn every_member_is_read_by_type() {
        let value = json!({"t": "x", "n": 3, "b": true, "a": [1], "o": {"k": "v"}, "v": null});
        let mut fields = Fields::of(&value, "thing").unwrap();
        assert_eq!(fields.text("t").unwrap(), "x");
        assert_eq!(fields.count("n").unwrap(), 3);
        assert!(fields.boolean("b").unwrap());
        assert_eq!(fields.array("a").unwrap(), [Json::from(1)]);
        let mut nested = fields.nested("o").unwrap();
        assert_eq!(nested.parsed("k", |text| Ok::<_, ShapeError>(text.len())).unwrap(), 1);
        nested.finish().unwrap();
        assert_eq!(fields.need("v").unwrap(), &Json::Null);
        assert_eq!(fields.optional_text("absent").unwrap(), None);
        fields.finish().unwrap();
    }

    #[test]
    fn errors_say_where_what_and_instead_of_what() {
        let value = json!({"n": -1, "t": 1, "nested": {"time": "noon"}});
        let mut fields = Fields::of(&value, "intent").unwrap();
        let check = |error: ShapeError, expected: &str| assert_eq!(error.to_string(), expected);
        check(fields.count("n").unwrap_err(), "intent.n: expected a whole number from 0 to 2^53 - 1, found -1");
        check(fields.text("t").unwrap_err(), "intent.t: expected a string, found a number");
        check(fields.optional_array("t").unwrap_err(), "intent.t: expected an array, found a number");
        check(fields.need("x").unwrap_err(), "intent.x: expected a value, found no such member");
        let mut nested = fields.nested("nested").unwrap();
        check(
            nested.parsed("time", |_| Err::<(), _>("no date")).unwrap_err(),
            "intent.nested.time: expected a value that can be read, found \"noon\" (no date)",
        );
        check(Fields::of(&json!([]), "intent").unwrap_err(), "intent: expected an object, found an array");
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let value = json!({"a": 1, "b": 2});
        let mut fields = Fields::of(&value, "thing").unwrap();
        fields.count("a").unwrap();
        let error = fields.finish().unwrap_err();
        assert_eq!(error.to_string(), "thing: expected only known members, found the member \"b\"");
    }

    #[test]
    fn null_is_there_and_is_no_text() {
        let value = json!({"a": null});
        assert!(Fields::of(&value, "thing").unwrap().optional_text("a").is_err());
    }
}
