//! From a request for a payload URL to its response; reading is here, leaving a reply's payload in `upload`.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use tokio::time::Instant;
use towpath_event::{ClaimCheck, Digest, Progress, ReadError, SetAside};

use super::body::ReadBody;
use super::range::{Wanted, wanted};
use super::refusal::Refusal;
use super::token::{Purpose, Token};
use super::{Api, PATH, upload};
use crate::ingress::head_bytes;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Answers a request for a path that begins with [`PATH`]. Only an upload reads the body; it was read to its end if
/// the response is 201.
///
/// | method, URL | response |
/// |---|---|
/// | GET, HEAD of a payload | 200; 206 or 416 for `Range`, 304 for `If-None-Match`; 404 when it is gone |
/// | PUT to an upload URL | 201; 410 after the attempt; 409, 413, 408, 400; 503 with `Retry-After` |
/// | either, altered or expired | 403; 400 if it is no token at all |
/// | any other method | 405 with `Allow` |
pub(crate) async fn serve<B>(api: &Api, request: Request<B>) -> Response<ReadBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    serve_at(api, request, SystemTime::now()).await
}

/// The same at the time `now`, by which tokens expire.
pub(super) async fn serve_at<B>(
    api: &Api,
    request: Request<B>,
    now: SystemTime,
) -> Response<ReadBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let mut response = answer(api, &head, body, now)
        .await
        .unwrap_or_else(|refusal| {
            // A token is a key to the data: its end is enough to find it again.
            let token = head
                .uri
                .path()
                .get(head.uri.path().len().saturating_sub(6)..);
            tracing::debug!(token, method = %head.method, ?refusal, "a payload URL was refused");
            refusal.response()
        });
    if head.method == Method::HEAD {
        let body = std::mem::replace(response.body_mut(), ReadBody::empty());
        if let Some(len @ 1..) = body.size_hint().exact() {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        }
    }
    response
}

async fn answer<B>(
    api: &Api,
    head: &Parts,
    body: B,
    now: SystemTime,
) -> Result<Response<ReadBody>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (size, limit) = (
        head_bytes(&head.headers),
        api.admission.limits.max_header_bytes,
    );
    if size > limit {
        return Err(Refusal::HeadTooLarge { size, limit });
    }
    let text = head.uri.path().strip_prefix(PATH).unwrap_or_default();
    let token = api.keys.keys(Instant::now()).verify(text, now)?;
    match (token.purpose, &head.method) {
        (Purpose::Read, &Method::GET | &Method::HEAD) => read(api, &token, head).await,
        (Purpose::Upload, &Method::PUT) => {
            upload::receive(api, &token, text, &head.headers, body).await
        }
        (purpose, _) => Err(Refusal::Method(purpose)),
    }
}

async fn read(api: &Api, token: &Token, head: &Parts) -> Result<Response<ReadBody>, Refusal> {
    let stored = find(api, token).await?;
    let etag = format!("\"{}\"", token.id);
    let mut response = Response::new(ReadBody::empty());
    describe(&mut response, &etag, stored.claim().digest);
    if is_known(&head.headers, &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let is_head = head.method == Method::HEAD;
    // Range is defined for GET only (RFC 9110 section 14.2).
    let wanted = if is_head {
        Wanted::Whole
    } else {
        wanted(&head.headers, token.size, &etag)
    };
    let range = match wanted {
        Wanted::Whole => 0..token.size,
        Wanted::Part(range) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let of = content_range(&range, token.size);
            insert(&mut response, header::CONTENT_RANGE, &of);
            range
        }
        Wanted::Unsatisfiable => return Err(Refusal::Range { size: token.size }),
    };
    let len = range.end - range.start;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if !is_head {
        let body = ReadBody::begin(stored.read(range), len).await;
        *response.body_mut() = body.map_err(|error| Refusal::of_read(error, token.id))?;
    }
    Ok(response)
}

/// The payload itself: one that was shown here, or one that is kept in a store.
async fn find(api: &Api, token: &Token) -> Result<Arc<dyn SetAside>, Refusal> {
    let stored = match api.shown.get(token.id) {
        Some(stored) => stored,
        None => kept(api, token).await?,
    };
    if stored.progress() == Progress::Broken {
        return Err(Refusal::Missing(token.id));
    }
    let size = stored.size();
    if size != token.size {
        let text = format!("it has {size} bytes, its URL says {}", token.size);
        return Err(Refusal::Damaged(ReadError::Damaged(text.into())));
    }
    Ok(stored)
}

/// A payload that is kept in a store of this gateway. The store itself is asked, since `Stores::find` counts what is
/// missing as an early miss: here it is a client that comes too late.
async fn kept(api: &Api, token: &Token) -> Result<Arc<dyn SetAside>, Refusal> {
    let claim = ClaimCheck {
        id: token.id,
        size: token.size,
        digest: None,
        place: token.place.clone(),
    };
    let mut stores = api.admission.stores.iter();
    let store = stores
        .find(|store| store.holds(&claim.place))
        .ok_or(Refusal::Missing(token.id))?;
    let found = store.find(&claim).await;
    found.map_err(|error| Refusal::of_store(error, token.id))
}

/// What is the same whichever bytes are sent. An id is never used again, so it is a strong entity tag.
fn describe(response: &mut Response<ReadBody>, etag: &str, digest: Option<Digest>) {
    insert(response, header::ETAG, etag);
    if let Some(digest) = digest.and_then(repr_digest) {
        insert(response, REPR_DIGEST, &digest);
    }
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
}

fn insert(response: &mut Response<ReadBody>, name: HeaderName, value: &str) {
    // What is made here is printable ASCII, which a header always takes.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!(
        "bytes {}-{}/{size}",
        range.start,
        range.end.saturating_sub(1)
    )
}

/// RFC 9530: of the whole payload, whichever part is sent.
fn repr_digest(digest: Digest) -> Option<String> {
    let hex = digest.to_string();
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    Some(format!("sha-256=:{}:", STANDARD.encode(bytes?)))
}

/// Whether the client says that it has this payload already (RFC 9110 section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim());
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
