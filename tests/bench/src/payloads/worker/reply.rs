//! The body of a step's answer: whole, or piece by piece at the pace of a task, with its length known.

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that wait between the task and the connection.
const WAITING: usize = 2;

/// A body whose length is announced. One that ends short of it breaks its connection, as it should.
#[derive(Debug, Default)]
pub(super) struct Reply {
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Bytes>>,
    left: u64,
}

/// The end that pieces are put into.
#[derive(Debug)]
pub(super) struct Sender(mpsc::Sender<Bytes>);

impl Reply {
    /// All of it at once.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            left: bytes.len() as u64,
            first: Some(bytes).filter(|bytes| !bytes.is_empty()),
            rest: None,
        }
    }

    /// So many bytes, which come through the sender.
    pub(super) fn piped(size: u64) -> (Sender, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let reply = Self {
            first: None,
            rest: Some(receiver),
            left: size,
        };
        (Sender(sender), reply)
    }
}

impl Sender {
    /// Puts a piece in; waits while the connection is behind.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn send(&self, piece: Bytes) -> Result<()> {
        if self.0.send(piece).await.is_err() {
            bail!("the connection has ended");
        }
        Ok(())
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let next = match (self.first.take(), &mut self.rest) {
            (Some(piece), _) => Some(piece),
            (None, None) => None,
            (None, Some(rest)) => std::task::ready!(rest.poll_recv(context)),
        };
        Poll::Ready(match next {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            None if self.left == 0 => None,
            None => Some(Err(std::io::Error::other("the reply broke off"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
