//! An HTTP/1.1 client with kept connections to one address; the same for the sender and for steps that forward.

use crate::frames::Frames;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use tokio::net::TcpStream;

/// Connections to one address, as many as there are requests at once.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    host: String,
    idle: Mutex<Vec<SendRequest<Frames>>>,
}

impl Client {
    /// A client with no connection yet.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
            idle: Mutex::default(),
        }
    }

    /// Sends a request and reads the answer whole.
    ///
    /// # Errors
    /// Any failure of the connection; nothing is tried twice.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<Frames>,
    ) -> Result<(StatusCode, Frames)> {
        let host = self.host.parse().context("host")?;
        request.headers_mut().insert(header::HOST, host);
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let address = self.address;
        connection
            .ready()
            .await
            .with_context(|| format!("connection to {address}"))?;
        let response = connection
            .send_request(request)
            .await
            .with_context(|| format!("request to {address}"))?;
        let status = response.status();
        let body = Frames::read(response.into_body())
            .await
            .with_context(|| format!("answer of {address}"))?;
        self.keep(connection);
        Ok((status, body))
    }

    /// Calls a control endpoint and reads JSON.
    ///
    /// # Errors
    /// As [`Client::exchange`], or an answer that is not 200 with the JSON expected.
    pub(crate) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T> {
        let body = Frames::of([Bytes::from(serde_json::to_vec(body)?)]);
        let (status, answer) = self.exchange(Request::post(path).body(body)?).await?;
        let answer = answer.joined();
        if status != StatusCode::OK {
            bail!(
                "{path} of {}: {status}: {}",
                self.address,
                String::from_utf8_lossy(&answer)
            );
        }
        serde_json::from_slice(&answer).with_context(|| format!("answer to {path}"))
    }

    fn take(&self) -> Option<SendRequest<Frames>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // the last one used: its caches are warm
        while let Some(connection) = idle.pop() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: SendRequest<Frames>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    async fn connect(&self) -> Result<SendRequest<Frames>> {
        let address = self.address;
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // its errors reach whoever waits for the answer
        tokio::spawn(connection);
        Ok(sender)
    }
}
