//! JSON Pointer (RFC 6901): where in a document something is.

use std::fmt;

use super::value::Json;

/// Where in a document a value is, as RFC 6901 writes it: `/offers/0/price`; the empty text is the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    tokens: Vec<String>,
}

/// Why a text is not a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pointer {pointer} {problem}")]
pub struct PointerError {
    /// The start of the text.
    pub pointer: String,
    /// What is wrong with it and what to do.
    pub problem: String,
}

impl Pointer {
    /// No document nests deeper, so no longer pointer finds anything.
    pub const MOST_TOKENS: usize = 64;
    /// The longest pointer, in bytes.
    pub const MOST_BYTES: usize = 8192;

    /// Reads a pointer: nothing, or tokens that each follow a slash, `~` written `~0` and `/` written `~1`.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        let refuse = |problem: String| {
            let pointer = super::parse::quoted(text);
            Err(PointerError { pointer, problem })
        };
        if text.len() > Self::MOST_BYTES {
            return refuse(format!("has {} bytes, more than the {} allowed", text.len(), Self::MOST_BYTES));
        }
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        if text.contains('\0') {
            return refuse("holds the NUL character; no key does".to_owned());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return refuse("does not start with a slash; write /a/b, or nothing for the whole document".to_owned());
        };
        let mut tokens = Vec::new();
        for written in rest.split('/') {
            if tokens.len() == Self::MOST_TOKENS {
                return refuse(format!("has more than {} steps", Self::MOST_TOKENS));
            }
            match unescape(written) {
                Some(token) => tokens.push(token),
                None => {
                    return refuse("has a ~ that is neither ~0 (for ~) nor ~1 (for /)".to_owned());
                }
            }
        }
        Ok(Pointer { tokens })
    }

    /// The unescaped steps from the whole document to the value.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether this is the whole document.
    pub fn is_whole(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether `other` is this place or lies inside it.
    pub fn holds(&self, other: &Pointer) -> bool {
        other.tokens.starts_with(&self.tokens)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write_token(f, token))
    }
}

impl Json {
    /// The value at `pointer`, when there is one.
    pub fn at(&self, pointer: &Pointer) -> Option<&Json> {
        self.at_tokens(&pointer.tokens)
    }

    pub(super) fn at_tokens(&self, tokens: &[String]) -> Option<&Json> {
        tokens.iter().try_fold(self, |value, token| match value {
            Json::Object(members) => members.get(token),
            Json::Array(items) => items.get(array_index(token)?),
            _ => None,
        })
    }
}

/// Writes one step of a pointer, its slash included.
pub(crate) fn write_token(out: &mut impl fmt::Write, token: &str) -> fmt::Result {
    out.write_char('/')?;
    for character in token.chars() {
        match character {
            '~' => out.write_str("~0")?,
            '/' => out.write_str("~1")?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

/// The index that a token names: digits without leading zeros.
pub(super) fn array_index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if plain { token.parse().ok() } else { None }
}

pub(crate) fn unescape(written: &str) -> Option<String> {
    let mut pieces = written.split('~');
    let mut token = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.strip_prefix('0') {
            Some(rest) => {
                token.push('~');
                token.push_str(rest);
            }
            None => {
                token.push('/');
                token.push_str(piece.strip_prefix('1')?);
            }
        }
    }
    Some(token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn the_examples_of_the_rfc_find_what_it_says() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8,
        });
        let check = |pointer: &str, expected: Json| {
            let parsed = Pointer::parse(pointer).unwrap();
            assert_eq!(document.at(&parsed), Some(&expected), "{pointer}");
            assert_eq!(parsed.to_string(), pointer);
        };
        check("", document.clone());
        check("/foo", json!(["bar", "baz"]));
        check("/foo/0", json!("bar"));
        for (pointer, value) in [
            ("/", 0),
            ("/a~1b", 1),
            ("/c%d", 2),
            ("/e^f", 3),
            ("/g|h", 4),
            ("/i\\j", 5),
            ("/k\"l", 6),
            ("/ ", 7),
            ("/m~0n", 8),
        ] {
            check(pointer, json!(value));
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let document = json!({"a": [1, {"b": 2}], "s": "x"});
        for pointer in ["/b", "/a/2", "/a/-", "/a/01", "/a/+1", "/a/1/c", "/s/0", "/a/18446744073709551616", "/a/"] {
            assert_eq!(document.at(&Pointer::parse(pointer).unwrap()), None, "{pointer}");
        }
    }

    #[test]
    fn escapes_are_read_in_the_right_order() {
        assert_eq!(Pointer::parse("/~01").unwrap().tokens(), ["~1"]);
        assert_eq!(Pointer::parse("/~10").unwrap().tokens(), ["/0"]);
        assert_eq!(Pointer::parse("//a/").unwrap().tokens(), ["", "a", ""]);
    }

    #[test]
    fn a_text_that_is_no_pointer_is_refused() {
        for text in ["a", "a/b", "#/a", "/~", "/~2", "/a~", "/\0"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
        assert!(Pointer::parse(&"/a".repeat(64)).is_ok());
        assert!(Pointer::parse(&"/a".repeat(65)).is_err());
        assert!(Pointer::parse(&format!("/{}", "a".repeat(8191))).is_ok());
        let error = Pointer::parse(&format!("/{}", "a".repeat(8192))).unwrap_err();
        assert!(error.to_string().len() < 200);
    }

    #[test]
    fn a_place_holds_itself_and_what_is_inside() {
        let parse = |text| Pointer::parse(text).unwrap();
        assert!(parse("/a").holds(&parse("/a")));
        assert!(parse("").holds(&parse("/a/b")));
        assert!(!parse("/a").holds(&parse("/ab")));
        assert!(!parse("/a/b").holds(&parse("/a")));
    }
}
