//! The body of a request, whose sender must keep pace.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep};

use crate::intake::{Source, poll_data};

/// A body whose bytes must not pause for longer than `idle`.
pub(crate) struct Paused<B> {
    body: B,
    idle: Duration,
    /// Since when it is waited for. While nobody waits, as when a store is slow, its sender is not late.
    since: Option<Instant>,
    /// One timer for the whole body, made when it first has to wait, and moved only when it fires: arming one costs
    /// a system call.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body ended too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BrokeOff {
    /// The connection ended or broke, or what came is no body.
    Truncated,
    /// No byte came for this long.
    Stalled(Duration),
}

impl<B> Paused<B> {
    pub(crate) fn new(body: B, idle: Duration) -> Self {
        Self {
            body,
            idle,
            since: None,
            timer: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Source for Paused<B> {
    type Error = BrokeOff;

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokeOff>> {
        if let Poll::Ready(chunk) = poll_data(&mut self.body, cx) {
            self.since = None;
            return Poll::Ready(chunk.map_err(|_| BrokeOff::Truncated));
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.idle;
        loop {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(Err(BrokeOff::Stalled(self.idle)));
            }
            timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use http_body::Frame;

    const IDLE: Duration = Duration::from_secs(30);

    /// One chunk, then silence.
    struct OneThenNone(Option<Bytes>);

    impl Body for OneThenNone {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.take() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_time_that_is_waited_counts() {
        let mut body = Paused::new(OneThenNone(Some(Bytes::from_static(b"x"))), IDLE);
        let first = poll_fn(|cx| body.poll_chunk(cx)).await;
        assert_eq!(first, Ok(Some(Bytes::from_static(b"x"))));
        // A store takes its time.
        tokio::time::advance(IDLE * 2).await;
        let begun = Instant::now();
        assert_eq!(poll_fn(|cx| body.poll_chunk(cx)).now_or_never(), None);
        let second = poll_fn(|cx| body.poll_chunk(cx)).await;
        assert_eq!(second, Err(BrokeOff::Stalled(IDLE)));
        assert!(begun.elapsed() >= IDLE);
    }
}
