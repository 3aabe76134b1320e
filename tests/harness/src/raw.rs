//! A raw TCP client for hostile input: partial heads, bad bytes, slow and broken bodies.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::poll::within;

/// The head of a POST with a minimal event, without its blank line: add `Content-Length` and the like.
#[must_use]
pub fn event_head(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: towpath\r\nce-specversion: 1.0\r\nce-id: raw\r\nce-source: /raw\r\nce-type: raw\r\n"
    )
}

/// One raw connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

/// What a raw connection read until its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Every byte, as text.
    pub text: String,
    /// True when the connection was reset instead of closed.
    pub reset: bool,
}

impl Read {
    /// The status of the (first) response; 0 when there was none.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or(0)
    }
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Raw { stream })
    }

    /// Writes all bytes.
    ///
    /// # Errors
    /// When the peer has gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).await.context("write")
    }

    /// Writes and reads at the same time, as a client does that is still sending when the answer comes: how many
    /// bytes of `body` were taken, and what came back.
    ///
    /// # Errors
    /// When the peer does not end within the deadline.
    pub async fn write_while_reading(
        self,
        body: &[u8],
        deadline: Duration,
    ) -> Result<(usize, Read)> {
        let (mut read, mut write) = self.stream.into_split();
        let sending = async {
            let mut sent = 0;
            for chunk in body.chunks(64 * 1024) {
                if write.write_all(chunk).await.is_err() {
                    break;
                }
                sent += chunk.len();
            }
            // Kept open: the server, not the end of the client, ends the exchange.
            (sent, write)
        };
        let receiving = read_to_end(&mut read);
        let ((sent, _write), read) = within("the peer's end", deadline, async {
            tokio::join!(sending, receiving)
        })
        .await?;
        Ok((sent, read))
    }

    /// Waits until the peer has sent something, or has ended, without reading it.
    ///
    /// # Errors
    /// When nothing comes within the deadline.
    pub async fn answered(&self, deadline: Duration) -> Result<()> {
        within(
            "the first byte of an answer",
            deadline,
            self.stream.readable(),
        )
        .await?
        .context("readable")
    }

    /// Reads until the peer ends the connection.
    ///
    /// # Errors
    /// When it does not within the deadline.
    pub async fn read_to_end(&mut self, deadline: Duration) -> Result<Read> {
        within("the peer's end", deadline, read_to_end(&mut self.stream)).await
    }

    /// Reads one response with a Content-Length, or without a body, and leaves the connection open.
    ///
    /// # Errors
    /// When there is none within the deadline.
    pub async fn read_response(&mut self, deadline: Duration) -> Result<Read> {
        let reading = async {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            loop {
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && body.len() >= content_length(head)
                {
                    return Ok(Read { text, reset: false });
                }
                match self.stream.read(&mut buffer).await.context("read")? {
                    0 => bail!("the connection ended after {text:?}"),
                    count => text.push_str(&String::from_utf8_lossy(
                        buffer.get(..count).unwrap_or_default(),
                    )),
                }
            }
        };
        within("a response", deadline, reading).await?
    }

    /// Ends the sending half: FIN.
    ///
    /// # Errors
    /// When the peer has gone.
    pub async fn finish(&mut self) -> Result<()> {
        self.stream.shutdown().await.context("shutdown")
    }

    /// Ends with a reset.
    ///
    /// # Errors
    /// When the socket refuses the option.
    pub fn reset(self) -> Result<()> {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .context("linger")
    }
}

fn content_length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0)
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Read {
    let mut bytes = Vec::new();
    let reset = stream.read_to_end(&mut bytes).await.is_err();
    Read {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        reset,
    }
}
