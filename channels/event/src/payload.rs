//! The payload of an event: its data as bytes that are shared, never copied.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// An event's data: zero, one or many chunks of bytes. Cloning copies no bytes. Its size is bounded by whoever
/// reads it in; this type has no limit of its own.
#[derive(Clone, Default)]
pub struct Payload {
    chunks: Chunks,
    lease: Option<Arc<dyn Lease>>,
}

#[derive(Clone, Default)]
enum Chunks {
    #[default]
    None,
    One(Bytes),
    Many(Arc<[Bytes]>),
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
        let chunks = match chunks.len() {
            0 => Chunks::None,
            1 => chunks.pop().map_or(Chunks::None, Chunks::One),
            _ => Chunks::Many(chunks.into()),
        };
        Self {
            chunks,
            lease: None,
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.chunks().iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// Whether there is no data (C3.7).
    pub fn is_empty(&self) -> bool {
        self.chunks().is_empty()
    }

    /// The pieces, in order; none of them is empty. Whoever keeps one longer than the payload keeps memory that
    /// no lease accounts for.
    pub fn chunks(&self) -> &[Bytes] {
        match &self.chunks {
            Chunks::None => &[],
            Chunks::One(bytes) => std::slice::from_ref(bytes),
            Chunks::Many(chunks) => chunks,
        }
    }

    /// The data in one piece: no copy if it is one piece already. The bytes do not hold the leases.
    pub fn to_bytes(&self) -> Bytes {
        match &self.chunks {
            Chunks::None => Bytes::new(),
            Chunks::One(bytes) => bytes.clone(),
            Chunks::Many(chunks) => {
                let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                for chunk in chunks.iter() {
                    whole.extend_from_slice(chunk);
                }
                whole.freeze()
            }
        }
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
        let chunks = if bytes.is_empty() {
            Chunks::None
        } else {
            Chunks::One(bytes)
        };
        Self {
            chunks,
            lease: None,
        }
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

/// Equality of the bytes, however they are cut into pieces.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .chunks()
                .iter()
                .flatten()
                .eq(other.chunks().iter().flatten())
    }
}

impl Eq for Payload {}

/// Sizes only: data never gets into a log.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("bytes", &self.len())
            .field("chunks", &self.chunks().len())
            .finish()
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
        assert_eq!((payload.len(), payload.chunks().len()), (3, 2));
        assert_eq!(payload.to_bytes(), "abc");
        assert_eq!(payload, Payload::from("abc"));
        assert_ne!(payload, Payload::from("abd"));
        assert!(pieces(&["", ""]).is_empty());
        assert_eq!(Payload::from(Vec::new()), Payload::empty());
    }

    #[test]
    fn one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![7; 100]);
        assert_eq!(
            Payload::from(bytes.clone()).to_bytes().as_ptr(),
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
