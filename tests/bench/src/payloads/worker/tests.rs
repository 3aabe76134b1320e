//! The step process on itself: each kind of step answers as it should, and whatever is wrong is kept as an error.

use super::serve;
use crate::client::Client;
use crate::clock::now_nanos;
use crate::control::{ID, SENT};
use crate::frames::Frames;
use crate::payloads::pattern::Pattern;
use crate::payloads::protocol::{DATAREF, EXPECT_PATH, Expect, SEEN_PATH, Sightings};
use bytes::Bytes;
use http::{Request, StatusCode};
use std::fs;
use std::path::Path;
use tokio::net::TcpListener;

const SIZE: u64 = 300_000;

async fn start(out: Option<&Path>) -> Client {
    start_with(out, 0).await
}

async fn start_with(out: Option<&Path>, whole_every: u64) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    tokio::spawn(serve(listener));
    let expect = Expect {
        size: SIZE,
        bytes_per_second: Some(1 << 30),
        out: out.map(Path::to_owned),
        whole_every,
    };
    client.json::<()>(EXPECT_PATH, &expect).await.unwrap();
    client
}

fn body(number: u64) -> Vec<u8> {
    let pattern = Pattern::new();
    let mut body = pattern.piece(number, 0, SIZE).to_vec();
    while (body.len() as u64) < SIZE {
        let offset = body.len() as u64;
        body.extend_from_slice(&pattern.piece(number, offset, SIZE - offset));
    }
    body
}

fn event(path: &str, number: u64, body: Vec<u8>) -> Request<Frames> {
    Request::post(path)
        .header(ID, number)
        .header(SENT, now_nanos())
        .body(Frames::of([Bytes::from(body)]))
        .unwrap()
}

async fn seen(client: &Client) -> Sightings {
    client.json(SEEN_PATH, &()).await.unwrap()
}

#[tokio::test]
async fn steps_reply_with_the_same_bytes_and_sinks_with_none() {
    let client = start(None).await;
    for path in ["/stream/0", "/collect/0"] {
        let request = event(path, 7, body(7));
        let (status, reply) = client.exchange(request).await.unwrap();
        assert_eq!(
            (status, reply.joined()),
            (StatusCode::OK, body(7)),
            "{path}"
        );
    }
    let (status, reply) = client.exchange(event("/sink/0", 7, body(7))).await.unwrap();
    assert_eq!((status, reply.len()), (StatusCode::ACCEPTED, 0));
    let seen = seen(&client).await;
    assert_eq!(
        (seen.seen.len(), seen.error_count),
        (3, 0),
        "{:?}",
        seen.errors
    );
    assert!(
        seen.seen
            .iter()
            .all(|seen| seen.took_nanos > 0 && !seen.by_reference)
    );
}

#[tokio::test]
async fn other_bytes_are_errors_and_a_streamed_reply_breaks_off() {
    let client = start(None).await;
    let mut changed = body(7);
    changed[200_000] ^= 1;
    for path in ["/collect/0", "/sink/0", "/file/0"] {
        for bad in [changed.clone(), body(8), body(7)[1..].to_vec()] {
            let (status, _) = client.exchange(event(path, 7, bad)).await.unwrap();
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
    }
    let broken = client.exchange(event("/stream/0", 7, changed)).await;
    assert!(broken.is_err(), "{broken:?}");
    let seen = seen(&client).await;
    assert_eq!(
        (seen.seen.len(), seen.error_count),
        (0, 10),
        "{:?}",
        seen.errors
    );
}

#[tokio::test]
async fn a_file_is_opened_checked_and_answered_by_reference() {
    let folder = tempfile::tempdir().unwrap();
    let client = start(Some(folder.path())).await;
    let path = folder.path().join("given");
    fs::write(&path, body(7)).unwrap();
    let by_reference = |place: &str| {
        let mut request = event(place, 7, Vec::new());
        let url = format!("file://{}", path.display());
        request.headers_mut().insert(DATAREF, url.parse().unwrap());
        request
    };
    let (status, reply) = client.exchange(by_reference("/file/1")).await.unwrap();
    assert_eq!((status, reply.len()), (StatusCode::OK, 0));
    let (status, _) = client.exchange(by_reference("/file-end/4")).await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED);
    fs::write(&path, body(8)).unwrap();
    let (status, _) = client.exchange(by_reference("/file/1")).await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let seen = seen(&client).await;
    assert_eq!(
        (seen.seen.len(), seen.error_count),
        (2, 1),
        "{:?}",
        seen.errors
    );
    assert!(seen.seen.iter().all(|seen| seen.by_reference));
}

#[tokio::test]
async fn a_file_that_is_only_sampled_is_compared_at_its_ends_and_for_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let client = start_with(Some(folder.path()), 8).await;
    let path = folder.path().join("given");
    let status = async |bytes: Vec<u8>, beside: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let mut request = event("/file-end/4", 7, beside.to_vec());
        let url = format!("file://{}", path.display());
        request.headers_mut().insert(DATAREF, url.parse().unwrap());
        client.exchange(request).await.unwrap().0
    };
    assert_eq!(status(body(7), b"").await, StatusCode::ACCEPTED);
    let mut longer = body(7);
    longer.push(0);
    let (mut first, mut last) = (body(7), body(7));
    first[0] ^= 1;
    last[SIZE as usize - 1] ^= 1;
    for bad in [longer, first, last, body(8)] {
        assert_eq!(status(bad, b"").await, StatusCode::INTERNAL_SERVER_ERROR);
    }
    // and no body comes beside a reference
    assert_eq!(
        status(body(7), b"x").await,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let seen = seen(&client).await;
    assert_eq!((seen.seen.len(), seen.error_count), (1, 5));
}

#[tokio::test]
async fn a_reference_is_passed_on_and_its_head_is_counted() {
    let client = start(None).await;
    let mut request = event("/pass/000", 7, Vec::new());
    let url = "http://127.0.0.1:1/-/payloads/abc";
    request.headers_mut().insert(DATAREF, url.parse().unwrap());
    let (status, reply) = client.exchange(request).await.unwrap();
    assert_eq!((status, reply.len()), (StatusCode::OK, 0));
    let missing = client.exchange(event("/pass/000", 7, Vec::new())).await;
    assert_eq!(missing.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
    let seen = seen(&client).await;
    let head = seen.seen[0].head_bytes;
    let least = "POST /pass/000 HTTP/1.1\r\nce-dataref: \r\n\r\n".len() + url.len();
    assert!(head > least as u64 && head < 400, "{head}");
}
