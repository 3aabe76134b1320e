//! The internal port: what other gateways may ask of this one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towpath_event::{PayloadId, Progress, ReadError};
use towpath_payloads::{Budget, Draw};

use super::feed::{Asked, Feeds};
use super::lent::Lent;
use super::wire::{MAX_HEAD, NoAnswerKind, PeerAnswer, PeerAttempt};
use super::{Attempts, NAMESPACE, WHOLE, auth};
use crate::payload_api::{KeySource, ReadBody};
use crate::workers::Workers;

/// What the internal port works from.
pub(crate) struct Server {
    /// The keys that gateways share.
    pub(crate) keys: Arc<KeySource>,
    /// Payloads that others may read.
    pub(crate) lent: Arc<Lent>,
    /// Makes the attempts.
    pub(crate) attempts: Arc<dyn Attempts>,
    /// Tells of the load.
    pub(crate) feeds: Arc<Feeds>,
    /// Bounds what attempts hold in memory.
    pub(crate) budget: Budget,
    /// Largest data in the body of an attempt, in bytes (setting limits.inlineMax).
    pub(crate) inline_max: u64,
    /// Connections at most (setting internal.maxConnections). Over them a gateway waits for its turn.
    pub(crate) max_connections: usize,
    /// Longest time to the head of a request, and to the end of a small body (setting timeouts.headerRead).
    pub(crate) header_read: Duration,
}

/// An answer.
type Answer = Response<UnsyncBoxBody<Bytes, ReadError>>;

/// A refusal, before anything was done.
struct Refusal(StatusCode, String);

/// The body of `/v1/leases`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaseNews {
    /// Payloads that are still needed.
    #[serde(default)]
    pub(super) renew: Vec<String>,
    /// Payloads that are not.
    #[serde(default)]
    pub(super) release: Vec<String>,
}

/// What `/v1/leases` answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Missing {
    /// Of those to be renewed, what is not kept any more.
    pub(super) missing: Vec<String>,
}

/// Longest JSON body, in bytes.
pub(super) const MAX_JSON: usize = 1 << 20;
/// Requests that one HTTP/2 connection may have open: attempts under way.
const STREAMS: u32 = 1024;
/// A gateway that does not answer a ping within this time is gone.
const PING: Duration = Duration::from_secs(20);
/// Most bytes that a connection buffers, as at the public port.
const BUFFER: usize = 256 * 1024;
/// Pause after accept failed, which is when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the internal port until `ending`, on `workers` if there are any, then lets requests finish and returns.
pub(crate) async fn serve(
    socket: TcpListener,
    server: Arc<Server>,
    workers: Option<Arc<Workers>>,
    ending: CancellationToken,
) {
    let open = TaskTracker::new();
    let places = Arc::new(Semaphore::new(server.max_connections));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &places) => accepted,
            () = ending.cancelled() => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of another gateway");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (server, ending, counted) = (Arc::clone(&server), ending.clone(), open.token());
        let connection = move || async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => connection(server, stream, peer, ending).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot serve a connection of another gateway")
                }
            }
            drop((place, counted));
        };
        match &workers {
            Some(workers) => workers.run(connection),
            None => drop(tokio::spawn(connection())),
        }
    }
    drop(socket);
    open.close();
    open.wait().await;
}

/// A connection, when there is a place for it: one too many waits in the backlog, and is not cut off.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(
    std::net::TcpStream,
    SocketAddr,
    tokio::sync::OwnedSemaphorePermit,
)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(std::io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream.into_std()?, peer, place))
}

async fn connection(
    server: Arc<Server>,
    stream: TcpStream,
    peer: SocketAddr,
    ending: CancellationToken,
) {
    let header_read = server.header_read;
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (asked, ending) = (Arc::clone(&asked), ending.clone());
        service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let (server, ending) = (Arc::clone(&server), ending.clone());
            async move { Ok::<_, Infallible>(server.answer(request, peer, ending).await) }
        })
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_read)
        .max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // The first bytes decide the protocol; no time-out of either runs before.
    let silent = async {
        tokio::time::sleep(header_read).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = silent => return,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection of another gateway ended");
    }
}

impl Server {
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        ending: CancellationToken,
    ) -> Answer {
        let keys = self.keys.keys(Instant::now());
        let authorization = request.headers().get(header::AUTHORIZATION);
        let node: Arc<str> = match auth::verify(&keys, authorization, SystemTime::now()) {
            Ok(node) => node.into(),
            Err(error) => {
                tracing::warn!(%peer, %error, "refused a request at the internal port");
                return refuse(Refusal(StatusCode::UNAUTHORIZED, String::new()));
            }
        };
        let answer = self.serve(&node, request, ending).await;
        answer.unwrap_or_else(|refusal| {
            tracing::debug!(%node, status = %refusal.0, reason = refusal.1, "refused a request of another gateway");
            refuse(refusal)
        })
    }

    async fn serve(
        &self,
        node: &Arc<str>,
        request: Request<Incoming>,
        ending: CancellationToken,
    ) -> Result<Answer, Refusal> {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            let text = "every request is a POST".to_owned();
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        match head.uri.path() {
            "/v1/hops" => self.hop(node, &head.headers, body).await,
            "/v1/leases" => self.leases(node, &self.read(body, MAX_JSON).await?),
            "/v1/load" => {
                let asked: Asked = json(&self.read(body, MAX_JSON).await?)?;
                let feed = self.feeds.open(node, asked.services, ending);
                let feed =
                    feed.map_err(|many| Refusal(StatusCode::TOO_MANY_REQUESTS, many.to_string()))?;
                Ok(Response::new(
                    feed.map_err(|never| match never {}).boxed_unsync(),
                ))
            }
            path => match path.strip_prefix("/v1/payloads/") {
                Some(wanted) => self.payload(wanted).await,
                None => {
                    let text = "there is no such path in this version".to_owned();
                    Err(Refusal(StatusCode::NOT_FOUND, text))
                }
            },
        }
    }

    async fn hop(
        &self,
        node: &Arc<str>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Answer, Refusal> {
        let most = MAX_HEAD.saturating_add(usize::try_from(self.inline_max).unwrap_or(usize::MAX));
        let announced = http_body::Body::size_hint(&body).exact();
        let announced = announced.ok_or_else(|| {
            let text = "the length of an attempt must be announced".to_owned();
            Refusal(StatusCode::LENGTH_REQUIRED, text)
        })?;
        let namespace = headers.get(NAMESPACE).and_then(|name| name.to_str().ok());
        let namespace = namespace.unwrap_or_default().into();
        // As a reply does: an attempt that is under way elsewhere must not wait for the door.
        let room = self.budget.take(&namespace, Draw::Reply, announced);
        let room =
            room.map_err(|full| Refusal(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
        let body = self.read(body, most).await?;
        let attempt = PeerAttempt::decode(&body);
        let attempt =
            attempt.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
        drop(body);
        let sent = self.feeds.begin(node, attempt.replica, attempt.pull_nanos);
        let answer = self.attempts.attempt(node, attempt, sent).await;
        drop(room);
        let encoded = answer.encode().or_else(|error| {
            let unsaid = PeerAnswer::NoAnswer {
                kind: NoAnswerKind::Broken,
                message: format!("the answer cannot be passed on: {error}"),
            };
            unsaid.encode()
        });
        let (status, body) = encoded
            .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let len = body.len();
        let body = ReadBody::begin(Box::new(body.read()), len).await;
        let body =
            body.map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = status;
        Ok(answer)
    }

    /// `<id>/<start>-<end>`: these bytes of a payload, as they come if it still grows. If it breaks, so does the body.
    async fn payload(&self, wanted: &str) -> Result<Answer, Refusal> {
        let malformed = || {
            let text = "a payload is read at /v1/payloads/<id>/<start>-<end>".to_owned();
            Refusal(StatusCode::BAD_REQUEST, text)
        };
        let (id, range) = wanted.split_once('/').ok_or_else(malformed)?;
        let (start, end) = range.split_once('-').ok_or_else(malformed)?;
        let id: PayloadId = id.parse().map_err(|_| malformed())?;
        let start: u64 = start.parse().map_err(|_| malformed())?;
        let end: u64 = end.parse().map_err(|_| malformed())?;
        let payload = self.lent.get(id).ok_or_else(|| {
            Refusal(
                StatusCode::NOT_FOUND,
                format!("payload {id} is not here, or for nobody else"),
            )
        })?;
        let size = payload.size();
        if start > end || end > size {
            let text = format!("payload {id} has {size} bytes");
            return Err(Refusal(StatusCode::RANGE_NOT_SATISFIABLE, text));
        }
        let whole = payload.progress() == Progress::Complete;
        let body = ReadBody::begin(payload.read(start..end), end - start).await;
        let body = body.map_err(|error| {
            let status = match &error {
                ReadError::Missing(_) => StatusCode::NOT_FOUND,
                ReadError::SourceBroke => StatusCode::GONE,
                ReadError::Damaged(_) | ReadError::Store(_) => StatusCode::BAD_GATEWAY,
            };
            Refusal(status, error.to_string())
        })?;
        let mut answer = Response::new(body.boxed_unsync());
        if whole {
            let yes = HeaderValue::from_static("1");
            answer.headers_mut().insert(WHOLE, yes);
        }
        Ok(answer)
    }

    fn leases(&self, node: &str, body: &[u8]) -> Result<Answer, Refusal> {
        let LeaseNews { renew, release } = json(body)?;
        let ids = |texts: &[String]| -> Result<Vec<PayloadId>, Refusal> {
            let ids: Result<_, _> = texts.iter().map(|text| text.parse()).collect();
            ids.map_err(|error: towpath_event::InvalidClaim| {
                Refusal(StatusCode::BAD_REQUEST, error.to_string())
            })
        };
        let (renew, release) = (ids(&renew)?, ids(&release)?);
        self.lent.release(node, &release);
        let missing = self.lent.renew(node, &renew, Instant::now());
        let missing = Missing {
            missing: missing.iter().map(ToString::to_string).collect(),
        };
        let text = serde_json::to_vec(&missing)
            .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        Ok(Response::new(full(text)))
    }

    /// A whole body of at most `most` bytes, which must come in a short time.
    async fn read(&self, body: Incoming, most: usize) -> Result<Bytes, Refusal> {
        if http_body::Body::size_hint(&body).lower() > most as u64 {
            return Err(too_large(most));
        }
        let read = tokio::time::timeout(self.header_read, Limited::new(body, most).collect());
        let read = read.await.map_err(|_| {
            let text = format!(
                "the body did not come within {:?} (setting timeouts.headerRead)",
                self.header_read
            );
            Refusal(StatusCode::REQUEST_TIMEOUT, text)
        })?;
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(most)),
            Err(error) => Err(Refusal(StatusCode::BAD_REQUEST, error.to_string())),
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let read = serde_json::from_slice(body);
    read.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))
}

fn too_large(most: usize) -> Refusal {
    let text = format!("the body has more than {most} bytes");
    Refusal(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// What is left of the request is not read: its connection ends.
fn refuse(Refusal(status, text): Refusal) -> Answer {
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

fn full(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, ReadError> {
    let body = Full::new(body.into());
    body.map_err(|never| match never {}).boxed_unsync()
}
