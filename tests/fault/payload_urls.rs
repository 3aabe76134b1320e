//! The payload API under odd, slow and hostile readers: ranges, pipelines, readers that leave, URLs that are over.

use std::time::Duration;

use http::Method;
use towpath_harness::manifest::uri;
use towpath_harness::poll::{SOON, until};
use towpath_harness::raw::Raw;
use towpath_harness::{Message, TestResult};

use crate::payload_kit::{BULKY, TIERS, channel_to, pattern};
use crate::payload_step::ByReference;

#[tokio::test]
async fn ranges_out_of_bounds_are_416_and_odd_ones_get_the_whole() -> TestResult {
    for (tier, memory) in TIERS {
        let workflow = ByReference::start(memory, &[]).await?;
        let asked = workflow.asked("ranges").await?;
        let data = pattern(BULKY);
        for range in [
            format!("bytes={BULKY}-"),
            format!("bytes={BULKY}-{BULKY}"),
            format!("bytes={}-", u64::MAX),
            format!("bytes={}0-{}1", u64::MAX, u64::MAX),
            "bytes=-0".to_owned(),
        ] {
            let answer = workflow.get(&asked.dataref, &range).await?;
            assert_eq!(answer.code(), 416, "{tier} {range}");
            assert_eq!(
                answer.header("content-range"),
                format!("bytes */{BULKY}"),
                "{range}"
            );
            assert!(answer.body.len() < 1024, "{tier} {range}");
        }
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            (format!("bytes={}-", BULKY - 1), BULKY - 1, BULKY),
            (
                format!("bytes={}-{}", BULKY - 1, u64::MAX),
                BULKY - 1,
                BULKY,
            ),
            ("bytes=-1".to_owned(), BULKY - 1, BULKY),
            (format!("bytes=-{}", u64::MAX), 0, BULKY),
            ("bytes=65535-1048576".to_owned(), 65_535, 1_048_577),
        ] {
            let answer = workflow.get(&asked.dataref, &range).await?;
            assert_eq!(answer.code(), 206, "{tier} {range}");
            let last = to - 1;
            assert_eq!(
                answer.header("content-range"),
                format!("bytes {from}-{last}/{BULKY}")
            );
            assert!(
                answer.body == data[from..to],
                "{tier} {range}: not the same bytes"
            );
        }
        let many = format!("bytes={}", ["0-0"; 12_000].join(","));
        for range in [
            "bytes=0-1,5-6",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=",
            "bytes",
            "lines=0-1",
            "bytes=--1",
            "bytes=-",
            &many,
        ] {
            let answer = workflow.get(&asked.dataref, range).await?;
            assert_eq!(
                answer.code(),
                200,
                "{tier} {}",
                &range[..range.len().min(20)]
            );
            assert!(answer.body == data, "{tier}: not the same bytes");
        }
        // More than limits.maxHeaderBytes is too much, for ranges as for anything else.
        let huge = format!("bytes={}", ["0-0"; 40_000].join(","));
        assert_eq!(
            workflow.get(&asked.dataref, &huge).await?.code(),
            431,
            "{tier}"
        );
        let mut message = Message::default();
        for _ in 0..90 {
            message = message.header("range", "bytes=1-2");
        }
        let answer = workflow.call(Method::GET, &asked.dataref, &message).await?;
        assert!(
            matches!(answer.code(), 200 | 206 | 400),
            "{tier}: {}",
            answer.code()
        );
        let head = workflow
            .call(Method::HEAD, &asked.dataref, &Message::default())
            .await?;
        assert_eq!((head.code(), head.body.len()), (200, 0), "{tier}");
        assert_eq!(head.header("content-length"), BULKY.to_string(), "{tier}");
        workflow.done(asked).await?;
    }
    Ok(())
}

/// Requests that are sent before the answers to those before them have come: each gets its own, in order.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> TestResult {
    let workflow = ByReference::start("0", &[]).await?;
    let asked = workflow.asked("pipeline").await?;
    let path = &asked.dataref;
    let get = |from: usize, to: usize| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: towpath\r\nRange: bytes={from}-{}\r\n",
            to - 1
        )
    };
    let mut requests: String = (0..32).map(|at| get(at, at + 1) + "\r\n").collect();
    requests += &format!("HEAD {path} HTTP/1.1\r\nHost: towpath\r\n\r\n");
    requests += "GET /-/payloads/none HTTP/1.1\r\nHost: towpath\r\n\r\n";
    requests += &(get(0, 1) + "Connection: close\r\n\r\n");
    let mut raw = Raw::connect(workflow.gateway.listening).await?;
    raw.write(requests).await?;
    let read = raw.read_to_end(SOON).await?;
    let codes: Vec<&str> = read
        .text
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer.get(..3).unwrap_or_default())
        .collect();
    let mut expected = vec!["206"; 32];
    expected.extend(["200", "400", "206"]);
    assert_eq!(codes, expected);
    for at in 0..32 {
        assert!(
            read.text.contains(&format!("bytes {at}-{at}/{BULKY}")),
            "{at}"
        );
    }
    workflow.done(asked).await
}

/// It takes a few bytes in a while: others read, and events pass; when it leaves, nothing is left of it.
#[tokio::test]
async fn a_slow_reader_holds_nobody_up() -> TestResult {
    for (tier, memory) in TIERS {
        let workflow = ByReference::start(memory, &[]).await?;
        let asked = workflow.asked("slow").await?;
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::connect(workflow.gateway.listening).await?;
            raw.write(format!(
                "GET {} HTTP/1.1\r\nHost: towpath\r\n\r\n",
                asked.dataref
            ))
            .await?;
            raw.answered(SOON).await?;
            slow.push(raw);
        }
        for _ in 0..10 {
            let answer = workflow.get(&asked.dataref, "bytes=0-").await?;
            assert!(answer.body == pattern(BULKY), "{tier}: not the same bytes");
        }
        let other = workflow.asked("other").await?;
        let mut tapped = other.tapped;
        tapped
            .answer("202 Accepted", "Connection: close\r\n", b"")
            .await?;
        assert_eq!(other.posted.await??.code(), 202, "{tier}");
        drop(slow);
        workflow.done(asked).await?;
    }
    Ok(())
}

/// Readers that go away in the middle, in every way.
#[tokio::test]
async fn readers_that_break_off_leave_nothing() -> TestResult {
    for (_, memory) in TIERS {
        let workflow = ByReference::start(memory, &[]).await?;
        let asked = workflow.asked("broken").await?;
        for index in 0..20 {
            let mut raw = Raw::connect(workflow.gateway.listening).await?;
            raw.write(format!(
                "GET {} HTTP/1.1\r\nHost: towpath\r\n\r\n",
                asked.dataref
            ))
            .await?;
            if index % 2 == 0 {
                raw.answered(SOON).await?;
            }
            if index % 3 == 0 {
                raw.reset()?;
            }
        }
        workflow.done(asked).await?;
    }
    Ok(())
}

/// URLs end with the time of their attempt and the grace.
#[tokio::test]
async fn urls_expire() -> TestResult {
    let workflow = ByReference::start("8Mi", &[("timeouts.attempt", "1s")]).await?;
    let [channel, to] = channel_to(&workflow.step.url("/"), &workflow.dead.url("/"));
    let to = to
        .annotation("towpath.dev/payload", "Reference")
        .spec("reply", uri(workflow.next.url("/")));
    let to = to
        .spec("delivery.timeout", "PT1S")
        .spec("delivery.retry", 0);
    workflow.gateway.edit([channel, to]).await?;
    let asked = workflow.asked("expires").await?;
    assert_eq!(workflow.get(&asked.dataref, "bytes=0-0").await?.code(), 206);
    assert_eq!(
        asked.posted.await??.code(),
        202,
        "the dead letter was taken"
    );
    for (method, path) in [(Method::GET, &asked.dataref), (Method::PUT, &asked.upload)] {
        until("the URL to expire", Duration::from_secs(5), async || {
            let answer = workflow
                .call(method.clone(), path, &Message::default())
                .await?;
            let refused = answer.code() == 403 && answer.text().contains("expired");
            Ok(refused.then_some(()))
        })
        .await?;
    }
    workflow.shelf.at_rest(&workflow.gateway).await
}
