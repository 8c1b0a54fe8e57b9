//! One event of a followed record: whether it continues the record, holds all that this node is entitled to, and
//! changes nothing that its actor may not change.

use std::sync::Arc;

use crate::directory::{Directory, Status};
use crate::event::{EventOpenings, Header};
use crate::execute::{may, roles_held};
use crate::intent::VerifiedIntent;
use crate::json::Json;
use crate::parties::check_step;
use crate::record::RecordState;
use crate::seal::{SealedEvent, Unfit, replay};
use crate::spec::{Mode, PARTIES};

use super::compare::{Comparing, Complaint, No, Wait, object, refuse};
use super::viewer::{Seen, Viewer};

/// Chain, openings, completeness, rights and schemas of one event.
pub(super) fn check_event(
    header: Header,
    openings: EventOpenings,
    intent: &VerifiedIntent,
    directory: &Directory,
    known: &Comparing<'_>,
) -> Result<SealedEvent, No> {
    let record = header.record.clone();
    let before = known.states.get(&record).cloned().flatten();
    check_chain(&header, before.as_deref())?;
    check_expected(&header, intent)?;
    check_package(&header, before.as_deref(), directory)?;
    openings.check_some(&header).map_err(|what| object(Complaint::Opening, Some(&record), what))?;
    let sealed = replay(header, openings, before, directory).map_err(|unfit| match unfit {
        Unfit::Unknown(section) => Wait::Section { record: record.clone(), section }.into(),
        Unfit::Chain(what) => object(Complaint::Chain, Some(&record), what),
        Unfit::Content(what) => object(Complaint::Opening, Some(&record), what),
    })?;
    check_complete(&sealed, known.viewer)?;
    check_rights(&sealed, intent, directory)?;
    Ok(sealed)
}

fn check_chain(header: &Header, before: Option<&RecordState>) -> Result<(), No> {
    let (seq, prev) = before.map_or((0, None), |state| (state.seq, Some(state.head)));
    let record = &header.record;
    if header.seq > seq + 1 {
        return Err(Wait::Events { record: record.clone(), from: seq + 1, to: header.seq - 1 }.into());
    }
    if prev == Some(header.id()) {
        return Err(refuse(format!("event {} of {record} is here already", header.seq)));
    }
    if header.seq <= seq {
        let message = format!("{record} has another event at seq {}", header.seq);
        return Err(object(Complaint::Fork, Some(record), message));
    }
    if header.prev != prev {
        let message = format!("event {} of {record} does not continue the one before", header.seq);
        return Err(object(Complaint::Fork, Some(record), message));
    }
    Ok(())
}

/// The record was where the actor said that it must be.
fn check_expected(header: &Header, intent: &VerifiedIntent) -> Result<(), No> {
    let target = intent.targets().iter().find(|target| target.record == header.record);
    match target.and_then(|target| target.expect) {
        Some(expected) if expected + 1 != header.seq => {
            let message = format!("it was made for seq {expected}, and applied as seq {}", header.seq);
            Err(object(Complaint::Rights, Some(&header.record), message))
        }
        _ => Ok(()),
    }
}

/// The package was agreed, and may judge records under this spec: no laxer one takes its place.
fn check_package(header: &Header, before: Option<&RecordState>, directory: &Directory) -> Result<(), No> {
    let no = |what: &str| Err(object(Complaint::Chain, Some(&header.record), what));
    let judged = directory.package(&header.package).filter(|found| found.status != Status::Proposed);
    let Some(manifest) = judged.map(|found| &found.manifest) else { return no("nobody agreed to its package") };
    let Some(entry) = directory.specs().get(&header.spec) else { return no("nobody agreed to its spec") };
    if before.is_some_and(|state| state.spec != entry.name) {
        return no("it is under another spec than its record");
    }
    let own = manifest.specs.get(&entry.name).is_some_and(|spec| spec.digest() == header.spec);
    let named = entry.contract != manifest.name && entry.spec.contracts.contains(&manifest.name);
    if own || named { Ok(()) } else { no("its package may not judge records under its spec") }
}

/// Nothing that this node is entitled to may be missing.
fn check_complete(event: &SealedEvent, viewer: &Viewer) -> Result<(), No> {
    if event.after.sections.get(PARTIES).is_none_or(|parties| parties.hidden) {
        return Ok(());
    }
    let parties = event.after.parties();
    let record = Seen { spec: &event.entry.spec, parties: &parties };
    let hidden: Vec<&str> = event.after.hidden().collect();
    let missing = hidden.into_iter().find(|section| viewer.reads(record, section, event.header.seq));
    match missing {
        Some(section) => Err(Wait::Section { record: event.header.record.clone(), section: section.to_owned() }.into()),
        None => Ok(()),
    }
}

/// What the actor changed, as far as it is seen here, it had the right to; and the result keeps to the schema.
fn check_rights(event: &SealedEvent, intent: &VerifiedIntent, directory: &Directory) -> Result<(), No> {
    let (record, spec) = (&event.header.record, &event.entry.spec);
    let id = &intent.payload().actor;
    let no = |message: String| Err(object(Complaint::Rights, Some(record), message));
    let Some(actor) = directory.actors().get(id) else { return no(format!("{id} is no actor")) };
    let judging = event.before.as_ref().unwrap_or(&event.after);
    let known = judging.sections.get(PARTIES).is_some_and(|parties| !parties.hidden);
    let roles = roles_held(spec, &judging.parties(), event.header.seq, id, actor);
    for name in event.openings.sections.keys() {
        let was = event.before.as_ref().and_then(|before| before.sections.get(name));
        if was.is_some_and(|state| state.hidden) {
            continue;
        }
        let (before, after) =
            (was.map_or(Arc::new(Json::Null), |state| state.content.clone()), event.after.content(name));
        if before == after {
            continue;
        }
        let mode = if before.is_null() { Mode::Create } else { Mode::Modify };
        if known && !may(spec, name, &roles, mode) {
            return no(format!("{id} may not {} section {name} of {record}", mode.as_str()));
        }
        let schema = spec.sections.get(name).map(|section| section.schema.check(&after));
        if let Some(Err(violation)) = schema {
            return no(format!("section {name} of {record}{}: {}", violation.path, violation.message));
        }
        if name == PARTIES
            && let Err(what) = check_step(&before, &after, event.header.seq)
        {
            return no(format!("parties of {record}: {what}"));
        }
    }
    Ok(())
}
