//! `lockstep grant` and `ungrant`: who may do what with a section of one record, from its next seq on.
//!
//! Rights come from roles, and roles from the record's parties: so this is a signed intent that opens or closes
//! memberships there. A contract that governs the spec has its own methods for that, and this names them.

use std::collections::BTreeSet;

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::directory::{Directory, SpecEntry};
use lockstep_core::execute::may;
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::names::{ActorId, ParticipantName, SpecName};
use lockstep_core::package::RecordUse;
use lockstep_core::parties::{Member, members};
use lockstep_core::spec::{Mode, PARTIES, RecordSpec};

use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::stored::Stored;
use crate::verbs::submit::{self, IntentArgs};

/// Arguments of `grant` and `ungrant`.
#[derive(Args, Debug)]
pub(crate) struct GrantArgs {
    /// SPEC/RECORD_ID
    #[arg(value_name = "SPEC/ID")]
    record: String,
    /// The section
    section: String,
    /// PARTICIPANT, or ACTOR@PARTICIPANT
    subject: String,
    /// create, modify, read or audit
    #[arg(value_parser = ["create", "modify", "read", "audit"])]
    mode: String,
}

/// A record as it stands, with what was asked for.
struct Wanted {
    spec: SpecName,
    record: String,
    seq: u64,
    members: Vec<Member>,
    section: String,
    mode: Mode,
    participant: String,
    actor: Option<String>,
}

pub(crate) async fn grant(context: &Context, args: GrantArgs) -> Result<Exit, CliError> {
    let (wanted, entry) = read(context, &args).await?;
    let role = narrowest(&entry.spec, &wanted)?;
    let mut member = json!({"role": role.as_str(), "participant": wanted.participant.as_str(), "from": wanted.seq + 1});
    if let (Json::Object(member), Some(actor)) = (&mut member, &wanted.actor) {
        member.insert("actor", actor.as_str());
    }
    let changes = json!([{"section": PARTIES, "op": "add", "path": "/members/-", "value": member}]);
    context.output.note(format!(
        "{} gets the role {role} on {} from seq {}",
        args.subject,
        wanted.record,
        wanted.seq + 1
    ));
    submit(context, &wanted, changes).await
}

pub(crate) async fn ungrant(context: &Context, args: GrantArgs) -> Result<Exit, CliError> {
    let (wanted, entry) = read(context, &args).await?;
    let gives = |member: &Member| {
        member.to.is_none()
            && member.participant == wanted.participant
            && member.actor == wanted.actor
            && may(&entry.spec, &wanted.section, &BTreeSet::from([member.role.clone()]), wanted.mode)
    };
    let closed = wanted.members.iter().enumerate().filter(|(_, member)| gives(member));
    let changes: Vec<Json> = closed
        .map(|(index, _)| {
            let path = format!("/members/{index}/to");
            json!({"section": PARTIES, "op": "add", "path": path, "value": wanted.seq + 1})
        })
        .collect();
    if changes.is_empty() {
        let message = format!("{} holds no role of its own that gives {} on {}", args.subject, args.mode, args.section);
        return Err(CliError::new(Code::NotFound, message).hint("lockstep sql \"SELECT * FROM lockstep_entitlement\""));
    }
    submit(context, &wanted, changes.into_iter().collect()).await
}

async fn read(context: &Context, args: &GrantArgs) -> Result<(Wanted, std::sync::Arc<SpecEntry>), CliError> {
    let usage = |message: String| CliError::new(Code::Usage, message);
    let (spec, record) = args.record.split_once('/').ok_or_else(|| usage(format!("{} is not SPEC/ID", args.record)))?;
    let spec = SpecName::parse(spec).map_err(|error| usage(error.to_string()))?;
    let stored = Stored::open(&context.home()?).await?;
    let directory = stored.directory().await?;
    let missing = || CliError::new(Code::NotFound, format!("there is no record {}", args.record));
    let entry = directory.newest_spec(&spec).ok_or_else(missing)?.clone();
    let query = format!("SELECT lockstep_seq, parties FROM {spec} WHERE record_id = '{}'", record.replace('\'', "''"));
    let answer = stored.database().query(&query, 1).await?;
    let row = answer.rows.first().ok_or_else(missing)?;
    let seq = row.first().and_then(lockstep_core::tables::Cell::as_count).ok_or_else(missing)?;
    let parties = row.get(1).and_then(|cell| cell.show()).unwrap_or_default();
    let parties = Json::parse(parties.as_bytes(), &Limits::default()).unwrap_or_default();
    let (participant, actor) = subject(&args.subject)?;
    if !entry.spec.sections.contains_key(args.section.as_str()) {
        return Err(usage(format!("spec {spec} has no section {}", args.section)));
    }
    if !entry.spec.raw_changes {
        return Err(governed(&directory, &entry, &args.record, record));
    }
    let mode =
        [Mode::Create, Mode::Modify, Mode::Read, Mode::Audit].into_iter().find(|mode| mode.as_str() == args.mode);
    let wanted = Wanted {
        spec,
        record: record.to_owned(),
        seq,
        members: members(&parties),
        section: args.section.clone(),
        mode: mode.ok_or_else(|| usage(format!("{} is no mode", args.mode)))?,
        participant,
        actor,
    };
    Ok((wanted, entry))
}

/// A contract decides who takes part, where one governs: this says by which of its methods, for this verb would only
/// sign what is rejected.
fn governed(directory: &Directory, entry: &SpecEntry, wanted: &str, record: &str) -> CliError {
    let contract = directory.contracts().get(&entry.contract).and_then(|versions| versions.get(&entry.version));
    let methods = contract.iter().flat_map(|contract| &contract.manifest.methods);
    let admits = |usage: &RecordUse| {
        usage.spec == entry.name && !usage.creates && usage.writes.iter().any(|section| section == PARTIES)
    };
    let calls = methods.filter(|(_, method)| method.records.iter().any(admits));
    let calls: Vec<String> =
        calls.map(|(name, _)| format!("lockstep submit {}.{name} {record} --args …", entry.contract)).collect();
    let hint = if calls.is_empty() {
        format!("no method of {} changes who takes part in a record that is there; a new version could", entry.contract)
    } else {
        format!("{}; lockstep contract show {} says what they take", calls.join(", or "), entry.contract)
    };
    let message = format!("contract {} governs {wanted}, and who takes part in it", entry.contract);
    CliError::new(Code::RawChanges, message).hint(hint)
}

fn subject(text: &str) -> Result<(String, Option<String>), CliError> {
    let usage = |error: lockstep_core::names::NameError| CliError::new(Code::Usage, error.to_string());
    if text.contains('@') {
        let actor = ActorId::parse(text).map_err(usage)?;
        return Ok((actor.participant().to_string(), Some(actor.to_string())));
    }
    Ok((ParticipantName::parse(text).map_err(usage)?.to_string(), None))
}

/// The role that gives the right and as little else as any.
fn narrowest(spec: &RecordSpec, wanted: &Wanted) -> Result<String, CliError> {
    let modes = [Mode::Create, Mode::Modify, Mode::Read, Mode::Audit];
    let rights = |role: &str| {
        let role = BTreeSet::from([role.to_owned()]);
        let sections = spec.sections.keys().map(|section| section.as_str());
        sections.flat_map(|section| modes.map(|mode| may(spec, section, &role, mode))).filter(|given| *given).count()
    };
    let roles = spec.roles.iter().filter(|(_, role)| !role.everyone).map(|(name, _)| name.to_string());
    let fitting = roles.filter(|role| may(spec, &wanted.section, &BTreeSet::from([role.clone()]), wanted.mode));
    fitting.min_by_key(|role| (rights(role), role.clone())).ok_or_else(|| {
        let message = format!("no role of {} gives {} on {}", wanted.spec, wanted.mode.as_str(), wanted.section);
        CliError::new(Code::NotFound, message).hint("roles and what they give stand in the record spec")
    })
}

/// Only if nobody changed the record meanwhile: memberships begin and end at exact seqs.
async fn submit(context: &Context, wanted: &Wanted, changes: Json) -> Result<Exit, CliError> {
    let intent = IntentArgs {
        what: vec![wanted.record.clone()],
        changes: Some(changes.canonical()),
        spec: Some(wanted.spec.to_string()),
        expect: Some(wanted.seq),
        expires: "10m".to_owned(),
        ..IntentArgs::default()
    };
    submit::one(context, intent).await
}
