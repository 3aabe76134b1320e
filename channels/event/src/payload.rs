//! The payload of an event: its data as bytes that are shared, never copied, or set aside in a payload store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use crate::{Read, ReadError, SetAside};

/// An event's data: zero, one or many chunks of bytes in memory, or data that was set aside in a payload store.
/// Cloning copies no bytes. Its size is bounded by whoever reads it in; this type has no limit of its own.
#[derive(Clone, Default)]
pub struct Payload {
    data: Data,
    lease: Option<Arc<dyn Lease>>,
}

#[derive(Clone, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(Arc<[Bytes]>),
    SetAside(Arc<dyn SetAside>),
}

/// Anything that is held until the payload is gone.
trait Lease: Send + Sync {}

impl<T: Send + Sync> Lease for T {}

impl Payload {
    /// No data.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Data that came in pieces, in their order. Empty pieces are left out.
    pub fn from_chunks(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        let data = match chunks.len() {
            0 => Data::None,
            1 => chunks.pop().map_or(Data::None, Data::One),
            _ => Data::Many(chunks.into()),
        };
        Self { data, lease: None }
    }

    /// Data that rests in a payload store.
    pub fn set_aside(stored: Arc<dyn SetAside>) -> Self {
        Self {
            data: Data::SetAside(stored),
            lease: None,
        }
    }

    /// Length in bytes; the whole length also of data that is still being written.
    pub fn len(&self) -> u64 {
        match &self.data {
            Data::SetAside(stored) => stored.size(),
            Data::None | Data::One(_) | Data::Many(_) => length(self.chunks().unwrap_or_default()),
        }
    }

    /// Whether there is no data (C3.7).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces, in order, none of them empty; `None` if the data is set aside. Whoever keeps one longer than the
    /// payload keeps memory that no lease accounts for.
    pub fn chunks(&self) -> Option<&[Bytes]> {
        match &self.data {
            Data::None => Some(&[]),
            Data::One(bytes) => Some(std::slice::from_ref(bytes)),
            Data::Many(chunks) => Some(chunks),
            Data::SetAside(_) => None,
        }
    }

    /// The data in one piece: no copy if it is one piece already; `None` if it is set aside. The bytes do not hold
    /// the leases.
    pub fn to_bytes(&self) -> Option<Bytes> {
        match self.chunks()? {
            [] => Some(Bytes::new()),
            [one] => Some(one.clone()),
            chunks => {
                let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                for chunk in chunks {
                    whole.extend_from_slice(chunk);
                }
                Some(whole.freeze())
            }
        }
    }

    /// Where the data rests, if it is set aside.
    pub fn stored(&self) -> Option<&Arc<dyn SetAside>> {
        match &self.data {
            Data::SetAside(stored) => Some(stored),
            Data::None | Data::One(_) | Data::Many(_) => None,
        }
    }

    /// Reads the data from its beginning, wherever it is.
    pub fn read(&self) -> Reader {
        Reader(match &self.data {
            Data::SetAside(stored) => Reading::Stored(Arc::clone(stored).read(Range {
                start: 0,
                end: stored.size(),
            })),
            Data::None | Data::One(_) | Data::Many(_) => Reading::Chunks(self.clone(), 0),
        })
    }

    /// This payload, which holds `lease` until its last clone is dropped: a share of a byte budget, say. Leases
    /// that it holds already are kept.
    #[must_use]
    pub fn with_lease(mut self, lease: impl Send + Sync + 'static) -> Self {
        self.lease = Some(match self.lease.take() {
            None => Arc::new(lease),
            Some(held) => Arc::new((held, lease)),
        });
        self
    }

    /// This payload, which also holds the leases of `other`: for data that is a slice of `other`'s bytes.
    #[must_use]
    pub fn with_lease_of(self, other: &Self) -> Self {
        match &other.lease {
            None => self,
            Some(lease) if self.lease.is_none() => Self {
                lease: Some(Arc::clone(lease)),
                ..self
            },
            Some(lease) => self.with_lease(Arc::clone(lease)),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        let data = if bytes.is_empty() {
            Data::None
        } else {
            Data::One(bytes)
        };
        Self { data, lease: None }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

/// Equality of the bytes, however they are cut into pieces. Data that is set aside is equal only to itself: to what
/// rests under the same claim check.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        match (&self.data, &other.data) {
            (Data::SetAside(one), Data::SetAside(other)) => one.claim() == other.claim(),
            _ => match (self.chunks(), other.chunks()) {
                (Some(one), Some(other)) => {
                    length(one) == length(other) && one.iter().flatten().eq(other.iter().flatten())
                }
                _ => false,
            },
        }
    }
}

fn length(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

impl Eq for Payload {}

/// Sizes only: data never gets into a log.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Payload");
        shown.field("bytes", &self.len());
        match self.chunks() {
            Some(chunks) => shown.field("chunks", &chunks.len()),
            None => shown.field("stored", &self.stored()),
        };
        shown.finish()
    }
}

/// A payload being read, wherever it is. What is in memory comes at once, and holds the leases until the reader is
/// dropped.
pub struct Reader(Reading);

enum Reading {
    Chunks(Payload, usize),
    Stored(Box<dyn Read>),
}

impl Read for Reader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        match &mut self.0 {
            Reading::Stored(reader) => reader.poll_chunk(cx),
            Reading::Chunks(payload, next) => {
                let chunk = payload
                    .chunks()
                    .and_then(|chunks| chunks.get(*next))
                    .cloned();
                *next += 1;
                Poll::Ready(chunk.map(Ok))
            }
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Reading::Chunks(..) => "Reader(memory)",
            Reading::Stored(_) => "Reader(stored)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&'static str]) -> Payload {
        Payload::from_chunks(
            pieces
                .iter()
                .map(|piece| Bytes::from_static(piece.as_bytes()))
                .collect(),
        )
    }

    #[test]
    fn is_what_its_pieces_are() {
        let payload = pieces(&["", "ab", "", "c"]);
        assert_eq!((payload.len(), payload.chunks().unwrap().len()), (3, 2));
        assert_eq!(payload.to_bytes().unwrap(), "abc");
        assert_eq!(payload, Payload::from("abc"));
        assert_ne!(payload, Payload::from("abd"));
        assert!(pieces(&["", ""]).is_empty());
        assert_eq!(Payload::from(Vec::new()), Payload::empty());
    }

    #[test]
    fn one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        assert_eq!(
            Payload::from(bytes.clone()).to_bytes().unwrap().as_ptr(),
            bytes.as_ptr()
        );
    }

    #[test]
    fn leases_go_with_the_last_clone() {
        let (first, second, third) = (Arc::new(()), Arc::new(()), Arc::new(()));
        let body = Payload::from("body")
            .with_lease(Arc::clone(&first))
            .with_lease(Arc::clone(&second));
        let part = Payload::from("od")
            .with_lease(Arc::clone(&third))
            .with_lease_of(&body);
        drop(body);
        let again = part.clone();
        drop(part);
        for lease in [&first, &second, &third] {
            assert_eq!(Arc::strong_count(lease), 2);
        }
        drop(again);
        for lease in [&first, &second, &third] {
            assert_eq!(Arc::strong_count(lease), 1);
        }
    }

    #[test]
    fn shows_no_data() {
        assert_eq!(
            format!("{:?}", Payload::from("secret")),
            "Payload { bytes: 6, chunks: 1 }"
        );
    }
}
