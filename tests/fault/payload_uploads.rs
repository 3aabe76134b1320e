//! Upload URLs of others, altered ones, and uploads that break off.

use anyhow::Context;
use http::Method;
use towpath_harness::poll::SOON;
use towpath_harness::raw::Raw;
use towpath_harness::{Message, TestResult};

use crate::payload_kit::{BULKY, CHANNEL, TIERS, pattern};
use crate::payload_step::{ByReference, answer_with};

/// An upload URL is for one attempt: afterwards it is gone, for PUT and in a reply.
#[tokio::test]
async fn the_upload_url_of_another_attempt_is_of_no_use() -> TestResult {
    let workflow = ByReference::start("8Mi", &[]).await?;
    let base = format!("http://{}", workflow.gateway.listening);
    let mut asked = workflow.asked("one").await?;
    // Another event's attempt, open at the same time.
    let other = workflow.asked("two").await?;
    assert_ne!(asked.upload, other.upload);
    let data = pattern(BULKY / 2);
    assert_eq!(workflow.put(&other.upload, data.clone()).await?.code(), 201);
    let dataref = format!("{base}{}", other.upload);
    asked
        .tapped
        .answer("200 OK", &answer_with(&dataref), b"")
        .await?;
    // The second attempt has URLs of its own, and answers with the first one's.
    let (mut again, _, upload) = workflow.attempt().await?;
    assert_ne!(upload, asked.upload);
    assert_eq!(workflow.put(&asked.upload, data.clone()).await?.code(), 410);
    assert_eq!(workflow.put(&upload, data.clone()).await?.code(), 201);
    let old = format!("{base}{}", asked.upload);
    again.answer("200 OK", &answer_with(&old), b"").await?;
    assert_eq!(asked.posted.await??.code(), 202);
    assert_eq!(workflow.next.count(), 0, "nothing of an upload of others");
    let letter = workflow.dead.only()?;
    assert!(letter.body == pattern(BULKY), "the cause");
    assert_eq!(letter.header("ce-knativeerrorcode"), "502");
    // The other attempt's own upload is still its own.
    let mut tapped = other.tapped;
    let own = format!("{base}{}", other.upload);
    tapped.answer("200 OK", &answer_with(&own), b"").await?;
    assert_eq!(other.posted.await??.code(), 202);
    assert!(workflow.next.only()?.body == data, "its own upload");
    assert_eq!(workflow.put(&other.upload, data).await?.code(), 410);
    workflow.shelf.at_rest(&workflow.gateway).await
}

/// What was altered is 403 wherever it is altered, what cannot be a URL of ours is refused, and neither is of use in a reply.
#[tokio::test]
async fn altered_urls_are_refused() -> TestResult {
    let workflow = ByReference::start("8Mi", &[]).await?;
    let base = format!("http://{}", workflow.gateway.listening);
    let asked = workflow.asked("altered").await?;
    for (method, path) in [(Method::GET, &asked.dataref), (Method::PUT, &asked.upload)] {
        let token = path.strip_prefix("/-/payloads/").context("no token")?;
        for at in 0..token.len() {
            let mut altered = token.as_bytes().to_vec();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let path = format!("/-/payloads/{}", String::from_utf8(altered)?);
            let code = workflow
                .call(method.clone(), &path, &Message::default())
                .await?
                .code();
            assert!(matches!(code, 403 | 400), "{method} {at}: {code}");
        }
        let another = if token.ends_with('A') { "B" } else { "A" };
        for tail in ["", another, "/..", "%00", "?x=1"] {
            let path = format!("/-/payloads/{}{tail}", &token[..token.len() - 1]);
            let code = workflow
                .call(method.clone(), &path, &Message::default())
                .await?
                .code();
            assert!(matches!(code, 400 | 403 | 404), "{method} {tail}: {code}");
        }
    }
    for (method, path) in [
        (Method::PUT, &asked.dataref),
        (Method::POST, &asked.dataref),
        (Method::DELETE, &asked.dataref),
        (Method::GET, &asked.upload),
        (Method::POST, &asked.upload),
    ] {
        let answer = workflow
            .call(method.clone(), path, &Message::default())
            .await?;
        assert_eq!(answer.code(), 405, "{method} {path}");
        assert!(answer.headers.contains_key("allow"), "{method}");
    }
    let mut asked = asked;
    for tapped in 0..2 {
        let mut altered = asked.upload.clone();
        let last = altered.pop().context("empty")?;
        altered.push(if last == 'A' { 'Q' } else { 'A' });
        let dataref = format!("{base}{altered}");
        asked
            .tapped
            .answer("200 OK", &answer_with(&dataref), b"")
            .await?;
        if tapped == 0 {
            (asked.tapped, asked.dataref, asked.upload) = workflow.attempt().await?;
        }
    }
    assert_eq!(asked.posted.await??.code(), 202);
    assert_eq!(workflow.next.count(), 0);
    assert!(workflow.dead.only()?.body == pattern(BULKY));
    workflow.shelf.at_rest(&workflow.gateway).await
}

/// Uploads that break off, stall or are too large are none: what was whole before stays, else the reply fails.
#[tokio::test]
async fn uploads_that_break_off_leave_nothing() -> TestResult {
    for (tier, memory) in TIERS {
        let settings = [
            ("timeouts.bodyIdle", "PT0.4S"),
            ("limits.maxEventBytes", "4Mi"),
        ];
        let workflow = ByReference::start(memory, &settings).await?;
        let base = format!("http://{}", workflow.gateway.listening);
        let mut asked = workflow.asked("upload").await?;
        let put = format!("PUT {} HTTP/1.1\r\nHost: towpath\r\n", asked.upload);
        let half = pattern(BULKY / 2);
        let known = format!("{put}Content-Length: {BULKY}\r\n\r\n");
        let chunked = format!("{put}Transfer-Encoding: chunked\r\n\r\n{BULKY:x}\r\n");
        for head in [&known, &chunked] {
            for how in ["fin", "reset", "stall"] {
                let mut raw = Raw::connect(workflow.gateway.listening).await?;
                raw.write(head).await?;
                raw.write(&half).await?;
                if how == "reset" {
                    raw.reset()?;
                    continue;
                }
                if how == "fin" {
                    raw.finish().await?;
                }
                let read = raw.read_to_end(SOON).await?;
                // One that was reset may begin late, and then takes the place of this one.
                let codes: &[u16] = if how == "stall" {
                    &[408, 409]
                } else {
                    &[0, 400, 409]
                };
                assert!(codes.contains(&read.status()), "{tier} {how}: {read:?}");
            }
        }
        let size = 5 << 20;
        let mut raw = Raw::connect(workflow.gateway.listening).await?;
        raw.write(format!("{put}Content-Length: {size}\r\n\r\n"))
            .await?;
        let read = raw.read_response(SOON).await?;
        assert_eq!(read.status(), 413, "{tier}: {read:?}");
        assert!(
            read.text.contains("limits.maxEventBytes"),
            "{tier}: {read:?}"
        );
        let head = format!("{put}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        let raw = Raw::connect(workflow.gateway.listening).await?;
        let request = [head.as_bytes(), &pattern(size)].concat();
        let (_, read) = raw.write_while_reading(&request, SOON).await?;
        assert_eq!(read.status(), 413, "{tier}: {read:?}");
        // Nothing whole was uploaded: the reply fails, and the next attempt finds none of it.
        let dataref = format!("{base}{}", asked.upload);
        asked
            .tapped
            .answer("200 OK", &answer_with(&dataref), b"")
            .await?;
        let (mut tapped, _, upload) = workflow.attempt().await?;
        assert_eq!(workflow.put(&upload, pattern(BULKY)).await?.code(), 201);
        let mut raw = Raw::connect(workflow.gateway.listening).await?;
        raw.write(known.replace(&asked.upload, &upload)).await?;
        raw.write(&half).await?;
        raw.reset()?;
        let dataref = format!("{base}{upload}");
        tapped.answer("200 OK", &answer_with(&dataref), b"").await?;
        assert_eq!(asked.posted.await??.code(), 202, "{tier}");
        assert!(
            workflow.next.only()?.body == pattern(BULKY),
            "{tier}: what was whole"
        );
        assert_eq!(workflow.dead.count(), 0, "{tier}");
        workflow.shelf.at_rest(&workflow.gateway).await?;
    }
    Ok(())
}

/// An upload that is never answered with, and one that is still under way when the attempt ends.
#[tokio::test]
async fn uploads_that_nobody_names_are_let_go() -> TestResult {
    for (tier, memory) in TIERS {
        let mut workflow = ByReference::start(memory, &[]).await?;
        let mut asked = workflow.asked("unnamed").await?;
        assert_eq!(
            workflow.put(&asked.upload, pattern(BULKY)).await?.code(),
            201,
            "{tier}"
        );
        let mut raw = Raw::connect(workflow.gateway.listening).await?;
        let put = format!("PUT {} HTTP/1.1\r\nHost: towpath\r\n", asked.upload);
        raw.write(format!("{put}Content-Length: {BULKY}\r\n\r\n"))
            .await?;
        raw.write(pattern(BULKY / 2)).await?;
        asked
            .tapped
            .answer("202 Accepted", "Connection: close\r\n", b"")
            .await?;
        assert_eq!(asked.posted.await??.code(), 202, "{tier}");
        let read = raw.read_to_end(SOON).await?;
        assert_eq!(read.status(), 410, "{tier}: {read:?}");
        assert_eq!(
            (workflow.next.count(), workflow.dead.count()),
            (0, 0),
            "{tier}"
        );
        workflow.shelf.at_rest(&workflow.gateway).await?;
        let next = async { workflow.step.next().await?.take().await };
        let (goes_on, next) = tokio::join!(workflow.gateway.goes_on(CHANNEL), next);
        next?;
        goes_on?;
    }
    Ok(())
}
