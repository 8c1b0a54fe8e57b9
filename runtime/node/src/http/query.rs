//! The query of a request: known names, each once. A slip does not pass unnoticed.

use std::collections::BTreeMap;

use axum::http::Uri;
use lockstep_core::codes::Code;

use super::problem::Problem;

/// What stands behind the question mark.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads it; other names than these are an error.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut found = BTreeMap::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = decoded(value).ok_or_else(|| usage(format!("{part} is not percent-encoded UTF-8")))?;
            if !known.contains(&name) {
                let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                return Err(usage(format!("{part} is not understood; the query may have {known}")));
            }
            if found.insert(name.to_owned(), value).is_some() {
                return Err(usage(format!("{name} stands there twice")));
            }
        }
        Ok(Query(found))
    }

    /// A value that is what it should be.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let wrong = || usage(format!("{name}={value} is not understood; write {expected}"));
        parse(value).ok_or_else(wrong).map(Some)
    }
}

pub(super) fn usage(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Usage, detail)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.extend(data_encoding::HEXLOWER_PERMISSIVE.decode(&digits).ok()?);
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_what_is_no_encoding_is_refused() {
        let cases = [
            ("10s", Some("10s")),
            ("acme%3Asale-1", Some("acme:sale-1")),
            ("a+b", Some("a b")),
            ("%zz", None),
            ("%c3", None),
            ("%", None),
        ];
        cases.into_iter().for_each(|(text, expected)| assert_eq!(decoded(text).as_deref(), expected, "{text}"));
    }
}
