//! The outermost structure of a wasm binary: a header, then sections with an id and a length.
//!
//! Enough to take custom sections out of a component's core modules and to put them back, byte for byte,
//! without knowing what is in them.

/// The eight bytes that begin a core module.
pub(crate) const MODULE_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
/// The eight bytes that begin a component.
pub(crate) const COMPONENT_HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Section id of custom sections, in modules and components alike.
pub(crate) const CUSTOM: u8 = 0;
/// Section id of a core module within a component.
pub(crate) const CORE_MODULE: u8 = 1;

/// One section: its id, its content, and both with the length between as they are in the binary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) id: u8,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Section<'a> {
    /// A custom section's name; `None` for other sections and malformed ones.
    pub(crate) fn name(&self) -> Option<&'a str> {
        if self.id != CUSTOM {
            return None;
        }
        let (len, rest) = read_u32(self.content)?;
        std::str::from_utf8(rest.get(..len as usize)?).ok()
    }
}

/// The sections of a module or component; `None` where `header` is not its header or lengths do not fit.
pub(crate) fn sections<'a>(binary: &'a [u8], header: &[u8; 8]) -> Option<Vec<Section<'a>>> {
    let mut rest = binary.strip_prefix(header.as_slice())?;
    let mut found = Vec::new();
    while let Some((id, after_id)) = rest.split_first() {
        let (len, after_len) = read_u32(after_id)?;
        let (content, next) = after_len.split_at_checked(len as usize)?;
        let whole = rest.get(..rest.len() - next.len())?;
        found.push(Section { id: *id, content, whole });
        rest = next;
    }
    Some(found)
}

/// Appends a section.
pub(crate) fn write_section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    let mut len = content.len();
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn read_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by failing")]

    use super::*;

    #[test]
    fn sections_are_found_and_written_back() {
        let mut binary = MODULE_HEADER.to_vec();
        write_section(&mut binary, CUSTOM, b"\x04name12");
        write_section(&mut binary, 10, &[7; 300]);
        let found = sections(&binary, &MODULE_HEADER).unwrap();
        assert_eq!(found.iter().map(|s| (s.id, s.content.len())).collect::<Vec<_>>(), [(0, 7), (10, 300)]);
        assert_eq!(found[0].name(), Some("name"));
        assert_eq!(found.iter().map(|s| s.whole.len()).sum::<usize>() + 8, binary.len());
    }

    #[test]
    fn a_truncated_binary_has_no_sections() {
        let mut binary = MODULE_HEADER.to_vec();
        write_section(&mut binary, 10, &[7; 300]);
        for len in 0..binary.len() {
            let parts = sections(&binary[..len], &MODULE_HEADER);
            assert_eq!(parts.is_some(), len == 8, "{len} bytes");
        }
        assert!(sections(&binary, &COMPONENT_HEADER).is_none());
    }
}
