//! Bodies of any size that nobody keeps: made as they are sent, measured as they come.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::poll::within;
use crate::sender::Response;

/// The size of a chunk, in bytes; the last one may be smaller.
const CHUNK: usize = 64 * 1024;
/// Most chunks between who makes them and who sends them.
const AHEAD: usize = 4;

/// What is left of a body that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// In bytes.
    pub length: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// Measures bytes.
#[derive(Clone)]
pub struct Measuring {
    sha256: digest::Context,
    length: u64,
}

impl Default for Measuring {
    fn default() -> Self {
        Measuring {
            sha256: digest::Context::new(&SHA256),
            length: 0,
        }
    }
}

impl Measuring {
    /// Adds bytes at the end.
    pub fn add(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The measure of all bytes.
    #[must_use]
    pub fn end(self) -> Measure {
        let digits = |byte: &u8| format!("{byte:02x}");
        Measure {
            length: self.length,
            sha256: self.sha256.finish().as_ref().iter().map(digits).collect(),
        }
    }
}

/// Bytes made as they are needed. No chunk is like another one, so that a lost or doubled one shows.
#[derive(Debug, Clone)]
pub struct Pattern {
    seed: u64,
    made: u64,
    length: u64,
}

impl Pattern {
    /// That many bytes; another seed makes others.
    #[must_use]
    pub fn new(seed: u64, length: u64) -> Self {
        Pattern {
            seed,
            made: 0,
            length,
        }
    }

    /// The measure of what is left.
    #[must_use]
    pub fn measure(self) -> Measure {
        let mut measuring = Measuring::default();
        self.for_each(|chunk| measuring.add(&chunk));
        measuring.end()
    }
}

impl Iterator for Pattern {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let left = self.length - self.made;
        if left == 0 {
            return None;
        }
        let word = (self.seed << 40 | self.made).wrapping_add(1);
        let word = word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        let mut chunk = word.repeat(CHUNK / word.len());
        chunk.truncate(usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK)));
        self.made += chunk.len() as u64;
        Some(chunk.into())
    }
}

/// A body that comes through a channel; with a length it has a `Content-Length`, else it is chunked.
#[derive(Debug)]
pub struct Flow {
    chunks: mpsc::Receiver<Bytes>,
    length: Option<u64>,
}

impl Flow {
    /// A body and where its chunks go.
    #[must_use]
    pub fn new(length: Option<u64>) -> (mpsc::Sender<Bytes>, Self) {
        let (sender, chunks) = mpsc::channel(AHEAD);
        (sender, Flow { chunks, length })
    }

    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Flow::new(Some(0)).1
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = self.chunks.poll_recv(poller);
        next.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// A producer that sends one body piece by piece, on a connection of its own.
#[derive(Debug)]
pub struct Producer {
    chunks: mpsc::Sender<Bytes>,
    exchange: JoinHandle<Result<Response>>,
}

impl Producer {
    /// Sends the head of a POST.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn post(
        address: SocketAddr,
        path: &str,
        headers: HeaderMap,
        length: Option<u64>,
    ) -> Result<Self> {
        let (chunks, body) = Flow::new(length);
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().with_context(|| format!("path {path}"))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(&address.to_string())?;
        request.headers_mut().insert(HOST, host);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        let exchange = async move {
            let (head, body) = connection.send_request(request).await?.into_parts();
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.context("response body")?.to_bytes(),
            })
        };
        Ok(Producer {
            chunks,
            exchange: tokio::spawn(exchange),
        })
    }

    /// Sends bytes; returns when there is room for more. If the gateway has answered already, they go nowhere.
    pub async fn send(&self, bytes: Bytes) {
        // The answer says what went wrong.
        let _ = self.chunks.send(bytes).await;
    }

    /// Ends the body and waits for the response.
    ///
    /// # Errors
    /// When there is none within the deadline.
    pub async fn end(self, deadline: Duration) -> Result<Response> {
        drop(self.chunks);
        within("a response", deadline, self.exchange).await??
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_differ_and_the_measure_is_of_all() {
        let whole: Vec<Bytes> = Pattern::new(1, 200_000).collect();
        assert_eq!(whole.iter().map(Bytes::len).sum::<usize>(), 200_000);
        assert!(whole[0] != whole[1] && whole[0] != Pattern::new(2, 200_000).next().unwrap());
        let mut measuring = Measuring::default();
        measuring.add(&whole.concat());
        assert_eq!(measuring.end(), Pattern::new(1, 200_000).measure());
        // of FIPS 180-4: the digest of `abc`
        let mut measuring = Measuring::default();
        measuring.add(b"abc");
        let measure = measuring.end();
        assert_eq!(measure.length, 3);
        assert!(
            measure
                .sha256
                .starts_with("ba7816bf8f01cfea414140de5dae2223")
        );
    }
}
