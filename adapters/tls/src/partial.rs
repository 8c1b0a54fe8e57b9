//! A frame that is not whole yet.

use lockstep_core::transport::TransportError;

/// The length before each frame.
pub(crate) const HEADER_BYTES: usize = 4;

/// Room is made in steps of the size of what is there, at least this, so that a length alone costs nothing.
const STEP_BYTES: usize = 64 * 1024;

/// What has arrived of a frame.
pub(crate) struct Partial {
    bound: usize,
    /// The length, once it is known.
    length: Option<usize>,
    /// Bytes of the length, then of the frame.
    bytes: Vec<u8>,
}

impl Partial {
    pub(crate) fn new(bound: usize) -> Self {
        Partial { bound, length: None, bytes: Vec::new() }
    }

    /// Whether nothing of a frame has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        self.length.is_none() && self.bytes.is_empty()
    }

    /// How many bytes may be added now; never 0.
    pub(crate) fn missing(&self) -> usize {
        self.length.unwrap_or(HEADER_BYTES) - self.bytes.len()
    }

    /// Adds what has arrived, at most what is missing; returns the frame once it is whole.
    pub(crate) fn add(&mut self, arrived: &[u8]) -> Result<Option<Vec<u8>>, TransportError> {
        if self.bytes.capacity() - self.bytes.len() < arrived.len() {
            let step = self.bytes.len().max(STEP_BYTES).min(self.missing()).max(arrived.len());
            self.bytes.reserve_exact(step);
        }
        self.bytes.extend_from_slice(arrived);
        if self.length.is_none() {
            self.begin()?;
        }
        if self.length != Some(self.bytes.len()) {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(std::mem::take(&mut self.bytes)))
    }

    /// Reads the length, where all of it is there, and refuses it before any room is made for it.
    fn begin(&mut self) -> Result<(), TransportError> {
        let Ok(header) = <[u8; HEADER_BYTES]>::try_from(self.bytes.as_slice()) else { return Ok(()) };
        let length = u32::from_be_bytes(header);
        match usize::try_from(length) {
            Ok(length) if length <= self.bound => self.length = Some(length),
            _ => {
                let (bytes, bound) = (u64::from(length), self.bound as u64);
                return Err(TransportError::FrameTooLarge { bytes, bound });
            }
        }
        self.bytes = Vec::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    /// Hands over bytes in pieces, as they are asked for.
    fn frames(mut bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut partial = Partial::new(1 << 20);
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (arrived, rest) = bytes.split_at(piece.min(partial.missing()).min(bytes.len()));
            frames.extend(partial.add(arrived).unwrap());
            bytes = rest;
        }
        assert!(partial.is_empty());
        frames
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let sent: Vec<Vec<u8>> = [0, 1, 5, 0, 70_000].iter().map(|&length| vec![length as u8; length]).collect();
        let wire: Vec<u8> =
            sent.iter().flat_map(|frame| [&(frame.len() as u32).to_be_bytes()[..], frame].concat()).collect();
        for piece in [1, 2, 3, 4, 5, 16_384, 1 << 20] {
            assert_eq!(frames(&wire, piece), sent, "pieces of {piece}");
        }
    }

    #[test]
    fn a_length_alone_makes_no_room() {
        let mut partial = Partial::new(1 << 30);
        assert_eq!(partial.add(&(1_u32 << 30).to_be_bytes()), Ok(None));
        assert_eq!(partial.bytes.capacity(), 0);
        assert_eq!(partial.add(&[7]), Ok(None));
        assert!(partial.bytes.capacity() <= STEP_BYTES, "{}", partial.bytes.capacity());
    }

    #[test]
    fn room_never_exceeds_the_frame_or_twice_what_arrived() {
        let mut partial = Partial::new(1 << 20);
        partial.add(&(1_u32 << 20).to_be_bytes()).unwrap();
        for arrived in 1..64 {
            assert_eq!(partial.add(&[0; 16_384]), Ok(None));
            assert!(partial.bytes.capacity() <= (2 * arrived * 16_384).clamp(STEP_BYTES, 1 << 20));
        }
        assert_eq!(partial.add(&[0; 16_384]).unwrap().map(|frame| frame.capacity()), Some(1 << 20));
    }

    #[test]
    fn a_length_above_the_bound_is_refused() {
        let refused = Partial::new(10).add(&11_u32.to_be_bytes());
        assert_eq!(refused, Err(TransportError::FrameTooLarge { bytes: 11, bound: 10 }));
        let refused = Partial::new(usize::MAX - 1).add(&[255; 4]);
        assert_eq!(refused, Ok(None), "the bound is the caller's");
    }
}
