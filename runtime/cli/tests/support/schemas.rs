//! Documents held against the schemas in docs/schemas/cli.

use lockstep_core::json::{Json, Limits};
use lockstep_core::schema::Schema;

use super::root;

/// Holds a document against the schema with this name.
pub(crate) fn check(name: &str, document: &Json) {
    let path = root().join(format!("docs/schemas/cli/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let schema = Schema::compile(&Json::parse(&text, &Limits::default()).unwrap());
    let schema = schema.unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Err(violation) = schema.check(document) {
        panic!("{name}{}: {}\n{document}", violation.path, violation.message);
    }
}
