//! The names of things, each its own type: a node cannot be passed where a section is meant.
//!
//! It owns the grammar of every name that appears in evidence or becomes the name of a table or column.
//! It does not know which names exist: the directory does. All names are short ASCII, so that they compare
//! the same bytewise in every database and survive JSON, SQL, file names and shells unescaped.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

mod version;

pub use version::Version;

/// The longest of the simple names, in bytes; PostgreSQL's identifiers end at 63, derived ones need room.
pub const NAME_MAX_BYTES: usize = 48;

/// The longest name that a record has after its node, in bytes.
pub const RECORD_NAME_MAX_BYTES: usize = 96;

/// A text that is not the name it should be, with the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {what}: {rule}")]
pub struct NameError {
    /// What was expected, with its article: "a node name".
    pub what: &'static str,
    /// What was found, cut to a length that a message can carry.
    pub found: String,
    /// The rule that was broken, as a help for whoever chose the name.
    pub rule: &'static str,
}

impl NameError {
    fn new(what: &'static str, found: &str, rule: &'static str) -> NameError {
        const SHOWN_CHARS: usize = 100;
        let mut shown: String = found.chars().take(SHOWN_CHARS).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        NameError { what, found: shown, rule }
    }
}

const DASHED: &str = "it must be a lower-case letter followed by at most 47 lower-case letters, digits or '-'";
const UNDERSCORED: &str = "it must be a lower-case letter followed by at most 47 lower-case letters, digits or '_'";
const RESERVED_PREFIX: &str =
    "names beginning with lockstep_, sqlite_ or pg_ are reserved for managed and system tables";
const RESERVED_COLUMN: &str = "it is reserved: the managed tables or the databases have a column of that name";
const PARTIES_GIVEN: &str = "every record has the section parties already, so a spec cannot declare it";

fn is_name(text: &str, separator: u8) -> bool {
    let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == separator;
    text.len() <= NAME_MAX_BYTES
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.bytes().skip(1).all(tail)
}

fn dashed(text: &str) -> Result<(), &'static str> {
    if is_name(text, b'-') { Ok(()) } else { Err(DASHED) }
}

fn underscored(text: &str) -> Result<(), &'static str> {
    if is_name(text, b'_') { Ok(()) } else { Err(UNDERSCORED) }
}

/// A name that becomes a table: also free of the prefixes that belong to us and to the databases.
fn table(text: &str) -> Result<(), &'static str> {
    underscored(text)?;
    let reserved = ["lockstep_", "sqlite_", "pg_"].iter().any(|prefix| text.starts_with(prefix));
    if reserved { Err(RESERVED_PREFIX) } else { Ok(()) }
}

/// A name that becomes a column: also none of the columns that a table has by itself.
fn column(text: &str) -> Result<(), &'static str> {
    /// `record_id` is ours; the others are system columns of PostgreSQL and SQLite.
    const TAKEN: [&str; 9] = ["record_id", "cmax", "cmin", "ctid", "oid", "rowid", "tableoid", "xmax", "xmin"];
    table(text)?;
    if TAKEN.contains(&text) { Err(RESERVED_COLUMN) } else { Ok(()) }
}

/// One simple name: a private text, made only by `parse`.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            #[doc = concat!("Reads ", $what, ", refusing anything outside its grammar.")]
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $rule(text).map_err(|rule| NameError::new($what, text, rule))?;
                Ok(Self(text.into()))
            }
        }

        text_like!($type);
    };
}

/// What every type with a text inside offers.
macro_rules! text_like {
    ($type:ident) => {
        impl $type {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

name!(
    /// A node: one runtime with one database and one key, run by a participant.
    NodeName, "a node name", dashed
);
name!(
    /// A participant: an organisation of the network.
    ParticipantName, "a participant name", dashed
);
name!(
    /// An actor within its participant: a person or a system that signs intents.
    ActorName, "an actor name", dashed
);
name!(
    /// A spec, which is also the name of its table.
    SpecName, "a spec name", table
);
name!(
    /// A contract.
    ContractName, "a contract name", underscored
);
name!(
    /// A section of a record, which is also the name of its column. `parties` is one that every record has.
    SectionName, "a section name", column
);
name!(
    /// A role that a spec gives rights to.
    RoleName, "a role name", underscored
);
name!(
    /// A method of a contract.
    MethodName, "a method name", underscored
);

/// The section that says who holds which role; every record has it, no spec declares it.
const PARTIES: &str = "parties";

impl NodeName {
    /// Stands in where the audit cannot read which node it was; such a name is never compared.
    pub(crate) fn unknown() -> NodeName {
        NodeName("unknown".into())
    }
}

impl SectionName {
    /// The section that every record has.
    pub fn parties() -> SectionName {
        SectionName(PARTIES.into())
    }

    /// Whether this is the section that every record has.
    pub fn is_parties(&self) -> bool {
        self.as_str() == PARTIES
    }

    /// Reads a section name that a spec declares: as `parse`, and `parties` is refused, being given.
    pub fn parse_declared(text: &str) -> Result<SectionName, NameError> {
        let name = SectionName::parse(text)?;
        if name.is_parties() {
            return Err(NameError::new("a section name that a spec may declare", text, PARTIES_GIVEN));
        }
        Ok(name)
    }
}

/// A text of two names; equality and order are those of the text, as `Borrow<str>` demands.
macro_rules! pair {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        text_like!($type);
    };
}

pair!(
    /// An actor of the network: `NAME@PARTICIPANT`.
    ActorId
);
pair!(
    /// A record of the network: `NODE:NAME`, where the node is the one that created it.
    RecordId
);

impl ActorId {
    /// Stands in where the audit cannot read who it was; such a name is never compared.
    pub(crate) fn nobody() -> ActorId {
        ActorId("nobody@nobody".into())
    }

    const WHAT: &str = "an actor id";

    /// Reads `NAME@PARTICIPANT`.
    pub fn parse(text: &str) -> Result<ActorId, NameError> {
        let error = |rule| NameError::new(ActorId::WHAT, text, rule);
        let (name, participant) =
            text.split_once('@').ok_or_else(|| error("it must be an actor and a participant, as alice@acme"))?;
        dashed(name).map_err(|_| error("before '@' it needs an actor name, [a-z][a-z0-9-]{0,47}"))?;
        dashed(participant).map_err(|_| error("after '@' it needs a participant name, [a-z][a-z0-9-]{0,47}"))?;
        Ok(ActorId(text.into()))
    }

    /// The id of an actor of a participant.
    pub fn of(name: &ActorName, participant: &ParticipantName) -> ActorId {
        ActorId(format!("{name}@{participant}").into())
    }

    /// The actor within its participant.
    pub fn name(&self) -> ActorName {
        ActorName(self.halves().0.into())
    }

    /// The participant that answers for the actor.
    pub fn participant(&self) -> ParticipantName {
        ParticipantName(self.halves().1.into())
    }

    /// Invariant: both halves were checked by `parse`, or were names already.
    fn halves(&self) -> (&str, &str) {
        self.0.split_once('@').unwrap_or_default()
    }
}

impl RecordId {
    const WHAT: &str = "a record id";

    /// Reads `NODE:NAME`, where NAME is `[A-Za-z0-9][A-Za-z0-9._-]{0,95}`.
    pub fn parse(text: &str) -> Result<RecordId, NameError> {
        let error = |rule| NameError::new(RecordId::WHAT, text, rule);
        let (node, name) =
            text.split_once(':').ok_or_else(|| error("it must be a node and a name, as acme:order-17"))?;
        dashed(node).map_err(|_| error("before ':' it needs a node name, [a-z][a-z0-9-]{0,47}"))?;
        if !is_record_name(name) {
            return Err(error("after ':' it needs a letter or digit and at most 95 letters, digits, '.', '_' or '-'"));
        }
        Ok(RecordId(text.into()))
    }

    /// The node that created the record.
    pub fn node(&self) -> NodeName {
        NodeName(self.halves().0.into())
    }

    /// The name within the node.
    pub fn name(&self) -> &str {
        self.halves().1
    }

    /// Invariant: `parse`, the only constructor, found the colon.
    fn halves(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or_default()
    }
}

fn is_record_name(text: &str) -> bool {
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= RECORD_NAME_MAX_BYTES
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().skip(1).all(tail)
}

#[cfg(test)]
mod tests;
