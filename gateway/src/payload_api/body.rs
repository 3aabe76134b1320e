//! A payload, or a part of one, as the body of a response: exactly so many bytes, or an error.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use towpath_event::{Payload, Read, ReadError};

/// Reads a body's bytes as they are asked for.
pub(crate) struct ReadBody {
    /// Read already, to see that it can be.
    first: Option<Bytes>,
    reader: Box<dyn Read>,
    left: u64,
}

impl ReadBody {
    /// No bytes.
    pub(crate) fn empty() -> Self {
        Self::text(String::new())
    }

    /// The bytes of a text.
    pub(crate) fn text(text: String) -> Self {
        let payload = Payload::from(text);
        Self {
            first: None,
            left: payload.len(),
            reader: Box::new(payload.read()),
        }
    }

    /// The `len` bytes that `reader` gives. Waits for the first of them, so that a payload that is not there is told
    /// before the head of the response is sent.
    ///
    /// # Errors
    /// [`ReadError`] of the first bytes.
    pub(crate) async fn begin(mut reader: Box<dyn Read>, len: u64) -> Result<Self, ReadError> {
        let mut first = None;
        if len > 0 {
            let chunk = std::future::poll_fn(|cx| reader.poll_chunk(cx)).await;
            first = Some(chunk.unwrap_or_else(|| Err(too_short(len)))?);
        }
        Ok(Self {
            first,
            reader,
            left: len,
        })
    }
}

impl Body for ReadBody {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => ready!(self.reader.poll_chunk(cx)),
        };
        let left = self.left;
        let frame = chunk
            .unwrap_or_else(|| Err(too_short(left)))
            .and_then(|chunk| {
                let len = chunk.len() as u64;
                self.left = left.checked_sub(len).ok_or_else(too_long)?;
                Ok(Frame::data(chunk))
            });
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Sizes only: data never gets into a log.
impl fmt::Debug for ReadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadBody({} bytes left)", self.left)
    }
}

fn too_short(left: u64) -> ReadError {
    ReadError::Damaged(format!("it ends {left} bytes too early").into())
}

fn too_long() -> ReadError {
    ReadError::Damaged("it has more bytes than it should".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    fn reader() -> Box<dyn Read> {
        let chunks = vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cde")];
        Box::new(Payload::from_chunks(chunks).read())
    }

    fn begin(len: u64) -> Result<ReadBody, ReadError> {
        ReadBody::begin(reader(), len).now_or_never().unwrap()
    }

    #[test]
    fn gives_its_bytes_and_knows_how_many_are_left() {
        let mut body = begin(5).unwrap();
        assert_eq!(body.size_hint().exact(), Some(5));
        let first = body.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "ab");
        assert_eq!(body.size_hint().exact(), Some(3));
        assert!(!body.is_end_stream());
        let rest = body.collect().now_or_never().unwrap().unwrap();
        assert_eq!(rest.to_bytes(), "cde");
        for empty in [ReadBody::empty(), begin(0).unwrap()] {
            assert!(empty.is_end_stream());
        }
    }

    #[test]
    fn more_or_fewer_bytes_are_an_error_never_a_short_body() {
        for len in [4, 6] {
            let body = begin(len).unwrap();
            let end = body.collect().now_or_never().unwrap();
            assert!(matches!(end, Err(ReadError::Damaged(_))), "{len}");
        }
        let nothing = Box::new(Payload::empty().read());
        let begun = ReadBody::begin(nothing, 1).now_or_never().unwrap();
        assert!(matches!(begun, Err(ReadError::Damaged(_))));
    }
}
