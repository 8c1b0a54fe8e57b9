//! From the text of a schema to its compiled form, or to the keyword that is in the way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::keyword::{Id, Keyword, Listed, Node, Properties, Tree, Types};
use super::pattern::Pattern;
use super::references::{find_endless, parse_reference};
use super::{SchemaError, SchemaErrorKind};
use crate::json::{Json, Object, write_token};

/// How deep subschemas may nest.
const MOST_NESTING: usize = 64;
/// The one dialect; `$schema` may say so, for editors.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

pub(super) fn compile(schema: &Json) -> Result<Tree, SchemaError> {
    let mut compiler = Compiler::default();
    let root = compiler.reserve();
    compiler.name_definitions(schema)?;
    compiler.fill(root, schema)?;
    compiler.fill_definitions(schema)?;
    find_endless(&compiler.tree).map_or(Ok(()), |id| {
        let path = compiler.paths.get(id).cloned().unwrap_or_default();
        let message = "references lead around in a circle, or through more than 64 schemas, without a step into \
                       the value; break the chain"
            .to_owned();
        Err(SchemaError { kind: SchemaErrorKind::EndlessReference, path, message })
    })?;
    Ok(compiler.tree)
}

#[derive(Default)]
struct Compiler<'a> {
    tree: Tree,
    /// Where each node stands in the schema.
    paths: Vec<String>,
    definitions: BTreeMap<&'a str, Id>,
    /// Where we are in the schema, and at which lengths its steps start.
    path: String,
    steps: Vec<usize>,
}

impl<'a> Compiler<'a> {
    /// Gives each definition its place before anything refers to it.
    fn name_definitions(&mut self, schema: &'a Json) -> Result<(), SchemaError> {
        let Some(definitions) = schema.get("$defs") else {
            return Ok(());
        };
        let Json::Object(definitions) = definitions else {
            return self.within("$defs", |this| this.bad_value("an object of schemas", definitions));
        };
        for name in definitions.keys() {
            let id = self.reserve();
            self.definitions.insert(name, id);
        }
        Ok(())
    }

    fn fill_definitions(&mut self, schema: &'a Json) -> Result<(), SchemaError> {
        let definitions = schema.get("$defs").and_then(Json::as_object);
        self.within("$defs", |this| {
            for (name, definition) in definitions.iter().flat_map(|members| members.iter()) {
                let id = this.definitions.get(name).copied().unwrap_or_default();
                this.within(name, |this| this.fill(id, definition))?;
            }
            Ok(())
        })
    }

    fn reserve(&mut self) -> Id {
        self.tree.nodes.push(Node::Never);
        self.paths.push(String::new());
        self.tree.nodes.len() - 1
    }

    fn child(&mut self, step: &str, schema: &'a Json) -> Result<Id, SchemaError> {
        let id = self.reserve();
        self.within(step, |this| this.fill(id, schema))?;
        Ok(id)
    }

    fn fill(&mut self, id: Id, schema: &'a Json) -> Result<(), SchemaError> {
        if let Some(path) = self.paths.get_mut(id) {
            path.clone_from(&self.path);
        }
        let node = match schema {
            Json::Bool(true) => Node::All(Vec::new()),
            Json::Bool(false) => Node::Never,
            Json::Object(members) => self.keywords(members)?,
            other => return self.bad_value("a schema (an object, true or false)", other),
        };
        if let Some(place) = self.tree.nodes.get_mut(id) {
            *place = node;
        }
        Ok(())
    }

    fn keywords(&mut self, members: &'a Object) -> Result<Node, SchemaError> {
        for (name, value) in members.iter() {
            self.within(name, |this| this.look(name, value, members))?;
        }
        let mut keywords = Vec::new();
        // The order decides which violation is reported: what kind of value it is, then what it holds.
        for name in ORDER {
            if let Some(value) = members.get(name) {
                self.keyword(name, value, members, &mut keywords)?;
            }
        }
        Ok(Node::All(keywords))
    }

    /// Refuses what is not in the subset, and reads what only speaks to people.
    fn look(&mut self, name: &str, value: &Json, siblings: &Object) -> Result<(), SchemaError> {
        let at_root = self.steps.len() == 1;
        match name {
            "title" | "description" | "$comment" => self.text(value).map(|_| ()),
            "default" => Ok(()),
            "examples" => self.list(value, "an array of values").map(|_| ()),
            "$defs" if at_root => Ok(()),
            "$schema" if at_root && value.as_str() == Some(DIALECT) => Ok(()),
            "$schema" if at_root => self.bad_value(&format!("{DIALECT:?}"), value),
            "$defs" | "$schema" => self.unknown("stands at the root of a schema only; move it there"),
            "then" | "else" if siblings.contains_key("if") => Ok(()),
            "then" | "else" => self.unknown("decides nothing without an if beside it; add one"),
            known if ORDER.contains(&known) => Ok(()),
            "format" => self.unknown("is not in the subset, since its meaning differs between nodes; use pattern"),
            _ => self.unknown("is not in the subset of JSON Schema that specs use; take it out or say it differently"),
        }
    }

    fn unknown(&self, why: &str) -> Result<(), SchemaError> {
        Err(self.error(SchemaErrorKind::UnknownKeyword, format!("this keyword {why}")))
    }

    fn keyword(
        &mut self,
        name: &str,
        value: &'a Json,
        siblings: &'a Object,
        keywords: &mut Vec<Keyword>,
    ) -> Result<(), SchemaError> {
        let keyword = match name {
            "properties" | "patternProperties" | "additionalProperties" => {
                return self.properties(name, siblings, keywords);
            }
            "prefixItems" | "items" => return self.items(name, siblings, keywords),
            "if" => self.condition(value, siblings)?,
            "allOf" => Keyword::AllOf(self.schemas(name, value)?),
            "anyOf" => Keyword::AnyOf(self.schemas(name, value)?),
            "oneOf" => Keyword::OneOf(self.schemas(name, value)?),
            "not" => Keyword::Not(self.child(name, value)?),
            "contains" => Keyword::Contains(self.child(name, value)?),
            "propertyNames" => Keyword::PropertyNames(self.child(name, value)?),
            _ => match self.within(name, |this| this.assertion(name, value))? {
                Some(keyword) => keyword,
                None => return Ok(()),
            },
        };
        keywords.push(keyword);
        Ok(())
    }

    /// A keyword without subschemas; none when it asserts nothing.
    fn assertion(&self, name: &str, value: &Json) -> Result<Option<Keyword>, SchemaError> {
        Ok(Some(match name {
            "$ref" => Keyword::Ref(self.reference(value)?),
            "type" => Keyword::Type(self.types(value)?),
            "const" => Keyword::Const(Listed::new(vec![value.clone()])),
            "enum" => Keyword::Enum(Listed::new(self.list(value, "an array of values")?.to_vec())),
            "minimum" => Keyword::Minimum(self.number(value)?),
            "maximum" => Keyword::Maximum(self.number(value)?),
            "exclusiveMinimum" => Keyword::ExclusiveMinimum(self.number(value)?),
            "exclusiveMaximum" => Keyword::ExclusiveMaximum(self.number(value)?),
            "minLength" => Keyword::MinLength(self.count(value)?),
            "maxLength" => Keyword::MaxLength(self.count(value)?),
            "pattern" => Keyword::Pattern(self.pattern(self.text(value)?)?),
            "minItems" => Keyword::MinItems(self.count(value)?),
            "maxItems" => Keyword::MaxItems(self.count(value)?),
            "uniqueItems" => match value {
                Json::Bool(true) => Keyword::UniqueItems,
                Json::Bool(false) => return Ok(None),
                other => return self.bad_value("true or false", other),
            },
            "minProperties" => Keyword::MinProperties(self.count(value)?),
            "maxProperties" => Keyword::MaxProperties(self.count(value)?),
            "required" => Keyword::Required(self.names(value)?),
            _ => unreachable!("ORDER lists only keywords that are compiled"),
        }))
    }

    /// `properties` and its siblings become one keyword, at the first of them.
    fn properties(&mut self, name: &str, siblings: &'a Object, keywords: &mut Vec<Keyword>) -> Result<(), SchemaError> {
        if matches!(keywords.last(), Some(Keyword::Properties(_))) {
            return Ok(());
        }
        let mut properties = Properties::default();
        for (name, schemas) in [("properties", true), ("patternProperties", false)] {
            let Some(value) = siblings.get(name) else {
                continue;
            };
            self.within(name, |this| {
                let Json::Object(members) = value else {
                    return this.bad_value("an object of schemas", value);
                };
                for (key, schema) in members.iter() {
                    let id = this.child(key, schema)?;
                    if schemas {
                        properties.named.push((key.to_owned(), id));
                    } else {
                        let pattern = this.within(key, |this| this.pattern(key))?;
                        properties.patterns.push((pattern, id));
                    }
                }
                Ok(())
            })?;
        }
        properties.named.sort_by(|(left, _), (right, _)| left.cmp(right));
        if let Some(schema) = siblings.get("additionalProperties") {
            properties.additional = Some(self.child("additionalProperties", schema)?);
        }
        debug_assert!(siblings.contains_key(name));
        keywords.push(Keyword::Properties(properties));
        Ok(())
    }

    /// `prefixItems` and `items` become one keyword, at the first of them.
    fn items(&mut self, name: &str, siblings: &'a Object, keywords: &mut Vec<Keyword>) -> Result<(), SchemaError> {
        if matches!(keywords.last(), Some(Keyword::Items { .. })) {
            return Ok(());
        }
        let prefix = match siblings.get("prefixItems") {
            Some(value) => self.schemas("prefixItems", value)?,
            None => Vec::new(),
        };
        let rest = siblings.get("items").map(|schema| self.child("items", schema)).transpose()?;
        debug_assert!(siblings.contains_key(name));
        keywords.push(Keyword::Items { prefix, rest });
        Ok(())
    }

    fn condition(&mut self, value: &'a Json, siblings: &'a Object) -> Result<Keyword, SchemaError> {
        let condition = self.child("if", value)?;
        let then = siblings.get("then").map(|schema| self.child("then", schema)).transpose()?;
        let otherwise = siblings.get("else").map(|schema| self.child("else", schema)).transpose()?;
        Ok(Keyword::If { condition, then, otherwise })
    }

    fn schemas(&mut self, name: &str, value: &'a Json) -> Result<Vec<Id>, SchemaError> {
        self.within(name, |this| {
            let schemas = this.list(value, "an array of schemas")?;
            if schemas.is_empty() {
                return this.bad_value("at least one schema", value);
            }
            schemas.iter().enumerate().map(|(index, schema)| this.child(&index.to_string(), schema)).collect()
        })
    }

    fn reference(&self, value: &Json) -> Result<Id, SchemaError> {
        let text = self.text(value)?;
        if text == "#" {
            return Ok(0);
        }
        let name = parse_reference(text);
        name.and_then(|name| self.definitions.get(name.as_str()).copied()).ok_or_else(|| {
            let message = match parse_reference(text) {
                Some(_) => format!("there is no {text} in this schema"),
                None => "a reference is # or #/$defs/NAME; copy other schemas into $defs".to_owned(),
            };
            self.error(SchemaErrorKind::BadReference, message)
        })
    }

    fn types(&self, value: &Json) -> Result<Types, SchemaError> {
        let names = match value {
            Json::Array(names) if !names.is_empty() => names.as_slice(),
            single => std::slice::from_ref(single),
        };
        let mut types = Types::default();
        for name in names {
            if !name.as_str().is_some_and(|name| types.insert(name)) {
                let expected = "null, boolean, integer, number, string, array or object, or a list of them, each once";
                return self.bad_value(expected, value);
            }
        }
        Ok(types)
    }

    fn names(&self, value: &Json) -> Result<Vec<String>, SchemaError> {
        let names = self.list(value, "an array of keys")?;
        let mut read: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            read.push(self.text(name)?.to_owned());
        }
        read.sort();
        if read.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return self.bad_value("each key once", value);
        }
        Ok(read)
    }

    fn pattern(&self, source: &str) -> Result<Pattern, SchemaError> {
        Pattern::compile(source).map_err(|message| self.error(SchemaErrorKind::BadPattern, message))
    }

    fn list<'b>(&self, value: &'b Json, expected: &str) -> Result<&'b [Json], SchemaError> {
        value.as_array().map_or_else(|| self.bad_value(expected, value), Ok)
    }

    fn text<'b>(&self, value: &'b Json) -> Result<&'b str, SchemaError> {
        value.as_str().map_or_else(|| self.bad_value("a string", value), Ok)
    }

    fn number(&self, value: &Json) -> Result<f64, SchemaError> {
        value.as_f64().map_or_else(|| self.bad_value("a number", value), Ok)
    }

    fn count(&self, value: &Json) -> Result<u64, SchemaError> {
        value.as_u64().map_or_else(|| self.bad_value("a whole number from 0 to 2^53 - 1", value), Ok)
    }

    /// Does something one step further down the schema.
    fn within<T>(
        &mut self,
        step: &str,
        act: impl FnOnce(&mut Self) -> Result<T, SchemaError>,
    ) -> Result<T, SchemaError> {
        let start = self.path.len();
        self.steps.push(start);
        let written = write_token(&mut self.path, step);
        assert!(written.is_ok(), "writing into a string does not fail");
        if self.steps.len() > MOST_NESTING {
            let message = format!("schemas nest deeper than {MOST_NESTING} steps; use $defs and $ref");
            return Err(self.error(SchemaErrorKind::TooDeep, message));
        }
        let result = act(self)?;
        self.path.truncate(start);
        self.steps.pop();
        Ok(result)
    }

    fn bad_value<T>(&self, expected: &str, found: &Json) -> Result<T, SchemaError> {
        let mut message = format!("expected {expected}, found {}", found.kind_with_article());
        if !matches!(found, Json::Array(_) | Json::Object(_) | Json::Null) {
            let written = write!(message, " ({})", crate::json::shortened(&found.canonical()));
            assert!(written.is_ok(), "writing into a string does not fail");
        }
        Err(self.error(SchemaErrorKind::BadValue, message))
    }

    fn error(&self, kind: SchemaErrorKind, message: String) -> SchemaError {
        SchemaError { kind, path: self.path.clone(), message }
    }
}

/// Every keyword that decides something, in the order in which they are checked.
const ORDER: [&str; 29] = [
    "type",
    "const",
    "enum",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
    "propertyNames",
    "properties",
    "patternProperties",
    "additionalProperties",
    "prefixItems",
    "items",
    "contains",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
];
