//! `lockstep submit`: sign an intent, hand it over, wait for the outcome.

use std::io::Read;
use std::time::{Duration, Instant};

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::crypto::{Context as Domain, Digest, Salt, commit};
use lockstep_core::directory::Directory;
use lockstep_core::intent::{Call, Draft, Submission, Target};
use lockstep_core::json::{Json, Limits, json};
use lockstep_core::names::{ActorId, RecordId};
use lockstep_core::time::Timestamp;
use lockstep_node::SubmitError;

use crate::context::{Context, Home};
use crate::error::{CliError, Exit, file_error};
use crate::keys::Key;
use crate::output::{Output, Style};
use crate::way::Way;

/// How long a command may take to end after its time is over.
const GRACE: Duration = Duration::from_secs(1);

/// What an intent is made of, for `submit` and `intent sign`.
#[derive(Args, Debug, Default)]
pub(crate) struct IntentArgs {
    /// CONTRACT.METHOD and RECORD_ID; with --changes only RECORD_ID. `new` as RECORD_ID derives one from the nonce
    #[arg(value_name = "CONTRACT.METHOD RECORD_ID", num_args = 0..=2)]
    pub(crate) what: Vec<String>,
    /// One more record; can be given several times, in the order that the method takes them
    #[arg(long, value_name = "RECORD_ID")]
    pub(crate) also: Vec<String>,
    /// The method's arguments: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON")]
    pub(crate) args: Option<String>,
    /// Changes instead of a method, where the spec allows them: a JSON array of {section, op, path, value}, @FILE, or -
    #[arg(long, value_name = "JSON", requires = "spec")]
    pub(crate) changes: Option<String>,
    /// The records' spec, with --changes
    #[arg(long)]
    pub(crate) spec: Option<String>,
    /// Only if the first record is at this seq; 0: only if it is not there
    #[arg(long, value_name = "SEQ")]
    pub(crate) expect: Option<u64>,
    /// How long the intent may wait: 30s, 10m, 2h
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub(crate) expires: String,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) not_before: Option<String>,
    /// A name for this intent, so that doing it again is the same intent [default: random]
    #[arg(long, value_name = "NAME")]
    pub(crate) nonce: Option<String>,
}

/// Arguments of `submit`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep submit house_sale.offer acme:sale-1 --as bob --args '{\"price\":\"340000.00\"}'
  lockstep submit --changes @changes.json --spec task acme:task-1
  lockstep intent sign house_sale.accept acme:sale-1 > signed.json && lockstep submit --envelope @signed.json")]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) intent: IntentArgs,
    /// A signed intent, as `intent sign` prints it
    #[arg(long, value_name = "@FILE", conflicts_with_all = ["what", "changes", "batch"])]
    envelope: Option<String>,
    /// Signed intents, one a line
    #[arg(long, value_name = "@FILE", conflicts_with_all = ["what", "changes"])]
    batch: Option<String>,
    /// Do not wait for the outcome
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the outcome
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    timeout: String,
}

pub(crate) async fn run(context: &Context, args: SubmitArgs) -> Result<Exit, CliError> {
    let home = context.home()?;
    let timeout = duration(&args.timeout)?;
    let deadline = Instant::now() + timeout;
    let way = context.way(&home).await?;
    let exit = if let Some(batch) = &args.batch {
        let lines: Vec<Vec<u8>> =
            input(batch)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        submit_batch(context.output, &way, lines, timeout).await
    } else {
        let bytes = match &args.envelope {
            Some(envelope) => input(envelope)?,
            None => {
                let key = context.key(&home)?;
                let directory = way.directory().await?;
                sign(&args.intent, &directory, &home, &key, way.now())?.to_json().canonical().into_bytes()
            }
        };
        let wait = if args.no_wait { Duration::ZERO } else { timeout };
        submit_one(context.output, &way, bytes, wait, args.no_wait).await
    };
    // The database may take nothing now: whoever named a time does not want to wait for that either.
    let closed = way.close_within(&home, deadline.saturating_duration_since(Instant::now()) + GRACE).await;
    let exit = exit?;
    closed?;
    Ok(exit)
}

/// Signs one intent, submits it and waits.
pub(crate) async fn one(context: &Context, intent: IntentArgs) -> Result<Exit, CliError> {
    let args = SubmitArgs { intent, envelope: None, batch: None, no_wait: false, timeout: "10s".to_owned() };
    run(context, args).await
}

async fn submit_one(
    output: Output,
    way: &Way,
    bytes: Vec<u8>,
    wait: Duration,
    pending_is_fine: bool,
) -> Result<Exit, CliError> {
    let outcome = way.submit(bytes, wait).await?;
    if !is_pending(&outcome) {
        output.document(&outcome);
        print_outcome(output, &outcome);
        return Ok(exit_of(&outcome));
    }
    if !pending_is_fine {
        return Err(no_outcome(wait));
    }
    output.document(&outcome);
    output.line(format!("pending  {}", outcome.get("intent_id").and_then(Json::as_str).unwrap_or_default()));
    Ok(Exit::Done)
}

async fn submit_batch(output: Output, way: &Way, lines: Vec<Vec<u8>>, timeout: Duration) -> Result<Exit, CliError> {
    let mut worst = Exit::Done;
    let mut failed: Option<CliError> = None;
    let answered = way.submit_all(lines, timeout, |answer| {
        let answer =
            answer.and_then(|outcome| if is_pending(&outcome) { Err(no_outcome(timeout)) } else { Ok(outcome) });
        match answer {
            Ok(outcome) => {
                worst = worst.max(exit_of(&outcome));
                output.document(&outcome);
                print_outcome(output, &outcome);
            }
            Err(error) => {
                output.document(&error.to_json());
                output.line(format!("refused  {}: {}", error.code, error.message));
                if failed.as_ref().is_none_or(|known| known.status() < error.status()) {
                    failed = Some(error);
                }
            }
        }
    });
    answered.await?;
    match failed {
        // Each line was answered already; what is left is the exit status.
        Some(error) if output.json => std::process::exit(error.status().into()),
        Some(error) => Err(error),
        None => Ok(worst),
    }
}

fn is_pending(outcome: &Json) -> bool {
    outcome.get("status").and_then(Json::as_str) == Some("pending")
}

fn no_outcome(timeout: Duration) -> CliError {
    SubmitError::TimedOut(timeout).into()
}

/// What the outcome's status means for the exit status.
pub(crate) fn exit_of(outcome: &Json) -> Exit {
    if outcome.get("status").and_then(Json::as_str) == Some("applied") { Exit::Done } else { Exit::Rejected }
}

/// An outcome for people.
pub(crate) fn print_outcome(output: Output, outcome: &Json) {
    let text = |name: &str| outcome.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (status, id) = (text("status"), text("intent_id"));
    if status == "applied" {
        output.line(format!("{}  {id}", output.styled(Style::Good, "applied")));
        for event in outcome.get("events").and_then(Json::as_array).unwrap_or_default() {
            let part =
                |name: &str| event.get(name).map(ToString::to_string).unwrap_or_default().trim_matches('"').to_owned();
            output.line(format!("  {} {} is now at seq {}", part("spec"), part("record_id"), part("seq")));
        }
    } else {
        let reason =
            outcome.get("reason").and_then(Json::as_str).map(|reason| format!(" ({reason})")).unwrap_or_default();
        output.line(format!("{}  {id}", output.styled(Style::Bad, &status)));
        output.line(format!("  {}{reason}: {}", text("code"), text("message")));
        if text("code") == Code::Trap.as_str() {
            output.note(format!("next: lockstep intent replay {}", id.get(..12).unwrap_or(&id)));
        }
    }
    for notification in outcome.get("notifications").and_then(Json::as_array).unwrap_or_default() {
        output.line(format!("  notified {}", notification.get("type").and_then(Json::as_str).unwrap_or_default()));
    }
}

/// Signs an intent for this node.
pub(crate) fn sign(
    args: &IntentArgs,
    directory: &Directory,
    home: &Home,
    key: &Key,
    now: Timestamp,
) -> Result<Submission, CliError> {
    let usage = |message: String| CliError::new(Code::Usage, message);
    let actor = ActorId::parse(&key.owner).map_err(|error| usage(error.to_string()))?;
    let nonce = nonce(args.nonce.as_deref(), key)?;
    let first = match (&args.changes, args.what.as_slice()) {
        (Some(_), [record]) | (None, [_, record]) => record,
        (Some(_), _) => return Err(usage("--changes takes one RECORD_ID".to_owned())),
        (None, _) => return Err(usage("an intent is CONTRACT.METHOD RECORD_ID".to_owned())),
    };
    let mut targets = Vec::new();
    for (index, record) in std::iter::once(first).chain(&args.also).enumerate() {
        let record = if record == "new" {
            format!("{}:{}", home.config.node, nonce.to_string().get(..26).unwrap_or_default())
        } else {
            record.clone()
        };
        let record = RecordId::parse(&record).map_err(|error| usage(error.to_string()))?;
        targets.push(Target { record, expect: args.expect.filter(|_| index == 0) });
    }
    // The node that sequences its records: this one hands it on where that is another.
    let first = targets.first().map(|target| target.record.node());
    let sequencer = first.ok_or_else(|| usage("an intent is about a record".to_owned()))?;
    let not_before = args
        .not_before
        .as_deref()
        .map(|text| Timestamp::parse_lenient(text).map_err(|error| usage(error.to_string())))
        .transpose()?;
    let draft = Draft {
        network: directory.network(),
        sequencer,
        actor,
        nonce,
        expires: now.plus(duration(&args.expires)?),
        not_before,
        call: call(args)?,
        targets,
    };
    let mut failure = None;
    let salt = || {
        lockstep_node::random_salt().unwrap_or_else(|message| {
            failure = Some(message);
            Salt::from([0; 32])
        })
    };
    let signed = draft.sign(&key.signer, salt).map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
    match failure {
        Some(message) => Err(CliError::new(Code::Internal, message)),
        None => Ok(signed),
    }
}

fn call(args: &IntentArgs) -> Result<Call, CliError> {
    let usage = |message: String| CliError::new(Code::Usage, message);
    let call = if let Some(changes) = &args.changes {
        let Json::Array(mut changes) = read_json(changes)? else {
            return Err(usage("--changes holds a JSON array".to_owned()));
        };
        changes.iter_mut().for_each(of_first_record);
        json!({"spec": args.spec.as_deref(), "changes": changes})
    } else {
        let called = args.what.first().map(String::as_str).unwrap_or_default();
        let (contract, method) =
            called.split_once('.').ok_or_else(|| usage(format!("{called} is not CONTRACT.METHOD")))?;
        let arguments = match &args.args {
            None => json!({}),
            Some(text) if text == "-" || text.starts_with('@') => read_json(text)?,
            Some(text) => parse_json(text.as_bytes(), "--args")?,
        };
        json!({"contract": contract, "method": method, "arguments": arguments})
    };
    Call::from_json(&call).map_err(|error| usage(error.to_string()))
}

/// A change that names no record is of the first one; most intents have no other.
fn of_first_record(change: &mut Json) {
    if let Json::Object(change) = change
        && change.get("record").is_none()
    {
        change.insert("record", json!(0));
    }
}

/// A random nonce; or the one that this actor's key always makes from this name.
fn nonce(name: Option<&str>, key: &Key) -> Result<Digest, CliError> {
    match name {
        None => lockstep_node::random_bytes()
            .map(Digest::from_bytes)
            .map_err(|message| CliError::new(Code::Internal, message)),
        Some(name) => {
            let domain = Domain { domain: "lockstep.nonce.v1", network: None, record: None, section: None, seq: None };
            Ok(commit(&Salt::from(*key.secret()), &domain, &Json::from(name)))
        }
    }
}

/// `30s`, `10m`, `2h`, `1d`.
pub(crate) fn duration(text: &str) -> Result<Duration, CliError> {
    let bad = || CliError::new(Code::Usage, format!("{text} is no duration; write 30s, 10m, 2h or 1d"));
    lockstep_core::time::duration(text).ok_or_else(bad)
}

/// `@FILE`, or `-` for standard input.
pub(crate) fn input(source: &str) -> Result<Vec<u8>, CliError> {
    if source == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| file_error(std::path::Path::new("standard input"), &error))?;
        return Ok(bytes);
    }
    let path = std::path::Path::new(source.strip_prefix('@').unwrap_or(source));
    std::fs::read(path).map_err(|error| file_error(path, &error))
}

/// JSON as it is, `@FILE`, or `-`.
fn read_json(source: &str) -> Result<Json, CliError> {
    if source.trim_start().starts_with(['[', '{']) {
        return parse_json(source.as_bytes(), "the JSON");
    }
    parse_json(&input(source)?, source)
}

fn parse_json(bytes: &[u8], what: &str) -> Result<Json, CliError> {
    Json::parse(bytes, &Limits { bytes: 64 << 20, ..Limits::default() })
        .map_err(|error| CliError::new(Code::Usage, format!("{what}: {error}")))
}
