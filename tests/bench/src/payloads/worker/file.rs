//! The step that works with files: opens what it is given, checks it, and leaves its reply beside it.

use super::head::{begin_hop, onward_headers, text_in};
use super::reference::empty;
use super::{Event, Kind, Reply, Worker, accepted};
use crate::clock::now_nanos;
use crate::frames::Frames;
use crate::payloads::pattern::{Check, PIECE, Pattern};
use crate::payloads::protocol::{DATAREF, left_file};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::Incoming;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of one sample, and how many samples beside both ends are compared in a file that is not compared whole.
const SAMPLE: u64 = 4096;
const SAMPLES: u64 = 16;

impl Worker {
    /// A hop ends when the file is open, or the body there if it came with one. Checks are done before the next hop
    /// begins; the reply's file lies there since before the round.
    pub(super) async fn file(&self, event: &Event, body: Incoming) -> Result<Response<Reply>> {
        if !event.head.headers.contains_key(DATAREF) {
            return self.inline(event, body).await;
        }
        let path = path_of(text_in(&event.head.headers, DATAREF)?)?;
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let at = now_nanos();
        empty(body).await?;
        check_file(&self.pattern, event, &file)?;
        self.saw(event, at, true)?;
        if event.kind == Kind::FileEnd {
            return accepted();
        }
        let out = event
            .expect
            .out
            .as_deref()
            .context("no folder for replies")?;
        let left = left_file(out, event.number, event.head.uri.path());
        let mut headers = without_reference(&event.head.headers);
        headers.insert(DATAREF, HeaderValue::from_str(&url_of(&left)?)?);
        let mut response = Response::new(Reply::default());
        begin_hop(&mut headers);
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn inline(&self, event: &Event, body: Incoming) -> Result<Response<Reply>> {
        let body = Frames::read(body).await?;
        let at = now_nanos();
        let mut check = Check::new(&self.pattern, event.number, event.expect.size);
        for frame in body.iter() {
            check.take(frame).map_err(anyhow::Error::msg)?;
        }
        check.end().map_err(anyhow::Error::msg)?;
        self.saw(event, at, false)?;
        if event.kind == Kind::FileEnd {
            return accepted();
        }
        let mut headers = onward_headers(&event.head.headers);
        let mut response = Response::new(Reply::whole(Bytes::from(body.joined())));
        begin_hop(&mut headers);
        *response.headers_mut() = headers;
        Ok(response)
    }
}

fn check_file(pattern: &Pattern, event: &Event, file: &File) -> Result<()> {
    let (number, size) = (event.number, event.expect.size);
    let length = file.metadata()?.len();
    if length != size {
        bail!("event {number}: the file has {length} bytes, not {size}");
    }
    if event.expect.whole_every <= 1 || number.is_multiple_of(event.expect.whole_every) {
        return check_whole(pattern, number, size, file);
    }
    let mut buffer = [0; SAMPLE as usize];
    for sample in 0..=SAMPLES {
        // the last one ends at the file's end
        let offset = size.saturating_sub(SAMPLE) / SAMPLES * sample;
        let offset = if sample == SAMPLES {
            size.saturating_sub(SAMPLE)
        } else {
            offset
        };
        let read = file.read_at(&mut buffer, offset)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() || !pattern.is_at(number, offset, bytes) {
            bail!("event {number}: the file differs within {read} bytes from {offset}");
        }
    }
    Ok(())
}

fn check_whole(pattern: &Pattern, number: u64, size: u64, mut file: &File) -> Result<()> {
    let mut check = Check::new(pattern, number, size);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return check.end().map_err(anyhow::Error::msg);
        }
        let bytes = buffer.get(..read).unwrap_or_default();
        check.take(bytes).map_err(anyhow::Error::msg)?;
    }
}

/// The path of a `file:` URL.
fn path_of(url: &str) -> Result<PathBuf> {
    let rest = url
        .strip_prefix("file://")
        .with_context(|| format!("{url} is no file URL"))?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') || path.contains('%') {
        bail!("{url}: only plain absolute paths are expected here");
    }
    Ok(PathBuf::from(path))
}

fn url_of(path: &Path) -> Result<String> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    Ok(format!("file://{path}"))
}

/// The event's own headers but for those that speak of the old payload.
fn without_reference(headers: &HeaderMap) -> HeaderMap {
    let mut headers = onward_headers(headers);
    for name in [DATAREF, "ce-datasize", "ce-datadigest"] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::{path_of, url_of};
    use std::path::Path;

    #[test]
    fn file_urls_are_paths() {
        let path = Path::new("/a/b-1/c");
        assert_eq!(path_of(&url_of(path).unwrap()).unwrap(), path);
        assert_eq!(path_of("file://localhost/a").unwrap(), Path::new("/a"));
        for bad in ["http://x/a", "file://x/a", "/a", "file:///a%20b"] {
            assert!(path_of(bad).is_err(), "{bad}");
        }
    }
}
