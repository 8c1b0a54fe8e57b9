//! Finding the next byte of a string that is not plain, eight bytes at a time.
//!
//! Reader and writer share it: what needs no escape going out is what ends a plain run coming in. Records
//! carry documents of megabytes as base64, where this is all the work there is.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand before the first quote, backslash or control character below U+0020.
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return index * 8 + (marks.trailing_zeros() / 8) as usize;
        }
    }
    let plain_rest = rest.iter().take_while(|byte| is_plain(**byte)).count();
    bytes.len() - rest.len() + plain_rest
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// A word whose lowest set bit lies in the first byte that is not plain; zero when all are.
///
/// Borrows can mark bytes above the first one too, never below: only the lowest mark is meaningful.
fn marks(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // A byte of 0x80 or more is part of a character beyond ASCII and always plain.
    (control | quote | backslash) & !word & HIGHS
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_judged_alone() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                for filler in [b'x', b' ', b'!', b'#', b']', 0x7f, 0x80, 0xff] {
                    let mut bytes = vec![filler; 20];
                    *bytes.get_mut(place).unwrap() = byte;
                    let expected = if is_plain(byte) { 20 } else { place };
                    assert_eq!(plain_prefix(&bytes), expected, "{byte:#x} at {place} in {filler:#x}");
                }
            }
        }
    }
}
