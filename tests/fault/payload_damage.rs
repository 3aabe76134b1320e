//! Files of the node store that somebody takes away or changes: a payload is delivered whole or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use std::io::{Seek, SeekFrom, Write};

use anyhow::{Context, Result};
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Gateway, Subscriber, Tap, TestResult};

use crate::payload_kit::{
    ALL_IN_FILES, BULKY, CHANNEL, Shelf, bulky, channel_to, counted, pattern, post,
};

/// The file of the only payload, when it is complete.
async fn complete(shelf: &Shelf) -> Result<PathBuf> {
    until("a complete payload", SOON, async || {
        let file = shelf.only_file()?;
        let name = file
            .file_name()
            .context("no name")?
            .to_string_lossy()
            .into_owned();
        Ok((!name.starts_with('.')).then_some(file))
    })
    .await
}

async fn gateway(shelf: &Shelf, tap: &Tap, dead: &Subscriber) -> Result<Gateway> {
    let launch = shelf.launch(channel_to(&tap.url("/"), &dead.url("/")));
    let launch = launch.set("store.memory.maxPayload", "0");
    let launch = launch.set("store.node.dirtyBytes", ALL_IN_FILES);
    launch.set("store.digest", "true").start().await
}

/// Its gateway has it open: attempts go on as before.
#[tokio::test]
async fn a_file_that_is_taken_away_can_still_be_sent() -> TestResult {
    let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
    let gateway = gateway(&shelf, &tap, &dead).await?;
    let posted = post(&gateway, bulky("gone", BULKY));
    let mut tapped = tap.next().await?;
    tapped.read(BULKY / 8).await?;
    fs::remove_file(complete(&shelf).await?)?;
    tapped.reset()?;
    assert!(
        tap.next().await?.take().await? == pattern(BULKY),
        "not the same bytes"
    );
    assert_eq!(posted.await??.code(), 202);
    assert_eq!(dead.count(), 0);
    shelf.at_rest(&gateway).await
}

fn open(file: &Path) -> Result<fs::File> {
    fs::set_permissions(file, Permissions::from_mode(0o640))?;
    Ok(OpenOptions::new().write(true).open(file)?)
}

/// What somebody does to a file.
type Change = fn(&Path) -> TestResult;

fn cut(file: &Path) -> TestResult {
    Ok(open(file)?.set_len(BULKY as u64 / 2)?)
}

fn alter(file: &Path) -> TestResult {
    let mut file = open(file)?;
    file.seek(SeekFrom::Start(BULKY as u64 / 3))?;
    Ok(file.write_all(b"altered")?)
}

fn empty(file: &Path) -> TestResult {
    Ok(open(file)?.set_len(0)?)
}

/// Neither the subscriber nor the dead letter sink gets what is not the event; the producer hears that it failed.
#[tokio::test]
async fn a_file_that_is_changed_is_never_delivered() -> TestResult {
    let changes: [(&str, Change); 3] = [("cut", cut), ("altered", alter), ("emptied", empty)];
    for (what, change) in changes {
        let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let mut gateway = gateway(&shelf, &tap, &dead).await?;
        let posted = post(&gateway, bulky("damaged", BULKY));
        let mut tapped = tap.next().await?;
        tapped.read(BULKY / 8).await?;
        change(&complete(&shelf).await?)?;
        tapped.reset()?;
        // The attempts that are left; the gateway may know that they are in vain before it connects.
        let attempts = async {
            loop {
                // It may break before its head has come.
                let Ok(tapped) = tap.next().await else {
                    continue;
                };
                let ended = tapped.ended(SOON).await?;
                let came = ended.rest.len();
                assert!(
                    ended.reset && came < BULKY,
                    "{what}: {came} bytes, and a close"
                );
            }
            #[allow(unreachable_code, reason = "names the type of an endless loop")]
            TestResult::Ok(())
        };
        let answer = tokio::select! {
            answer = posted => answer??,
            failed = attempts => return failed,
        };
        assert_eq!(answer.code(), 500, "{what}: {}", answer.text());
        let whole = dead
            .requests()
            .iter()
            .filter(|request| request.whole)
            .count();
        assert_eq!(whole, 0, "{what}: a dead letter that is not the event");
        // Three for the subscriber, and three for its dead letter sink, which gets no other bytes either (C9.7).
        let retries = counted(&gateway, "towpath_retries_total").await?;
        assert_eq!(retries, 6, "{what}");
        shelf.at_rest(&gateway).await?;
        let next = async { tap.next().await?.take().await };
        let (goes_on, next) = tokio::join!(gateway.goes_on(CHANNEL), next);
        next?;
        goes_on?;
    }
    Ok(())
}

/// A subscriber that opens files is not shown one that is gone: the attempt fails, and what has its bytes delivers them.
#[tokio::test]
async fn a_file_that_is_gone_is_not_shown_again() -> TestResult {
    for (memory, tier) in [("0", "node"), ("8Mi", "memory")] {
        let (shelf, tap, dead) = (Shelf::new()?, Tap::start()?, Subscriber::start().await?);
        let [channel, to] = channel_to(&tap.url("/"), &dead.url("/"));
        let to = to.annotation("towpath.dev/payload", "File");
        let launch = shelf.launch([channel, to]);
        let launch = launch.set("store.memory.maxPayload", memory);
        let gateway = launch.set("payloads.referenceGrace", "1s").start().await?;
        let posted = post(&gateway, bulky("gone", BULKY));
        let mut tapped = tap.next().await?;
        let shown = shelf.only_file()?;
        assert_eq!(
            tapped.header("ce-dataref"),
            format!("file://{}", shown.display())
        );
        fs::remove_file(&shown)?;
        tapped
            .answer("500 Internal Server Error", "Connection: close\r\n", b"")
            .await?;
        drop(tapped);
        // Whatever is shown from now on can be opened and is whole.
        let attempts = async {
            loop {
                let tapped = tap.next().await?;
                let dataref = tapped.header("ce-dataref");
                let file = dataref.strip_prefix("file://").context("no file")?;
                let data = fs::read(file).with_context(|| format!("{tier}: shown, but gone"))?;
                assert!(data == pattern(BULKY), "{tier}: not the same bytes");
                tapped.take().await?;
            }
            #[allow(unreachable_code, reason = "names the type of an endless loop")]
            TestResult::Ok(())
        };
        let answer = tokio::select! {
            answer = posted => answer??,
            failed = attempts => return failed,
        };
        assert_eq!(answer.code(), 202, "{tier}: {}", answer.text());
        let letters = dead.requests();
        assert!(
            letters.iter().all(|letter| letter.body == pattern(BULKY)),
            "{tier}"
        );
        shelf.at_rest(&gateway).await?;
    }
    Ok(())
}
