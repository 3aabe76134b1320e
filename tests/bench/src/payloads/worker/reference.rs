//! The step that works with references: passes them on, and at the end fetches what they name.

use super::head::{onward_headers, text_in};
use super::{Event, Kind, Reply, Worker, accepted};
use crate::client::Client;
use crate::clock::now_nanos;
use crate::frames::Frames;
use crate::payloads::pattern::Check;
use crate::payloads::protocol::DATAREF;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;

impl Worker {
    /// A reference comes without a body; the reply has the same one and no body either.
    pub(super) async fn pass(&self, event: &Event, body: Incoming) -> Result<Response<Reply>> {
        let at = now_nanos();
        let reference = text_in(&event.head.headers, DATAREF)?;
        empty(body).await?;
        if event.kind == Kind::PassEnd {
            self.fetch(event, reference).await?;
            self.saw(event, at, true)?;
            return accepted();
        }
        self.saw(event, at, true)?;
        let mut response = Response::new(Reply::default());
        *response.headers_mut() = onward_headers(&event.head.headers);
        Ok(response)
    }

    async fn fetch(&self, event: &Event, reference: &str) -> Result<()> {
        let uri: Uri = reference.parse()?;
        let address = uri.authority().context("a reference without host")?;
        let client = Client::new(address.as_str().parse()?);
        let request = Request::get(uri.path()).body(Frames::default())?;
        let (status, body) = client.exchange(request).await?;
        if status != StatusCode::OK {
            bail!("{reference} answers {status}");
        }
        let mut check = Check::new(&self.pattern, event.number, event.expect.size);
        for frame in body.iter() {
            check.take(frame).map_err(anyhow::Error::msg)?;
        }
        check.end().map_err(anyhow::Error::msg)
    }
}

/// Reads a body that must have no bytes.
///
/// # Errors
/// It has some, or breaks off.
pub(super) async fn empty(body: Incoming) -> Result<()> {
    let bytes: Bytes = body.collect().await?.to_bytes();
    if !bytes.is_empty() {
        bail!("{} bytes of body beside a reference", bytes.len());
    }
    Ok(())
}
