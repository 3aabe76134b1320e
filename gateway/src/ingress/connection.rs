//! One connection of a producer: HTTP/1.1, or HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Answer;
use super::pace::{Pace, Paced};
use crate::state::State;

/// The beginning of every HTTP/2 connection; no method of HTTP/1.1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests that one HTTP/2 connection may have open.
const STREAMS: u32 = 256;
/// An HTTP/2 client that does not answer a ping within this time is gone.
const PING: Duration = Duration::from_secs(20);

/// Most bytes that a connection buffers: with less, 2 MB take longer; with more, many connections at once take memory that
/// nothing accounts for.
const BUFFER: usize = 256 * 1024;

/// Whether a connection is served or told that it is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Served,
    OneTooMany,
}

/// Serves a connection to its end; `ending` lets requests finish and then closes it.
pub(crate) async fn serve(
    state: Arc<State>,
    stream: TcpStream,
    admission: Admission,
    ending: CancellationToken,
) {
    let opened = Instant::now();
    let head_within = state.settings.timeouts.header_read;
    let protocol = tokio::select! {
        protocol = timeout_at(opened + head_within, speaks_http2(&stream)) => protocol,
        () = ending.cancelled() => return,
    };
    let Ok(Ok(is_http2)) = protocol else { return };
    let pace = Arc::new(Pace::default());
    let io = TokioIo::new(Paced::new(stream, Arc::clone(&pace), opened, head_within));
    let result = if is_http2 {
        pace.in_service(true);
        http2_connection(state, io, pace, admission, ending).await
    } else {
        http1_connection(state, io, pace, admission, ending).await
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a producer's connection ended");
    }
}

async fn http1_connection(
    state: Arc<State>,
    io: TokioIo<Paced>,
    pace: Arc<Pace>,
    admission: Admission,
    ending: CancellationToken,
) -> hyper::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, pace) = (Arc::clone(&state), Arc::clone(&pace));
        async move {
            pace.in_service(true);
            let response = answer(&state, &pace, admission, request).await;
            pace.in_service(false);
            Ok::<_, Infallible>(response)
        }
    });
    // A client may close its side once it has sent the request.
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .max_buf_size(BUFFER)
            .half_close(true)
            .serve_connection(io, service)
    );
    tokio::select! {
        result = connection.as_mut() => return result,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn http2_connection(
    state: Arc<State>,
    io: TokioIo<Paced>,
    pace: Arc<Pace>,
    admission: Admission,
    ending: CancellationToken,
) -> hyper::Result<()> {
    let max_head = u32::try_from(state.settings.limits.max_header_bytes).unwrap_or(u32::MAX);
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, pace) = (Arc::clone(&state), Arc::clone(&pace));
        async move { Ok::<_, Infallible>(answer(&state, &pace, admission, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(max_head)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn answer(
    state: &Arc<State>,
    pace: &Pace,
    admission: Admission,
    request: Request<Incoming>,
) -> Answer {
    match admission {
        Admission::Served => super::serve(state, pace, request).await,
        Admission::OneTooMany => {
            pace.body_unread(true);
            super::one_too_many(state).map(Either::Left)
        }
    }
}

/// Looks at the first bytes without taking them.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0u8; 24];
    loop {
        let len = stream.peek(&mut first).await?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let seen = &first[..len.min(PREFACE.len())];
        if !PREFACE.starts_with(seen) {
            return Ok(false);
        }
        // "PRI" settles it: POST, PUT and PATCH differ before that.
        if len >= 3 {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
