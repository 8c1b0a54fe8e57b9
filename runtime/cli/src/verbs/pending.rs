//! Intents that were handed over to another node: how they stand, and what can be proved about them.

use lockstep_core::clock::Clock;
use lockstep_core::codes::Code;
use lockstep_core::crypto::Digest;
use lockstep_core::json::Json;
use lockstep_core::names::NodeName;
use lockstep_node::SystemClock;

use crate::context::{Context, Home};
use crate::error::{CliError, Exit};
use crate::output::Style;
use crate::stored::{Stored, usage};

async fn handed_over(home: &Home, stored: &Stored, intent: &Digest) -> Result<Option<Json>, CliError> {
    let node = NodeName::parse(&home.config.node).map_err(usage)?;
    Ok(lockstep_node::handed_over(stored.database(), &node, intent, SystemClock.now()).await?)
}

fn is(json: &Json, name: &str) -> bool {
    json.get(name).and_then(Json::as_bool) == Some(true)
}

fn text<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

/// An intent without an outcome: with whom it is, and whether it is overdue there.
pub(super) async fn show(
    context: &Context,
    home: &Home,
    stored: &Stored,
    intent: &Digest,
    mut shown: Json,
) -> Result<Exit, CliError> {
    let held = handed_over(home, stored, intent).await?;
    let overdue = held.is_some_and(|held| is(&held, "overdue"));
    if let Json::Object(object) = &mut shown {
        object.insert("overdue", overdue);
    }
    let output = context.output;
    output.document(&shown);
    let status = if overdue { output.styled(Style::Bad, "overdue") } else { "pending".to_owned() };
    output.line(format!("{status}  {intent}"));
    let (sequencer, time) = (text(&shown, "sequencer"), text(&shown, "forwarded_at"));
    let taken = if is(&shown, "acknowledged") { "acknowledged" } else { "not acknowledged" };
    output
        .line(format!("  handed over to node {sequencer} at {time}, {taken}; expires {}", text(&shown, "expires_at")));
    let next = if overdue { "intent proof" } else { "intent show" };
    output.note(format!("next: lockstep {next} {}", intent.to_string().get(..12).unwrap_or_default()));
    Ok(if overdue { Exit::Found } else { Exit::Done })
}

/// Prints wrapper, acknowledgement and the sequencer's last signed head.
pub(super) async fn proof(context: &Context, home: &Home, id: &str) -> Result<Exit, CliError> {
    let stored = Stored::open(home).await?;
    let intent = stored.intent(id).await?;
    let held = handed_over(home, &stored, &intent).await?;
    let held = held.ok_or_else(|| {
        CliError::new(Code::NotFound, format!("this node has not handed over intent {id}"))
            .hint("lockstep network status")
    })?;
    let output = context.output;
    output.document(&held);
    let overdue = is(&held, "overdue");
    output.line(format!("{}  {intent}", if overdue { "overdue" } else { text(&held, "status") }));
    output.line(format!("  sequencer   {}", text(&held, "sequencer")));
    output.line(format!("  expires     {}", text(&held, "expires_at")));
    for part in ["wrapper", "taken"] {
        let shown = held.get(part).filter(|part| !part.is_null()).map(Json::canonical);
        output.line(format!("  {part:<11} {}", shown.as_deref().unwrap_or("none: nothing proves that it arrived")));
    }
    output.line(format!("  checkpoint  {}", text(&held, "checkpoint").lines().collect::<Vec<_>>().join(" ")));
    Ok(if overdue { Exit::Found } else { Exit::Done })
}
