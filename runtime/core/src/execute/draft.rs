//! A record while an intent works on it: working copies of its sections, and what was done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::codes::Code;
use crate::crypto::Digest;
use crate::directory::SpecEntry;
use crate::event::{Applied, Notification, Read};
use crate::intent::RawChange;
use crate::json::{Json, Operation};
use crate::names::{RecordId, SpecName};
use crate::package::RecordUse;
use crate::record::{OnContract, RecordState};

use super::{MAX_RECORD_BYTES, MAX_SECTION_BYTES, Rejected};

/// What an intent does to one section.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The content after.
    pub content: Arc<Json>,
    /// The same in canonical form.
    pub canonical: Arc<str>,
    /// The changes, in order.
    pub changes: Vec<Operation>,
    /// What applying each change found.
    pub applied: Vec<Applied>,
    /// The notifications, in order.
    pub notifications: Vec<Notification>,
}

/// What an intent does to one record: becomes one event.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The record.
    pub record: RecordId,
    /// Its state before; `None` for a new one.
    pub before: Option<Arc<RecordState>>,
    /// The spec under which it was judged.
    pub entry: Arc<SpecEntry>,
    /// The contract version that the record is on afterwards.
    pub on: OnContract,
    /// The package under which it was judged.
    pub package: Digest,
    /// The sections declared as written, used or not.
    pub sections: BTreeMap<String, Written>,
    /// The other records that the execution could read.
    pub reads: Vec<Read>,
}

/// A section being worked on.
#[derive(Clone, Debug, Default)]
struct Work {
    content: Json,
    changes: Vec<Operation>,
    applied: Vec<Applied>,
    notifications: Vec<Notification>,
}

/// A record being worked on.
pub(super) struct DraftRecord {
    pub(super) record: RecordId,
    pub(super) before: Option<Arc<RecordState>>,
    pub(super) entry: Arc<SpecEntry>,
    pub(super) usage: RecordUse,
    /// Sections declared as written that the actor may not read: the method may neither look at nor change them.
    pub(super) closed: BTreeSet<String>,
    on: OnContract,
    package: Digest,
    work: BTreeMap<String, Work>,
}

/// What raw changes declare by being there.
pub(super) fn raw_use(spec: &SpecName, index: usize, changes: &[RawChange]) -> RecordUse {
    let mut writes: Vec<String> =
        changes.iter().filter(|change| change.record == index).map(|change| change.section.clone()).collect();
    writes.sort_unstable();
    writes.dedup();
    RecordUse { spec: spec.clone(), creates: true, reads: Vec::new(), writes, notifies: Vec::new() }
}

impl DraftRecord {
    pub(super) fn new(
        record: RecordId,
        before: Option<Arc<RecordState>>,
        entry: Arc<SpecEntry>,
        on: OnContract,
        package: Digest,
        usage: RecordUse,
    ) -> Self {
        DraftRecord { record, before, entry, usage, closed: BTreeSet::new(), on, package, work: BTreeMap::new() }
    }

    /// The seq that this intent's event on the record would get.
    pub(super) fn seq(&self) -> u64 {
        self.before.as_ref().map_or(1, |state| state.seq + 1)
    }

    /// Whether the method declares the section as written.
    pub(super) fn writes(&self, section: &str) -> bool {
        self.usage.writes.iter().any(|known| known == section)
    }

    /// Whether the record is one that the use is for.
    pub(super) fn check_record(&self) -> Result<(), Rejected> {
        match &self.before {
            None if !self.usage.creates => {
                Err(Rejected::new(Code::UnknownRecord, format!("there is no record {}", self.record)))
            }
            Some(state) if state.spec != self.usage.spec => Err(Rejected::new(
                Code::WrongRecords,
                format!("{} is a {}, the intent is for a {}", self.record, state.spec, self.usage.spec),
            )),
            _ => Ok(()),
        }
    }

    /// Whether the spec has every section that the use names; of another contract's spec, nobody has looked before.
    pub(super) fn check_use(&self) -> Result<(), Rejected> {
        let named = self.usage.reads.iter().chain(&self.usage.writes);
        match named.into_iter().find(|section| !self.entry.spec.sections.contains_key(*section)) {
            None => Ok(()),
            Some(section) => Err(Rejected::new(
                Code::WrongRecords,
                format!(
                    "the method names section {section}, which spec {} of {} does not have",
                    self.entry.name, self.record
                ),
            )),
        }
    }

    /// Whether the spec has the section.
    pub(super) fn check_section(&self, section: &str) -> Result<(), Rejected> {
        if self.entry.spec.sections.contains_key(section) {
            return Ok(());
        }
        Err(Rejected::new(Code::Patch, format!("spec {} has no section {section}", self.entry.name)))
    }

    /// Lets `look` see the section as it is now.
    pub(super) fn with_content<T>(&self, section: &str, look: impl FnOnce(&Json) -> T) -> T {
        match (self.work.get(section), &self.before) {
            (Some(work), _) => look(&work.content),
            (None, Some(state)) => look(&state.content(section)),
            (None, None) => look(&Json::Null),
        }
    }

    fn work(&mut self, section: &str) -> &mut Work {
        let before = &self.before;
        self.work.entry(section.to_owned()).or_insert_with(|| {
            let content = before.as_ref().map_or(Json::Null, |state| Json::clone(&state.content(section)));
            Work { content, ..Work::default() }
        })
    }

    /// Applies one operation; a failed one changes nothing.
    pub(super) fn apply(&mut self, section: &str, operation: Operation) -> Result<(), String> {
        let record = self.record.clone();
        let work = self.work(section);
        let applied = Applied::apply(&operation, &mut work.content)
            .map_err(|error| format!("section {section} of {record}: {error}"))?;
        work.changes.push(operation);
        work.applied.push(applied);
        Ok(())
    }

    pub(super) fn notify(&mut self, section: &str, notification: Notification) {
        self.work(section).notifications.push(notification);
    }

    /// The sections that were changed, with their content before and now.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&str, Arc<Json>, &Json)> {
        let changing = |work: &Work| work.changes.iter().any(|operation| !matches!(operation, Operation::Test { .. }));
        self.work.iter().filter(move |(_, work)| changing(work)).map(|(name, work)| {
            let before = self.before.as_ref().map_or_else(|| Arc::new(Json::Null), |state| state.content(name));
            (name.as_str(), before, &work.content)
        })
    }

    fn finish(mut self, others: &[Read]) -> Result<Option<Effect>, Rejected> {
        let mut declared: Vec<String> = self.usage.writes.clone();
        declared.extend(self.work.keys().cloned());
        if declared.is_empty() {
            return Ok(None);
        }
        for name in &declared {
            self.work(name);
        }
        let mut sections = BTreeMap::new();
        for (name, work) in std::mem::take(&mut self.work) {
            let canonical: Arc<str> = work.content.canonical().into();
            if canonical.len() > MAX_SECTION_BYTES {
                let message = format!(
                    "section {name} of {} would have {} bytes; {MAX_SECTION_BYTES} are allowed",
                    self.record,
                    canonical.len()
                );
                return Err(Rejected::new(Code::Size, message));
            }
            let Work { content, changes, applied, notifications } = work;
            sections.insert(name, Written { content: Arc::new(content), canonical, changes, applied, notifications });
        }
        self.check_size(&sections)?;
        let reads = others.iter().filter(|read| read.record != self.record).cloned().collect();
        let DraftRecord { record, before, entry, on, package, .. } = self;
        Ok(Some(Effect { record, before, entry, on, package, sections, reads }))
    }

    fn check_size(&self, written: &BTreeMap<String, Written>) -> Result<(), Rejected> {
        let kept =
            self.before.iter().flat_map(|state| &state.sections).filter(|(name, _)| !written.contains_key(*name));
        let bytes: usize = kept.map(|(_, section)| section.bytes).sum::<usize>()
            + written.values().map(|one| one.canonical.len()).sum::<usize>();
        if bytes > MAX_RECORD_BYTES {
            return Err(Rejected::new(
                Code::Size,
                format!("record {} would have {bytes} bytes; {MAX_RECORD_BYTES} are allowed", self.record),
            ));
        }
        Ok(())
    }
}

/// One effect for each record with sections declared as written.
pub(super) fn finish(drafts: Vec<DraftRecord>, reads: &[Read]) -> Result<Vec<Effect>, Rejected> {
    let mut effects = Vec::new();
    for draft in drafts {
        effects.extend(draft.finish(reads)?);
    }
    Ok(effects)
}
