//! Reads a package file just far enough to hold two of them against each other.
//!
//! Not through Lockstep's own code: the steps of a test run link nothing, and a second reader of a documented
//! format says whether the document is right.

use std::collections::BTreeMap;

const MAGIC: &[u8] = b"lockstep-package/1\n";

/// The members of the manifest, each as its canonical text.
pub(crate) fn manifest(package: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let rest = package.strip_prefix(MAGIC).ok_or("it is no package: another first line")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it ends within a length")?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
    let manifest = rest.get(..length).ok_or("it ends within its manifest")?;
    members(std::str::from_utf8(manifest).map_err(|error| error.to_string())?)
}

/// The members of an object in canonical JSON: no spaces, quotes within texts escaped.
fn members(object: &str) -> Result<BTreeMap<String, String>, String> {
    let inner = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or("the manifest is no object")?;
    let mut members = BTreeMap::new();
    for member in split_at_commas(inner) {
        let (name, value) = member.split_once(':').ok_or_else(|| format!("no member: {member}"))?;
        members.insert(name.trim_matches('"').to_owned(), value.to_owned());
    }
    Ok(members)
}

/// Splits where a comma stands in no text, array or object.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted, mut escaped) = (Vec::new(), 0, 0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// The members that depend on who compiled it: the halves' digests and how they came about.
pub(crate) const OF_THE_BUILD: [&str; 3] = ["build", "code", "debug"];

/// The compiler that made it, as its manifest records it.
pub(crate) fn toolchain(manifest: &BTreeMap<String, String>) -> Option<String> {
    let build = members(manifest.get("build")?).ok()?;
    Some(build.get("toolchain")?.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_only_between_them() {
        let found = members(r#"{"a":[1,{"b":2}],"c":"x,\"y{","d":null}"#).unwrap_or_default();
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", r#"[1,{"b":2}]"#), ("c", r#""x,\"y{""#), ("d", "null")]);
    }

    #[test]
    fn what_is_no_package_is_refused() {
        assert!(manifest(b"lockstep-package/2\n").is_err());
        assert!(manifest(b"lockstep-package/1\n\0\0\0\x09{}").is_err());
    }
}
