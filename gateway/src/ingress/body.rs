//! The body of a request, whose sender must keep pace.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::intake::{Source, poll_data};

/// A body whose bytes must not pause for longer than `idle`.
pub(crate) struct Paused {
    body: Incoming,
    idle: Duration,
    last: Instant,
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

impl Paused {
    pub(crate) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            body,
            idle,
            last: Instant::now(),
            timer: None,
        }
    }
}

impl Source for Paused {
    type Error = BrokeOff;

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokeOff>> {
        if let Poll::Ready(chunk) = poll_data(&mut self.body, cx) {
            self.last = Instant::now();
            return Poll::Ready(chunk.map_err(|_| BrokeOff::Truncated));
        }
        loop {
            let until = self.last + self.idle;
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
