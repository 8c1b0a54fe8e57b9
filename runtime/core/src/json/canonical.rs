//! The way out: RFC 8785 (JSON Canonicalization Scheme), byte for byte.
//!
//! A value is kept in canonical order, so writing is one walk. The walk writes into a sink, so that hashing,
//! measuring and comparing a document of megabytes need no copy of it.

use std::fmt;

use super::scan::plain_prefix;
use super::value::Json;

/// Where canonical bytes go.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

struct Length(usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

/// Takes canonical bytes off the front of what should be them, until they differ.
struct Comparison<'a> {
    rest: &'a [u8],
    equal: bool,
}

impl Sink for Comparison<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if !self.equal {
            return;
        }
        match self.rest.strip_prefix(bytes) {
            Some(rest) => self.rest = rest,
            None => {
                let shared = self.rest.iter().zip(bytes).take_while(|(left, right)| left == right).count();
                self.rest = self.rest.get(shared..).unwrap_or_default();
                self.equal = false;
            }
        }
    }
}

struct Chunks<'a>(&'a mut dyn FnMut(&[u8]));

impl Sink for Chunks<'_> {
    fn put(&mut self, bytes: &[u8]) {
        (self.0)(bytes);
    }
}

impl Json {
    /// The canonical form as text.
    pub fn canonical(&self) -> String {
        let mut bytes = Vec::with_capacity(256);
        write(self, &mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => unreachable!("the canonical writer only joins pieces of valid UTF-8"),
        }
    }

    /// Appends the canonical form.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        write(self, out);
    }

    /// Hands out the canonical form piece by piece, for a hash that should not need a copy.
    pub fn canonical_chunks(&self, take: &mut dyn FnMut(&[u8])) {
        write(self, &mut Chunks(take));
    }

    /// How many bytes the canonical form has.
    pub fn canonical_len(&self) -> usize {
        let mut length = Length(0);
        write(self, &mut length);
        length.0
    }

    /// Whether `bytes` are the canonical form; if not, the offset where they first differ from it.
    pub(super) fn compare_canonical(&self, bytes: &[u8]) -> Result<(), usize> {
        let mut comparison = Comparison { rest: bytes, equal: true };
        write(self, &mut comparison);
        if comparison.equal && comparison.rest.is_empty() { Ok(()) } else { Err(bytes.len() - comparison.rest.len()) }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

fn write<S: Sink>(value: &Json, sink: &mut S) {
    match value {
        Json::Null => sink.put(b"null"),
        Json::Bool(true) => sink.put(b"true"),
        Json::Bool(false) => sink.put(b"false"),
        Json::Number(number) => sink.put(number.print(&mut ryu_js::Buffer::new()).as_bytes()),
        Json::String(text) => write_string(text, sink),
        Json::Array(items) => {
            sink.put(b"[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    sink.put(b",");
                }
                write(item, sink);
            }
            sink.put(b"]");
        }
        Json::Object(members) => {
            sink.put(b"{");
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    sink.put(b",");
                }
                write_string(key, sink);
                sink.put(b":");
                write(member, sink);
            }
            sink.put(b"}");
        }
    }
}

fn write_string<S: Sink>(text: &str, sink: &mut S) {
    sink.put(b"\"");
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at_checked(plain_prefix(rest)).unwrap_or((rest, &[]));
        sink.put(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        write_escape(*byte, sink);
        rest = after;
    }
    sink.put(b"\"");
}

/// Escapes a quote, a backslash or a control character in its shortest form.
fn write_escape<S: Sink>(byte: u8, sink: &mut S) {
    match byte {
        b'"' => sink.put(b"\\\""),
        b'\\' => sink.put(b"\\\\"),
        0x08 => sink.put(b"\\b"),
        b'\t' => sink.put(b"\\t"),
        b'\n' => sink.put(b"\\n"),
        0x0C => sink.put(b"\\f"),
        b'\r' => sink.put(b"\\r"),
        control => {
            let digit = |nibble: u8| {
                if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
            };
            sink.put(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 0x0F)]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn escapes_are_minimal() {
        let text: String = (0..=0x7f_u8).map(char::from).skip(1).collect();
        assert_eq!(
            Json::from(text).canonical(),
            "\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\
             \\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f \
             !\\\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\u{7f}\""
        );
    }

    #[test]
    fn keys_are_sorted_by_utf_16_code_units() {
        let value = json!({"\u{fb33}": 1, "\u{1f600}": 2, "\r": 3, "1": 4, "": 5});
        assert_eq!(value.canonical(), "{\"\":5,\"\\r\":3,\"1\":4,\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn every_way_out_writes_the_same_bytes() {
        let value = json!({"a": [1, 2.5_f32 as i32, null, true, false, "x\ny"], "b": {}});
        let text = value.canonical();
        let mut appended = Vec::new();
        value.write_canonical(&mut appended);
        let mut chunked = Vec::new();
        value.canonical_chunks(&mut |chunk| chunked.extend_from_slice(chunk));
        assert_eq!(appended, text.as_bytes());
        assert_eq!(chunked, text.as_bytes());
        assert_eq!(value.canonical_len(), text.len());
        assert_eq!(value.to_string(), text);
        assert_eq!(value.compare_canonical(text.as_bytes()), Ok(()));
    }

    #[test]
    fn the_first_difference_from_the_canonical_form_is_located() {
        let value = json!({"a": 1, "b": 2});
        assert_eq!(value.compare_canonical(b"{\"a\":1, \"b\":2}"), Err(7));
        assert_eq!(value.compare_canonical(b"{\"a\":1,\"b\":2}\n"), Err(13));
        assert_eq!(value.compare_canonical(b"{\"a\":1"), Err(6));
    }
}
