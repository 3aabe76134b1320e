//! A producer's connection that must keep pace: heads within a time, no endless idling, and a close that lets a
//! client that is still sending see its answer (DESIGN section 12, Refusing early).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Bytes read and thrown away after an early answer, at most.
const LINGER_BYTES: usize = 1024 * 1024;
/// Time spent on that, at most.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// A connection between two requests is kept for this long: longer than the clients that reuse connections
/// (Go: 90 s) keep theirs, so that it is they who close.
const IDLE: Duration = Duration::from_secs(120);

/// What the handler of a request tells its connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    in_service: AtomicBool,
    /// A request has begun since the connection looked last.
    began: AtomicBool,
    body_unread: AtomicBool,
}

impl Pace {
    /// A request is being served: its own bounds hold, not the connection's.
    pub(crate) fn in_service(&self, yes: bool) {
        self.in_service.store(yes, Ordering::Relaxed);
        if yes {
            self.began.store(true, Ordering::Relaxed);
        }
    }

    /// The client may still be sending a body that nobody will read.
    pub(crate) fn body_unread(&self, yes: bool) {
        self.body_unread.store(yes, Ordering::Relaxed);
    }
}

/// The connection.
pub(crate) struct Paced {
    stream: TcpStream,
    pace: Arc<Pace>,
    head_within: Duration,
    /// When the first byte of the head that is being read came; `None` between requests.
    head_since: Option<Instant>,
    /// Since when nothing has come between requests.
    idle_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

struct Linger {
    left: usize,
    until: Pin<Box<Sleep>>,
}

impl Paced {
    /// `opened`: the first head must be complete `head_within` of then.
    pub(crate) fn new(
        stream: TcpStream,
        pace: Arc<Pace>,
        opened: Instant,
        head_within: Duration,
    ) -> Self {
        Self {
            stream,
            pace,
            head_within,
            head_since: Some(opened),
            idle_since: None,
            timer: None,
            linger: None,
        }
    }

    /// Forgets the times of what came before the request that is, or was, being served.
    fn look(&mut self) -> bool {
        if self.pace.began.swap(false, Ordering::Relaxed) {
            self.head_since = None;
            self.idle_since = None;
        }
        self.pace.in_service.load(Ordering::Relaxed)
    }

    /// Nothing to read: is it too late? Touches the timer only when it would fire too late or has fired.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.look() {
            return Poll::Pending;
        }
        let deadline = match self.head_since {
            Some(since) => since + self.head_within,
            None => *self.idle_since.get_or_insert_with(Instant::now) + IDLE,
        };
        loop {
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client is too slow or idle",
                ));
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// Reads and throws away, within bounds, what the client still sends: closing with bytes unread would reset
    /// the connection, and the client might lose its answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            left: LINGER_BYTES,
            until: Box::pin(tokio::time::sleep(LINGER_TIME)),
        });
        let mut waste = [0u8; 16 * 1024];
        loop {
            if linger.left == 0 || linger.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut waste);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            linger.left = linger.left.saturating_sub(buf.filled().len());
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if !self.look() && buf.filled().len() > before {
                    self.head_since.get_or_insert_with(Instant::now);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx).map(Err),
        }
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            let unread = self.pace.body_unread.load(Ordering::Relaxed) || self.head_since.is_some();
            if !unread {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
