//! Which of what happens a reader wants.

use lockstep_core::names::{ContractName, RecordId, SpecName};

use super::happened::{Item, Kind};
use super::problem::Problem;
use super::query::Query;

/// All that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    contract: Option<String>,
    spec: Option<String>,
    record: Option<String>,
    /// Of notifications.
    kind: Option<String>,
}

impl Filter {
    /// The names of the query that one kind of stream takes.
    pub(super) fn names(kind: Kind) -> &'static [&'static str] {
        match kind {
            Kind::Events => &["after", "contract", "spec", "record"],
            Kind::Notifications => &["after", "contract", "spec", "record", "type"],
        }
    }

    pub(super) fn of(query: &Query) -> Result<Self, Problem> {
        let contract = |text: &str| ContractName::parse(text).ok().map(|name| name.to_string());
        let spec = |text: &str| SpecName::parse(text).ok().map(|name| name.to_string());
        let record = |text: &str| RecordId::parse(text).ok().map(|id| id.to_string());
        Ok(Filter {
            contract: query.parsed("contract", contract, "a contract's name")?,
            spec: query.parsed("spec", spec, "a spec's name")?,
            record: query.parsed("record", record, "NODE:NAME")?,
            kind: query.parsed("type", |text| Some(text.to_owned()), "a type such as offer.made")?,
        })
    }

    pub(super) fn takes(&self, item: &Item) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        fits(&self.contract, &item.contract)
            && fits(&self.spec, &item.spec)
            && fits(&self.record, &item.record)
            && fits(&self.kind, item.kind.as_deref().unwrap_or_default())
    }
}
