//! A producer: an HTTP/1.1 client that keeps one connection, and gives back status, headers and body.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::event::Message;
use crate::poll::within;

/// The bound of one request; the gateway answers only when all is settled.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// The status as a number.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of that name as text; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default()
    }
}

/// A client of one address. Reconnects when its connection has ended.
#[derive(Debug)]
pub struct Sender {
    address: SocketAddr,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
}

impl Sender {
    /// A client of that address; connects at the first request.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Sender {
            address,
            connection: None,
        }
    }

    /// POSTs an event to a path.
    ///
    /// # Errors
    /// When there is no whole response within 30 s.
    pub async fn post(&mut self, path: &str, message: &Message) -> Result<Response> {
        self.request(Method::POST, path, message).await
    }

    /// Sends any request. A `Host` header in `message` replaces the address.
    ///
    /// # Errors
    /// When there is no whole response within 30 s.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        message: &Message,
    ) -> Result<Response> {
        let what = format!("{method} {path}");
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().with_context(|| format!("path {path}"))?;
        *request.headers_mut() = message.headers.clone();
        if !request.headers().contains_key(HOST) {
            request
                .headers_mut()
                .insert(HOST, HeaderValue::from_str(&self.address.to_string())?);
        }
        within(&what, PATIENCE, self.exchange(request))
            .await?
            .with_context(|| what)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response> {
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.ready().await.is_err()
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("response body")?.to_bytes();
        self.connection = Some(connection);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Event, Gate, Spec, Subscriber};

    #[tokio::test]
    async fn script_then_otherwise_and_one_connection() {
        let subscriber = Subscriber::start().await.unwrap();
        subscriber.script([Answer::status(503), Answer::reply(&Event::min(Spec::V10))]);
        let mut sender = Sender::new(subscriber.address());
        let event = Event::full(Spec::V10).binary();
        let mut codes = Vec::new();
        for _ in 0..3 {
            codes.push(sender.post("/x?y=1", &event).await.unwrap().code());
        }
        assert_eq!(codes, [503, 200, 202]);
        let requests = subscriber.await_count(3, PATIENCE).await.unwrap();
        assert!(
            requests.iter().all(|request| request.connection == 1
                && request.path == "/x?y=1"
                && request.whole)
        );
        assert_eq!(
            Event::of(&requests[0]).unwrap().texts(),
            Event::full(Spec::V10).texts()
        );
    }

    #[tokio::test]
    async fn raw_answers_break_the_exchange_and_only_that() {
        let subscriber = Subscriber::start().await.unwrap();
        let mut sender = Sender::new(subscriber.address());
        for broken in [
            Answer::reset(),
            Answer::reset_mid_response(),
            Answer::truncated(),
        ] {
            subscriber.script([broken]);
            sender.post("/", &Message::default()).await.unwrap_err();
            assert_eq!(
                sender.post("/", &Message::default()).await.unwrap().code(),
                202
            );
        }
        subscriber.close_next_connections(1);
        Sender::new(subscriber.address())
            .post("/", &Message::default())
            .await
            .unwrap_err();
        assert_eq!(
            Sender::new(subscriber.address())
                .post("/", &Message::default())
                .await
                .unwrap()
                .code(),
            202
        );
    }

    #[tokio::test]
    async fn a_gate_holds_the_answer_and_stop_refuses() {
        let subscriber = Subscriber::start().await.unwrap();
        let gate = Gate::closed();
        subscriber.script([Answer::status(200).behind(&gate)]);
        let mut sender = Sender::new(subscriber.address());
        let message = Message::default();
        let send = sender.post("/", &message);
        let open = async {
            subscriber.await_count(1, PATIENCE).await.unwrap();
            gate.open();
        };
        let (response, ()) = tokio::join!(send, open);
        assert_eq!(response.unwrap().code(), 200);
        let address = subscriber.address();
        subscriber.stop().await;
        Sender::new(address)
            .post("/", &Message::default())
            .await
            .unwrap_err();
    }
}
