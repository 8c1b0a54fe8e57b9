//! What did change one record: a hash-chained header, and the openings of its commitments.

use std::collections::BTreeMap;

use crate::crypto::{ALGORITHMS, Context, Digest, Salt, commit, commit_canonical};
use crate::json::{Fields, Json, Limits, Operation, PatchError, ShapeError, json};
use crate::names::{NodeName, RecordId};
use crate::package::FORMAT;
use crate::time::Timestamp;

/// The version of the verdict rules (schema subset, entitlements, directory) that this version judges by.
pub const RULES: u64 = 1;
/// Domain of the commitment to a section's content.
pub const CONTENT_DOMAIN: &str = "lockstep.content.v1";
/// Domain of the commitment to an event's changes of a section.
pub const CHANGES_DOMAIN: &str = "lockstep.changes.v1";
/// Domain of the commitment to an event's notifications of a section.
pub const NOTIFICATIONS_DOMAIN: &str = "lockstep.notifications.v1";
/// Domain of the commitment to what else an event's execution read.
pub const READS_DOMAIN: &str = "lockstep.reads.v1";

/// A section in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSection {
    /// The seq of the event that last wrote it.
    pub seq: u64,
    /// Commitment to its content.
    pub content: Digest,
    /// Commitments to this event's changes and notifications, where this event's method declares it as written.
    pub written: Option<(Digest, Digest)>,
}

/// An event's header; its hash is the event's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The network.
    pub network: Digest,
    /// The log that holds the leaf of its intent's outcome.
    pub log: String,
    /// The record.
    pub record: RecordId,
    /// Epoch of the record's sequencer.
    pub epoch: u64,
    /// Position in the record's chain, from 1.
    pub seq: u64,
    /// The record's event before; `None` for the first.
    pub prev: Option<Digest>,
    /// The spec under which it was judged.
    pub spec: Digest,
    /// The package under which it was judged.
    pub package: Digest,
    /// The directory's seq and head under which it was judged.
    pub directory: (u64, Digest),
    /// The intent.
    pub intent: Digest,
    /// The node that ordered it.
    pub sequencer: NodeName,
    /// When.
    pub time: Timestamp,
    /// Every section that was ever written.
    pub sections: BTreeMap<String, SealedSection>,
    /// Commitment to what else was read.
    pub reads: Digest,
}

impl Header {
    /// The header as it is hashed and stored.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut sections = crate::json::Object::default();
        for (name, sealed) in &self.sections {
            let mut section = json!({"seq": sealed.seq, "content": sealed.content.to_string()});
            if let (Some((changes, notifications)), Json::Object(object)) = (&sealed.written, &mut section) {
                object.insert("changes".to_owned(), Json::from(changes.to_string()));
                object.insert("notifications".to_owned(), Json::from(notifications.to_string()));
            }
            sections.insert(name.clone(), section);
        }
        json!({
            "format": FORMAT, "rules": RULES, "algorithms": ALGORITHMS, "network": self.network.to_string(), "log": self.log.as_str(),
            "record": self.record.as_str(), "epoch": self.epoch, "seq": self.seq, "prev": self.prev.map(|prev| prev.to_string()),
            "spec": self.spec.to_string(), "package": self.package.to_string(),
            "directory": {"seq": self.directory.0, "head": self.directory.1.to_string()}, "intent": self.intent.to_string(),
            "sequencer": self.sequencer.as_str(), "time": self.time.to_string(), "sections": sections, "reads": self.reads.to_string()
        })
    }

    /// The bytes to store and hash.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.to_json().canonical().into_bytes()
    }

    /// The event's id.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.stored())
    }

    /// Reads a header as it is stored.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let json = Json::parse_canonical(stored, &Limits::default()).map_err(|error| error.to_string())?;
        read_header(&json).map_err(|error| error.to_string())
    }
}

fn read_header(json: &Json) -> Result<Header, ShapeError> {
    let mut fields = Fields::of(json, "header")?;
    for (name, known) in [("format", FORMAT), ("rules", RULES)] {
        let found = fields.count(name)?;
        if found != known {
            return Err(ShapeError::new(format!("header/{name}"), known.to_string(), found.to_string()));
        }
    }
    let algorithms = fields.text("algorithms")?;
    if algorithms != ALGORITHMS {
        return Err(ShapeError::new("header/algorithms", ALGORITHMS, algorithms));
    }
    let mut sections = BTreeMap::new();
    for (name, section) in fields.object("sections")?.iter() {
        let mut inner = Fields::of(section, &format!("header/sections/{name}"))?;
        let (seq, content) = (inner.count("seq")?, inner.parsed("content", Digest::parse)?);
        let changes = inner.optional_parsed("changes", Digest::parse)?;
        let written = match changes {
            None => None,
            Some(changes) => Some((changes, inner.parsed("notifications", Digest::parse)?)),
        };
        inner.finish()?;
        sections.insert(name.to_owned(), SealedSection { seq, content, written });
    }
    let mut directory = fields.nested("directory")?;
    let directory_is = (directory.count("seq")?, directory.parsed("head", Digest::parse)?);
    directory.finish()?;
    let header = Header {
        network: fields.parsed("network", Digest::parse)?,
        log: fields.text("log")?.to_owned(),
        record: fields.parsed("record", RecordId::parse)?,
        epoch: fields.count("epoch")?,
        seq: fields.count("seq")?,
        prev: fields.nullable_parsed("prev", Digest::parse)?,
        spec: fields.parsed("spec", Digest::parse)?,
        package: fields.parsed("package", Digest::parse)?,
        directory: directory_is,
        intent: fields.parsed("intent", Digest::parse)?,
        sequencer: fields.parsed("sequencer", NodeName::parse)?,
        time: fields.parsed("time", Timestamp::parse)?,
        sections,
        reads: fields.parsed("reads", Digest::parse)?,
    };
    fields.finish()?;
    Ok(header)
}

/// Most notifications of one intent, and so of one section of an event.
pub const MAX_NOTIFICATIONS: usize = 900;

/// A notification in an event's openings. It is numbered within its event and section and nowhere else: who may
/// not read another section must not learn from a gap how many it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The business event's type.
    pub kind: String,
    /// Its data.
    pub data: Json,
}

/// What applying one change found: for the rows that SQL users read.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// What stood at the change's path before it; null where nothing did.
    pub before: Json,
    /// What a move or copy brought there.
    pub moved: Option<Json>,
}

impl Applied {
    /// Applies an operation; a failed one leaves the document untouched.
    ///
    /// # Errors
    /// The operation's.
    pub fn apply(operation: &Operation, document: &mut Json) -> Result<Self, PatchError> {
        let moved = operation.from().and_then(|from| document.at(from).cloned());
        operation.apply(document).map(|before| Applied { before, moved })
    }
}

/// What one event did to one section.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionBody {
    /// Salt of the content's commitment; the content itself stands in the record's table.
    pub content_salt: Salt,
    /// Salt of the changes' commitment.
    pub changes_salt: Salt,
    /// The changes, in order.
    pub changes: Vec<Operation>,
    /// Salt of the notifications' commitment.
    pub notifications_salt: Salt,
    /// The notifications, in order.
    pub notifications: Vec<Notification>,
}

impl SectionBody {
    fn changes_json(&self) -> Json {
        Json::from(self.changes.iter().map(Operation::to_json).collect::<Vec<_>>())
    }

    fn notifications_json(&self) -> Json {
        let list = self
            .notifications
            .iter()
            .enumerate()
            .map(|(index, one)| json!({"index": index, "type": one.kind.as_str(), "data": one.data.clone()}));
        Json::from(list.collect::<Vec<_>>())
    }
}

/// A record that an execution read besides the event's own: what, at which head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The record.
    pub record: RecordId,
    /// Its seq; 0 where it was absent.
    pub seq: u64,
    /// Its head.
    pub head: Option<Digest>,
}

/// The content of a section that a node was not told of when it was written, with the salt of its commitment.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Salt of the content's commitment in the event that last wrote the section.
    pub salt: Salt,
    /// The content after the event that it is given with.
    pub content: Json,
}

/// The openings of an event's commitments: all of them at the node that sequenced it, elsewhere those that the
/// node is entitled to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventOpenings {
    /// What else was read, with the salt of its commitment; `None` where that is not for this node.
    pub reads: Option<(Salt, Vec<Read>)>,
    /// The sections written, by name.
    pub sections: BTreeMap<String, SectionBody>,
    /// Contents that this node has not seen grow: it came to the record late, or came back.
    pub given: BTreeMap<String, Given>,
}

/// Reads as the commitment has them.
#[must_use]
pub fn reads_json(reads: &[Read]) -> Json {
    let list = reads.iter().map(
        |read| json!({"record": read.record.as_str(), "seq": read.seq, "head": read.head.map(|head| head.to_string())}),
    );
    Json::from(list.collect::<Vec<_>>())
}

impl EventOpenings {
    /// The bytes to store.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        let mut sections = crate::json::Object::default();
        for (name, body) in &self.sections {
            sections.insert(
                name.clone(),
                json!({
                    "content": {"salt": body.content_salt.to_string()},
                    "changes": {"salt": body.changes_salt.to_string(), "content": body.changes_json()},
                    "notifications": {"salt": body.notifications_salt.to_string(), "content": body.notifications_json()}
                }),
            );
        }
        let reads =
            self.reads.as_ref().map(|(salt, reads)| json!({"salt": salt.to_string(), "content": reads_json(reads)}));
        let mut stored = json!({"reads": reads, "sections": sections});
        let given = self.given.iter().map(|(name, given)| {
            (name.clone(), json!({"salt": given.salt.to_string(), "content": given.content.clone()}))
        });
        if let (Json::Object(object), false) = (&mut stored, self.given.is_empty()) {
            object.insert("given".to_owned(), Json::Object(given.collect()));
        }
        stored.canonical().into_bytes()
    }

    /// Bytes of what is opened of each section, in canonical form.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let bodies = self.sections.iter().map(|(name, body)| {
            let bytes = body.changes_json().canonical().len() + body.notifications_json().canonical().len();
            (name.as_str(), bytes as u64)
        });
        bodies.chain(self.given.iter().map(|(name, given)| (name.as_str(), given.content.canonical().len() as u64)))
    }

    /// Reads openings as they are stored.
    ///
    /// # Errors
    /// What is malformed, for people.
    pub fn read(stored: &[u8]) -> Result<Self, String> {
        let limits = Limits { bytes: 128 << 20, ..Limits::default() };
        let json = Json::parse_canonical(stored, &limits).map_err(|error| error.to_string())?;
        read_openings(&json).map_err(|error| error.to_string())
    }

    /// Whether these are all that the header's commitments stand for, the sections' contents aside: what the node
    /// that sequenced the event holds.
    ///
    /// # Errors
    /// Which commitment does not fit, or is not opened.
    pub fn check(&self, header: &Header) -> Result<(), String> {
        let written: Vec<&String> =
            header.sections.iter().filter(|(_, sealed)| sealed.written.is_some()).map(|(name, _)| name).collect();
        if !written.iter().copied().eq(self.sections.keys()) || !self.given.is_empty() {
            return Err("the sections are not those that the header has as written".to_owned());
        }
        if self.reads.is_none() {
            return Err("the reads are not those of the header".to_owned());
        }
        self.check_some(header)
    }

    /// Whether these are among what the header's commitments stand for: what a node holds that may not see all.
    ///
    /// # Errors
    /// Which commitment does not fit.
    pub fn check_some(&self, header: &Header) -> Result<(), String> {
        let context = |domain, section| Context {
            domain,
            network: Some(&header.network),
            record: Some(header.record.as_str()),
            section,
            seq: Some(header.seq),
        };
        if let Some((salt, reads)) = &self.reads
            && commit(salt, &context(READS_DOMAIN, None), &reads_json(reads)) != header.reads
        {
            return Err("the reads are not those of the header".to_owned());
        }
        for (name, body) in &self.sections {
            let Some((changes, notifications)) = header.sections.get(name).and_then(|sealed| sealed.written) else {
                return Err(format!("section {name} is not one that the header has as written"));
            };
            if commit(&body.changes_salt, &context(CHANGES_DOMAIN, Some(name)), &body.changes_json()) != changes {
                return Err(format!("the changes of section {name} are not those of the header"));
            }
            if commit(&body.notifications_salt, &context(NOTIFICATIONS_DOMAIN, Some(name)), &body.notifications_json())
                != notifications
            {
                return Err(format!("the notifications of section {name} are not those of the header"));
            }
        }
        match self.given.iter().find(|(name, given)| !given.opens(header, name)) {
            Some((name, _)) => Err(format!("the content given of section {name} is not the one of the header")),
            None => Ok(()),
        }
    }
}

impl Given {
    /// Whether it is what the header's commitment to this section's content stands for.
    #[must_use]
    pub fn opens(&self, header: &Header, section: &str) -> bool {
        header.sections.get(section).is_some_and(|sealed| {
            let context = Context {
                domain: CONTENT_DOMAIN,
                network: Some(&header.network),
                record: Some(header.record.as_str()),
                section: Some(section),
                seq: Some(sealed.seq),
            };
            commit(&self.salt, &context, &self.content) == sealed.content
        })
    }
}

/// The three commitments to what an event did to a section: content, changes, notifications.
#[must_use]
pub fn seal_section(
    network: &Digest,
    record: &RecordId,
    name: &str,
    seq: u64,
    content: &[u8],
    body: &SectionBody,
) -> SealedSection {
    let context = |domain| Context {
        domain,
        network: Some(network),
        record: Some(record.as_str()),
        section: Some(name),
        seq: Some(seq),
    };
    SealedSection {
        seq,
        content: commit_canonical(&body.content_salt, &context(CONTENT_DOMAIN), content),
        written: Some((
            commit(&body.changes_salt, &context(CHANGES_DOMAIN), &body.changes_json()),
            commit(&body.notifications_salt, &context(NOTIFICATIONS_DOMAIN), &body.notifications_json()),
        )),
    }
}

fn read_openings(json: &Json) -> Result<EventOpenings, ShapeError> {
    let mut fields = Fields::of(json, "event openings")?;
    let reads = match fields.need("reads")? {
        Json::Null => None,
        opened => {
            let mut inner = Fields::of(opened, "event openings/reads")?;
            let salt = inner.parsed("salt", Salt::parse)?;
            let reads = inner.array("content")?.iter().map(read_read).collect::<Result<_, _>>()?;
            inner.finish()?;
            Some((salt, reads))
        }
    };
    let mut given = BTreeMap::new();
    for (name, one) in fields.optional_object("given")?.into_iter().flat_map(crate::json::Object::iter) {
        let mut inner = Fields::of(one, &format!("event openings/given/{name}"))?;
        let opened = Given { salt: inner.parsed("salt", Salt::parse)?, content: inner.need("content")?.clone() };
        inner.finish()?;
        given.insert(name.to_owned(), opened);
    }
    let mut sections = BTreeMap::new();
    for (name, section) in fields.object("sections")?.iter() {
        sections.insert(name.to_owned(), read_body(name, section)?);
    }
    fields.finish()?;
    Ok(EventOpenings { reads, sections, given })
}

fn read_read(json: &Json) -> Result<Read, ShapeError> {
    let mut fields = Fields::of(json, "reads")?;
    let read = Read {
        record: fields.parsed("record", RecordId::parse)?,
        seq: fields.count("seq")?,
        head: fields.nullable_parsed("head", Digest::parse)?,
    };
    fields.finish()?;
    Ok(read)
}

fn read_body(name: &str, json: &Json) -> Result<SectionBody, ShapeError> {
    let mut fields = Fields::of(json, &format!("event openings of section {name}"))?;
    let mut content = fields.nested("content")?;
    let content_salt = content.parsed("salt", Salt::parse)?;
    content.finish()?;
    let mut changes = fields.nested("changes")?;
    let changes_salt = changes.parsed("salt", Salt::parse)?;
    let mut operations = Vec::new();
    for operation in changes.array("content")? {
        let bad = |error| ShapeError::new(format!("{name}/changes"), "an RFC 6902 operation", format!("{error}"));
        operations.push(Operation::from_json(operation).map_err(bad)?);
    }
    changes.finish()?;
    let mut notifications = fields.nested("notifications")?;
    let notifications_salt = notifications.parsed("salt", Salt::parse)?;
    let mut list = Vec::new();
    for one in notifications.array("content")? {
        let mut inner = Fields::of(one, "notification")?;
        let (index, place) = (inner.count("index")?, list.len());
        if index != place as u64 || place >= MAX_NOTIFICATIONS {
            let wanted = format!("{place}, and {MAX_NOTIFICATIONS} notifications at most");
            return Err(ShapeError::new(format!("{name}/notifications/index"), wanted, index.to_string()));
        }
        list.push(Notification { kind: inner.text("type")?.to_owned(), data: inner.need("data")?.clone() });
        inner.finish()?;
    }
    notifications.finish()?;
    fields.finish()?;
    Ok(SectionBody { content_salt, changes_salt, changes: operations, notifications_salt, notifications: list })
}
