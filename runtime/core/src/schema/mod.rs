//! Schemas: a fixed subset of JSON Schema 2020-12, rules version 1.
//!
//! A schema decides whether a change is accepted, on every node alike, so this module owns all of the
//! verdict: which keywords there are, what they mean, and how much work one check may cost. A keyword outside
//! the subset is refused when the schema is compiled, with its path: one that is silently ignored is a rule
//! its author believes in and nobody enforces. There is deliberately no `format`, no remote reference and no
//! backtracking pattern.
//!
//! Keywords: `type enum const`, `properties required additionalProperties patternProperties propertyNames
//! minProperties maxProperties`, `items prefixItems contains minItems maxItems uniqueItems`, `minLength
//! maxLength pattern`, `minimum maximum exclusiveMinimum exclusiveMaximum`, `allOf anyOf oneOf not if then
//! else`, `$ref` (`#` or `#/$defs/NAME`), and at the root `$defs` and `$schema` (2020-12). `title description
//! default examples $comment` say something to people and decide nothing.
//!
//! `keyword` is the compiled form, `compile` makes it, `check` evaluates it.

mod check;
mod compile;
mod keyword;
mod pattern;
mod references;

use crate::json::Json;
use keyword::Tree;

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Schema {
    tree: Tree,
}

impl Schema {
    /// How much work one check may cost: about one unit for a keyword on a value, one for 64 bytes of text.
    pub const WORK: u64 = 5_000_000;
    /// How deep one check may recurse, through the value and through references together.
    pub const DEPTH: usize = 400;

    /// Compiles a schema, or says which of its keywords is not in the subset.
    pub fn compile(schema: &Json) -> Result<Schema, SchemaError> {
        compile::compile(schema).map(|tree| Schema { tree })
    }

    /// Checks a value: the verdict is the same on every node.
    pub fn check(&self, value: &Json) -> Result<(), Violation> {
        check::check(&self.tree, value)
    }
}

/// Why a schema is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema at {path:?}: {message}")]
pub struct SchemaError {
    /// What is wrong, for programs.
    pub kind: SchemaErrorKind,
    /// The JSON pointer to the keyword; the empty text is the whole schema.
    pub path: String,
    /// What is wrong and what to do, for people.
    pub message: String,
}

/// The reasons for which a schema is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaErrorKind {
    /// A keyword that is not in the subset, or not at this place.
    UnknownKeyword,
    /// A keyword whose value has the wrong shape.
    BadValue,
    /// A pattern that is not in RE2 style, or too large.
    BadPattern,
    /// A reference that is neither `#` nor `#/$defs/NAME`, or whose NAME is not there.
    BadReference,
    /// References that lead back to themselves without a step into the value, or too many in a row.
    EndlessReference,
    /// The schema nests too deep.
    TooDeep,
}

/// Where and why a value does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{path}: {message} ({keyword})", if .path.is_empty() { "the whole value" } else { "" })]
pub struct Violation {
    /// The JSON pointer to the offending value; the empty text is the whole value.
    pub path: String,
    /// The keyword that it violates, or `work` when the check costs too much.
    pub keyword: &'static str,
    /// What is wrong, for people.
    pub message: String,
}
