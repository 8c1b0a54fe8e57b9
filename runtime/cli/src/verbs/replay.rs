//! `lockstep intent replay`: an intent executed again in the state that it was judged on, with its trace.
//!
//! The state is not kept anywhere; it is made again from evidence: each record's events up to the seq that was
//! seen, the directory up to the event under which it was judged. Nothing is written.

use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::codes::Code;
use lockstep_core::crypto::{Digest, PublicKey};
use lockstep_core::directory::{Directory, DirectoryEvent};
use lockstep_core::engine::{CodeError, Engine, Frame, Host, Limits, Stop};
use lockstep_core::execute::{Effect, Executed, Interrupted, Job, Rejected, Verdict, execute};
use lockstep_core::intent::{Payload, VerifiedIntent, Whole, read_stored};
use lockstep_core::json::{Json, json};
use lockstep_core::outcome::{Ending, Outcome, Reasons};
use lockstep_core::package::Package;
use lockstep_core::record::States;
use lockstep_core::tables::{Cell, Row, name};
use lockstep_node::NodeConfig;

use crate::context::{Context, engine};
use crate::error::{CliError, Exit};
use crate::output::{Output, Style};
use crate::stored::{Stored, bytes, damaged, directory_of, replayed};
use crate::verbs::record::{change, print_change};

/// What the intent was judged on, made again.
struct Scene {
    intent: VerifiedIntent,
    outcome: Outcome,
    reasons: Reasons,
    directory: Directory,
    states: States,
}

pub(crate) async fn run(context: &Context, id: &str) -> Result<Exit, CliError> {
    let home = context.home()?;
    let stored = Stored::open(&home).await?;
    let scene = scene(&stored, &stored.intent(id).await?).await?;
    let packages = stored.packages().await?;
    let engine = Watching { engine: engine(Some(home.dir.join("cache")))?, frames: Mutex::new(Vec::new()) };
    let job = Job {
        intent: &scene.intent,
        directory: &scene.directory,
        states: &scene.states,
        packages: &packages,
        engine: &engine,
        limits: NodeConfig::default().limits,
        time: scene.outcome.time,
    };
    let executed = execute(&job).map_err(interrupted)?;
    let differences = differences(&stored, &scene, &executed).await?;
    let frames = engine.frames.into_inner().unwrap_or_else(PoisonError::into_inner);
    let shown = describe(&scene, &executed, &frames, &differences);
    context.output.document(&shown);
    print(context.output, &shown);
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Found })
}

fn interrupted(why: Interrupted) -> CliError {
    match why {
        Interrupted::Missing(records) => damaged(format!("what is known of {records:?} does not reach the intent")),
        Interrupted::MissingPackage(digest) => damaged(format!("package {digest} is missing")),
        Interrupted::Broken(what) => CliError::new(Code::Internal, what),
    }
}

async fn scene(stored: &Stored, id: &Digest) -> Result<Scene, CliError> {
    let table = stored.own(name::INTENT)?;
    let rows = stored.database().select(table, "intent_id", &[Cell::Text(id.to_string())]).await?;
    let row = rows.first().ok_or_else(|| {
        CliError::new(Code::NotFound, format!("no intent {id} is known here")).hint("lockstep intent list")
    })?;
    let outcome = Outcome::read(bytes(table, row, "outcome")?).map_err(damaged)?;
    let reasons = outcome.reasons().cloned().ok_or_else(|| {
        let what = format!("this node may not see all that intent {id} met");
        CliError::new(Code::NotFound, what).hint("replay it at the node that sequenced it")
    })?;
    let events = stored.directory_events().await?;
    let directory = directory_of(&events, reasons.directory.0)?;
    let intent = read_intent(stored, row, &events, reasons.directory.0)?;
    let mut states = States::new();
    for read in &reasons.judged.reads {
        let steps = replayed(stored.events(&read.record).await?, &directory, |header| header.seq <= read.seq)?;
        let state = steps.last().map(|(_, step)| step.after.clone());
        if state.as_ref().map(|state| state.head) != read.head {
            return Err(damaged(format!("{} at seq {} is not the one that the intent saw", read.record, read.seq)));
        }
        states.insert(read.record.clone(), state);
    }
    Ok(Scene { intent, outcome, reasons, directory, states })
}

/// The intent, its signature checked with the key that its actor had at the door: the last one before it was judged
/// with which the signature is good.
fn read_intent(stored: &Stored, row: &Row, events: &[DirectoryEvent], seq: u64) -> Result<VerifiedIntent, CliError> {
    let table = stored.own(name::INTENT)?;
    let (envelope, openings) = (bytes(table, row, "envelope")?, bytes(table, row, "openings")?);
    let mut before = seq;
    loop {
        let directory = directory_of(events, before)?;
        let mut changed = 1;
        let key = |payload: &Payload| -> Option<PublicKey> {
            let actor = directory.actors().get(&payload.actor)?;
            changed = actor.seq;
            Some(actor.key)
        };
        match read_stored(envelope, openings, Whole::Some, key) {
            Ok(intent) => return Ok(intent),
            // The key may have been changed between the door and the verdict.
            Err(_) if changed > 1 => before = changed - 1,
            Err(error) => return Err(damaged(format!("{error:?}"))),
        }
    }
}

/// In what the second execution differs from what is stored; empty where it is the same.
async fn differences(stored: &Stored, scene: &Scene, executed: &Executed) -> Result<Vec<String>, CliError> {
    let (outcome, reasons) = (&scene.outcome, &scene.reasons);
    if reasons.rejected.as_ref().is_some_and(|rejected| rejected.code == Code::DatabaseRefused) {
        // The database's own no is no part of an execution.
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let (ending, rejected) = ended(&executed.verdict);
    if ending != outcome.ending {
        found.push(format!("it is {}, stored is {}", ending.as_str(), outcome.ending.as_str()));
    }
    if ending == Ending::Rejected && rejected != reasons.rejected.as_ref() {
        found.push("code, reason or message is another one than stored".to_owned());
    }
    if executed.judged != reasons.judged {
        found.push("it is judged on something else than stored".to_owned());
    }
    let Verdict::Applied(effects) = &executed.verdict else { return Ok(found) };
    if effects.len() != outcome.events.len() {
        found.push(format!("it makes {} events, stored are {}", effects.len(), outcome.events.len()));
    }
    for effect in effects {
        if !same_event(stored, scene, effect).await? {
            found.push(format!("it does something else to {} than stored", effect.record));
        }
    }
    Ok(found)
}

async fn same_event(stored: &Stored, scene: &Scene, effect: &Effect) -> Result<bool, CliError> {
    let events = stored.events(&effect.record).await?;
    let Some(event) = events.iter().find(|event| event.header.intent == scene.outcome.intent) else { return Ok(false) };
    let sections = &event.openings.sections;
    let same = effect.sections.len() == sections.len()
        && effect.sections.iter().all(|(section, written)| {
            sections
                .get(section)
                .is_some_and(|body| body.changes == written.changes && body.notifications == written.notifications)
        });
    Ok(same && event.header.spec == effect.entry.spec.digest() && event.header.package == effect.package)
}

fn ended(verdict: &Verdict) -> (Ending, Option<&Rejected>) {
    match verdict {
        Verdict::Applied(_) => (Ending::Applied, None),
        Verdict::Rejected(rejected) => (Ending::Rejected, Some(rejected)),
        Verdict::Expired => (Ending::Expired, None),
    }
}

fn said(ending: Ending, rejected: Option<&Rejected>) -> Json {
    json!({
        "status": ending.as_str(), "code": rejected.map(|rejected| rejected.code.as_str()),
        "reason": rejected.and_then(|rejected| rejected.reason.as_deref()),
        "message": rejected.map(|rejected| rejected.message.as_str())
    })
}

fn describe(scene: &Scene, executed: &Executed, frames: &[Frame], differences: &[String]) -> Json {
    let (outcome, reasons) = (&scene.outcome, &scene.reasons);
    let (ending, rejected) = ended(&executed.verdict);
    let rejected = if ending == Ending::Expired { reasons.rejected.as_ref() } else { rejected };
    let effects: &[Effect] = match &executed.verdict {
        Verdict::Applied(effects) => effects,
        _ => &[],
    };
    let reads = reasons.judged.reads.iter().map(|read| {
        json!({"record_id": read.record.as_str(), "seq": read.seq, "head": read.head.map(|head| head.to_string())})
    });
    let mut shown = json!({
        "intent_id": outcome.intent.to_string(), "actor": scene.intent.payload().actor.as_str(),
        "call": scene.intent.call().to_json(), "time": outcome.time.to_string(), "directory_seq": reasons.directory.0,
        "package": executed.judged.package.map(|package| package.to_string()), "seen": reads.collect::<Json>(),
        "same": differences.is_empty(), "differences": differences.iter().map(Json::from).collect::<Json>(),
        "stored": said(outcome.ending, reasons.rejected.as_ref()),
        "trace": executed.trace.iter().map(Json::from).collect::<Json>(),
        "frames": frames.iter().map(frame).collect::<Json>(), "effects": effects.iter().map(effect).collect::<Json>()
    });
    if let (Json::Object(shown), Json::Object(verdict)) = (&mut shown, said(ending, rejected)) {
        for (name, value) in verdict.iter() {
            shown.insert(name, value.clone());
        }
    }
    shown
}

fn frame(frame: &Frame) -> Json {
    json!({"function": frame.function.as_str(), "file": frame.file.as_deref(), "line": frame.line, "column": frame.column})
}

fn effect(effect: &Effect) -> Json {
    let changes = effect
        .sections
        .iter()
        .flat_map(|(section, written)| written.changes.iter().map(move |operation| change(section, operation)));
    let notifications = effect.sections.iter().flat_map(|(section, written)| {
        written
            .notifications
            .iter()
            .map(move |one| json!({"section": section.as_str(), "type": one.kind.as_str(), "data": one.data.clone()}))
    });
    json!({
        "spec": effect.entry.name.as_str(), "record_id": effect.record.as_str(),
        "changes": changes.collect::<Json>(), "notifications": notifications.collect::<Json>()
    })
}

fn print(output: Output, shown: &Json) {
    let text = |name: &str| shown.get(name).and_then(Json::as_str).unwrap_or_default();
    let list = |name: &str| shown.get(name).and_then(Json::as_array).unwrap_or_default();
    for line in list("trace") {
        let line = crate::output::cut(line.as_str().unwrap_or_default(), 160);
        output.line(output.styled(Style::Dim, &format!("  {line}")));
    }
    let style = if text("status") == "applied" { Style::Good } else { Style::Bad };
    output.line(format!("{}  {}", output.styled(style, text("status")), text("intent_id")));
    if !text("code").is_empty() {
        let reason = if text("reason").is_empty() { String::new() } else { format!(" ({})", text("reason")) };
        output.line(format!("  {}{reason}: {}", text("code"), text("message")));
    }
    for frame in list("frames") {
        let part = |name: &str| frame.get(name).and_then(Json::as_str).unwrap_or_default();
        let line = frame.get("line").and_then(Json::as_u64).map(|line| format!(":{line}")).unwrap_or_default();
        output.line(format!("  at {} {}{line}", part("function"), part("file")));
    }
    for effect in list("effects") {
        let part = |name: &str| effect.get(name).and_then(Json::as_str).unwrap_or_default();
        output.line(format!("  {} {}", part("spec"), part("record_id")));
        for change in effect.get("changes").and_then(Json::as_array).unwrap_or_default() {
            print_change(output, change);
        }
        for one in effect.get("notifications").and_then(Json::as_array).unwrap_or_default() {
            let kind = one.get("type").and_then(Json::as_str).unwrap_or_default();
            output.line(format!("  notify  {kind}"));
        }
    }
    if list("differences").is_empty() {
        output.line("the same as stored; nothing was changed");
    }
    for difference in list("differences").iter().filter_map(Json::as_str) {
        output.line(output.styled(Style::Bad, &format!("differs: {difference}")));
    }
}

/// An engine that remembers where a contract trapped: the verdict keeps only the innermost place.
struct Watching<E> {
    engine: Arc<E>,
    frames: Mutex<Vec<Frame>>,
}

impl<E: Engine> Engine for Watching<E> {
    fn call(
        &self,
        package: &Package,
        method: &str,
        arguments: &str,
        host: &mut dyn Host,
        limits: &Limits,
    ) -> Result<(), Stop> {
        let ended = self.engine.call(package, method, arguments, host, limits);
        if let Err(Stop::Trap { frames, .. }) = &ended {
            self.frames.lock().unwrap_or_else(PoisonError::into_inner).clone_from(frames);
        }
        ended
    }

    fn check(&self, package: &Package) -> Result<(), CodeError> {
        self.engine.check(package)
    }
}
