//! What the events carry, and the check that it arrived unchanged.

use crate::frames::Frames;
use bytes::Bytes;
use std::ops::Range;

/// Length of the event's number at the head of its body.
const NUMBER: usize = 8;
/// Bytes compared at both ends of every body.
const ENDS: usize = 64;
/// One body in so many is compared whole. The compare is after the hop's end, but its CPU time is not
/// free: 1 in 16 keeps it under 2 % of a 2 MB hop.
const WHOLE_EVERY: u64 = 16;

/// The body of every event of a round, but for the event's number at its head.
#[derive(Debug, Clone)]
pub(crate) struct Payload(Bytes);

impl Payload {
    /// A body of `size` bytes (at least 128) that does not compress. The same size gives the same
    /// bytes in every process.
    pub(crate) fn new(size: usize) -> Self {
        let mut bytes = vec![0; size];
        fastrand::Rng::with_seed(0x0070_7761_7468).fill(&mut bytes);
        Self(Bytes::from(bytes))
    }

    /// The body of event `number`.
    pub(crate) fn body(&self, number: u64) -> Frames {
        let rest = self
            .0
            .get(NUMBER..)
            .map_or_else(Bytes::new, |rest| self.0.slice_ref(rest));
        Frames::of([Bytes::copy_from_slice(&number.to_be_bytes()), rest])
    }

    /// Checks length, number and both ends of a received body; every 16th event's body whole.
    ///
    /// # Errors
    /// What differs, in words.
    pub(crate) fn check(&self, number: u64, body: &Frames) -> Result<(), String> {
        let size = self.0.len();
        if body.len() != size {
            return Err(format!(
                "event {number}: body has {} bytes, not {size}",
                body.len()
            ));
        }
        if !range_equals(body, 0..NUMBER, &number.to_be_bytes()) {
            return Err(format!("event {number}: body is that of another event"));
        }
        let whole = NUMBER..size;
        let ranges = if number.is_multiple_of(WHOLE_EVERY) {
            [whole, size..size]
        } else {
            [NUMBER..NUMBER + ENDS, size.saturating_sub(ENDS)..size]
        };
        for range in ranges {
            let expected = self.0.get(range.clone()).unwrap_or_default();
            if !range_equals(body, range.clone(), expected) {
                return Err(format!(
                    "event {number}: body differs within bytes {range:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Whether the bytes of `range` within the body are `expected`.
fn range_equals(body: &Frames, range: Range<usize>, expected: &[u8]) -> bool {
    let mut rest = expected;
    let mut start = 0;
    for frame in body.iter() {
        let end = start + frame.len();
        let from = range.start.max(start);
        let to = range.end.min(end);
        if from < to {
            let part = frame.get(from - start..to - start).unwrap_or_default();
            let Some(after) = rest.strip_prefix(part) else {
                return false;
            };
            rest = after;
        }
        start = end;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::Payload;
    use crate::frames::Frames;
    use bytes::Bytes;

    fn changed(number: u64, at: usize) -> Frames {
        let mut bytes = Payload::new(1024).body(number).joined();
        bytes[at] ^= 1;
        // in odd pieces, as a network would deliver them
        Frames::of(bytes.chunks(100).map(Bytes::copy_from_slice))
    }

    #[test]
    fn what_was_sent_passes() {
        let payload = Payload::new(1024);
        for number in [0, 1, 16, u64::MAX] {
            assert_eq!(payload.check(number, &payload.body(number)), Ok(()));
        }
    }

    #[test]
    fn changes_at_the_ends_are_seen_in_every_body_and_in_the_middle_in_every_16th() {
        let payload = Payload::new(1024);
        for at in [0, 7, 8, 71, 960, 1023] {
            assert!(payload.check(1, &changed(1, at)).is_err(), "byte {at}");
        }
        assert_eq!(payload.check(1, &changed(1, 500)), Ok(()));
        assert!(payload.check(16, &changed(16, 500)).is_err());
    }

    #[test]
    fn another_length_and_another_event_are_seen() {
        let payload = Payload::new(1024);
        assert!(payload.check(1, &Payload::new(1023).body(1)).is_err());
        assert!(payload.check(1, &payload.body(2)).is_err());
    }
}
