//! Requests that are not what HTTP or CloudEvents allow. (Refused attributes and data: conformance C2.4, C3.4 to C3.6.)

use towpath_harness::manifest::channel_path;
use towpath_harness::poll::SOON;
use towpath_harness::raw::{Raw, Read, event_head};
use towpath_harness::{Bed, Event, Message, Spec, TestResult};

/// Sends bytes, ends the sending half, and reads what comes.
async fn exchange(bed: &Bed, bytes: impl AsRef<[u8]>) -> anyhow::Result<Read> {
    let mut raw = Raw::connect(bed.gateway.listening).await?;
    // The gateway may refuse before it has read all.
    let _ = raw.write(bytes).await;
    let _ = raw.finish().await;
    raw.read_to_end(SOON).await
}

#[tokio::test]
async fn header_that_is_not_utf8_is_400() -> TestResult {
    let mut bed = Bed::start().await?;
    for name in ["ce-id", "ce-subject", "ce-myext", "ce-source"] {
        let message = Event::full(Spec::V10)
            .binary()
            .replace(name, b"\xff\xfe\x80");
        let response = bed.post(&message).await?;
        assert_eq!(response.code(), 400, "{name}");
        assert!(
            response.text().contains(name.trim_start_matches("ce-")),
            "{}",
            response.text()
        );
    }
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn values_that_would_break_a_header_are_carried_or_refused_never_split() -> TestResult {
    let mut bed = Bed::start().await?;
    let nasty = "a\r\nknative-forged: yes\r\n\r\nPOST /x HTTP/1.1";
    let event = Event::min(Spec::V10)
        .with("subject", nasty)
        .with("exnul", "a\u{0}b");
    let response = bed.post(&event.structured()).await?;
    assert!(matches!(response.code(), 202 | 400), "{}", response.status);
    for request in bed.subscriber.requests() {
        assert!(!request.headers.contains_key("knative-forged"));
        assert_eq!(
            request.header("ce-subject"),
            "a%0D%0Aknative-forged: yes%0D%0A%0D%0APOST /x HTTP/1.1"
        );
    }
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn huge_header_block_is_431() -> TestResult {
    let mut bed = Bed::setup()
        .set("limits.maxHeaderBytes", "64Ki")
        .start()
        .await?;
    let head = event_head(&channel_path("in"));
    let one = format!(
        "{head}ce-big: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(300_000)
    );
    let many: String = (0..20_000)
        .map(|index| format!("ce-many{index}: x\r\n"))
        .collect();
    for request in [one, format!("{head}{many}Content-Length: 0\r\n\r\n")] {
        let read = exchange(&bed, request).await?;
        assert_eq!(read.status(), 431, "{read:?}");
    }
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

/// A generous block of extensions is still an event.
#[tokio::test]
async fn many_extensions_pass() -> TestResult {
    let bed = Bed::start().await?;
    let event = (0..60).fold(Event::full(Spec::V10), |event, index| {
        event.with(&format!("ext{index}"), "v".repeat(100))
    });
    for message in [event.binary(), event.structured()] {
        assert_eq!(bed.post(&message).await?.code(), 202);
    }
    for request in bed.subscriber.requests() {
        assert_eq!(Event::of(&request)?.texts(), event.texts());
    }
    Ok(())
}

#[tokio::test]
async fn broken_http_is_refused() -> TestResult {
    let mut bed = Bed::start().await?;
    let head = event_head(&channel_path("in"));
    let requests: Vec<Vec<u8>> = vec![
        b"\r\n\r\n".to_vec(),
        b"\x00\x01\x02\x03\xff\xfe".repeat(100),
        b"GET\r\n\r\n".to_vec(),
        b"POST /channels/demo/in HTTP/9.9\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage garbage garbage".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        format!("{head}Content-Length: abc\r\n\r\n").into_bytes(),
        format!("{head}Content-Length: -1\r\n\r\n").into_bytes(),
        format!("{head}Content-Length: 99999999999999999999999\r\n\r\n").into_bytes(),
        format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhey").into_bytes(),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n").into_bytes(),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi").into_bytes(),
        format!("{head}Transfer-Encoding: gzip\r\n\r\nhi").into_bytes(),
        format!("{head}bad header\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        format!("{head}bad\x00name: x\r\nContent-Length: 0\r\n\r\n").into_bytes(),
    ];
    for request in requests {
        let read = exchange(&bed, &request).await?;
        let shown = String::from_utf8_lossy(&request);
        assert!(
            read.status() == 0 || (400..=505).contains(&read.status()),
            "{shown:?}: {read:?}"
        );
    }
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

/// A request that two servers could frame differently must not smuggle a second one.
#[tokio::test]
async fn length_and_chunks_together_smuggle_nothing() -> TestResult {
    let mut bed = Bed::start().await?;
    let head = event_head(&channel_path("in"));
    let second = format!(
        "{}Content-Length: 0\r\n\r\n",
        head.replace("ce-id: raw", "ce-id: smuggled")
    );
    let body = format!("0\r\n\r\n{second}");
    let read = exchange(
        &bed,
        format!(
            "{head}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
            body.len()
        ),
    )
    .await?;
    let first = read.status();
    let ids: Vec<String> = bed
        .subscriber
        .requests()
        .iter()
        .map(|request| request.header("ce-id"))
        .collect();
    assert!(
        first >= 400 || !ids.contains(&"smuggled".to_owned()),
        "{first} {ids:?}"
    );
    bed.gateway.goes_on("in").await
}

#[tokio::test]
async fn paths_that_are_not_paths_are_4xx() -> TestResult {
    let mut bed = Bed::start().await?;
    let paths = [
        "//",
        "/channels",
        "/channels/",
        "/channels/demo",
        "/channels/demo/in/more",
        "/%00/%ff",
        "/../../etc/passwd",
        "/demo/%69n%2f",
    ];
    for path in paths {
        let response = bed
            .gateway
            .sender()
            .post(path, &Event::full(Spec::V10).binary())
            .await?;
        assert!(
            response.status.is_client_error(),
            "{path}: {}",
            response.status
        );
    }
    let long = format!("/channels/demo/{}", "x".repeat(20_000));
    let read = exchange(
        &bed,
        format!("{}Content-Length: 0\r\n\r\n", event_head(&long)),
    )
    .await?;
    assert!((400..500).contains(&read.status()), "{read:?}");
    assert_eq!(bed.subscriber.count(), 0);
    bed.gateway.goes_on("in").await
}

/// Compressed data belongs to the event: it is neither unpacked nor lost (the length of what it would unpack to is no
/// concern of ours).
#[tokio::test]
async fn encoded_bodies_are_opaque() -> TestResult {
    let bed = Bed::start().await?;
    let message: Message = Event::numbered(1)
        .data("text/plain", &b"\x1f\x8b\x08\x00garbage"[..])
        .binary();
    assert_eq!(
        bed.post(&message.header("content-encoding", "gzip"))
            .await?
            .code(),
        202
    );
    let request = bed.subscriber.only()?;
    assert_eq!(
        (
            request.header("content-encoding").as_str(),
            &request.body[..]
        ),
        ("gzip", &b"\x1f\x8b\x08\x00garbage"[..])
    );
    Ok(())
}
