//! The HTTP client under the object store: hyper, one TLS stack, and a bound on the time without progress.

use std::error::Error;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use rustls::ClientConfig;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Time for a connection to be made: a host that is not there must not cost a hop its whole delivery timeout.
const CONNECT: Duration = Duration::from_secs(3);
/// Idle connections are closed before the servers at the other end do that, which would meet a request on its way.
const IDLE: Duration = Duration::from_secs(4);
/// Most bytes that count as one step of progress.
const STEP: usize = 256 << 10;

/// Makes clients for the object store and for the services that give it credentials.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    tls: Arc<ClientConfig>,
    patience: Duration,
}

impl Connector {
    pub(super) fn new(tls: ClientConfig, patience: Duration) -> Self {
        Self {
            tls: Arc::new(tls),
            patience,
        }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut tcp = Tcp::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&self.tls))
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(HttpClient::new(Service {
            client,
            patience: self.patience,
        }))
    }
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<Tcp>, Sending>,
    patience: Duration,
}

impl HttpService for Service {
    // what `#[async_trait]` makes of an async function
    fn call<'a, 's>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'s, Result<HttpResponse, HttpError>>
    where
        'a: 's,
        Self: 's,
    {
        Box::pin(async move {
            let moved = Arc::new(AtomicU64::new(0));
            let request = request.map(|body| Sending {
                body,
                rest: Bytes::new(),
                moved: Arc::clone(&moved),
            });
            let mut response = self.client.request(request);
            let response = loop {
                let before = moved.load(Ordering::Relaxed);
                match timeout(self.patience, &mut response).await {
                    Ok(response) => {
                        break response.map_err(|error| failed(error.is_connect(), error))?;
                    }
                    Err(_) if moved.load(Ordering::Relaxed) != before => {}
                    Err(_) => return Err(stalled(self.patience)),
                }
            };
            Ok(response.map(|body| {
                HttpResponseBody::new(Receiving {
                    body,
                    patience: self.patience,
                    timer: Box::pin(sleep(self.patience)),
                    waiting: false,
                })
            }))
        })
    }
}

/// A request's body that says how far it has come.
struct Sending {
    body: HttpRequestBody,
    /// Of a frame that was too long to be one step.
    rest: Bytes,
    moved: Arc<AtomicU64>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            }
        }
        self.moved.fetch_add(1, Ordering::Relaxed);
        let step = self.rest.len().min(STEP);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(step)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(body + self.rest.len() as u64)
    }
}

/// A response's body that fails when nothing comes though it is asked for.
struct Receiving {
    body: Incoming,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs.
    waiting: bool,
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| failed(false, error))));
        }
        let patience = self.patience;
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + patience);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(stalled(patience))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("nothing moved for {0:?}")]
struct Stalled(Duration);

fn stalled(patience: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Stalled(patience))
}

/// What kind of failure it was decides whether the request is tried again.
fn failed(connect: bool, error: impl Error + Send + Sync + 'static) -> HttpError {
    let mut kind = if connect {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Unknown
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while kind == HttpErrorKind::Unknown
        && let Some(error) = cause
    {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_canceled() || error.is_closed() {
                kind = HttpErrorKind::Request;
            } else if error.is_incomplete_message() || error.is_body_write_aborted() {
                kind = HttpErrorKind::Interrupted;
            } else if error.is_timeout() {
                kind = HttpErrorKind::Timeout;
            }
        } else if let Some(error) = error.downcast_ref::<std::io::Error>() {
            kind = match error.kind() {
                ErrorKind::TimedOut => HttpErrorKind::Timeout,
                ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => HttpErrorKind::Interrupted,
                _ => HttpErrorKind::Unknown,
            };
        }
        cause = error.source();
    }
    HttpError::new(kind, error)
}
