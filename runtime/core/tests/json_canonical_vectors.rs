//! RFC 8785's own test data, and our vectors of what is refused at the door.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use lockstep_core::json::{Fields, Json, Limits, Number};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors");

fn read(path: &str) -> Vec<u8> {
    std::fs::read(format!("{VECTORS}/{path}")).unwrap()
}

#[test]
fn the_documents_of_the_rfc_become_its_bytes() {
    for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
        let mut input = read(&format!("third-party/jcs/input/{name}.json"));
        let output = read(&format!("third-party/jcs/output/{name}.json"));
        if name == "values" {
            // The RFC rounds this number; we refuse it, since what was written is not what would be signed.
            let error = Json::parse(&input, &Limits::default()).unwrap_err();
            assert_eq!(error.kind.code(), "number_loses_digits");
            let text = String::from_utf8(input).unwrap();
            input = text.replace("333333333.33333329", "333333333.3333333").into_bytes();
        }
        let document = Json::parse(&input, &Limits::default()).unwrap();
        assert_eq!(document.canonical().as_bytes(), output, "{name}");
        assert_eq!(Json::parse_canonical(&output, &Limits::default()), Ok(document), "{name}");
    }
}

#[test]
fn the_numbers_of_the_rfc_print_as_it_says() {
    let table = String::from_utf8(read("third-party/jcs/numbers.txt")).unwrap();
    for line in table.lines() {
        let (bits, expected) = line.split_once(' ').unwrap();
        let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
        let number = Number::from_f64(value).map(|number| number.to_string());
        assert_eq!(number.as_deref().unwrap_or("none"), expected, "{bits}");
    }
    assert_eq!(table.lines().count(), 26);
}

#[test]
fn every_vector_of_ours_ends_as_it_says() {
    let vectors = Json::parse(&read("canonical.json"), &Limits::default()).unwrap();
    let mut fields = Fields::of(&vectors, "vectors").unwrap();
    fields.text("about").unwrap();
    let vectors = fields.array("vectors").unwrap();
    fields.finish().unwrap();
    for vector in vectors {
        let mut fields = Fields::of(vector, "vector").unwrap();
        let name = fields.text("name").unwrap();
        let input = match fields.optional_text("input").unwrap() {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                let encoded = fields.text("input_base64").unwrap();
                data_encoding::BASE64.decode(encoded.as_bytes()).unwrap()
            }
        };
        let canonical = fields.optional_text("canonical").unwrap();
        let error = fields.optional_text("error").unwrap();
        fields.finish().unwrap();
        let result = Json::parse(&input, &Limits::default());
        let found = result.as_ref().map(Json::canonical).map_err(|error| error.kind.code());
        assert_eq!(found.as_deref().ok(), canonical, "{name}: {found:?}");
        assert_eq!(found.as_ref().err().copied(), error, "{name}");
        if let Some(canonical) = canonical {
            let strict = Json::parse_canonical(&input, &Limits::default());
            assert_eq!(strict.is_ok(), canonical.as_bytes() == input, "{name}");
        }
    }
    assert!(vectors.len() >= 60, "{}", vectors.len());
}
