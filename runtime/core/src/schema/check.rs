//! Evaluation: one walk over the value, with a budget.
//!
//! Recursion and work are bounded whatever the schema says, and running out is a violation that no `not` or
//! `anyOf` turns around. Which violation is reported is part of the verdict, so the order of everything is
//! fixed: keywords in the order of `compile`, members in canonical order, items in theirs.

use std::collections::BTreeSet;

use super::keyword::{Id, Keyword, Listed, Node, Properties, Tree};
use super::{Schema, Violation};
use crate::json::{Json, Object, shortened, write_token};

pub(super) fn check(tree: &Tree, value: &Json) -> Result<(), Violation> {
    let mut check = Check { tree, work: Schema::WORK, depth: Schema::DEPTH, path: Vec::new(), quiet: false };
    match check.node(0, value) {
        Ok(()) => Ok(()),
        Err(Stop::Misfit(violation) | Stop::Exhausted(violation)) => Err(violation),
    }
}

/// Why a subschema did not accept.
enum Stop {
    /// The value does not fit; another subschema may accept it.
    Misfit(Violation),
    /// The check is over, whatever the schema says.
    Exhausted(Violation),
}

type Verdict = Result<(), Stop>;

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

struct Check<'a> {
    tree: &'a Tree,
    work: u64,
    depth: usize,
    path: Vec<Step<'a>>,
    /// Whether nobody will read the violation, so that none is written.
    quiet: bool,
}

impl<'a> Check<'a> {
    fn node(&mut self, id: Id, value: &'a Json) -> Verdict {
        self.spend(1)?;
        let Some(depth) = self.depth.checked_sub(1) else {
            return self.exhausted("the schema refers to itself too often for this value; make the value flatter");
        };
        self.depth = depth;
        let tree = self.tree;
        let verdict = match tree.nodes.get(id) {
            Some(Node::All(keywords)) => keywords.iter().try_for_each(|keyword| self.keyword(keyword, value)),
            Some(Node::Never) | None => self.misfit("false", || "nothing is allowed here".to_owned()),
        };
        self.depth += 1;
        verdict
    }

    fn keyword(&mut self, keyword: &'a Keyword, value: &'a Json) -> Verdict {
        self.spend(1)?;
        match keyword {
            Keyword::Type(types) => self.require(types.hold(value), "type", || {
                format!("expected {}, found {}", types.describe(), describe(value))
            }),
            Keyword::Const(listed) => self.listed("const", listed, value),
            Keyword::Enum(listed) => self.listed("enum", listed, value),
            Keyword::Ref(id) => self.node(*id, value),
            Keyword::AllOf(ids) => ids.iter().try_for_each(|id| self.node(*id, value)),
            Keyword::AnyOf(ids) => self.any_of(ids, value),
            Keyword::OneOf(ids) => self.one_of(ids, value),
            Keyword::Not(id) => {
                let fits = self.fits(*id, value)?;
                self.require(!fits, "not", || "the value is one that is not allowed".to_owned())
            }
            Keyword::If { condition, then, otherwise } => {
                let branch = if self.fits(*condition, value)? { then } else { otherwise };
                branch.map_or(Ok(()), |id| self.node(id, value))
            }
            _ => match value {
                Json::Number(number) => self.number(keyword, number.get()),
                Json::String(text) => self.text(keyword, text),
                Json::Array(items) => self.items(keyword, items),
                Json::Object(members) => self.members(keyword, members),
                Json::Null | Json::Bool(_) => Ok(()),
            },
        }
    }

    fn number(&mut self, keyword: &Keyword, number: f64) -> Verdict {
        let (name, fits, what, bound) = match keyword {
            Keyword::Minimum(bound) => ("minimum", number >= *bound, "at least", *bound),
            Keyword::Maximum(bound) => ("maximum", number <= *bound, "at most", *bound),
            Keyword::ExclusiveMinimum(bound) => ("exclusiveMinimum", number > *bound, "more than", *bound),
            Keyword::ExclusiveMaximum(bound) => ("exclusiveMaximum", number < *bound, "less than", *bound),
            _ => return Ok(()),
        };
        let show = |number| crate::json::Number::from_f64(number).map(|number| number.to_string()).unwrap_or_default();
        self.require(fits, name, || format!("{} should be {what} {}", show(number), show(bound)))
    }

    fn text(&mut self, keyword: &Keyword, text: &str) -> Verdict {
        match keyword {
            Keyword::MinLength(bound) => self.length("minLength", text, *bound, true),
            Keyword::MaxLength(bound) => self.length("maxLength", text, *bound, false),
            Keyword::Pattern(pattern) => {
                self.spend(pattern.work(text))?;
                self.require(pattern.matches(text), "pattern", || {
                    format!("{} does not match the pattern {}", quoted(text), pattern.source())
                })
            }
            _ => Ok(()),
        }
    }

    fn length(&mut self, name: &'static str, text: &str, bound: u64, least: bool) -> Verdict {
        self.spend(text.len() as u64 / 64)?;
        self.bound(name, text.chars().count(), bound, least, "characters")
    }

    fn items(&mut self, keyword: &'a Keyword, items: &'a [Json]) -> Verdict {
        match keyword {
            Keyword::MinItems(bound) => self.bound("minItems", items.len(), *bound, true, "items"),
            Keyword::MaxItems(bound) => self.bound("maxItems", items.len(), *bound, false, "items"),
            Keyword::UniqueItems => self.unique(items),
            Keyword::Items { prefix, rest } => {
                let schemas = prefix.iter().map(Some).chain(std::iter::repeat(rest.as_ref()));
                for ((index, item), schema) in items.iter().enumerate().zip(schemas) {
                    let Some(id) = schema else { break };
                    self.within(Step::Item(index), |this| this.node(*id, item))?;
                }
                Ok(())
            }
            Keyword::Contains(id) => {
                for (index, item) in items.iter().enumerate() {
                    if self.within(Step::Item(index), |this| this.fits(*id, item))? {
                        return Ok(());
                    }
                }
                self.misfit("contains", || "none of the items is of the kind that must be among them".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Compares canonical forms in a set: equal values have equal ones, and pairs would cost the square.
    fn unique(&mut self, items: &[Json]) -> Verdict {
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let canonical = item.canonical();
            self.spend(4 + canonical.len() as u64 / 64)?;
            if !seen.insert(canonical) {
                return self.misfit("uniqueItems", || format!("item {index} equals an earlier one"));
            }
        }
        Ok(())
    }

    fn members(&mut self, keyword: &'a Keyword, members: &'a Object) -> Verdict {
        match keyword {
            Keyword::MinProperties(bound) => self.bound("minProperties", members.len(), *bound, true, "members"),
            Keyword::MaxProperties(bound) => self.bound("maxProperties", members.len(), *bound, false, "members"),
            Keyword::Required(names) => {
                self.spend(names.len() as u64)?;
                let missing = names.iter().find(|name| !members.contains_key(name));
                self.require(missing.is_none(), "required", || {
                    format!("the member {} is missing", missing.map(|name| quoted(name)).unwrap_or_default())
                })
            }
            Keyword::PropertyNames(id) => members.keys().try_for_each(|key| self.property_name(*id, key)),
            Keyword::Properties(properties) => {
                members.iter().try_for_each(|(key, member)| self.member(properties, key, member))
            }
            _ => Ok(()),
        }
    }

    fn property_name(&mut self, id: Id, key: &str) -> Verdict {
        // The name is a value of its own, so it gets a check of its own, paid from the same budget.
        let name = Json::from(key);
        let mut inner =
            Check { tree: self.tree, work: self.work, depth: self.depth, path: Vec::new(), quiet: self.quiet };
        let verdict = inner.node(id, &name);
        self.work = inner.work;
        match verdict {
            Err(Stop::Misfit(violation)) => self
                .misfit("propertyNames", || format!("the key {} is not allowed: {}", quoted(key), violation.message)),
            Err(Stop::Exhausted(violation)) => Err(Stop::Exhausted(Violation { path: self.pointer(), ..violation })),
            Ok(()) => Ok(()),
        }
    }

    fn member(&mut self, properties: &'a Properties, key: &'a str, member: &'a Json) -> Verdict {
        self.spend(1)?;
        let mut known = false;
        if let Some(id) = properties.named(key) {
            known = true;
            self.within(Step::Key(key), |this| this.node(id, member))?;
        }
        for (pattern, id) in &properties.patterns {
            self.spend(pattern.work(key))?;
            if pattern.matches(key) {
                known = true;
                self.within(Step::Key(key), |this| this.node(*id, member))?;
            }
        }
        match properties.additional {
            Some(id) if !known => self.additional(id, key, member),
            _ => Ok(()),
        }
    }

    fn additional(&mut self, id: Id, key: &'a str, member: &'a Json) -> Verdict {
        if matches!(self.tree.nodes.get(id), Some(Node::Never)) {
            return self.misfit("additionalProperties", || format!("the member {} is not allowed here", quoted(key)));
        }
        self.within(Step::Key(key), |this| this.node(id, member))
    }

    /// Reports the violation that lies deepest in the value: the branch that was probably meant.
    fn any_of(&mut self, ids: &[Id], value: &'a Json) -> Verdict {
        let mut closest: Option<Violation> = None;
        for id in ids {
            match self.node(*id, value) {
                Err(Stop::Misfit(violation)) => {
                    let steps = |violation: &Violation| violation.path.matches('/').count();
                    if closest.as_ref().is_none_or(|closest| steps(&violation) > steps(closest)) {
                        closest = Some(violation);
                    }
                }
                other => return other,
            }
        }
        self.misfit("anyOf", || match closest {
            Some(closest) => format!("none of the {} alternatives fits; the closest says: {closest}", ids.len()),
            None => "there is no alternative".to_owned(),
        })
    }

    fn one_of(&mut self, ids: &[Id], value: &'a Json) -> Verdict {
        let mut fitting = 0;
        for id in ids {
            fitting += usize::from(self.fits(*id, value)?);
        }
        match fitting {
            1 => Ok(()),
            // Nothing fits: the same question as anyOf, answered as helpfully.
            0 if !self.quiet => match self.any_of(ids, value) {
                Err(Stop::Misfit(violation)) => Err(Stop::Misfit(Violation { keyword: "oneOf", ..violation })),
                other => other,
            },
            _ => {
                self.misfit("oneOf", || format!("{fitting} of the {} alternatives fit, exactly one should", ids.len()))
            }
        }
    }

    fn listed(&mut self, name: &'static str, listed: &Listed, value: &Json) -> Verdict {
        self.spend(listed.work)?;
        self.require(listed.values.contains(value), name, || {
            let allowed: Vec<String> = listed.values.iter().take(8).map(describe).collect();
            let more = if listed.values.len() > allowed.len() { ", …" } else { "" };
            format!("expected {}{more}, found {}", allowed.join(", "), describe(value))
        })
    }

    fn bound(&mut self, name: &'static str, found: usize, bound: u64, least: bool, what: &str) -> Verdict {
        let found = found as u64;
        let (fits, should) = if least { (found >= bound, "at least") } else { (found <= bound, "at most") };
        self.require(fits, name, || format!("there should be {should} {bound} {what}, not {found}"))
    }

    /// Whether a value fits, when it is only a question.
    fn fits(&mut self, id: Id, value: &'a Json) -> Result<bool, Stop> {
        let quiet = std::mem::replace(&mut self.quiet, true);
        let verdict = self.node(id, value);
        self.quiet = quiet;
        match verdict {
            Ok(()) => Ok(true),
            Err(Stop::Misfit(_)) => Ok(false),
            Err(exhausted) => Err(exhausted),
        }
    }

    fn within<T>(&mut self, step: Step<'a>, act: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.path.push(step);
        let result = act(self);
        self.path.pop();
        result
    }

    fn require(&mut self, fits: bool, keyword: &'static str, message: impl FnOnce() -> String) -> Verdict {
        if fits { Ok(()) } else { self.misfit(keyword, message) }
    }

    fn misfit(&mut self, keyword: &'static str, message: impl FnOnce() -> String) -> Verdict {
        if self.quiet {
            return Err(Stop::Misfit(Violation { path: String::new(), keyword, message: String::new() }));
        }
        self.spend(20)?;
        Err(Stop::Misfit(Violation { path: self.pointer(), keyword, message: message() }))
    }

    fn spend(&mut self, work: u64) -> Verdict {
        match self.work.checked_sub(work) {
            Some(left) => {
                self.work = left;
                Ok(())
            }
            None => self.exhausted("checking this value against its schema costs too much; make either simpler"),
        }
    }

    fn exhausted(&mut self, message: &str) -> Verdict {
        self.work = 0;
        let violation = Violation { path: self.pointer(), keyword: "work", message: message.to_owned() };
        Err(Stop::Exhausted(violation))
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in &self.path {
            let written = match step {
                Step::Key(key) => write_token(&mut pointer, key),
                Step::Item(index) => write_token(&mut pointer, &index.to_string()),
            };
            assert!(written.is_ok(), "writing into a string does not fail");
        }
        pointer
    }
}

/// A value as messages show it: scalars themselves, the rest by kind.
fn describe(value: &Json) -> String {
    match value {
        Json::Array(_) | Json::Object(_) => value.kind_with_article().to_owned(),
        Json::String(text) => quoted(text),
        scalar => scalar.canonical(),
    }
}

fn quoted(text: &str) -> String {
    Json::from(shortened(text)).canonical()
}
