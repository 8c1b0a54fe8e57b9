//! What nodes say to each other, one message a frame: canonical JSON with a member `type`.
//!
//! Evidence travels as the JSON that it is stored as, so its bytes are the canonical form on both sides. Every
//! message is read strictly: an unknown member, type or version is an error and ends the connection.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use crate::crypto::Digest;
use crate::json::{Fields, Json, Limits, Object, ShapeError, json};
use crate::log::Checkpoint;
use crate::names::{NodeName, RecordId};
use crate::received::Place;

use super::growth::Growth;
use super::share::{Share, SharedEvent};

/// The version of these messages.
pub const VERSION: u64 = 1;

/// The first message on a connection, from both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The network; nodes of another one have nothing to say.
    pub network: Digest,
    /// Who speaks; its key is the connection's.
    pub node: NodeName,
    /// How far its directory goes.
    pub directory: u64,
    /// For each log of another node, from where on it wants it.
    pub wants: BTreeMap<String, Wanted>,
}

/// From where on a node wants another's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The first position that it has not.
    pub next: u64,
    /// Size of the last signed head that it has: proofs of growth begin there; 0 for none.
    pub size: u64,
}

/// Outcomes of one log, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The log.
    pub log: String,
    /// The position after the last leaf that this covers; what the receiver may not see is left out.
    pub next: u64,
    /// Whether more is on its way at once.
    pub more: bool,
    /// The shares, in the order of the log.
    pub shares: Vec<Share>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Who speaks and what it has.
    Hello(Hello),
    /// Who speaks was invited and is in no directory yet.
    Invited {
        /// The invitation's envelope.
        invitation: Vec<u8>,
        /// Its secret.
        secret: Digest,
    },
    /// Events of the directory, in order, with the packages that they propose.
    Directory {
        /// The events' envelopes, as they are stored.
        events: Vec<Vec<u8>>,
        /// The packages by digest.
        packages: Vec<Vec<u8>>,
    },
    /// Asks for the directory after a seq.
    WantDirectory {
        /// The last seq that is here.
        after: u64,
    },
    /// Outcomes of the sender's log.
    Feed(Feed),
    /// A feed up to here is committed.
    Ack {
        /// The log.
        log: String,
        /// The position after the last leaf covered.
        next: u64,
    },
    /// How far the sender has followed records that the receiver follows, signed by it.
    Heads {
        /// The envelope.
        envelope: Vec<u8>,
    },
    /// What a node says against an outcome of a sequencer, signed by it.
    Objection {
        /// The statement's envelope.
        envelope: Vec<u8>,
        /// The proof, where it is one of a fork; other evidence stays where it is.
        evidence: Option<Vec<u8>>,
    },
    /// Asks for events of a record.
    Fetch {
        /// The record.
        record: RecordId,
        /// The first seq.
        from: u64,
        /// The last seq.
        to: u64,
    },
    /// What a fetch asked for, as far as it is there.
    Fetched {
        /// The record.
        record: RecordId,
        /// The shares, in the order of its seqs.
        shares: Vec<Share>,
    },
    /// An intent for the receiver to sequence.
    Forward {
        /// The sender's running number; the answer names it.
        number: u64,
        /// The submission: an envelope with openings.
        submission: Vec<u8>,
        /// What the sender signed about it, its [`super::Forward`].
        wrapper: Vec<u8>,
    },
    /// Whether a forwarded intent was taken; its outcome comes with the feed.
    Forwarded {
        /// The number of the forward.
        number: u64,
        /// Code and message, where it was not taken and counts for nothing.
        refused: Option<(String, String)>,
        /// The signed acknowledgement, a [`super::Taken`], where it was.
        taken: Option<Vec<u8>>,
    },
    /// How a forwarded intent ended, where its outcome does not come with the feed.
    Ended {
        /// The intent.
        intent: Digest,
        /// A [`super::End`] as it is stored.
        end: Vec<u8>,
    },
    /// An event of the directory for the receiver to order, with the package that it proposes.
    Propose {
        /// The sender's running number; the answer names it.
        number: u64,
        /// The event's envelope.
        event: Vec<u8>,
        /// The package.
        package: Option<Vec<u8>>,
    },
    /// What became of a proposal.
    Proposed {
        /// The number of the proposal.
        number: u64,
        /// Code and message, where it was refused.
        refused: Option<(String, String)>,
    },
    /// Asks for the receiver's signature under an event of the directory.
    Vote {
        /// The event's envelope.
        event: Vec<u8>,
    },
    /// The signature, or why not.
    Voted {
        /// The event's envelope with the signature added.
        event: Option<Vec<u8>>,
        /// The head that it would make.
        head: Digest,
    },
    /// Why the sender ends the connection.
    Bye {
        /// A code.
        code: String,
        /// What happened, for people.
        message: String,
    },
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not acceptable JSON.
    #[error("it is not acceptable JSON: {0}")]
    Json(String),
    /// It has not the shape of a message.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A type that this version does not know.
    #[error("message type {0} is not known to this version")]
    Unknown(String),
}

impl Message {
    /// The word for its type.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Message::Hello(_) => "hello",
            Message::Invited { .. } => "invited",
            Message::Directory { .. } => "directory",
            Message::WantDirectory { .. } => "directory.want",
            Message::Feed(_) => "feed",
            Message::Ack { .. } => "ack",
            Message::Heads { .. } => "heads",
            Message::Objection { .. } => "objection",
            Message::Fetch { .. } => "fetch",
            Message::Fetched { .. } => "fetched",
            Message::Forward { .. } => "forward",
            Message::Forwarded { .. } => "forwarded",
            Message::Ended { .. } => "ended",
            Message::Propose { .. } => "propose",
            Message::Proposed { .. } => "proposed",
            Message::Vote { .. } => "vote",
            Message::Voted { .. } => "voted",
            Message::Bye { .. } => "bye",
        }
    }

    /// The bytes of a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = match self {
            Message::Hello(hello) => {
                let wants: Object = hello
                    .wants
                    .iter()
                    .map(|(log, wanted)| (log.clone(), json!({"next": wanted.next, "size": wanted.size})))
                    .collect();
                json!({"version": VERSION, "network": hello.network.to_string(), "node": hello.node.as_str(), "directory": hello.directory, "wants": wants})
            }
            Message::Invited { invitation, secret } => {
                json!({"invitation": embedded(invitation), "secret": secret.to_string()})
            }
            Message::Directory { events, packages } => {
                json!({"events": embedded_all(events), "packages": encoded_all(packages)})
            }
            Message::WantDirectory { after } => json!({"after": *after}),
            Message::Feed(feed) => {
                json!({"log": feed.log.as_str(), "next": feed.next, "more": feed.more, "shares": shares_to_json(&feed.shares)})
            }
            Message::Ack { log, next } => json!({"log": log.as_str(), "next": *next}),
            Message::Heads { envelope } => json!({"envelope": embedded(envelope)}),
            Message::Objection { envelope, evidence } => {
                let evidence = evidence.as_ref().map(|evidence| embedded(evidence));
                json!({"envelope": embedded(envelope), "evidence": evidence})
            }
            Message::Fetch { record, from, to } => json!({"record": record.as_str(), "from": *from, "to": *to}),
            Message::Fetched { record, shares } => {
                json!({"record": record.as_str(), "shares": shares_to_json(shares)})
            }
            Message::Forward { number, submission, wrapper } => {
                json!({"number": *number, "submission": embedded(submission), "wrapper": embedded(wrapper)})
            }
            Message::Forwarded { number, refused, taken } => {
                let taken = taken.as_ref().map(|taken| embedded(taken));
                json!({"number": *number, "refused": refused_json(refused.as_ref()), "taken": taken})
            }
            Message::Ended { intent, end } => json!({"intent": intent.to_string(), "end": embedded(end)}),
            Message::Proposed { number, refused } => {
                json!({"number": *number, "refused": refused_json(refused.as_ref())})
            }
            Message::Propose { number, event, package } => {
                let package = package.as_ref().map(|package| BASE64.encode(package));
                json!({"number": *number, "event": embedded(event), "package": package})
            }
            Message::Vote { event } => json!({"event": embedded(event)}),
            Message::Voted { event, head } => {
                json!({"event": event.as_ref().map(|event| embedded(event)), "head": head.to_string()})
            }
            Message::Bye { code, message } => json!({"code": code.as_str(), "message": message.as_str()}),
        };
        if let Json::Object(object) = &mut message {
            object.insert("type", self.kind());
        }
        message.canonical().into_bytes()
    }

    /// Reads the bytes of a frame.
    ///
    /// # Errors
    /// [`MessageError`]; then the connection is of no more use.
    pub fn decode(frame: &[u8]) -> Result<Self, MessageError> {
        let limits = Limits { bytes: frame.len().max(1), depth: Limits::default().depth + 8 };
        let json = Json::parse(frame, &limits).map_err(|error| MessageError::Json(error.to_string()))?;
        let mut fields = Fields::of(&json, "message")?;
        let kind = fields.text("type")?.to_owned();
        let message = read(&kind, &mut fields)?;
        fields.finish()?;
        Ok(message)
    }
}

fn read(kind: &str, fields: &mut Fields<'_>) -> Result<Message, MessageError> {
    Ok(match kind {
        "hello" => Message::Hello(read_hello(fields)?),
        "invited" => {
            let invitation = bytes(fields, "invitation")?;
            Message::Invited { invitation, secret: fields.parsed("secret", Digest::parse)? }
        }
        "directory" => {
            let events = fields.array("events")?.iter().map(|event| event.canonical().into_bytes()).collect();
            let packages = fields.array("packages")?.iter().map(decoded).collect::<Result<_, _>>()?;
            Message::Directory { events, packages }
        }
        "directory.want" => Message::WantDirectory { after: fields.count("after")? },
        "feed" => Message::Feed(Feed {
            log: fields.text("log")?.to_owned(),
            next: fields.count("next")?,
            more: fields.boolean("more")?,
            shares: read_shares(fields)?,
        }),
        "ack" => Message::Ack { log: fields.text("log")?.to_owned(), next: fields.count("next")? },
        "heads" => Message::Heads { envelope: bytes(fields, "envelope")? },
        "objection" => Message::Objection {
            envelope: bytes(fields, "envelope")?,
            evidence: match fields.need("evidence")? {
                Json::Null => None,
                evidence => Some(evidence.canonical().into_bytes()),
            },
        },
        "fetch" => Message::Fetch {
            record: fields.parsed("record", RecordId::parse)?,
            from: fields.count("from")?,
            to: fields.count("to")?,
        },
        "fetched" => {
            Message::Fetched { record: fields.parsed("record", RecordId::parse)?, shares: read_shares(fields)? }
        }
        "forward" => Message::Forward {
            number: fields.count("number")?,
            submission: bytes(fields, "submission")?,
            wrapper: bytes(fields, "wrapper")?,
        },
        "forwarded" => {
            let taken = fields.need("taken")?;
            let taken = (!taken.is_null()).then(|| taken.canonical().into_bytes());
            Message::Forwarded { number: fields.count("number")?, refused: read_refused(fields)?, taken }
        }
        "ended" => Message::Ended { intent: fields.parsed("intent", Digest::parse)?, end: bytes(fields, "end")? },
        "propose" => Message::Propose {
            number: fields.count("number")?,
            event: bytes(fields, "event")?,
            package: match fields.need("package")? {
                Json::Null => None,
                package => Some(decoded(package)?),
            },
        },
        "proposed" => Message::Proposed { number: fields.count("number")?, refused: read_refused(fields)? },
        "vote" => Message::Vote { event: bytes(fields, "event")? },
        "voted" => {
            let event = fields.need("event")?;
            let event = (!event.is_null()).then(|| event.canonical().into_bytes());
            Message::Voted { event, head: fields.parsed("head", Digest::parse)? }
        }
        "bye" => Message::Bye { code: fields.text("code")?.to_owned(), message: fields.text("message")?.to_owned() },
        other => return Err(MessageError::Unknown(other.to_owned())),
    })
}

fn read_hello(fields: &mut Fields<'_>) -> Result<Hello, MessageError> {
    let version = fields.count("version")?;
    if version != VERSION {
        return Err(MessageError::Unknown(format!("hello of version {version}")));
    }
    let mut wants = BTreeMap::new();
    for (log, wanted) in fields.object("wants")?.iter() {
        let mut inner = Fields::of(wanted, "message/wants")?;
        wants.insert(log.to_owned(), Wanted { next: inner.count("next")?, size: inner.count("size")? });
        inner.finish()?;
    }
    Ok(Hello {
        network: fields.parsed("network", Digest::parse)?,
        node: fields.parsed("node", NodeName::parse)?,
        directory: fields.count("directory")?,
        wants,
    })
}

fn refused_json(refused: Option<&(String, String)>) -> Option<Json> {
    refused.map(|(code, message)| json!({"code": code.as_str(), "message": message.as_str()}))
}

fn read_refused(fields: &mut Fields<'_>) -> Result<Option<(String, String)>, ShapeError> {
    if fields.is_null("refused")? {
        fields.need("refused")?;
        return Ok(None);
    }
    let mut inner = fields.nested("refused")?;
    let refused = (inner.text("code")?.to_owned(), inner.text("message")?.to_owned());
    inner.finish()?;
    Ok(Some(refused))
}

/// Stored evidence as the JSON that it is.
pub(super) fn embedded(stored: &[u8]) -> Json {
    let limits = Limits { bytes: stored.len().max(1), depth: Limits::default().depth + 4 };
    Json::parse(stored, &limits).unwrap_or(Json::Null)
}

fn embedded_all(stored: &[Vec<u8>]) -> Json {
    stored.iter().map(|stored| embedded(stored)).collect()
}

fn encoded_all(bytes: &[Vec<u8>]) -> Json {
    bytes.iter().map(|bytes| Json::from(BASE64.encode(bytes))).collect()
}

fn decoded(json: &Json) -> Result<Vec<u8>, ShapeError> {
    let text = json.as_str().and_then(|text| BASE64.decode(text.as_bytes()).ok());
    text.ok_or_else(|| ShapeError::new("message/packages", "base64", json.kind()))
}

pub(super) fn bytes(fields: &mut Fields<'_>, name: &str) -> Result<Vec<u8>, ShapeError> {
    Ok(fields.need(name)?.canonical().into_bytes())
}

/// Shares with each note once: those of one feed have the same.
pub(super) fn shares_to_json(shares: &[Share]) -> Json {
    let mut notes: Vec<&str> = Vec::new();
    let mut list = Vec::new();
    for share in shares {
        let note = share.place.note.as_str();
        let at = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        list.push(share_to_json(share, at));
    }
    let notes: Json = notes.into_iter().map(Json::from).collect();
    json!({"notes": notes, "list": list})
}

fn share_to_json(share: &Share, note: usize) -> Json {
    let path: Json = share.place.path.iter().map(|hash| Json::from(hash.to_string())).collect();
    let events: Json = share
        .events
        .iter()
        .map(|event| json!({"header": embedded(&event.header), "openings": embedded(&event.openings)}))
        .collect();
    let growth = share.growth.as_ref().map(|growth| {
        let path: Json = growth.path.iter().map(|hash| Json::from(hash.to_string())).collect();
        json!({"from": growth.from, "path": path})
    });
    json!({
        "growth": growth, "log": share.place.log.as_str(), "position": share.place.position, "path": path, "note": note,
        "envelope": embedded(&share.envelope), "openings": embedded(&share.openings),
        "outcome": embedded(&share.outcome), "events": events
    })
}

pub(super) fn read_shares(fields: &mut Fields<'_>) -> Result<Vec<Share>, MessageError> {
    let mut inner = fields.nested("shares")?;
    let mut notes = Vec::new();
    for note in inner.array("notes")? {
        let text = note.as_str().ok_or_else(|| ShapeError::new("message/notes", "a signed note", note.kind()))?;
        let (head, _) = Checkpoint::parse(text)
            .map_err(|error| ShapeError::new("message/notes", "a signed note", error.to_string()))?;
        notes.push((text.to_owned(), head));
    }
    let shares = inner.array("list")?.iter().map(|share| read_share(share, &notes)).collect::<Result<_, _>>()?;
    inner.finish()?;
    Ok(shares)
}

pub(super) fn read_path(hashes: &[Json]) -> Result<Vec<Digest>, ShapeError> {
    let read = |hash: &Json| hash.as_str().and_then(|text| Digest::parse(text).ok());
    let path: Option<Vec<Digest>> = hashes.iter().map(read).collect();
    path.ok_or_else(|| ShapeError::new("message/shares/path", "hashes", "something else"))
}

fn read_share(json: &Json, notes: &[(String, Checkpoint)]) -> Result<Share, ShapeError> {
    let mut fields = Fields::of(json, "message/shares")?;
    let path = read_path(fields.array("path")?)?;
    let growth = match fields.is_null("growth")? {
        true => fields.need("growth").map(|_| None)?,
        false => {
            let mut inner = fields.nested("growth")?;
            let growth = Growth { from: inner.count("from")?, path: read_path(inner.array("path")?)? };
            inner.finish()?;
            Some(growth)
        }
    };
    let at = usize::try_from(fields.count("note")?).ok().and_then(|at| notes.get(at));
    let (note, head) =
        at.ok_or_else(|| ShapeError::new("message/shares/note", "one of the notes", "another number"))?;
    let mut events = Vec::new();
    for event in fields.array("events")? {
        let mut inner = Fields::of(event, "message/shares/events")?;
        events.push(SharedEvent { header: bytes(&mut inner, "header")?, openings: bytes(&mut inner, "openings")? });
        inner.finish()?;
    }
    let share = Share {
        place: Place {
            log: fields.text("log")?.to_owned(),
            position: fields.count("position")?,
            path,
            note: note.clone(),
            size: head.size,
            root: head.root,
        },
        envelope: bytes(&mut fields, "envelope")?,
        openings: bytes(&mut fields, "openings")?,
        outcome: bytes(&mut fields, "outcome")?,
        events,
        growth,
    };
    fields.finish()?;
    Ok(share)
}
