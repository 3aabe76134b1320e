//! Bodies of any size that follow from the event's number: made, sent and checked without holding them.

use bytes::Bytes;

/// After so many bytes a body repeats. A prime: no lost, doubled or swapped block of a whole number of pages goes unseen.
const PERIOD: usize = 1_048_573;
/// The longest piece in one, bytes.
pub(super) const PIECE: usize = 256 * 1024;
/// By how much the bodies of neighbouring numbers are apart in the period.
const STRIDE: u64 = 7_919;

/// The bytes that all bodies are cut from. Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Bytes);

impl Pattern {
    /// The same bytes in every process.
    pub(super) fn new() -> Self {
        let mut bytes = vec![0; PERIOD];
        fastrand::Rng::with_seed(0x746f_7770_6174).fill(&mut bytes);
        // what follows the period's end is its beginning again, so that every piece is in one
        bytes.extend_from_within(..PIECE);
        Self(Bytes::from(bytes))
    }

    /// The piece of the body of event `number` that begins at `offset`: at most `most` bytes, at most [`PIECE`].
    pub(super) fn piece(&self, number: u64, offset: u64, most: u64) -> Bytes {
        let start = start(number, offset);
        let length = usize::try_from(most).unwrap_or(PIECE).min(PIECE);
        self.0.slice(start..start + length)
    }

    /// Whether `bytes` are those of the body of event `number` at `offset`.
    pub(super) fn is_at(&self, number: u64, offset: u64, bytes: &[u8]) -> bool {
        let mut offset = offset;
        bytes.chunks(PIECE).all(|part| {
            let length = part.len() as u64;
            let same = self.piece(number, offset, length) == part;
            offset += length;
            same
        })
    }
}

/// Where in the pattern this byte of this body lies: under [`PERIOD`].
fn start(number: u64, offset: u64) -> usize {
    let period = PERIOD as u64;
    let at = (number % period * STRIDE + offset % period) % period;
    usize::try_from(at).unwrap_or(0)
}

/// A body that is checked as it comes.
#[derive(Debug)]
pub(super) struct Check {
    pattern: Pattern,
    number: u64,
    size: u64,
    seen: u64,
}

impl Check {
    /// Expects the body of event `number` with `size` bytes.
    pub(super) fn new(pattern: &Pattern, number: u64, size: u64) -> Self {
        Self {
            pattern: pattern.clone(),
            number,
            size,
            seen: 0,
        }
    }

    /// Takes the next bytes; gives how many there were so far.
    ///
    /// # Errors
    /// They differ, in words.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<u64, String> {
        if !self.pattern.is_at(self.number, self.seen, bytes) {
            return Err(format!(
                "event {}: the body differs within {} bytes from {}",
                self.number,
                bytes.len(),
                self.seen
            ));
        }
        self.seen += bytes.len() as u64;
        Ok(self.seen)
    }

    /// The body has ended.
    ///
    /// # Errors
    /// It has another length, in words.
    pub(super) fn end(self) -> Result<(), String> {
        if self.seen == self.size {
            return Ok(());
        }
        Err(format!(
            "event {}: the body has {} bytes, not {}",
            self.number, self.seen, self.size
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, PERIOD, PIECE, Pattern};

    fn body(pattern: &Pattern, number: u64, size: u64) -> Vec<u8> {
        let mut body = Vec::new();
        while (body.len() as u64) < size {
            let offset = body.len() as u64;
            body.extend_from_slice(&pattern.piece(number, offset, size - offset));
        }
        body
    }

    fn check(pattern: &Pattern, body: &[u8], piece: usize) -> Result<(), String> {
        let mut check = Check::new(pattern, 7, 3 << 20);
        for part in body.chunks(piece) {
            check.take(part)?;
        }
        check.end()
    }

    #[test]
    fn what_was_made_passes_in_pieces_of_any_length() {
        let pattern = Pattern::new();
        let body = body(&pattern, 7, 3 << 20);
        for piece in [1_000, 65_536, PIECE, PIECE + 1, 3 << 20] {
            assert_eq!(check(&pattern, &body, piece), Ok(()), "{piece}");
        }
    }

    #[test]
    fn a_changed_byte_a_lost_doubled_or_swapped_block_and_another_event_are_seen() {
        let pattern = Pattern::new();
        let whole = body(&pattern, 7, 3 << 20);
        for at in [0, 1, PERIOD, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(check(&pattern, &changed, 4096).is_err(), "byte {at}");
        }
        let mut lost = whole.clone();
        lost.drain(4096..8192);
        let mut doubled = whole.clone();
        doubled.splice(8192..8192, whole[4096..8192].to_vec());
        let mut swapped = whole.clone();
        swapped[..2 << 20].rotate_left(1 << 20);
        let other = body(&pattern, 8, 3 << 20);
        for bad in [lost, doubled, swapped, other, whole[1..].to_vec()] {
            assert!(check(&pattern, &bad, 65_536).is_err());
        }
        assert!(check(&pattern, &whole[..whole.len() - 1], 65_536).is_err());
    }
}
