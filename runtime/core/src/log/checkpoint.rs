//! C2SP checkpoints: the signed head of a log (<https://c2sp.org/tlog-checkpoint>, v1.0.0).
//!
//! Three lines are signed: the log's origin, its size, its root. There are no extension lines, as the
//! standard advises: what is said about a log beside its head is a leaf of it.

use std::fmt;

use data_encoding::BASE64;

use super::note::{self, NoteError, NoteSignature};
use super::tree::empty_root;
use crate::crypto::{Digest, PublicKey, Signer, SignerError};

/// The head of a log: how many leaves it has, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name, also the name of its key in the note.
    pub origin: String,
    /// How many leaves the log has.
    pub size: u64,
    /// Root over them, as RFC 9162 defines it.
    pub root: Digest,
}

/// Why a checkpoint was not made or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It is not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is not a checkpoint.
    #[error("the note is not a checkpoint: {rule}")]
    Text {
        /// What it should be.
        rule: &'static str,
    },
    /// The head of another log.
    #[error("the checkpoint is of the log {found:?}, not of {expected:?}")]
    OtherLog {
        /// The origin that was to be checked.
        expected: String,
        /// The origin it has.
        found: String,
    },
    /// None of its signatures is by the key of the log.
    #[error("the checkpoint of {origin:?} is not signed by the key {key}")]
    NotSigned {
        /// The log.
        origin: String,
        /// The key that should have signed, in hexadecimal.
        key: String,
    },
    /// A signature claims to be by the key of the log and is not: the checkpoint was changed.
    #[error("the checkpoint of {origin:?} has a false signature: it was changed after the log signed it")]
    FalseSignature {
        /// The log.
        origin: String,
    },
    /// The key's holder gave no signature.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

impl Checkpoint {
    /// Signs the checkpoint as a note, under the origin as key name.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, CheckpointError> {
        if !note::is_key_name(&self.origin) {
            return Err(NoteError::KeyName { name: self.origin.clone() }.into());
        }
        Ok(note::sign(&self.to_string(), &self.origin, signer)?)
    }

    /// Reads a note without believing it: no signature is checked.
    pub fn parse(note: &str) -> Result<(Checkpoint, Vec<NoteSignature>), CheckpointError> {
        let (text, signatures) = note::parse(note)?;
        Ok((Checkpoint::from_text(text)?, signatures))
    }

    /// Reads a note and believes it: it is of this log, and the log's key signed it.
    ///
    /// Lines by other keys, those of witnesses for example, are passed over, whatever their algorithm.
    pub fn verify(note: &str, origin: &str, key: &PublicKey) -> Result<Checkpoint, CheckpointError> {
        let (text, signatures) = note::parse(note)?;
        let checkpoint = Checkpoint::from_text(text)?;
        if checkpoint.origin != origin {
            let (expected, found) = (origin.to_owned(), checkpoint.origin);
            return Err(CheckpointError::OtherLog { expected, found });
        }
        let mut ours = signatures.iter().filter(|line| line.claims(origin, key)).peekable();
        if ours.peek().is_none() {
            return Err(CheckpointError::NotSigned { origin: origin.to_owned(), key: key.to_string() });
        }
        if !ours.all(|line| line.is_valid(text, key)) {
            return Err(CheckpointError::FalseSignature { origin: origin.to_owned() });
        }
        Ok(checkpoint)
    }

    /// Reads the signed text: three lines, each ended.
    fn from_text(text: &str) -> Result<Checkpoint, CheckpointError> {
        let error = |rule| CheckpointError::Text { rule };
        let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
        let [origin, size, root] = lines.as_slice() else {
            return Err(error("it must have three lines, origin, size and root, and no others"));
        };
        if !note::is_key_name(origin) {
            return Err(error("its origin must not be empty nor have spaces, control characters or '+'"));
        }
        let size = decimal(size).ok_or_else(|| error("its size must be a decimal number without leading zeros"))?;
        let root = base64_digest(root).ok_or_else(|| error("its root must be 32 bytes of canonical base64"))?;
        if size == 0 && root != empty_root() {
            return Err(error("a log without leaves has the root of the empty tree"));
        }
        Ok(Checkpoint { origin: (*origin).to_owned(), size, root })
    }
}

fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

fn base64_digest(text: &str) -> Option<Digest> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }
}
