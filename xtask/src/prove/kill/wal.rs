//! The write-ahead log of a SQLite file as the file format describes it: was the last transaction ended?

/// Bytes of the log's header and of each frame's.
const HEADER: usize = 32;
const FRAME: usize = 24;

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Whether frames of a transaction stand behind those of the last one that was committed.
pub(in crate::prove) fn is_torn(log: &[u8]) -> bool {
    let Some(page) = number(log, 8) else { return false };
    let Some(salt) = log.get(16..24) else { return false };
    let mut torn = false;
    let mut at = HEADER;
    // A frame with other salts is left from before the log was begun anew.
    while log.get(at + 8..at + 16) == Some(salt) {
        torn = number(log, at + 4) == Some(0);
        at += FRAME + page as usize;
    }
    torn
}

/// Whether a frame's header ends a transaction.
pub(in crate::prove) fn commits(header: &[u8]) -> bool {
    header.len() == FRAME && number(header, 4).is_some_and(|pages| pages > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(frames: &[(u32, u32)]) -> Vec<u8> {
        let mut log = [0x377f_0682, 3_007_000, 512, 0, 7, 7, 0, 0].map(u32::to_be_bytes).concat();
        for (pages, salt) in frames {
            log.extend([1, *pages, *salt, *salt, 0, 0].map(u32::to_be_bytes).concat());
            log.extend([0; 512]);
        }
        log
    }

    #[test]
    fn a_transaction_is_torn_where_no_frame_ends_it() {
        assert!(!is_torn(b""));
        assert!(!is_torn(&log(&[])));
        assert!(!is_torn(&log(&[(0, 7), (3, 7)])));
        assert!(is_torn(&log(&[(3, 7), (0, 7)])));
        assert!(!is_torn(&log(&[(3, 7), (0, 6)])), "frames of another log do not count");
    }

    #[test]
    fn a_header_with_a_size_ends_a_transaction() {
        let log = log(&[(0, 7), (3, 7)]);
        assert!(!commits(&log[HEADER..HEADER + FRAME]));
        assert!(commits(&log[HEADER + FRAME + 512..HEADER + 2 * FRAME + 512]));
        assert!(!commits(&log));
    }
}
