//! A subscriber in the hands of the test: it reads each request as slowly as the test wants, and writes raw bytes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::poll::{SOON, within};

/// Receive buffer of a connection, in bytes: what the kernel takes for a subscriber that does not read is little, so
/// that the gateway feels it.
const BUFFER: usize = 16 * 1024;
/// Most bytes of a head.
const MAX_HEAD: usize = 256 * 1024;

/// A port where nothing is answered unless the test does it. HTTP/1.1 only.
#[derive(Debug)]
pub struct Tap {
    listener: TcpListener,
    address: SocketAddr,
}

/// One request of which the head has been read.
#[derive(Debug)]
pub struct Tapped {
    stream: TcpStream,
    read: BytesMut,
    /// Request line and headers, without the blank line.
    pub head: String,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What came before the end and had not been read.
    pub rest: Bytes,
    /// True when it was reset instead of closed.
    pub reset: bool,
}

impl Tap {
    /// Listens.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(128)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = listener.local_addr()?;
        Ok(Tap { listener, address })
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

    /// The next connection and the head of its first request.
    ///
    /// # Errors
    /// When there is none soon.
    pub async fn next(&self) -> Result<Tapped> {
        let (stream, _) = within("a request", SOON, self.listener.accept()).await??;
        stream.set_nodelay(true)?;
        Tapped::on(stream, BytesMut::new()).await
    }
}

impl Tapped {
    async fn on(stream: TcpStream, read: BytesMut) -> Result<Self> {
        let mut tapped = Tapped {
            stream,
            read,
            head: String::new(),
        };
        let reading = async {
            loop {
                let end = tapped.read.windows(4).position(|four| four == b"\r\n\r\n");
                if let Some(end) = end {
                    let head = tapped.read.split_to(end + 4);
                    tapped.head =
                        String::from_utf8_lossy(head.get(..end).unwrap_or_default()).into();
                    return Ok(tapped);
                }
                ensure!(tapped.read.len() < MAX_HEAD, "a head without end");
                ensure!(tapped.more().await? > 0, "the connection ended in the head");
            }
        };
        within("the head of a request", SOON, reading).await?
    }

    async fn more(&mut self) -> Result<usize> {
        let read = self.stream.read_buf(&mut self.read);
        within("bytes of a request", SOON, read)
            .await?
            .context("read")
    }

    /// The first header of that name; empty when absent.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    }

    /// Reads exactly that many bytes of the body.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn read(&mut self, count: usize) -> Result<Bytes> {
        while self.read.len() < count {
            if self.more().await? == 0 {
                bail!("the body ended after {} of {count} bytes", self.read.len());
            }
        }
        Ok(self.read.split_to(count).freeze())
    }

    /// Reads the body to its `Content-Length`; without one there is no body.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn body(&mut self) -> Result<Bytes> {
        let length = match self.header("content-length").as_str() {
            "" => 0,
            length => length.parse().context("content-length")?,
        };
        self.read(length).await
    }

    /// Reads until the gateway ends the connection.
    ///
    /// # Errors
    /// When it does not within the deadline.
    pub async fn ended(mut self, deadline: Duration) -> Result<Ended> {
        let mut rest = self.read.to_vec();
        let read = within(
            "the gateway's end",
            deadline,
            self.stream.read_to_end(&mut rest),
        );
        let reset = read.await?.is_err();
        Ok(Ended {
            rest: rest.into(),
            reset,
        })
    }

    /// Writes raw bytes.
    ///
    /// # Errors
    /// When the gateway has gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let write = self.stream.write_all(bytes.as_ref());
        within("the gateway to read", SOON, write)
            .await?
            .context("write")
    }

    /// Answers, and keeps the connection: `status` is code and reason, `headers` are whole lines that end in CRLF.
    ///
    /// # Errors
    /// When the gateway has gone.
    pub async fn answer(&mut self, status: &str, headers: &str, body: &[u8]) -> Result<()> {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.write(head).await?;
        self.write(body).await
    }

    /// Reads the body to its end, answers 202 and closes; gives the body.
    ///
    /// # Errors
    /// When the body does not come whole.
    pub async fn take(mut self) -> Result<Bytes> {
        let body = self.body().await?;
        self.answer("202 Accepted", "Connection: close\r\n", b"")
            .await?;
        self.stream.shutdown().await.context("shutdown")?;
        Ok(body)
    }

    /// Ends the sending half: FIN.
    ///
    /// # Errors
    /// When the gateway has gone.
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
