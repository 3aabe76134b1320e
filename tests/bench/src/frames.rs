//! A body as the frames in which it came: read whole, and sent on without copying or joining them.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A whole body. Its length is known, so HTTP/1.1 sends it with Content-Length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frames(VecDeque<Bytes>);

impl Frames {
    /// The body of these pieces, in this order.
    pub(crate) fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self(
            pieces
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .collect(),
        )
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// The transport's, when the body breaks off.
    pub(crate) async fn read<B>(mut body: B) -> Result<Self, B::Error>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut frames = VecDeque::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                frames.push_back(data);
            }
        }
        Ok(Self(frames))
    }

    /// Bytes in all frames.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The frames, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    /// All bytes in one piece; for the small bodies of the control endpoint.
    pub(crate) fn joined(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|frame| frame.iter().copied())
            .collect()
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }
}
