//! The door: bytes from outside become a value, or a sentence that says why not.
//!
//! One pass, recursion bounded by the depth limit. The reader accepts less than RFC 8259 allows, because two
//! readers that understand a document differently must not both call it signed: every object has each key
//! once, text is Unicode without lone surrogates or NUL, and numbers survive the canonical form.

use super::error::{JsonError, JsonErrorKind};
use super::number::Number;
use super::object::Object;
use super::scan::plain_prefix;
use super::value::Json;

/// However high the caller's limit, the reader's recursion ends here.
const DEEPEST: usize = 256;

/// How much is read before the reader says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest document, in bytes.
    pub bytes: usize,
    /// How deep arrays and objects may nest; a scalar alone nests 0 deep. More than 256 counts as 256.
    pub depth: usize,
}

impl Default for Limits {
    /// The network's rule: 8 MiB, 64 deep.
    fn default() -> Limits {
        Limits { bytes: 8 * 1024 * 1024, depth: 64 }
    }
}

impl Json {
    /// Reads one document.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Json, JsonError> {
        let mut parser = Parser { text: read_text(bytes, limits)?, at: 0, depth: limits.depth.min(DEEPEST) };
        parser.skip_space();
        let value = parser.value()?;
        parser.skip_space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.syntax("the document has ended, but more text follows; send one document")),
        }
    }

    /// Reads one document whose bytes must be its canonical form: what is signed is bytes.
    pub fn parse_canonical(bytes: &[u8], limits: &Limits) -> Result<Json, JsonError> {
        let value = Json::parse(bytes, limits)?;
        value.compare_canonical(bytes).map_err(|offset| JsonError {
            kind: JsonErrorKind::NotCanonical,
            offset,
            message: "the document is not in its canonical form (RFC 8785); write it with a JCS library".to_owned(),
        })?;
        Ok(value)
    }
}

/// The bytes as text, when there are not too many of them.
fn read_text<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, JsonError> {
    let refuse = |kind, offset, message| Err(JsonError { kind, offset, message });
    if bytes.len() > limits.bytes {
        let message = format!("the document has {} bytes, more than the {} allowed", bytes.len(), limits.bytes);
        return refuse(JsonErrorKind::TooLong, limits.bytes, message);
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        let message = "the document starts with a byte order mark; save it as UTF-8 without one".to_owned();
        return refuse(JsonErrorKind::ByteOrderMark, 0, message);
    }
    std::str::from_utf8(bytes).or_else(|error| {
        let message = "the document is not valid UTF-8; save it as UTF-8".to_owned();
        refuse(JsonErrorKind::NotUtf8, error.valid_up_to(), message)
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// How many more containers may be opened here.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Json, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Json::Number),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// Reads a container, one level down.
    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, JsonError>) -> Result<Json, JsonError> {
        let Some(left) = self.depth.checked_sub(1) else {
            let message = "arrays and objects nest too deep here; flatten the document".to_owned();
            return Err(JsonError { kind: JsonErrorKind::TooDeep, offset: self.at, message });
        };
        self.depth = left;
        self.at += 1;
        let value = read(self)?;
        self.depth = left + 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value()?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the array"));
            }
        }
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let start = self.at.saturating_sub(1);
        let mut members = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(Object::new()));
        }
        loop {
            self.skip_space();
            members.push(self.member()?);
            self.skip_space();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.expected("a comma or the end of the object"));
            }
        }
        Object::from_members(members).map(Json::Object).map_err(|key| JsonError {
            kind: JsonErrorKind::DuplicateKey,
            offset: start,
            message: format!("the key {} occurs twice in one object; keep one", quoted(&key)),
        })
    }

    fn member(&mut self) -> Result<(String, Json), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return Err(self.expected("a colon after the key"));
        }
        self.skip_space();
        Ok((key, self.value()?))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let plain = plain_prefix(self.rest());
            // A plain run ends before an ASCII byte or at the end, so it never splits a character.
            text.push_str(self.text.get(self.at..self.at + plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0) => return Err(self.nul()),
                Some(_) => {
                    return Err(self.syntax("a control character stands raw in a string; escape it"));
                }
                None => {
                    self.at = start;
                    return Err(self.syntax("this string never ends; close it with a double quote"));
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            _ => {
                self.at = start;
                return Err(self.syntax("no such escape in JSON; write \\\\ for a backslash"));
            }
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads one or, for characters beyond U+FFFF, two escapes of UTF-16 code units.
    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let first = self.code_unit()?;
        let read = match first {
            0xD800..=0xDBFF if self.rest().starts_with(b"\\u") => {
                self.at += 2;
                let second = self.code_unit()?;
                char::decode_utf16([first, second]).next().and_then(Result::ok)
            }
            _ => char::from_u32(u32::from(first)),
        };
        match read {
            Some('\0') => {
                self.at = start;
                Err(self.nul())
            }
            Some(character) => Ok(character),
            None => Err(JsonError {
                kind: JsonErrorKind::LoneSurrogate,
                offset: start,
                message: "this escape is half of a character (a lone surrogate); write both halves".to_owned(),
            }),
        }
    }

    fn code_unit(&mut self) -> Result<u16, JsonError> {
        let mut unit: u16 = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.expected("four hexadecimal digits after \\u"));
            };
            unit = (unit << 4) | digit as u16;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<Number, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits("a digit")?;
        } else if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.syntax("a number has no leading zeros; drop them, or use a string"));
        }
        if self.take(b'.') {
            self.digits("a digit after the decimal point")?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.digits("a digit in the exponent")?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Number::from_json_text(text).ok_or_else(|| JsonError {
            kind: JsonErrorKind::NumberLosesDigits,
            offset: start,
            message: format!("the number {} would lose digits in a double; use a string", shortened(text)),
        })
    }

    fn digits(&mut self, what: &str) -> Result<(), JsonError> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.expected(what));
        }
        self.at += count;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn syntax(&self, message: &str) -> JsonError {
        JsonError { kind: JsonErrorKind::Syntax, offset: self.at, message: message.to_owned() }
    }

    fn nul(&self) -> JsonError {
        let message = "a string holds the NUL character, which databases refuse; take it out".to_owned();
        JsonError { kind: JsonErrorKind::NulCharacter, offset: self.at, message }
    }

    fn expected(&self, what: &str) -> JsonError {
        // Every caller stands between characters, but a message must not depend on it.
        let found = match self.text.get(self.at..).map(|rest| rest.chars().next()) {
            Some(Some(character)) => format!("found {character:?}"),
            _ => "the text ends".to_owned(),
        };
        self.syntax(&format!("expected {what}, but {found}"))
    }
}

/// A key as messages show it: as JSON, and not longer than a line.
pub(super) fn quoted(key: &str) -> String {
    Json::from(shortened(key)).canonical()
}

/// The start of a text that may be of any length.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
