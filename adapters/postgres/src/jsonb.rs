//! JSONB: a document goes in canonical, and is read back only where it prints exactly as the canonical one would.
//!
//! PostgreSQL orders keys by length, puts a blank after colons and commas and keeps a number's trailing zeros. So
//! `1.0` and `1.00` are equal to it and still print differently: the second is an edit, and comes back as what it is.

use lockstep_core::json::{Json, Limits, Object};

/// As deep as anything of ours may nest.
const DEPTH: usize = 256;

/// The canonical text of a printed document; none where PostgreSQL would have printed that one otherwise.
pub(crate) fn read(printed: &str) -> Option<String> {
    let json = Json::parse(printed.as_bytes(), &Limits { bytes: printed.len(), depth: DEPTH }).ok()?;
    let mut expected = String::with_capacity(printed.len());
    print(&json, &mut expected);
    (expected == printed).then(|| json.canonical())
}

/// As `jsonb::text` prints it.
fn print(json: &Json, out: &mut String) {
    match json {
        Json::Null => out.push_str("null"),
        Json::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&plain(&number.to_string())),
        Json::String(text) => print_text(text, out),
        Json::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                print(value, out);
            }
            out.push(']');
        }
        Json::Object(object) => print_object(object, out),
    }
}

/// Short keys come first, keys of one length by their bytes.
fn print_object(object: &Object, out: &mut String) {
    let mut members: Vec<(&str, &Json)> = object.iter().collect();
    members.sort_unstable_by_key(|(key, _)| (key.len(), *key));
    out.push('{');
    for (at, (key, value)) in members.into_iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        print_text(key, out);
        out.push_str(": ");
        print(value, out);
    }
    out.push('}');
}

fn print_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A number without exponent, which `numeric` never prints.
fn plain(number: &str) -> String {
    let Some((mantissa, exponent)) = number.split_once('e') else { return number.to_owned() };
    let Ok(exponent) = exponent.parse::<i64>() else { return number.to_owned() };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i64 + exponent;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    if point <= 0 {
        return format!("{sign}0.{}{digits}", zeros(-point));
    }
    let length = digits.len() as i64;
    match usize::try_from(point).ok().filter(|_| point < length).and_then(|at| digits.split_at_checked(at)) {
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits}{}", zeros(point - length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(printed: &str, expected: Option<&str>) {
        assert_eq!(read(printed).as_deref(), expected, "{printed}");
    }

    #[test]
    fn what_postgres_prints_is_read_as_the_canonical_form() {
        check("{\"b\": 1, \"aa\": [true, null, 0.1]}", Some("{\"aa\":[true,null,0.1],\"b\":1}"));
        check("{\"zz\": {}, \"é\": \"\\u0001\\n\"}", Some("{\"zz\":{},\"é\":\"\\u0001\\n\"}"));
        check("[1000000000000000000000, 0.0000001, -0.00000000015, 12300000000000000000000]", {
            Some("[1e+21,1e-7,-1.5e-10,1.23e+22]")
        });
        check("[]", Some("[]"));
    }

    #[test]
    fn what_prints_otherwise_is_an_edit() {
        for edited in ["1.0", "1.50", "{\"aa\": 1, \"b\": 2}", "[1,2]", "12345678901234567890", "1e+21", "\"\\u00e9\""]
        {
            check(edited, None);
        }
    }
}
