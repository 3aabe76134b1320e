//! Bytes that wait until a part is full.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Shorter chunks are copied together: a producer that drips must not cost a list of millions of them.
const SHORT: usize = 4 << 10;
/// Bytes of one such copy.
const COPY: usize = 64 << 10;

/// Chunks in their order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    whole: VecDeque<Bytes>,
    short: BytesMut,
    bytes: usize,
}

impl Pending {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.len() < SHORT {
            if self.short.capacity() - self.short.len() < chunk.len() {
                self.close();
                self.short.reserve(COPY);
            }
            self.short.extend_from_slice(&chunk);
        } else {
            self.close();
            self.whole.push_back(chunk);
        }
    }

    /// The first `most` bytes, or all if these are fewer; no piece is empty.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Bytes> {
        self.close();
        let mut left = most.min(self.bytes);
        self.bytes -= left;
        let mut taken = Vec::new();
        while left > 0
            && let Some(mut piece) = self.whole.pop_front()
        {
            if piece.len() > left {
                self.whole.push_front(piece.split_off(left));
            }
            left -= piece.len();
            taken.push(piece);
        }
        taken
    }

    fn close(&mut self) {
        if !self.short.is_empty() {
            self.whole.push_back(self.short.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_where_they_are_full() {
        let mut pending = Pending::default();
        let all: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut rest = Bytes::from(all.clone());
        for length in [1, 10, 5000, 4095, 4096, 70_000, 3] {
            pending.push(rest.split_to(length));
        }
        pending.push(rest);
        let mut parts = Vec::new();
        while pending.bytes() > 0 {
            let part = pending.take(30_000).concat();
            assert!(part.len() == 30_000 || pending.bytes() == 0);
            parts.push(part);
        }
        assert_eq!(parts.concat(), all);
        assert_eq!(pending.take(1), Vec::<Bytes>::new());
    }

    #[test]
    fn a_drip_makes_few_pieces() {
        let mut pending = Pending::default();
        for _ in 0..200_000 {
            pending.push(Bytes::from_static(b"x"));
        }
        assert_eq!(pending.bytes(), 200_000);
        assert!(pending.take(200_000).len() < 8);
    }
}
