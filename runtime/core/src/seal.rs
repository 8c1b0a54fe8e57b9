//! Step `seal`: effects become hash-chained events; and back, stored events become states again.
//!
//! Everything random comes in as salts, so the same effects with the same salts give the same events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::{Context, Digest, Salt, commit, commit_canonical};
use crate::directory::{Directory, SpecEntry};
use crate::event::{
    Applied, CONTENT_DOMAIN, EventOpenings, Header, READS_DOMAIN, SealedSection, SectionBody, reads_json, seal_section,
};
use crate::execute::Effect;
use crate::json::Json;
use crate::names::NodeName;
use crate::package::Manifest;
use crate::record::{OnContract, RecordState, SectionState};
use crate::time::Timestamp;

/// What all events of one intent share.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The directory under which it was judged.
    pub directory: &'a Directory,
    /// The log that will hold the leaf.
    pub log: &'a str,
    /// The node that orders the records.
    pub sequencer: &'a NodeName,
    /// The intent.
    pub intent: Digest,
    /// The time of the batch.
    pub time: Timestamp,
}

/// An event with all that rows and replies need of it.
#[derive(Clone, Debug)]
pub struct SealedEvent {
    /// Its id.
    pub id: Digest,
    /// Its header.
    pub header: Header,
    /// The header as it is stored.
    pub header_stored: Vec<u8>,
    /// The openings of its commitments.
    pub openings: EventOpenings,
    /// The openings as they are stored.
    pub openings_stored: Vec<u8>,
    /// The spec under which it was judged.
    pub entry: Arc<SpecEntry>,
    /// The record before; `None` for a new one.
    pub before: Option<Arc<RecordState>>,
    /// The record after.
    pub after: Arc<RecordState>,
    /// What applying each change found, by section.
    pub applied: BTreeMap<String, Vec<Applied>>,
    /// The sections written, with their content after in canonical form.
    pub contents: BTreeMap<String, Arc<str>>,
}

/// Seals an intent's effects, one event each, in order.
pub fn seal(effects: Vec<Effect>, sealing: &Sealing<'_>, salt: &mut dyn FnMut() -> Salt) -> Vec<SealedEvent> {
    effects.into_iter().map(|effect| seal_one(effect, sealing, salt)).collect()
}

fn seal_one(effect: Effect, sealing: &Sealing<'_>, salt: &mut dyn FnMut() -> Salt) -> SealedEvent {
    let network = sealing.directory.network();
    let before = effect.before.clone();
    let (epoch, seq) = before.as_ref().map_or((1, 1), |state| (state.epoch, state.seq + 1));
    let mut sections = before.as_ref().map(|state| state.sections.clone()).unwrap_or_default();
    let mut sealed: BTreeMap<String, SealedSection> = sections
        .iter()
        .map(|(name, state)| (name.clone(), SealedSection { seq: state.seq, content: state.commitment, written: None }))
        .collect();
    let (reads_salt, mut openings) = (salt(), EventOpenings::default());
    let (mut applied, mut contents) = (BTreeMap::new(), BTreeMap::new());
    for (name, written) in effect.sections {
        let body = SectionBody {
            content_salt: salt(),
            changes_salt: salt(),
            changes: written.changes,
            notifications_salt: salt(),
            notifications: written.notifications,
        };
        let section = seal_section(&network, &effect.record, &name, seq, written.canonical.as_bytes(), &body);
        sections.insert(
            name.clone(),
            SectionState {
                seq,
                content: written.content,
                hidden: false,
                commitment: section.content,
                bytes: written.canonical.len(),
            },
        );
        sealed.insert(name.clone(), section);
        openings.sections.insert(name.clone(), body);
        applied.insert(name.clone(), written.applied);
        contents.insert(name, written.canonical);
    }
    let context = Context {
        domain: READS_DOMAIN,
        network: Some(&network),
        record: Some(effect.record.as_str()),
        section: None,
        seq: Some(seq),
    };
    let reads = commit(&reads_salt, &context, &reads_json(&effect.reads));
    openings.reads = Some((reads_salt, effect.reads));
    let header = Header {
        network,
        log: sealing.log.to_owned(),
        record: effect.record,
        epoch,
        seq,
        prev: before.as_ref().map(|state| state.head),
        spec: effect.entry.spec.digest(),
        package: effect.package,
        directory: (sealing.directory.seq(), sealing.directory.head()),
        intent: sealing.intent,
        sequencer: sealing.sequencer.clone(),
        time: sealing.time,
        sections: sealed,
        reads,
    };
    let header_stored = header.stored();
    let id = Digest::of(&header_stored);
    let after = RecordState {
        spec: effect.entry.name.clone(),
        spec_digest: header.spec,
        on: effect.on,
        epoch,
        seq,
        head: id,
        sections,
    };
    let openings_stored = openings.stored();
    SealedEvent {
        id,
        header,
        header_stored,
        openings,
        openings_stored,
        entry: effect.entry,
        before,
        after: Arc::new(after),
        applied,
        contents,
    }
}

/// Why an event cannot be made of what is stored or was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its header does not continue its record.
    #[error("{0}")]
    Chain(String),
    /// It changes a section whose content before it is not known here.
    #[error("the content of section {0} before this event is not known here")]
    Unknown(String),
    /// Its openings do not lead to the contents that its header commits to.
    #[error("{0}")]
    Content(String),
}

/// Makes a stored event into what [`seal`] made of it, by applying its changes to the state before. Where the openings
/// are not all of them, the other sections that it wrote are hidden from then on.
///
/// Checked here: the chain to the state before, and the commitments to the contents after. Not checked here:
/// the openings' own commitments ([`EventOpenings::check`]).
///
/// # Errors
/// [`Unfit`].
pub fn replay(
    header: Header,
    openings: EventOpenings,
    before: Option<Arc<RecordState>>,
    directory: &Directory,
) -> Result<SealedEvent, Unfit> {
    let (seq, prev) = before.as_ref().map_or((1, None), |state| (state.seq + 1, Some(state.head)));
    if header.seq != seq || header.prev != prev {
        let what = format!("event {} of {} does not continue the record's chain", header.seq, header.record);
        return Err(Unfit::Chain(what));
    }
    let unknown = |what: &str, digest: Digest| Unfit::Chain(format!("{what} {digest} is not known"));
    let entry = directory.specs().get(&header.spec).ok_or_else(|| unknown("spec", header.spec))?.clone();
    let package = directory.package(&header.package).ok_or_else(|| unknown("package", header.package))?;
    let mut after = Sections::of(before.as_deref(), &header, &openings);
    after.replay()?;
    let Sections { sections, applied, contents, .. } = after;
    let on = on_after(&entry, &package.manifest, before.as_deref());
    let (header_stored, openings_stored) = (header.stored(), openings.stored());
    let id = Digest::of(&header_stored);
    let after = RecordState {
        spec: entry.name.clone(),
        spec_digest: header.spec,
        on,
        epoch: header.epoch,
        seq,
        head: id,
        sections,
    };
    Ok(SealedEvent {
        id,
        header,
        header_stored,
        openings,
        openings_stored,
        entry,
        before,
        after: Arc::new(after),
        applied,
        contents,
    })
}

/// The sections of a record on their way through an event.
struct Sections<'a> {
    header: &'a Header,
    openings: &'a EventOpenings,
    sections: BTreeMap<String, SectionState>,
    applied: BTreeMap<String, Vec<Applied>>,
    contents: BTreeMap<String, Arc<str>>,
}

impl<'a> Sections<'a> {
    fn of(before: Option<&RecordState>, header: &'a Header, openings: &'a EventOpenings) -> Self {
        let sections = before.map(|state| state.sections.clone()).unwrap_or_default();
        Sections { header, openings, sections, applied: BTreeMap::new(), contents: BTreeMap::new() }
    }

    fn replay(&mut self) -> Result<(), Unfit> {
        if let Some(dropped) = self.sections.keys().find(|name| !self.header.sections.contains_key(*name)) {
            return Err(Unfit::Chain(format!("section {dropped} is not in the header any more")));
        }
        for (name, sealed) in &self.header.sections {
            let was = self.sections.get(name).map(|state| (state.seq, state.commitment));
            match sealed.written {
                None if was != Some((sealed.seq, sealed.content)) => {
                    return Err(Unfit::Chain(format!("section {name} in the header is not the one before")));
                }
                None => self.given(name, sealed),
                Some(_) if sealed.seq != self.header.seq => {
                    return Err(Unfit::Chain(format!("section {name} in the header is of another event")));
                }
                Some(_) => self.written(name, sealed)?,
            }
        }
        Ok(())
    }

    /// A section that the event leaves as it is; a node that comes to it late is given its content.
    fn given(&mut self, name: &str, sealed: &SealedSection) {
        if let Some(given) = self.openings.given.get(name) {
            let canonical = given.content.canonical().into();
            self.set(name, sealed, given.content.clone(), canonical);
        }
    }

    fn written(&mut self, name: &str, sealed: &SealedSection) -> Result<(), Unfit> {
        let Some(body) = self.openings.sections.get(name) else {
            self.hide(name, sealed);
            return Ok(());
        };
        let mut content = match self.sections.get(name) {
            Some(state) if state.hidden => return self.came_back(name, sealed, body),
            Some(state) => Json::clone(&state.content),
            None => Json::Null,
        };
        let mut values = Vec::new();
        for operation in &body.changes {
            let applied = Applied::apply(operation, &mut content);
            values.push(applied.map_err(|error| Unfit::Content(format!("section {name}: {error}")))?);
        }
        let canonical: Arc<str> = content.canonical().into();
        if commit_content(self.header, name, &body.content_salt, &canonical) != sealed.content {
            let what = format!("the content of section {name} after this event is not that of the header");
            return Err(Unfit::Content(what));
        }
        self.applied.insert(name.to_owned(), values);
        self.set(name, sealed, content, canonical);
        Ok(())
    }

    /// What a change found is not known where the content before it was hidden.
    fn came_back(&mut self, name: &str, sealed: &SealedSection, body: &SectionBody) -> Result<(), Unfit> {
        if self.openings.given.get(name).is_none_or(|given| given.salt != body.content_salt) {
            return Err(Unfit::Unknown(name.to_owned()));
        }
        let unknown = Applied { before: Json::Null, moved: None };
        self.applied.insert(name.to_owned(), vec![unknown; body.changes.len()]);
        self.given(name, sealed);
        Ok(())
    }

    fn set(&mut self, name: &str, sealed: &SealedSection, content: Json, canonical: Arc<str>) {
        let (seq, commitment, bytes) = (sealed.seq, sealed.content, canonical.len());
        let state = SectionState { seq, content: Arc::new(content), hidden: false, commitment, bytes };
        self.sections.insert(name.to_owned(), state);
        self.contents.insert(name.to_owned(), canonical);
    }

    fn hide(&mut self, name: &str, sealed: &SealedSection) {
        let (seq, commitment) = (sealed.seq, sealed.content);
        let state = SectionState { seq, content: Arc::new(Json::Null), hidden: true, commitment, bytes: 4 };
        self.sections.insert(name.to_owned(), state);
        self.contents.insert(name.to_owned(), "null".into());
    }
}

/// The contract version that a record is on after an event under this package.
pub(crate) fn on_after(entry: &SpecEntry, manifest: &Manifest, before: Option<&RecordState>) -> OnContract {
    if entry.contract == manifest.name {
        return OnContract { name: manifest.name.clone(), version: manifest.version };
    }
    before.map_or_else(|| OnContract { name: entry.contract.clone(), version: entry.version }, |state| state.on.clone())
}

fn commit_content(header: &Header, section: &str, salt: &Salt, canonical: &str) -> Digest {
    let context = Context {
        domain: CONTENT_DOMAIN,
        network: Some(&header.network),
        record: Some(header.record.as_str()),
        section: Some(section),
        seq: Some(header.seq),
    };
    commit_canonical(salt, &context, canonical.as_bytes())
}
