//! Client connections, kept for a while and lent to one attempt at a time.
//!
//! Our own pool over hyper's client connections, because a hop needs to know what a general client hides: was
//! this connection used before, did any byte of an answer come, how many connections does a replica have.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body::PayloadBody;
use super::tls::Trust;
use super::wire::{Line, Stream, Wire};
use super::{Endpoint, Peer, SendError};
use crate::workers;

/// Bounds of the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections_per_replica: usize,
    /// Threads that send, besides those that are no workers.
    pub(crate) workers: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// Connections by endpoint.
pub(crate) struct Pool {
    limits: Limits,
    trust: Trust,
    hosts: Mutex<HashMap<Endpoint, Arc<Host>>>,
}

struct Host {
    permits: Arc<Semaphore>,
    /// By thread: a connection is driven by the thread that made it, and lent on no other.
    idle: Box<[Mutex<Idle>]>,
    /// By thread: locked while an HTTP/2 connection is being made.
    dialling: Box<[tokio::sync::Mutex<()>]>,
}

/// An idle HTTP/1.1 connection, and since when it is idle.
type Kept = (Http1, Instant);

/// An HTTP/1.1 connection. Dropping it ends it, whatever it is doing: with a reset if that is a request, so that nobody
/// who stops reading holds a payload.
pub(crate) struct Http1 {
    sender: http1::SendRequest<PayloadBody>,
    line: Arc<Line>,
    driver: AbortHandle,
}

#[derive(Default)]
struct Idle {
    /// HTTP/1.1 connections, the one used last at the end.
    http1: Vec<Kept>,
    /// The HTTP/2 connection, which several attempts share.
    http2: Option<(http2::SendRequest<PayloadBody>, Instant)>,
}

/// A connection lent to one attempt. Dropping it closes an HTTP/1.1 connection; [`Lent::give_back`] keeps it.
pub(crate) struct Lent {
    pub(crate) sender: Sender,
    /// It carried a request before this one.
    reused: bool,
    /// What is known of it.
    pub(crate) line: Arc<Line>,
    received_before: u64,
    /// How long a peer that has answered may take to read the rest of the request.
    rest: Duration,
    host: Arc<Host>,
    _permit: OwnedSemaphorePermit,
}

/// What a request is sent through.
pub(crate) enum Sender {
    Http1(Http1),
    Http2(http2::SendRequest<PayloadBody>),
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            trust: Trust::default(),
            hosts: Mutex::default(),
        }
    }

    /// A connection to `endpoint`: an idle one, unless `fresh`, else a new one. Waits for its turn when the
    /// endpoint has as many in use as it may.
    pub(crate) async fn lend(
        &self,
        endpoint: &Endpoint,
        fresh: bool,
        rest: Duration,
    ) -> Result<Lent, SendError> {
        let host = self.host(endpoint);
        let permit = Arc::clone(&host.permits)
            .acquire_owned()
            .await
            .map_err(|_| SendError::Closed)?;
        if !fresh && let Some((sender, line)) = host.reuse(self.limits.idle_timeout) {
            return Ok(Lent {
                sender,
                reused: true,
                received_before: line.received(),
                line,
                rest,
                host,
                _permit: permit,
            });
        }
        let connect_timeout = self.limits.connect_timeout;
        let dialled = tokio::time::timeout(connect_timeout, self.connect(endpoint, &host, fresh));
        let (sender, line, reused) = match dialled.await {
            Ok(result) => result?,
            Err(_) => return Err(SendError::ConnectTimeout(connect_timeout)),
        };
        Ok(Lent {
            sender,
            reused,
            received_before: line.received(),
            line,
            rest,
            host,
            _permit: permit,
        })
    }

    /// A new connection, and `false`. Those who come while an HTTP/2 connection is being made wait and share it: `true`.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        host: &Host,
        fresh: bool,
    ) -> Result<(Sender, Arc<Line>, bool), SendError> {
        let _turn = match endpoint.h2c {
            true => Some(host.dialling().lock().await),
            false => None,
        };
        if endpoint.h2c
            && !fresh
            && let Some((sender, line)) = host.reuse(self.limits.idle_timeout)
        {
            return Ok((sender, line, true));
        }
        let (sender, line) = self.dial(endpoint).await?;
        if let Sender::Http2(shared) = &sender {
            host.idle().http2 = Some((shared.clone(), Instant::now()));
        }
        Ok((sender, line, false))
    }

    /// Closes connections that were idle for too long and forgets endpoints that have none.
    pub(crate) fn sweep(&self) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|_, host| {
            let in_use = host.permits.available_permits() < self.limits.connections_per_replica;
            let kept = host.expire(self.limits.idle_timeout);
            in_use || kept || Arc::strong_count(host) > 1
        });
    }

    fn host(&self, endpoint: &Endpoint) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(endpoint) {
            return Arc::clone(host);
        }
        let permits = Arc::new(Semaphore::new(self.limits.connections_per_replica));
        let host = Arc::new(Host {
            permits,
            idle: (0..=self.limits.workers)
                .map(|_| Mutex::default())
                .collect(),
            dialling: (0..=self.limits.workers)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
        });
        hosts.insert(endpoint.clone(), Arc::clone(&host));
        host
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<(Sender, Arc<Line>), SendError> {
        let stream = match &endpoint.peer {
            Peer::Address(address) => TcpStream::connect(address).await,
            Peer::Name(authority) => {
                TcpStream::connect((bare_host(authority), port(authority, endpoint))).await
            }
        };
        let stream = stream.map_err(SendError::Connect)?;
        stream.set_nodelay(true).map_err(SendError::Connect)?;
        tracing::debug!(peer = %endpoint.peer, "connected");
        unpace(&stream);
        let mut http2 = endpoint.h2c;
        let stream = match &endpoint.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let connected = self
                    .trust
                    .connect(stream, bare_host(&tls.server), tls.ca_certs.as_ref())
                    .await;
                let connected = connected.map_err(SendError::Tls)?;
                http2 = connected.get_ref().1.alpn_protocol() == Some(b"h2");
                Stream::Tls(Box::new(connected))
            }
        };
        let line = Arc::<Line>::default();
        let wire = Wire::new(stream, Arc::clone(&line));
        let sender = if http2 {
            handshake_http2(wire).await
        } else {
            handshake_http1(wire, &line).await
        };
        Ok((
            sender.map_err(|error| SendError::Connect(io::Error::other(error)))?,
            line,
        ))
    }
}

/// Asks for congestion control without pacing on a connection that does not leave this machine.
///
/// Where the system's default is BBR, its pacing spreads a burst over time that loopback does not need: 2 MB to a
/// step took 1.11 ms with it and 0.85 ms without. Reno is the one algorithm that every process may ask for.
fn unpace(stream: &TcpStream) {
    if stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback())
        && let Err(error) = socket2::SockRef::from(stream).set_tcp_congestion(b"reno")
    {
        tracing::debug!(%error, "this system sets no congestion control for a connection");
    }
}

/// Most bytes that a connection buffers, as at the public port.
const BUFFER: usize = 256 * 1024;

/// A peer that has answered and reads nothing of what is left of the request for so long does not want it.
const READS_NOTHING: Duration = Duration::from_secs(4);

/// A request on an idle HTTP/2 connection is answered or the connection is given up within this time.
const HTTP2_KEEP_ALIVE: Duration = Duration::from_secs(20);

async fn handshake_http2(wire: Wire) -> hyper::Result<Sender> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(HTTP2_KEEP_ALIVE)
        .keep_alive_timeout(HTTP2_KEEP_ALIVE)
        .handshake(TokioIo::new(wire))
        .await?;
    tokio::spawn(connection);
    Ok(Sender::Http2(sender))
}

async fn handshake_http1(wire: Wire, line: &Arc<Line>) -> hyper::Result<Sender> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(TokioIo::new(wire))
        .await?;
    let driver = tokio::spawn(connection).abort_handle();
    Ok(Sender::Http1(Http1 {
        sender,
        line: Arc::clone(line),
        driver,
    }))
}

impl Http1 {
    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<PayloadBody>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request).await
    }

    /// Waits until the peer has read the whole request. `false`: it closed, took longer than `most`, or read nothing for
    /// [`READS_NOTHING`].
    async fn is_read_on(&mut self, most: Duration) -> bool {
        let until = Instant::now() + most;
        loop {
            let sent = self.line.sent();
            let pause = (Instant::now() + READS_NOTHING).min(until);
            match tokio::time::timeout_at(pause, self.sender.ready()).await {
                Ok(ready) => return ready.is_ok(),
                Err(_) if self.line.sent() == sent || Instant::now() >= until => return false,
                Err(_) => {}
            }
        }
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        if !self.sender.is_ready() {
            self.line.abort();
        }
        self.driver.abort();
    }
}

/// The host without the brackets of an IPv6 literal.
fn bare_host(authority: &Authority) -> &str {
    authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']')
}

fn port(authority: &Authority, endpoint: &Endpoint) -> u16 {
    authority
        .port_u16()
        .unwrap_or(if endpoint.tls.is_some() { 443 } else { 80 })
}

impl Host {
    fn keep(&self, http1: Http1) {
        self.idle().http1.push((http1, Instant::now()));
    }

    /// The idle connections of this thread.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        let slot = workers::slot().min(self.idle.len() - 1);
        self.idle[slot]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn dialling(&self) -> &tokio::sync::Mutex<()> {
        let slot = workers::slot().min(self.dialling.len() - 1);
        &self.dialling[slot]
    }

    /// Closes what was idle for too long, on any thread; whether something is left.
    fn expire(&self, idle_timeout: Duration) -> bool {
        let left = |slot: &Mutex<Idle>| {
            let mut idle = slot.lock().unwrap_or_else(PoisonError::into_inner);
            idle.expire(idle_timeout);
            !idle.is_empty()
        };
        self.idle.iter().filter(|slot| left(slot)).count() > 0
    }

    /// An idle connection of this thread that can take a request now: the one used last, since it is the likeliest
    /// to be alive.
    fn reuse(&self, idle_timeout: Duration) -> Option<(Sender, Arc<Line>)> {
        let mut idle = self.idle();
        if let Some((shared, used)) = &mut idle.http2
            && !shared.is_closed()
        {
            *used = Instant::now();
            return Some((Sender::Http2(shared.clone()), Arc::default()));
        }
        let usable =
            |(kept, since): &Kept| kept.sender.is_ready() && since.elapsed() < idle_timeout;
        let position = idle.http1.iter().rposition(usable)?;
        let (kept, _) = idle.http1.remove(position);
        let line = Arc::clone(&kept.line);
        Some((Sender::Http1(kept), line))
    }
}

impl Idle {
    fn expire(&mut self, idle_timeout: Duration) {
        let oldest = Instant::now().checked_sub(idle_timeout);
        let alive = |since: &Instant| oldest.is_none_or(|oldest| *since > oldest);
        self.http1
            .retain(|(kept, since)| alive(since) && !kept.sender.is_closed());
        // Dropping our handle lets the streams on it finish.
        if self
            .http2
            .as_ref()
            .is_some_and(|(sender, since)| sender.is_closed() || !alive(since))
        {
            self.http2 = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.http1.is_empty() && self.http2.is_none()
    }
}

impl Lent {
    /// The peer had closed this kept connection before it saw the request: nothing of an answer came.
    pub(crate) fn may_resend(&self, error: &hyper::Error) -> bool {
        let unseen = match &self.sender {
            Sender::Http1(_) => self.line.received() == self.received_before,
            Sender::Http2(_) => error.is_canceled() || error.is_closed(),
        };
        self.reused && unseen
    }

    /// The answer was read to its end: the connection may serve another attempt. A peer that answered early may still be
    /// reading the request: it has as long as an attempt for that, if it reads at all.
    pub(crate) fn give_back(self) {
        let Self {
            sender: Sender::Http1(mut http1),
            host,
            rest,
            _permit: permit,
            ..
        } = self
        else {
            return;
        };
        if http1.sender.is_ready() {
            host.keep(http1);
        } else if !http1.sender.is_closed() {
            tokio::spawn(async move {
                if http1.is_read_on(rest).await {
                    host.keep(http1);
                }
                drop(permit);
            });
        }
    }
}
