//! How an intent ended: the leaf that goes into the log, and what its commitments stand for.
//!
//! One intent, one leaf. What a rejection says stands in the leaf only as commitments, so that a leaf tells
//! nobody more than that, when and by which intent something was tried.

use crate::codes::Code;
use crate::crypto::{ALGORITHMS, Context, Digest, Salt, commit};
use crate::event::{Read, reads_json};
use crate::execute::{Judged, Rejected};
use crate::json::{Fields, Json, Limits, ShapeError, json};
use crate::log::leaf_hash;
use crate::names::RecordId;
use crate::package::FORMAT;
use crate::time::Timestamp;

/// The ways in which an intent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its events.
    Applied,
    /// The rules or the contract said no.
    Rejected,
    /// Its turn came too late.
    Expired,
}

impl Ending {
    /// The word in leaves, tables and replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Applied => "applied",
            Ending::Rejected => "rejected",
            Ending::Expired => "expired",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        [Ending::Applied, Ending::Rejected, Ending::Expired]
            .into_iter()
            .find(|ending| ending.as_str() == text)
            .ok_or_else(|| format!("{text} is no ending"))
    }
}

/// What a leaf's commitments stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasons {
    /// Why it was rejected; `None` where it was not.
    pub rejected: Option<Rejected>,
    /// On what it was judged.
    pub judged: Judged,
    /// Directory seq and head under which it was judged.
    pub directory: (u64, Digest),
    /// The salts: of code, reason, message, and what it was judged on.
    pub salts: [Salt; 4],
}

/// What a node knows of the commitments in a leaf.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// What they stand for.
    Openly(Reasons),
    /// Nothing but the commitments, in the order of the salts: what was judged on is not all for this node.
    Sealed([Digest; 4]),
}

impl From<Reasons> for Said {
    fn from(reasons: Reasons) -> Self {
        Said::Openly(reasons)
    }
}

/// How one intent ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The network.
    pub network: Digest,
    /// The intent.
    pub intent: Digest,
    /// How.
    pub ending: Ending,
    /// When the node took it.
    pub submitted: Timestamp,
    /// When it ended.
    pub time: Timestamp,
    /// Its events.
    pub events: Vec<Digest>,
    /// What the leaf's commitments stand for, as far as it is known.
    pub said: Said,
}

/// What a leaf says without its openings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// The intent.
    pub intent: Digest,
    /// How it ended.
    pub ending: Ending,
    /// When the node took it.
    pub submitted: Timestamp,
    /// When it ended.
    pub time: Timestamp,
    /// Its events.
    pub events: Vec<Digest>,
}

const DOMAINS: [(&str, &str); 4] = [
    ("code", "lockstep.code.v1"),
    ("reason", "lockstep.reason.v1"),
    ("message", "lockstep.message.v1"),
    ("judged", "lockstep.judged.v1"),
];

impl Reasons {
    fn to_json(&self) -> Json {
        let mut openings = crate::json::Object::default();
        for (((name, _), salt), content) in DOMAINS.iter().zip(&self.salts).zip(self.contents()) {
            openings.insert((*name).to_owned(), json!({"salt": salt.to_string(), "content": content}));
        }
        Json::Object(openings)
    }

    /// What is committed to, in the order of the salts.
    fn contents(&self) -> [Json; 4] {
        let rejected = self.rejected.as_ref();
        let package = self.judged.package.map(|digest| digest.to_string());
        [
            Json::from(rejected.map(|rejected| rejected.code.as_str())),
            Json::from(rejected.and_then(|rejected| rejected.reason.as_deref())),
            Json::from(rejected.map(|rejected| rejected.message.as_str())),
            json!({"reads": reads_json(&self.judged.reads), "package": package, "directory": {"seq": self.directory.0, "head": self.directory.1.to_string()}}),
        ]
    }
}

impl Outcome {
    /// What the leaf's commitments stand for, where this node knows it.
    #[must_use]
    pub fn reasons(&self) -> Option<&Reasons> {
        match &self.said {
            Said::Openly(reasons) => Some(reasons),
            Said::Sealed(_) => None,
        }
    }

    /// The same, with no more than its leaf: for whoever may not read all that was judged on.
    #[must_use]
    pub fn sealed(&self) -> Self {
        Outcome { said: Said::Sealed(self.commitments()), ..self.clone() }
    }

    fn commitments(&self) -> [Digest; 4] {
        let reasons = match &self.said {
            Said::Openly(reasons) => reasons,
            Said::Sealed(commitments) => return *commitments,
        };
        let (contents, mut domains) = (reasons.contents(), DOMAINS.iter());
        let mut index = 0;
        reasons.salts.map(|salt| {
            let domain = domains.next().map_or("", |(_, domain)| domain);
            let context = Context { domain, network: Some(&self.network), record: None, section: None, seq: None };
            let commitment = commit(&salt, &context, contents.get(index).unwrap_or(&Json::Null));
            index += 1;
            commitment
        })
    }

    fn leaf_json(&self) -> Json {
        let events: Vec<Json> = self.events.iter().map(|event| Json::from(event.to_string())).collect();
        let mut leaf = json!({
            "format": FORMAT, "algorithms": ALGORITHMS, "kind": "outcome", "network": self.network.to_string(), "intent": self.intent.to_string(),
            "status": self.ending.as_str(), "submitted": self.submitted.to_string(), "time": self.time.to_string(), "events": events
        });
        if let Json::Object(object) = &mut leaf {
            for ((name, _), commitment) in DOMAINS.iter().zip(self.commitments()) {
                object.insert((*name).to_owned(), Json::from(commitment.to_string()));
            }
        }
        leaf
    }

    /// The leaf as it is hashed.
    #[must_use]
    pub fn leaf(&self) -> Vec<u8> {
        self.leaf_json().canonical().into_bytes()
    }

    /// The leaf with its openings, as they are stored.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.stored_with(&self.leaf())
    }

    /// As [`Outcome::stored`], where the leaf is at hand.
    #[must_use]
    pub fn stored_with(&self, leaf: &[u8]) -> Vec<u8> {
        let openings = Json::from(self.reasons().map(Reasons::to_json));
        let mut stored = Vec::with_capacity(leaf.len() + 1024);
        stored.extend_from_slice(b"{\"leaf\":");
        stored.extend_from_slice(leaf);
        stored.extend_from_slice(b",\"openings\":");
        openings.write_canonical(&mut stored);
        stored.push(b'}');
        stored
    }

    /// Reads an outcome as it is stored, and checks that its openings fit its leaf.
    ///
    /// # Errors
    /// What is malformed or does not fit, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let limits = Limits { bytes: 16 << 20, ..Limits::default() };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| error.to_string())?;
        let outcome = read_outcome(&json).map_err(|error| error.to_string())?;
        if outcome.stored() != stored {
            return Err("the openings are not what the leaf's commitments stand for".to_owned());
        }
        Ok(outcome)
    }

    /// What the leaf alone says, where its openings are damaged; whoever asks has found the leaf in the log.
    #[must_use]
    pub fn stored_facts(stored: &[u8]) -> Option<LeafFacts> {
        let limits = Limits { bytes: 16 << 20, ..Limits::default() };
        let json = Json::parse(stored, &limits).ok()?;
        let leaf = json.get("leaf")?;
        let text = |name: &str| leaf.get(name).and_then(Json::as_str);
        let events = leaf
            .get("events")?
            .as_array()?
            .iter()
            .map(|event| Digest::parse(event.as_str()?).ok())
            .collect::<Option<_>>()?;
        Some(LeafFacts {
            intent: Digest::parse(text("intent")?).ok()?,
            ending: Ending::parse(text("status")?).ok()?,
            submitted: Timestamp::parse(text("submitted")?).ok()?,
            time: Timestamp::parse(text("time")?).ok()?,
            events,
        })
    }

    /// Hash of the leaf that stored bytes hold, where they hold one at all.
    #[must_use]
    pub fn stored_leaf_hash(stored: &[u8]) -> Option<Digest> {
        let limits = Limits { bytes: 16 << 20, ..Limits::default() };
        let json = Json::parse(stored, &limits).ok()?;
        Some(leaf_hash(json.get("leaf")?.canonical().as_bytes()))
    }
}

fn read_outcome(json: &Json) -> Result<Outcome, ShapeError> {
    let mut fields = Fields::of(json, "outcome")?;
    let mut leaf = fields.nested("leaf")?;
    let (format, algorithms) = (leaf.count("format")?, leaf.text("algorithms")?);
    if format != FORMAT || algorithms != ALGORITHMS || leaf.text("kind")? != "outcome" {
        return Err(ShapeError::new(
            "leaf",
            "an outcome of a known format",
            format!("format {format} with {algorithms}"),
        ));
    }
    let mut events = Vec::new();
    for event in leaf.array("events")? {
        let found = event.as_str().and_then(|text| Digest::parse(text).ok());
        events.push(found.ok_or_else(|| ShapeError::new("leaf/events", "event ids", event.kind()))?);
    }
    let mut commitments = Vec::new();
    for (name, _) in DOMAINS {
        commitments.push(leaf.parsed(name, Digest::parse)?);
    }
    let said = match (fields.need("openings")?, <[Digest; 4]>::try_from(commitments)) {
        (Json::Null, Ok(commitments)) => Said::Sealed(commitments),
        (openings, _) => Said::Openly(read_reasons(openings)?),
    };
    let outcome = Outcome {
        network: leaf.parsed("network", Digest::parse)?,
        intent: leaf.parsed("intent", Digest::parse)?,
        ending: leaf.parsed("status", Ending::parse)?,
        submitted: leaf.parsed("submitted", Timestamp::parse)?,
        time: leaf.parsed("time", Timestamp::parse)?,
        events,
        said,
    };
    leaf.finish()?;
    fields.finish()?;
    Ok(outcome)
}

fn read_reasons(json: &Json) -> Result<Reasons, ShapeError> {
    let mut fields = Fields::of(json, "outcome openings")?;
    let (code_salt, code) = opening(&mut fields, "code")?;
    let (reason_salt, reason) = opening(&mut fields, "reason")?;
    let (message_salt, message) = opening(&mut fields, "message")?;
    let (judged_salt, judged) = opening(&mut fields, "judged")?;
    fields.finish()?;
    let rejected = match code.as_str() {
        None => None,
        Some(text) => Some(Rejected {
            code: Code::parse(text).ok_or_else(|| ShapeError::new("outcome openings/code", "a known code", text))?,
            reason: reason.as_str().map(str::to_owned),
            message: message.as_str().unwrap_or_default().to_owned(),
        }),
    };
    let mut inner = Fields::of(judged, "judged")?;
    let package = inner.nullable_parsed("package", Digest::parse)?;
    let mut reads = Vec::new();
    for read in inner.array("reads")? {
        let mut one = Fields::of(read, "judged/reads")?;
        reads.push(Read {
            record: one.parsed("record", RecordId::parse)?,
            seq: one.count("seq")?,
            head: one.nullable_parsed("head", Digest::parse)?,
        });
    }
    let mut directory = inner.nested("directory")?;
    let directory = (directory.count("seq")?, directory.parsed("head", Digest::parse)?);
    Ok(Reasons {
        rejected,
        judged: Judged { reads, package },
        directory,
        salts: [code_salt, reason_salt, message_salt, judged_salt],
    })
}

fn opening<'a>(fields: &mut Fields<'a>, name: &str) -> Result<(Salt, &'a Json), ShapeError> {
    let mut inner = fields.nested(name)?;
    let found = (inner.parsed("salt", Salt::parse)?, inner.need("content")?);
    inner.finish()?;
    Ok(found)
}

/// The leaf for a new head of the directory.
#[must_use]
pub fn directory_leaf(network: &Digest, seq: u64, head: &Digest) -> Vec<u8> {
    json!({"format": FORMAT, "algorithms": ALGORITHMS, "kind": "directory", "network": network.to_string(), "seq": seq, "head": head.to_string()})
        .canonical()
        .into_bytes()
}
