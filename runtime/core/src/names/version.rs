//! Versions: which of two is newer, and whether one stands in for the other.

use std::fmt;
use std::str::FromStr;

use super::NameError;

/// A version of a spec or contract: the core of Semantic Versioning 2.0.0, without pre-release or build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Breaks what depends on it when it changes.
    pub major: u32,
    /// Adds something when it changes; breaks while `major` is 0.
    pub minor: u32,
    /// Repairs something when it changes.
    pub patch: u32,
}

impl Version {
    /// Reads `MAJOR.MINOR.PATCH`, decimal without leading zeros, each below 2^32.
    pub fn parse(text: &str) -> Result<Version, NameError> {
        const RULE: &str = "it must be three numbers without leading zeros, as 1.4.0";
        let mut parts = text.split('.');
        let mut number = || parts.next().and_then(decimal);
        match (number(), number(), number(), parts.next()) {
            (Some(major), Some(minor), Some(patch), None) => Ok(Version { major, minor, patch }),
            _ => Err(NameError::new("a version", text, RULE)),
        }
    }

    /// Whether one can stand in for the other without a migration: same major, for 0.x same minor.
    pub fn compatible_with(&self, other: &Version) -> bool {
        self.major == other.major && (self.major > 0 || self.minor == other.minor)
    }

    /// Whether it judges the next intent on a record that is on `current`: the same, or a later compatible one.
    pub fn takes_over(&self, current: &Version) -> bool {
        self == current || (self.compatible_with(current) && self > current)
    }
}

fn decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Version, NameError> {
        Version::parse(text)
    }
}
