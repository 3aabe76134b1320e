//! C9 and F4 for subscribers that are shown payloads by reference: the attributes, the URLs, and replies by reference.

use std::collections::BTreeMap;

use http::Method;
use towpath_harness::bed::Setup;
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Event, Message, Recorded, TestResult};

use crate::c9_payloads_kit::{BULKY, Shelved, digest, pattern, references, sized};

async fn by_reference(setup: Setup) -> anyhow::Result<Shelved> {
    Shelved::shown(setup, "Reference", "8Mi").await
}

fn header(name: &str, value: &str) -> Message {
    Message::default().header(name, value)
}

#[tokio::test]
async fn f4_6_a_reference_has_size_and_kind_and_yields_the_data() -> TestResult {
    for setup in Bed::both() {
        let shelved = by_reference(setup).await?;
        let event = sized("shown", BULKY);
        let held = shelved.held(&event, Answer::status(202)).await?;
        let (request, url) = (&held.request, held.request.header("ce-dataref"));
        assert!((1..=256).contains(&url.len()), "{url}");
        assert_eq!(request.header("ce-datasize"), BULKY.to_string());
        assert_eq!(request.header("content-type"), "application/octet-stream");
        assert!(
            !request.headers.contains_key("ce-datadigest"),
            "store.digest is off"
        );
        assert!(request.body.is_empty());
        let answer = shelved.get(&url).await?;
        assert_eq!(answer.code(), 200);
        assert!(answer.body == pattern(BULKY), "F4.2: not the same bytes");
        assert_eq!(held.done().await?, 202);
        let small = sized("small", 64 << 10);
        assert_eq!(shelved.bed.event(&small).await?.code(), 202);
        let request = shelved.last()?;
        assert!(request.body == small.bytes() && !request.headers.contains_key("ce-dataref"));
        shelved.at_rest().await?;
    }
    Ok(())
}

#[tokio::test]
async fn f4_8_the_digest_is_shown_where_there_is_one() -> TestResult {
    let shelved = by_reference(Bed::setup().set("store.digest", "true")).await?;
    for event in [sized("1", BULKY), sized("2", BULKY - 1)] {
        assert_eq!(shelved.bed.event(&event).await?.code(), 202);
        let request = shelved.last()?;
        assert_eq!(request.header("ce-datadigest"), digest(&event.bytes()));
    }
    shelved.at_rest().await
}

#[tokio::test]
async fn f4_1_the_url_obeys_http() -> TestResult {
    let shelved = by_reference(Bed::setup()).await?;
    let held = shelved
        .held(&sized("http", BULKY), Answer::status(202))
        .await?;
    let url = held.request.header("ce-dataref");
    let head = shelved.call(Method::HEAD, &url, Message::default()).await?;
    let tag = head.header("etag");
    assert_eq!((head.code(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), BULKY.to_string());
    assert!(tag.starts_with('"'), "a strong ETag: {tag}");
    let data = pattern(BULKY);
    for (name, value, code, bytes) in [
        ("if-none-match", tag.as_str(), 304, 0..0),
        ("if-none-match", "\"other\"", 200, 0..BULKY),
        ("range", "bytes=10-19", 206, 10..20),
        ("range", "bytes=-7", 206, BULKY - 7..BULKY),
        ("range", "bytes=1048570-", 206, 1_048_570..BULKY),
    ] {
        let answer = shelved.call(Method::GET, &url, header(name, value)).await?;
        assert_eq!(answer.code(), code, "{name}: {value}");
        assert!(answer.body == data[bytes.clone()], "{name}: {value}");
        if code == 206 {
            let range = format!("bytes {}-{}/{BULKY}", bytes.start, bytes.end - 1);
            assert_eq!(answer.header("content-range"), range);
        }
    }
    let beyond = header("range", &format!("bytes={BULKY}-"));
    let answer = shelved.call(Method::GET, &url, beyond).await?;
    assert_eq!(answer.code(), 416);
    assert_eq!(answer.header("content-range"), format!("bytes */{BULKY}"));
    for (if_range, code) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let asked = header("range", "bytes=0-0").header("if-range", if_range);
        assert_eq!(
            shelved.call(Method::GET, &url, asked).await?.code(),
            code,
            "{if_range}"
        );
    }
    for method in [Method::POST, Method::DELETE, Method::PATCH] {
        let answer = shelved.call(method, &url, Message::default()).await?;
        assert_eq!(answer.code(), 405);
        assert!(
            answer.header("allow").contains("GET"),
            "{}",
            answer.header("allow")
        );
    }
    assert_eq!(held.done().await?, 202);
    shelved.at_rest().await
}

/// Whatever letter of the token is changed.
#[tokio::test]
async fn f4_1_an_altered_url_is_403() -> TestResult {
    let shelved = by_reference(Bed::setup()).await?;
    let held = shelved
        .held(&sized("altered", BULKY), Answer::status(202))
        .await?;
    let url = held.request.header("ce-dataref");
    let start = url.rfind('/').unwrap_or_default() + 1;
    // The last letter may have bits that mean nothing.
    for at in start..url.len() - 1 {
        let other = if url.as_bytes()[at] == b'A' { "B" } else { "A" };
        let altered = format!("{}{other}{}", &url[..at], &url[at + 1..]);
        let code = shelved.get(&altered).await?.code();
        assert!(matches!(code, 400 | 403), "letter {}: {code}", at - start);
        if at == start + 10 {
            assert_eq!(code, 403);
        }
    }
    assert_eq!(held.done().await?, 202);
    shelved.at_rest().await
}

#[tokio::test]
async fn f4_5_each_attempt_has_a_url_and_it_outlives_the_2xx_for_the_grace() -> TestResult {
    let setup = Bed::setup()
        .delivery("retry", 1)
        .delivery("backoffDelay", "PT1.1S")
        .delivery("backoffPolicy", "linear")
        .set("payloads.present", "Reference")
        .set("payloads.referenceGrace", "2s");
    let shelved = Shelved::start(setup, "8Mi").await?;
    shelved.bed.subscriber.script([Answer::status(503)]);
    assert_eq!(shelved.bed.event(&sized("twice", BULKY)).await?.code(), 202);
    let urls: Vec<String> = shelved
        .bed
        .subscriber
        .requests()
        .iter()
        .map(|r| r.header("ce-dataref"))
        .collect();
    assert_eq!(urls.len(), 2);
    assert_ne!(urls[0], urls[1], "refreshed: URLs end at a whole second");
    let answer = shelved.get(&urls[1]).await?;
    assert_eq!(answer.code(), 200, "readable after the 2xx");
    assert!(answer.body == pattern(BULKY));
    until("the payload to be gone", SOON, async || {
        Ok((shelved.get(&urls[1]).await?.code() != 200).then_some(()))
    })
    .await?;
    for (method, with) in [
        (Method::GET, Message::default()),
        (Method::HEAD, Message::default()),
        (Method::GET, header("range", "bytes=0-9")),
        (Method::GET, header("if-none-match", "*")),
    ] {
        for url in &urls {
            let answer = shelved.call(method.clone(), url, with.clone()).await?;
            assert_eq!(answer.code(), 404, "{method} of what is gone");
            let told = answer.text().contains("payloads.referenceGrace");
            assert!(told || method == Method::HEAD, "{}", answer.text());
        }
    }
    shelved.at_rest().await
}

/// A step's answer by reference: what it puts is what the next one gets, and its URL is not.
#[tokio::test]
async fn c9_1_a_reply_by_reference_is_materialised() -> TestResult {
    let shelved = by_reference(
        Bed::setup()
            .reply()
            .annotation("towpath.dev/cut-through", "false"),
    )
    .await?;
    let answer = Answer::with(|request: &Recorded| {
        let reply = Event::numbered(2).with("dataref", request.header("towpath-upload"));
        let mut reply = reply.with("datacontenttype", "image/png");
        reply.data = None;
        Answer::reply(&reply)
    });
    let held = shelved.held(&sized("step", BULKY), answer).await?;
    let upload = held.request.header("towpath-upload");
    let made = pattern(2 * BULKY);
    let put = shelved.put(&upload, made.clone()).await?;
    assert!(put.status.is_success(), "{}", put.text());
    assert_eq!(held.done().await?, 202);
    let reply = shelved.bed.reply.only()?;
    assert_eq!(reply.header("content-type"), "image/png");
    // It is a reply sink that gets it here, which nobody opted in.
    assert!(reply.body == made, "not the same bytes");
    assert_eq!(references(&reply), BTreeMap::new());
    assert_eq!(
        shelved.put(&upload, pattern(10)).await?.code(),
        410,
        "the attempt is over"
    );
    shelved.at_rest().await
}

#[tokio::test]
async fn c9_1_a_reply_may_pass_on_what_was_shown() -> TestResult {
    let shelved = by_reference(Bed::setup().reply()).await?;
    shelved
        .bed
        .subscriber
        .script([Answer::with(|request: &Recorded| {
            let reply = Event::numbered(2).with("dataref", request.header("ce-dataref"));
            let mut reply = reply.with("datacontenttype", "image/png");
            reply.data = None;
            Answer::reply(&reply)
        })]);
    assert_eq!(
        shelved.bed.event(&sized("passed", BULKY)).await?.code(),
        202
    );
    let reply = shelved.bed.reply.only()?;
    assert!(reply.body == pattern(BULKY), "not the same bytes");
    assert_eq!(reply.header("content-type"), "image/png");
    assert_eq!(references(&reply), BTreeMap::new());
    shelved.at_rest().await
}

/// F4.8: only attributes that are ours are removed, and a reply with data has none of them.
#[tokio::test]
async fn f4_8_a_reply_with_data_loses_our_attributes() -> TestResult {
    let shelved = by_reference(Bed::setup().reply()).await?;
    shelved
        .bed
        .subscriber
        .script([Answer::transform(|event| event.data("text/plain", "done"))]);
    assert_eq!(shelved.bed.event(&sized("data", BULKY)).await?.code(), 202);
    let reply = shelved.bed.reply.only()?;
    assert_eq!(&reply.body[..], b"done");
    assert_eq!(references(&reply), BTreeMap::new());
    shelved.at_rest().await
}

#[tokio::test]
async fn f4_5_an_upload_over_the_limit_is_413() -> TestResult {
    let setup = Bed::setup()
        .reply()
        .set("limits.maxEventBytes", "2Mi")
        .set("limits.maxStructuredBytes", "1Mi");
    let shelved = by_reference(setup).await?;
    let held = shelved
        .held(&sized("large", BULKY), Answer::status(202))
        .await?;
    let upload = held.request.header("towpath-upload");
    let answer = shelved.put(&upload, pattern((2 << 20) + 1)).await?;
    assert_eq!(answer.code(), 413);
    assert!(
        answer.text().contains("limits.maxEventBytes"),
        "{}",
        answer.text()
    );
    assert_eq!(held.done().await?, 202);
    shelved.at_rest().await
}
