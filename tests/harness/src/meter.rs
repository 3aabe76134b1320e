//! A subscriber that measures bodies instead of keeping them, and replies as the bytes come. HTTP/1.1 only.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::answer::Gate;
use crate::measure::{Flow, Measure, Measuring};
use crate::poll::within;

/// One request of which nothing is kept but its measure.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Of the body; of what `ce-dataref` names, if the payload was shown by reference.
    pub data: Measure,
    /// When its head came.
    pub began: Instant,
    /// When its data had come.
    pub ended: Instant,
}

impl Measured {
    /// The first header of that name as text; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        text(&self.headers, name)
    }
}

/// What it answers.
#[derive(Debug, Clone)]
enum Role {
    /// 202 when the body is whole and the gate is open.
    Sink(Gate),
    /// The event itself, as its bytes come; with another type, if there is one.
    Echo(Option<&'static str>),
}

/// A running one. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Meter {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    role: Role,
    /// Bytes of bodies so far.
    received: watch::Sender<u64>,
    requests: Mutex<Vec<Measured>>,
    /// Why an exchange did not end well.
    troubles: Mutex<Vec<String>>,
}

impl Meter {
    /// One that answers 202.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn sink() -> Result<Self> {
        let open = Gate::closed();
        open.open();
        Meter::gated(&open).await
    }

    /// One that answers 202 when it has the whole data and the gate is open.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn gated(gate: &Gate) -> Result<Self> {
        Meter::start(Role::Sink(gate.clone())).await
    }

    /// One that replies with the event that comes, while it comes; what was shown by reference it passes on by
    /// reference.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn echo() -> Result<Self> {
        Meter::start(Role::Echo(None)).await
    }

    /// As [`Meter::echo`], with that type.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn echo_as(kind: &'static str) -> Result<Self> {
        Meter::start(Role::Echo(Some(kind))).await
    }

    /// As [`Meter::sink`], or as [`Meter::echo`], at that port.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn on(listener: std::net::TcpListener, echoes: bool) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let open = Gate::closed();
        open.open();
        let role = if echoes {
            Role::Echo(None)
        } else {
            Role::Sink(open)
        };
        Meter::serving(TcpListener::from_std(listener)?, role)
    }

    async fn start(role: Role) -> Result<Self> {
        Meter::serving(TcpListener::bind("127.0.0.1:0").await?, role)
    }

    fn serving(listener: TcpListener, role: Role) -> Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            role,
            received: watch::Sender::new(0),
            requests: Mutex::default(),
            troubles: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Meter {
            address,
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
        format!("http://{}{path}", self.address)
    }

    /// All requests whose data is there.
    ///
    /// # Errors
    /// When any exchange did not end well; the text says why.
    pub fn requests(&self) -> Result<Vec<Measured>> {
        let lock = |poisoned: PoisonError<_>| poisoned.into_inner();
        let troubles = self.state.troubles.lock().unwrap_or_else(lock).join("; ");
        ensure!(troubles.is_empty(), "{}: {troubles}", self.address);
        let requests = self.state.requests.lock();
        Ok(requests.unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The last request whose data is there.
    ///
    /// # Errors
    /// When there is none, or any exchange did not end well.
    pub fn last(&self) -> Result<Measured> {
        self.requests()?.pop().context("nothing came")
    }

    /// Waits until that many bytes of data have come, of all requests together.
    ///
    /// # Errors
    /// When the deadline has passed; the text says how many came.
    pub async fn await_bytes(&self, count: u64, deadline: Duration) -> Result<()> {
        let mut received = self.state.received.subscribe();
        let enough = received.wait_for(|now| *now >= count);
        let reached = within("bytes", deadline, enough).await.is_ok();
        let now = *self.state.received.borrow();
        ensure!(reached, "{now} of {count} bytes came within {deadline:?}");
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl State {
    fn trouble(&self, error: &anyhow::Error) {
        let troubles = self.troubles.lock();
        let mut troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        troubles.push(format!("{error:#}"));
    }

    fn keep(&self, measured: Measured) {
        let requests = self.requests.lock();
        requests
            .unwrap_or_else(PoisonError::into_inner)
            .push(measured);
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        // How a connection ends is the gateway's business.
        connections.spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Flow>> {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let headers = head.headers;
    let mut response = Response::new(Flow::empty());
    let (gate, flow) = match &state.role {
        Role::Sink(gate) => {
            *response.status_mut() = StatusCode::ACCEPTED;
            (Some(gate.clone()), None)
        }
        Role::Echo(kind) => {
            let event = headers
                .iter()
                .filter(|(name, _)| name.as_str().starts_with("ce-") || *name == CONTENT_TYPE);
            let kept = event.map(|(name, value)| (name.clone(), value.clone()));
            response.headers_mut().extend(kept);
            if let Some(kind) = kind {
                let kind = HeaderValue::from_static(kind);
                response.headers_mut().insert("ce-type", kind);
            }
            let length = text(&headers, CONTENT_LENGTH.as_str()).parse().ok();
            // By reference there is no body to send on.
            let (chunks, flow) = Flow::new(length);
            (
                None,
                text(&headers, "ce-dataref")
                    .is_empty()
                    .then_some((chunks, flow)),
            )
        }
    };
    let (chunks, flow) = flow.unzip();
    let streams = flow.is_some();
    if let Some(flow) = flow {
        *response.body_mut() = flow;
    }
    let book = Arc::clone(&state);
    let measuring = async move {
        match measure(&headers, body, chunks.as_ref(), &book).await {
            Ok(data) => book.keep(Measured {
                path,
                headers,
                data,
                began,
                ended: Instant::now(),
            }),
            Err(error) => book.trouble(&error),
        }
        // Only now the reply ends: who waits for it finds the request here.
        drop(chunks);
    };
    if streams {
        tokio::spawn(measuring);
    } else {
        measuring.await;
    }
    if let Some(gate) = gate {
        gate.passed().await;
    }
    Ok(response)
}

/// Measures the data, wherever it is, and sends it on.
async fn measure(
    headers: &HeaderMap,
    body: Incoming,
    to: Option<&mpsc::Sender<Bytes>>,
    state: &State,
) -> Result<Measure> {
    let reference = text(headers, "ce-dataref");
    if let Some(path) = reference.strip_prefix("file://") {
        return in_file(path);
    }
    let body = match reference.as_str() {
        "" => body,
        url => fetch(url).await?,
    };
    let mut measuring = Measuring::default();
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the data broke off")?.into_data() else {
            continue;
        };
        measuring.add(&data);
        let length = data.len() as u64;
        state.received.send_modify(|received| *received += length);
        if let Some(to) = to {
            to.send(data).await.context("nobody takes the reply")?;
        }
    }
    Ok(measuring.end())
}

fn in_file(path: &str) -> Result<Measure> {
    let mut file = std::fs::File::open(path).with_context(|| path.to_owned())?;
    let mut measuring = Measuring::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(measuring.end()),
            count => measuring.add(buffer.get(..count).unwrap_or_default()),
        }
    }
}

async fn fetch(url: &str) -> Result<Incoming> {
    let rest = url.strip_prefix("http://").context("not http")?;
    let (host, _) = rest.split_once('/').context("no path")?;
    let path = rest.strip_prefix(host).unwrap_or_default();
    let stream = TcpStream::connect(host).await?;
    let (mut connection, driver) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(driver);
    let request = Request::get(path).header(HOST, host);
    let request = request.body(Empty::<Bytes>::new())?;
    let response = connection.send_request(request).await?;
    if response.status() != StatusCode::OK {
        bail!("{url}: {}", response.status());
    }
    Ok(response.into_body())
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Pattern, Producer};
    use crate::poll::SOON;

    #[tokio::test]
    async fn an_echo_sends_on_what_it_measures() {
        let echo = Meter::echo_as("other").await.unwrap();
        for length in [None, Some(200_000)] {
            let headers = [("ce-type", "t")].map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            let headers = headers.into_iter().collect();
            let producer = Producer::post(echo.address, "/x", headers, length);
            let producer = producer.await.unwrap();
            for chunk in Pattern::new(3, 200_000) {
                producer.send(chunk).await;
            }
            let response = producer.end(SOON).await.unwrap();
            let mut measuring = Measuring::default();
            measuring.add(&response.body);
            let last = echo.last().unwrap();
            assert_eq!(measuring.end(), last.data);
            assert_eq!(last.data, Pattern::new(3, 200_000).measure());
            assert_eq!(response.header("ce-type"), "other");
            let known = response.headers.contains_key("content-length");
            assert_eq!(known, length.is_some());
        }
    }
}
