//! Takes the payload of a reply at the URL that the request carried in `Towpath-Upload`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use towpath_event::{PayloadId, SetAside};
use towpath_payloads::Draw;

use super::attempts::Upload;
use super::body::ReadBody;
use super::refusal::Refusal;
use super::token::Token;
use super::{Api, url};
use crate::ingress::{BrokeOff, Paused};
use crate::intake::{Intake, Unfit};

/// What bounds an upload.
const SIZE_SETTING: &str = "limits.maxEventBytes";

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
    B: Body<Data = Bytes> + Unpin,
{
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Refusal::PartOfUpload);
    }
    let limit = token.size.min(api.admission.limits.max_event_bytes);
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
    B: Body<Data = Bytes> + Unpin,
{
    let refused = |unfit| refused(unfit, token.id);
    let intake = Intake {
        admission: &api.admission,
        namespace: &upload.namespace,
        // It is the payload of a reply, whose step holds what it was made from.
        draw: Draw::Reply,
        structured: false,
        as_file: upload.as_file,
    };
    let announced = body.size_hint().exact();
    let bulky = intake.begin(announced).await.map_err(refused)?;
    let mut body = Paused::new(body, api.body_idle);
    let filled = bulky.fill(&mut body, 0, (limit, SIZE_SETTING)).await;
    let stored = filled.map_err(refused)?.finish().await;
    stored.map_err(|error| refused(Unfit::Store(error)))
}

fn refused(unfit: Unfit<BrokeOff>, id: PayloadId) -> Refusal {
    match unfit {
        Unfit::TooLarge {
            size,
            limit,
            setting,
        } => Refusal::TooLarge {
            size,
            limit,
            setting,
        },
        Unfit::Store(error) => Refusal::of_store(error, id),
        Unfit::Source(BrokeOff::Truncated) => Refusal::Truncated,
        Unfit::Source(BrokeOff::Stalled(bound)) => Refusal::Stalled(bound),
    }
}

fn too_large(size: u64, limit: u64) -> Refusal {
    Refusal::TooLarge {
        size,
        limit,
        setting: SIZE_SETTING,
    }
}
