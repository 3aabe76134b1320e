//! The internal port, as anyone who reaches it sees it.

use std::time::SystemTime;

use futures_util::future::join_all;
use http::header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::peer::auth;

fn token(key: &str, now: SystemTime) -> String {
    let keys = Keys::parse(key).unwrap();
    let token = auth::bearer(&keys, "a", now).unwrap();
    token.to_str().unwrap().to_owned()
}

/// Sends these bytes, and returns what comes back until the gateway closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // a reset after the answer is as good as an end
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, token: &str, more: &str) -> String {
    let authorization = header::AUTHORIZATION;
    format!(
        "{method} {path} HTTP/1.1\r\nhost: b\r\nconnection: close\r\n{authorization}: {token}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn nobody_without_the_keys_is_heard() {
    let (_a, b) = two(Scripted::default()).await;
    let (now, minute) = (SystemTime::now(), Duration::from_secs(65));
    let forged = token("another key altogether", now);
    for wrong in [
        String::new(),
        "Bearer v1.a.1.00".to_owned(),
        forged,
        token(KEY, now - minute),
        token(KEY, now + minute),
    ] {
        for path in ["/v1/hops", "/v1/leases", "/v1/load", "/v1/payloads/x", "/"] {
            // the body is announced and never sent: whoever waited for it would not answer
            let request = request("POST", path, &wrong, "content-length: 1000\r\n");
            let answer = exchange(b.address, &request).await;
            assert!(
                answer.starts_with("HTTP/1.1 401 "),
                "{wrong} {path}: {answer}"
            );
            assert!(answer.ends_with("\r\n\r\n"), "says why: {answer}");
        }
    }
    assert!(b.attempts.came.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_request_of_a_gateway_is_refused() {
    let (a, b) = two(Scripted::default()).await;
    let payload = stored(b"0123456789");
    let _guard = b.lent.lend(&payload);
    let id = payload.claim().id;
    let good = token(KEY, SystemTime::now());
    let body = |text: &str| format!("content-length: {}\r\n\r\n{text}", text.len());
    for (method, path, more, status) in [
        ("GET", "/v1/hops", body(""), 405),
        ("POST", "/v2/hops", body(""), 404),
        ("POST", "/v1/hops", body(""), 400),
        ("POST", "/v1/hops", body("no frame"), 400),
        (
            "POST",
            "/v1/hops",
            "content-length: 99999999\r\n".into(),
            413,
        ),
        (
            "POST",
            "/v1/hops",
            "transfer-encoding: chunked\r\n\r\n0\r\n".into(),
            411,
        ),
        ("POST", "/v1/leases", body("{}"), 200),
        ("POST", "/v1/leases", body(r#"{"renew":["x"]}"#), 400),
        ("POST", "/v1/leases", body(r#"{"other":[]}"#), 400),
        (
            "POST",
            "/v1/leases",
            "content-length: 1048577\r\n".into(),
            413,
        ),
        ("POST", "/v1/load", body("[]"), 400),
        ("POST", &format!("/v1/payloads/{id}/2-5"), body(""), 200),
        ("POST", &format!("/v1/payloads/{id}/10-10"), body(""), 200),
        ("POST", &format!("/v1/payloads/{id}/2-11"), body(""), 416),
        ("POST", &format!("/v1/payloads/{id}/5-2"), body(""), 416),
        ("POST", &format!("/v1/payloads/{id}/-2"), body(""), 400),
        ("POST", &format!("/v1/payloads/{id}"), body(""), 400),
        (
            "POST",
            "/v1/payloads/00000000000000000000000000000000/0-1",
            body(""),
            404,
        ),
        ("POST", "/v1/payloads/../0-1", body(""), 400),
    ] {
        let answer = exchange(b.address, &request(method, path, &good, &more)).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            answer.starts_with(&expected),
            "{method} {path} {status}: {answer}"
        );
        if path.ends_with("2-5") {
            assert!(answer.ends_with("\r\n\r\n234"), "{answer}");
        }
    }
    assert!(a.attempts.came.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_says_nothing_is_not_listened_to_for_ever() {
    let (_a, b) = two(Scripted::default()).await;
    // closed after timeouts.headerRead
    let silent = ["", "P", "PRI", "POST /v1/hops HTTP/1.1\r\nhost"];
    let closed = join_all(silent.map(|silent| exchange(b.address, silent)));
    let closed = tokio::time::timeout(Duration::from_secs(5), closed);
    closed.await.expect("still open");
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_their_turn() {
    let (_a, b) = two(Scripted::default()).await;
    let mut open = Vec::new();
    for _ in 0..MOST {
        open.push(TcpStream::connect(b.address).await.unwrap());
    }
    let good = token(KEY, SystemTime::now());
    let request = request("POST", "/v1/leases", &good, "content-length: 2\r\n\r\n{}");
    let waiting = tokio::spawn(async move { exchange(b.address, &request).await });
    open.clear();
    assert!(waiting.await.unwrap().starts_with("HTTP/1.1 200 "));
}
