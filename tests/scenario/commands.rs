//! `towpath send`, `display` and `demo`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use towpath_harness::manifest::{channel_path, in_memory_channel, subscription, uri};
use towpath_harness::poll::{SOON, within};
use towpath_harness::{Bed, Event, Gateway, TestResult, command};

#[tokio::test]
async fn demo_once_ends_with_0_and_shows_every_size() -> TestResult {
    let finished = command::run(["demo", "--once"]).await?;
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    for part in ["1 KB", "64 KB", "2 MB", "202"] {
        assert!(
            finished.stdout.contains(part),
            "no {part} in {}",
            finished.stdout
        );
    }
    Ok(())
}

/// What `send` posts, the subscriber gets, in either mode.
#[tokio::test]
async fn send_posts_what_it_is_told() -> TestResult {
    let bed = Bed::start().await?;
    let url = format!("http://{}{}", bed.gateway.listening, channel_path("in"));
    let common = [
        "send",
        &url,
        "--type",
        "t",
        "--id",
        "one",
        "--attribute",
        "exa=b c",
        "--data",
        r#"{"a": 1}"#,
    ];
    for mode in [&[][..], &["--structured"]] {
        let finished = command::run(common.iter().chain(mode)).await?;
        assert_eq!(
            finished.code,
            Some(0),
            "{}{}",
            finished.stdout,
            finished.stderr
        );
        assert!(finished.stdout.contains("202"), "{}", finished.stdout);
        let last = bed
            .subscriber
            .requests()
            .pop()
            .ok_or_else(|| anyhow::anyhow!("nothing came"))?;
        let event = Event::of(&last)?;
        assert_eq!(
            (event.text("type"), event.text("id"), event.text("exa")),
            ("t".into(), "one".into(), "b c".into())
        );
        assert_eq!(
            (&event.bytes()[..], event.text("datacontenttype").as_str()),
            (&br#"{"a": 1}"#[..], "application/json")
        );
    }
    let finished = command::run(["send", &url, "--size", "2Mi", "--count", "3"]).await?;
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let sizes: Vec<usize> = bed
        .subscriber
        .requests()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(sizes, [8, 8, 2 << 20, 2 << 20, 2 << 20]);
    Ok(())
}

#[tokio::test]
async fn send_tells_a_refusal_by_its_exit_code() -> TestResult {
    let gateway = Gateway::with([in_memory_channel("in")]).start().await?;
    let lost = format!("http://{}{}", gateway.listening, channel_path("nowhere"));
    let finished = command::run(["send", &lost, "--data", "{}"]).await?;
    assert_eq!(finished.code, Some(1));
    assert!(finished.stdout.contains("404"), "{}", finished.stdout);
    let finished = command::run(["send", "ftp://x/", "--data", "{}"]).await?;
    assert_eq!(finished.code, Some(1));
    let finished = command::run(["send", "http://127.0.0.1:1/", "--data", "{}"]).await?;
    assert_eq!(finished.code, Some(1));
    Ok(())
}

/// `send` through a gateway to `display`.
#[tokio::test]
async fn display_shows_the_events_that_arrive() -> TestResult {
    let mut display = command::command(["display", "--listen", "127.0.0.1:0"])?
        .stdout(Stdio::piped())
        .spawn()?;
    let mut shown = BufReader::new(
        display
            .stdout
            .take()
            .ok_or_else(|| anyhow::anyhow!("no stdout"))?,
    );
    let mut line = String::new();
    within("where display listens", SOON, shown.read_line(&mut line)).await??;
    let url = line.trim().rsplit(' ').next().unwrap_or_default();
    let channel = in_memory_channel("in");
    let to = subscription("display", &channel, uri(url));
    let gateway = Gateway::with([channel, to]).start().await?;
    let address = format!("http://{}{}", gateway.listening, channel_path("in"));
    let finished =
        command::run(["send", &address, "--id", "show-me", "--data", "hello there"]).await?;
    assert_eq!(
        finished.code,
        Some(0),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    let mut text = String::new();
    within("the event on the screen", SOON, async {
        let mut buffer = [0; 1024];
        while !text.contains("hello there") {
            let count = shown.read(&mut buffer).await?;
            anyhow::ensure!(count > 0, "display ended after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        anyhow::Ok(())
    })
    .await??;
    assert!(text.contains("show-me"), "{text}");
    display.kill().await?;
    Ok(())
}
