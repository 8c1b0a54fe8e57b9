//! The seam to whoever holds a key, and the public half of it.
//!
//! It owns what counts as a key and as a valid signature: Ed25519 (RFC 8032), strict. It deliberately does
//! not own where secrets live: a file, a KMS and an HSM all stand behind `Signer`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::digest::{HexError, exactly, parse_hex};
use super::tally;

/// What every header and leaf names as its algorithms, so that there can be others one day.
pub const ALGORITHMS: &str = "sha256+ed25519";

/// Signs for one key.
///
/// An implementation MUST return signatures that `public_key` verifies, and MUST keep returning the same
/// public key for as long as it lives: a changed key is another signer. It may be called from many threads
/// at once and may block, so it is never called with a database transaction open that others wait for. It
/// need not be deterministic. It does not retry: the caller decides, and a failure leaves nothing half done.
pub trait Signer: Send + Sync {
    /// The key that verifies what this signs.
    fn public_key(&self) -> PublicKey;

    /// Signs the bytes as they are; domain separation is the caller's, by DSSE or signed note.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError>;
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The key could not be reached; trying again may help.
    #[error("sign: the key is not reachable: {reason}")]
    Unavailable {
        /// What the key's holder said.
        reason: String,
    },
    /// The holder of the key refuses; trying again will not help.
    #[error("sign: the holder of the key refuses: {reason}")]
    Refused {
        /// What the key's holder said.
        reason: String,
    },
}

/// A secret key in this process's memory; its bytes are wiped when it is dropped, and never printed.
#[derive(Clone)]
pub struct LocalSigner {
    key: SigningKey,
}

impl LocalSigner {
    /// Takes the 32-byte seed of RFC 8032, section 5.1.5; any 32 random bytes are one.
    pub fn from_secret(secret: [u8; 32]) -> LocalSigner {
        LocalSigner { key: SigningKey::from_bytes(&secret) }
    }
}

impl Signer for LocalSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignerError> {
        Ok(Signature(self.key.sign(message).to_bytes()))
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSigner({})", self.public_key())
    }
}

/// Bytes that are not a key that may be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes, or not hexadecimal.
    #[error(transparent)]
    Form(#[from] HexError),
    /// Not the encoding of a point of the curve.
    #[error("the public key is not a point of the curve: it was damaged or belongs to another algorithm")]
    NotAPoint,
    /// A second spelling of a point, so that one key could be registered as two.
    #[error("the public key is not canonically encoded (RFC 8032, section 5.1.3)")]
    NotCanonical,
    /// A point of small order: signatures can be made that verify for many messages.
    #[error("the public key is weak (a point of small order), so anyone could sign for it")]
    Weak,
}

/// An Ed25519 public key that is canonically encoded and not weak.
#[derive(Clone, Copy)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Takes exactly 32 bytes, refusing weak keys and second spellings.
    pub fn from_bytes(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        PublicKey::checked(exactly("a public key", bytes)?)
    }

    /// Reads 64 lower-case hexadecimal digits, refusing weak keys and second spellings.
    pub fn parse(text: &str) -> Result<PublicKey, KeyError> {
        PublicKey::checked(parse_hex("a public key", text)?)
    }

    /// `ed25519_dalek` itself accepts coordinates of 2^255 - 19 and above (it is what the first
    /// implementations did), so the canonical form is checked here.
    fn checked(bytes: [u8; 32]) -> Result<PublicKey, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAPoint)?;
        if !is_reduced(&bytes) {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(PublicKey(key))
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether the signature is by this key, strictly: S reduced, R canonical and neither point of small
    /// order, so that no one but the key's holder can make a second signature of the same message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        tally::signature(message.len());
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

/// Whether the y coordinate is below 2^255 - 19; the top bit is the sign of x.
///
/// The other second spelling, x = 0 with its sign set, belongs to points of small order only.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &PublicKey) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &PublicKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &PublicKey) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        PublicKey::parse(text)
    }
}

/// An Ed25519 signature as bytes; whether it is valid is for `PublicKey::verify` to say.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes exactly 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Signature, HexError> {
        exactly("a signature", bytes).map(Signature)
    }

    /// Reads 128 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Signature, HexError> {
        parse_hex("a signature", text).map(Signature)
    }

    /// The bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
