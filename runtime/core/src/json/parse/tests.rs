//! What the door lets in, what it refuses, and what it says.

use super::*;
use JsonErrorKind::*;

fn check(text: impl AsRef<[u8]>, expected: &str) {
    let read = Json::parse(text.as_ref(), &Limits::default());
    assert_eq!(read.map(|value| value.canonical()).as_deref(), Ok(expected));
}

fn refuse(text: impl AsRef<[u8]>, kind: JsonErrorKind, offset: usize) -> String {
    let text = text.as_ref();
    let error = Json::parse(text, &Limits::default()).expect_err(&String::from_utf8_lossy(text));
    assert_eq!((error.kind, error.offset), (kind, offset), "{error} in {}", String::from_utf8_lossy(text));
    error.to_string()
}

#[test]
fn documents_are_read() {
    check(" null ", "null");
    check("[true , false,\t[\n],{\r} ]", "[true,false,[],{}]");
    check(r#"{"b":{"y":1,"x":-2.50},"a":"x"}"#, r#"{"a":"x","b":{"x":-2.5,"y":1}}"#);
    check(r#""\"\\\/\b\f\n\r\t\u0041\u00e9\uD83D\uDE00é😀""#, "\"\\\"\\\\/\\b\\f\\n\\r\\tAé😀é😀\"");
}

#[test]
fn broken_syntax_is_located() {
    refuse("", Syntax, 0);
    refuse("  ", Syntax, 2);
    refuse("nul", Syntax, 0);
    refuse("[1,]", Syntax, 3);
    refuse("[1 2]", Syntax, 3);
    refuse("{\"a\" 1}", Syntax, 5);
    refuse("{a:1}", Syntax, 1);
    refuse("{\"a\":1,}", Syntax, 7);
    refuse("1 2", Syntax, 2);
    refuse("\"abc", Syntax, 0);
    refuse("\"a\nb\"", Syntax, 2);
    refuse(r#""\x""#, Syntax, 1);
    refuse(r#""\u12g4""#, Syntax, 5);
    refuse(r#""\u+123""#, Syntax, 3);
    refuse("01", Syntax, 1);
    refuse("-", Syntax, 1);
    refuse("+1", Syntax, 0);
    refuse(".5", Syntax, 0);
    refuse("1.", Syntax, 2);
    refuse("1e", Syntax, 2);
    refuse("1e+", Syntax, 3);
    refuse("NaN", Syntax, 0);
    refuse("'a'", Syntax, 0);
    refuse("[é]", Syntax, 1);
}

#[test]
fn a_duplicate_key_is_refused() {
    assert_eq!(
        refuse(r#"[{"b":1,"a":2,"b":3}]"#, DuplicateKey, 1),
        "the key \"b\" occurs twice in one object; keep one, at byte 1"
    );
    refuse(r#"{"a":1,"\u0061":2}"#, DuplicateKey, 0);
    refuse(r#"{"":1,"":2}"#, DuplicateKey, 0);
}

#[test]
fn text_that_is_not_unicode_is_refused() {
    refuse(b"\"\xff\"", NotUtf8, 1);
    refuse(b"\"\xed\xa0\x80\"", NotUtf8, 1);
    refuse(b"\xef\xbb\xbf{}", ByteOrderMark, 0);
    refuse(r#""\ud800""#, LoneSurrogate, 1);
    refuse(r#""\udc00\ud800""#, LoneSurrogate, 1);
    refuse(r#""\ud800\u0041""#, LoneSurrogate, 1);
    refuse(r#""x\ud800x""#, LoneSurrogate, 2);
    refuse(r#"{"\ud800":1}"#, LoneSurrogate, 2);
    refuse(r#""a\u0000""#, NulCharacter, 2);
    refuse(b"\"a\0\"", NulCharacter, 2);
}

#[test]
fn a_number_that_loses_digits_is_refused_with_the_way_out() {
    assert_eq!(
        refuse("[9007199254740993]", NumberLosesDigits, 1),
        "the number 9007199254740993 would lose digits in a double; use a string, at byte 1"
    );
    refuse("1e400", NumberLosesDigits, 0);
    refuse("12345678901234567890", NumberLosesDigits, 0);
    let long = refuse(format!("0.{}1", "0".repeat(10_000)), NumberLosesDigits, 0);
    assert!(long.len() < 200, "{long}");
}

#[test]
fn the_limits_are_exact() {
    let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check(deep(64), &deep(64));
    refuse(deep(65), TooDeep, 64);
    refuse("{\"a\":".repeat(100_000), TooDeep, 64 * 5);
    let limits = |bytes, depth| Limits { bytes, depth };
    assert!(Json::parse(b"[1]", &limits(3, 1)).is_ok());
    assert_eq!(Json::parse(b"[1]", &limits(2, 1)).map_err(|error| error.kind), Err(TooLong));
    assert_eq!(Json::parse(b"[1]", &limits(3, 0)).map_err(|error| error.kind), Err(TooDeep));
    let deepest = Json::parse(deep(100_000).as_bytes(), &limits(usize::MAX, usize::MAX));
    assert_eq!(deepest.map_err(|error| error.offset), Err(DEEPEST));
}

#[test]
fn depth_is_counted_down_the_tree_and_not_along_it() {
    check("[[],[],[[]],{}]", "[[],[],[[]],{}]");
    let limits = Limits { bytes: 100, depth: 2 };
    assert!(Json::parse(b"[[],[],{},[]]", &limits).is_ok());
}

#[test]
fn only_canonical_bytes_are_canonical() {
    let read = |text: &str| Json::parse_canonical(text.as_bytes(), &Limits::default());
    assert!(read(r#"{"a":[1,0.5,"é"],"b":null}"#).is_ok());
    for (text, offset) in
        [(" 1", 0), ("1\n", 1), ("1.0", 1), ("-0", 0), (r#"{"b":1,"a":2}"#, 2), (r#"["\u00e9"]"#, 2), (r#"["\/"]"#, 2)]
    {
        let error = read(text).expect_err(text);
        assert_eq!((error.kind, error.offset), (NotCanonical, offset), "{text}");
    }
}

#[test]
fn every_prefix_of_a_document_is_refused_and_none_panics() {
    let text = r#"{"a":[1.5e-3,"\u00e9\ud83d\ude00é",{"b":null,"c":[true,false]}]}"#;
    for end in 0..text.len() {
        let prefix = text.as_bytes().get(..end).unwrap();
        assert!(Json::parse(prefix, &Limits::default()).is_err());
    }
    check(text, r#"{"a":[0.0015,"é😀é",{"b":null,"c":[true,false]}]}"#);
}
