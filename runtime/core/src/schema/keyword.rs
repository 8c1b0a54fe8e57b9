//! The compiled form: subschemas in one list, which references point into.

use super::pattern::Pattern;
use crate::json::Json;

/// The place of a subschema in the list.
pub(super) type Id = usize;

/// All subschemas; the first one is the whole schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

/// One subschema.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// `false`: nothing fits.
    Never,
    /// All keywords must hold; `true` and `{}` have none. The cheapest and most telling come first.
    All(Vec<Keyword>),
}

/// One keyword, or several that JSON Schema makes depend on each other.
#[derive(Clone, Debug)]
pub(super) enum Keyword {
    Type(Types),
    Const(Listed),
    Enum(Listed),
    Minimum(f64),
    Maximum(f64),
    ExclusiveMinimum(f64),
    ExclusiveMaximum(f64),
    MinLength(u64),
    MaxLength(u64),
    Pattern(Pattern),
    MinItems(u64),
    MaxItems(u64),
    UniqueItems,
    /// `prefixItems`, and `items` for what comes after them.
    Items {
        prefix: Vec<Id>,
        rest: Option<Id>,
    },
    Contains(Id),
    MinProperties(u64),
    MaxProperties(u64),
    Required(Vec<String>),
    PropertyNames(Id),
    Properties(Properties),
    Ref(Id),
    AllOf(Vec<Id>),
    AnyOf(Vec<Id>),
    OneOf(Vec<Id>),
    Not(Id),
    If {
        condition: Id,
        then: Option<Id>,
        otherwise: Option<Id>,
    },
}

/// `properties`, `patternProperties`, and `additionalProperties` for what neither names.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties {
    /// In the order of the keys.
    pub(super) named: Vec<(String, Id)>,
    pub(super) patterns: Vec<(Pattern, Id)>,
    pub(super) additional: Option<Id>,
}

impl Properties {
    pub(super) fn named(&self, key: &str) -> Option<Id> {
        let index = self.named.binary_search_by(|(name, _)| name.as_str().cmp(key)).ok()?;
        self.named.get(index).map(|(_, id)| *id)
    }
}

/// Values to compare with, and what comparing with all of them costs.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) values: Vec<Json>,
    pub(super) work: u64,
}

impl Listed {
    pub(super) fn new(values: Vec<Json>) -> Listed {
        let work = values.iter().map(|value| 1 + value.canonical_len() as u64 / 64).sum();
        Listed { values, work }
    }
}

/// The type names of `type`, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

/// In the order that messages list them.
const TYPE_NAMES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

impl Types {
    /// Adds a type; false when it is not one, or there already.
    pub(super) fn insert(&mut self, name: &str) -> bool {
        let Some(bit) = Types::bit(name) else {
            return false;
        };
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }

    /// Whether the value is of one of the types. A whole number is an integer however it was written.
    pub(super) fn hold(self, value: &Json) -> bool {
        let of_kind = Types::bit(value.kind()).unwrap_or_default();
        let integer = match value {
            Json::Number(number) if number.is_integer() => Types::bit("integer").unwrap_or_default(),
            _ => 0,
        };
        self.0 & (of_kind | integer) != 0
    }

    /// The names, for a message: `string or null`.
    pub(super) fn describe(self) -> String {
        let names: Vec<&str> =
            TYPE_NAMES.into_iter().filter(|name| Types::bit(name).is_some_and(|bit| self.0 & bit != 0)).collect();
        names.join(" or ")
    }

    fn bit(name: &str) -> Option<u8> {
        TYPE_NAMES.iter().position(|known| *known == name).map(|index| 1 << index)
    }
}
