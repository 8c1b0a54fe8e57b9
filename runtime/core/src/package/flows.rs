//! Flows: what a method may carry from a narrow section to a wider audience.
//!
//! A method may read more than some of those who read what it writes. Each such flow stands in the manifest, so
//! that approvers see it; a package with a flow that it does not name is refused before anybody can approve it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::names::{RoleName, SectionName, SpecName};
use crate::spec::{Mode, PARTIES, RecordSpec};

use super::{Method, PackageError, RecordUse};

/// What stands after the arrow for whether, and how, the intent ends.
pub const OUTCOME: &str = "outcome";

/// From a section to another one, or to the bare outcome: `negotiation->listing`, `negotiation->outcome`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// The section that is read.
    pub from: String,
    /// The section that is written, or [`OUTCOME`].
    pub to: String,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl Flow {
    fn new(from: &str, to: &str) -> Self {
        Flow { from: from.to_owned(), to: to.to_owned() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once("->")?;
        SectionName::parse(from).and_then(|_| SectionName::parse(to)).ok()?;
        Some(Flow::new(from, to))
    }
}

/// Reads what a method declassifies: each flow once, each one that the method can make.
pub(super) fn read(what: &str, texts: &[&str], records: &[RecordUse]) -> Result<BTreeSet<Flow>, PackageError> {
    let refuse = |text: &str, why: &str| Err(PackageError::Invalid(format!("{what} declassifies {text:?}; {why}")));
    let mut flows = BTreeSet::new();
    for text in texts {
        let Some(flow) = Flow::parse(text) else {
            return refuse(text, "a flow is written FROM->TO, with a section's name, or `outcome` at the end");
        };
        let made = pairs(records).any(|(one, from, other, to)| {
            from == flow.from && (flow.to == OUTCOME || (to == flow.to && (one != other || from != to)))
        });
        let told = flow.to == OUTCOME && records.iter().any(|usage| usage.readable().any(|from| from == flow.from));
        if !made && !told {
            return refuse(text, "the method does not read the one and write the other");
        }
        if !flows.insert(flow) {
            return refuse(text, "it stands there twice");
        }
    }
    Ok(flows)
}

/// Whether every flow to a wider audience is listed.
pub(super) fn check(what: &str, method: &Method, specs: &BTreeMap<SpecName, RecordSpec>) -> Result<(), PackageError> {
    for (one, from, other, to) in pairs(&method.records) {
        let spec = |index: usize| method.records.get(index).and_then(|usage: &RecordUse| specs.get(&usage.spec));
        let widens = from != PARTIES
            && match spec(one) {
                // Another contract's spec: who reads its sections is not for this manifest to know.
                None => one != other || from != to,
                Some(spec) if one == other => from != to && wider(spec, from, to),
                // Those who read one record need not be those who read the other.
                Some(spec) => !read_by_everyone(spec, from),
            };
        let flow = Flow::new(from, to);
        if widens && !method.declassifies.contains(&flow) {
            return Err(PackageError::Invalid(format!(
                "{what} can carry what it reads in {from} to those who read {to} and not {from}; approvers must see that: declassifies = [\"{flow}\"]"
            )));
        }
    }
    Ok(())
}

/// Every section that may be read with every one that may be written, each with its record's position.
fn pairs(records: &[RecordUse]) -> impl Iterator<Item = (usize, &str, usize, &str)> {
    records.iter().enumerate().flat_map(move |(one, read)| {
        read.readable().flat_map(move |from| {
            records
                .iter()
                .enumerate()
                .flat_map(move |(other, written)| written.writes.iter().map(move |to| (one, from, other, to.as_str())))
        })
    })
}

fn read_by_everyone(spec: &RecordSpec, section: &str) -> bool {
    audience(spec, section).iter().any(|role| spec.roles.get(role).is_some_and(|role| role.everyone))
}

fn wider(spec: &RecordSpec, from: &str, to: &str) -> bool {
    !read_by_everyone(spec, from) && !audience(spec, to).is_subset(&audience(spec, from))
}

/// The roles that may read a section; the parties are seen by whoever reads anything of a record.
fn audience(spec: &RecordSpec, section: &str) -> BTreeSet<RoleName> {
    let sections = spec.sections.iter().filter(|(name, _)| section == PARTIES || *name == section);
    sections
        .flat_map(|(_, found)| [Mode::Read, Mode::Modify, Mode::Create].map(|mode| found.grants.roles(mode)))
        .flatten()
        .cloned()
        .collect()
}
