//! A scenario as its author writes it, in `scenarios/NAME.json`.
//!
//! ```json
//! {"name": "an offer below half the asking price is rejected",
//!  "actors": {"alice@acme": ["seller"], "bob@buyer": ["buyer"]},
//!  "steps": [{"as": "bob@buyer", "call": "house_sale.offer", "records": ["acme:sale-1"], "arguments": {"price": "1.00"},
//!             "expect": {"status": "rejected", "code": "contract", "reason": "offer_too_low"}}],
//!  "rows": {"house_sale": {"acme:sale-1": {"status": "for_sale", "listing/address": "1 Elm Street"}}}}
//! ```
//!
//! A step may carry `"spec"` and `"changes"` instead of a call, and `"expect_seq"`, one number for all its
//! records. `"expires"` and `"not_before"` say how long after it is signed an intent is worth nothing any more (10m,
//! unless said) and must not be applied before: `30s`, `10m`, `2h`, `1d`. `{"deploy": FILE}` deploys another version on the way; `"deploy": [FILE…]` beside the steps says
//! what is deployed before the first. Files are relative to the scenario's; `"this"` is the package under test.
//! Only what `expect` and `rows` name is compared; a record that must not be there has `null` for its row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_core::intent::{Call, Target};
use lockstep_core::json::{Fields, Json, Limits, Object, ShapeError, json};
use lockstep_core::names::{ActorId, RecordId};

use crate::verbs::submit::duration;

/// How long an intent of a scenario is valid.
const EXPIRY: Duration = Duration::from_secs(600);

/// A scenario, read.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) actors: Vec<(ActorId, Vec<String>)>,
    pub(super) deployed: Vec<Deployed>,
    pub(super) steps: Vec<Step>,
    /// By spec, then by record.
    pub(super) rows: Vec<(String, RecordId, Json)>,
}

/// A package that a scenario deploys.
#[derive(Debug)]
pub(super) enum Deployed {
    /// The one under test.
    This,
    /// One in a file.
    File(PathBuf),
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    Deploy(Deployed),
    Submit(Box<Submit>),
}

/// An intent and how it must end.
#[derive(Debug)]
pub(super) struct Submit {
    pub(super) actor: ActorId,
    /// What is asked for, for people.
    pub(super) title: String,
    pub(super) call: Call,
    pub(super) targets: Vec<Target>,
    /// From its signing on.
    pub(super) expires: Duration,
    pub(super) not_before: Option<Duration>,
    pub(super) expect: Object,
}

impl Scenario {
    /// Reads a scenario's file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let json = Json::parse(&bytes, &Limits::default()).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let default_name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("scenario");
        Scenario::parse(&json, folder, default_name).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(json: &Json, folder: &Path, default_name: &str) -> Result<Self, String> {
        let shape = |error: ShapeError| error.to_string();
        let mut fields = Fields::of(json, "scenario").map_err(shape)?;
        let name = fields.optional_text("name").map_err(shape)?.unwrap_or(default_name).to_owned();
        let mut actors = Vec::new();
        for (actor, roles) in fields.object("actors").map_err(shape)?.iter() {
            actors.push((ActorId::parse(actor).map_err(|error| error.to_string())?, read_roles(actor, roles)?));
        }
        let deployed = match fields.optional_texts("deploy").map_err(shape)? {
            None => vec![Deployed::This],
            Some(files) => files.into_iter().map(|file| read_deployed(file, folder)).collect(),
        };
        let mut steps = Vec::new();
        for (index, step) in fields.array("steps").map_err(shape)?.iter().enumerate() {
            steps.push(read_step(step, folder).map_err(|error| format!("step {}: {error}", index + 1))?);
        }
        let rows = read_rows(fields.optional_object("rows").map_err(shape)?)?;
        fields.finish().map_err(shape)?;
        Ok(Scenario { name, actors, deployed, steps, rows })
    }

    /// The node's name: the one that the first record's id begins with.
    pub(super) fn node(&self) -> Option<String> {
        self.steps.iter().find_map(|step| match step {
            Step::Submit(submit) => submit.targets.first().map(|target| target.record.node().to_string()),
            Step::Deploy(_) => None,
        })
    }
}

fn read_roles(actor: &str, roles: &Json) -> Result<Vec<String>, String> {
    let list = roles.as_array().ok_or_else(|| format!("the roles of {actor} are not a list"))?;
    let role = |role: &Json| role.as_str().map(str::to_owned).ok_or_else(|| format!("a role of {actor} is not a text"));
    list.iter().map(role).collect()
}

fn read_deployed(file: &str, folder: &Path) -> Deployed {
    if file == "this" { Deployed::This } else { Deployed::File(folder.join(file)) }
}

fn read_step(step: &Json, folder: &Path) -> Result<Step, String> {
    let shape = |error: ShapeError| error.to_string();
    let mut fields = Fields::of(step, "step").map_err(shape)?;
    if let Some(file) = fields.optional_text("deploy").map_err(shape)? {
        fields.finish().map_err(shape)?;
        return Ok(Step::Deploy(read_deployed(file, folder)));
    }
    let actor = fields.parsed("as", ActorId::parse).map_err(shape)?;
    let (title, call) = match fields.optional_text("call").map_err(shape)? {
        Some(call) => {
            let (contract, method) =
                call.split_once('.').ok_or_else(|| format!("call {call:?} is not CONTRACT.METHOD"))?;
            let arguments = fields.optional("arguments").cloned().unwrap_or_else(|| Object::new().into());
            (call.to_owned(), json!({"contract": contract, "method": method, "arguments": arguments}))
        }
        None => {
            let spec = fields.text("spec").map_err(shape)?;
            (
                format!("changes of {spec}"),
                json!({"spec": spec, "changes": fields.need("changes").map_err(shape)?.clone()}),
            )
        }
    };
    let call = Call::from_json(&call).map_err(shape)?;
    let expect = fields.optional_count("expect_seq").map_err(shape)?;
    let mut targets = Vec::new();
    for record in fields.optional_texts("records").map_err(shape)?.unwrap_or_default() {
        targets.push(Target { record: RecordId::parse(record).map_err(|error| error.to_string())?, expect });
    }
    let mut later = |name: &str| -> Result<Option<Duration>, String> {
        let text = fields.optional_text(name).map_err(shape)?;
        text.map(|text| duration(text).map_err(|error| format!("{name}: {}", error.message))).transpose()
    };
    let (expires, not_before) = (later("expires")?.unwrap_or(EXPIRY), later("not_before")?);
    let expect = fields.object("expect").map_err(shape)?.clone();
    fields.finish().map_err(shape)?;
    Ok(Step::Submit(Box::new(Submit { actor, title, call, targets, expires, not_before, expect })))
}

fn read_rows(specs: Option<&Object>) -> Result<Vec<(String, RecordId, Json)>, String> {
    let mut rows = Vec::new();
    for (spec, records) in specs.into_iter().flat_map(Object::iter) {
        let records = records.as_object().ok_or_else(|| format!("rows/{spec} is not an object of records"))?;
        for (record, columns) in records.iter() {
            rows.push((spec.to_owned(), RecordId::parse(record).map_err(|error| error.to_string())?, columns.clone()));
        }
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Scenario, String> {
        Scenario::parse(
            &Json::parse(text.as_bytes(), &Limits::default()).map_err(|error| error.to_string())?,
            Path::new("/s"),
            "untitled",
        )
    }

    #[test]
    fn a_step_is_a_call_changes_or_a_deployment() {
        let read = check(
            r#"{"actors": {"a@acme": ["clerk"]}, "deploy": ["old.lockstep"], "steps": [
                {"deploy": "this"},
                {"as": "a@acme", "call": "notes.write", "records": ["acme:1"], "expect_seq": 3, "expect": {"status": "applied"}},
                {"as": "a@acme", "spec": "notes", "changes": [{"record": 0, "section": "text", "op": "remove", "path": ""}], "records": ["acme:1"], "expect": {}}
            ]}"#,
        );
        let read = read.unwrap();
        assert_eq!((read.name.as_str(), read.node().as_deref()), ("untitled", Some("acme")));
        assert!(matches!(&read.deployed[..], [Deployed::File(file)] if file == Path::new("/s/old.lockstep")));
        assert!(matches!(&read.steps[0], Step::Deploy(Deployed::This)));
        assert!(matches!(&read.steps[1], Step::Submit(submit) if submit.targets[0].expect == Some(3)));
        assert!(matches!(&read.steps[2], Step::Submit(submit) if matches!(submit.call, Call::Changes { .. })));
    }

    #[test]
    fn a_step_may_say_how_long_its_intent_is_good_and_from_when() {
        let read = check(
            r#"{"actors": {}, "steps": [
                {"as": "a@acme", "call": "notes.write", "expires": "30s", "not_before": "2h", "expect": {}},
                {"as": "a@acme", "call": "notes.write", "expect": {}}
            ]}"#,
        );
        let times = |step: &Step| match step {
            Step::Submit(submit) => Some((submit.expires.as_secs(), submit.not_before.map(|later| later.as_secs()))),
            Step::Deploy(_) => None,
        };
        let times: Vec<_> = read.unwrap().steps.iter().map(times).collect();
        assert_eq!(times, [Some((30, Some(7200))), Some((600, None))]);
    }

    #[test]
    fn what_is_misspelt_is_refused_with_its_place() {
        let step = |step: &str| check(&format!(r#"{{"actors": {{}}, "steps": [{step}]}}"#)).unwrap_err();
        assert!(step(r#"{"as": "a@acme", "call": "notes", "expect": {}}"#).contains("step 1: call \"notes\""));
        assert!(step(r#"{"as": "a@acme", "call": "notes.write", "expects": {}}"#).contains("expect"));
        assert!(step(r#"{"as": "a", "call": "notes.write", "expect": {}}"#).contains("step 1"));
        let soon = step(r#"{"as": "a@acme", "call": "notes.write", "expires": "soon", "expect": {}}"#);
        assert!(soon.contains("step 1: expires: soon is no duration"), "{soon}");
        assert!(check(r#"{"actors": {"a@acme": "clerk"}, "steps": []}"#).is_err());
        assert!(check(r#"{"actors": {}, "steps": [], "rows": {"notes": []}}"#).is_err());
    }
}
