//! A payload as the body of a request: its chunks as they are or as they come, with the exact length.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use towpath_event::{Payload, Read, ReadError, Reader};

use super::wire::Line;

/// Reads a payload from memory or from its store; nothing is copied on the way.
#[derive(Debug)]
pub(crate) struct PayloadBody {
    reader: Reader,
    left: u64,
    /// The connection that it is sent on.
    line: Arc<Line>,
}

impl PayloadBody {
    pub(crate) fn new(payload: &Payload, line: Arc<Line>) -> Self {
        Self {
            reader: payload.read(),
            left: payload.len(),
            line,
        }
    }
}

impl Body for PayloadBody {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        self.reader.poll_chunk(cx).map(|chunk| match chunk? {
            Ok(chunk) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            Err(error) => {
                self.line.abort();
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
