//! C9 and F4 for subscribers that are shown payloads as files, and for steps that leave files for their replies.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;
use towpath_harness::manifest::{in_memory_channel, reference, sequence, subscription, uri};
use towpath_harness::poll::SOON;
use towpath_harness::{Answer, Bed, Event, Gate, Gateway, Recorded, Subscriber, TestResult};

use crate::c9_payloads_kit::{
    BULKY, PRESENT, Shelved, at_rest, digest, file_of, launch, pattern, references, sized,
};

/// An answer by reference, without data.
fn by_file(dataref: &str) -> Answer {
    let reply = Event::numbered(2).with("dataref", dataref);
    let mut reply = reply.with("datacontenttype", "image/png");
    reply.data = None;
    Answer::reply(&reply)
}

fn url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A Sequence of two steps that are shown files; the second one answers when its gate opens.
struct Steps {
    directory: TempDir,
    gateway: Gateway,
    first: Subscriber,
    second: Subscriber,
    gate: Gate,
}

impl Steps {
    async fn start(memory: &str) -> Result<Self> {
        let (directory, gate) = (tempfile::tempdir()?, Gate::closed());
        let (first, second) = (Subscriber::start().await?, Subscriber::start().await?);
        second.otherwise(Answer::status(202).behind(&gate));
        let steps = [uri(first.url("/")), uri(second.url("/"))];
        let object = sequence("seq", steps).annotation(PRESENT, "File");
        let gateway = launch([object], &directory, memory).start().await?;
        Ok(Self {
            directory,
            gateway,
            first,
            second,
            gate,
        })
    }

    /// Sends one event, looks at what the second step got while it has not answered, and waits for the end.
    async fn run(&self, event: &Event, look: impl FnOnce(&Recorded) -> TestResult) -> TestResult {
        let message = event.binary();
        let posted = self.gateway.post("seq-kn-sequence-0", &message);
        let looking = async {
            let requests = self.second.await_count(1, SOON).await;
            let looked = requests.and_then(|requests| look(&requests[0]));
            self.gate.open();
            looked
        };
        let (answer, looked) = tokio::join!(posted, looking);
        looked?;
        assert_eq!(answer?.code(), 202);
        at_rest(&self.gateway).await?;
        assert_eq!(
            (self.first.count(), self.second.count()),
            (1, 1),
            "no needless attempt"
        );
        Ok(())
    }
}

#[tokio::test]
async fn f4_2_a_file_url_opens_and_has_the_bytes() -> TestResult {
    for memory in ["8Mi", "0"] {
        for setup in Bed::both() {
            let setup = setup.set("store.digest", "true");
            let shelved = Shelved::shown(setup, "File", memory).await?;
            let event = sized("file", BULKY);
            let held = shelved.held(&event, Answer::status(202)).await?;
            let request = &held.request;
            let url = request.header("ce-dataref");
            assert!((1..=256).contains(&url.len()), "{url}");
            assert_eq!(request.header("ce-datasize"), BULKY.to_string());
            assert_eq!(request.header("ce-datadigest"), digest(&event.bytes()));
            assert_eq!(request.header("content-type"), "application/octet-stream");
            assert!(request.body.is_empty());
            let file = file_of(request, shelved.directory())?;
            let found = file.symlink_metadata()?;
            assert!(found.is_file() && found.len() == BULKY as u64, "{found:?}");
            assert_eq!(found.permissions().mode() & 0o222, 0, "read-only");
            assert!(fs::read(&file)? == pattern(BULKY), "not the same bytes");
            assert_eq!(held.done().await?, 202);
            shelved.at_rest().await?;
            assert!(!file.exists(), "gone with its payload");
        }
    }
    Ok(())
}

/// F4.8: what is not set aside stays in the event.
#[tokio::test]
async fn c9_1_small_events_are_inline_for_who_is_shown_files() -> TestResult {
    for setup in Bed::both() {
        let shelved = Shelved::shown(setup, "File", "0").await?;
        for size in [0, 1, 64 << 10] {
            let event = sized(&size.to_string(), size);
            assert_eq!(shelved.bed.event(&event).await?.code(), 202, "{size}");
            let request = shelved.last()?;
            assert!(request.body == event.bytes(), "{size}: not the same bytes");
            let mut left = references(&request);
            // Who opted in may reply by reference, whatever it got.
            left.remove("towpath-upload");
            assert_eq!(left, BTreeMap::new(), "{size}");
        }
        shelved.at_rest().await?;
    }
    Ok(())
}

/// Readable for the grace after the 2xx, by whoever looks then.
#[tokio::test]
async fn f4_5_a_file_outlives_the_2xx() -> TestResult {
    let setup = Bed::setup()
        .set("payloads.present", "File")
        .set("payloads.referenceGrace", "2s");
    let shelved = Shelved::start(setup, "0").await?;
    assert_eq!(shelved.bed.event(&sized("1", BULKY)).await?.code(), 202);
    let file = file_of(&shelved.last()?, shelved.directory())?;
    assert!(fs::read(&file)? == pattern(BULKY), "not the same bytes");
    shelved.at_rest().await?;
    assert!(!file.exists());
    Ok(())
}

/// C9.3, C9.5: each attempt can open its file, and the dead letter has the data itself.
#[tokio::test]
async fn c9_5_retries_are_shown_files_and_the_dead_letter_is_whole() -> TestResult {
    for memory in ["8Mi", "0"] {
        let setup = Bed::setup()
            .dead_letter()
            .delivery("retry", 2)
            .delivery("backoffDelay", "PT0.01S");
        let shelved = Shelved::shown(setup, "File", memory).await?;
        let directory = shelved.directory().to_owned();
        let opened = Answer::with(move |request| {
            let data = file_of(request, &directory).and_then(|file| Ok(fs::read(file)?));
            // 400 is not tried again: it would show as a missing attempt.
            let good = data.is_ok_and(|data| data == pattern(BULKY));
            Answer::status(if good { 503 } else { 400 })
        });
        shelved.bed.subscriber.otherwise(opened);
        assert_eq!(shelved.bed.event(&sized("dead", BULKY)).await?.code(), 202);
        assert_eq!(shelved.bed.subscriber.count(), 3, "{memory}");
        let dead = shelved.bed.dead_letter.only()?;
        assert!(dead.body == pattern(BULKY), "{memory}: not the same bytes");
        assert_eq!(dead.header("ce-knativeerrorcode"), "503");
        assert_eq!(references(&dead), BTreeMap::new(), "{memory}");
        shelved.at_rest().await?;
    }
    Ok(())
}

/// What a step leaves in `out/` becomes the reply by a rename: it is the same file, and no byte is moved.
#[tokio::test]
async fn c9_1_a_file_left_in_out_is_adopted_by_rename() -> TestResult {
    for memory in ["8Mi", "0"] {
        let steps = Steps::start(memory).await?;
        let (directory, made) = (steps.directory.path(), pattern(2 * BULKY));
        let left = directory.join("out").join("left behind");
        fs::write(&left, &made)?;
        let inode = left.metadata()?.ino();
        let dataref = url(&left).replace(' ', "%20");
        steps.first.script([by_file(&dataref)]);
        steps
            .run(&sized("cause", BULKY), |request| {
                let file = file_of(request, directory)?;
                assert_eq!(file.metadata()?.ino(), inode, "{memory}: it was copied");
                assert!(!left.exists(), "{memory}: still in out/");
                assert!(fs::read(&file)? == made, "{memory}: not the same bytes");
                assert_eq!(request.header("ce-datasize"), made.len().to_string());
                assert_eq!(request.header("content-type"), "image/png");
                assert_eq!(request.header("ce-id"), "2");
                Ok(())
            })
            .await?;
        let in_out = fs::read_dir(directory.join("out"))?.count();
        assert_eq!(in_out, 0, "{memory}: something is left in out/");
    }
    Ok(())
}

/// A small file is a payload as well: it is adopted, and shown.
#[tokio::test]
async fn c9_1_a_small_file_is_adopted_whole() -> TestResult {
    for data in [&b"7 bytes"[..], b""] {
        let steps = Steps::start("0").await?;
        let directory = steps.directory.path();
        let left = directory.join("out").join("small");
        fs::write(&left, data)?;
        steps.first.script([by_file(&url(&left))]);
        steps
            .run(&sized("cause", BULKY), |request| {
                // Inline or shown, as long as it is all of it.
                let got = if request.headers.contains_key("ce-dataref") {
                    fs::read(file_of(request, directory)?)?
                } else {
                    request.body.to_vec()
                };
                assert_eq!(got, data);
                assert_eq!(request.header("content-type"), "image/png");
                assert!(!left.exists(), "still in out/");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// A reply without data that names the file it was shown passes its payload on: no byte is moved.
#[tokio::test]
async fn c9_1_a_reply_passes_on_the_file_that_was_shown() -> TestResult {
    for memory in ["8Mi", "0"] {
        let steps = Steps::start(memory).await?;
        let directory = steps.directory.path();
        let passes_on = |request: &Recorded| by_file(&request.header("ce-dataref"));
        steps.first.script([Answer::with(passes_on)]);
        steps
            .run(&sized("cause", BULKY), |request| {
                let shown = file_of(&steps.first.only()?, directory)?;
                let file = file_of(request, directory)?;
                assert!(fs::read(&file)? == pattern(BULKY), "not the same bytes");
                assert_eq!(
                    file.metadata()?.ino(),
                    shown.metadata()?.ino(),
                    "{memory}: it was copied"
                );
                assert_eq!(request.header("ce-datasize"), BULKY.to_string());
                assert_eq!(request.header("content-type"), "image/png");
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// F4.8: a step copies the attributes that it got, and answers with data of its own.
#[tokio::test]
async fn f4_8_a_reply_with_data_loses_the_file() -> TestResult {
    let steps = Steps::start("0").await?;
    let directory = steps.directory.path();
    let made = pattern(BULKY + 1);
    let data = made.clone();
    steps.first.script([Answer::transform(move |event| {
        event.data("image/png", data.clone())
    })]);
    steps
        .run(&sized("cause", BULKY), |request| {
            let shown = file_of(&steps.first.only()?, directory)?;
            let file = file_of(request, directory)?;
            assert_ne!(file, shown);
            assert!(fs::read(&file)? == made, "not the same bytes");
            assert_eq!(request.header("ce-datasize"), made.len().to_string());
            Ok(())
        })
        .await
}

/// The payload waits in memory, since the channel that took it shows none: the next one makes a file of it.
#[tokio::test]
async fn c9_1_a_payload_in_memory_is_materialised_for_who_wants_a_file() -> TestResult {
    let (directory, gate) = (tempfile::tempdir()?, Gate::closed());
    let (files, inline) = (Subscriber::start().await?, Subscriber::start().await?);
    files.otherwise(Answer::status(202).behind(&gate));
    let (first, next) = (in_memory_channel("in"), in_memory_channel("next"));
    let objects = [
        subscription("to-next", &first, reference(&next)),
        subscription("inline", &first, uri(inline.url("/"))),
        subscription("files", &next, uri(files.url("/"))).annotation(PRESENT, "File"),
        first,
        next,
    ];
    let gateway = launch(objects, &directory, "8Mi").start().await?;
    let event = sized("memory", BULKY);
    let message = event.binary();
    let posted = gateway.post("in", &message);
    let looking = async {
        let requests = files.await_count(1, SOON).await;
        let metrics = gateway.metrics().await;
        let looked = requests.and_then(|requests| {
            let labels = [("tier", "memory"), ("direction", "in")];
            let into_memory = metrics?.sum("towpath_payload_bytes_total", &labels);
            assert!(into_memory > 0.0, "it was not in memory");
            let file = file_of(&requests[0], directory.path())?;
            assert!(fs::read(&file)? == event.bytes(), "not the same bytes");
            assert_eq!(requests[0].header("ce-datasize"), BULKY.to_string());
            assert!(requests[0].body.is_empty());
            Ok(())
        });
        gate.open();
        looked
    };
    let (answer, looked) = tokio::join!(posted, looking);
    looked?;
    assert_eq!(answer?.code(), 202);
    let whole = inline.only()?;
    assert!(whole.body == event.bytes(), "not the same bytes");
    assert_eq!(references(&whole), BTreeMap::new());
    at_rest(&gateway).await
}

/// One stored copy, whoever looks at it and how.
#[tokio::test]
async fn c9_1_many_subscriptions_are_shown_one_file() -> TestResult {
    let to = |name: &str, path: &str, subscriber: &Subscriber| {
        let channel = in_memory_channel("in");
        subscription(name, &channel, uri(subscriber.url(path)))
    };
    let (directory, gate) = (tempfile::tempdir()?, Gate::closed());
    let subscriber = Subscriber::start().await?;
    subscriber.otherwise(Answer::status(202).behind(&gate));
    let objects = [
        in_memory_channel("in"),
        to("a", "/a", &subscriber).annotation(PRESENT, "File"),
        to("b", "/b", &subscriber).annotation(PRESENT, "File"),
        to("c", "/c", &subscriber),
    ];
    let gateway = launch(objects, &directory, "0").start().await?;
    let message = sized("fan-out", BULKY).binary();
    let posted = gateway.post("in", &message);
    let looking = async {
        let requests = subscriber.await_count(3, SOON).await;
        let looked = requests.and_then(|requests| {
            let mut inodes = Vec::new();
            for request in &requests {
                if request.path == "/c" {
                    assert!(request.body == pattern(BULKY), "not the same bytes");
                    assert_eq!(references(request), BTreeMap::new());
                    continue;
                }
                let file = file_of(request, directory.path())?;
                assert!(fs::read(&file)? == pattern(BULKY), "not the same bytes");
                inodes.push(file.metadata()?.ino());
            }
            assert!(
                inodes.len() == 2 && inodes[0] == inodes[1],
                "one stored copy: {inodes:?}"
            );
            Ok(())
        });
        gate.open();
        looked
    };
    let (answer, looked) = tokio::join!(posted, looking);
    looked?;
    assert_eq!(answer?.code(), 202);
    at_rest(&gateway).await
}
