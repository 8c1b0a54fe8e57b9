//! Who may: roles come from a record's parties, rights from the spec's grants to roles.

use std::collections::BTreeSet;

use crate::codes::Code;
use crate::directory::Actor;
use crate::json::Json;
use crate::names::ActorId;
use crate::package::{Method, OUTCOME};
use crate::parties::{self, members};
use crate::record::RecordState;
use crate::spec::{Mode, PARTIES, RecordSpec};

use super::draft::DraftRecord;
use super::{Job, No, Rejected, no};

/// The roles that an actor holds on a record at `seq`: those that the parties name it for, as far as the
/// directory opens them to it, and those that everyone holds.
#[must_use]
pub fn roles_held(spec: &RecordSpec, parties: &Json, seq: u64, id: &ActorId, actor: &Actor) -> BTreeSet<String> {
    let everyone = spec.roles.iter().filter(|(_, role)| role.everyone).map(|(name, _)| name.to_string());
    let named = members(parties)
        .into_iter()
        .filter(|member| member.held_at(seq) && member.is_for(id) && actor.roles.contains(&member.role));
    everyone.chain(named.map(|member| member.role)).collect()
}

/// Whether one of the roles may do this with the section. Who may create or modify may read.
#[must_use]
pub fn may(spec: &RecordSpec, section: &str, roles: &BTreeSet<String>, mode: Mode) -> bool {
    let Some(section) = spec.sections.get(section) else { return false };
    let modes: &[Mode] = match mode {
        Mode::Create => &[Mode::Create],
        Mode::Modify => &[Mode::Modify],
        Mode::Read => &[Mode::Read, Mode::Modify, Mode::Create],
        Mode::Audit => &[Mode::Audit, Mode::Read, Mode::Modify, Mode::Create],
    };
    modes.iter().any(|mode| section.grants.roles(*mode).any(|role| roles.contains(role.as_str())))
}

/// The roles of the intent's actor on a record: by the parties before; on a new record, by those after.
pub(super) fn roles_on(job: &Job<'_>, draft: &DraftRecord) -> BTreeSet<String> {
    let id = &job.intent.payload().actor;
    let Some(actor) = job.directory.actors().get(id) else { return BTreeSet::new() };
    let roles = |parties: &Json| roles_held(&draft.entry.spec, parties, draft.seq(), id, actor);
    match &draft.before {
        Some(state) => roles(&state.parties()),
        None => draft.with_content(PARTIES, roles),
    }
}

/// The roles that a contract is told: those held, or on a record that is not there yet those that the actor may take on.
pub(super) fn roles_told(job: &Job<'_>, draft: &DraftRecord) -> BTreeSet<String> {
    let mut roles = roles_on(job, draft);
    if draft.before.is_none()
        && let Some(actor) = job.directory.actors().get(&job.intent.payload().actor)
    {
        roles.extend(
            actor
                .roles
                .iter()
                .filter(|role| draft.entry.spec.roles.keys().any(|known| known.as_str() == *role))
                .cloned(),
        );
    }
    roles
}

/// Whether the actor may read what the method declares as read, as far as the method does not declassify it. What
/// is declared as written is closed to the method instead, where the actor may not read it.
pub(super) fn check_reads(job: &Job<'_>, drafts: &mut [DraftRecord], method: &Method) -> Result<(), No> {
    for draft in drafts.iter_mut().filter(|draft| draft.before.is_some()) {
        let roles = roles_on(job, draft);
        let told = |section: &str| {
            section == PARTIES || method.declassifies.iter().any(|flow| flow.from == section && flow.to == OUTCOME)
        };
        let hidden = |section: &str| !told(section) && !may(&draft.entry.spec, section, &roles, Mode::Read);
        if let Some(section) = draft.usage.reads.iter().find(|section| hidden(section)) {
            return Err(No::Rejected(unreadable(job, draft, section, &roles)));
        }
        draft.closed = draft.usage.writes.iter().filter(|section| hidden(section)).cloned().collect();
    }
    Ok(())
}

/// A no to a method that looks at what its actor may not read.
pub(super) fn unreadable(job: &Job<'_>, draft: &DraftRecord, section: &str, roles: &BTreeSet<String>) -> Rejected {
    let actor = &job.intent.payload().actor;
    let message = format!(
        "{actor} may not read section {section} of {}, which this method reads; {}",
        draft.record,
        holding(roles)
    );
    Rejected::new(Code::Entitlement, message)
}

/// Whether the actor may change all that raw changes name, before any of them is tried: neither a failed one nor a
/// `test` may tell what a section holds.
pub(super) fn check_raw(job: &Job<'_>, draft: &DraftRecord) -> Result<(), No> {
    let Some(before) = &draft.before else { return Ok(()) };
    let roles = roles_on(job, draft);
    for section in &draft.usage.writes {
        check_right(job, draft, section, &before.content(section), &roles)?;
    }
    Ok(())
}

fn check_right(
    job: &Job<'_>,
    draft: &DraftRecord,
    section: &str,
    before: &Json,
    roles: &BTreeSet<String>,
) -> Result<(), No> {
    let mode = if before.is_null() { Mode::Create } else { Mode::Modify };
    if may(&draft.entry.spec, section, roles, mode) {
        return Ok(());
    }
    let actor = &job.intent.payload().actor;
    let message =
        format!("{actor} may not {} section {section} of {}; {}", mode.as_str(), draft.record, holding(roles));
    Err(no(Code::Entitlement, message))
}

/// Entitlements, steps of the parties and schemas, for all that was changed.
pub(super) fn check(job: &Job<'_>, drafts: &[DraftRecord]) -> Result<(), No> {
    for draft in drafts {
        let roles = roles_on(job, draft);
        for (section, before, after) in draft.changed() {
            check_right(job, draft, section, &before, &roles)?;
            check_section(draft, section, &before, after)?;
        }
    }
    Ok(())
}

fn check_section(draft: &DraftRecord, section: &str, before: &Json, after: &Json) -> Result<(), No> {
    let Some(spec) = draft.entry.spec.sections.get(section) else {
        return Err(no(Code::Patch, format!("spec {} has no section {section}", draft.entry.name)));
    };
    if let Err(violation) = spec.schema.check(after) {
        return Err(no(
            Code::Schema,
            format!("section {section} of {}{}: {}", draft.record, violation.path, violation.message),
        ));
    }
    if section == PARTIES {
        parties::check_step(before, after, draft.seq())
            .map_err(|message| no(Code::Parties, format!("parties of {}: {message}", draft.record)))?;
    }
    Ok(())
}

fn holding(roles: &BTreeSet<String>) -> String {
    if roles.is_empty() {
        return "it holds no role there".to_owned();
    }
    format!(
        "it holds the role{} {} there",
        if roles.len() == 1 { "" } else { "s" },
        roles.iter().cloned().collect::<Vec<_>>().join(", ")
    )
}

/// The roles of an actor on a record as it stands, for readers.
#[must_use]
pub fn reader_roles(spec: &RecordSpec, state: &RecordState, id: &ActorId, actor: &Actor) -> BTreeSet<String> {
    roles_held(spec, &state.parties(), state.seq + 1, id, actor)
}
