//! A programmable HTTP subscriber: answers by script, records whole requests. HTTP/1.1 and h2c on one port; TLS
//! when it is given a certificate.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Answer, Ending};
use crate::poll::within;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    /// In order of arrival.
    pub headers: HeaderMap,
    /// As much of the body as came.
    pub body: Bytes,
    /// False when the body broke off.
    pub whole: bool,
    /// Which connection of this subscriber, from 1.
    pub connection: u64,
    /// When the whole request was there.
    pub at: Instant,
}

impl Recorded {
    /// The first header of that name as text; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }
}

/// A running subscriber. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Subscriber {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    script: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    requests: Mutex<Vec<Recorded>>,
    recording: AtomicBool,
    count: watch::Sender<usize>,
    connections: AtomicU64,
    close_next: AtomicUsize,
}

impl Subscriber {
    /// Starts one that answers 202 to everything.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        Subscriber::bind(None).await
    }

    /// Starts one at that port.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn on(listener: std::net::TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        Subscriber::serving(TcpListener::from_std(listener)?, None)
    }

    /// Starts one that speaks TLS.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_tls(acceptor: TlsAcceptor) -> Result<Self> {
        Subscriber::bind(Some(acceptor)).await
    }

    async fn bind(tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("a port for a subscriber")?;
        Subscriber::serving(listener, tls)
    }

    fn serving(listener: TcpListener, tls: Option<TlsAcceptor>) -> Result<Self> {
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State {
            script: Mutex::default(),
            otherwise: Mutex::new(Answer::status(202)),
            requests: Mutex::default(),
            recording: AtomicBool::new(true),
            count: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            close_next: AtomicUsize::new(0),
        });
        let server = tokio::spawn(serve(listener, tls, Arc::clone(&state)));
        Ok(Subscriber {
            address,
            scheme,
            state,
            server,
        })
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with that path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        match self.scheme {
            // A certificate is for a name.
            "https" => format!("https://localhost:{}{path}", self.address.port()),
            scheme => format!("{scheme}://{}{path}", self.address),
        }
    }

    /// Appends to the script: one answer for each request, in the order in which the requests are complete.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.state.script).extend(answers);
    }

    /// What it answers when the script is at its end; 202 at first.
    pub fn otherwise(&self, answer: Answer) {
        *lock(&self.state.otherwise) = answer;
    }

    /// Accepts the next `count` connections and closes them at once.
    pub fn close_next_connections(&self, count: usize) {
        self.state.close_next.store(count, Ordering::SeqCst);
    }

    /// Stops keeping requests; they are still counted. For long runs.
    pub fn forget_requests(&self) {
        self.state.recording.store(false, Ordering::SeqCst);
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.state.requests).clone()
    }

    /// How many requests so far.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// The only request.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn only(&self) -> Result<Recorded> {
        let mut requests = self.requests();
        match (requests.pop(), requests.len()) {
            (Some(request), 0) => Ok(request),
            (_, more) => bail!(
                "expected exactly one request, got {}",
                if more == 0 { 0 } else { more + 1 }
            ),
        }
    }

    /// Waits until at least `count` requests have come, and gives all.
    ///
    /// # Errors
    /// When the deadline has passed; the text says how many came.
    pub async fn await_count(&self, count: usize, deadline: Duration) -> Result<Vec<Recorded>> {
        let mut seen = self.state.count.subscribe();
        let enough = within("requests", deadline, seen.wait_for(|now| *now >= count))
            .await
            .map(|reached| reached.is_ok());
        match enough {
            Ok(true) => Ok(self.requests()),
            _ => bail!(
                "waited {deadline:?} for {count} requests at {}, got {}",
                self.address,
                self.count()
            ),
        }
    }

    /// Closes the port and every connection, and returns when that is done.
    pub async fn stop(mut self) {
        self.server.abort();
        // It ends by cancellation; there is nothing else to learn.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A poisoned lock means that another test task panicked, which fails the test anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let close = state
            .close_next
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if close.is_ok() {
            continue;
        }
        connections.spawn(connection(stream, tls.clone(), Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
    let _ = stream.set_nodelay(true);
    // A second handle on the socket lets a raw answer write past hyper.
    let Ok(socket) = SockRef::from(&stream)
        .try_clone()
        .map(|socket| Arc::new(std::net::TcpStream::from(socket)))
    else {
        return;
    };
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        let socket = Arc::clone(&socket);
        async move { answer(request, number, &state, &socket).await }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().max_buf_size(1 << 20);
    // How a connection ends is the gateway's business, not an error of the subscriber.
    match tls {
        None => {
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: u64,
    state: &State,
    socket: &std::net::TcpStream,
) -> io::Result<Response<Full<Bytes>>> {
    let request = record(request, connection).await;
    if state.recording.load(Ordering::SeqCst) {
        lock(&state.requests).push(request.clone());
    }
    let scripted = lock(&state.script).pop_front();
    let mut next = scripted.unwrap_or_else(|| lock(&state.otherwise).clone());
    state.count.send_modify(|count| *count += 1);
    loop {
        next = match next {
            Answer::Respond { status, message } => {
                let mut response = Response::new(Full::new(message.body));
                *response.status_mut() = status;
                *response.headers_mut() = message.headers;
                return Ok(response);
            }
            Answer::Gated(gate, inner) => {
                gate.passed().await;
                *inner
            }
            Answer::Worked(work, inner) => {
                work.done().await;
                *inner
            }
            Answer::Hang => std::future::pending().await,
            Answer::Raw(bytes, ending) => return Err(write_raw(socket, &bytes, ending).await),
            Answer::With(decide) => decide(&request),
        };
    }
}

async fn record(request: Request<Incoming>, connection: u64) -> Recorded {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Recorded {
        method: head.method,
        path: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        version: head.version,
        headers: head.headers,
        body: bytes.into(),
        whole,
        connection,
        at: Instant::now(),
    }
}

/// Writes past hyper, and gives an error, upon which hyper drops its half of the socket.
async fn write_raw(socket: &std::net::TcpStream, bytes: &[u8], ending: Ending) -> io::Error {
    let written = async {
        let mut stream = TcpStream::from_std(socket.try_clone()?)?;
        stream.write_all(bytes).await?;
        match ending {
            Ending::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Ending::Close => stream.shutdown().await,
        }
    };
    written
        .await
        .err()
        .unwrap_or_else(|| io::Error::other("the raw answer ends the connection"))
}
