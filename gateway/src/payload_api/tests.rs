//! The payload API as its clients see it, without a connection.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::Instant;
use towpath_config::Settings;
use towpath_config::settings::Limits;
use towpath_event::{PayloadId, Place, SetAside};
use towpath_payloads::{
    Begin, Budget, BudgetSettings, Draw, Grace, MemoryStore, PayloadStore, Stores,
};

use super::serve::serve_at;
use super::*;

const BASE: &str = "http://gateway:8080";
const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const LIMIT: u64 = 1000;
const ROOM: u64 = 20_000;

const SETTINGS: BudgetSettings = BudgetSettings {
    total: "limits.bytesInFlight",
    per_namespace: "limits.bytesInFlightPerNamespace",
};

fn memory(room: u64, digest: bool) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Budget::new(room, room, SETTINGS), digest))
}

fn admission(memory: Arc<dyn PayloadStore>) -> Admission {
    let limits = Limits {
        max_event_bytes: LIMIT,
        ..Settings::default().limits
    };
    let budget = Budget::new(1 << 20, 1 << 20, SETTINGS);
    Admission::new(limits, budget, Stores::new(memory, ROOM))
}

fn api(digest: bool) -> Api {
    Api {
        base: BASE.into(),
        keys: Arc::new(KeySource::Fixed(Arc::new(Keys::random().unwrap()))),
        admission: admission(memory(ROOM, digest)),
        shown: Shown::default(),
        grace: Grace::start(Duration::from_mins(5)),
        attempts: Attempts::default(),
        body_idle: Duration::ZERO,
    }
}

async fn store(stores: &Stores, text: &'static str, finish: bool) -> Arc<dyn SetAside> {
    let begin = Begin {
        namespace: &"ns".into(),
        draw: Draw::Reply,
        length: Some(text.len() as u64),
        as_file: false,
    };
    let mut writer = stores.begin(begin).await.unwrap();
    writer
        .write(Bytes::from_static(text.as_bytes()))
        .await
        .unwrap();
    let payload = Arc::clone(writer.payload());
    if finish {
        writer.finish().await.unwrap();
    }
    payload
}

/// A payload in a store of its own.
pub(super) fn stored(text: &'static str) -> Arc<dyn SetAside> {
    let stores = Stores::new(memory(ROOM, false), ROOM);
    store(&stores, text, true).now_or_never().unwrap()
}

/// Any token.
pub(super) fn token() -> Token {
    Token {
        purpose: Purpose::Read,
        id: PayloadId::from_bytes([1; 16]),
        place: Place::Memory,
        size: 1,
        subscription: 7,
        expires: NOW + Duration::from_mins(5),
    }
}

fn read_url(api: &Api, payload: &Arc<dyn SetAside>) -> String {
    let claim = payload.claim();
    let token = Token {
        id: claim.id,
        size: claim.size,
        place: claim.place,
        ..token()
    };
    url(BASE, &sign(api, &token))
}

fn upload_url(api: &Api, guard: &AttemptGuard) -> String {
    let token = Token {
        purpose: Purpose::Upload,
        id: guard.id(),
        size: u64::MAX,
        ..token()
    };
    url(BASE, &sign(api, &token))
}

fn sign(api: &Api, token: &Token) -> String {
    api.keys.keys(Instant::now()).sign(token)
}

async fn ask(api: &Api, method: Method, url: &str, headers: &[(&str, &str)]) -> Response<String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::new());
    collect(serve_at(api, request.body(body).unwrap(), NOW).await).await
}

async fn get(api: &Api, url: &str, headers: &[(&str, &str)]) -> Response<String> {
    ask(api, Method::GET, url, headers).await
}

async fn put<B: Body<Data = Bytes> + Unpin>(api: &Api, url: &str, body: B) -> Response<String> {
    let request = Request::put(url).body(body).unwrap();
    collect(serve_at(api, request, NOW).await).await
}

async fn collect(response: Response<ReadBody>) -> Response<String> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
}

/// The status, and a word of the body.
fn refused(response: &Response<String>, status: u16, reason: &str) {
    assert_eq!(response.status(), status, "{response:?}");
    let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
    assert_eq!(body["reason"], reason);
    assert!(body["message"].as_str().unwrap().len() > 20, "{body}");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
}

fn text(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

/// A body of unknown length that ends as it is told.
fn chunks(chunks: &[Result<&'static str, &'static str>]) -> impl Body<Data = Bytes> + use<> {
    let frames: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk.map(|text| Frame::data(Bytes::from_static(text.as_bytes()))))
        .collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

#[tokio::test]
async fn reads_the_whole_and_parts() {
    let api = api(false);
    let payload = store(&api.admission.stores, "0123456789", true).await;
    let url = read_url(&api, &payload);
    let etag = format!("\"{}\"", payload.claim().id);
    let whole = get(&api, &url, &[]).await;
    assert_eq!(
        (whole.status(), whole.body().as_str()),
        (StatusCode::OK, "0123456789")
    );
    for (name, value) in [
        (header::CONTENT_LENGTH, "10"),
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::ETAG, &etag),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "private"),
    ] {
        assert_eq!(whole.headers()[&name], value, "{name}");
    }
    let part = get(&api, &url, &[("range", "bytes=2-4"), ("if-range", &etag)]).await;
    assert_eq!(
        (part.status(), part.body().as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(part.headers()[header::CONTENT_LENGTH], "3");
    let beyond = get(&api, &url, &[("range", "bytes=10-")]).await;
    refused(&beyond, 416, "range");
    assert_eq!(beyond.headers()[header::CONTENT_RANGE], "bytes */10");
    let head = ask(&api, Method::HEAD, &url, &[("range", "bytes=2-4")]).await;
    assert_eq!((head.status(), head.body().as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers(), whole.headers());
}

#[tokio::test]
async fn sends_nothing_that_the_client_has() {
    let api = api(false);
    let payload = store(&api.admission.stores, "data", true).await;
    let url = read_url(&api, &payload);
    let id = payload.claim().id;
    for tag in [
        "*".to_owned(),
        format!("\"{id}\""),
        format!("\"x\", W/\"{id}\""),
    ] {
        let response = get(
            &api,
            &url,
            &[("if-none-match", &tag), ("range", "bytes=0-0")],
        )
        .await;
        assert_eq!(
            (response.status().as_u16(), response.body().as_str()),
            (304, ""),
            "{tag}"
        );
        assert_eq!(response.headers()[header::ETAG], format!("\"{id}\""));
    }
    let head = ask(&api, Method::HEAD, &url, &[("if-none-match", "*")]).await;
    assert_eq!(head.status(), StatusCode::NOT_MODIFIED);
    assert!(!head.headers().contains_key(header::CONTENT_LENGTH));
    let response = get(&api, &url, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_digest_is_told() {
    let api = api(true);
    let payload = store(&api.admission.stores, "abc", true).await;
    let response = get(&api, &read_url(&api, &payload), &[]).await;
    assert_eq!(
        response.headers()["repr-digest"],
        "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
    );
}

#[tokio::test]
async fn c9_7_what_is_gone_is_404_and_never_a_short_body() {
    let api = api(false);
    let payload = store(&api.admission.stores, "data", true).await;
    let gone = read_url(&api, &payload);
    drop(payload);
    refused(&get(&api, &gone, &[]).await, 404, "missing");
    let held = store(&api.admission.stores, "held", true).await;
    let url_of_held = read_url(&api, &held);
    api.shown.show(held.claim().id, &held);
    api.grace.hold(held);
    assert_eq!(get(&api, &url_of_held, &[]).await.body(), "held");
    let head = ask(&api, Method::HEAD, &gone, &[]).await;
    assert_eq!((head.status().as_u16(), head.body().as_str()), (404, ""));
    let told = get(&api, &gone, &[]).await.body().len();
    assert_eq!(head.headers()[header::CONTENT_LENGTH], told.to_string());
    let broken = store(&api.admission.stores, "data", false).await;
    api.shown.show(broken.claim().id, &broken);
    let url_of_broken = read_url(&api, &broken);
    refused(&get(&api, &url_of_broken, &[]).await, 404, "missing");
    // Nothing of it is read here, so its state alone tells.
    let head = ask(&api, Method::HEAD, &url_of_broken, &[]).await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let other = Token {
        place: Place::Node("elsewhere".into()),
        ..token()
    };
    let other = url(BASE, &sign(&api, &other));
    refused(&get(&api, &other, &[]).await, 404, "missing");
}

#[tokio::test]
async fn a_payload_that_was_shown_is_found_whatever_its_store() {
    let api = api(false);
    let elsewhere = stored("elsewhere");
    let url = read_url(&api, &elsewhere);
    refused(&get(&api, &url, &[]).await, 404, "missing");
    api.shown.show(elsewhere.claim().id, &elsewhere);
    assert_eq!(get(&api, &url, &[]).await.body(), "elsewhere");
    let claim = elsewhere.claim();
    let lies = Token {
        id: claim.id,
        size: claim.size - 1,
        ..token()
    };
    let lies = super::url(BASE, &sign(&api, &lies));
    refused(&get(&api, &lies, &[]).await, 500, "damaged");
}

#[tokio::test]
async fn urls_that_are_no_good() {
    let api = api(false);
    let payload = store(&api.admission.stores, "data", true).await;
    let good = read_url(&api, &payload);
    for path in ["", "abc", "a/b", "%00"] {
        let url = format!("{BASE}{PATH}{path}");
        refused(&get(&api, &url, &[]).await, 400, "malformed");
    }
    let mut altered = good.clone();
    let last = altered.pop().unwrap();
    altered.push(if last == 'A' { 'B' } else { 'A' });
    refused(&get(&api, &altered, &[]).await, 403, "altered");
    let expired = Token {
        expires: NOW,
        ..token()
    };
    let expired = url(BASE, &sign(&api, &expired));
    refused(&get(&api, &expired, &[]).await, 403, "expired");
    refused(&put(&api, &expired, text("x")).await, 403, "expired");
    let guard = api.attempts.open("ns".into(), false);
    for (url, allow, methods) in [
        (
            &good,
            "GET, HEAD",
            [Method::PUT, Method::POST, Method::DELETE],
        ),
        (
            &upload_url(&api, &guard),
            "PUT",
            [Method::GET, Method::POST, Method::OPTIONS],
        ),
    ] {
        for method in methods {
            let response = ask(&api, method, url, &[]).await;
            refused(&response, 405, "method");
            assert_eq!(response.headers()[header::ALLOW], allow);
        }
    }
    assert_eq!(get(&api, &format!("{good}?a=b"), &[]).await.status(), 200);
}

#[tokio::test]
async fn an_upload_is_what_the_attempt_takes() {
    let api = api(false);
    let guard = api.attempts.open("ns".into(), false);
    let url = upload_url(&api, &guard);
    for body in ["first", "second"] {
        let response = put(&api, &url, text(body)).await;
        assert_eq!(
            (response.status().as_u16(), response.body().as_str()),
            (201, "")
        );
        assert_eq!(response.headers()[header::LOCATION], url);
        assert!(response.headers().contains_key(header::ETAG));
    }
    let response = put(&api, &url, chunks(&[Ok("th"), Ok(""), Ok("ird")])).await;
    assert_eq!(response.status(), 201);
    let payload = guard.take().unwrap();
    let etag = format!("\"{}\"", payload.claim().id);
    assert_eq!(response.headers()[header::ETAG], etag);
    assert_eq!(
        get(&api, &read_url(&api, &payload), &[]).await.body(),
        "third"
    );
    refused(&put(&api, &url, text("late")).await, 410, "ended");
    drop(guard);
    refused(&put(&api, &url, text("later")).await, 410, "ended");
    drop(payload);
    assert_eq!(
        api.admission.stores.iter().next().unwrap().usage().objects,
        0
    );
}

#[tokio::test]
async fn an_upload_that_fails_leaves_nothing() {
    let api = api(false);
    let guard = api.attempts.open("ns".into(), false);
    let url = upload_url(&api, &guard);
    let large = "x".repeat(LIMIT as usize + 1).leak();
    let half = &large[..LIMIT as usize / 2 + 1];
    refused(&put(&api, &url, text(large)).await, 413, "too_large");
    let response = put(&api, &url, chunks(&[Ok(half), Ok(half)])).await;
    refused(&response, 413, "too_large");
    assert!(response.body().contains("limits.maxEventBytes"));
    let broken = put(&api, &url, chunks(&[Ok("half"), Err("reset")])).await;
    refused(&broken, 400, "truncated");
    let stalls = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, ()>>());
    refused(&put(&api, &url, stalls).await, 408, "truncated");
    let part = Request::put(&url)
        .header(header::CONTENT_RANGE, "bytes 0-3/10")
        .body(text("part"));
    let part = collect(serve_at(&api, part.unwrap(), NOW).await).await;
    refused(&part, 400, "malformed");
    let fills = "x".repeat(ROOM as usize - 10).leak();
    let full = store(&api.admission.stores, fills, true).await;
    let response = put(&api, &url, text(half)).await;
    refused(&response, 503, "overloaded");
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    drop(full);
    let small = Api {
        admission: admission(memory(10, false)),
        ..self::api(false)
    };
    let guard_of_small = small.attempts.open("ns".into(), false);
    let url_of_small = upload_url(&small, &guard_of_small);
    for body in [&["12345678901"][..], &["12345678", "901"]] {
        let body: Vec<_> = body.iter().map(|text| Ok(*text)).collect();
        let response = put(&small, &url_of_small, chunks(&body)).await;
        refused(&response, 413, "too_large");
        assert!(response.body().contains("limits.bytesInFlight"));
    }
    assert!(guard.take().is_none());
    assert_eq!(
        api.admission.stores.iter().next().unwrap().usage().objects,
        0
    );
}

#[tokio::test]
async fn an_upload_stops_when_another_begins_or_the_attempt_ends() {
    let api = Api {
        body_idle: Duration::from_mins(1),
        ..api(false)
    };
    let guard = api.attempts.open("ns".into(), false);
    let url = upload_url(&api, &guard);
    let stalls = || StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, ()>>());
    let mut first = Box::pin(put(&api, &url, stalls()));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(put(&api, &url, stalls()));
    assert!((&mut second).now_or_never().is_none());
    refused(&first.await, 409, "replaced");
    drop(guard);
    refused(&second.await, 410, "ended");
    assert_eq!(
        api.admission.stores.iter().next().unwrap().usage().objects,
        0
    );
}
