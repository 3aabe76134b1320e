//! F4.7: the keys that sign payload URLs change without a gap, and a key that is taken away takes its URLs with it.

use std::fs;
use std::path::Path;

use anyhow::Result;
use http::Method;
use towpath_harness::poll::{SOON, until};
use towpath_harness::{Answer, Bed, Message, TestResult};

use crate::c9_payloads_kit::{BULKY, Held, Shelved, pattern, sized};

const OLD: &str = "an old key of sufficient length";
const NEW: &str = "a new key, which is as long";

/// What the gateway says when it has taken a change of its key file.
const CHANGED: &str = "the keys that sign payload URLs changed";

/// Replaces the keys in one step.
fn write(file: &Path, keys: &[&str]) -> TestResult {
    let staged = file.with_extension("staged");
    fs::write(&staged, keys.join("\n") + "\n")?;
    fs::rename(staged, file)?;
    Ok(())
}

/// Both URLs of an attempt: the status of a read and of an upload.
async fn codes(shelved: &Shelved, held: &Held) -> Result<(u16, u16)> {
    let request = &held.request;
    let read = shelved.get(&request.header("ce-dataref")).await?;
    let data = if read.code() == 200 {
        assert!(read.body == pattern(BULKY), "not the same bytes");
        pattern(10)
    } else {
        pattern(0)
    };
    let upload = shelved.put(&request.header("towpath-upload"), data).await?;
    let upload = if upload.status.is_success() {
        200
    } else {
        upload.code()
    };
    Ok((read.code(), upload))
}

/// Waits until `times` changes have been taken; the file is looked at when a URL is used.
async fn in_force(shelved: &Shelved, url: &str, times: usize) -> Result<()> {
    until("the keys to be in force", SOON, async || {
        shelved.call(Method::HEAD, url, Message::default()).await?;
        let log = shelved.bed.gateway.log();
        Ok((log.matches(CHANGED).count() >= times).then_some(()))
    })
    .await
}

#[tokio::test]
async fn f4_7_an_old_key_verifies_until_it_is_removed() -> TestResult {
    let keys = tempfile::tempdir()?;
    let file = keys.path().join("keys");
    write(&file, &[OLD])?;
    let setup = Bed::setup()
        .reply()
        .set("payloads.keyFile", &file.to_string_lossy());
    let shelved = Shelved::shown(setup, "Reference", "8Mi").await?;
    let hold = async |id: &str| shelved.held(&sized(id, BULKY), Answer::status(202)).await;
    let first = hold("by the old key").await?;
    let url = first.request.header("ce-dataref");
    assert_eq!(codes(&shelved, &first).await?, (200, 200));

    write(&file, &["# put first: it signs", NEW, "", OLD])?;
    in_force(&shelved, &url, 1).await?;
    let second = hold("by the new key").await?;
    assert_eq!(codes(&shelved, &first).await?, (200, 200), "still verifies");
    assert_eq!(codes(&shelved, &second).await?, (200, 200));

    // Refused as a whole: what was in force stays.
    write(&file, &["short"])?;
    until("the refusal", SOON, async || {
        assert_eq!(shelved.get(&url).await?.code(), 200);
        let log = shelved.bed.gateway.log();
        Ok(log
            .contains("the keys that were in force stay")
            .then_some(()))
    })
    .await?;
    assert!(!shelved.bed.gateway.log().contains(OLD), "a key in the log");

    write(&file, &[NEW])?;
    in_force(&shelved, &url, 2).await?;
    assert_eq!(codes(&shelved, &first).await?, (403, 403), "removed");
    assert_eq!(codes(&shelved, &second).await?, (200, 200));
    let third = hold("after the removal").await?;
    assert_eq!(codes(&shelved, &third).await?, (200, 200));

    for held in [first, second, third] {
        assert_eq!(held.done().await?, 202);
    }
    shelved.at_rest().await
}

/// Two gateways with one key file: each takes the other's signature, and only looks for a payload that it has not.
#[tokio::test]
async fn f4_7_gateways_with_one_key_file_trust_each_others_urls() -> TestResult {
    let keys = tempfile::tempdir()?;
    let file = keys.path().join("keys");
    write(&file, &[OLD])?;
    let key_file = file.to_string_lossy();
    let by_key = Bed::setup().set("payloads.keyFile", &key_file);
    let shelved = Shelved::shown(by_key, "Reference", "8Mi").await?;
    let held = shelved
        .held(&sized("theirs", BULKY), Answer::status(202))
        .await?;
    let path = shelved.path(&held.request.header("ce-dataref"))?;
    for (key_file, code) in [(Some(&key_file), 404), (None, 403)] {
        let setup = Bed::setup();
        let setup = match key_file {
            Some(file) => setup.set("payloads.keyFile", file),
            None => setup,
        };
        let other = Shelved::start(setup, "8Mi").await?;
        let mut sender = other.bed.gateway.sender();
        let answer = sender
            .request(Method::GET, &path, &Message::default())
            .await?;
        assert_eq!(answer.code(), code, "{}", answer.text());
    }
    assert_eq!(held.done().await?, 202);
    shelved.at_rest().await
}
