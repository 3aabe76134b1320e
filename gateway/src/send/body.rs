//! A payload as the body of a request: its chunks as they are, with the exact length.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use towpath_event::Payload;

/// Reads a payload's chunks one after another; nothing is copied.
#[derive(Debug)]
pub(crate) struct PayloadBody {
    payload: Payload,
    next: usize,
    left: u64,
}

impl PayloadBody {
    pub(crate) fn new(payload: Payload) -> Self {
        let left = payload.len();
        Self {
            payload,
            next: 0,
            left,
        }
    }
}

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = self.payload.chunks().get(self.next).cloned();
        Poll::Ready(chunk.map(|chunk| {
            self.next += 1;
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Ok(Frame::data(chunk))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
