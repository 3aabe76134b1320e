//! One HTTP attempt: a request out, an answer back.

mod body;
mod pool;
mod tls;
mod wire;

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Body;
use hyper::body::Incoming;
use towpath_config::topology::Destination;
use towpath_event::{Payload, Progress, ReadError};

use crate::intake::{Source, poll_data};
use crate::routing::choose::NoChoice;

use body::PayloadBody;
use pool::{Lent, Sender};
pub(crate) use pool::{Limits, Pool};
use wire::Line;

/// Where an attempt connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Endpoint {
    pub(crate) peer: Peer,
    pub(crate) tls: Option<Tls>,
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: bool,
}

/// The address of a replica, or a name for DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Address(SocketAddr),
    Name(Authority),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(authority) => f.write_str(authority.as_str()),
        }
    }
}

/// How the peer is checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    pub(crate) server: Authority,
    pub(crate) ca_certs: Option<Arc<str>>,
}

/// Why no whole answer came. None of these has a status; all may be tried again (CONTRACT C8.2).
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{0}")]
    NoReplica(NoChoice),
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("no connection within {0:?} (setting timeouts.connect)")]
    ConnectTimeout(Duration),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    #[error("{0}")]
    Payload(#[from] ReadError),
    #[error("the gateway is ending")]
    Closed,
}

impl Endpoint {
    /// The endpoint of `destination` at `peer`.
    pub(crate) fn of(
        destination: &Destination,
        authority: &Authority,
        replica: Option<SocketAddr>,
        h2c: bool,
    ) -> Self {
        let https = destination.uri.scheme() == Some(&Scheme::HTTPS);
        let tls = https.then(|| Tls {
            server: authority.clone(),
            ca_certs: destination.ca_certs.clone(),
        });
        let peer = replica.map_or_else(|| Peer::Name(authority.clone()), Peer::Address);
        Self {
            peer,
            tls,
            h2c: h2c && !https,
        }
    }
}

/// An answer whose body is still to be read. Dropping it early closes the connection.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: Lent,
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, SendError> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Body length that the peer announced, in bytes.
    pub(crate) fn announced_len(&self) -> Option<u64> {
        http_body::Body::size_hint(&self.body).exact()
    }

    /// The body was read to its end: keeps the connection for the next attempt.
    pub(crate) fn finish(self) {
        self.connection.give_back();
    }
}

impl Source for Answer {
    type Error = SendError;

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, SendError>> {
        poll_data(&mut self.body, cx).map_err(SendError::of)
    }
}

/// POSTs `payload` to `destination` at `endpoint` and waits for the head of the answer. `rest`: how long a peer that
/// answers early may take to read what is left of the request.
///
/// A reset of a reused connection before any byte of the answer is sent again, once, on a fresh one: the peer
/// had closed it before it saw the request (DESIGN section 12).
pub(crate) async fn post(
    pool: &Pool,
    endpoint: &Endpoint,
    destination: &Destination,
    headers: impl Fn() -> HeaderMap,
    payload: &Payload,
    rest: Duration,
) -> Result<Answer, SendError> {
    exchange(
        pool,
        endpoint,
        &Method::POST,
        destination,
        headers,
        payload,
        rest,
    )
    .await
}

/// GETs `destination` at `endpoint`, and reads its answer to the end; what is long is cut off.
pub(crate) async fn get(
    pool: &Pool,
    endpoint: &Endpoint,
    destination: &Destination,
    rest: Duration,
) -> Result<StatusCode, SendError> {
    let nothing = Payload::empty();
    let (method, headers) = (&Method::GET, HeaderMap::new);
    let mut answer = exchange(pool, endpoint, method, destination, headers, &nothing, rest).await?;
    let (status, mut read) = (answer.status, 0);
    while let Some(chunk) = answer.chunk().await? {
        read += chunk.len();
        if read > LONG_ANSWER {
            return Ok(status);
        }
    }
    answer.finish();
    Ok(status)
}

/// An answer to a GET that is longer, in bytes, costs its connection.
const LONG_ANSWER: usize = 64 * 1024;

async fn exchange(
    pool: &Pool,
    endpoint: &Endpoint,
    method: &Method,
    destination: &Destination,
    headers: impl Fn() -> HeaderMap,
    payload: &Payload,
    rest: Duration,
) -> Result<Answer, SendError> {
    let body = |line: &Arc<Line>| PayloadBody::new(payload, Arc::clone(line));
    let mut fresh = false;
    loop {
        let mut connection = pool.lend(endpoint, fresh, rest).await?;
        let result = match &mut connection.sender {
            Sender::Http1(sender) => {
                let request = http1_request(method, destination, headers(), body(&connection.line));
                sender.send(request).await
            }
            Sender::Http2(sender) => {
                let request = http2_request(method, destination, headers(), body(&connection.line));
                sender.send_request(request).await
            }
        };
        match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                return Ok(Answer {
                    status: head.status,
                    headers: head.headers,
                    body,
                    connection,
                });
            }
            Err(error) if !fresh && !is_broken(payload) && connection.may_resend(&error) => {
                tracing::debug!(%error, "a kept connection was closed by its peer; sending again on a fresh one");
                fresh = true;
            }
            Err(error) => return Err(SendError::of(error)),
        }
    }
}

/// Whoever sent the payload broke off: that is why it could not be sent on.
fn is_broken(payload: &Payload) -> bool {
    let stored = payload.stored();
    stored.is_some_and(|stored| stored.progress() == Progress::Broken)
}

impl SendError {
    /// What broke the exchange: the connection, or the payload that was being sent on it.
    fn of(error: hyper::Error) -> Self {
        let payload = error
            .source()
            .and_then(|source| source.downcast_ref::<ReadError>());
        match payload {
            Some(unreadable) => Self::Payload(unreadable.clone()),
            None => Self::Broken(error),
        }
    }
}

fn http1_request(
    method: &Method,
    destination: &Destination,
    headers: HeaderMap,
    body: PayloadBody,
) -> Request<PayloadBody> {
    let root = || PathAndQuery::from_static("/");
    let mut request = request(method, headers, body);
    *request.uri_mut() = Uri::from(
        destination
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(root),
    );
    // Without user and password, if the URL has any.
    let host = destination
        .uri
        .authority()
        .and_then(|authority| authority.as_str().rsplit('@').next());
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

fn http2_request(
    method: &Method,
    destination: &Destination,
    headers: HeaderMap,
    body: PayloadBody,
) -> Request<PayloadBody> {
    let mut request = request(method, headers, body);
    *request.uri_mut() = destination.uri.clone();
    request
}

fn request(method: &Method, headers: HeaderMap, body: PayloadBody) -> Request<PayloadBody> {
    // Some servers refuse a POST that says nothing of its length.
    let is_empty = body.is_end_stream();
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers;
    if is_empty && method == Method::POST {
        let none = HeaderValue::from_static("0");
        request.headers_mut().insert(header::CONTENT_LENGTH, none);
    }
    request
}
