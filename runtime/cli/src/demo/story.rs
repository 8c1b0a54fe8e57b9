//! What the demo's actors do, and what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::codes::Code;
use lockstep_core::json::{Json, json};
use lockstep_core::names::ActorId;
use lockstep_core::package::Package;
use lockstep_node::{Node, outcome};

use crate::context::{Context, Home, lock};
use crate::error::CliError;
use crate::keys::{Key, actor_key_path, all};
use crate::relaying::relay;
use crate::verbs::submit::{IntentArgs, sign};
use crate::verbs::{actor, contract};
use crate::way::{Started, Way};

/// How long the demo waits for one outcome.
const PATIENCE: Duration = Duration::from_secs(30);

/// One intent of the story.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) who: &'static str,
    pub(super) call: &'static str,
    pub(super) records: Vec<String>,
    pub(super) arguments: Json,
    pub(super) expect: Option<u64>,
}

impl Step {
    pub(super) fn new(who: &'static str, call: &'static str, record: &str, arguments: Json) -> Self {
        Step { who, call, records: vec![record.to_owned()], arguments, expect: None }
    }

    pub(super) fn expecting(self, seq: u64) -> Self {
        Step { expect: Some(seq), ..self }
    }

    pub(super) fn also(mut self, record: &str) -> Self {
        self.records.push(record.to_owned());
        self
    }
}

/// A step with its outcome.
pub(super) struct Told {
    pub(super) step: Step,
    pub(super) outcome: Json,
}

/// The story as it went.
pub(super) struct Story {
    /// The steps that people are shown, in order.
    pub(super) told: Vec<Told>,
    /// Quotes that were submitted in one batch, and how long that took.
    pub(super) quotes: (u64, Duration),
    pub(super) notifications: u64,
    pub(super) records: u64,
    tally: BTreeMap<String, u64>,
}

/// The demo's people: name, participant, roles that they may take on.
const ACTORS: &[(&str, &str, &[&str])] = &[
    ("alice", "acme", &["seller", "client", "holder", "registrar"]),
    ("bob", "buyer", &["buyer", "purchaser", "holder"]),
    ("ivy", "inspector", &["inspector"]),
    ("dora", "dealer-one", &["dealer"]),
    ("dan", "dealer-two", &["dealer"]),
    ("rita", "bank", &["registrar"]),
];

pub(super) struct Teller<'a> {
    context: &'a Context,
    home: &'a Home,
    pub(super) node: Node,
    keys: BTreeMap<String, Key>,
    story: Story,
}

impl Story {
    /// Lets the actors act.
    pub(super) async fn tell(context: &Context, home: &Home) -> Result<Story, CliError> {
        let started = Started::on(home, lock(&home.dir)?).await?;
        let way = Way::of(&started.node);
        let admin = Key::read(&actor_key_path(&home.dir, &home.config.actor))?;
        for (name, participant, roles) in ACTORS {
            let id = ActorId::parse(&format!("{name}@{participant}"))
                .map_err(|error| CliError::new(Code::Internal, error.to_string()))?;
            let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
            actor::add(&way, &admin, &home.dir, &id, &roles, None).await?;
        }
        let keys = all(&home.dir)?.into_iter().map(|key| (key.owner.clone(), key)).collect();
        let story = Story {
            told: Vec::new(),
            quotes: (0, Duration::ZERO),
            notifications: 0,
            records: 0,
            tally: BTreeMap::new(),
        };
        let mut teller = Teller { context, home, node: started.node.clone(), keys, story };
        super::sales::tell(&mut teller, &admin).await?;
        super::trades::tell(&mut teller, &admin).await?;
        relay(&teller.node, home).await?;
        let mut story = teller.story;
        story.records = count(&started.node, "SELECT (SELECT count(*) FROM house_sale) + (SELECT count(*) FROM request_for_quote) + (SELECT count(*) FROM cash) + (SELECT count(*) FROM bond) AS n").await?;
        story.notifications = count(&started.node, "SELECT count(*) AS n FROM lockstep_outbox").await?;
        super::private_table(home).await?;
        started.node.clone().stop().await;
        Ok(story)
    }

    /// How the intents ended.
    pub(super) fn counts(&self) -> Json {
        let count = |status: &str| self.tally.get(status).copied().unwrap_or_default();
        json!({"applied": count("applied"), "rejected": count("rejected"), "expired": count("expired")})
    }

    /// The rejected ones.
    pub(super) fn rejections(&self) -> Json {
        let rejected = self.told.iter().filter(|told| told.outcome.get("code").is_some_and(|code| !code.is_null()));
        let part = |told: &Told, name: &str| told.outcome.get(name).cloned().unwrap_or_default();
        rejected
            .map(|told| {
                json!({
                    "intent_id": part(told, "intent_id"), "record_id": part(told, "record_id"), "code": part(told, "code"),
                    "reason": part(told, "reason"), "message": part(told, "message")
                })
            })
            .collect()
    }
}

async fn count(node: &Node, sql: &str) -> Result<u64, CliError> {
    let answer = node.database().query(sql, 1).await?;
    Ok(answer
        .rows
        .first()
        .and_then(|row| row.first())
        .and_then(lockstep_core::tables::Cell::as_count)
        .unwrap_or_default())
}

impl Teller<'_> {
    fn key(&self, who: &str) -> Result<&Key, CliError> {
        let found = self.keys.values().find(|key| key.owner.split('@').next() == Some(who));
        found.ok_or_else(|| CliError::new(Code::UnknownKey, format!("no key of {who}")))
    }

    fn signed(&self, step: &Step) -> Result<Vec<u8>, CliError> {
        let mut records = step.records.iter().cloned();
        let args = IntentArgs {
            what: std::iter::once(step.call.to_owned()).chain(records.next()).collect(),
            also: records.collect(),
            args: Some(step.arguments.canonical()),
            expect: step.expect,
            expires: "10m".to_owned(),
            ..IntentArgs::default()
        };
        let signed = sign(&args, &self.node.directory(), self.home, self.key(step.who)?, self.node.now())?;
        Ok(signed.to_json().canonical().into_bytes())
    }

    /// Submits one intent and keeps its outcome for people to see.
    pub(super) async fn step(&mut self, step: Step) -> Result<(), CliError> {
        let bytes = self.signed(&step)?;
        let decided = self.node.submit(bytes, PATIENCE).await?;
        let outcome = outcome(self.node.database(), &decided.intent).await?.unwrap_or_default();
        self.count(&outcome);
        self.story.told.push(Told { step, outcome });
        Ok(())
    }

    /// Submits many at once.
    pub(super) async fn batch(&mut self, steps: &[Step]) -> Result<(), CliError> {
        let started = std::time::Instant::now();
        let signed = steps.iter().map(|step| self.signed(step)).collect::<Result<Vec<_>, _>>()?;
        let mut last = None;
        let all = self.node.submit_all(signed, PATIENCE).await;
        self.story.quotes = (all.len() as u64, started.elapsed());
        for answer in all {
            let decided = answer?;
            *self.story.tally.entry("applied".to_owned()).or_default() += 1;
            last = Some(decided);
        }
        // A batch of quotes is applied whole, or the demo says so.
        let rejected = count(
            &self.node,
            "SELECT count(*) AS n FROM lockstep_intent WHERE method = 'quote' AND status <> 'applied'",
        )
        .await?;
        match last {
            Some(_) if rejected == 0 => Ok(()),
            _ => Err(CliError::new(Code::Internal, format!("{rejected} quotes were not applied"))),
        }
    }

    /// Deploys one of the examples' packages.
    pub(super) async fn deploy(&self, admin: &Key, bytes: &[u8]) -> Result<(), CliError> {
        let package = Package::decode(bytes).map_err(|error| CliError::new(Code::PackageRefused, error.to_string()))?;
        contract::deploy(&Way::of(&self.node), admin, &package).await?;
        self.context.output.note(format!("agreed on {}@{}", package.manifest.name, package.manifest.version));
        Ok(())
    }

    fn count(&mut self, outcome: &Json) {
        let status = outcome.get("status").and_then(Json::as_str).unwrap_or_default();
        *self.story.tally.entry(status.to_owned()).or_default() += 1;
    }
}
