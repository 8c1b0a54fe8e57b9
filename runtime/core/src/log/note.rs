//! C2SP signed notes: a text, an empty line, and who signed it (<https://c2sp.org/signed-note>).
//!
//! It owns the outer form only; what the text says is the checkpoint's matter. The strict reading is
//! deliberate: a note has one spelling, so that two parties cannot hold different bytes for one statement.

use data_encoding::BASE64;
use sha2::Digest as _;

use crate::crypto::{PublicKey, Signature, Signer, SignerError};

/// The longest note that is read, far above what a checkpoint with many witnesses needs.
pub const NOTE_MAX_BYTES: usize = 64 * 1024;

/// The signature type of plain Ed25519 in a key id.
const TYPE_ED25519: u8 = 0x01;

/// How a signature line begins: an em dash and a space.
const MARK: &str = "\u{2014} ";

const KEY_ID_BYTES: usize = 4;

/// One signature line: whose key, and the bytes that its algorithm made.
///
/// The algorithm is part of the key id's hash, so other ones (ML-DSA, timestamped cosignatures) need no new
/// form; who does not know a key passes over its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key; for a log's own key it is the origin.
    pub key_name: String,
    /// First four bytes of the hash of name, type and key: a hint, not a proof.
    pub key_id: [u8; KEY_ID_BYTES],
    /// What follows the key id; 64 bytes for Ed25519.
    pub signature: Vec<u8>,
}

/// Why a text is not a signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than any note we read.
    #[error("the note is longer than {NOTE_MAX_BYTES} bytes")]
    TooLong,
    /// A control character other than the line feed, a carriage return for example.
    #[error("the note has a control character at byte {at}; lines end in a plain line feed")]
    ControlCharacter {
        /// Where it is, counted from 0.
        at: usize,
    },
    /// The last line is not ended, so the note may have been cut.
    #[error("the note does not end in a line feed: it may have been cut")]
    Unended,
    /// There is no empty line with signatures after it.
    #[error("the note has no signatures: they come after an empty line")]
    Unsigned,
    /// A line after the empty one that is not a signature.
    #[error("signature line {line} of the note is malformed: {rule}")]
    SignatureLine {
        /// Which one, counted from 1.
        line: usize,
        /// What it should be.
        rule: &'static str,
    },
    /// A key name that no note can carry.
    #[error("{name:?} cannot name a key: it must not be empty nor have spaces, control characters or '+'")]
    KeyName {
        /// The name.
        name: String,
    },
}

/// Key id as C2SP defines it: the first four bytes of `SHA-256(name || "\n" || type || key)`.
pub fn key_id(key_name: &str, key: &PublicKey) -> [u8; KEY_ID_BYTES] {
    let hash = sha2::Sha256::new()
        .chain_update(key_name)
        .chain_update([b'\n', TYPE_ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash);
    [a, b, c, d]
}

/// Whether a name can stand in a signature line.
pub(crate) fn is_key_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    !name.is_empty() && !name.contains(forbidden)
}

/// Signs a text that ends in a line feed, under a name that `is_key_name` accepts.
pub(crate) fn sign(text: &str, key_name: &str, signer: &dyn Signer) -> Result<String, SignerError> {
    let signature = signer.sign(text.as_bytes())?;
    let mut blob = key_id(key_name, &signer.public_key()).to_vec();
    blob.extend_from_slice(signature.as_bytes());
    Ok(format!("{text}\n{MARK}{key_name} {}\n", BASE64.encode(&blob)))
}

/// Parts a note into the text that is signed, its final line feed included, and the signatures.
pub(crate) fn parse(note: &str) -> Result<(&str, Vec<NoteSignature>), NoteError> {
    if note.len() > NOTE_MAX_BYTES {
        return Err(NoteError::TooLong);
    }
    if let Some(at) = note.find(|c: char| c.is_control() && c != '\n') {
        return Err(NoteError::ControlCharacter { at });
    }
    let body = note.strip_suffix('\n').ok_or(NoteError::Unended)?;
    let gap = body.rfind("\n\n").ok_or(NoteError::Unsigned)?;
    let (text, rest) = note.split_at(gap + 1);
    let lines = rest.trim_start_matches('\n').lines().zip(1..);
    let signatures = lines
        .map(|(text, line)| signature_line(text).map_err(|rule| NoteError::SignatureLine { line, rule }))
        .collect::<Result<_, _>>()?;
    Ok((text, signatures))
}

fn signature_line(line: &str) -> Result<NoteSignature, &'static str> {
    let fields = line.strip_prefix(MARK).ok_or("it must begin with an em dash and a space")?;
    let (name, blob) = fields.split_once(' ').ok_or("it must have a key name, a space and a signature")?;
    if !is_key_name(name) {
        return Err("its key name must not be empty nor have spaces, control characters or '+'");
    }
    let blob = BASE64.decode(blob.as_bytes()).map_err(|_| "its signature must be canonical base64 with padding")?;
    match blob.split_first_chunk() {
        Some((key_id, signature)) if !signature.is_empty() => {
            Ok(NoteSignature { key_name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
        }
        _ => Err("its signature must be a key id of four bytes and something after it"),
    }
}

impl NoteSignature {
    /// Whether the line claims to be by this key under this name.
    pub(crate) fn claims(&self, key_name: &str, key: &PublicKey) -> bool {
        self.key_name == key_name && self.key_id == key_id(key_name, key)
    }

    /// Whether it is a signature of the text by this key.
    pub(crate) fn is_valid(&self, text: &str, key: &PublicKey) -> bool {
        Signature::from_bytes(&self.signature).is_ok_and(|signature| key.verify(text.as_bytes(), &signature))
    }
}
