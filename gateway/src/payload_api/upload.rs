//! Takes the payload of a reply at the URL that the request carried in `Towpath-Upload`.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use towpath_event::SetAside;
use towpath_payloads::{Begin, Draw, StoreError, Writer};

use super::attempts::Upload;
use super::body::ReadBody;
use super::refusal::Refusal;
use super::token::Token;
use super::{Api, url};

/// Takes one upload, of the token with this text. A client that breaks off leaves nothing behind. A second upload of the
/// same attempt takes the place of the first when it is complete, so that a client may simply try again.
pub(super) async fn receive<B>(
    api: &Api,
    token: &Token,
    text: &str,
    headers: &HeaderMap,
    body: B,
) -> Result<Response<ReadBody>, Refusal>
where
    B: Body<Data = Bytes>,
{
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Refusal::PartOfUpload);
    }
    let limit = token.size.min(api.max_event_bytes);
    let announced = body.size_hint().exact();
    if let Some(size) = announced.filter(|size| *size > limit) {
        return Err(too_large(size, limit));
    }
    let upload = api
        .attempts
        .upload(token.id)
        .ok_or(super::attempts::Stopped::Ended)?;
    let stored = tokio::select! {
        biased;
        stopped = upload.stopped() => return Err(stopped.into()),
        stored = store(api, token, &upload, limit, body) => stored?,
    };
    let etag = format!("\"{}\"", stored.claim().id);
    upload.complete(stored)?;
    let mut response = Response::new(ReadBody::empty());
    *response.status_mut() = StatusCode::CREATED;
    for (name, value) in [
        (header::LOCATION, url(&api.base, text)),
        (header::ETAG, etag),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Streams the body into a store. If this is dropped on the way, nothing stays there.
async fn store<B>(
    api: &Api,
    token: &Token,
    upload: &Upload,
    limit: u64,
    body: B,
) -> Result<Arc<dyn SetAside>, Refusal>
where
    B: Body<Data = Bytes>,
{
    let announced = body.size_hint().exact();
    let refused = |error, whole| Refusal::of_store(error, token.id, whole);
    let begin = Begin {
        namespace: &upload.namespace,
        // It is the payload of a reply, whose step holds what it was made from.
        draw: Draw::Reply,
        length: announced,
        as_file: upload.as_file,
    };
    let mut writer = api
        .stores
        .begin(begin)
        .await
        .map_err(|error| refused(error, announced.unwrap_or_default()))?;
    let size = fill(api, writer.as_mut(), limit, body, &refused).await?;
    writer.finish().await.map_err(|error| refused(error, size))
}

/// Writes the body to its end, and says how many bytes it had.
async fn fill<B>(
    api: &Api,
    writer: &mut dyn Writer,
    limit: u64,
    body: B,
    refused: &(dyn Fn(StoreError, u64) -> Refusal + Sync),
) -> Result<u64, Refusal>
where
    B: Body<Data = Bytes>,
{
    let (idle, mut size) = (api.body_idle, 0u64);
    let mut body = pin!(body);
    // One timer for the whole body, moved only when it fires: arming one costs a system call.
    let mut last = Instant::now();
    let mut timer = pin!(tokio::time::sleep(idle));
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = timer.as_mut() => {
                if last.elapsed() >= idle {
                    return Err(Refusal::Stalled(idle));
                }
                timer.as_mut().reset(last + idle);
                continue;
            }
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Refusal::Truncated),
            None => return Ok(size),
        };
        // Trailers are no part of a payload.
        if let Ok(chunk) = frame.into_data() {
            size = size.saturating_add(chunk.len() as u64);
            if size > limit {
                return Err(too_large(size, limit));
            }
            let written = writer.write(chunk).await;
            written.map_err(|error| refused(error, size))?;
        }
        // After the store has taken it: its slowness is not the client's.
        last = Instant::now();
    }
}

fn too_large(size: u64, limit: u64) -> Refusal {
    Refusal::TooLarge {
        size,
        limit,
        setting: "limits.maxEventBytes",
    }
}
