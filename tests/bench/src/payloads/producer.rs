//! A producer of bulky events: one connection for each, written and read at once, so that an early refusal is heard.

use super::pace::Pace;
use super::pattern::Pattern;
use crate::clock::now_nanos;
use crate::control::{ID, SENT};
use crate::systems::Entry;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// Longest answer that is read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// How long an answer may take after the connection was found broken.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// An event to send.
#[derive(Debug, Clone)]
pub(super) struct Post {
    /// Its number: the body follows from it.
    pub(super) number: u64,
    /// Bytes of its body.
    pub(super) size: u64,
    /// Pace of the body; as fast as it goes, if none.
    pub(super) bytes_per_second: Option<u64>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<Duration>,
    /// What the answer says.
    pub(super) text: String,
    /// When the first byte was written, on the shared clock.
    pub(super) began: u64,
    /// When the last byte of the body was written; none if the answer came before.
    pub(super) ended: Option<u64>,
}

impl Answer {
    /// The moment at which the last byte was written, of an event that was taken.
    ///
    /// # Errors
    /// Any status other than 202, or an answer before the end of the body.
    pub(super) fn taken(&self) -> Result<u64> {
        if self.status != 202 {
            bail!("answered {}: {}", self.status, self.text);
        }
        self.ended
            .context("answered 202 before it had the whole body")
    }
}

/// POSTs one event on a connection of its own and reads the answer, be it early.
///
/// # Errors
/// The connection breaks without an answer, or the answer is not HTTP/1.1.
pub(super) async fn post(entry: &Entry, pattern: &Pattern, post: &Post) -> Result<Answer> {
    let mut stream = TcpStream::connect(entry.address)
        .await
        .with_context(|| format!("cannot connect to {}", entry.address))?;
    stream.set_nodelay(true)?;
    let (mut reader, writer) = stream.split();
    let began = now_nanos();
    let send = send(writer, entry, pattern, post, began);
    let receive = receive(&mut reader);
    tokio::pin!(send, receive);
    let (ended, answer) = tokio::select! {
        answer = &mut receive => (None, answer?),
        sent = &mut send => match sent {
            Ok(ended) => (Some(ended), receive.await?),
            Err(error) => {
                // who refuses early closes, but has said why
                let said = tokio::time::timeout(LAST_WORDS, receive).await;
                let said = said.ok().and_then(Result::ok);
                (None, said.with_context(|| format!("event {}: {error:#}", post.number))?)
            }
        },
    };
    let (status, retry_after, text) =
        read(&answer).with_context(|| format!("answer {:?}", String::from_utf8_lossy(&answer)))?;
    Ok(Answer {
        status,
        retry_after,
        text,
        began,
        ended,
    })
}

async fn send(
    mut writer: WriteHalf<'_>,
    entry: &Entry,
    pattern: &Pattern,
    post: &Post,
    began: u64,
) -> Result<u64> {
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nce-specversion: 1.0\r\n{ID}: {}\r\nce-source: /bench/producer\r\n\
         ce-type: dev.towpath.bench\r\n{SENT}: {began}\r\ncontent-type: application/octet-stream\r\n\
         content-length: {}\r\n\r\n",
        entry.path, entry.address, post.number, post.size
    );
    writer.write_all(head.as_bytes()).await?;
    let mut pace = post
        .bytes_per_second
        .map(|rate| Pace::new(rate, now_nanos()));
    let mut sent = 0;
    while sent < post.size {
        let permitted = paced(pace.as_mut(), post.size - sent).await;
        let piece = pattern.piece(post.number, sent, permitted);
        writer
            .write_all(&piece)
            .await
            .with_context(|| format!("broken after {sent} bytes"))?;
        sent += piece.len() as u64;
    }
    Ok(now_nanos())
}

/// How many of `wanted` bytes may go; waits until some may.
pub(super) async fn paced(pace: Option<&mut Pace>, wanted: u64) -> u64 {
    // what was permitted goes in one piece, which is at most so long
    let wanted = wanted.min(super::pattern::PIECE as u64);
    let Some(pace) = pace else { return wanted };
    loop {
        match pace.take(now_nanos(), wanted) {
            Ok(permitted) => return permitted,
            Err(wait) => tokio::time::sleep(wait).await,
        }
    }
}

/// Reads until the answer's body, as its head announces it, is there.
async fn receive(reader: &mut ReadHalf<'_>) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    loop {
        if is_whole(&answer) {
            return Ok(answer);
        }
        if answer.len() > LONGEST_ANSWER {
            bail!("the answer is over {LONGEST_ANSWER} bytes long");
        }
        if reader.read_buf(&mut answer).await? == 0 {
            if find_end(&answer).is_some() {
                return Ok(answer);
            }
            bail!("the connection was closed without an answer");
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = find_end(answer) else {
        return false;
    };
    let head = answer.get(..end).unwrap_or_default();
    let length = header(head, "content-length").and_then(|text| text.parse().ok());
    answer.len() - end >= length.unwrap_or(0)
}

/// Where the head ends: the first byte of the body.
fn find_end(answer: &[u8]) -> Option<usize> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = str::from_utf8(head).ok()?;
    text.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn read(answer: &[u8]) -> Option<(u16, Option<Duration>, String)> {
    let end = find_end(answer)?;
    let head = answer.get(..end)?;
    let status = str::from_utf8(head)
        .ok()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?;
    let after = header(head, "retry-after").and_then(|text| text.parse().ok());
    let text = String::from_utf8_lossy(answer.get(end..)?).into_owned();
    Some((status.parse().ok()?, after.map(Duration::from_secs), text))
}

#[cfg(test)]
mod tests {
    use super::{Post, is_whole, post, read};
    use crate::payloads::pattern::Pattern;
    use crate::systems::Entry;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const REFUSAL: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nfull";

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        for cut in 0..REFUSAL.len() {
            assert!(!is_whole(&REFUSAL[..cut]), "{cut}");
        }
        assert!(is_whole(REFUSAL));
        let expected = (503, Some(Duration::from_secs(2)), "full".to_owned());
        assert_eq!(read(REFUSAL), Some(expected));
        assert_eq!(read(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap().0, 202);
        assert_eq!(read(b"garbage\r\n\r\n"), None);
    }

    async fn answered(answer: &'static [u8], first: usize) -> anyhow::Result<super::Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = vec![0; first];
            stream.read_exact(&mut bytes).await?;
            stream.write_all(answer).await?;
            // reads on, so that no reset overtakes the answer
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        });
        let entry = Entry {
            address,
            path: "/a/b".to_owned(),
        };
        let event = Post {
            number: 1,
            size: 8 << 20,
            bytes_per_second: None,
        };
        let answer = post(&entry, &Pattern::new(), &event).await;
        server.abort();
        answer
    }

    #[tokio::test]
    async fn an_early_refusal_is_heard_and_is_no_acceptance() {
        let answer = answered(REFUSAL, 100).await.unwrap();
        assert_eq!((answer.status, answer.ended), (503, None));
        let late = super::Answer {
            ended: Some(1),
            ..answer.clone()
        };
        for answer in [answer, late] {
            assert!(answer.taken().is_err(), "{answer:?}");
        }
        let early = answered(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", 100).await;
        assert!(early.unwrap().taken().is_err());
    }
}
