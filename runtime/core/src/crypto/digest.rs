//! Thirty-two bytes of two kinds: what a hash says, and what keeps a commitment from being guessed.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::Digest as _;

use super::tally;

/// Reads exactly `N` bytes of lower-case hexadecimal.
///
/// Upper case is refused: what is signed or compared as text has one spelling.
pub(crate) fn parse_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], HexError> {
    let bad = text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if let Some(at) = bad {
        return Err(HexError::Character { what, at });
    }
    let wrong_length = HexError::Length { what, expected: N * 2, found: text.len() };
    if text.len() != N * 2 {
        return Err(wrong_length);
    }
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong_length.clone())?;
    bytes.try_into().map_err(|_| wrong_length)
}

/// A text that is not hexadecimal as it should be. It never quotes the text, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// A character that lower-case hexadecimal does not have.
    #[error("{what} is lower-case hexadecimal, but byte {at} of the text is something else")]
    Character {
        /// What was to be read, with its article.
        what: &'static str,
        /// Where the character is, counted from 0.
        at: usize,
    },
    /// Too few or too many digits.
    #[error("{what} has {expected} hexadecimal digits, not {found}")]
    Length {
        /// What was to be read, with its article.
        what: &'static str,
        /// How many digits it has.
        expected: usize,
        /// How many were found.
        found: usize,
    },
    /// Too few or too many bytes.
    #[error("{what} has {expected} bytes, not {found}")]
    Bytes {
        /// What was to be read, with its article.
        what: &'static str,
        /// How many bytes it has.
        expected: usize,
        /// How many were found.
        found: usize,
    },
}

/// Takes exactly `N` bytes.
pub(crate) fn exactly<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], HexError> {
    bytes.try_into().map_err(|_| HexError::Bytes { what, expected: N, found: bytes.len() })
}

/// A SHA-256 digest (FIPS 180-4), also the value of a commitment and the name of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        tally::hash(bytes.len());
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// Hashes parts as if they were one, without joining them first.
    pub(crate) fn of_parts(parts: &[&[u8]]) -> Digest {
        tally::hash(parts.iter().map(|part| part.len()).sum());
        let mut hash = sha2::Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Digest(hash.finalize().into())
    }

    /// Takes a digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Digest, HexError> {
        parse_hex("a digest", text).map(Digest)
    }

    /// The bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = HexError;
    fn from_str(text: &str) -> Result<Digest, HexError> {
        Digest::parse(text)
    }
}

/// The fresh random key of one commitment; whoever has it and the content can open the commitment.
///
/// Exactly 32 bytes. HMAC pads and hashes keys of other lengths, so that two keys could open to one
/// commitment; a fixed length closes that door.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt([u8; 32]);

impl Salt {
    /// Takes exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Salt, HexError> {
        exactly("a salt", bytes).map(Salt)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Salt, HexError> {
        parse_hex("a salt", text).map(Salt)
    }

    /// The bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Salt {
    fn from(bytes: [u8; 32]) -> Salt {
        Salt(bytes)
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

/// Hides the bytes: what is printed for debugging ends in logs, and a salt opens what others may not read.
impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_those_of_fips_180() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        assert_eq!(Digest::of_parts(&[b"a", b"", b"bc"]).to_string(), ABC);
        assert_eq!(Digest::parse(ABC), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let too_long = format!("{ABC}00");
        let umlaut = format!("{}ä", &ABC[..62]);
        for text in [
            "",
            "ba78",
            &ABC.to_uppercase(),
            &too_long,
            &umlaut,
            &format!("0x{}", &ABC[2..]),
            &format!(" {}", &ABC[1..]),
        ] {
            assert!(Digest::parse(text).is_err(), "{text:?}");
            assert!(Salt::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Digest::parse("ba78").unwrap_err().to_string(), "a digest has 64 hexadecimal digits, not 4");
    }

    #[test]
    fn a_salt_has_exactly_32_bytes_and_does_not_show_in_debug_output() {
        for length in [0, 31, 33, 64] {
            assert!(Salt::from_bytes(&vec![7; length]).is_err());
        }
        let salt = Salt::from_bytes(&[7; 32]).unwrap();
        assert_eq!(Salt::parse(&salt.to_string()), Ok(salt));
        assert_eq!(format!("{salt:?}"), "Salt(..)");
    }
}
